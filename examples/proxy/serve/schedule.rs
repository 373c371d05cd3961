//! Which clients have something to do, which have something to send, and when to look at which.

use std::collections::VecDeque;
use std::time::Instant;

use super::net::timers::{Armed, Timers};

/// The order in which the clients of a loop have their turns.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    ready: VecDeque<usize>,
    unsent: Vec<usize>,
    timers: Timers,
}

/// What the schedule knows of one client.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    is_ready: bool,
    is_unsent: bool,
    armed: Armed,
}

impl Schedule {
    /// Gives a client a turn, after those that wait for theirs.
    pub(crate) fn enqueue(&mut self, key: usize, marks: &mut Marks) {
        if !marks.is_ready {
            marks.is_ready = true;
            self.ready.push_back(key);
        }
    }

    /// How many clients wait for a turn.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The client whose turn it is; [`Marks::begin_turn`] follows.
    pub(crate) fn pop_ready(&mut self) -> Option<usize> {
        self.ready.pop_front()
    }

    /// Has a client sent to at the end of the turn.
    pub(crate) fn note_unsent(&mut self, key: usize, marks: &mut Marks) {
        if !marks.is_unsent {
            marks.is_unsent = true;
            self.unsent.push(key);
        }
    }

    /// Those that are sent to now; [`Marks::begin_sending`] follows for each.
    pub(crate) fn take_unsent(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.unsent)
    }

    /// Gives the list back: the sending may have found more to send, which stays in it.
    pub(crate) fn give_back_unsent(&mut self, mut list: Vec<usize>) {
        list.clear();
        list.append(&mut self.unsent);
        self.unsent = list;
    }

    /// Has a client looked at by `due`.
    pub(crate) fn arm(&mut self, key: usize, marks: &mut Marks, due: Option<Instant>) {
        self.timers.arm(key, &mut marks.armed, due);
    }

    /// A client whose time has come; [`Marks::timer_fired`] follows.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        self.timers.pop(now)
    }

    /// When to look at a client next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A client has gone. In the lists, its key stands for nobody, or for the next to get it.
    pub(crate) fn forget(&mut self, key: usize, marks: &mut Marks) {
        self.timers.disarm(key, &mut marks.armed);
    }
}

impl Marks {
    /// It waits for a turn.
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
