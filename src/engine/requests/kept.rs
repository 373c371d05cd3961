//! The output buffered for all paused requests, and the notices for the embedder.

use std::collections::VecDeque;

use super::output::OutputKind;
use crate::event::{Outcome, RequestHandle};

/// The bytes of buffered output, with the limit for the whole client.
#[derive(Debug)]
pub(super) struct KeptBytes {
    len: usize,
    /// From this number on, connections with buffered output are not read.
    max: usize,
    /// Whether `len` has fallen below the limit since this was last taken.
    has_fallen_below: bool,
}

impl KeptBytes {
    pub(super) fn new(max: usize) -> Self {
        Self {
            len: 0,
            max,
            has_fallen_below: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn add(&mut self, more: usize) {
        self.len += more;
    }

    pub(super) fn remove(&mut self, less: usize) {
        let was_over = self.len >= self.max;
        self.len -= less;
        self.has_fallen_below |= was_over && self.len < self.max;
    }

    pub(super) fn has_fallen_below(&self) -> bool {
        self.has_fallen_below
    }

    pub(super) fn take_fallen_below(&mut self) -> bool {
        std::mem::take(&mut self.has_fallen_below)
    }
}

/// A notice about a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice {
    /// The request's pushed body takes more bytes.
    StdinReady(RequestHandle),
    /// The request is no longer paused and has buffered output.
    Output(RequestHandle),
}

/// Notices in turn. A request with more output goes to the back.
#[derive(Debug, Default)]
pub(super) struct Notices(VecDeque<Notice>);

impl Notices {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, notice: Notice) {
        self.0.push_back(notice);
    }

    pub(super) fn take(&mut self) -> Option<Notice> {
        self.0.pop_front()
    }
}

/// The result of a notice.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Output, copied to the front of the caller's buffer.
    Output {
        key: u32,
        kind: OutputKind,
        len: usize,
        /// `less` is by how much the buffered bytes went down, `left` is how many remain.
        less: usize,
        left: usize,
    },
    StdoutEnd(u32),
    /// All buffered output was taken, and the outcome was waiting for that.
    Outcome(u32, Outcome),
    /// The request's pushed body takes more bytes.
    StdinReady(u32),
}

impl Kept {
    /// The request that the notice is about.
    pub(crate) fn key(&self) -> u32 {
        match self {
            Self::Output { key, .. }
            | Self::StdoutEnd(key)
            | Self::Outcome(key, _)
            | Self::StdinReady(key) => *key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_fallen_below_the_most_once_less_than_that_is_left_and_is_told_once() {
        let mut kept = KeptBytes::new(10);
        kept.add(9);
        kept.remove(1);
        assert!(!kept.has_fallen_below(), "it was below before");
        kept.add(3);
        kept.remove(1);
        assert!(!kept.has_fallen_below(), "10 are the most");
        kept.remove(1);
        assert!(kept.has_fallen_below());
        kept.add(1);
        kept.remove(1);
        assert!(kept.has_fallen_below(), "nobody has been told");
        assert!(kept.take_fallen_below());
        assert!(!kept.has_fallen_below() && !kept.take_fallen_below());
    }
}
