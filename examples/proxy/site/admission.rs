//! Room for clients: who is let in, and who has to go when there is none.

use std::time::{Duration, Instant};

use mio::Interest;

use super::serve::connection::{Connection, Stage};
use super::serve::worker::{Running, Worker};

impl Worker {
    /// For one more client.
    pub(crate) fn has_room(&self) -> bool {
        self.connections.len() < self.max_connections
    }

    /// Whether a client may stay when it was answered: while there is no room for others, it makes some.
    pub(crate) fn keeps_clients(&self) -> bool {
        self.running == Running::Yes && self.has_room()
    }

    /// Whether a client may be waiting, and can be taken in.
    pub(crate) fn may_accept(&self) -> bool {
        let now = self.clock.now;
        self.has_room()
            && self.listener.as_ref().is_some_and(|listener| {
                listener.is_ready && listener.retry_at().is_none_or(|at| now >= at)
            })
    }

    /// Takes in some clients, while there is room. The others wait in the system's queue.
    pub(crate) fn accept(&mut self) {
        for _ in 0..ACCEPTS {
            if !self.may_accept() {
                return;
            }
            let now = self.clock.now;
            let Some(listener) = &mut self.listener else {
                return;
            };
            let (mut socket, peer, local) = match listener.accept(now) {
                Ok(Some(accepted)) => accepted,
                Ok(None) => return,
                Err(error) => {
                    let date = self.clock.log();
                    self.log
                        .problem(date, format_args!("accepting pauses: {error}"));
                    return;
                }
            };
            let entry = self.connections.vacant_entry();
            let token = self.tokens.of_client(entry.key());
            let interests = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = self.registry.register(&mut socket, token, interests) {
                let date = self.clock.log();
                self.log
                    .problem(date, format_args!("a client is not taken: {error}"));
                continue;
            }
            let key = entry.key();
            entry.insert(Connection::new(socket, peer, local, now));
            self.enqueue(key);
        }
    }

    /// While others wait and there is no room, clients that have been idle for a while go: a few at a time.
    pub(crate) fn make_room(&mut self) {
        let now = self.clock.now;
        if self.room_due().is_some_and(|due| due <= now) {
            self.next_room = now + INTERVAL;
            self.let_idle_go(now.checked_sub(IDLE), ACCEPTS);
        }
    }

    /// When to look for room again, if it is wanted.
    pub(crate) fn room_due(&self) -> Option<Instant> {
        let is_wanted = self
            .listener
            .as_ref()
            .is_some_and(|listener| listener.is_ready);
        (is_wanted && !self.has_room()).then_some(self.next_room)
    }

    /// Closes clients that are between requests since some time, up to so many.
    pub(crate) fn let_idle_go(&mut self, since: Option<Instant>, most: usize) {
        let idle = self
            .connections
            .iter()
            .filter(|entry| entry.1.is_idle() && Some(entry.1.since) <= since);
        let keys: Vec<usize> = idle.map(|entry| entry.0).take(most).collect();
        for key in keys {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.stage = Stage::Gone;
                self.settle(key);
            }
        }
    }
}

/// Clients taken in, or sent away, at a time.
const ACCEPTS: usize = 64;

/// Clients that have said nothing for so long can be sent away.
const IDLE: Duration = Duration::from_secs(1);

/// How often they are looked for.
const INTERVAL: Duration = Duration::from_millis(100);
