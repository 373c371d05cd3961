//! Events whose output is not borrowed yet.

use crate::event::{Event, EventKind};

/// An event that names its output by its length alone: the bytes end where the consumed input ends. This lets a loop
/// over borrowed bytes return from its middle.
pub(crate) type RawEvent = Event<usize>;

impl RawEvent {
    /// Whether it is output, which changes nothing that [`settle`](super::Engine::settle) looks at.
    #[inline]
    pub(super) fn is_output(&self) -> bool {
        matches!(self.kind, EventKind::Stdout(_) | EventKind::Stderr(_))
    }

    /// The event, its output at the front of `bytes`.
    #[inline]
    pub(crate) fn into_event_at_front(self, bytes: &[u8]) -> Event<&[u8]> {
        self.map(|len| &bytes[..len])
    }

    /// The event, with its output at the end of the consumed bytes.
    #[inline]
    pub(crate) fn into_event(self, consumed: &[u8]) -> Event<&[u8]> {
        self.map(|len| &consumed[consumed.len() - len..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{RequestHandle, Tag};

    #[test]
    fn only_output_changes_nothing_that_is_to_be_settled() {
        let request = RequestHandle {
            index: 0,
            generation: 1,
        };
        let of = |kind| RawEvent::new(request, Tag(0), kind).is_output();
        assert!(of(EventKind::Stdout(1)) && of(EventKind::Stderr(1)));
        assert!(!of(EventKind::StdinReady));
    }
}
