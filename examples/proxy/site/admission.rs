//! Who is let in, and who has to go when there are more clients than may be.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Registry, Token};

use super::net::listener::Listener;

/// The listener of a loop, and how many clients there may be.
#[derive(Debug)]
pub(crate) struct Admission {
    listener: Option<Listener>,
    clients: usize,
    max_clients: usize,
    /// Nobody is let in any more.
    is_closed: bool,
    /// When to look for idle clients next, if there are as many as may be.
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

    /// Listens; gives the address, where a free port was asked for.
    ///
    /// # Errors
    /// The system's.
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

    /// The listener may have a connection.
    pub(crate) fn note_ready(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener.note_ready();
        }
    }

    /// Whether a client may be waiting, and can be taken in.
    pub(crate) fn may_accept(&self, now: Instant) -> bool {
        self.has_free_place() && self.listener.as_ref().is_some_and(|it| it.may_accept(now))
    }

    /// The next client, if one [may be accepted](Self::may_accept): its socket, its address, and ours.
    ///
    /// # Errors
    /// Out of descriptors or memory: accepting pauses.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
    ) -> io::Result<Option<(TcpStream, SocketAddr, SocketAddr)>> {
        match &mut self.listener {
            Some(listener) => listener.accept(now),
            None => Ok(None),
        }
    }

    pub(crate) fn client_came(&mut self) {
        self.clients += 1;
    }

    pub(crate) fn client_left(&mut self) {
        self.clients -= 1;
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients
    }

    fn has_free_place(&self) -> bool {
        self.clients < self.max_clients
    }

    /// Whether a client may stay when it was answered: while there is no place for others, it makes some.
    pub(crate) fn keeps_clients(&self) -> bool {
        !self.is_closed && self.has_free_place()
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.listener = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// While others wait and there is no place: since when a client has to be idle to be sent away now.
    pub(crate) fn idle_since(&mut self, now: Instant) -> Option<Instant> {
        if self.look_due().is_none_or(|due| due > now) {
            return None;
        }
        self.next_look = now + INTERVAL;
        now.checked_sub(IDLE)
    }

    /// When to accept again, or to look for idle clients, although nothing announces anything.
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

/// How long a client has to be idle to be sent away.
const IDLE: Duration = Duration::from_secs(1);

/// How often idle clients are looked for.
const INTERVAL: Duration = Duration::from_millis(100);
