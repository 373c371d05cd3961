//! When a request may be sent again.

/// When the client may send a request again on its own: never, if it cannot have run, or if it may run twice.
///
/// Each variant includes the ones before it. A request is never sent again after output arrived, and at most
/// [`Config::max_retries`](crate::Config::max_retries) times. If its body cannot be [rewound](crate::Body#rewinding), it is
/// sent again only if no byte of it was sent. A failed connect is not an attempt. Whatever the variant, the request
/// then waits for another server, or for [`Config::connect_retry_timeout`](crate::Config::connect_retry_timeout).
///
/// Before a request that must not run twice is sent on a reused connection, the socket is read once. If the application
/// has closed it by then, the request goes to another connection. The guide has [all
/// cases](crate::guide::failure#what-the-client-sends-again).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Retry {
    /// The request is never sent again. The first failure is reported.
    Never,
    /// The request is sent again if the application cannot have acted on it: no byte was handed to the transport, or
    /// the application rejected it (`FCGI_CANT_MPX_CONN`, `FCGI_OVERLOADED`). For requests that must not run twice.
    IfNotProcessed,
    /// [`IfStale`](Self::IfStale) if `REQUEST_METHOD` is idempotent (RFC 9110, 9.2.2: GET, HEAD, OPTIONS, TRACE, PUT,
    /// DELETE), otherwise [`IfNotProcessed`](Self::IfNotProcessed).
    #[default]
    ByMethod,
    /// The request is also sent again, once, if a *reused* connection was lost without a byte of a response within
    /// [`Config::stale_window`](crate::Config::stale_window) after the last byte of the request was sent. It is sent on
    /// a connection opened after the loss. Usually the application had closed the connection while it was idle, but
    /// this is not proven: the request may run twice.
    IfStale,
    /// The request is also sent again if a *new* connection was lost in the same way, or a shared one on which other
    /// requests were answered; once in all. For requests that may run twice.
    IfUnanswered,
}
