//! Which clients are accepted, and which idle ones are closed when there are too many.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Registry, Token};

use super::net::listener::Listener;

/// The listener of a loop, and its limit of clients.
#[derive(Debug)]
pub(crate) struct Admission {
    listener: Option<Listener>,
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
            listener: None,
            clients: 0,
            max_clients,
            is_closed: false,
            next_look: now,
        }
    }

    /// Starts to listen and returns the address, which has the actual port if port 0 was asked for.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn listen(
        &mut self,
        address: SocketAddr,
        is_shared: bool,
        registry: &Registry,
        token: Token,
    ) -> io::Result<SocketAddr> {
        let mut listener = Listener::bind(address, is_shared)?;
        listener.register(registry, token)?;
        let address = listener.address();
        self.listener = Some(listener);
        Ok(address)
    }

    /// The poll reported a connection.
    pub(crate) fn note_ready(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener.note_ready();
        }
    }

    /// Whether a client may be waiting and can be accepted now.
    pub(crate) fn may_accept(&self, now: Instant) -> bool {
        self.has_free_place() && self.listener.as_ref().is_some_and(|it| it.may_accept(now))
    }

    /// The next client, if one [may be accepted](Self::may_accept): its socket, its address, and the local address.
    ///
    /// # Errors
    /// The system is out of descriptors or memory: accepting is paused.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
    ) -> io::Result<Option<(TcpStream, SocketAddr, SocketAddr)>> {
        match &mut self.listener {
            Some(listener) => listener.accept(now),
            None => Ok(None),
        }
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
        self.listener = None;
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
            self.listener.as_ref().and_then(Listener::retry_at)
        } else {
            self.look_due()
        }
    }

    fn look_due(&self) -> Option<Instant> {
        let is_wanted = self.listener.as_ref().is_some_and(Listener::is_ready);
        (is_wanted && !self.has_free_place()).then_some(self.next_look)
    }
}

/// How long a client must be idle to be closed.
const IDLE: Duration = Duration::from_secs(1);

/// How often to look for idle clients.
const INTERVAL: Duration = Duration::from_millis(100);
