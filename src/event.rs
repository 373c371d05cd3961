//! What a client reports, and the names by which requests and connections are known outside.

use crate::error::Failure;
use crate::report::Report;

/// The embedder's own number for a request, echoed in each of its events (what
/// `mio::Token` is to a socket). Never interpreted, need not be unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u64);

/// Names one submitted request. A handle whose request has ended is harmless: commands on it
/// do nothing, or say [`StdinError::Gone`](crate::StdinError::Gone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestHandle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Names one transport connection of an [`Engine`](crate::Engine). A stale one is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionHandle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnectionHandle {
    /// A small number that no other open connection of this engine has at the same time, and
    /// which later ones use again: an index for the driver's own table.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// Something that happened to a request.
///
/// The same type serves both kinds of bytes. `Event<&[u8]>` lends its output from the buffer that the output was read
/// into; this is what `poll_event` returns. [`OwnedEvent`] owns its output, for tests and for other threads.
///
/// For each request there are any number of [`Stdout`](EventKind::Stdout) and [`Stderr`](EventKind::Stderr), at most one
/// [`StdoutEnd`](EventKind::StdoutEnd), and exactly one [`End`](EventKind::End), which is the last.
///
/// ```
/// use mio_fcgi::{Event, EventKind};
///
/// fn on_event(event: Event<&[u8]>) {
///     match event.kind {
///         EventKind::Stdout(data) => println!("{} bytes for tag {}", data.len(), event.tag.0),
///         EventKind::End(Ok(_)) => println!("tag {} is complete", event.tag.0),
///         EventKind::End(Err(failure)) => println!("tag {}: {failure}", event.tag.0),
///         _ => {}
///     }
/// }
/// # let _: fn(Event<&[u8]>) = on_event;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<B> {
    /// The request that this happened to. After [`EventKind::End`] the handle is stale.
    pub request: RequestHandle,
    /// The tag that was passed to `submit` with this request.
    pub tag: Tag,
    /// What happened.
    pub kind: EventKind<B>,
}

/// What happened to a request. `B` holds the bytes of its output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind<B> {
    /// Content of `FCGI_STDOUT`, never empty. Each piece is handed on as it arrived and is no longer than the read buffer.
    Stdout(B),
    /// Content of `FCGI_STDERR`, never empty. It does not mean that the request failed.
    Stderr(B),
    /// The application has ended `FCGI_STDOUT`: no more output follows. The request itself goes on until `End`, for
    /// stderr or for work after the response. Not every application sends this; php-fpm never does.
    StdoutEnd,
    /// `write_stdin` took less than it was offered before, and takes more now. Reported once for each time that the body
    /// was full, and never after `finish_stdin`.
    StdinReady,
    /// The answer to `get_values`. Its `End` follows.
    Values(ServerValues),
    /// The request is over. This is its last event.
    End(Outcome),
}

/// An [`Event`] that owns its output.
pub type OwnedEvent = Event<Vec<u8>>;

/// How a request went: its completion (`FCGI_REQUEST_COMPLETE`), or why not.
pub type Outcome = Result<Completion, Failure>;

/// A request that the application ended with `FCGI_REQUEST_COMPLETE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// The application status (FastCGI 1.0, 5.5). For information: php-fpm always says 0, and libfcgi
    /// repeats that of an earlier request.
    pub app_status: u32,
    /// What it took.
    pub report: Report,
}

impl Completion {
    /// A completion as the client reports it, for code that stands in for the client.
    #[must_use]
    pub const fn new(app_status: u32, report: Report) -> Self {
        Self { app_status, report }
    }
}

/// What a server says of itself (`FCGI_GET_VALUES_RESULT`, FastCGI 1.0, 4.1). `None`: not said, or not
/// a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerValues {
    /// `FCGI_MAX_CONNS`: transport connections accepted at a time.
    pub max_conns: Option<u32>,
    /// `FCGI_MAX_REQS`: requests accepted at a time.
    pub max_reqs: Option<u32>,
    /// `FCGI_MPXS_CONNS`: whether requests may share a connection.
    pub multiplexes: Option<bool>,
}

impl<B> Event<B> {
    /// An event as the client reports it, for code that stands in for the client.
    #[must_use]
    pub const fn new(request: RequestHandle, tag: Tag, kind: EventKind<B>) -> Self {
        Self { request, tag, kind }
    }

    /// The figures of the request. Only an [`End`](EventKind::End) has them, whether the request succeeded or not.
    #[must_use]
    pub const fn report(&self) -> Option<&Report> {
        match &self.kind {
            EventKind::End(Ok(completion)) => Some(&completion.report),
            EventKind::End(Err(failure)) => Some(&failure.report),
            _ => None,
        }
    }

    /// The same event with its bytes replaced.
    #[inline]
    pub(crate) fn map<C>(self, bytes: impl FnOnce(B) -> C) -> Event<C> {
        let kind = match self.kind {
            EventKind::Stdout(data) => EventKind::Stdout(bytes(data)),
            EventKind::Stderr(data) => EventKind::Stderr(bytes(data)),
            EventKind::StdoutEnd => EventKind::StdoutEnd,
            EventKind::StdinReady => EventKind::StdinReady,
            EventKind::Values(values) => EventKind::Values(values),
            EventKind::End(outcome) => EventKind::End(outcome),
        };
        Event::new(self.request, self.tag, kind)
    }
}

impl<B: AsRef<[u8]>> Event<B> {
    /// Copies the output, so that the event outlives the buffer that lends it.
    #[must_use]
    pub fn into_owned(self) -> OwnedEvent {
        self.map(|data| data.as_ref().to_vec())
    }
}

impl OwnedEvent {
    /// The same event with its output lent, for functions that take what `poll_event` returns, such as
    /// [`Collector::on_event`](crate::cgi::Collector::on_event).
    #[must_use]
    pub fn as_event(&self) -> Event<&[u8]> {
        let kind = match &self.kind {
            EventKind::Stdout(data) => EventKind::Stdout(&data[..]),
            EventKind::Stderr(data) => EventKind::Stderr(&data[..]),
            EventKind::StdoutEnd => EventKind::StdoutEnd,
            EventKind::StdinReady => EventKind::StdinReady,
            EventKind::Values(values) => EventKind::Values(*values),
            EventKind::End(outcome) => EventKind::End(outcome.clone()),
        };
        Event::new(self.request, self.tag, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Delivery, Phase, RequestError};

    #[test]
    fn an_owned_event_lends_the_event_it_was_made_from() {
        let request = RequestHandle {
            index: 1,
            generation: 2,
        };
        let report = Report {
            bytes_received: 4,
            ..Report::default()
        };
        let failure = Failure::new(
            RequestError::Aborted,
            Phase::Receiving,
            Delivery::Responded,
            report,
        );
        let values = ServerValues {
            max_reqs: Some(6),
            ..ServerValues::default()
        };
        for (kind, has_report) in [
            (EventKind::Stdout(&b"bytes"[..]), None),
            (EventKind::Stderr(&b"bytes"[..]), None),
            (EventKind::StdoutEnd, None),
            (EventKind::StdinReady, None),
            (EventKind::Values(values), None),
            (EventKind::End(Ok(Completion::new(5, report))), Some(report)),
            (EventKind::End(Err(failure)), Some(report)),
        ] {
            let event = Event::new(request, Tag(3), kind);
            assert_eq!(event.report().copied(), has_report);
            assert_eq!(event.clone().into_owned().as_event(), event);
        }
    }
}
