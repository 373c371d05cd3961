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

/// Something that happened to a request. Output is lent from the buffer it was read into.
///
/// Per request: any number of `Stdout` and `Stderr`, at most one `StdoutEnd`, then exactly one `End`,
/// after which its handle never appears again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Bytes of `FCGI_STDOUT`, never empty, in the pieces they arrived in, none longer than the buffer that it is
    /// lent from.
    Stdout {
        /// Whose.
        request: RequestHandle,
        /// The embedder's number.
        tag: Tag,
        /// The bytes.
        data: &'a [u8],
    },
    /// Bytes of `FCGI_STDERR`, never empty. Says nothing about success.
    Stderr {
        /// Whose.
        request: RequestHandle,
        /// The embedder's number.
        tag: Tag,
        /// The bytes.
        data: &'a [u8],
    },
    /// The output is complete; the request may go on (stderr, work after the response). Not every
    /// application sends this: php-fpm never does.
    StdoutEnd {
        /// Whose.
        request: RequestHandle,
        /// The embedder's number.
        tag: Tag,
    },
    /// A pushed body that was full has room again. Once for each time it was full, never after `finish_stdin`.
    StdinReady {
        /// Whose.
        request: RequestHandle,
        /// The embedder's number.
        tag: Tag,
    },
    /// The answer to `get_values`; its `End` follows.
    Values {
        /// Whose.
        request: RequestHandle,
        /// The embedder's number.
        tag: Tag,
        /// What the server said of itself.
        values: ServerValues,
    },
    /// The request is over.
    End {
        /// Whose; stale from now on.
        request: RequestHandle,
        /// The embedder's number.
        tag: Tag,
        /// How it went.
        outcome: Outcome,
    },
    /// After `shutdown`: no request is left, and every socket is closed. Reported once.
    ShutDown,
}

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

/// An [`Event`] that owns its bytes: for tests and for handing on to another thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants and fields are those of Event")]
pub enum OwnedEvent {
    Stdout {
        request: RequestHandle,
        tag: Tag,
        data: Vec<u8>,
    },
    Stderr {
        request: RequestHandle,
        tag: Tag,
        data: Vec<u8>,
    },
    StdoutEnd {
        request: RequestHandle,
        tag: Tag,
    },
    StdinReady {
        request: RequestHandle,
        tag: Tag,
    },
    Values {
        request: RequestHandle,
        tag: Tag,
        values: ServerValues,
    },
    End {
        request: RequestHandle,
        tag: Tag,
        outcome: Outcome,
    },
    ShutDown,
}

impl Event<'_> {
    /// Copies the bytes.
    #[must_use]
    pub fn into_owned(self) -> OwnedEvent {
        match self {
            Self::Stdout { request, tag, data } => {
                let data = data.to_vec();
                OwnedEvent::Stdout { request, tag, data }
            }
            Self::Stderr { request, tag, data } => {
                let data = data.to_vec();
                OwnedEvent::Stderr { request, tag, data }
            }
            Self::StdoutEnd { request, tag } => OwnedEvent::StdoutEnd { request, tag },
            Self::StdinReady { request, tag } => OwnedEvent::StdinReady { request, tag },
            Self::Values {
                request,
                tag,
                values,
            } => OwnedEvent::Values {
                request,
                tag,
                values,
            },
            Self::End {
                request,
                tag,
                outcome,
            } => OwnedEvent::End {
                request,
                tag,
                outcome,
            },
            Self::ShutDown => OwnedEvent::ShutDown,
        }
    }

    /// The request it belongs to; `None` for [`Event::ShutDown`].
    #[must_use]
    pub fn request(&self) -> Option<RequestHandle> {
        match self {
            Self::Stdout { request, .. }
            | Self::Stderr { request, .. }
            | Self::StdoutEnd { request, .. }
            | Self::StdinReady { request, .. }
            | Self::Values { request, .. }
            | Self::End { request, .. } => Some(*request),
            Self::ShutDown => None,
        }
    }

    /// The figures of that request; only [`Event::End`] has them, whichever way it went.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::End { outcome, .. } => Some(match outcome {
                Ok(completion) => &completion.report,
                Err(failure) => &failure.report,
            }),
            _ => None,
        }
    }

    /// The tag of that request.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Stdout { tag, .. }
            | Self::Stderr { tag, .. }
            | Self::StdoutEnd { tag, .. }
            | Self::StdinReady { tag, .. }
            | Self::Values { tag, .. }
            | Self::End { tag, .. } => Some(*tag),
            Self::ShutDown => None,
        }
    }
}

impl OwnedEvent {
    /// As [`Event::request`].
    #[must_use]
    pub fn request(&self) -> Option<RequestHandle> {
        self.ids().map(|ids| ids.0)
    }

    /// As [`Event::tag`].
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.ids().map(|ids| ids.1)
    }

    fn ids(&self) -> Option<(RequestHandle, Tag)> {
        match self {
            Self::Stdout { request, tag, .. }
            | Self::Stderr { request, tag, .. }
            | Self::StdoutEnd { request, tag }
            | Self::StdinReady { request, tag }
            | Self::Values { request, tag, .. }
            | Self::End { request, tag, .. } => Some((*request, *tag)),
            Self::ShutDown => None,
        }
    }

    /// The event it was made from, its bytes lent: for what takes an [`Event`], such as
    /// [`Collector::on_event`](crate::cgi::Collector::on_event).
    #[must_use]
    pub fn as_event(&self) -> Event<'_> {
        match self {
            Self::Stdout { request, tag, data } => Event::Stdout {
                request: *request,
                tag: *tag,
                data,
            },
            Self::Stderr { request, tag, data } => Event::Stderr {
                request: *request,
                tag: *tag,
                data,
            },
            Self::StdoutEnd { request, tag } => Event::StdoutEnd {
                request: *request,
                tag: *tag,
            },
            Self::StdinReady { request, tag } => Event::StdinReady {
                request: *request,
                tag: *tag,
            },
            Self::Values {
                request,
                tag,
                values,
            } => Event::Values {
                request: *request,
                tag: *tag,
                values: *values,
            },
            Self::End {
                request,
                tag,
                outcome,
            } => Event::End {
                request: *request,
                tag: *tag,
                outcome: outcome.clone(),
            },
            Self::ShutDown => Event::ShutDown,
        }
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
        let tag = Tag(3);
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
        let ends = [Ok(Completion::new(5, report)), Err(failure)];
        for outcome in ends {
            let event = Event::End {
                request,
                tag,
                outcome,
            };
            assert_eq!(event.report(), Some(&report));
            check(&event, Some((request, tag)));
        }
        let values = ServerValues {
            max_reqs: Some(6),
            ..ServerValues::default()
        };
        let data = b"bytes";
        for event in [
            Event::Stdout { request, tag, data },
            Event::Stderr { request, tag, data },
            Event::StdoutEnd { request, tag },
            Event::StdinReady { request, tag },
            Event::Values {
                request,
                tag,
                values,
            },
        ] {
            assert_eq!(event.report(), None);
            check(&event, Some((request, tag)));
        }
        check(&Event::ShutDown, None);
    }

    fn check(event: &Event<'_>, ids: Option<(RequestHandle, Tag)>) {
        let owned = event.clone().into_owned();
        assert_eq!(owned.as_event(), *event);
        assert_eq!((event.request(), event.tag()), ids.unzip());
        assert_eq!((owned.request(), owned.tag()), ids.unzip());
    }
}
