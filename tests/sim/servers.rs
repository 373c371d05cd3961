//! Servers that come and go, and which of them may get which request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use mio_fcgi::testkit::internals::Rng;
use mio_fcgi::{Address, Engine, ServerId, ServerInfo, ServerMode};

/// A server of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    /// The place of its address among the servers of the plan.
    pub(crate) place: usize,
    pub(crate) weight: u16,
    pub(crate) mode: ServerMode,
}

/// What the embedder knows of a server. The numbers are steps of the run.
#[derive(Clone, Copy, Debug)]
struct Known {
    choice: Choice,
    is_removed: bool,
    /// Since when it gets no request but those that name it.
    left: Option<u64>,
    /// Since when it is a backup.
    backup: Option<u64>,
}

/// All servers there have been, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    all: Vec<Known>,
    /// Since when there has always been an active server.
    has_active: Option<u64>,
    /// A backup may be used beside an active server: connects fail, or servers may be set aside.
    pub(crate) may_be_down: bool,
    /// Some server was not an active one.
    pub(crate) has_modes: bool,
    /// The servers that requests name, by tag.
    pub(crate) named: BTreeMap<u64, ServerId>,
}

impl Choice {
    pub(crate) fn active(place: usize) -> Self {
        Self {
            place,
            weight: 1,
            mode: ServerMode::Active,
        }
    }

    fn draw(rng: &mut Rng, places: usize) -> Self {
        Self {
            place: rng.below(places as u64) as usize,
            weight: *rng.pick(&[1, 1, 1, 2, 5, u16::MAX]),
            mode: *rng.pick(&[
                ServerMode::Active,
                ServerMode::Active,
                ServerMode::Active,
                ServerMode::Backup,
                ServerMode::Draining,
            ]),
        }
    }

    pub(crate) fn server(self) -> mio_fcgi::Server {
        let mut server = mio_fcgi::Server::new(address(self.place));
        (server.weight, server.mode) = (self.weight, self.mode);
        server
    }
}

/// Draws a list of servers. An address may be in it twice.
pub(crate) fn draw_list(rng: &mut Rng, places: usize) -> Vec<Choice> {
    let len = 1 + rng.below(3);
    let is_uniform = rng.chance(40);
    let draw = |_| match is_uniform {
        true => Choice::active(rng.below(places as u64) as usize),
        false => Choice::draw(rng, places),
    };
    (0..len).map(draw).collect()
}

fn address(place: usize) -> Address {
    SocketAddr::from(([127, 0, 0, 1], 9000 + place as u16)).into()
}

impl Servers {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The place of a server's address among the servers of the plan.
    pub(crate) fn place(&self, number: usize) -> usize {
        self.all[number].choice.place
    }

    /// Whether some server gets requests that name none.
    pub(crate) fn has_takers(&self) -> bool {
        self.all.iter().any(|it| it.left.is_none())
    }

    /// Takes over a list that was set in a step, with the numbers that the engine gives its servers.
    pub(crate) fn set(
        &mut self,
        step: u64,
        list: &[Choice],
        engine: &Engine,
        now: Instant,
    ) -> Result<(), String> {
        let mut present: Vec<ServerInfo<'_>> = engine.servers(now).collect();
        present.retain(|it| !it.is_removed);
        present.sort_by_key(|it| it.server);
        let mut missing: Vec<Choice> = list.to_vec();
        let before = self.all.len();
        let old = self.all.clone();
        for known in &mut self.all {
            known.is_removed = true;
            known.left.get_or_insert(step);
        }
        for info in present {
            let is_it = |it: &Choice| {
                (&address(it.place), it.weight, it.mode) == (info.address, info.weight, info.mode)
            };
            let index = missing.iter().position(is_it);
            let choice = missing.swap_remove(index.ok_or_else(|| format!("not set: {info}"))?);
            let former = old.get(info.server.number() as usize);
            if former.is_some_and(|it| it.choice.place != choice.place) {
                return Err(format!("the number of another server: {info}"));
            }
            let since = |is_so: bool, before: Option<u64>| is_so.then(|| before.unwrap_or(step));
            let known = Known {
                choice,
                is_removed: false,
                left: since(
                    choice.mode == ServerMode::Draining,
                    former.and_then(|it| it.left),
                ),
                backup: since(
                    choice.mode == ServerMode::Backup,
                    former.and_then(|it| it.backup),
                ),
            };
            self.has_modes |= choice.mode != ServerMode::Active;
            let number = info.server.number() as usize;
            if number > self.all.len() {
                return Err(format!("a number was left out: {info}"));
            }
            match number == self.all.len() {
                true => self.all.push(known),
                false => self.all[number] = known,
            }
        }
        if !missing.is_empty() {
            return Err(format!("{missing:?} were set and are not listed"));
        }
        check_kept(&old, list, &self.all, before)?;
        let has_active = list.iter().any(|it| it.mode == ServerMode::Active);
        self.has_active = has_active.then(|| self.has_active.unwrap_or(step));
        Ok(())
    }

    /// Checks that a request may have been sent to a server; it was submitted in a step.
    ///
    /// `is_up`: no server has refused a request, and so none was set aside for that.
    pub(crate) fn check_sent(
        &self,
        tag: u64,
        number: usize,
        submitted: u64,
        is_up: bool,
    ) -> Result<(), String> {
        if let Some(named) = self.named.get(&tag) {
            return match named.number() as usize == number {
                true => Ok(()),
                false => Err(format!("tag {tag} names server {named}, sent to {number}")),
            };
        }
        let known = &self.all[number];
        let before = |step: Option<u64>| step.is_some_and(|step| step < submitted);
        if before(known.left) {
            return Err(format!(
                "tag {tag}: sent to server {number}, which had left"
            ));
        }
        if before(known.backup) && before(self.has_active) && is_up && !self.may_be_down {
            return Err(format!("tag {tag}: sent to the backup {number}"));
        }
        Ok(())
    }

    /// Checks the list of the servers against the list of the connections.
    pub(crate) fn check_list(&self, engine: &Engine, now: Instant) -> Result<(), String> {
        let mut own: Vec<(usize, usize, usize)> = vec![(0, 0, 0); self.all.len()];
        for it in engine.connections(now) {
            let counts = &mut own[it.server.number() as usize];
            counts.0 += 1;
            counts.1 += it.requests;
            counts.2 += usize::from(it.state == mio_fcgi::ConnectionState::Connecting);
        }
        let mut is_listed = vec![false; self.all.len()];
        for info in engine.servers(now) {
            let number = info.server.number() as usize;
            let known = &self.all[number];
            is_listed[number] = true;
            let (connections, requests, connecting) = own[number];
            let is_right = (info.connections, info.requests) == (connections, requests)
                && info.connecting >= connecting
                && info.is_removed == known.is_removed
                && info.idle <= connections
                && *info.address == address(known.choice.place);
            if !is_right {
                return Err(format!("{info}; {:?}, {known:?}", own[number]));
            }
        }
        for (number, known) in self.all.iter().enumerate() {
            let is_there = !known.is_removed || own[number].0 > 0;
            if is_there != is_listed[number] {
                return Err(format!("server {number} is listed: {}", is_listed[number]));
            }
        }
        Ok(())
    }
}

/// Checks that a server whose address is in the list again has kept its number.
fn check_kept(old: &[Known], list: &[Choice], all: &[Known], before: usize) -> Result<(), String> {
    let of = |place: usize| move |it: &&Known| !it.is_removed && it.choice.place == place;
    for Choice { place, .. } in list {
        let was = old.iter().filter(of(*place)).count();
        let wanted = list.iter().filter(|it| it.place == *place).count();
        let kept = all[..before].iter().filter(of(*place)).count();
        if kept < was.min(wanted) {
            return Err(format!("the servers at address {place} were not kept"));
        }
    }
    Ok(())
}
