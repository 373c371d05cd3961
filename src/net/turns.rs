//! The turn of a connection: it is connected, written and read, and the engine gets the results.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::time::Instant;

use log::{debug, trace};

use super::read_buf::ReadBuf;
use super::rounds::Rounds;
use super::socket::{Read, Written};
use super::sockets::Sockets;
use super::transport::{Readiness, Transport};
use crate::engine::{Action, Disconnected, Engine};
use crate::event::ConnectionHandle;
use crate::server::ServerId;

/// The sockets of a client, and the order of their turns.
#[derive(Debug)]
pub(super) struct Turns<T: Transport> {
    sockets: Sockets<T>,
    rounds: Rounds,
}

impl<T: Transport> Turns<T> {
    pub(super) fn new(transport: T, tokens: Range<usize>, are_used: bool) -> Self {
        Self {
            sockets: Sockets::new(transport, tokens, are_used),
            rounds: Rounds::default(),
        }
    }

    pub(super) fn tokens(&self) -> &Range<usize> {
        self.sockets.tokens()
    }

    #[cfg(feature = "testkit")]
    pub(super) fn transport(&self) -> &T {
        self.sockets.transport()
    }

    pub(super) fn transport_mut(&mut self) -> &mut T {
        self.sockets.transport_mut()
    }

    /// The number of turns that are due.
    pub(super) fn len(&self) -> usize {
        self.rounds.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Whether a socket is being connected.
    #[inline]
    pub(super) fn has_connects(&self) -> bool {
        self.sockets.has_connects()
    }

    /// Notes a readiness event, without any I/O. Returns false when its token is not one of the client's.
    #[inline]
    pub(super) fn note_event(
        &mut self,
        engine: &mut Engine,
        token: usize,
        event: Readiness,
    ) -> bool {
        let Some(index) = self.sockets.index_of(token) else {
            return false;
        };
        if let Some(socket) = self.sockets.get_mut(index) {
            socket.note_event(event);
            if socket.is_peer_closed() {
                engine.note_read_closed(socket.handle());
            } else if socket.may_read() {
                engine.note_readable(socket.handle());
            }
            self.rounds.enqueue(index);
        } else {
            self.sockets.log_overlap(index);
        }
        true
    }

    /// Finishes connects after a time limit has passed: a socket that is connected by now has not timed out, even if no
    /// event has reported it.
    pub(super) fn finish_connects(&mut self, engine: &mut Engine, now: Instant) {
        let mut from = 0;
        while let Some(index) = self.sockets.next_connecting(from) {
            self.finish_connect(engine, now, index);
            // What an earlier event reported may still wait for the turn.
            self.rounds.enqueue(index);
            from = index + 1;
        }
    }

    /// Carries out an action of the engine: now, or in the connection's turn.
    #[inline(always)]
    pub(super) fn act(&mut self, engine: &mut Engine, now: Instant, action: Action) {
        match action {
            Action::Connect { connection, server } => {
                self.connect(engine, now, connection, server);
            }
            Action::Close { connection, reason } => {
                if self.sockets.close(connection) {
                    trace!(
                        "token {}: closed, {reason:?}",
                        self.sockets.token(connection)
                    );
                }
            }
            Action::Flush { connection } => {
                if self.sockets.of(connection).is_some_and(|it| it.may_write()) {
                    if engine.reads_first(connection) {
                        // Read once before writing, and late: an application that closes after its last answer is about
                        // to do so.
                        self.rounds.enqueue_next(connection.index());
                    } else {
                        self.write(engine, now, connection.index());
                    }
                }
            }
            Action::Read { connection } => {
                if let Some(socket) = self.sockets.of(connection) {
                    // Perhaps no event has announced bytes. A time limit has passed, and the answer may be there all
                    // the same.
                    if engine.is_unread(connection) {
                        socket.note_unread();
                    }
                    if socket.may_read() {
                        self.rounds.enqueue(connection.index());
                    }
                }
            }
        }
    }

    /// The connection whose turn it is. `None` when the embedder has to handle its own sockets first.
    #[inline(always)]
    pub(super) fn next(&mut self, buf_len: usize) -> Option<usize> {
        self.rounds.next_turn(buf_len)
    }

    /// One connection's turn: finishes its connect, writes what waits, reads at most one buffer. Returns the connection
    /// when its bytes are in the buffer.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        index: usize,
        buf: &mut ReadBuf,
    ) -> Option<ConnectionHandle> {
        let mut socket = self.sockets.get(index)?;
        let handle = socket.handle();
        if socket.may_be_connected() {
            self.finish_connect(engine, now, index);
            socket = self.sockets.get(index)?;
        }
        if socket.may_write() && engine.wants_write(handle) {
            if engine.reads_first(handle) {
                let has_read = self.read(engine, now, index, buf);
                if has_read || engine.reads_first(handle) {
                    // Bytes have arrived, or perhaps not all of them. The engine gets them first; then the connection
                    // has another turn.
                    self.rounds.enqueue(index);
                    return has_read.then_some(handle);
                }
            }
            self.write(engine, now, index);
        }
        let may_read = self.sockets.get(index)?.may_read() && engine.wants_read(handle);
        let has_read = may_read && self.read(engine, now, index, buf);
        has_read.then_some(handle)
    }

    fn connect(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        handle: ConnectionHandle,
        server: ServerId,
    ) {
        // A removed server keeps its address while it has connections.
        let Some(address) = engine.server_address(server) else {
            return;
        };
        match self.sockets.connect(handle, server, address) {
            Ok(()) => self.rounds.enqueue(handle.index()),
            Err(error) => {
                debug!(
                    "connection {}: not connected to {address}, {error}",
                    handle.index
                );
                let why = match error.kind() {
                    io::ErrorKind::WouldBlock => Disconnected::BacklogFull,
                    _ => why_not_connected(&error),
                };
                engine.handle_closed(now, handle, why);
            }
        }
    }

    /// Checks whether a socket is connected, and reports the result to the engine.
    fn finish_connect(&mut self, engine: &mut Engine, now: Instant, index: usize) {
        let Some(socket) = self.sockets.get(index) else {
            return;
        };
        let handle = socket.handle();
        match self.sockets.finish_connect(index) {
            Ok(true) => engine.handle_connected(now, handle),
            Ok(false) => {}
            Err(error) => {
                debug!("connection {index}: not connected, {error}");
                self.report_lost(engine, now, handle, why_not_connected(&error));
            }
        }
    }

    /// Writes until no bytes are left, the socket is full, or the turn is over.
    #[inline]
    fn write(&mut self, engine: &mut Engine, now: Instant, index: usize) {
        let Some((socket, transport)) = self.sockets.with_transport(index) else {
            return;
        };
        let handle = socket.handle();
        let mut left = WRITE_TURN;
        loop {
            let slices = engine.transmit(handle);
            if slices.is_empty() {
                return;
            }
            match socket.write(transport, &slices) {
                Written::Some { len, is_full } => {
                    engine.handle_transmitted(now, handle, len);
                    self.rounds.count(len);
                    left = left.saturating_sub(len);
                    if is_full {
                        return;
                    }
                    if left == 0 {
                        self.rounds.enqueue_next(index);
                        return;
                    }
                }
                Written::Nothing => return,
                Written::Failed => {
                    self.rounds.enqueue(index);
                    return;
                }
            }
        }
    }

    /// Writes once, outside of the connection's turn. Returns how many bytes the socket has taken. Its turn follows if it
    /// has failed.
    pub(super) fn write_now(&mut self, handle: ConnectionHandle, slices: &[IoSlice<'_>]) -> usize {
        let Some((socket, transport)) = self.sockets.with_transport(handle.index()) else {
            return 0;
        };
        if socket.handle() != handle || !socket.may_write() || slices.is_empty() {
            return 0;
        }
        match socket.write(transport, slices) {
            Written::Some { len, .. } => {
                self.rounds.count(len);
                len
            }
            Written::Nothing => 0,
            Written::Failed => {
                self.rounds.enqueue(handle.index());
                0
            }
        }
    }

    /// Reads once. Returns true when bytes were read.
    #[inline]
    fn read(&mut self, engine: &mut Engine, now: Instant, index: usize, buf: &mut ReadBuf) -> bool {
        let Some((socket, transport)) = self.sockets.with_transport(index) else {
            return false;
        };
        let handle = socket.handle();
        match socket.read(transport, buf.memory()) {
            Read::Some { len, drained } => {
                buf.filled(len);
                self.rounds.count(len);
                if drained {
                    engine.note_drained(handle);
                } else {
                    engine.note_readable(handle);
                    self.rounds.enqueue_next(index);
                }
                return true;
            }
            Read::Nothing => engine.handle_drained(now, handle),
            Read::End(why) => self.report_lost(engine, now, handle, why),
        }
        false
    }

    /// Reports to the engine that a connection has ended.
    fn report_lost(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        handle: ConnectionHandle,
        why: Disconnected,
    ) {
        self.sockets.close(handle);
        engine.handle_closed(now, handle, why);
    }
}

/// The reason that is reported to the engine for a failed connect.
fn why_not_connected(error: &io::Error) -> Disconnected {
    if is_shortage(error) {
        Disconnected::Shortage(error.kind())
    } else {
        Disconnected::ConnectFailed(error.kind())
    }
}

/// Whether a connect has failed because this side has no file descriptor, port or memory left.
fn is_shortage(error: &io::Error) -> bool {
    if matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::AddrInUse
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::StorageFull
    ) {
        return true;
    }
    // EMFILE, ENFILE and ENOBUFS, which have no `ErrorKind`.
    let codes: &[i32] = if cfg!(windows) {
        &[10024, 10055]
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        &[24, 23, 105]
    } else {
        &[24, 23, 55]
    };
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}

/// The bytes that one turn writes at most before the connection goes to the back of the queue. An application that reads as
/// fast as they are written has answers to some 150 requests by then: they are read while their requests are still in the
/// processor's cache. With 1 MiB, a request of 60,000 in flight misses 8 lines more.
const WRITE_TURN: usize = 128 * 1024;
