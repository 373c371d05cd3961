//! Actions for the driver, and the reasons it reports for the end of a connection.

use std::io;

use super::close_reason::CloseReason;
use crate::event::ConnectionHandle;
use crate::server::ServerId;

/// An action that the driver carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Connect a new socket, then report [`handle_connected`](crate::Engine::handle_connected) or
    /// [`handle_closed`](crate::Engine::handle_closed). May come again for the same handle, after a pause,
    /// when [`Disconnected::BacklogFull`] was reported.
    Connect {
        /// The engine's handle for the new connection.
        connection: ConnectionHandle,
        /// The server to connect to.
        server: ServerId,
    },
    /// Close the socket. The handle is already stale. Ignore the action if the connection never had a socket.
    Close {
        /// The connection to close.
        connection: ConnectionHandle,
        /// Why it is closed, for logs.
        reason: CloseReason,
    },
    /// There are bytes to write: write what [`transmit`](crate::Engine::transmit) returns until it is empty or the
    /// socket is full. In the latter case continue when the socket becomes writable; no further `Flush` comes.
    Flush {
        /// The connection to write to.
        connection: ConnectionHandle,
    },
    /// Read once, whether or not readiness was announced. Either [`wants_read`](crate::Engine::wants_read) has become
    /// true, and edge-triggered readiness seen before is not announced again; or a time limit has expired, and the
    /// bytes it waits for may be in the socket.
    Read {
        /// The connection to read from.
        connection: ConnectionHandle,
    },
}

/// How a connection ended, or failed to be established, as seen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disconnected {
    /// The connect failed.
    ConnectFailed(io::ErrorKind),
    /// Connecting a Unix socket failed with `EAGAIN`: the listener's backlog is full. The engine asks for a new socket
    /// after a pause.
    BacklogFull,
    /// The application closed the connection: a read returned 0.
    Eof,
    /// A read or write failed. Report it after all bytes that could still be read were fed.
    Failed(io::ErrorKind),
    /// The connect failed because this side has no descriptor, port or memory for it. It does not count as a failure of
    /// the server: open connections continue, and other requests wait. The engine tries again when a socket of this
    /// client was closed, or after a pause.
    Shortage(io::ErrorKind),
}
