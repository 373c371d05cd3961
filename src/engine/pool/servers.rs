//! The servers of the pool in their slots, and the choice between them by load and weight.
//!
//! Code inside the engine names a server by its slot. A removed server keeps its slot until its last connection is gone
//! and a new server needs one. [`ServerId`] is the name for the embedder, and is never given to another server.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::{Index, IndexMut};

use super::server::Server;
use super::{Multiplexing, Time};
use crate::address::Address;
use crate::engine::server_info::ServerInfo;
use crate::error::ConnectError;
use crate::server::{ServerId, ServerMode};

#[derive(Debug)]
pub(crate) struct Servers {
    slots: Vec<Server>,
    /// For each slot: the requests on its connections plus the connections being opened. A separate `Vec`, because each
    /// request searches for the least: this saves 590 of 7,050 instructions with 64 servers.
    loads: Vec<u32>,
    /// Where the search for a server begins, so that servers with equal load take turns.
    first_choice: usize,
    /// Whether all servers are active and have one weight, as usual. The search is simpler then.
    is_uniform: bool,
    /// The turn of the request assigned last. A server that was not used for long does not get the turns it missed.
    turn: u64,
    next_id: u32,
}

impl Servers {
    pub(super) fn new(list: &[crate::Server], multiplexing: Multiplexing) -> Self {
        let mut servers = Self {
            slots: Vec::new(),
            loads: Vec::new(),
            first_choice: 0,
            is_uniform: true,
            turn: 0,
            next_id: 0,
        };
        for server in list {
            servers.add(server, multiplexing, &mut Vec::new());
        }
        servers.note_weights();
        servers
    }

    /// The number of slots.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Server> + Clone + '_ {
        self.slots.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Server> + '_ {
        self.slots.iter_mut()
    }

    /// The slot of a server that has not been removed.
    pub(crate) fn slot_of(&self, id: ServerId) -> Option<u16> {
        let has_id = |server: &Server| server.id() == id && !server.is_removed();
        // Until servers are removed, an ID is the number of its slot.
        let index = match self.slots.get(id.number() as usize) {
            Some(server) if has_id(server) => id.number() as usize,
            _ => self.slots.iter().position(has_id)?,
        };
        Some(index as u16)
    }

    #[inline]
    pub(crate) fn id_of(&self, slot: u16) -> ServerId {
        self.slots[usize::from(slot)].id()
    }

    pub(crate) fn address(&self, slot: u16) -> &Address {
        self.slots[usize::from(slot)].address()
    }

    /// Whether the embedder has removed a server.
    #[inline]
    pub(crate) fn is_removed(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].is_removed()
    }

    /// Whether a server gets no request but those that name it.
    #[inline]
    pub(crate) fn is_leaving(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].is_leaving()
    }

    /// The address of a server, removed or not.
    pub(crate) fn address_of(&self, id: ServerId) -> Option<&Address> {
        let server = self.slots.iter().find(|it| it.id() == id)?;
        Some(server.address())
    }

    /// The servers as items of a list. A removed server is included while it has connections.
    pub(crate) fn info(&self, now: Time) -> impl Iterator<Item = ServerInfo<'_>> + '_ {
        let all = self.slots.iter().zip(&self.loads);
        all.filter(|(server, _)| !server.is_removed() || server.lists().total() > 0)
            .map(move |(server, load)| server.info(now, *load))
    }

    /// The servers that take requests that name no server.
    fn takers(&self) -> impl Iterator<Item = &Server> {
        self.slots.iter().filter(|it| !it.is_leaving())
    }

    /// Whether at least one server is neither down nor overloaded.
    pub(crate) fn has_usable(&self, now: Time) -> bool {
        self.takers().any(|it| !it.health().is_backing_off(now))
    }

    /// Why no server can be connected to, for a request that may use each server or only the `named` one: why the last
    /// connect failed, if the last connect to each of them failed.
    pub(crate) fn refusal(&self, named: Option<u16>) -> Option<ConnectError> {
        if let Some(slot) = named {
            return self.slots[usize::from(slot)].health().last_error();
        }
        let mut errors = self.takers().map(|it| it.health().last_error());
        let first = errors.next()?;
        first.filter(|_| errors.all(|it| it.is_some()))
    }

    // --- loads ---

    #[inline]
    pub(super) fn load(&self, index: usize) -> u32 {
        self.loads[index]
    }

    #[inline]
    pub(super) fn add_load(&mut self, index: usize) {
        self.loads[index] += 1;
    }

    #[inline]
    pub(super) fn remove_load(&mut self, index: usize, load: u32) {
        self.loads[index] -= load;
    }

    /// A request was assigned to a server.
    #[inline]
    pub(super) fn note_assigned(&mut self, index: usize) {
        self.first_choice = index + 1;
        self.loads[index] += 1;
        let server = &mut self.slots[index];
        server.note_assigned();
        if !self.is_uniform {
            self.turn = server.take_turn(self.turn);
        }
    }

    // --- choice ---

    #[inline]
    pub(super) fn is_uniform(&self) -> bool {
        self.is_uniform
    }

    /// Where the search among servers of equal load begins.
    #[inline]
    pub(super) fn first_choice(&self) -> usize {
        self.first_choice % self.slots.len()
    }

    /// The server with the least load. Among equals the first one from `start` on.
    pub(super) fn least_loaded(&self, start: usize) -> Option<usize> {
        let least = self.loads.iter().copied().min()?;
        let (before, after) = self.loads.split_at(start);
        let mut after = after.iter();
        match after.position(|load| *load == least) {
            Some(index) => Some(start + index),
            None => before.iter().position(|load| *load == least),
        }
    }

    /// Whether a server is preferred to another one: it has less load for its weight, or it is its turn.
    pub(super) fn is_preferred(&self, index: usize, other: usize) -> bool {
        let (one, two) = (&self.slots[index], &self.slots[other]);
        let load = u64::from(self.loads[index]) * u64::from(two.weight());
        let load_of_other = u64::from(self.loads[other]) * u64::from(one.weight());
        let turn_of = |server: &Server| server.turn().max(self.turn);
        (load, turn_of(one)) < (load_of_other, turn_of(two))
    }

    // --- changes of the list ---

    /// Replaces the list. A server whose address is in the new list is kept, with what is known about it. Returns the slots
    /// of the servers that have just been removed or set to draining. `None`, without any change: there are too many
    /// servers, those that were removed and still have connections included.
    pub(super) fn set(
        &mut self,
        list: &[crate::Server],
        multiplexing: Multiplexing,
    ) -> Option<Vec<u16>> {
        let kept = self.find(list);
        let mut is_kept = vec![false; self.slots.len()];
        kept.iter()
            .flatten()
            .for_each(|index| is_kept[*index] = true);
        // A slot that becomes free only now may still be named by a request.
        let is_free = |index: &usize| {
            let server = &self.slots[*index];
            !is_kept[*index] && server.is_removed() && server.lists().total() == 0
        };
        let mut free: Vec<usize> = (0..self.slots.len()).filter(is_free).collect();
        let added = kept.iter().filter(|it| it.is_none()).count();
        if self.slots.len() + added.saturating_sub(free.len()) > usize::from(u16::MAX) {
            return None;
        }
        let mut leaving = Vec::new();
        for (index, server) in self.slots.iter_mut().enumerate() {
            if !is_kept[index] && !server.is_removed() {
                server.remove();
                leaving.push(index as u16);
            }
        }
        for (server, kept) in list.iter().zip(kept) {
            let Some(index) = kept else {
                self.add(server, multiplexing, &mut free);
                continue;
            };
            let slot = &mut self.slots[index];
            let was_leaving = slot.is_leaving();
            slot.update(server, multiplexing);
            if slot.is_leaving() && !was_leaving {
                leaving.push(index as u16);
            }
        }
        self.note_weights();
        Some(leaving)
    }

    /// For each server of a list, the slot that has its address. No slot is given twice.
    fn find(&self, list: &[crate::Server]) -> Vec<Option<usize>> {
        let mut by_address: HashMap<&Address, Vec<usize>> = HashMap::new();
        // Of two servers with one address, the first in the list keeps the one that is there, and then the older one.
        let mut slots: Vec<(usize, &Server)> = self.slots.iter().enumerate().collect();
        slots.sort_unstable_by_key(|(_, it)| Reverse((it.is_removed(), it.id())));
        for (index, server) in slots {
            let is_gone = server.is_removed() && server.lists().total() == 0;
            if !is_gone {
                by_address.entry(server.address()).or_default().push(index);
            }
        }
        let mut take = |address| by_address.get_mut(address).and_then(Vec::pop);
        list.iter().map(|server| take(&server.address)).collect()
    }

    fn add(&mut self, server: &crate::Server, multiplexing: Multiplexing, free: &mut Vec<usize>) {
        let server = Server::new(ServerId::new(self.next_id), server, multiplexing);
        self.next_id = self.next_id.wrapping_add(1);
        match free.pop() {
            Some(index) => self.slots[index] = server,
            None => {
                self.slots.push(server);
                self.loads.push(0);
            }
        }
    }

    fn note_weights(&mut self) {
        let weight = self.slots.first().map(Server::weight);
        let is_usual = |it: &Server| it.serves(ServerMode::Active) && Some(it.weight()) == weight;
        self.is_uniform = self.slots.iter().all(is_usual);
    }
}

impl Index<usize> for Servers {
    type Output = Server;

    #[inline]
    fn index(&self, index: usize) -> &Server {
        &self.slots[index]
    }
}

impl IndexMut<usize> for Servers {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut Server {
        &mut self.slots[index]
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn list(first: u32, count: u32) -> Vec<crate::Server> {
        let address = |number: u32| {
            let ip = Ipv4Addr::from(0x7f00_0000 + number);
            Address::from(SocketAddr::from((ip, 9000)))
        };
        let all = first..first + count;
        all.map(|it| crate::Server::new(address(it))).collect()
    }

    #[test]
    fn there_are_at_most_65_535_slots_and_those_of_servers_that_left_earlier_are_free() {
        let known = Multiplexing::Unknown;
        let mut servers = Servers::new(&list(0, 1), known);
        let mut set = |first, count| {
            let leaving = servers.set(&list(first, count), known);
            leaving.map(|it| it.len())
        };
        assert_eq!(
            set(1, 65_535),
            None,
            "the slot of the one that leaves is free only later"
        );
        assert_eq!(set(0, 65_535), Some(0));
        assert_eq!(set(1, 65_535), None);
        assert_eq!(set(0, 1), Some(65_534));
        assert_eq!(set(65_535, 65_534), Some(1));
        assert_eq!(servers.len(), 65_535);
    }

    #[test]
    fn of_equals_the_one_after_the_last_is_the_first_choice() {
        let mut servers = Servers::new(&list(0, 3), Multiplexing::Unknown);
        assert!(servers.is_uniform());
        for choice in [0, 1, 2, 0] {
            assert_eq!(servers.first_choice(), choice);
            assert_eq!(servers.least_loaded(choice), Some(choice));
            servers.note_assigned(choice);
            servers.remove_load(choice, 1);
        }
        servers.add_load(1);
        assert_eq!(servers.least_loaded(1), Some(2));
    }

    #[test]
    fn a_server_leaves_once_when_it_begins_to_drain() {
        let known = Multiplexing::Unknown;
        let mut servers = Servers::new(&list(0, 2), known);
        let mut list = list(0, 2);
        list[1].mode = ServerMode::Draining;
        assert_eq!(servers.set(&list, known), Some(vec![1]));
        assert_eq!(servers.set(&list, known), Some(vec![]));
        assert!(!servers.is_uniform());
    }
}
