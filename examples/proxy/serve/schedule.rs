//! Which clients have something to do, which have something to send, and when each one's time limit ends.

use std::collections::VecDeque;
use std::time::Instant;

use super::net::timers::{Armed, Timers};

/// The order in which the clients of a loop get their turns.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    ready: VecDeque<usize>,
    unsent: Vec<usize>,
    timers: Timers,
}

/// What the schedule stores about one client.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    is_ready: bool,
    is_unsent: bool,
    armed: Armed,
}

impl Schedule {
    /// Appends a client to the queue of those that need a turn.
    pub(crate) fn enqueue(&mut self, key: usize, marks: &mut Marks) {
        if !marks.is_ready {
            marks.is_ready = true;
            self.ready.push_back(key);
        }
    }

    /// The number of clients in the queue.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The next client to get a turn. Call [`Marks::begin_turn`] for it.
    pub(crate) fn pop_ready(&mut self) -> Option<usize> {
        self.ready.pop_front()
    }

    /// Marks a client to be sent to at the end of the turn.
    pub(crate) fn note_unsent(&mut self, key: usize, marks: &mut Marks) {
        if !marks.is_unsent {
            marks.is_unsent = true;
            self.unsent.push(key);
        }
    }

    /// The clients to send to now. Call [`Marks::begin_sending`] for each.
    pub(crate) fn take_unsent(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.unsent)
    }

    /// Gives the list back for reuse. Clients marked while sending stay marked.
    pub(crate) fn give_back_unsent(&mut self, mut list: Vec<usize>) {
        list.clear();
        list.append(&mut self.unsent);
        self.unsent = list;
    }

    /// Makes sure that a client is looked at by `due`.
    pub(crate) fn arm(&mut self, key: usize, marks: &mut Marks, due: Option<Instant>) {
        self.timers.arm(key, &mut marks.armed, due);
    }

    /// The next client with an expired timer. Call [`Marks::timer_fired`] for it.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        self.timers.pop(now)
    }

    /// When the next timer expires.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Removes the timer of a client that is gone. Its key may still be in the lists: there it is skipped, or belongs
    /// to the next client that gets the key.
    pub(crate) fn remove(&mut self, key: usize, marks: &mut Marks) {
        self.timers.disarm(key, &mut marks.armed);
    }
}

impl Marks {
    /// The client is in the queue of those that need a turn.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    pub(crate) fn begin_turn(&mut self) {
        self.is_ready = false;
    }

    pub(crate) fn begin_sending(&mut self) {
        self.is_unsent = false;
    }

    pub(crate) fn timer_fired(&mut self) {
        self.armed.fired();
    }
}
