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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::{Scripted, handle};

    fn error(kind: io::ErrorKind) -> io::Result<usize> {
        Err(kind.into())
    }

    fn connecting() -> Socket<()> {
        Socket::new(handle(0), ())
    }

    fn open() -> Socket<()> {
        let mut socket = connecting();
        let connected = socket.finish_connect(&mut Scripted(vec![Ok(1)]));
        assert!(connected.expect("it is connected"));
        socket
    }

    /// Writes ten bytes, in two slices. The last result is the first.
    fn write(socket: &mut Socket<()>, results: Vec<io::Result<usize>>) -> Written {
        let mut transport = Scripted(results);
        let slices = [IoSlice::new(b"0123"), IoSlice::new(b"456789")];
        let written = socket.write(&mut transport, &slices);
        assert!(transport.0.is_empty(), "one call for each result");
        written
    }

    /// Reads up to ten bytes.
    fn read(socket: &mut Socket<()>, results: Vec<io::Result<usize>>) -> Read {
        let mut transport = Scripted(results);
        let read = socket.read(&mut transport, &mut [0; 10]);
        assert!(transport.0.is_empty(), "one call for each result");
        read
    }

    #[test]
    fn each_readiness_means_what_it_says() {
        let none = Readiness::default();
        // The event; whether a read, a write or a close may be found then; whether a short read says nothing.
        let table = [
            (none, [false, false, false, false]),
            (
                Readiness {
                    is_readable: true,
                    ..none
                },
                [true, false, false, false],
            ),
            (
                Readiness {
                    is_read_closed: true,
                    ..none
                },
                [true, false, true, true],
            ),
            (
                Readiness {
                    is_writable: true,
                    ..none
                },
                [false, true, false, false],
            ),
            (
                Readiness {
                    is_write_closed: true,
                    ..none
                },
                [false, true, false, false],
            ),
            (
                Readiness {
                    is_error: true,
                    ..none
                },
                [true, true, true, true],
            ),
            (
                Readiness {
                    is_urgent: true,
                    ..none
                },
                [false, false, false, true],
            ),
        ];
        for (event, expected) in table {
            let mut socket = open();
            assert_eq!(
                write(&mut socket, vec![error(io::ErrorKind::WouldBlock)]),
                Written::Nothing
            );
            // Twice is as once, and what was noted before stays.
            for _ in 0..2 {
                socket.note_event(event);
                let is_cut = socket.peer_closed || socket.is_urgent;
                let noted = [
                    socket.may_read(),
                    socket.may_write(),
                    socket.is_peer_closed(),
                    is_cut,
                ];
                assert_eq!(noted, expected, "{event:?}");
            }
            socket.note_event(none);
            assert_eq!(socket.may_read(), expected[0], "{event:?}");
            assert_eq!(socket.may_write(), expected[1], "{event:?}");
            let drained = !expected[3];
            assert_eq!(
                read(&mut socket, vec![Ok(9)]),
                Read::Some { len: 9, drained },
                "{event:?}"
            );
            assert_eq!(socket.may_read(), !drained);
        }
    }

    #[test]
    fn a_full_read_leaves_more_to_read() {
        let mut socket = open();
        let full = Read::Some {
            len: 10,
            drained: false,
        };
        assert_eq!(read(&mut socket, vec![Ok(10)]), full);
        assert!(socket.may_read());
        let interrupted = error(io::ErrorKind::Interrupted);
        let empty = error(io::ErrorKind::WouldBlock);
        assert_eq!(read(&mut socket, vec![empty, interrupted]), Read::Nothing);
        assert!(!socket.may_read());
        assert_eq!(read(&mut socket, vec![Ok(0)]), Read::End(Disconnected::Eof));
        let reset = io::ErrorKind::ConnectionReset;
        assert_eq!(
            read(&mut socket, vec![error(reset)]),
            Read::End(Disconnected::Failed(reset))
        );
    }

    #[test]
    fn a_socket_is_written_once_it_is_connected_and_until_it_is_full() {
        let mut socket = connecting();
        assert!(socket.is_connecting() && socket.may_be_connected());
        assert!(!socket.may_write());
        let connected = socket.finish_connect(&mut Scripted(vec![Ok(0)]));
        assert!(!connected.expect("no error"));
        assert!(socket.is_connecting() && !socket.may_be_connected());
        let mut socket = open();
        assert!(!socket.is_connecting() && !socket.may_be_connected());
        assert!(socket.may_write() && !socket.may_read());
        let interrupted = error(io::ErrorKind::Interrupted);
        let all = Written::Some {
            len: 10,
            is_full: false,
        };
        assert_eq!(write(&mut socket, vec![Ok(10), interrupted]), all);
        assert!(socket.may_write());
        let is_full = cfg!(target_os = "linux");
        let part = Written::Some { len: 9, is_full };
        assert_eq!(write(&mut socket, vec![Ok(9)]), part);
        assert_eq!(socket.may_write(), !is_full);
    }

    /// What the application has sent before is read, then the write's failure is the end.
    #[test]
    fn a_failed_write_leaves_a_socket_that_is_read_to_its_end() {
        let zero = io::ErrorKind::WriteZero;
        let broken = io::ErrorKind::BrokenPipe;
        for (result, kind) in [(Ok(0), zero), (error(broken), broken)] {
            let mut socket = open();
            assert_eq!(write(&mut socket, vec![result]), Written::Failed);
            assert!(socket.may_read() && socket.is_peer_closed() && !socket.may_write());
            let answer = Read::Some {
                len: 9,
                drained: false,
            };
            assert_eq!(read(&mut socket, vec![Ok(9)]), answer);
            assert!(socket.may_read());
            assert_eq!(
                read(&mut socket, vec![error(io::ErrorKind::WouldBlock)]),
                Read::End(Disconnected::Failed(kind))
            );
        }
    }
}
