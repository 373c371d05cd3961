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
            let id = self.free.remove(place)?;
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

    /// Takes back an ID of which the application has heard nothing: as if it had not been allocated. It is the next one,
    /// unless it is the only one that is free.
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
mod tests;
