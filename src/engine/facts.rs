//! Facts from the driver about connections.

use std::io;
use std::time::Instant;

use super::connection::{CloseReason, Input, State, Step};
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

    /// The driver's socket is gone, or was never connected; the driver has dropped it. Feed everything
    /// that could be read before: a response that is complete counts, whatever came after it.
    pub fn handle_closed(&mut self, now: Instant, connection: ConnectionHandle, why: Disconnected) {
        let now = self.tick(now);
        let Some(key) = self.connection_key(connection) else {
            return;
        };
        let key = key as u32;
        let input = match why {
            Disconnected::BacklogFull => Input::BacklogFull,
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
            Step::Failed => {
                let kind = match why {
                    Disconnected::ConnectFailed(kind) | Disconnected::Failed(kind) => kind,
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
                    Disconnected::ConnectFailed(kind) | Disconnected::Failed(kind) => {
                        LostReason::Io(kind)
                    }
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
        while engine.stats().requests.waiting > 0 {
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
