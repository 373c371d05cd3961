//! A connection as an item of a list, for the embedder.

use super::{Connection, Requests, State};
use crate::engine::listing::{ConnectionInfo, ConnectionState};
use crate::engine::time::Time;
use crate::server::ServerId;

impl Connection {
    /// The state as the embedder sees it, in lists and in gauges.
    #[inline]
    pub(crate) fn listed_state(&self) -> ConnectionState {
        let is_idle = self.is_idle();
        match self.state {
            State::Connecting => ConnectionState::Connecting,
            State::Redialing { .. } => ConnectionState::Redialing,
            State::Probing(_) => ConnectionState::Probing,
            State::Open if is_idle && self.has_own_probe() => ConnectionState::Probing,
            State::Open if is_idle && self.is_clean() => ConnectionState::Idle,
            State::Open => ConnectionState::Busy,
            State::Draining => ConnectionState::Draining,
        }
    }

    #[inline]
    pub(crate) fn info(
        &self,
        now: Time,
        key: u32,
        server: ServerId,
        requests: &Requests,
    ) -> ConnectionInfo {
        // Stops after the last one: an idle connection may have a long list of free IDs.
        let present = self.requests().take(usize::from(self.live));
        let received = present.filter_map(|it| requests[it].last_received());
        let last = received.fold(self.last_activity(), Time::max);
        ConnectionInfo {
            connection: self.handle(key),
            server,
            state: self.listed_state(),
            age: now.saturating_duration_since(self.opened),
            since_activity: now.saturating_duration_since(last),
            requests: usize::from(self.live),
            aborting: usize::from(self.aborting),
            max_requests: self.max_requests as usize,
            served: self.served,
            bytes_sent: self.transmitted(),
            bytes_unsent: self.unsent(),
            bytes_received: self.received(),
            bytes_buffered: self.buffered(),
            is_read_blocked: self.is_read_blocked(),
            close_reason: self.retire_reason,
        }
    }
}
