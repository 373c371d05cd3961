//! Servers that come and go, and which of them may get which request.

use std::collections::BTreeMap;
use std::time::Instant;

use mio_fcgi::{Address, ConnectionState, Engine, Server, ServerId, ServerMode};

use super::driver::Driver;

/// All servers there have been. The numbers are calls of the run.
pub(super) struct Lists {
    all: BTreeMap<ServerId, Known>,
    call: u64,
    /// When the requests were submitted, by tag.
    submitted: BTreeMap<u64, u64>,
    named: BTreeMap<u64, ServerId>,
}

struct Known {
    address: Address,
    /// How many requests it had been given when it was removed.
    removed_at: Option<u64>,
    /// Since when it gets no request but those that name it.
    left: Option<u64>,
}

impl Lists {
    pub(super) fn new(engine: &Engine, now: Instant) -> Self {
        let all = engine.servers(now).map(|info| {
            let known = Known {
                address: info.address.clone(),
                removed_at: None,
                left: None,
            };
            (info.server, known)
        });
        Self {
            all: all.collect(),
            call: 0,
            submitted: BTreeMap::new(),
            named: BTreeMap::new(),
        }
    }

    /// The next call may submit a request with this tag.
    pub(super) fn note_submitted(&mut self, tag: u64) {
        self.submitted.insert(tag, self.call);
    }

    /// Whether some server gets requests that name none.
    pub(super) fn have_takers(&self, driver: &Driver) -> bool {
        let mut servers = driver.engine.config().servers.iter();
        servers.any(|it| it.mode != ServerMode::Draining)
    }

    pub(super) fn set(&mut self, driver: &mut Driver, list: Vec<Server>) {
        let shown = |driver: &Driver| {
            let servers = driver.engine.servers(driver.now);
            servers.map(|it| format!("{it:?}")).collect::<Vec<_>>()
        };
        let is_valid = !list.is_empty()
            && list
                .iter()
                .all(|it| it.weight > 0 && !matches!(it.address, Address::Host { .. }));
        let before = shown(driver);
        assert_eq!(driver.set_servers(list.clone()), is_valid);
        if is_valid {
            self.take_over(driver, list);
        } else {
            assert_eq!(shown(driver), before);
        }
    }

    /// Holds the servers that the engine has now against the list, and against those before.
    fn take_over(&mut self, driver: &Driver, list: Vec<Server>) {
        let mut missing = list.clone();
        let mut kept: Vec<Address> = Vec::new();
        let old = std::mem::take(&mut self.all);
        for info in driver.engine.servers(driver.now) {
            let former = old.get(&info.server);
            assert!(
                former.is_none_or(|it| it.address == *info.address),
                "{info}"
            );
            let mut known = Known {
                address: info.address.clone(),
                removed_at: None,
                left: None,
            };
            if info.is_removed {
                let before = former.unwrap_or_else(|| panic!("new and removed: {info}"));
                known.removed_at = before.removed_at.or(Some(info.assigned));
            } else {
                let is_it = |it: &Server| {
                    (&it.address, it.weight, it.mode) == (info.address, info.weight, info.mode)
                };
                let place = missing.iter().position(is_it);
                missing.swap_remove(place.unwrap_or_else(|| panic!("not set: {info}")));
                kept.extend(former.map(|it| it.address.clone()));
            }
            if info.is_removed || info.mode == ServerMode::Draining {
                let since = former.and_then(|it| it.left);
                known.left = since.or(Some(self.call));
            }
            self.all.insert(info.server, known);
        }
        assert!(missing.is_empty(), "{missing:?} were set and are not there");
        for Server { address, .. } in &list {
            let wanted = list.iter().filter(|it| it.address == *address).count();
            let there = old
                .values()
                .filter(|it| it.removed_at.is_none() && it.address == *address);
            let kept = kept.iter().filter(|it| *it == address).count();
            assert!(kept >= wanted.min(there.count()), "{address} was not kept");
        }
        for (id, mut known) in old {
            // Those that are not listed have no connections.
            known.removed_at.get_or_insert(u64::MAX);
            known.left.get_or_insert(self.call);
            self.all.entry(id).or_insert(known);
        }
    }

    /// Checks what holds after each call.
    pub(super) fn check(&mut self, driver: &Driver) {
        self.call += 1;
        for (tag, asked) in &driver.requests {
            if let Some(server) = asked.named {
                self.named.insert(*tag, server);
            }
        }
        for info in driver.engine.servers(driver.now) {
            let known = &self.all[&info.server];
            assert_eq!(info.is_removed, known.removed_at.is_some(), "{info}");
            if let Some(assigned) = known.removed_at {
                assert_eq!(info.assigned, assigned, "a new request: {info}");
                assert!(info.connections > 0, "{info}");
                assert_eq!(info.connecting, 0, "{info}");
            }
            assert!(known.left.is_none() || info.idle == 0, "{info}");
        }
        for it in driver.engine.connections(driver.now) {
            // Its requests end, or a probe is answered: then it is closed.
            let ends = matches!(
                it.state,
                ConnectionState::Draining | ConnectionState::Probing
            );
            let is_removed = self.all[&it.server].removed_at.is_some();
            assert!(ends || !is_removed, "it stays: {it:?}");
        }
        self.check_seen(&driver.seen);
        for link in &driver.links {
            for tag in &link.far.seen {
                self.check_one(link.server, *tag);
            }
        }
    }

    pub(super) fn check_seen(&self, seen: &[(usize, u64)]) {
        for (server, tag) in seen {
            self.check_one(*server, *tag);
        }
    }

    /// Checks that a server may have got a request.
    fn check_one(&self, server: usize, tag: u64) {
        let server = ServerId::new(server as u32);
        if let Some(named) = self.named.get(&tag) {
            return assert_eq!(server, *named, "{tag} went elsewhere");
        }
        let (left, submitted) = (self.all[&server].left, self.submitted[&tag]);
        assert!(
            left.is_none_or(|left| left >= submitted),
            "{tag} went to {server}, which had left"
        );
    }
}
