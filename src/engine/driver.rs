//! Facts that the driver reports about its sockets and the time.

use std::io;
use std::time::Instant;

use super::close_reason::CloseReason;
use super::connection::{Input, Step};
use super::{Disconnected, Engine};
use crate::error::{ConnectError, ConnectionLostReason, RequestError};
use crate::event::ConnectionHandle;

/// A connect that found the backlog full is retried after at most the third pause (200 ms by default). The server is
/// up, a try costs one system call, and a client that tries too seldom finds each free place taken until
/// `connect_timeout`.
const LONGEST_REDIAL_PAUSE: u32 = 3;

impl Engine {
    /// Reports that the driver's socket is connected.
    pub fn handle_connected(&mut self, now: Instant, connection: ConnectionHandle) {
        let now = self.timeline.tick(now);
        let Some(key) = self.key(connection) else {
            return;
        };
        if self.connections[key as usize]
            .state()
            .step(Input::Connected)
            == Step::Open
        {
            self.open(now, key);
            self.opened(now, key);
            self.settle(now);
        }
    }

    /// Reports that a connection's socket is readable: bytes or the end of the stream are there and were not read yet.
    /// A connection without a request is not used again until [`handle_drained`](Self::handle_drained) reports that the
    /// socket is empty, because what is there is either its end or left over from an earlier request.
    ///
    /// A readiness-based driver calls this at once for each announcement, so that a command given before the next read
    /// takes it into account. A driver that never calls it must read before it gives commands.
    pub fn handle_readable(&mut self, now: Instant, connection: ConnectionHandle) {
        self.timeline.tick(now);
        self.note_readable(connection);
    }

    /// Like [`handle_readable`](Self::handle_readable), for an announced but not yet read end of the application's
    /// stream. The connection takes no further request, shared or not, unless a read finds the socket empty and no end.
    /// [`handle_closed`](Self::handle_closed) follows once the end was read.
    pub fn handle_read_closed(&mut self, now: Instant, connection: ConnectionHandle) {
        self.timeline.tick(now);
        self.note_read_closed(connection);
    }

    /// Reports that a read filled only part of its buffer, and that this means that the socket is now empty, as with an
    /// edge-triggered selector. Call it before the bytes of that read are fed: if a request ends with these bytes, its
    /// connection can then be used again at once.
    pub fn handle_short_read(&mut self, now: Instant, connection: ConnectionHandle) {
        self.timeline.tick(now);
        self.note_drained(connection);
    }

    /// Reports that a read found a connection's socket empty: it would have blocked. All bytes read before have been
    /// fed.
    pub fn handle_drained(&mut self, now: Instant, connection: ConnectionHandle) {
        let now = self.timeline.tick(now);
        self.note_drained(connection);
        if let Some(key) = self.key(connection) {
            self.connections[key as usize].note_no_end();
            self.finish_read(now, key);
            self.settle(now);
        }
    }

    /// Reports that the driver gave `len` bytes of [`transmit`](Self::transmit) to the transport. Call `transmit` again
    /// afterwards: there may be more.
    pub fn handle_transmitted(&mut self, now: Instant, connection: ConnectionHandle, len: usize) {
        let now = self.timeline.tick(now);
        let Some(key) = self.key(connection) else {
            return;
        };
        if len > 0 {
            self.sent(now, key, len);
            self.settle(now);
        }
    }

    /// Reports that time has passed. Calls that are early, late or repeated are harmless. The cost depends on the
    /// number of due timers, not on the number of requests or connections.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.timeline.tick(now);
        while let Some(owner) = self.timers.pop_due(now) {
            self.due(now, owner);
            // Failures follow the order of the deadlines, however late this call comes.
            self.apply_connect_failures(now);
        }
        self.settle(now);
    }

    /// Reports that the driver's socket is gone or was never connected, and that the driver has dropped it. Before this
    /// call, feed all bytes that could be read: a complete response counts, whatever the socket reports after it.
    pub fn handle_closed(&mut self, now: Instant, connection: ConnectionHandle, why: Disconnected) {
        let now = self.timeline.tick(now);
        let Some(key) = self.key(connection) else {
            return;
        };
        let connection = &mut self.connections[key as usize];
        let is_connecting = connection.is_connecting();
        let input = match why {
            Disconnected::BacklogFull if is_connecting => Input::BacklogFull,
            Disconnected::Shortage(_) if is_connecting => Input::Shortage,
            Disconnected::BacklogFull
            | Disconnected::Shortage(_)
            | Disconnected::ConnectFailed(_)
            | Disconnected::Eof
            | Disconnected::Failed(_) => Input::Closed,
        };
        match (connection.state().step(input), why) {
            (Step::Redial, _) => {
                let backoff = self.config.backoff;
                let pause = |redials: u32| backoff.after(redials.min(LONGEST_REDIAL_PAUSE));
                connection.redial(|redials| now + pause(redials));
                self.counters.note_backlog_full();
                self.arm_connection(key);
            }
            (Step::Postpone, Disconnected::Shortage(kind)) => self.postpone(now, key, kind),
            (Step::Failed, _) => {
                let kind = match why {
                    Disconnected::ConnectFailed(kind)
                    | Disconnected::Failed(kind)
                    | Disconnected::Shortage(kind) => kind,
                    Disconnected::Eof => io::ErrorKind::UnexpectedEof,
                    Disconnected::BacklogFull => io::ErrorKind::WouldBlock,
                };
                self.connect_failed(now, key, ConnectError::Failed(kind));
            }
            (Step::Gone, _) => {
                let reason = if connection.live() == 0 {
                    CloseReason::ClosedIdle
                } else {
                    CloseReason::Lost
                };
                let lost = match why {
                    Disconnected::ConnectFailed(kind)
                    | Disconnected::Failed(kind)
                    | Disconnected::Shortage(kind) => ConnectionLostReason::Io(kind),
                    Disconnected::Eof | Disconnected::BacklogFull => ConnectionLostReason::Closed,
                };
                self.release_lost(now, key, reason, RequestError::ConnectionLost(lost));
            }
            _ => {}
        }
        self.settle(now);
    }

    // --- for this crate's driver, which gives the time with its next call ---

    /// The driver will report readiness, although it has reported nothing yet.
    pub(crate) fn expect_reports(&mut self) {
        self.reads_are_reported = true;
    }

    /// The driver can hold at most this number of connections.
    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.pool.set_capacity(capacity);
    }

    #[inline]
    pub(crate) fn note_readable(&mut self, connection: ConnectionHandle) {
        self.reads_are_reported = true;
        if let Some(key) = self.key(connection) {
            let own = &mut self.connections[key as usize];
            own.note_readable();
            if own.take_available() {
                self.pool.lists_mut(own.server()).remove_idle(key);
            }
        }
    }

    pub(crate) fn note_read_closed(&mut self, connection: ConnectionHandle) {
        self.note_readable(connection);
        if let Some(key) = self.key(connection) {
            self.connections[key as usize].note_ending();
        }
    }

    /// The socket is empty after the bytes that are fed next. Bytes that arrive later are announced again.
    #[inline]
    pub(crate) fn note_drained(&mut self, connection: ConnectionHandle) {
        self.reads_are_reported = true;
        if let Some(key) = self.key(connection) {
            self.connections[key as usize].note_drained();
        }
    }
}

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
            now = engine.deadline(now).expect("a waiting request");
            engine.handle_timeout(now);
        }
        assert_eq!(tries[..6], [0, 50, 150, 350, 550, 750]);
        let last = now - began;
        assert_eq!(last, Duration::from_secs(3));
        assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= 200));
    }

    /// An engine with one request that was sent as a whole; its first-byte limit is one second.
    fn sent(now: Instant, expects_reports: bool) -> (Engine, ConnectionHandle) {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.multiplex = crate::Multiplex::Off;
        config.timeouts = crate::Timeouts::NONE;
        config.timeouts.first_byte = Some(Duration::from_secs(1));
        let mut engine = Engine::new(config).expect("a valid configuration");
        if expects_reports {
            engine.expect_reports();
        }
        let submitted = engine.submit(now, Request::responder(), Tag(0));
        submitted.expect("accepted");
        let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
            panic!("a connect");
        };
        engine.handle_connected(now, connection);
        assert!(engine.poll_transmit(now, connection, &mut Vec::new()) > 0);
        while engine.poll_action().is_some() {}
        (engine, connection)
    }

    #[test]
    fn a_driver_whose_reports_are_expected_is_asked_to_read_before_a_limit_ends_a_request() {
        let now = Instant::now();
        for expects_reports in [true, false] {
            let (mut engine, connection) = sent(now, expects_reports);
            engine.handle_timeout(now + Duration::from_secs(1));
            let read = Action::Read { connection };
            let is_asked = engine.poll_action() == Some(read);
            assert_eq!(is_asked, expects_reports);
            assert_eq!(engine.poll_pending(&mut []).is_none(), expects_reports);
        }
    }

    #[test]
    fn what_was_announced_is_unread_until_a_read_has_found_nothing_behind() {
        let (mut engine, connection) = sent(Instant::now(), true);
        assert!(!engine.is_unread(connection));
        engine.note_readable(connection);
        assert!(engine.is_unread(connection));
        engine.note_drained(connection);
        assert!(!engine.is_unread(connection));
    }

    #[test]
    fn no_more_connections_are_opened_than_the_driver_can_hold() {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.multiplex = crate::Multiplex::Off;
        let mut engine = Engine::new(config).expect("a valid configuration");
        engine.set_capacity(2);
        for tag in 0..4 {
            let submitted = engine.submit(Instant::now(), Request::responder(), Tag(tag));
            submitted.expect("accepted");
        }
        let actions = std::iter::from_fn(|| engine.poll_action());
        let connects = actions.filter(|it| matches!(it, Action::Connect { .. }));
        assert_eq!(connects.count(), 2);
    }
}
