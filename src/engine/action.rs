//! What the driver is asked to do, and how it says that a connection is gone.

use std::io;

use super::close_reason::CloseReason;
use crate::event::ConnectionHandle;

/// Something the driver is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Connect a new socket, then report [`handle_connected`](crate::Engine::handle_connected) or
    /// [`handle_closed`](crate::Engine::handle_closed). May come again for the same handle, after
    /// [`Disconnected::BacklogFull`].
    Connect {
        /// The engine's name for it.
        connection: ConnectionHandle,
        /// Index into [`Config::servers`](crate::Config::servers).
        server: usize,
    },
    /// Close the socket; the handle is stale already. One that was never connected is ignored.
    Close {
        /// The engine's name for it.
        connection: ConnectionHandle,
        /// Why, for logs.
        reason: CloseReason,
    },
    /// There is something to write: take [`transmit`](crate::Engine::transmit) until it is empty or the socket is
    /// full; then go on when the socket is writable, without a further `Flush`.
    Flush {
        /// The engine's name for it.
        connection: ConnectionHandle,
    },
    /// Read once, whether something was announced or not: [`wants_read`](crate::Engine::wants_read) has become true, and
    /// edge-triggered readiness that was seen meanwhile is not announced again; or a time limit is over, and what it waits
    /// for may be there.
    Read {
        /// The engine's name for it.
        connection: ConnectionHandle,
    },
}

/// How a connection ended, or never began, on the driver's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disconnected {
    /// The connect failed.
    ConnectFailed(io::ErrorKind),
    /// The connect of a Unix socket gave `EAGAIN`: the listener's backlog is full. A new socket is asked for
    /// after a pause.
    BacklogFull,
    /// The application closed it: a read gave 0.
    Eof,
    /// A read or write failed. Report it after everything that could still be read was fed.
    Failed(io::ErrorKind),
    /// The connect failed because this side has no descriptor, port or memory for it: not the server's failure. What is
    /// connected goes on, the rest waits; tried again when a socket of this client's was closed, or after a pause.
    Shortage(io::ErrorKind),
}
