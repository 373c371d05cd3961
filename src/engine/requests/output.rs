//! The output of a request: how much of it has come, and what is buffered while the request is paused.

use super::output_buffer::{OutputBuffer, Taken};
use crate::event::{EventKind, Outcome};
use crate::report::Report;

#[derive(Debug, Default)]
pub(crate) struct Output {
    stage: Stage,
    is_paused: bool,
    /// Whether the buffer has reached the limit for one request.
    is_full: bool,
    /// Bytes of output received.
    received: u64,
    buffer: Option<Box<OutputBuffer>>,
}

/// The stage of the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Nothing,
    Begun,
    Ended,
}

/// The stream of a piece of output.
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

/// The contribution of a request's output to the budget of its connection.
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

    /// Whether part of the response has come.
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

    /// Whether new output is buffered rather than delivered: the request is paused, or was paused and its buffer is not
    /// closed.
    #[inline]
    pub(super) fn is_buffering(&self) -> bool {
        self.is_paused || self.buffer.is_some()
    }

    /// Whether there is a buffer, which may be empty.
    pub(super) fn has_buffer(&self) -> bool {
        self.buffer.is_some()
    }

    /// Whether the buffer has output that was not taken.
    #[inline]
    pub(super) fn is_unread(&self) -> bool {
        self.buffer.as_ref().is_some_and(|it| !it.is_empty())
    }

    /// The length of the buffer in bytes, bookkeeping included.
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

    /// Pauses or resumes. Returns whether that is a change.
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

    /// Buffers a piece of output. Returns the bytes added, and all bytes buffered.
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

    /// Stores the outcome, to be reported after the output.
    pub(super) fn keep_outcome(&mut self, outcome: Outcome) {
        self.buffer.get_or_insert_default().set_outcome(outcome);
    }

    /// The report of the outcome that waits until the output was taken.
    pub(super) fn ended_report(&self) -> Option<&Report> {
        self.buffer
            .as_ref()?
            .outcome()
            .map(|outcome| match outcome {
                Ok(completion) => &completion.report,
                Err(failure) => &failure.report,
            })
    }

    /// Notes that the buffer is full. Returns whether that is a change.
    pub(super) fn fill(&mut self) -> bool {
        !std::mem::replace(&mut self.is_full, true)
    }

    /// Notes that the buffer is no longer full, or that the request has left its connection. Returns whether that is a
    /// change.
    #[inline]
    pub(super) fn unfill(&mut self) -> bool {
        std::mem::take(&mut self.is_full)
    }

    /// Takes the next piece out of the buffer, as much as fits.
    ///
    /// # Panics
    /// When `scratch` is empty and a piece of output is next.
    pub(super) fn take(&mut self, scratch: &mut [u8]) -> Taken {
        let Some(buffer) = &mut self.buffer else {
            return Taken::Nothing;
        };
        assert!(
            !scratch.is_empty() || !buffer.is_output_next(),
            "poll_pending was given an empty scratch, and output is to be copied to it"
        );
        buffer.take(scratch)
    }

    /// Closes the empty buffer: output is delivered directly again. Returns the outcome if it was waiting for that.
    pub(super) fn close_buffer(&mut self) -> Option<Outcome> {
        self.buffer.take()?.into_outcome()
    }

    /// Drops the buffered output and ends the pause.
    pub(super) fn discard(&mut self) {
        self.is_paused = false;
        self.is_full = false;
        self.buffer = None;
    }
}
