//! Which clients are accepted, and which idle ones are closed when there are too many.

use std::io;
use std::time::{Duration, Instant};

use mio::{Registry, Token};

use super::net::listener::{Accepted, Listener};

/// The listeners of a loop, and its limit of clients.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Empty once no more clients are accepted.
    listeners: Vec<Listener>,
    /// The listener that is asked next, so that one with a crowd does not keep others waiting.
    next: usize,
    clients: usize,
    max_clients: usize,
    /// No more clients are accepted.
    is_closed: bool,
    /// When to look for idle clients again while the limit is reached.
    next_look: Instant,
}

impl Admission {
    pub(crate) fn new(max_clients: usize, now: Instant) -> Self {
        Self {
            listeners: Vec::new(),
            next: 0,
            clients: 0,
            max_clients,
            is_closed: false,
            next_look: now,
        }
    }

    /// Accepts from one more listener. All listeners have the same token.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn listen(
        &mut self,
        mut listener: Listener,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        listener.register(registry, token)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// The poll reported a connection.
    pub(crate) fn note_ready(&mut self) {
        self.listeners.iter_mut().for_each(Listener::note_ready);
    }

    /// Whether a client may be waiting and can be accepted now.
    pub(crate) fn may_accept(&self, now: Instant) -> bool {
        self.has_free_place() && self.listeners.iter().any(|it| it.may_accept(now))
    }

    /// The next client, if one [may be accepted](Self::may_accept).
    ///
    /// # Errors
    /// The system is out of descriptors or memory: accepting is paused.
    pub(crate) fn accept(&mut self, now: Instant) -> io::Result<Option<Accepted>> {
        for _ in 0..self.listeners.len() {
            self.next = (self.next + 1) % self.listeners.len();
            if let Some(accepted) = self.listeners[self.next].accept(now)? {
                return Ok(Some(accepted));
            }
        }
        Ok(None)
    }

    pub(crate) fn add_client(&mut self) {
        self.clients += 1;
    }

    pub(crate) fn remove_client(&mut self) {
        self.clients -= 1;
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients
    }

    fn has_free_place(&self) -> bool {
        self.clients < self.max_clients
    }

    /// Whether a client's connection may be kept after a response. While the limit is reached, it is closed to make a
    /// place.
    pub(crate) fn keeps_clients(&self) -> bool {
        !self.is_closed && self.has_free_place()
    }

    /// Stops accepting clients.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.listeners.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// If clients wait and the limit is reached: clients that have been idle since this time or longer are to be closed
    /// now.
    pub(crate) fn idle_since(&mut self, now: Instant) -> Option<Instant> {
        if self.look_due().is_none_or(|due| due > now) {
            return None;
        }
        self.next_look = now + INTERVAL;
        now.checked_sub(IDLE)
    }

    /// When to accept again, or to look for idle clients again, without an event.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.has_free_place() {
            self.listeners.iter().filter_map(Listener::retry_at).min()
        } else {
            self.look_due()
        }
    }

    fn look_due(&self) -> Option<Instant> {
        let is_wanted = self.listeners.iter().any(Listener::is_ready);
        (is_wanted && !self.has_free_place()).then_some(self.next_look)
    }
}

/// How long a client must be idle to be closed.
const IDLE: Duration = Duration::from_secs(1);

/// How often to look for idle clients.
const INTERVAL: Duration = Duration::from_millis(100);
