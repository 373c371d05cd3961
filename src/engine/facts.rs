//! Facts from the driver about connections.

use std::io;
use std::time::Instant;

use super::close_reason::CloseReason;
use super::connection::{Input, State, Step};
use super::{Disconnected, Engine};
use crate::error::{ConnectError, LostReason, RequestError};
use crate::event::ConnectionHandle;

impl Engine {
    /// The driver's socket is connected.
    pub fn handle_connected(&mut self, now: Instant, connection: ConnectionHandle) {
        let now = self.tick(now);
        let Some(key) = self.connection_key(connection) else {
            return;
        };
        if self.connections[key].state.step(Input::Connected) == Step::Open {
            self.open(now, key as u32);
            self.settle(now);
        }
    }

    /// Something is waiting in a connection's socket, bytes or an end, and was not read yet. Until a read has found the
    /// socket empty, [`handle_drained`](Self::handle_drained), a connection without a request is not handed out: what
    /// waits is either its end or left over from an earlier request.
    ///
    /// A driver on readiness calls this for each announcement, at once, so that a command given before the next read
    /// finds the connection as it is. A driver that never calls it promises to read before it gives commands.
    pub fn handle_readable(&mut self, now: Instant, connection: ConnectionHandle) {
        self.tick(now);
        self.note_readable(connection);
    }

    /// As [`handle_readable`](Self::handle_readable), when the end of the application's stream was announced, but not
    /// read: the connection takes no further request, shared or not, unless a read finds the socket empty and no end.
    /// [`handle_closed`](Self::handle_closed) follows once the end was read.
    pub fn handle_read_closed(&mut self, now: Instant, connection: ConnectionHandle) {
        self.tick(now);
        self.note_read_closed(connection);
    }

    /// A read brought less than it had room for, where that means that the socket is empty behind it, as it does with an
    /// edge-triggered selector. To be called before the bytes of that read are fed: a request that ends with them then
    /// leaves a connection that can be used at once.
    pub fn handle_short_read(&mut self, now: Instant, connection: ConnectionHandle) {
        self.tick(now);
        self.note_drained(connection);
    }

    /// A read found a connection's socket empty: it would have blocked. Everything that was read before has been fed.
    pub fn handle_drained(&mut self, now: Instant, connection: ConnectionHandle) {
        let now = self.tick(now);
        self.note_drained(connection);
        if let Some(key) = self.connection_key(connection) {
            // An end that was announced would have been found.
            self.connections[key].is_ending = false;
            self.finish_read(now, key as u32);
            self.settle(now);
        }
    }

    /// The driver will report what it finds, though it has found nothing yet.
    pub(crate) fn expect_reports(&mut self) {
        self.reads_are_told = true;
    }

    #[inline]
    pub(crate) fn note_readable(&mut self, connection: ConnectionHandle) {
        self.reads_are_told = true;
        if let Some(own) = self.connections.get_mut(connection.index as usize)
            && own.generation == connection.generation
        {
            own.unread = true;
            if std::mem::take(&mut own.is_available) {
                let server = usize::from(own.server);
                self.servers[server].remove_idle(connection.index);
            }
        }
    }

    /// Whether something was announced for a connection, or is to be looked for, and was not read.
    pub(crate) fn is_unread(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection).is_some_and(|it| it.unread)
    }

    pub(crate) fn note_read_closed(&mut self, connection: ConnectionHandle) {
        self.note_readable(connection);
        if let Some(key) = self.connection_key(connection) {
            self.connections[key].is_ending = true;
        }
    }

    /// The socket is empty behind the bytes that are to be fed next. What follows comes with them.
    #[inline]
    pub(crate) fn note_drained(&mut self, connection: ConnectionHandle) {
        self.reads_are_told = true;
        if let Some(own) = self.connections.get_mut(connection.index as usize)
            && own.generation == connection.generation
        {
            own.unread = false;
            own.reads_first = false;
            own.is_feeding = true;
        }
    }

    /// Whether a connection's socket is to be read once before anything is written to it: it has served before, and the
    /// request that is to leave may not be sent a second time. An end that is found sends it elsewhere, unharmed; so do
    /// bytes. Over with [`handle_drained`](Self::handle_drained), or with the first byte written.
    #[inline]
    #[must_use]
    pub fn reads_first(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(|connection| connection.reads_first)
    }

    /// The driver's socket is gone, or was never connected; the driver has dropped it. Feed everything
    /// that could be read before: a response that is complete counts, whatever came after it.
    pub fn handle_closed(&mut self, now: Instant, connection: ConnectionHandle, why: Disconnected) {
        let now = self.tick(now);
        let Some(key) = self.connection_key(connection) else {
            return;
        };
        let is_connecting = self.connections[key].is_connecting();
        let key = key as u32;
        let input = match why {
            Disconnected::BacklogFull if is_connecting => Input::BacklogFull,
            Disconnected::Shortage(_) if is_connecting => Input::Shortage,
            Disconnected::BacklogFull | Disconnected::Shortage(_) => Input::Closed,
            Disconnected::ConnectFailed(_) | Disconnected::Eof | Disconnected::Failed(_) => {
                Input::Closed
            }
        };
        let connection = &mut self.connections[key as usize];
        match connection.state.step(input) {
            Step::Redial => {
                let State::Connecting { since } = connection.state else {
                    return;
                };
                connection.redials = connection.redials.saturating_add(1);
                let pauses = u32::from(connection.redials).min(LONGEST_REDIAL_PAUSE);
                let until = now + self.config.backoff.after(pauses);
                connection.state = State::Redialing { since, until };
                self.counters.backlog_full += 1;
                self.arm_connection(key);
            }
            Step::Postpone => {
                if let Disconnected::Shortage(kind) = why {
                    self.postpone(now, key, kind);
                }
            }
            Step::Failed => {
                let kind = match why {
                    Disconnected::ConnectFailed(kind)
                    | Disconnected::Failed(kind)
                    | Disconnected::Shortage(kind) => kind,
                    Disconnected::Eof => io::ErrorKind::UnexpectedEof,
                    Disconnected::BacklogFull => io::ErrorKind::WouldBlock,
                };
                self.connect_failed(now, key, ConnectError::Failed(kind));
            }
            Step::Gone => {
                let reason = if connection.live == 0 {
                    CloseReason::ClosedIdle
                } else {
                    CloseReason::Lost
                };
                let lost = match why {
                    Disconnected::ConnectFailed(kind)
                    | Disconnected::Failed(kind)
                    | Disconnected::Shortage(kind) => LostReason::Io(kind),
                    Disconnected::Eof | Disconnected::BacklogFull => LostReason::Closed,
                };
                self.lose(now, key, reason, RequestError::Lost(lost));
            }
            Step::Open
            | Step::Dial
            | Step::Close
            | Step::Drain
            | Step::Pool
            | Step::None
            | Step::Impossible => {}
        }
        self.settle(now);
    }
}

/// A full backlog is tried again after at most the third pause (200 ms by default): the server is there, a try
/// costs one system call, and whoever comes too seldom finds the free place taken until `connect_timeout`.
const LONGEST_REDIAL_PAUSE: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Config, Request, Tag};
    use std::time::Duration;

    #[test]
    fn a_full_backlog_is_tried_again_soon_until_the_connect_times_out() {
        let mut config = Config::new("unix:/full.sock".parse().expect("an address"));
        config.multiplex = crate::Multiplex::Off;
        let began = Instant::now();
        let mut engine = Engine::new(config).expect("a valid configuration");
        engine
            .submit(began, Request::responder(), Tag(0))
            .expect("accepted");
        let mut now = began;
        let mut tries = Vec::new();
        while engine.stats().requests.connecting > 0 {
            while let Some(action) = engine.poll_action() {
                if let Action::Connect { connection, .. } = action {
                    tries.push((now - began).as_millis());
                    engine.handle_closed(now, connection, Disconnected::BacklogFull);
                }
            }
            now = engine.poll_timeout().expect("a waiting request");
            engine.handle_timeout(now);
        }
        assert_eq!(tries[..6], [0, 50, 150, 350, 550, 750]);
        let last = now - began;
        assert_eq!(last, Duration::from_secs(3));
        assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= 200));
    }
}
