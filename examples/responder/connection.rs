//! One transport connection: when it reads, when it writes, when it ends.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::Registry;
use mio::event::Event;

use super::buffers::Outbox;
use super::event_loop::Context;
use super::session::{Session, Violation};
use super::socket::Stream;

/// A socket and the session on it.
pub(super) struct Connection {
    stream: Stream,
    session: Session,
    out: Outbox,
    /// Input that was read but not used yet, because there is too much unsent output.
    unread: Vec<u8>,
    /// A read may return bytes. Events are edge-triggered, so this stays true until a read finds nothing.
    readable: bool,
    /// A write may succeed.
    writable: bool,
    /// The peer has closed its direction. So a short read may be followed by more bytes or the end of the stream.
    peer_closing: bool,
    phase: Phase,
    /// The time of this connection's entry in the loop's deadlines.
    pub(super) armed: Option<Instant>,
    /// The connection is in the loop's queue.
    pub(super) queued: bool,
}

enum Phase {
    /// Requests arrive and responses are sent.
    Serving,
    /// The peer sends nothing more. Responses are still sent.
    PeerFinished,
    /// Everything is sent. What the peer still sends is discarded: closing a socket with unread input makes the system
    /// reset the connection, and the reset could destroy the response.
    Lingering { until: Instant, left: usize },
    /// The socket has failed.
    HungUp,
}

/// What the loop does next with the connection.
pub(super) enum Next {
    /// Wait for an event or for the deadline.
    Wait { due: Option<Instant> },
    /// Give it another turn after the other connections.
    Again { due: Option<Instant> },
    /// Drop it.
    Close,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            session: Session::default(),
            out: Outbox::default(),
            unread: Vec::new(),
            readable: false,
            writable: true,
            peer_closing: false,
            phase: Phase::Serving,
            armed: None,
            queued: false,
        }
    }

    pub(super) fn note_readiness(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed();
        self.writable |= event.is_writable();
        self.peer_closing |= event.is_read_closed();
        if event.is_error() || event.is_write_closed() {
            self.phase = Phase::HungUp;
        }
    }

    /// Reads once at most, processes the input, writes the output.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>) -> Next {
        let result = match &mut self.phase {
            Phase::HungUp => Ok(Next::Close),
            Phase::Lingering { .. } => self.linger(cx),
            Phase::Serving | Phase::PeerFinished => self.serve(cx),
        };
        let next = result.unwrap_or_else(|why| {
            match why {
                Ended::Violation(violation) => log::warn!("closing a connection: {violation}"),
                Ended::Io(error) => log::debug!("a connection is lost: {error}"),
            }
            Next::Close
        });
        if matches!(next, Next::Close) {
            self.session.requests.give_back(cx.pool);
        }
        next
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.stream.source())
    }

    fn serve(&mut self, cx: &mut Context<'_>) -> Result<Next, Ended> {
        self.out.borrow_from(cx.pool);
        let received = self.receive(cx);
        self.session.requests.advance(cx, &mut self.out);
        self.flush(cx)?;
        received?;

        self.out.return_to(cx.pool);
        let held = self.out.unsent_len() + self.unread.len() + self.session.held_len();
        cx.counters.peak_held = cx.counters.peak_held.max(held as u64);
        if self.session.requests.is_finished() && self.out.unsent_len() == 0 {
            return self.finish(cx);
        }
        let due = self.session.due(cx.site, &self.out);
        let takes_input = self.session.takes_input(cx.site, &self.out);
        let may_read = self.readable && matches!(self.phase, Phase::Serving);
        let has_input = may_read || !self.unread.is_empty();
        let has_output = self.session.requests.is_sending() && self.writable;
        if (takes_input && has_input) || has_output {
            return Ok(Next::Again { due });
        }
        Ok(Next::Wait { due })
    }

    /// Gives the session the rest of the last read, or the bytes of one more read.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if !self.session.takes_input(cx.site, &self.out) {
            return Ok(());
        }
        if !self.unread.is_empty() {
            let mut bytes = std::mem::take(&mut self.unread);
            let mut rest = bytes.as_slice();
            self.session.receive(cx, &mut self.out, &mut rest)?;
            let taken = bytes.len() - rest.len();
            bytes.drain(..taken);
            if bytes.is_empty() {
                cx.pool.give(bytes);
            } else {
                self.unread = bytes;
            }
            return Ok(());
        }
        if !self.readable || matches!(self.phase, Phase::PeerFinished) {
            return Ok(());
        }
        // The session and the pool are used while the bytes are processed, so the buffer is moved out for that time.
        let buf = std::mem::take(&mut cx.buf);
        let result = self.read_into(cx, buf);
        cx.buf = buf;
        result
    }

    fn read_into(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Result<(), Ended> {
        let len = match self.read(buf)? {
            Some(0) => {
                self.phase = Phase::PeerFinished;
                self.session.requests.finish_input(cx);
                return Ok(());
            }
            Some(len) => len,
            None => return Ok(()),
        };
        cx.counters.reads += 1;
        let mut rest = &buf[..len];
        self.session.receive(cx, &mut self.out, &mut rest)?;
        if !rest.is_empty() && !self.session.requests.is_finished() {
            self.unread = cx.pool.take();
            self.unread.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Reads once. `None`: nothing to read; 0: the peer has ended its stream.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(buf) {
                Ok(len) => {
                    // A short read has emptied the socket, except on systems where mio has to see `WouldBlock`.
                    let is_drained = cfg!(unix) && len < buf.len() && !self.peer_closing;
                    self.readable = len > 0 && !is_drained;
                    return Ok(Some(len));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.writable && self.out.unsent_len() > 0 {
            match self.stream.write(self.out.unsent()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    cx.counters.writes += 1;
                    self.out.advance(len);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_>) -> Result<Next, Ended> {
        if matches!(self.phase, Phase::PeerFinished) {
            return Ok(Next::Close);
        }
        self.stream.shutdown_write()?;
        self.phase = Phase::Lingering {
            until: cx.now + LINGER_TIME,
            left: LINGER_LEN,
        };
        self.linger(cx)
    }

    fn linger(&mut self, cx: &mut Context<'_>) -> Result<Next, Ended> {
        let Phase::Lingering { until, left } = self.phase else {
            return Ok(Next::Close);
        };
        let due = Some(until);
        if cx.now >= until {
            return Ok(Next::Close);
        }
        if !self.readable {
            return Ok(Next::Wait { due });
        }
        let len = match self.read(cx.buf)? {
            Some(0) => return Ok(Next::Close),
            Some(len) => len,
            None => return Ok(Next::Wait { due }),
        };
        let Some(left) = left.checked_sub(len) else {
            return Ok(Next::Close);
        };
        self.phase = Phase::Lingering { until, left };
        Ok(if self.readable {
            Next::Again { due }
        } else {
            Next::Wait { due }
        })
    }
}

/// How long a peer may take to close after the last response.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// How many bytes a peer may still send after the last response.
const LINGER_LEN: usize = 16 * 1024 * 1024;
