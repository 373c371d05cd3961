//! One virtual transport connection, and the server it leads to.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::application::Application;
use super::framing::Framing;
use super::wire::{AfterClose, End, Pipe, Towards, Wire};
use crate::event::ConnectionHandle;

/// A server of the virtual network: how it is connected to, and what runs there.
pub struct Server {
    pub(super) wires: Box<dyn FnMut(usize) -> Wire>,
    pub(super) application: Option<Box<dyn Application>>,
    pub(super) connects: Box<dyn FnMut(usize) -> Connect>,
    pub(super) tap: Option<Tap>,
    pub(super) on_notice: Option<OnNotice>,
    pub(super) attempts: usize,
}

/// Sees what is written: the connection's number, the octets.
type Tap = Box<dyn FnMut(usize, &[u8])>;

/// Sees what the driver is told of a connection, or finds: its number, and what it is.
type OnNotice = Box<dyn FnMut(usize, Notice)>;

/// What the driver learns of a connection, and tells the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Bytes were announced, or a read has left some: [`Engine::handle_readable`](crate::Engine::handle_readable).
    Readable,
    /// The end was announced: [`Engine::handle_read_closed`](crate::Engine::handle_read_closed).
    ReadClosed,
    /// A read has emptied the socket: [`Engine::handle_drained`](crate::Engine::handle_drained).
    Drained,
    /// The socket is closed, by either side.
    Closed,
}

/// What becomes of one attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// It succeeds, after twice the latency.
    Accept,
    /// It succeeds, so much later than that.
    AcceptAfter(Duration),
    /// It fails, after twice the latency.
    Refuse(io::ErrorKind),
    /// Nothing ever comes back.
    Hang,
    /// The listener's backlog is full: `EAGAIN`, at once.
    BacklogFull,
    /// This side has no descriptor, port or memory for it: [`Disconnected::Shortage`](crate::Disconnected::Shortage), at
    /// once.
    Shortage(io::ErrorKind),
}

impl Server {
    pub(super) fn nowhere() -> Self {
        Self {
            wires: Box::new(|_| Wire::default()),
            application: None,
            connects: Box::new(|_| Connect::Refuse(io::ErrorKind::ConnectionRefused)),
            tap: None,
            on_notice: None,
            attempts: 0,
        }
    }

    /// How connections made from now on behave.
    pub fn wire(&mut self, wire: Wire) -> &mut Self {
        self.wires(move |_| wire.clone())
    }

    /// Gives each connection a wire of its own, a slow one and a fast one say; the argument counts connects,
    /// from 0.
    pub fn wires(&mut self, choose: impl FnMut(usize) -> Wire + 'static) -> &mut Self {
        self.wires = Box::new(choose);
        self
    }

    /// Puts an application there, and lets connects succeed.
    pub fn serve(&mut self, application: impl Application + 'static) -> &mut Self {
        self.application = Some(Box::new(application));
        self.connects = Box::new(|_| Connect::Accept);
        self
    }

    /// Shows all octets that the client writes, with the connection's number, whether the application reads them
    /// or not.
    pub fn tap(&mut self, tap: impl FnMut(usize, &[u8]) + 'static) -> &mut Self {
        self.tap = Some(Box::new(tap));
        self
    }

    /// Shows what the driver learns of each connection, with the connection's number.
    pub fn on_notice(&mut self, show: impl FnMut(usize, Notice) + 'static) -> &mut Self {
        self.on_notice = Some(Box::new(show));
        self
    }

    /// Decides about connects; the argument counts them, from 0.
    pub fn on_connect(&mut self, decide: impl FnMut(usize) -> Connect + 'static) -> &mut Self {
        self.connects = Box::new(decide);
        self
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Both ends of a connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) server: usize,
    pub(super) handle: ConnectionHandle,
    /// When its connect began.
    pub(super) since: Instant,
    pub(super) to_application: Pipe,
    pub(super) to_client: Pipe,
    /// When the system has decided about its connect, and the error if that fails; the client learns it later.
    pub(super) decided: Option<(Instant, Option<io::ErrorKind>)>,
    pub(super) is_open: bool,
    pub(super) client_closed: bool,
    /// Something to read, or the end, was announced and is not read yet, as far as the driver knows.
    pub(super) readable: bool,
    /// The end was announced: a short read is not the last.
    pub(super) end_announced: bool,
    /// The engine has asked for a flush and not everything was taken yet.
    pub(super) flushing: bool,
    /// A write failed; what the application had sent before is still read.
    pub(super) write_failed: bool,
    pub(super) queued: bool,
    pub(super) wire: Wire,
    pub(super) framing: Framing,
    /// Octets that have passed in the direction that the wire's [`Break`](super::Break) counts.
    pub(super) passed: u64,
    pub(super) application_reads: bool,
    pub(super) application_closed: bool,
    /// The application has ended the direction to it: writes fail.
    pub(super) takes_nothing: bool,
    /// A reset is on its way back, for something was written after the application had closed.
    pub(super) reset_is_due: bool,
    /// It has come: writes fail.
    pub(super) was_reset: bool,
    /// The application has asked for the rest of what it was reading to be dropped.
    pub(super) discard_rest: bool,
    /// Octets that were read and put back.
    pub(super) put_back: usize,
    pub(super) told_closed: bool,
}

impl Link {
    pub(super) fn new(server: usize, handle: ConnectionHandle, wire: &Wire, now: Instant) -> Self {
        Self {
            server,
            handle,
            since: now,
            to_application: Pipe::new(wire.clone(), now),
            to_client: Pipe::new(wire.clone(), now),
            decided: None,
            is_open: false,
            client_closed: false,
            readable: false,
            end_announced: false,
            flushing: false,
            write_failed: false,
            queued: false,
            wire: wire.clone(),
            framing: Framing::default(),
            passed: 0,
            application_reads: true,
            application_closed: false,
            takes_nothing: false,
            reset_is_due: false,
            was_reset: false,
            discard_rest: false,
            put_back: 0,
            told_closed: false,
        }
    }

    pub(super) fn has_input(&self) -> bool {
        self.to_client.unread_len() > 0 || self.to_client.has_end()
    }

    /// Whether a write fails, instead of taking something or having to wait.
    pub(super) fn refuses_writes(&self) -> bool {
        let is_unix = self.wire.after_close == AfterClose::Fails;
        self.takes_nothing
            || self.was_reset
            || self.to_client.was_reset()
            || (self.application_closed && is_unix)
    }

    /// Octets that can still pass before the wire breaks.
    pub(super) fn before_break(&self, towards: Towards) -> usize {
        match self.wire.breaks {
            Some(own) if own.counts == towards => {
                usize::try_from(own.after.saturating_sub(self.passed)).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        }
    }

    pub(super) fn count(&mut self, towards: Towards, len: usize) {
        if self.wire.breaks.is_some_and(|own| own.counts == towards) {
            self.passed += len as u64;
        }
    }

    /// How it ends, if its wire breaks at this octet.
    pub(super) fn breaks_now(&self) -> Option<End> {
        let own = self.wire.breaks?;
        let is_due = self.is_open && !self.application_closed && self.passed >= own.after;
        is_due.then_some(own.end)
    }

    /// The client drops its socket; the application learns it behind what was sent.
    pub(super) fn hang_up(&mut self, now: Instant) -> Option<Instant> {
        self.client_closed = true;
        self.flushing = false;
        self.to_application.finish(now, End::Fin)
    }

    /// Nobody will do anything with it any more.
    pub(super) fn is_over(&self) -> bool {
        self.client_closed && (self.application_closed || self.told_closed || !self.is_open)
    }
}
