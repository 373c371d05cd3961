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
                let pauses = u32::from(connection.redials);
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
    }
}
