//! The output of a request: how far it has come, and what is kept of it while the request is paused.

use super::output_buffer::{OutputBuffer, Taken};
use crate::event::{EventKind, Outcome};

#[derive(Debug, Default)]
pub(crate) struct Output {
    stage: Stage,
    is_paused: bool,
    /// As much is kept as may be kept for one request.
    is_full: bool,
    /// Bytes of output.
    received: u64,
    buffer: Option<Box<OutputBuffer>>,
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Nothing,
    Begun,
    Ended,
}

/// Which stream a piece of output belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputKind {
    Stdout,
    Stderr,
}

impl OutputKind {
    #[inline]
    pub(crate) fn event_kind(self, len: usize) -> EventKind<usize> {
        match self {
            Self::Stdout => EventKind::Stdout(len),
            Self::Stderr => EventKind::Stderr(len),
        }
    }
}

/// What a request's output counts for on its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputWeight {
    pub(crate) is_paused: bool,
    pub(crate) is_full: bool,
    pub(crate) buffered: usize,
}

impl Output {
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether something of the response has come.
    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.stage != Stage::Nothing
    }

    /// Whether the end of `FCGI_STDOUT` has come.
    pub(crate) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether output is kept rather than delivered: the request is paused, or was and something is left.
    #[inline]
    pub(super) fn is_buffering(&self) -> bool {
        self.is_paused || self.buffer.is_some()
    }

    /// Whether there is a buffer, which may be empty.
    pub(super) fn has_buffer(&self) -> bool {
        self.buffer.is_some()
    }

    /// Whether something is kept that was not taken.
    #[inline]
    pub(super) fn is_unread(&self) -> bool {
        self.buffer.as_ref().is_some_and(|it| !it.is_empty())
    }

    /// Bytes that are kept, bookkeeping included.
    #[inline]
    pub(super) fn buffered(&self) -> usize {
        self.buffer.as_ref().map_or(0, |it| it.len())
    }

    #[inline]
    pub(crate) fn weight(&self) -> OutputWeight {
        OutputWeight {
            is_paused: self.is_paused,
            is_full: self.is_full,
            buffered: self.buffered(),
        }
    }

    /// Whether that is a change.
    pub(super) fn set_paused(&mut self, is_paused: bool) -> bool {
        std::mem::replace(&mut self.is_paused, is_paused) != is_paused
    }

    #[inline]
    pub(super) fn note(&mut self, len: usize) {
        self.received += len as u64;
        if self.stage == Stage::Nothing {
            self.stage = Stage::Begun;
        }
    }

    /// The end of `FCGI_STDOUT` has come.
    pub(super) fn end(&mut self) {
        self.stage = Stage::Ended;
    }

    /// Keeps a piece; the bytes that are kept more, and in all.
    pub(super) fn keep(&mut self, kind: OutputKind, data: &[u8]) -> (usize, usize) {
        let buffer = self.buffer.get_or_insert_default();
        let before = buffer.len();
        match kind {
            OutputKind::Stdout => buffer.stdout(data),
            OutputKind::Stderr => buffer.stderr(data),
        }
        (buffer.len() - before, buffer.len())
    }

    pub(super) fn keep_end(&mut self) {
        self.buffer.get_or_insert_default().stdout_end();
    }

    /// Keeps the outcome behind the output.
    pub(super) fn keep_outcome(&mut self, outcome: Outcome) {
        self.buffer.get_or_insert_default().set_outcome(outcome);
    }

    /// Notes that as much is kept as may be; whether that is new.
    pub(super) fn fill(&mut self) -> bool {
        !std::mem::replace(&mut self.is_full, true)
    }

    /// Less is kept than may be, or the request has left its connection; whether that is new.
    #[inline]
    pub(super) fn unfill(&mut self) -> bool {
        std::mem::take(&mut self.is_full)
    }

    /// Takes the next piece that is kept, as much as fits.
    ///
    /// # Panics
    /// When `scratch` is empty and a piece of output is next.
    pub(super) fn take(&mut self, scratch: &mut [u8]) -> Taken {
        let Some(buffer) = &mut self.buffer else {
            return Taken::Nothing;
        };
        assert!(
            !scratch.is_empty() || !buffer.needs_room(),
            "poll_event was given an empty scratch, and output is to be copied to it"
        );
        buffer.take(scratch)
    }

    /// Everything was taken: output is delivered directly again. The outcome, if it waited behind the output.
    pub(super) fn close_buffer(&mut self) -> Option<Outcome> {
        self.buffer.take()?.into_outcome()
    }

    /// Forgets what is kept, and the pause.
    pub(super) fn discard(&mut self) {
        self.is_paused = false;
        self.is_full = false;
        self.buffer = None;
    }
}
