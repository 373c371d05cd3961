//! `FCGI_GET_VALUES` (FastCGI 1.0, 4.1): does this server multiplex?
//!
//! The embedder's question ([`Engine::get_values`]) goes out on a connection that no request uses meanwhile. The client's
//! own, under [`Multiplex::Auto`](crate::Multiplex::Auto), is asked when the answer can help: when a request waits for a
//! connection and none can be opened. It goes out on the next connection that becomes idle. Where none does, because
//! requests hold theirs for long, it follows one of them after a second: one without a body, which the application has read
//! as a whole by then. (libfcgi loses what comes with a body that it has not read, and with it the next request.) An
//! application that shares connections answers at once, the others when the request is done. Until the answer is in, the
//! connection takes no other request; one that has been without a request for `probe_timeout` is closed.
//!
//! Only `FCGI_MPXS_CONNS=1` counts as yes. Silence, the end of the connection, `FCGI_UNKNOWN_TYPE`, an empty or unreadable
//! answer all mean no. The answer holds for the server until it has been down; that a connection was lost with the question
//! holds for good, since the application may have died of it.
//!
//! What an application that shares connections says of its capacity counts for all connections to it together. What
//! another one says is ignored: libfcgi says 1 for each of its processes, however many listen on one socket.

use std::time::Duration;

use super::Engine;
use super::close_reason::CloseReason;
use super::connection::{Connection, State};
use super::pool::Multiplexing;
use super::time::Time;
use super::timers::Owner;
use crate::event::ServerValues;

/// How long a request has held its connection before the client's question is sent after it.
const HELD_FOR_LONG: Duration = Duration::from_secs(1);
/// A request below this length is read by libfcgi at once, with nothing after it left over.
const MAX_READ_AT_ONCE: u64 = 8 * 1024 - 256;

impl Engine {
    /// A connection has become idle: asks its server, if that was not asked yet and requests wait. True when it was.
    #[inline]
    pub(super) fn ask_on_idle(&mut self, now: Time, key: u32) -> bool {
        if self.pool.unprobed() == 0 || !self.lifecycle.is_running() {
            return false;
        }
        let connection = &self.connections[key as usize];
        let is_wanted = connection.served() > 0
            && !connection.is_ending()
            && self.may_be_asked(connection.server())
            && self.has_queued();
        if is_wanted {
            self.ask(now, key);
        }
        is_wanted
    }

    /// Whether requests wait for which no connection is being opened.
    fn has_queued(&self) -> bool {
        self.requests.queue().len() > self.pool.expected()
    }

    /// A request waits, and no connection can be opened for it: asks the servers that were not asked yet, after requests
    /// that hold their connections for long.
    pub(super) fn ask_servers(&mut self, now: Time) {
        if self.pool.unprobed() == 0 || !self.has_queued() {
            return;
        }
        let all = self.connections.iter();
        let held: Vec<(u32, u16, Time)> = all
            .filter_map(|(key, it)| Some((key as u32, it.server(), self.asked_at(it)?)))
            .collect();
        for (key, server, at) in held {
            if at > now {
                self.timers.arm(Owner::Server(u32::from(server)), at);
            } else if self.may_be_asked(server) {
                self.ask(now, key);
            }
        }
    }

    /// When a question may be sent after the only request of a connection, to a server that was not asked yet.
    fn asked_at(&self, connection: &Connection) -> Option<Time> {
        let may_be_asked = self.may_be_asked(connection.server())
            && matches!(connection.state(), State::Open)
            && connection.retire_reason().is_none()
            && !connection.is_ending()
            && connection.live() == 1;
        if !may_be_asked {
            return None;
        }
        let request = connection.only_request(&self.requests)?;
        let upload = request.upload();
        // An application may die of a question, and what it works on with it.
        let is_read = request.may_be_repeated()
            && upload.is_sent(connection.transmitted())
            && upload.is_declared_empty()
            && upload.framed() < MAX_READ_AT_ONCE;
        let sent = request.sent_at().filter(|_| is_read)?;
        Some(sent + HELD_FOR_LONG)
    }

    /// Whether a server was not asked yet, and the embedder does not ask it now: the client learns from that, too.
    fn may_be_asked(&self, server: u16) -> bool {
        self.pool.known(server).multiplexing() == Multiplexing::Unknown && !self.is_asked(server)
    }

    /// Whether the embedder asks a server.
    pub(super) fn is_asked(&self, server: u16) -> bool {
        let request = self.pool.known(server).probe_request();
        request.is_some_and(|it| self.requests.key(it).is_some())
    }

    fn ask(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        let server = connection.server();
        connection.ask(now);
        connection.frame_question(now, key, &mut self.buffers);
        self.pool
            .set_multiplexing(usize::from(server), Multiplexing::Probing);
        self.ask_flush(key);
    }

    /// The client's own question stays without an answer.
    pub(super) fn question_unanswered(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.set_question(None);
        let server = connection.server();
        if self.pool.known(server).multiplexing() == Multiplexing::Probing {
            self.apply_capabilities(server, ServerValues::default());
        }
    }

    /// A connection ends, perhaps with the client's own question on it. What the application ended it may have died of;
    /// what this side closes says nothing.
    pub(super) fn question_lost(&mut self, key: u32, reason: CloseReason) {
        let connection = &mut self.connections[key as usize];
        let Some((_, was_sent)) = connection.asked() else {
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
            self.pool.known_mut(server).note_death_by_question();
            self.question_unanswered(key);
            return;
        }
        connection.set_question(None);
        if self.pool.known(server).multiplexing() == Multiplexing::Probing {
            self.pool
                .set_multiplexing(usize::from(server), Multiplexing::Unknown);
        }
    }

    /// Draws the conclusion from an answer, or from its absence.
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
