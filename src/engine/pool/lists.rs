//! The connections to one server, by what they can be used for.

use std::collections::VecDeque;

use super::Expected;

#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Connections in any state.
    total: usize,
    /// Connections that are being opened.
    connecting: usize,
    /// Connections for which only requests to this server wait: they have been opening for too long, or the server was
    /// down when they were opened. Requests that can use another server do not wait for them.
    late: usize,
    /// The number of requests that the connections being opened can take, without late ones.
    slots: usize,
    /// Connections that are being opened to check the server. No request waits for them.
    checks: usize,
    /// Idle connections that a request may use, the most recently used at the back.
    idle: VecDeque<u32>,
    /// Open shared connections with requests and a free slot, the most recently freed at the back. Full and idle
    /// connections are left out: with 60 full ones, looking at each costs a request 800 instructions.
    shareable: Vec<u32>,
}

impl Lists {
    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn connecting(&self) -> usize {
        self.connecting
    }

    pub(super) fn late(&self) -> usize {
        self.late
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Connections that are being opened for requests.
    pub(super) fn connecting_for_requests(&self) -> usize {
        self.connecting - self.checks
    }

    pub(crate) fn idle_len(&self) -> usize {
        self.idle.len()
    }

    /// The most recently used idle connection for which `serves` is true. Usually that is the first one tried.
    #[inline(always)]
    pub(super) fn find_idle(&self, serves: impl Fn(u32) -> bool) -> Option<u32> {
        let last = *self.idle.back()?;
        if serves(last) {
            return Some(last);
        }
        self.find_other_idle(serves)
    }

    #[cold]
    fn find_other_idle(&self, serves: impl Fn(u32) -> bool) -> Option<u32> {
        let mut others = self.idle.iter().rev().skip(1).copied();
        others.find(|key| serves(*key))
    }

    pub(super) fn is_idle(&self, key: u32) -> bool {
        self.idle.contains(&key)
    }

    pub(crate) fn longest_idle(&self) -> Option<u32> {
        self.idle.front().copied()
    }

    /// The shared connections with a free slot, the most recently freed first.
    #[inline]
    pub(super) fn shareable(&self) -> impl Iterator<Item = u32> + '_ {
        self.shareable.iter().rev().copied()
    }

    pub(super) fn dial(&mut self, expected: Expected) {
        self.total += 1;
        self.connecting += 1;
        self.slots += expected.slots as usize;
        self.late += usize::from(expected.is_late);
        self.checks += usize::from(expected.is_nothing());
    }

    /// A connection has become late, of which `before` was expected.
    pub(super) fn note_late(&mut self, before: Expected) {
        self.slots -= before.slots as usize;
        self.late += 1;
    }

    pub(super) fn dial_over(&mut self, expected: Expected) {
        self.connecting -= 1;
        self.slots -= expected.slots as usize;
        self.late -= usize::from(expected.is_late);
        self.checks -= usize::from(expected.is_nothing());
    }

    #[inline]
    pub(super) fn add_idle(&mut self, key: u32) {
        self.idle.push_back(key);
    }

    /// Removes a connection from the idle list, if it is there.
    #[inline]
    pub(crate) fn remove_idle(&mut self, key: u32) {
        // Usually it is the most recently used connection.
        if self.idle.back() == Some(&key) {
            self.idle.pop_back();
        } else if let Some(index) = self.idle.iter().rposition(|it| *it == key) {
            self.idle.remove(index);
        }
    }

    pub(crate) fn add_shareable(&mut self, key: u32) {
        self.shareable.push(key);
    }

    /// Removes a connection from the list of those with a free slot, if it is there.
    #[inline]
    pub(crate) fn remove_shareable(&mut self, key: u32) {
        if let Some(index) = self.shareable.iter().rposition(|it| *it == key) {
            self.shareable.remove(index);
        }
    }

    /// Removes a connection that is not being opened.
    pub(super) fn remove(&mut self, key: u32) {
        self.total -= 1;
        self.remove_idle(key);
        self.remove_shareable(key);
    }
}

#[cfg(debug_assertions)]
impl Lists {
    pub(super) fn check<'a>(
        &self,
        server: usize,
        own: impl Iterator<Item = &'a super::Connection> + Clone,
        connections: &slab::Slab<super::Connection>,
    ) {
        let connecting = own.clone().filter(|it| it.is_connecting()).count();
        let shareable = own.clone().filter(|it| it.is_shareable()).count();
        let checks = own.clone().filter(|it| it.is_connecting());
        let checks = checks.filter(|it| it.expected().is_nothing()).count();
        assert_eq!(
            [
                self.total,
                self.connecting,
                self.checks,
                self.shareable.len()
            ],
            [own.count(), connecting, checks, shareable],
            "server {server}: connections, being opened, for checks, with a free slot"
        );
        let is_shareable = |key: &u32| connections[*key as usize].is_shareable();
        assert!(
            self.shareable.iter().all(is_shareable),
            "server {server}: with a free slot"
        );
        let is_idle = |key: &u32| connections[*key as usize].is_idle();
        assert!(self.idle.iter().all(is_idle), "server {server}: idle");
    }
}
