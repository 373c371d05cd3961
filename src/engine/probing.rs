//! `FCGI_GET_VALUES` (FastCGI 1.0, 4.1): finds out whether a server multiplexes.
//!
//! An embedder's probe ([`Engine::get_values`]) is sent on a connection without a request. The client's own probe,
//! under [`Multiplex::Auto`](crate::Multiplex::Auto), is sent when the reply can help: when a request waits for a
//! connection and none can be opened. It is sent on the next connection that becomes idle. If none does, because
//! requests keep their connections for long, the probe follows one of them after a second. That must be a request
//! without a body, which the application has read as a whole by then: libfcgi loses bytes that arrive together with a
//! body it has not read, and with them the next request.
//!
//! An application that shares connections replies at once, others when the request is done. Until the reply comes, the
//! connection takes no other request. A connection that has been without a request for `probe_timeout` is closed.
//!
//! Only `FCGI_MPXS_CONNS=1` counts as yes. No reply, the end of the connection, `FCGI_UNKNOWN_TYPE`, and an empty or
//! unreadable reply all count as no. The result is kept for the server until the server was down. If a connection was
//! lost with the probe on it, that is remembered forever, since the application may have crashed on the probe.
//!
//! The capacity that an application reports counts for all connections to it together, if it shares connections.
//! Otherwise it is ignored: libfcgi reports 1 for each of its processes, however many listen on one socket.

use std::time::Duration;

use super::Engine;
use super::close_reason::CloseReason;
use super::connection::{Connection, State};
use super::pool::Multiplexing;
use super::time::Time;
use super::timers::Owner;
use crate::event::ServerValues;

/// How long a request must have held its connection before the client's probe is sent after it.
const HELD_FOR_LONG: Duration = Duration::from_secs(1);
/// libfcgi reads a request below this length at once, and nothing that follows is lost.
const MAX_READ_AT_ONCE: u64 = 8 * 1024 - 256;

impl Engine {
    /// A connection has become idle: probes its server, if it was not probed yet and requests wait. Returns whether it
    /// did.
    #[inline]
    pub(super) fn probe_on_idle(&mut self, now: Time, key: u32) -> bool {
        if self.pool.unprobed() == 0 || !self.lifecycle.is_running() {
            return false;
        }
        let connection = &self.connections[key as usize];
        let is_wanted = connection.served() > 0
            && !connection.is_ending()
            && self.may_be_probed(connection.server())
            && self.has_queued()
            && self.requests.queue().has_request_for(connection.server());
        if is_wanted {
            self.send_own_probe(now, key);
        }
        is_wanted
    }

    /// Whether requests wait for which no connection is being opened.
    fn has_queued(&self) -> bool {
        self.requests.queue().len() > self.expected()
    }

    /// A request waits, and no connection can be opened for it: probes the servers that were not probed yet, after
    /// requests that hold their connections for long.
    pub(super) fn probe_servers(&mut self, now: Time) {
        if self.pool.unprobed() == 0 || !self.has_queued() {
            return;
        }
        let all = self.connections.iter();
        let held: Vec<(u32, u16, Time)> = all
            .filter_map(|(key, it)| Some((key as u32, it.server(), self.probe_at(it)?)))
            .collect();
        for (key, server, at) in held {
            if at > now {
                self.timers.arm(Owner::Server(u32::from(server)), at);
            } else if self.may_be_probed(server) && self.requests.queue().has_request_for(server) {
                self.send_own_probe(now, key);
            }
        }
    }

    /// When a probe may be sent after the only request of a connection, if its server was not probed yet.
    fn probe_at(&self, connection: &Connection) -> Option<Time> {
        let may_be_probed = self.may_be_probed(connection.server())
            && matches!(connection.state(), State::Open)
            && connection.retire_reason().is_none()
            && !connection.is_ending()
            && connection.live() == 1;
        if !may_be_probed {
            return None;
        }
        let request = connection.only_request(&self.requests)?;
        let upload = request.upload();
        // The application may crash on a probe, and its current request is lost then.
        let is_read = request.may_be_repeated()
            && upload.is_sent(connection.transmitted())
            && upload.is_declared_empty()
            && upload.framed() < MAX_READ_AT_ONCE;
        let sent = request.sent_at().filter(|_| is_read)?;
        Some(sent + HELD_FOR_LONG)
    }

    /// Whether the client may probe a server: it was not probed yet, and no probe of the embedder is running, from which
    /// the client learns, too.
    fn may_be_probed(&self, server: u16) -> bool {
        self.pool.known(server).multiplexing() == Multiplexing::Unknown && !self.is_probed(server)
    }

    /// Whether a probe of the embedder is running on a server.
    pub(super) fn is_probed(&self, server: u16) -> bool {
        self.pool.known(server).is_probed()
    }

    pub(super) fn send_own_probe(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        let server = connection.server();
        connection.note_own_probe(now);
        connection.frame_probe(now, key, &mut self.buffers);
        if self.pool.known(server).multiplexing() == Multiplexing::Unknown {
            self.pool
                .set_multiplexing(usize::from(server), Multiplexing::Probing);
        }
        self.ask_flush(key);
    }

    /// The client's own probe ends without a reply.
    pub(super) fn own_probe_unanswered(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.set_own_probe(None);
        let server = connection.server();
        if self.pool.known(server).multiplexing() == Multiplexing::Probing {
            self.apply_capabilities(server, ServerValues::default());
        }
    }

    /// A connection ends, perhaps with the client's own probe on it. If the application ended it, it may have crashed
    /// on the probe. If this side closed it, nothing follows.
    pub(super) fn own_probe_lost(&mut self, key: u32, reason: CloseReason) {
        let connection = &mut self.connections[key as usize];
        let Some((_, was_sent)) = connection.own_probe_sent() else {
            return;
        };
        let server = connection.server();
        let is_theirs = was_sent
            && matches!(
                reason,
                CloseReason::ClosedIdle
                    | CloseReason::Lost
                    | CloseReason::Protocol
                    | CloseReason::UnsolicitedData
            );
        if is_theirs {
            self.pool.known_mut(server).note_lost_with_probe();
            self.own_probe_unanswered(key);
            return;
        }
        connection.set_own_probe(None);
        if self.pool.known(server).multiplexing() == Multiplexing::Probing {
            self.pool
                .set_multiplexing(usize::from(server), Multiplexing::Unknown);
        }
    }

    /// Applies the reply to a probe, or its absence.
    pub(super) fn apply_capabilities(&mut self, server: u16, values: ServerValues) {
        if !self.config.multiplex.is_auto() {
            return;
        }
        let max_requests = self.pool.apply_capabilities(server, values);
        if max_requests > 1 && self.config.keep_connections {
            self.set_max_requests(server, max_requests);
        }
    }

    /// A server does not multiplex after all: from now on one request per connection.
    pub(super) fn lower_to_single(&mut self, server: u16) {
        self.pool
            .set_multiplexing(usize::from(server), Multiplexing::Single);
        self.set_max_requests(server, 1);
    }

    fn set_max_requests(&mut self, server: u16, max_requests: u32) {
        for (key, connection) in self.connections.iter_mut() {
            if connection.server() == server {
                connection.set_max_requests(max_requests);
                self.pool.lists_mut(server).remove_shareable(key as u32);
                if connection.is_shareable() {
                    self.pool.lists_mut(server).add_shareable(key as u32);
                }
            }
        }
    }
}
