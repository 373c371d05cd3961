//! Timers: a binary heap with at most one entry per owner, re-armed lazily.
//!
//! An owner's entry is never later than its true deadline, and usually earlier: traffic moves the true deadline without
//! touching the heap. When the entry fires, the owner computes its deadline and arms again. An entry outlives its
//! request and serves the next one in the same slot, so a steady state touches the heap once per time limit, not once
//! per request.

use std::time::Duration;

use super::time::Time;

/// The owner of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Request(u32),
    Connection(u32),
    Server(u32),
    Shutdown,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: Vec<Entry>,
    requests: Vec<u32>,
    connections: Vec<u32>,
    servers: Vec<u32>,
    shutdown: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Time,
    owner: Owner,
}

const NOWHERE: u32 = u32::MAX;

impl Timers {
    /// Makes sure that the entry of `owner` fires at `at` or earlier.
    #[inline]
    pub(super) fn arm(&mut self, owner: Owner, at: Time) {
        let place = *self.place_mut(owner);
        if place == NOWHERE {
            let end = self.heap.len();
            self.heap.push(Entry { at, owner });
            self.sift_up(end);
        } else if at < self.heap[place as usize].at {
            self.heap[place as usize].at = at;
            self.sift_up(place as usize);
        }
    }

    /// Makes sure that the entry of a request fires at the end of a limit that begins now. All limits of a request
    /// begin this way, so that no entry is needed for later ones. This costs a fifth of finding the earliest deadline.
    #[inline]
    pub(super) fn arm_limit(&mut self, now: Time, request: u32, limit: Option<Duration>) {
        if let Some(at) = limit.and_then(|limit| now.checked_add(limit)) {
            self.arm(Owner::Request(request), at);
        }
    }

    /// Removes an entry that is due and returns its owner.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Owner> {
        let first = *self.heap.first()?;
        if first.at > now {
            return None;
        }
        *self.place_mut(first.owner) = NOWHERE;
        let last = self.heap.pop()?;
        if !self.heap.is_empty() {
            self.heap[0] = last;
            self.sift_down(0);
        }
        Some(first.owner)
    }

    /// When the next entry is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.heap.first().map(|entry| entry.at)
    }

    /// The next entry.
    pub(super) fn peek(&self) -> Option<(Time, Owner)> {
        self.heap.first().map(|entry| (entry.at, entry.owner))
    }

    /// Removes the entries of requests and connections: none of them is left. The pauses of servers continue, for
    /// requests that come before they expire, and so do their checks.
    pub(super) fn clear(&mut self) {
        for entry in std::mem::take(&mut self.heap) {
            *self.place_mut(entry.owner) = NOWHERE;
            if let Owner::Server(_) = entry.owner {
                self.arm(entry.owner, entry.at);
            }
        }
    }

    /// Removes all entries: the client has shut down.
    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    #[inline(always)]
    fn place_mut(&mut self, owner: Owner) -> &mut u32 {
        let (places, index) = match owner {
            Owner::Request(index) => (&mut self.requests, index as usize),
            Owner::Connection(index) => (&mut self.connections, index as usize),
            Owner::Server(index) => (&mut self.servers, index as usize),
            Owner::Shutdown => (&mut self.shutdown, 0),
        };
        if places.len() <= index {
            places.resize(index + 1, NOWHERE);
        }
        &mut places[index]
    }

    fn sift_up(&mut self, mut child: usize) {
        let entry = self.heap[child];
        while child > 0 {
            let parent = (child - 1) / 2;
            if self.heap[parent].at <= entry.at {
                break;
            }
            self.put(child, self.heap[parent]);
            child = parent;
        }
        self.put(child, entry);
    }

    fn sift_down(&mut self, mut parent: usize) {
        let entry = self.heap[parent];
        loop {
            let mut child = 2 * parent + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.heap[child + 1].at < self.heap[child].at {
                child += 1;
            }
            if entry.at <= self.heap[child].at {
                break;
            }
            self.put(parent, self.heap[child]);
            parent = child;
        }
        self.put(parent, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        *self.place_mut(entry.owner) = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn owners_come_out_by_time_and_once() {
        let start = Time::START;
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Timers::default();
        let order = [50, 10, 40, 20, 30, 0, 60, 15];
        for (index, ms) in order.into_iter().enumerate() {
            deadlines.arm(Owner::Request(index as u32), at(ms));
        }
        assert_eq!(deadlines.pop_due(at(9)), Some(Owner::Request(5)));
        assert_eq!(deadlines.pop_due(at(9)), None);
        let mut seen = Vec::new();
        while let Some(Owner::Request(index)) = deadlines.pop_due(at(100)) {
            seen.push(order[index as usize]);
        }
        assert_eq!(seen, [10, 15, 20, 30, 40, 50, 60]);
    }

    #[test]
    fn the_earliest_comes_out_first_in_whatever_order_they_were_armed() {
        let later = |ms| Time::START + Duration::from_millis(ms);
        for step in 1..31 {
            let mut timers = Timers::default();
            for index in 0..31 {
                let owner = index * step % 31;
                timers.arm(Owner::Server(owner), later(owner.into()));
            }
            for owner in 0..31 {
                assert_eq!(timers.pop_due(later(31)), Some(Owner::Server(owner)));
            }
        }
    }

    #[test]
    fn arming_again_only_moves_an_entry_forward() {
        let start = Time::START;
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Timers::default();
        deadlines.arm(Owner::Connection(3), at(20));
        deadlines.arm(Owner::Connection(3), at(30));
        assert_eq!(deadlines.next(), Some(at(20)));
        deadlines.arm(Owner::Connection(3), at(10));
        assert_eq!(deadlines.next(), Some(at(10)));
        assert_eq!(deadlines.pop_due(at(50)), Some(Owner::Connection(3)));
        assert_eq!(deadlines.pop_due(at(50)), None);
    }

    #[test]
    fn clear_leaves_only_servers_and_owners_can_arm_again() {
        let start = Time::START;
        let later = start + Duration::from_millis(1);
        let mut deadlines = Timers::default();
        deadlines.arm(Owner::Request(0), start);
        deadlines.arm(Owner::Server(0), later);
        deadlines.arm(Owner::Shutdown, start);
        deadlines.clear();
        assert_eq!(deadlines.next(), Some(later));
        deadlines.arm(Owner::Shutdown, start);
        assert_eq!(deadlines.pop_due(later), Some(Owner::Shutdown));
        assert_eq!(deadlines.pop_due(later), Some(Owner::Server(0)));
        assert_eq!(deadlines.next(), None);
    }
}
