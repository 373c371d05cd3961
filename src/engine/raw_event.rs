//! Events whose output is not yet a borrow.

use crate::event::{Event, RequestHandle, Tag};

/// An event that names its output by the length alone: the bytes end where what was consumed ends. This lets a loop
/// over borrowed bytes return from its middle, and passes an `End` on without taking it apart.
#[derive(Debug)]
pub(crate) enum RawEvent {
    Stdout {
        request: RequestHandle,
        tag: Tag,
        len: usize,
    },
    Stderr {
        request: RequestHandle,
        tag: Tag,
        len: usize,
    },
    Other(Event<'static>),
}

impl RawEvent {
    /// The event, its output at the front of `bytes`.
    #[inline]
    pub(crate) fn into_event_at_front(self, bytes: &[u8]) -> Event<'_> {
        match self {
            Self::Stdout { len, .. } | Self::Stderr { len, .. } => self.into_event(&bytes[..len]),
            Self::Other(event) => event,
        }
    }

    /// The event, its output the last of the bytes that were consumed.
    #[inline]
    pub(crate) fn into_event(self, consumed: &[u8]) -> Event<'_> {
        let last = |len| &consumed[consumed.len() - len..];
        match self {
            Self::Stdout { request, tag, len } => {
                let data = last(len);
                Event::Stdout { request, tag, data }
            }
            Self::Stderr { request, tag, len } => {
                let data = last(len);
                Event::Stderr { request, tag, data }
            }
            Self::Other(event) => event,
        }
    }
}
