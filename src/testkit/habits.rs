//! How applications differ where FastCGI leaves them free, or where they take the liberty.
//!
//! The figures are observations of php-fpm 8.2, libfcgi 2.4, Go 1.19's net/http/fcgi and flup 1.0 for
//! Python 3. Not modelled: a name-value pair split over two records, versions other than 1.

/// What an application does by habit, whatever its script says.
///
/// | habit                       | [`ideal`] | [`php_fpm`] | [`libfcgi`] | [`go`] | [`flup`] |
/// |-----------------------------|-----------|-------------|-------------|--------|----------|
/// | requests on a connection    | many      | one         | one         | many   | one, or many |
/// | empty `FCGI_STDOUT` at the end | yes    | never       | yes         | yes    | yes      |
/// | `FCGI_GET_VALUES`           | MPXS 1    | MPXS 0      | all, if an octet follows | MPXS 1, then an empty one | empty |
/// | `FCGI_ABORT_REQUEST`        | end       | ignored     | end, close  | end, output later | never ends |
/// | application status          | as set    | always 0    | sticks      | 0      | as set   |
///
/// [`ideal`]: Habits::ideal
/// [`php_fpm`]: Habits::php_fpm
/// [`libfcgi`]: Habits::libfcgi
/// [`go`]: Habits::go
/// [`flup`]: Habits::flup
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Habits {
    /// Serves several requests on a connection at a time.
    pub multiplexes: bool,
    /// What becomes of a second request where it does not.
    pub second_begin: SecondBegin,
    /// Sends an empty `FCGI_STDOUT` before `FCGI_END_REQUEST`; if not, it never sends one.
    pub ends_stdout: bool,
    /// The body is complete with `CONTENT_LENGTH` octets, not with the empty `FCGI_STDIN`.
    pub counts_stdin: bool,
    /// The answer to `FCGI_GET_VALUES`.
    pub values: Values,
    /// The answer to a management record of another type.
    pub answers_unknown_type: bool,
    /// What `FCGI_ABORT_REQUEST` does.
    pub abort: Abort,
    /// Serves Authorizers and Filters.
    pub all_roles: bool,
    /// What becomes of a request for a role it does not serve.
    pub unknown_role: UnknownRole,
    /// What its application statuses are.
    pub app_status: AppStatus,
    /// Closes, even a kept connection, after an end that came before the end of `FCGI_STDIN`.
    pub closes_after_early_end: bool,
    /// Most content of one `FCGI_STDOUT` record.
    pub record_len: usize,
    /// Connections served at a time; others wait, connected but not read. `None`: any number.
    pub workers: Option<usize>,
}

/// What becomes of a second `FCGI_BEGIN_REQUEST` on an application that serves one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondBegin {
    /// `FCGI_CANT_MPX_CONN`, and the first request goes on.
    CantMultiplex,
    /// The same, but the first request's body is taken to end there.
    CantMultiplexCutsBody,
    /// The first request's body ends there, and the connection is closed after its answer.
    EndsBody,
}

/// The answer to `FCGI_GET_VALUES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// None, ever.
    Silent,
    /// These pairs.
    Pairs(Vec<(&'static str, &'static str)>),
    /// These pairs, then a second result without any.
    PairsAndEmpty(Vec<(&'static str, &'static str)>),
    /// `FCGI_UNKNOWN_TYPE`.
    UnknownType,
    /// The connection is closed.
    Close,
}

/// What `FCGI_ABORT_REQUEST` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Nothing.
    Ignored,
    /// The request ends at once; its script is dropped.
    Ends,
    /// The same before the body's end, and the connection is closed; after it, nothing.
    EndsAndCloses,
    /// The request ends at once before the body's end, and its script runs on, with a second end; after it, nothing.
    EndsAndRunsOn,
    /// The request never ends.
    NeverEnds,
}

/// What becomes of a request for a role that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownRole {
    /// `FCGI_UNKNOWN_ROLE`.
    Refused,
    /// The connection is closed.
    Closed,
    /// The connection is reset.
    Reset,
}

/// What application statuses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppStatus {
    /// As the script says.
    AsSet,
    /// As the script says, and when it says 0, the last one that was not 0.
    Sticky,
    /// Always 0.
    Zero,
}

impl Habits {
    /// As FastCGI 1.0 has it, multiplexing.
    #[must_use]
    pub fn ideal() -> Self {
        Self {
            multiplexes: true,
            second_begin: SecondBegin::CantMultiplex,
            ends_stdout: true,
            counts_stdin: false,
            values: Values::Pairs(vec![(crate::wire::MPXS_CONNS, "1")]),
            answers_unknown_type: true,
            abort: Abort::Ends,
            all_roles: true,
            unknown_role: UnknownRole::Refused,
            app_status: AppStatus::AsSet,
            closes_after_early_end: false,
            record_len: crate::wire::MAX_ALIGNED_CONTENT_LEN,
            workers: None,
        }
    }

    /// php-fpm with so many children.
    #[must_use]
    pub fn php_fpm(workers: usize) -> Self {
        Self {
            multiplexes: false,
            second_begin: SecondBegin::EndsBody,
            ends_stdout: false,
            counts_stdin: true,
            values: Values::Pairs(vec![(crate::wire::MPXS_CONNS, "0")]),
            answers_unknown_type: false,
            abort: Abort::Ignored,
            unknown_role: UnknownRole::Reset,
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
            second_begin: SecondBegin::CantMultiplexCutsBody,
            values: Values::Pairs(vec![
                (crate::wire::MAX_CONNS, "1"),
                (crate::wire::MAX_REQS, "1"),
                (crate::wire::MPXS_CONNS, "0"),
            ]),
            abort: Abort::EndsAndCloses,
            unknown_role: UnknownRole::Closed,
            app_status: AppStatus::Sticky,
            closes_after_early_end: true,
            workers: Some(workers),
            ..Self::ideal()
        }
    }

    /// Go's net/http/fcgi.
    #[must_use]
    pub fn go() -> Self {
        Self {
            values: Values::PairsAndEmpty(vec![(crate::wire::MPXS_CONNS, "1")]),
            answers_unknown_type: false,
            abort: Abort::EndsAndRunsOn,
            all_roles: false,
            app_status: AppStatus::Zero,
            ..Self::ideal()
        }
    }

    /// flup for Python 3, one request at a time.
    #[must_use]
    pub fn flup() -> Self {
        Self {
            multiplexes: false,
            values: Values::Pairs(Vec::new()),
            abort: Abort::NeverEnds,
            all_roles: false,
            ..Self::ideal()
        }
    }

    /// flup with `multiplexed=True`.
    #[must_use]
    pub fn flup_multiplexed() -> Self {
        Self {
            multiplexes: true,
            ..Self::flup()
        }
    }
}

impl Default for Habits {
    fn default() -> Self {
        Self::ideal()
    }
}
