//! The time limits of all connections of a loop. Each connection has one entry, which is moved only when it would
//! expire too late.

use std::collections::BTreeSet;
use std::time::Instant;

/// When to look at which connection.
///
/// A deadline moves away with each byte. Its entry then stays where it is: it expires early once and is inserted again.
/// So traffic does not touch the data structure.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: BTreeSet<(Instant, usize)>,
}

/// A connection's copy of the time of its entry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Armed(Option<Instant>);

impl Timers {
    /// Makes sure that `key` expires by `due` or earlier.
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

    /// The next expired key. Its entry is removed: call [`Armed::fired`].
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
