//! How applications differ where FastCGI leaves them free, or where they take the liberty.
//!
//! The figures are observations of php-fpm 8.2, libfcgi 2.4, Go 1.19's net/http/fcgi and flup 1.0 for
//! Python 3. The repository's tests hold these quirks against those applications, bytes for bytes.

use super::link::CloseKind;
use crate::wire::{MAX_CONNS, MAX_REQS, MPXS_CONNS};

/// What an application does by quirk, whatever its behavior says.
///
/// | quirk                         | [`ideal`] | [`php_fpm`] | [`libfcgi`] | [`go`] | [`flup`] |
/// |-------------------------------|-----------|-------------|-------------|--------|----------|
/// | requests on a connection      | many      | one         | one         | many   | one, or many |
/// | the behavior starts             | with the parameters | with the body | with the parameters | with `FCGI_STDIN` | with the parameters |
/// | empty `FCGI_STDOUT` at the end | yes      | never       | yes         | yes    | if used |
/// | `FCGI_GET_VALUES`             | MPXS 1    | MPXS 0      | all, if a byte follows | MPXS 1, then an empty one | empty |
/// | `FCGI_ABORT_REQUEST`          | end       | cuts the body | cuts the body | end, output later | nothing |
/// | a second request meanwhile    | served    | cuts the body | refused, cuts the body | served | refused, or served |
/// | a second request right behind | served    | served      | lost        | served | served |
/// | application status            | as set    | always 0    | sticks      | 0      | as set |
/// | a pair in two records         | joined    | reset       | joined      | joined | misread |
/// | versions                      | 1         | from 1 on   | 1           | 1      | any |
///
/// [`ideal`]: Quirks::ideal
/// [`php_fpm`]: Quirks::php_fpm
/// [`libfcgi`]: Quirks::libfcgi
/// [`go`]: Quirks::go
/// [`flup`]: Quirks::flup
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quirks {
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
    pub values_need_an_byte: bool,
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

impl Quirks {
    /// As FastCGI 1.0 has it, multiplexing.
    #[must_use]
    pub fn ideal() -> Self {
        Self {
            multiplexes: true,
            starts: Starts::WithParams,
            reads: Reads::Always,
            second_begin: SecondBegin::CantMultiplex,
            out_of_turn: OutOfTurn::Ignored,
            outputs: Outputs::StdoutEnded,
            values: Values::Pairs(vec![(MPXS_CONNS, "1")]),
            values_need_an_byte: false,
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
            record_len: crate::wire::MAX_ALIGNED_CONTENT_LEN,
            workers: None,
        }
    }

    /// php-fpm with so many children.
    #[must_use]
    pub fn php_fpm(workers: usize) -> Self {
        Self {
            multiplexes: false,
            starts: Starts::WithBody,
            reads: Reads::OnDemand,
            second_begin: SecondBegin::OutOfTurn,
            out_of_turn: OutOfTurn::EmptiesBody,
            outputs: Outputs::NeverEnded,
            values: Values::Pairs(vec![(MPXS_CONNS, "0")]),
            unknown_type: UnknownType::OutOfTurn,
            abort: Abort::OutOfTurn,
            unknown_role: UnknownRole::Closed,
            versions: Versions::Positive,
            refuses_with: CloseKind::Reset,
            compares_ids: false,
            split_pairs: SplitPairs::Refused,
            max_record_len: crate::wire::MAX_CONTENT_LEN,
            app_status: AppStatus::Zero,
            workers: Some(workers),
            ..Self::ideal()
        }
    }

    /// libfcgi (C, Perl, fcgiwrap) with so many processes.
    #[must_use]
    pub fn libfcgi(workers: usize) -> Self {
        Self {
            multiplexes: false,
            reads: Reads::OnDemand,
            second_begin: SecondBegin::CantMultiplexCutsBody,
            out_of_turn: OutOfTurn::CutsBody,
            outputs: Outputs::Buffered,
            values: Values::Pairs(vec![(MAX_CONNS, "1"), (MAX_REQS, "1"), (MPXS_CONNS, "0")]),
            values_need_an_byte: true,
            unknown_type: UnknownType::AnsweredWithoutContent,
            abort: Abort::OutOfTurn,
            unknown_role: UnknownRole::Closed,
            serves_id_zero: false,
            app_status: AppStatus::Sticky,
            not_kept: NotKept::Closes,
            loses_what_follows: true,
            workers: Some(workers),
            ..Self::ideal()
        }
    }

    /// Go's net/http/fcgi.
    #[must_use]
    pub fn go() -> Self {
        Self {
            starts: Starts::WithStdin,
            reads: Reads::UntilUnused,
            values: Values::PairsAndEmpty(vec![(MPXS_CONNS, "1")]),
            unknown_type: UnknownType::AnsweredToRequests,
            abort: Abort::EndsAndRunsOn,
            all_roles: false,
            holds_ids: true,
            app_status: AppStatus::Zero,
            not_kept: NotKept::Closes,
            ..Self::ideal()
        }
    }

    /// flup for Python 3, one request at a time.
    #[must_use]
    pub fn flup() -> Self {
        Self {
            multiplexes: false,
            reads: Reads::OnDemand,
            ..Self::flup_multiplexed()
        }
    }

    /// flup with `multiplexed=True`.
    #[must_use]
    pub fn flup_multiplexed() -> Self {
        Self {
            outputs: Outputs::EndedIfUsed,
            values: Values::Pairs(Vec::new()),
            unknown_type: UnknownType::AnsweredToManagement,
            abort: Abort::Ignored,
            all_roles: false,
            versions: Versions::All,
            split_pairs: SplitPairs::Misread,
            not_kept: NotKept::HalfClosesAtLast,
            ..Self::ideal()
        }
    }
}

impl Default for Quirks {
    fn default() -> Self {
        Self::ideal()
    }
}
