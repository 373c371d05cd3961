//! A server of the virtual network.

use std::fmt;
use std::io;
use std::time::Duration;

use super::application::Application;
use super::link::Link;
use super::scripted::Scripted;

/// A server of the virtual network: how it is connected to, and what runs there.
pub struct Server {
    links: Box<dyn FnMut(usize) -> Link>,
    application: Option<Box<dyn Application>>,
    connects: Box<dyn FnMut(usize) -> Connect>,
    tap: Option<Tap>,
    on_notice: Option<OnNotice>,
    attempts: usize,
}

/// Sees what is written: the connection's number, the bytes.
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
            links: Box::new(|_| Link::default()),
            application: None,
            connects: Box::new(|_| Connect::Refuse(io::ErrorKind::ConnectionRefused)),
            tap: None,
            on_notice: None,
            attempts: 0,
        }
    }

    /// How connections made from now on behave.
    pub fn link(&mut self, link: Link) -> &mut Self {
        self.links(move |_| link.clone())
    }

    /// Gives each connection a link of its own, a slow one and a fast one say; the argument counts connects,
    /// from 0.
    pub fn links(&mut self, choose: impl FnMut(usize) -> Link + 'static) -> &mut Self {
        self.links = Box::new(choose);
        self
    }

    /// Puts an application there, and lets connects succeed.
    pub fn serve(&mut self, application: Scripted) -> &mut Self {
        self.application = Some(Box::new(application));
        self.connects = Box::new(|_| Connect::Accept);
        self
    }

    /// Shows all bytes that the client writes, with the connection's number, whether the application reads them
    /// or not.
    #[doc(hidden)]
    pub fn tap(&mut self, tap: impl FnMut(usize, &[u8]) + 'static) -> &mut Self {
        self.tap = Some(Box::new(tap));
        self
    }

    /// Shows what the driver learns of each connection, with the connection's number.
    #[doc(hidden)]
    pub fn on_notice(&mut self, show: impl FnMut(usize, Notice) + 'static) -> &mut Self {
        self.on_notice = Some(Box::new(show));
        self
    }

    /// Decides about connects; the argument counts them, from 0.
    ///
    /// A connection to a server without an application is never read and never answered, as one that waits in the
    /// backlog of a process that hangs.
    pub fn on_connect(&mut self, decide: impl FnMut(usize) -> Connect + 'static) -> &mut Self {
        self.connects = Box::new(decide);
        self
    }

    /// What becomes of the next attempt to connect, and its number.
    pub(super) fn decide(&mut self) -> (usize, Connect) {
        let attempt = self.attempts;
        self.attempts += 1;
        (attempt, (self.connects)(attempt))
    }

    /// The link of the connection that an attempt has led to.
    pub(super) fn link_of(&mut self, attempt: usize) -> Link {
        (self.links)(attempt)
    }

    pub(super) fn application(&mut self) -> Option<&mut (dyn Application + 'static)> {
        self.application.as_deref_mut()
    }

    /// The client has written bytes.
    pub(super) fn show_written(&mut self, number: usize, bytes: &[u8]) {
        if let Some(tap) = &mut self.tap {
            tap(number, bytes);
        }
    }

    /// The driver has learned something.
    pub(super) fn show(&mut self, number: usize, notice: Notice) {
        if let Some(show) = &mut self.on_notice {
            show(number, notice);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
