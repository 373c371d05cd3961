//! Every respect in which applications differ, as data.

use super::link::CloseKind;
use crate::wire::{MAX_ALIGNED_CONTENT_LEN, MPXS_CONNS};

/// What [`Quirks`](super::Quirks) are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Serves several requests on a connection at a time.
    pub multiplexes: bool,
    /// When it turns to a request.
    pub starts: Starts,
    /// When it reads.
    pub reads: Reads,
    /// What becomes of a second request where it does not multiplex.
    pub second_begin: SecondBegin,
    /// What a record does that has no place where it comes.
    pub out_of_turn: OutOfTurn,
    /// Which streams it ends with an empty record, and how it holds them back.
    pub outputs: Outputs,
    /// The answer to `FCGI_GET_VALUES`.
    pub values: Values,
    /// The answer is held back until another byte has come, padding of the question included.
    pub values_need_a_byte: bool,
    /// What is answered to a record of an unknown type.
    pub unknown_type: UnknownType,
    /// What `FCGI_ABORT_REQUEST` does.
    pub abort: Abort,
    /// Serves Authorizers and Filters.
    pub all_roles: bool,
    /// What becomes of a request for a role it does not serve.
    pub unknown_role: UnknownRole,
    /// The versions it accepts; another one costs the connection.
    pub versions: Versions,
    /// How it ends a connection that it finds broken.
    pub refuses_with: CloseKind,
    /// Serves a request with ID 0; if not, that costs the connection.
    pub serves_id_zero: bool,
    /// Tells requests apart by their IDs; if not, a record belongs to the request of its connection.
    pub compares_ids: bool,
    /// Takes every request for one with ID 1, and answers it as such. For one request at a time.
    pub knows_only_id_one: bool,
    /// An ID is in use until `FCGI_STDIN` has ended, not until the request has; begun again it costs the connection.
    pub holds_ids: bool,
    /// What becomes of a name-value pair that is in two records.
    pub split_pairs: SplitPairs,
    /// Most content and padding of one record, in bytes; more costs the connection.
    pub max_record_len: usize,
    /// What its application statuses are.
    pub app_status: AppStatus,
    /// How it ends a connection that is not to be kept.
    pub not_kept: NotKept,
    /// Loses what it has read together with a request and not used when that ends.
    pub loses_what_follows: bool,
    /// Most content of one `FCGI_STDOUT` record.
    pub record_len: usize,
    /// Connections served at a time; others wait, connected but not read. `None`: any number.
    pub workers: Option<usize>,
}

/// When an application turns to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// When its parameters are complete.
    WithParams,
    /// With the first record of `FCGI_STDIN`, the empty one included.
    WithStdin,
    /// When `CONTENT_LENGTH` bytes have come, whether `FCGI_STDIN` has ended or not. What exceeds them costs
    /// the connection, what lacks is waited for.
    WithBody,
}

/// When an application reads a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Always.
    Always,
    /// Between requests, and when a behavior waits for the body. A behavior that runs on behind its end, as PHP's do
    /// behind `fastcgi_finish_request`, keeps the next request waiting.
    OnDemand,
    /// Until bytes of a body come that its behavior does not wait for: they stop the whole connection.
    UntilUnused,
}

/// What becomes of a second `FCGI_BEGIN_REQUEST` on an application that serves one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondBegin {
    /// `FCGI_CANT_MPX_CONN`, and the first request goes on.
    CantMultiplex,
    /// The same, but of the first request's body nothing more counts.
    CantMultiplexCutsBody,
    /// It is a record out of turn.
    OutOfTurn,
}

/// What a record does that has no place where it comes: of a type that only applications send, of an unknown
/// one, of the body when there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfTurn {
    /// Nothing.
    Ignored,
    /// The request goes on with the body as it is, and the connection is closed behind its answer, or at once where
    /// there is none.
    CutsBody,
    /// The same, without the bytes of the body since its last empty record.
    EmptiesBody,
}

/// Which streams an application ends with an empty record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// None.
    NeverEnded,
    /// `FCGI_STDOUT`.
    StdoutEnded,
    /// Each that was used, `FCGI_STDOUT` first.
    EndedIfUsed,
    /// `FCGI_STDERR` if it was used, then `FCGI_STDOUT`; both are held back up to 8 KiB.
    Buffered,
}

/// The answer to `FCGI_GET_VALUES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// None, ever.
    Silent,
    /// Those of these pairs that were asked for.
    Pairs(Vec<(&'static str, &'static str)>),
    /// These pairs, asked for or not, then a second result without any.
    PairsAndEmpty(Vec<(&'static str, &'static str)>),
    /// `FCGI_UNKNOWN_TYPE`.
    UnknownType,
    /// The connection is closed.
    Close,
    /// The pairs, and then the connection is closed: php-fpm before 8.3, by its sources.
    PairsAndClose(Vec<(&'static str, &'static str)>),
}

/// What is answered to a record of an unknown type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownType {
    /// `FCGI_UNKNOWN_TYPE`.
    Answered,
    /// The same, to a management record; any other is out of turn.
    AnsweredToManagement,
    /// The same, and a content that the record has costs the connection.
    AnsweredWithoutContent,
    /// The same, to a record with the ID of a request.
    AnsweredToRequests,
    /// It is out of turn.
    OutOfTurn,
}

/// What `FCGI_ABORT_REQUEST` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Nothing.
    Ignored,
    /// The request ends at once; its behavior is dropped.
    Ends,
    /// The request ends at once before the body's end, and its behavior runs on, with a second end; after it, nothing.
    EndsAndRunsOn,
    /// It is a record out of turn.
    OutOfTurn,
}

/// What becomes of a request for a role that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownRole {
    /// `FCGI_UNKNOWN_ROLE`.
    Refused,
    /// It costs the connection.
    Closed,
}

/// Which versions a record may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 1.
    One,
    /// 1 and above.
    Positive,
    /// Any.
    All,
}

/// What becomes of a name-value pair that is in two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitPairs {
    /// It is put together again.
    Joined,
    /// It costs the connection.
    Refused,
    /// Its first part makes a shorter pair, and the rest is read as further ones.
    Misread,
}

/// What application statuses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppStatus {
    /// As the behavior says.
    AsSet,
    /// As the behavior says, and when it says 0, the last one that was not 0.
    Sticky,
    /// Always 0.
    Zero,
}

/// How an application ends a connection without `FCGI_KEEP_CONN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// It ends its own direction behind the first answer, and waits for the Web server to close.
    HalfCloses,
    /// The same, behind the last answer.
    HalfClosesAtLast,
    /// It closes behind the first answer.
    Closes,
}

/// As FastCGI 1.0 has it, multiplexing.
impl Default for Details {
    fn default() -> Self {
        Self {
            multiplexes: true,
            starts: Starts::WithParams,
            reads: Reads::Always,
            second_begin: SecondBegin::CantMultiplex,
            out_of_turn: OutOfTurn::Ignored,
            outputs: Outputs::StdoutEnded,
            values: Values::Pairs(vec![(MPXS_CONNS, "1")]),
            values_need_a_byte: false,
            unknown_type: UnknownType::Answered,
            abort: Abort::Ends,
            all_roles: true,
            unknown_role: UnknownRole::Refused,
            versions: Versions::One,
            refuses_with: CloseKind::Fin,
            serves_id_zero: true,
            compares_ids: true,
            knows_only_id_one: false,
            holds_ids: false,
            split_pairs: SplitPairs::Joined,
            max_record_len: usize::MAX,
            app_status: AppStatus::AsSet,
            not_kept: NotKept::HalfCloses,
            loses_what_follows: false,
            record_len: MAX_ALIGNED_CONTENT_LEN,
            workers: None,
        }
    }
}
