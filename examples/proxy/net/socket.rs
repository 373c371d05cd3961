//! A client's socket: its readiness, and the bytes that it has not taken yet.

use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;

use super::buffer_pool::BufferPool;
use super::outbox::{MAX_BATCHED, Outbox};

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    out: Outbox,
    is_readable: bool,
    is_writable: bool,
    /// The client has ended its stream, or the connection failed.
    is_ended: bool,
    /// A read or a write failed: the client is gone.
    is_failed: bool,
    /// When the client last made progress. While a head arrives: when its first byte arrived.
    last_progress: Instant,
}

impl Socket {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
        now: Instant,
    ) -> Self {
        Self {
            stream,
            peer,
            local,
            out: Outbox::default(),
            // A new connection often has a request already. If not, the first read finds that out.
            is_readable: true,
            is_writable: true,
            is_ended: false,
            is_failed: false,
            last_progress: now,
        }
    }

    /// The client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address that the client connected to.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The client's IP address. An IPv4-mapped one is converted to IPv4.
    pub(crate) fn client(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.is_readable
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.is_writable
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.is_failed
    }

    /// Whether the client has taken everything.
    pub(crate) fn is_sent(&self) -> bool {
        self.out.is_empty()
    }

    /// The number of bytes that the client has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// Restarts the client's time limit.
    pub(crate) fn note_progress(&mut self, now: Instant) {
        self.last_progress = now;
    }

    pub(crate) fn note_event(&mut self, event: &Event) {
        let failed = event.is_error();
        let ended = event.is_read_closed() || failed;
        self.is_readable |= event.is_readable() || ended;
        self.is_writable |= event.is_writable() || failed;
        self.is_ended |= ended;
    }

    /// Reads once into `space`, which must not be empty. `Some(0)`: end of the stream. `None`: nothing to read now, or
    /// a failure.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> Option<usize> {
        loop {
            match self.stream.read(space) {
                Ok(0) => {
                    self.is_ended = true;
                    self.is_readable = false;
                    return Some(0);
                }
                Ok(len) => {
                    // Events are edge-triggered: a short read has emptied the socket, and an event reports more.
                    if len < space.len() && cfg!(unix) && !self.is_ended {
                        self.is_readable = false;
                    }
                    return Some(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return None;
                }
                Err(_) => {
                    self.is_failed = true;
                    return None;
                }
            }
        }
    }

    /// The buffer for bytes that are sent at the end of the turn.
    pub(crate) fn tail(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        self.out.take_buffer(|| pool.take());
        self.out.tail()
    }

    /// Sends a few bytes at the end of the turn, more of them at once. Keeps what the client does not take.
    pub(crate) fn put(&mut self, now: Instant, parts: [&[u8]; 2], pool: &mut BufferPool) {
        if self.is_failed {
            return;
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.out.is_empty() {
            // The client's time limit starts now: there was nothing to send before.
            self.last_progress = now;
        }
        if !self.is_writable || self.out.len() + len <= MAX_BATCHED {
            self.out.take_buffer(|| pool.take());
            self.out.keep(&parts, 0);
            return;
        }
        self.last_progress = now;
        let sent = self.out.send(&mut self.stream, &parts);
        self.note_sent(sent);
    }

    /// Sends what is kept. True if the client took some of it.
    pub(crate) fn flush(&mut self) -> bool {
        if !self.is_writable || self.out.is_empty() {
            return false;
        }
        let before = self.out.len();
        let sent = self.out.flush(&mut self.stream);
        self.note_sent(sent);
        self.out.len() < before
    }

    fn note_sent(&mut self, sent: io::Result<bool>) {
        self.is_failed |= sent.is_err();
        self.is_writable = sent.unwrap_or(false);
    }

    /// Ends the proxy's side of the stream. False if that is no longer possible.
    pub(crate) fn shut_down(&self) -> bool {
        self.stream.shutdown(Shutdown::Write).is_ok()
    }

    /// Makes closing the connection reset it. A client that reads a body up to the end of the connection then sees that
    /// the body is incomplete.
    pub(crate) fn reset_when_closed(&self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Gives empty buffers back.
    #[inline]
    pub(crate) fn give_back(&mut self, pool: &mut BufferPool) {
        if let Some(buffer) = self.out.reclaim() {
            pool.give_back(buffer);
        }
    }

    #[cfg(test)]
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}
