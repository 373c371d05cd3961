//! What the turns need of a system: connects, reads and writes.

use std::fmt;
use std::io::{self, IoSlice};

use crate::address::Address;
use crate::event::ConnectionHandle;
use crate::server::ServerId;

/// The system's sockets ([`System`](super::system::System)), or those of a simulation. Its calls do not block, and mean
/// what the system's calls of the same name mean.
pub(crate) trait Transport: fmt::Debug {
    type Stream: fmt::Debug;

    /// Begins to connect. Events of the socket bear the index of the connection.
    fn connect(
        &mut self,
        connection: ConnectionHandle,
        server: ServerId,
        address: &Address,
    ) -> io::Result<Self::Stream>;

    /// Whether the connect has succeeded. Fails when it has failed.
    fn is_connected(&mut self, stream: &Self::Stream) -> io::Result<bool>;

    fn read(&mut self, stream: &mut Self::Stream, bytes: &mut [u8]) -> io::Result<usize>;

    fn write(&mut self, stream: &mut Self::Stream, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether a short read means that the socket is empty and that an event reports later bytes.
    fn is_drained_by_short_reads(&self, stream: &Self::Stream) -> bool;

    /// Closes the socket. No event of it follows, except those that the embedder has taken already.
    fn close(&mut self, stream: Self::Stream);
}

/// What an event says of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) is_readable: bool,
    pub(crate) is_read_closed: bool,
    pub(crate) is_writable: bool,
    pub(crate) is_write_closed: bool,
    pub(crate) is_error: bool,
    /// An urgent byte has arrived, which cuts reads short. Only Linux reports it.
    pub(crate) is_urgent: bool,
}
