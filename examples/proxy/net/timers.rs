//! The deadlines of all connections of a loop: one entry each, moved only when it would fire too early.

use std::collections::BTreeSet;
use std::time::Instant;

/// When to look at which connection.
///
/// A deadline that moves away, as each byte does to it, leaves its entry where it is: the entry fires early once and is
/// put in its place then. So traffic does not touch the structure.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: BTreeSet<(Instant, usize)>,
}

/// What a connection knows of its entry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Armed(Option<Instant>);

impl Timers {
    /// Sees to it that `key` is looked at by `due`.
    pub(crate) fn arm(&mut self, key: usize, armed: &mut Armed, due: Option<Instant>) {
        let Some(due) = due else {
            return;
        };
        if armed.0.is_some_and(|at| at <= due) {
            return;
        }
        self.disarm(key, armed);
        armed.0 = Some(due);
        self.entries.insert((due, key));
    }

    pub(crate) fn disarm(&mut self, key: usize, armed: &mut Armed) {
        if let Some(at) = armed.0.take() {
            self.entries.remove(&(at, key));
        }
    }

    /// The next one whose time has come; its entry is gone, which [`Armed::fired`] has to be told.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<usize> {
        let (at, key) = *self.entries.first()?;
        if at > now {
            return None;
        }
        self.entries.pop_first();
        Some(key)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|entry| entry.0)
    }
}

impl Armed {
    pub(crate) fn fired(&mut self) {
        self.0 = None;
    }
}
