//! One virtual transport connection, and the server it leads to.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::application::{Application, Replies};
use super::wire::{End, Pipe, Wire};
use crate::event::ConnectionHandle;
use crate::wire::Demux;

/// A server of the virtual network: how it is connected to, and what runs there.
pub struct Server {
    pub(super) wire: Wire,
    pub(super) application: Option<Box<dyn Application>>,
    pub(super) connects: Box<dyn FnMut(usize) -> Connect>,
    pub(super) attempts: usize,
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
}

impl Server {
    pub(super) fn nowhere() -> Self {
        Self {
            wire: Wire::default(),
            application: None,
            connects: Box::new(|_| Connect::Refuse(io::ErrorKind::ConnectionRefused)),
            attempts: 0,
        }
    }

    /// How connections made from now on behave.
    pub fn wire(&mut self, wire: Wire) -> &mut Self {
        self.wire = wire;
        self
    }

    /// Puts an application there, and lets connects succeed.
    pub fn serve(&mut self, application: impl Application + 'static) -> &mut Self {
        self.application = Some(Box::new(application));
        self.connects = Box::new(|_| Connect::Accept);
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
            .field("wire", &self.wire)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Both ends of a connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) server: usize,
    pub(super) handle: ConnectionHandle,
    pub(super) to_application: Pipe,
    pub(super) to_client: Pipe,
    pub(super) is_open: bool,
    pub(super) client_closed: bool,
    /// The engine has asked for a flush and not everything was taken yet.
    pub(super) flushing: bool,
    pub(super) write_failed: bool,
    pub(super) queued: bool,
    pub(super) demux: Demux,
    pub(super) application_reads: bool,
    pub(super) application_closed: bool,
    /// The application has asked for the rest of what it was reading to be dropped.
    pub(super) discard_rest: bool,
    pub(super) told_closed: bool,
}

impl Link {
    pub(super) fn new(server: usize, handle: ConnectionHandle, wire: &Wire, now: Instant) -> Self {
        Self {
            server,
            handle,
            to_application: Pipe::new(wire.clone(), now),
            to_client: Pipe::new(wire.clone(), now),
            is_open: false,
            client_closed: false,
            flushing: false,
            write_failed: false,
            queued: false,
            demux: Demux::default(),
            application_reads: true,
            application_closed: false,
            discard_rest: false,
            told_closed: false,
        }
    }

    pub(super) fn has_input(&self) -> bool {
        self.to_client.unread_len() > 0 || self.to_client.ended().is_some()
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

    /// Hands what the application can read to it, one item at a time; false when there was none.
    pub(super) fn read_item(
        &mut self,
        number: usize,
        input: &mut &[u8],
        application: &mut dyn Application,
        replies: &mut Replies,
    ) -> bool {
        match self.demux.next(input) {
            Ok(Some(item)) => {
                application.received(number, item, replies);
                true
            }
            Ok(None) => false,
            Err(error) => {
                application.broken(number, error, replies);
                *input = &[];
                false
            }
        }
    }
}
