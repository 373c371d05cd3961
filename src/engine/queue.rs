//! The queue of waiting requests: first in, first out, linked through the exchanges themselves.
//!
//! It has two lines. The *urgent* one is served first: questions of the embedder's, and requests that are sent again,
//! which take a new connection only. What the others can use they do not wait for.

use slab::Slab;

use super::exchange::{Exchange, Life};

/// Ends of the lists; the links are in [`Life::Waiting`], so leaving from the middle costs nothing.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: [Ends; 2],
}

#[derive(Debug, Default)]
struct Ends {
    first: Option<u32>,
    last: Option<u32>,
    len: usize,
}

/// One of the queue's two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Urgent,
    Usual,
}

impl Queue {
    /// The first of all.
    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        self.first_of(Line::Urgent)
            .or_else(|| self.first_of(Line::Usual))
    }

    /// The first of a line.
    #[inline]
    pub(super) fn first_of(&self, line: Line) -> Option<u32> {
        self.lines[line as usize].first
    }

    /// The last of all, those that are sent again counted after the others.
    pub(super) fn last(&self) -> Option<u32> {
        let [urgent, usual] = &self.lines;
        urgent.first.or(usual.last)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        let [urgent, usual] = &self.lines;
        urgent.first.is_none() && usual.first.is_none()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        let [urgent, usual] = &self.lines;
        urgent.len + usual.len
    }

    /// The length of a line.
    #[inline]
    pub(super) fn len_of(&self, line: Line) -> usize {
        self.lines[line as usize].len
    }

    /// Appends to the usual line.
    pub(super) fn push_back(&mut self, exchanges: &mut Slab<Exchange>, key: u32) {
        let ends = &mut self.lines[Line::Usual as usize];
        let before = ends.last.replace(key);
        match before {
            Some(last) => link(exchanges, last, |links| links.1 = Some(key)),
            None => ends.first = Some(key),
        }
        ends.len += 1;
        exchanges[key as usize].life = Life::Waiting {
            before,
            after: None,
            line: Line::Usual,
        };
    }

    /// Puts an exchange in front of all.
    pub(super) fn push_front(&mut self, exchanges: &mut Slab<Exchange>, key: u32) {
        let ends = &mut self.lines[Line::Urgent as usize];
        let after = ends.first.replace(key);
        match after {
            Some(first) => link(exchanges, first, |links| links.0 = Some(key)),
            None => ends.last = Some(key),
        }
        ends.len += 1;
        exchanges[key as usize].life = Life::Waiting {
            before: None,
            after,
            line: Line::Urgent,
        };
    }

    /// Takes a waiting exchange out; its state is the caller's to set.
    pub(super) fn remove(&mut self, exchanges: &mut Slab<Exchange>, key: u32) {
        let Life::Waiting {
            before,
            after,
            line,
        } = exchanges[key as usize].life
        else {
            return;
        };
        let ends = &mut self.lines[line as usize];
        match before {
            Some(before) => link(exchanges, before, |links| links.1 = after),
            None => ends.first = after,
        }
        match after {
            Some(after) => link(exchanges, after, |links| links.0 = before),
            None => ends.last = before,
        }
        ends.len -= 1;
    }

    /// The one behind `key` in its line.
    pub(super) fn after_in_line(&self, exchanges: &Slab<Exchange>, key: u32) -> Option<u32> {
        match exchanges[key as usize].life {
            Life::Waiting { after, .. } => after,
            Life::Collecting { .. }
            | Life::Active { .. }
            | Life::Holding
            | Life::Aborting { .. } => None,
        }
    }

    /// The one behind `key`, whichever line it is in.
    pub(super) fn after(&self, exchanges: &Slab<Exchange>, key: u32) -> Option<u32> {
        match exchanges[key as usize].life {
            Life::Waiting {
                after: None,
                line: Line::Urgent,
                ..
            } => self.first_of(Line::Usual),
            _ => self.after_in_line(exchanges, key),
        }
    }
}

/// Changes the links of a waiting exchange, given as (before, after).
fn link(
    exchanges: &mut Slab<Exchange>,
    key: u32,
    change: impl FnOnce(&mut (Option<u32>, Option<u32>)),
) {
    if let Life::Waiting { before, after, .. } = &mut exchanges[key as usize].life {
        let mut links = (*before, *after);
        change(&mut links);
        (*before, *after) = links;
    }
}
