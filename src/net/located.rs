//! Events whose data is a place in the read buffer, not yet a borrow of it.

use std::ops::Range;

use super::read_buf::ReadBuf;
use crate::event::{Event, RequestHandle, Tag};

/// An event whose data is a range of the read buffer: this is what lets a loop over borrowed octets return
/// from its middle.
pub(super) enum Located {
    Stdout(RequestHandle, Tag, Range<usize>),
    Stderr(RequestHandle, Tag, Range<usize>),
    Other(Event<'static>),
}

impl Located {
    /// An event whose data, if any, is at the start of the buffer.
    pub(super) fn at_start(event: Event<'_>) -> Self {
        match event {
            Event::Stdout { request, tag, data } => Self::Stdout(request, tag, 0..data.len()),
            Event::Stderr { request, tag, data } => Self::Stderr(request, tag, 0..data.len()),
            Event::StdoutEnd { request, tag } => Self::Other(Event::StdoutEnd { request, tag }),
            Event::StdinReady { request, tag } => Self::Other(Event::StdinReady { request, tag }),
            Event::Values {
                request,
                tag,
                values,
            } => Self::Other(Event::Values {
                request,
                tag,
                values,
            }),
            Event::End {
                request,
                tag,
                outcome,
            } => Self::Other(Event::End {
                request,
                tag,
                outcome,
            }),
            Event::ShutDown => Self::Other(Event::ShutDown),
        }
    }

    pub(super) fn lend(self, buf: &ReadBuf) -> Event<'_> {
        match self {
            Self::Stdout(request, tag, range) => {
                let data = buf.octets(range);
                Event::Stdout { request, tag, data }
            }
            Self::Stderr(request, tag, range) => {
                let data = buf.octets(range);
                Event::Stderr { request, tag, data }
            }
            Self::Other(event) => event,
        }
    }
}
