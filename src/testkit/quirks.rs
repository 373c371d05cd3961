//! How real applications differ, where FastCGI leaves them free and where they do not keep to it.

use super::details::{
    Abort, AppStatus, Details, NotKept, OutOfTurn, Outputs, Reads, SecondBegin, SplitPairs,
    StartsWith, UnknownRole, UnknownType, Values, Versions,
};
use super::link::CloseKind;
use crate::wire::{MAX_CONNS, MAX_REQS, MPXS_CONNS};

/// How real applications differ, where FastCGI leaves them free and where they do not keep to it.
///
/// A [`Behavior`](super::Behavior) says what an application does with a request, and its quirks say how. They were
/// observed on php-fpm 8.2, libfcgi 2.4, Go 1.19's net/http/fcgi and flup 1.0 for Python 3. The repository's tests
/// compare them with these applications, byte for byte.
///
/// | quirk                         | [`ideal`] | [`php_fpm`] | [`libfcgi`] | [`go`] | [`flup`] |
/// |-------------------------------|-----------|-------------|-------------|--------|----------|
/// | requests on a connection      | many      | one         | one         | many   | one, or many |
/// | the behavior starts           | with the parameters | with the body | with the parameters | with `FCGI_STDIN` | with the parameters |
/// | empty `FCGI_STDOUT` at the end | yes      | never       | yes         | yes    | if used |
/// | `FCGI_GET_VALUES`             | MPXS 1    | MPXS 0      | all, if a byte follows | MPXS 1, then an empty one | empty |
/// | `FCGI_ABORT_REQUEST`          | end       | cuts the body | cuts the body | end, output later | nothing |
/// | a second request meanwhile    | served    | cuts the body | refused, cuts the body | served | refused, or served |
/// | a second request right after  | served    | served      | lost        | served | served |
/// | application status            | as set    | always 0    | sticks      | 0      | as set |
/// | a pair in two records         | joined    | reset       | joined      | joined | misread |
/// | versions                      | 1         | from 1 on   | 1           | 1      | any |
///
/// [`ideal`]: Quirks::ideal
/// [`php_fpm`]: Quirks::php_fpm
/// [`libfcgi`]: Quirks::libfcgi
/// [`go`]: Quirks::go
/// [`flup`]: Quirks::flup
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks(Details);

impl Quirks {
    /// FastCGI 1.0 as it is specified, with multiplexing. The default.
    #[must_use]
    pub fn ideal() -> Self {
        Self(Details::default())
    }

    /// php-fpm with this many children (`pm.max_children`). A child serves one connection until that is closed.
    #[must_use]
    pub fn php_fpm(workers: usize) -> Self {
        Self(Details {
            multiplexes: false,
            starts: StartsWith::Body,
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
            ..Details::default()
        })
    }

    /// libfcgi (C, Perl, fcgiwrap) with this many processes. A process serves one connection until that is closed.
    #[must_use]
    pub fn libfcgi(workers: usize) -> Self {
        Self(Details {
            multiplexes: false,
            reads: Reads::OnDemand,
            second_begin: SecondBegin::CantMultiplexCutsBody,
            out_of_turn: OutOfTurn::CutsBody,
            outputs: Outputs::Buffered,
            values: Values::Pairs(vec![(MAX_CONNS, "1"), (MAX_REQS, "1"), (MPXS_CONNS, "0")]),
            values_need_a_byte: true,
            unknown_type: UnknownType::AnsweredWithoutContent,
            abort: Abort::OutOfTurn,
            unknown_role: UnknownRole::Closed,
            serves_id_zero: false,
            app_status: AppStatus::Sticky,
            not_kept: NotKept::Closes,
            loses_what_follows: true,
            workers: Some(workers),
            ..Details::default()
        })
    }

    /// Go's net/http/fcgi.
    #[must_use]
    pub fn go() -> Self {
        Self(Details {
            starts: StartsWith::Stdin,
            reads: Reads::UntilUnused,
            values: Values::PairsAndEmpty(vec![(MPXS_CONNS, "1")]),
            unknown_type: UnknownType::AnsweredToRequests,
            abort: Abort::EndsAndRunsOn,
            all_roles: false,
            holds_ids: true,
            app_status: AppStatus::Zero,
            not_kept: NotKept::Closes,
            ..Details::default()
        })
    }

    /// flup for Python 3, with one request on a connection at a time.
    #[must_use]
    pub fn flup() -> Self {
        Self(Details {
            multiplexes: false,
            reads: Reads::OnDemand,
            ..Self::flup_multiplexed().0
        })
    }

    /// flup for Python 3 with `multiplexed=True`.
    #[must_use]
    pub fn flup_multiplexed() -> Self {
        Self(Details {
            outputs: Outputs::EndedIfUsed,
            values: Values::Pairs(Vec::new()),
            unknown_type: UnknownType::AnsweredToManagement,
            abort: Abort::Ignored,
            all_roles: false,
            versions: Versions::All,
            split_pairs: SplitPairs::Misread,
            not_kept: NotKept::HalfClosesAtLast,
            ..Details::default()
        })
    }

    /// Changes how many connections are served at a time. Other connections are accepted, and not read until one is
    /// closed.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.0.workers = Some(workers);
        self
    }

    /// Changes whether several requests are served on a connection at a time. `FCGI_GET_VALUES` is then answered with
    /// `FCGI_MPXS_CONNS` of 1 or 0 and no other value.
    #[must_use]
    pub fn with_multiplexing(mut self, multiplexes: bool) -> Self {
        self.0.multiplexes = multiplexes;
        let value = if multiplexes { "1" } else { "0" };
        self.0.values = Values::Pairs(vec![(MPXS_CONNS, value)]);
        self
    }

    /// Changes the most bytes of content that a record of output has (0 counts as 1). Default: 65,528.
    #[must_use]
    pub fn with_record_len(mut self, len: usize) -> Self {
        self.0.record_len = len;
        self
    }

    pub(super) fn into_details(self) -> Details {
        self.0
    }
}

// Not covered by semantic versioning: see `internals`.
#[doc(hidden)]
impl Quirks {
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.0
    }

    pub fn details_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}
