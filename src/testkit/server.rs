//! A server of the virtual network.

use std::fmt;
use std::io;
use std::time::Duration;

use super::application::Application;
use super::link::Link;
use super::scripted::Scripted;

/// A server of the virtual network: its application, its links, and what happens to connects.
///
/// It refuses connections until it has an application or [`on_connect`](Self::on_connect) says otherwise.
pub struct Server {
    links: Box<dyn FnMut(usize) -> Link>,
    application: Option<Box<dyn Application>>,
    connects: Box<dyn FnMut(usize) -> Connect>,
    tap: Option<Tap>,
    read_tap: Option<Tap>,
    on_notice: Option<OnNotice>,
    attempts: usize,
}

/// Called with the bytes that the client writes or reads, and the number of the connection.
type Tap = Box<dyn FnMut(usize, &[u8])>;

/// Called with what the driver learns of a connection, and the number of the connection.
type OnNotice = Box<dyn FnMut(usize, Notice)>;

/// What the driver learns of a connection, and reports to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Bytes were announced, or a read has left bytes: [`Engine::handle_readable`](crate::Engine::handle_readable).
    Readable,
    /// The end was announced: [`Engine::handle_read_closed`](crate::Engine::handle_read_closed).
    ReadClosed,
    /// A read has emptied the socket: [`Engine::handle_drained`](crate::Engine::handle_drained).
    Drained,
    /// The socket is closed.
    Closed,
}

/// What happens to one connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// It succeeds, after twice the latency.
    Accept,
    /// It succeeds, after twice the latency and this time.
    AcceptAfter(Duration),
    /// It fails with this error, after twice the latency.
    Refuse(io::ErrorKind),
    /// It neither succeeds nor fails.
    Hang,
    /// It fails at once, because the listener's backlog is full (`EAGAIN`).
    BacklogFull,
    /// It fails at once, because this side has no descriptor, port or memory for it:
    /// [`Disconnected::Shortage`](crate::Disconnected::Shortage).
    Shortage(io::ErrorKind),
}

impl Server {
    pub(super) fn nowhere() -> Self {
        Self {
            links: Box::new(|_| Link::default()),
            application: None,
            connects: Box::new(|_| Connect::Refuse(io::ErrorKind::ConnectionRefused)),
            tap: None,
            read_tap: None,
            on_notice: None,
            attempts: 0,
        }
    }

    /// Changes the link of connections that are made from now on.
    pub fn link(&mut self, link: Link) -> &mut Self {
        self.links(move |_| link.clone())
    }

    /// Chooses a link for each connection that is made from now on. The argument counts connects, from 0.
    pub fn links(&mut self, choose: impl FnMut(usize) -> Link + 'static) -> &mut Self {
        self.links = Box::new(choose);
        self
    }

    /// Sets the application, and lets connects succeed from now on.
    pub fn serve(&mut self, application: Scripted) -> &mut Self {
        self.application = Some(Box::new(application));
        self.connects = Box::new(|_| Connect::Accept);
        self
    }

    /// Calls `tap` with all bytes that the client writes and the number of the connection, whether the application
    /// reads them or not.
    #[doc(hidden)]
    pub fn tap(&mut self, tap: impl FnMut(usize, &[u8]) + 'static) -> &mut Self {
        self.tap = Some(Box::new(tap));
        self
    }

    /// Calls `tap` with all bytes that the client reads and the number of the connection.
    #[doc(hidden)]
    pub fn read_tap(&mut self, tap: impl FnMut(usize, &[u8]) + 'static) -> &mut Self {
        self.read_tap = Some(Box::new(tap));
        self
    }

    /// Calls `show` with what the driver learns of each connection, and the number of the connection.
    #[doc(hidden)]
    pub fn on_notice(&mut self, show: impl FnMut(usize, Notice) + 'static) -> &mut Self {
        self.on_notice = Some(Box::new(show));
        self
    }

    /// Decides what happens to each connect from now on. The argument counts connects, from 0. Call this
    /// after [`serve`](Self::serve), which lets all connects succeed.
    ///
    /// Without an application, an accepted connection is never read and never answered, as in the backlog of a process
    /// that hangs.
    pub fn on_connect(&mut self, decide: impl FnMut(usize) -> Connect + 'static) -> &mut Self {
        self.connects = Box::new(decide);
        self
    }

    /// Decides about the next connect. Returns its number as well.
    pub(super) fn decide(&mut self) -> (usize, Connect) {
        let attempt = self.attempts;
        self.attempts += 1;
        (attempt, (self.connects)(attempt))
    }

    /// The link for a connect.
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

    /// The client has read bytes.
    pub(super) fn show_read(&mut self, number: usize, bytes: &[u8]) {
        if let Some(tap) = &mut self.read_tap {
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
