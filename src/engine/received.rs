//! Events whose output is not yet a borrow.

use crate::event::{Event, RequestHandle, Tag};

/// An event that names its output by the length alone: the octets end where what was consumed ends. This lets a loop
/// over borrowed octets return from its middle, and passes an `End` on without taking it apart.
#[derive(Debug)]
pub(crate) enum Received {
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

impl Received {
    /// The event, its output at the front of `octets`.
    #[inline]
    pub(crate) fn lend_front(self, octets: &[u8]) -> Event<'_> {
        match self {
            Self::Stdout { len, .. } | Self::Stderr { len, .. } => self.lend(&octets[..len]),
            Self::Other(event) => event,
        }
    }

    /// The event, its output the last of the octets that were consumed.
    #[inline]
    pub(crate) fn lend(self, consumed: &[u8]) -> Event<'_> {
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
