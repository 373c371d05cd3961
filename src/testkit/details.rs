//! Each respect in which applications differ, as data.

use super::link::CloseKind;
use crate::wire::{MAX_ALIGNED_CONTENT_LEN, MPXS_CONNS};

/// What [`Quirks`](super::Quirks) are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Whether several requests are served on a connection at a time.
    pub multiplexes: bool,
    /// When the behavior of a request starts.
    pub starts: StartsWith,
    /// When the application reads a connection.
    pub reads: Reads,
    /// What happens to a second `FCGI_BEGIN_REQUEST` on a connection, if requests are not multiplexed.
    pub second_begin: SecondBegin,
    /// What happens when a record arrives where it has no place.
    pub out_of_turn: OutOfTurn,
    /// Which output streams are ended with an empty record, and whether output is held back.
    pub outputs: Outputs,
    /// The answer to `FCGI_GET_VALUES`.
    pub values: Values,
    /// Whether the answer to `FCGI_GET_VALUES` is held back until another byte has arrived. Padding counts.
    pub values_need_a_byte: bool,
    /// The answer to a record of an unknown type.
    pub unknown_type: UnknownType,
    /// The effect of `FCGI_ABORT_REQUEST`.
    pub abort: Abort,
    /// Whether Authorizers and Filters are served, and not only Responders.
    pub all_roles: bool,
    /// What happens to a request for a role that is not served.
    pub unknown_role: UnknownRole,
    /// The versions that are accepted. A record with another one ends the connection.
    pub versions: Versions,
    /// How a connection is ended on which something arrives that is not accepted.
    pub refuses_with: CloseKind,
    /// Whether a request with ID 0 is served. If not, it ends the connection.
    pub serves_id_zero: bool,
    /// Whether requests are told apart by their IDs. If not, a record belongs to the only request of its connection.
    pub compares_ids: bool,
    /// Whether every request is taken for one with ID 1, and answered with that ID. Only for one request at a time.
    pub knows_only_id_one: bool,
    /// Whether an ID is in use until `FCGI_STDIN` has ended, instead of until the request has ended. A second
    /// `FCGI_BEGIN_REQUEST` with an ID in use then ends the connection.
    pub holds_ids: bool,
    /// What happens to a name-value pair that is in two records.
    pub split_pairs: SplitPairs,
    /// The most content and padding of one record, in bytes. A longer record ends the connection.
    pub max_record_len: usize,
    /// Which application status a request ends with.
    pub app_status: AppStatus,
    /// How a connection is ended that is not kept.
    pub not_kept: NotKept,
    /// Whether bytes are lost that were read together with the last bytes of a request and belong to the next.
    pub loses_what_follows: bool,
    /// The most content of one `FCGI_STDOUT` or `FCGI_STDERR` record that is sent, in bytes.
    pub record_len: usize,
    /// How many connections are served at a time. Others are accepted and wait unread. `None`: any number.
    pub workers: Option<usize>,
}

/// When the behavior of a request starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartsWith {
    /// When the parameters are complete.
    Params,
    /// With the first record of `FCGI_STDIN`, the empty one included.
    Stdin,
    /// When `CONTENT_LENGTH` bytes of the body have arrived, whether `FCGI_STDIN` has ended or not. If more bytes
    /// arrive, the connection is closed after the answer; if fewer arrive, the application waits.
    Body,
}

/// When an application reads a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Always.
    Always,
    /// Between requests, and while a behavior waits for the body. A behavior that goes on after its end, as a PHP
    /// script does after `fastcgi_finish_request`, keeps the next request waiting.
    OnDemand,
    /// Until bytes of a body arrive that the behavior does not wait for. They stop the whole connection.
    UntilUnused,
}

/// What happens to a second `FCGI_BEGIN_REQUEST` on a connection whose application serves one request at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondBegin {
    /// It is refused with `FCGI_CANT_MPX_CONN`, and the first request goes on.
    CantMultiplex,
    /// It is refused with `FCGI_CANT_MPX_CONN`, and the rest of the first request's body is ignored.
    CantMultiplexCutsBody,
    /// It is a record out of turn.
    OutOfTurn,
}

/// What happens when a record arrives where it has no place: a record of a type that only applications send, a record
/// of an unknown type, or a body without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfTurn {
    /// Nothing.
    Ignored,
    /// The body ends here. The request goes on with it, and the connection is closed after the answer, or at once
    /// without a request.
    CutsBody,
    /// As `CutsBody`, and the bytes of the body since its last empty record do not count.
    EmptiesBody,
}

/// Which streams an application ends with an empty record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// None.
    NeverEnded,
    /// `FCGI_STDOUT`.
    StdoutEnded,
    /// Each stream that was used, `FCGI_STDOUT` first.
    EndedIfUsed,
    /// `FCGI_STDERR` if it was used, then `FCGI_STDOUT`. Of each, up to 8 KiB are held back.
    Buffered,
}

/// The answer to `FCGI_GET_VALUES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// No answer.
    Silent,
    /// The pairs in this list that were asked for.
    Pairs(Vec<(&'static str, &'static str)>),
    /// All of these pairs, then a second result without any.
    PairsAndEmpty(Vec<(&'static str, &'static str)>),
    /// `FCGI_UNKNOWN_TYPE`.
    UnknownType,
    /// The connection is closed.
    Close,
    /// The pairs in this list that were asked for, and then the connection is closed. php-fpm before 8.3 does this, by
    /// its sources.
    PairsAndClose(Vec<(&'static str, &'static str)>),
}

/// The answer to a record of an unknown type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownType {
    /// `FCGI_UNKNOWN_TYPE`.
    Answered,
    /// `FCGI_UNKNOWN_TYPE` to a management record. Any other record is out of turn.
    AnsweredToManagement,
    /// `FCGI_UNKNOWN_TYPE` to a management record. If that has content, the connection is closed.
    AnsweredWithoutContent,
    /// `FCGI_UNKNOWN_TYPE` to a record with the ID of a request. Any other record is out of turn.
    AnsweredToRequests,
    /// It is out of turn.
    OutOfTurn,
}

/// The effect of `FCGI_ABORT_REQUEST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Nothing.
    Ignored,
    /// The request ends at once, and its behavior is dropped.
    Ends,
    /// Before the end of the body, the request ends at once, and its behavior goes on and ends it a second time. After
    /// the end of the body: nothing.
    EndsAndRunsOn,
    /// It is a record out of turn.
    OutOfTurn,
}

/// What happens to a request for a role that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownRole {
    /// It is refused with `FCGI_UNKNOWN_ROLE`.
    Refused,
    /// It ends the connection.
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

/// What happens to a name-value pair that is in two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitPairs {
    /// Its parts are joined.
    Joined,
    /// It ends the connection.
    Refused,
    /// The first part is taken for a shorter pair, and the rest for further pairs.
    Misread,
}

/// Which application status a request ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppStatus {
    /// The behavior's.
    AsSet,
    /// The behavior's, but instead of 0 the last one that was not 0.
    Sticky,
    /// Always 0.
    Zero,
}

/// How an application ends a connection without `FCGI_KEEP_CONN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// It ends its own direction after the first answer, and waits until the Web server closes the connection.
    HalfCloses,
    /// It ends its own direction after the last answer, and waits until the Web server closes the connection.
    HalfClosesAtLast,
    /// It closes the connection after the first answer.
    Closes,
}

/// As FastCGI 1.0 has it, multiplexing.
impl Default for Details {
    fn default() -> Self {
        Self {
            multiplexes: true,
            starts: StartsWith::Params,
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
