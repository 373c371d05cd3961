//! The events that a client reports, and the handles of requests and connections.

use crate::error::Failure;
use crate::report::Report;

/// The embedder's number for a request, which each event of the request contains.
///
/// A tag is for a request what `mio::Token` is for a socket. The client never interprets it, and it need not be unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u64);

/// A submitted request.
///
/// The handle becomes stale when the request has ended. A command with a stale handle does nothing, or returns
/// [`StdinError::Gone`](crate::StdinError::Gone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestHandle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A transport connection of an [`Engine`](crate::Engine).
///
/// The handle becomes stale when the connection is closed. A call with a stale handle has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionHandle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnectionHandle {
    /// A small number that no other open connection of this engine has, to index a table of the driver. Later
    /// connections use it again.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// Something that happened to a request.
///
/// `poll_event` returns an `Event<&[u8]>`, which borrows its output from the read buffer until the next `poll_event`.
/// An [`OwnedEvent`] owns its output, for tests and for other threads.
///
/// Each request has any number of [`Stdout`](EventKind::Stdout) and [`Stderr`](EventKind::Stderr) events, at most one
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
    /// The request that this event belongs to. After [`EventKind::End`] the handle is stale.
    pub request: RequestHandle,
    /// The tag passed to `submit` with this request.
    pub tag: Tag,
    /// What happened.
    pub kind: EventKind<B>,
}

/// What happened to a request. `B` is the type of its output: `&[u8]` or `Vec<u8>`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind<B> {
    /// Bytes of `FCGI_STDOUT`: the response. Never empty. Each piece is reported as it arrived and is no longer than
    /// the read buffer.
    Stdout(B),
    /// Bytes of `FCGI_STDERR`, usually lines for a log. Never empty. They do not mean that the request failed.
    Stderr(B),
    /// The application has ended `FCGI_STDOUT`: no more of it follows. The request continues until `End`, with stderr
    /// or with work after the response. Not every application sends this; php-fpm never does.
    StdoutEnd,
    /// `write_stdin` took fewer bytes than it was offered, and takes more now. Reported once for each time that the
    /// buffer was full, and never after `finish_stdin`.
    StdinReady,
    /// The answer to `get_values`. The `End` of this `get_values` follows.
    Values(ServerValues),
    /// The request has ended, completed or failed. This is its last event.
    End(Outcome),
}

/// An [`Event`] that owns its output.
pub type OwnedEvent = Event<Vec<u8>>;

/// Whether a request completed (`FCGI_REQUEST_COMPLETE`), or how it failed.
pub type Outcome = Result<Completion, Failure>;

/// A request that the application ended with `FCGI_REQUEST_COMPLETE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// The application status (FastCGI 1.0, 5.5). Do not rely on it: php-fpm always reports 0, and libfcgi repeats the
    /// status of an earlier request.
    pub app_status: u32,
    /// The times, bytes and retries of the request.
    pub report: Report,
}

impl Completion {
    /// A completion as the client reports it, for tests and for code that replaces the client.
    #[must_use]
    pub const fn new(app_status: u32, report: Report) -> Self {
        Self { app_status, report }
    }
}

/// The capabilities that a server reports (`FCGI_GET_VALUES_RESULT`, FastCGI 1.0, 4.1). `None`: the server did not
/// report the value, or it is not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerValues {
    /// `FCGI_MAX_CONNS`: the most transport connections that the application accepts at a time.
    pub max_conns: Option<u32>,
    /// `FCGI_MAX_REQS`: the most requests that the application accepts at a time.
    pub max_reqs: Option<u32>,
    /// `FCGI_MPXS_CONNS`: whether several requests may share a connection.
    pub multiplexes: Option<bool>,
}

impl<B> Event<B> {
    /// An event as the client reports it, for tests and for code that replaces the client.
    #[must_use]
    pub const fn new(request: RequestHandle, tag: Tag, kind: EventKind<B>) -> Self {
        Self { request, tag, kind }
    }

    /// The times, bytes and retries of the request. `Some` only for [`End`](EventKind::End), whether the request
    /// completed or failed.
    #[must_use]
    pub const fn report(&self) -> Option<&Report> {
        match &self.kind {
            EventKind::End(Ok(completion)) => Some(&completion.report),
            EventKind::End(Err(failure)) => Some(&failure.report),
            _ => None,
        }
    }

    /// Converts the bytes of the event.
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
    /// Copies the output, so that the event can outlive the read buffer.
    #[must_use]
    pub fn into_owned(self) -> OwnedEvent {
        self.map(|data| data.as_ref().to_vec())
    }
}

impl OwnedEvent {
    /// Borrows the event as `poll_event` returns it, for functions such as
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
