//! One socket and its state: whether it is connected, and what a read or a write would find.

use std::io::{self, IoSlice};

use log::debug;

use super::transport::{Readiness, Transport};
use crate::engine::Disconnected;
use crate::event::ConnectionHandle;

/// The socket of one connection.
#[derive(Debug)]
pub(super) struct Socket<S> {
    handle: ConnectionHandle,
    stream: S,
    phase: Phase,
    /// The socket may have bytes to read, or may be at its end.
    readable: bool,
    /// The socket may take bytes.
    writable: bool,
    /// The peer has closed the connection: more may follow a short read.
    peer_closed: bool,
    /// An urgent byte has arrived: more may follow a short read.
    is_urgent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// A write has failed. Bytes that the application sent before are still read.
    ReadOnly(io::ErrorKind),
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// `len` bytes. If `drained`, the socket is empty now, and an event reports later bytes.
    Some { len: usize, drained: bool },
    /// No bytes for now.
    Nothing,
    /// The connection has ended.
    End(Disconnected),
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The socket has taken `len` bytes. `is_full`: it takes no more for now.
    Some { len: usize, is_full: bool },
    /// The socket is full.
    Nothing,
    /// The write has failed. The socket takes no more bytes.
    Failed,
}

impl<S> Socket<S> {
    /// A socket that is being connected.
    pub(super) fn new(handle: ConnectionHandle, stream: S) -> Self {
        Self {
            handle,
            stream,
            phase: Phase::Connecting,
            readable: false,
            // A Unix socket is connected at once, without an event.
            writable: true,
            peer_closed: false,
            is_urgent: false,
        }
    }

    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    #[inline]
    pub(super) fn handle(&self) -> ConnectionHandle {
        self.handle
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Whether a connect may have finished.
    #[inline]
    pub(super) fn may_be_connected(&self) -> bool {
        self.phase == Phase::Connecting && self.writable
    }

    #[inline]
    pub(super) fn may_write(&self) -> bool {
        self.phase == Phase::Open && self.writable
    }

    #[inline]
    pub(super) fn may_read(&self) -> bool {
        self.readable
    }

    /// Whether the peer has closed the connection, as far as events have reported it.
    #[inline]
    pub(super) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Notes a readiness event.
    #[inline]
    pub(super) fn note_event(&mut self, event: Readiness) {
        let failed = event.is_error;
        self.readable |= event.is_readable || event.is_read_closed || failed;
        self.writable |= event.is_writable || event.is_write_closed || failed;
        self.peer_closed |= event.is_read_closed || failed;
        self.is_urgent |= event.is_urgent;
    }

    /// Notes that the engine wants to read, although perhaps no event has announced bytes.
    pub(super) fn note_unread(&mut self) {
        self.readable = true;
    }

    /// Checks whether the socket is connected. Fails when the connect has failed.
    pub(super) fn finish_connect<T>(&mut self, transport: &mut T) -> io::Result<bool>
    where
        T: Transport<Stream = S>,
    {
        let is_connected = transport.is_connected(&self.stream)?;
        if is_connected {
            self.phase = Phase::Open;
        } else {
            self.writable = false;
        }
        Ok(is_connected)
    }

    /// Writes once.
    #[inline]
    pub(super) fn write<T>(&mut self, transport: &mut T, slices: &[IoSlice<'_>]) -> Written
    where
        T: Transport<Stream = S>,
    {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        loop {
            match transport.write(&mut self.stream, slices) {
                Ok(len) if len > 0 => {
                    // On Linux, a short write means that the socket is full. An event reports when it is writable
                    // again.
                    let is_full = len < offered && cfg!(target_os = "linux");
                    self.writable = !is_full;
                    return Written::Some { len, is_full };
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Written::Nothing;
                }
                other => {
                    debug!("connection {}: write failed, {other:?}", self.handle.index);
                    // The application may have answered before it closed the connection: the answer is read first.
                    let kind = other.err().map_or(io::ErrorKind::WriteZero, |it| it.kind());
                    self.phase = Phase::ReadOnly(kind);
                    self.readable = true;
                    self.peer_closed = true;
                    return Written::Failed;
                }
            }
        }
    }

    /// Reads once.
    #[inline]
    pub(super) fn read<T>(&mut self, transport: &mut T, memory: &mut [u8]) -> Read
    where
        T: Transport<Stream = S>,
    {
        let read = loop {
            match transport.read(&mut self.stream, memory) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match read {
            Ok(0) => Read::End(Disconnected::Eof),
            Ok(len) => {
                // Edge-triggered: after a short read the socket is empty, and an event reports later bytes. The end of
                // the stream may have been reported already.
                let may_be_cut = self.peer_closed || self.is_urgent;
                let is_short = len < memory.len();
                let drained =
                    is_short && !may_be_cut && transport.is_drained_by_short_reads(&self.stream);
                self.readable = !drained;
                Read::Some { len, drained }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                match self.phase {
                    Phase::ReadOnly(kind) => Read::End(Disconnected::Failed(kind)),
                    Phase::Connecting | Phase::Open => Read::Nothing,
                }
            }
            Err(error) => {
                debug!("connection {}: read failed, {error}", self.handle.index);
                Read::End(Disconnected::Failed(error.kind()))
            }
        }
    }
}
