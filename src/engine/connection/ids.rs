//! The request IDs of one connection: free, live and quarantined ones.
//!
//! An ID is used again only after its `FCGI_END_REQUEST` came for a request that had been sent as a whole, and not
//! before the read that contained this record is used up: then it becomes *reusable*. The ID freed first is used first,
//! and neither the ID freed last nor the ID sent last is the next one: two requests of which one begins after the other
//! on a connection, or after the other has ended, have different IDs, so that a late record for the first is not taken
//! for one of the second.
//!
//! After an abort or an early end, an ID is quarantined for the life of the connection: Go's and flup's applications
//! send late output, and a second end, for such an ID.

use std::collections::VecDeque;

use super::KEPT;

/// The use of a request ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Used before, free now.
    Free,
    /// In use by the request with this key.
    Live(u32),
    /// The same, while the application has not heard of the ID.
    Unsent(u32),
    /// Given back before the application had heard of the ID.
    Fresh,
    /// Never used again on this connection.
    Quarantined,
}

#[derive(Debug, Default)]
pub(super) struct IdTable {
    /// The slot of ID `index + 1`. IDs beyond the list are free up to `used`; higher ones were never used.
    slots: Vec<Slot>,
    used: u16,
    /// The free IDs in the order in which they became free. Only the first `reusable` of them may
    /// be used again.
    free: VecDeque<u16>,
    reusable: u16,
    last_freed: u16,
    /// The ID of the last head that was framed.
    last_framed: u16,
    quarantined: u32,
    /// Whether the ID is always 1, for applications that know no other. There is one request at a time then.
    is_always_one: bool,
}

/// A connection with this many quarantined IDs takes no further request. This bounds the memory, 8 bytes per ID, that
/// an application can cost by ending requests early.
const MAX_QUARANTINED: u32 = 4096;

impl IdTable {
    /// Whether an ID is available for another request.
    #[inline]
    pub(super) fn has_free_id(&self) -> bool {
        let most = if self.is_always_one { 1 } else { u16::MAX };
        self.quarantined < MAX_QUARANTINED
            && (self.reusable().is_some() || self.slots.len() < usize::from(most))
    }

    /// The place in the list of an ID that was used before and may be used again. It is the first one, or the second one
    /// if the first one was sent last.
    #[inline]
    fn reusable(&self) -> Option<usize> {
        if self.is_always_one {
            return (self.reusable > 0).then_some(0);
        }
        let place = usize::from(self.free.front() == Some(&self.last_framed));
        let is_free = usize::from(self.reusable) > place && self.free.len() > place + 1;
        is_free.then_some(place)
    }

    /// Sets whether every request has ID 1. Only for a connection with one request at a time.
    pub(super) fn set_always_one(&mut self, is_always_one: bool) {
        self.is_always_one = is_always_one;
    }

    /// Allocates an ID for a request, the one freed first. `None` when no ID is available.
    #[inline]
    pub(super) fn allocate(&mut self, request: u32) -> Option<u16> {
        if let Some(place) = self.reusable() {
            self.reusable -= 1;
            let id = match place {
                0 => self.free.pop_front()?,
                _ => self.free.remove(place)?,
            };
            let slot = &mut self.slots[usize::from(id) - 1];
            *slot = match *slot {
                Slot::Fresh => Slot::Unsent(request),
                _ => Slot::Live(request),
            };
            return Some(id);
        }
        while !self.is_always_one && self.is_last(self.slots.len() + 1) {
            self.recall(self.slots.len() + 1);
        }
        let id = u16::try_from(self.slots.len() + 1).ok()?;
        // A table that was shrunk does not know all IDs that were used.
        self.slots.push(match id > self.used {
            true => Slot::Unsent(request),
            false => Slot::Live(request),
        });
        self.used = self.used.max(id);
        Some(id)
    }

    /// Whether an ID was the last one to be freed or sent.
    #[inline]
    fn is_last(&self, id: usize) -> bool {
        id == usize::from(self.last_freed) || id == usize::from(self.last_framed)
    }

    /// The head of the request with this ID is framed.
    #[inline]
    pub(super) fn note_framed(&mut self, id: u16) {
        self.last_framed = id;
        if let Some(slot) = self.slots.get_mut(usize::from(id).wrapping_sub(1))
            && let Slot::Unsent(request) = *slot
        {
            *slot = Slot::Live(request);
        }
    }

    /// The use of an ID; `None` when the application cannot know it.
    #[inline]
    pub(super) fn get(&self, id: u16) -> Option<Slot> {
        match self.slots.get(usize::from(id).wrapping_sub(1)) {
            Some(Slot::Unsent(request)) => Some(Slot::Live(*request)),
            Some(Slot::Fresh) => None,
            Some(slot) => Some(*slot),
            None => (1..=self.used).contains(&id).then_some(Slot::Free),
        }
    }

    /// Frees the ID of a request that ended regularly. It may be used again after
    /// [`make_reusable`](Self::make_reusable).
    #[inline]
    pub(super) fn release(&mut self, id: u16) {
        self.slots[usize::from(id) - 1] = Slot::Free;
        self.free.push_back(id);
        self.last_freed = id;
    }

    /// Takes back an ID of which the application has heard nothing. It is the next one, and as if it had not been
    /// allocated.
    pub(super) fn withdraw(&mut self, id: u16) {
        let slot = &mut self.slots[usize::from(id) - 1];
        *slot = match *slot {
            Slot::Unsent(_) => Slot::Fresh,
            _ => Slot::Free,
        };
        self.free.push_front(id);
        self.reusable += 1;
    }

    /// Makes all free IDs available.
    #[inline]
    pub(super) fn make_reusable(&mut self) {
        // At most 65,535: no ID is in the list twice.
        self.reusable = self.free.len() as u16;
    }

    /// Enters what a table that was shrunk has forgotten: the IDs up to this one, as free ones. The ID freed last stays
    /// the last of them.
    fn recall(&mut self, id: usize) {
        if id <= self.slots.len() {
            return;
        }
        while self.slots.len() < id {
            self.slots.push(Slot::Free);
            self.free.push_back(self.slots.len() as u16);
        }
        if let Some(place) = self.free.iter().position(|free| *free == self.last_freed) {
            self.free.remove(place);
            self.reusable -= u16::from(place < usize::from(self.reusable));
            self.free.push_back(self.last_freed);
        }
    }

    /// Keeps an ID from being used again.
    pub(super) fn quarantine(&mut self, id: u16) {
        self.recall(usize::from(id));
        let slot = &mut self.slots[usize::from(id) - 1];
        match std::mem::replace(slot, Slot::Quarantined) {
            Slot::Quarantined => return,
            Slot::Live(_) | Slot::Unsent(_) => {}
            Slot::Free | Slot::Fresh => {
                if self.quarantined >= MAX_QUARANTINED {
                    // The connection takes no further request, so no ID is used again.
                    self.slots[usize::from(id) - 1] = Slot::Free;
                    return;
                }
                if let Some(place) = self.free.iter().position(|free| *free == id) {
                    self.free.remove(place);
                    self.reusable -= u16::from(place < usize::from(self.reusable));
                }
            }
        }
        self.quarantined += 1;
    }

    /// The requests that have an ID.
    pub(super) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Live(request) | Slot::Unsent(request) => Some(*request),
            Slot::Free | Slot::Fresh | Slot::Quarantined => None,
        })
    }

    /// Reserves memory for a connection with one request at a time, which alternates between two IDs.
    pub(super) fn reserve_one(&mut self) {
        self.slots.reserve_exact(2);
        self.free.reserve_exact(2);
    }

    /// Whether a burst of requests has made the table large and no quarantined ID has to be kept.
    pub(super) fn is_large(&self) -> bool {
        self.quarantined == 0 && self.slots.capacity() > KEPT
    }

    /// Frees the memory of a table that a burst made large. Only if no request is live and `is_large`.
    pub(super) fn shrink_idle(&mut self) {
        debug_assert_eq!(self.quarantined, 0);
        // `used` is kept: a late record for a used ID is no protocol error.
        self.slots = Vec::new();
        self.free = VecDeque::new();
        self.reusable = 0;
    }

    /// Bytes on the heap.
    pub(super) fn heap_len(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.free.capacity() * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::connection::{Connection, Expected};
    use crate::engine::time::Time;

    #[test]
    fn one_request_at_a_time_has_ids_1_and_2_in_turn() {
        let mut ids = IdTable::default();
        for request in 0..10 {
            let id = 1 + request as u16 % 2;
            assert_eq!(ids.allocate(request), Some(id));
            ids.release(id);
            ids.make_reusable();
        }
    }

    #[test]
    fn an_application_that_knows_only_id_1_gets_it_always_and_one_request_at_a_time() {
        let mut ids = IdTable::default();
        ids.set_always_one(true);
        for request in 0..10 {
            assert!(ids.has_free_id());
            assert_eq!(ids.allocate(request), Some(1));
            assert!(!ids.has_free_id());
            ids.release(1);
            ids.make_reusable();
        }
        ids.quarantine(1);
        assert!(!ids.has_free_id());
    }

    #[test]
    fn the_id_freed_last_is_never_the_next_whatever_became_of_the_lists() {
        for last in 1..=6 {
            let mut ids = IdTable::default();
            (0..6).for_each(|request| assert!(ids.allocate(request).is_some()));
            for id in (1..=6).filter(|id| *id != last) {
                ids.release(id);
            }
            ids.release(last);
            ids.make_reusable();
            ids.shrink_idle();
            let next = ids.allocate(0).expect("room");
            assert_ne!(next, last);
            assert!(next <= 2, "{next}");
        }
    }

    #[test]
    fn a_late_record_after_a_shrink_leaves_the_id_freed_last_behind_those_it_brings_back() {
        for last in 1..=6 {
            let mut ids = IdTable::default();
            for request in 0..6 {
                ids.allocate(request);
            }
            for id in (1..=6).filter(|id| *id != last).chain([last]) {
                ids.release(id);
            }
            ids.shrink_idle();
            let [one, two] = [0; 2].map(|_| ids.allocate(0).expect("one of six"));
            ids.note_framed(two);
            ids.release(two);
            ids.release(one);
            ids.make_reusable();
            ids.quarantine(5);
            let next = ids.allocate(0).expect("there are others");
            assert!(next != one && next != two, "freed and sent last");
        }
    }

    #[test]
    fn the_id_sent_last_is_not_the_next_either_whatever_was_freed_after_it() {
        for is_shrunk in [false, true] {
            let mut ids = IdTable::default();
            for id in 1..=3 {
                assert_eq!(ids.allocate(0), Some(id));
                ids.note_framed(id);
            }
            for id in [3, 2, 1] {
                ids.release(id);
            }
            ids.make_reusable();
            if is_shrunk {
                ids.shrink_idle();
            }
            assert_eq!(
                ids.allocate(0),
                Some(2),
                "3 was sent last, and 1 freed last"
            );
            ids.note_framed(2);
            assert_eq!(ids.allocate(0), Some(3));
        }
    }

    #[test]
    fn a_quarantined_id_is_not_handed_out_again() {
        let mut ids = IdTable::default();
        assert_eq!(ids.allocate(7), Some(1));
        ids.quarantine(1);
        assert_eq!(ids.allocate(8), Some(2));
        ids.release(2);
        ids.make_reusable();
        ids.quarantine(2);
        assert_eq!(ids.allocate(9), Some(3));
        assert_eq!(ids.get(1), Some(Slot::Quarantined));
        assert_eq!(ids.get(3), Some(Slot::Live(9)));
        assert_eq!(ids.get(4), None);
        assert_eq!(ids.get(0), None);
    }

    #[test]
    fn a_released_id_rests_and_one_that_is_quarantined_meanwhile_never_comes_back() {
        let mut ids = IdTable::default();
        for request in 0..3 {
            ids.allocate(request);
        }
        ids.release(2);
        ids.make_reusable();
        ids.release(1);
        ids.release(3);
        assert_eq!(ids.allocate(5), Some(2));
        assert_eq!(ids.allocate(6), Some(4), "1 and 3 rest");
        ids.quarantine(3);
        ids.make_reusable();
        assert_eq!(ids.allocate(7), Some(5), "1 was freed last");
        ids.release(5);
        ids.make_reusable();
        assert_eq!(ids.allocate(8), Some(1));
    }

    #[test]
    fn after_a_burst_nothing_is_held_but_the_ids_are_known_as_used() {
        let mut ids = IdTable::default();
        for request in 0..100 {
            ids.allocate(request);
        }
        for id in 1..=100 {
            ids.release(id);
        }
        ids.make_reusable();
        ids.shrink_idle();
        assert_eq!(ids.heap_len(), 0);
        assert_eq!(ids.get(100), Some(Slot::Free));
        assert_eq!(ids.get(101), None);
        assert_eq!(ids.get(0), None);
        ids.quarantine(3);
        ids.make_reusable();
        let mut given: Vec<_> = (0..4).filter_map(|it| ids.allocate(it)).collect();
        given.sort_unstable();
        assert_eq!(given, [1, 4, 5, 6], "one that is free is kept back");
    }

    #[test]
    fn all_65_535_ids_can_live_at_once_and_then_there_is_no_room() {
        let mut ids = IdTable::default();
        for request in 0..65_535 {
            assert!(ids.has_free_id());
            assert_eq!(ids.allocate(request), Some(request as u16 + 1));
        }
        assert!(!ids.has_free_id());
        assert_eq!(ids.allocate(0), None);
        ids.release(40_000);
        ids.make_reusable();
        assert!(!ids.has_free_id(), "the last one freed is kept back");
        ids.release(7);
        ids.make_reusable();
        assert!(ids.has_free_id());
        assert_eq!(ids.allocate(1), Some(40_000));
    }

    #[test]
    fn too_many_quarantined_ids_retire_the_connection() {
        let mut ids = IdTable::default();
        for request in 0..MAX_QUARANTINED {
            let id = ids.allocate(request).expect("room");
            ids.quarantine(id);
        }
        assert!(!ids.has_free_id());
    }

    #[test]
    fn beyond_the_most_a_free_id_stays_free_and_nothing_else_changes() {
        let mut ids = IdTable::default();
        for request in 0..MAX_QUARANTINED + 2 {
            ids.allocate(request);
        }
        for id in 1..=MAX_QUARANTINED as u16 {
            ids.quarantine(id);
        }
        let free = MAX_QUARANTINED as u16 + 1;
        ids.release(free);
        ids.quarantine(free);
        assert_eq!(ids.get(free), Some(Slot::Free));
        assert_eq!(ids.get(free + 1), Some(Slot::Live(u32::from(free))));
    }

    #[test]
    fn one_that_is_quarantined_leaves_no_rest_to_those_that_are_freed_later() {
        let mut ids = IdTable::default();
        for request in 0..3 {
            ids.allocate(request);
        }
        for id in 1..=3 {
            ids.release(id);
        }
        ids.make_reusable();
        ids.quarantine(2);
        for id in [1, 3] {
            assert_eq!(ids.allocate(0), Some(id));
            ids.release(id);
        }
        assert_eq!(ids.allocate(0), Some(4), "1 and 3 rest");
    }

    #[test]
    fn only_a_connection_that_may_be_shared_has_other_ids_than_1_for_a_server_that_knows_no_other()
    {
        let mut connection = Connection::new(Time::START, 0, 0, Expected::default());
        connection.connected(Time::START, 1, true);
        assert_eq!(connection.ids.allocate(0), Some(1));
        connection.set_max_requests(1);
        assert!(connection.is_out_of_ids());
        connection.set_max_requests(2);
        assert!(!connection.is_out_of_ids());
        assert_eq!(connection.ids.allocate(1), Some(2));
    }

    #[test]
    fn room_is_made_for_the_two_ids_that_take_turns_and_no_more() {
        let mut ids = IdTable::default();
        ids.reserve_one();
        let room = 2 * (size_of::<Slot>() + size_of::<u16>());
        assert_eq!(ids.heap_len(), room);
        for id in [1, 2, 1, 2] {
            assert_eq!(ids.allocate(0), Some(id));
            ids.release(id);
            ids.make_reusable();
        }
        assert_eq!(ids.heap_len(), room);
    }

    #[test]
    fn a_few_ids_keep_their_room_and_quarantined_ones_are_never_forgotten() {
        let mut few = IdTable::default();
        for _ in 0..KEPT / 2 {
            few.reserve_one();
            few.allocate(0);
            few.allocate(0);
        }
        assert_eq!((few.is_large(), few.slots.capacity()), (false, KEPT));
        few.reserve_one();
        few.allocate(0);
        assert!(few.is_large());

        let mut many = IdTable::default();
        for request in 0..100 {
            many.allocate(request);
        }
        many.quarantine(50);
        assert!(!many.is_large());
        assert_eq!(many.get(50), Some(Slot::Quarantined));
    }
}
