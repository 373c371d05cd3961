//! The queue of waiting requests: first in, first out, linked through the exchanges themselves.

use slab::Slab;

use super::exchange::{Exchange, Life};

/// Ends of the list; the links are in [`Life::Waiting`], so leaving from the middle costs nothing.
#[derive(Debug, Default)]
pub(super) struct Queue {
    first: Option<u32>,
    last: Option<u32>,
    len: usize,
}

impl Queue {
    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        self.first
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push_back(&mut self, exchanges: &mut Slab<Exchange>, key: u32) {
        let before = self.last.replace(key);
        match before {
            Some(last) => link(exchanges, last, |links| links.1 = Some(key)),
            None => self.first = Some(key),
        }
        exchanges[key as usize].life = Life::Waiting {
            before,
            after: None,
        };
        self.len += 1;
    }

    pub(super) fn push_front(&mut self, exchanges: &mut Slab<Exchange>, key: u32) {
        let after = self.first.replace(key);
        match after {
            Some(first) => link(exchanges, first, |links| links.0 = Some(key)),
            None => self.last = Some(key),
        }
        exchanges[key as usize].life = Life::Waiting {
            before: None,
            after,
        };
        self.len += 1;
    }

    /// Takes a waiting exchange out; its state is the caller's to set.
    pub(super) fn remove(&mut self, exchanges: &mut Slab<Exchange>, key: u32) {
        let Life::Waiting { before, after } = exchanges[key as usize].life else {
            return;
        };
        match before {
            Some(before) => link(exchanges, before, |links| links.1 = after),
            None => self.first = after,
        }
        match after {
            Some(after) => link(exchanges, after, |links| links.0 = before),
            None => self.last = before,
        }
        self.len -= 1;
    }

    /// The one behind `key`.
    pub(super) fn after(&self, exchanges: &Slab<Exchange>, key: u32) -> Option<u32> {
        match exchanges[key as usize].life {
            Life::Waiting { after, .. } => after,
            Life::Collecting { .. }
            | Life::Active { .. }
            | Life::Holding
            | Life::Aborting { .. } => None,
        }
    }
}

/// Changes the links of a waiting exchange, given as (before, after).
fn link(
    exchanges: &mut Slab<Exchange>,
    key: u32,
    change: impl FnOnce(&mut (Option<u32>, Option<u32>)),
) {
    if let Life::Waiting { before, after } = &mut exchanges[key as usize].life {
        let mut links = (*before, *after);
        change(&mut links);
        (*before, *after) = links;
    }
}
