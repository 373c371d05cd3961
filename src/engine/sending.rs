//! How a request gets its connection, and how its body is put into the outbox.

use std::io::IoSlice;

use super::Engine;
use super::connection::Filled;
use super::requests::State;
use super::time::Time;
use crate::event::ConnectionHandle;

/// Fewer bytes of a pushed body are copied, so that small pieces leave in one write.
const LENT: usize = 16 * 1024;
/// After this many bytes of a pushed body, other requests have their turn.
pub(super) const MOST_LENT: usize = 1024 * 1024;

impl Engine {
    /// Puts a queued request, already removed from the queue, on a connection with a free slot.
    pub(super) fn assign(&mut self, now: Time, request_key: u32, key: u32) {
        let connection = &mut self.connections[key as usize];
        let (server, others) = (connection.server(), connection.live());
        let is_first = connection.served() == 0 && others == 0;
        let request = &mut self.requests[request_key];
        let (is_probe, runs_once) = (request.is_probe(), !request.may_be_repeated());
        request.set_server(self.pool.servers().id_of(server));
        let write_limit = self.requests.timeouts(request_key).write;
        self.pool.assigned(server, key, others);
        if is_first && runs_once {
            self.pool.known_mut(server).spared();
        }
        if is_probe {
            connection.begin_probe(now, key, request_key, &mut self.requests, &mut self.buffers);
            self.ask_flush(key);
            self.arm_connection(key);
            return;
        }
        let most = connection.max_requests();
        if most > 1 {
            if others + 1 == most {
                self.pool.lists_mut(server).remove_shareable(key);
            } else if others == 0 {
                self.pool.lists_mut(server).add_shareable(key);
            }
        }
        let has_begun = connection.begin(
            now,
            key,
            request_key,
            &mut self.requests,
            self.config.keep_connections,
            &mut self.buffers,
        );
        let (is_blocked, has_more) = (connection.may_be_blocked(), connection.wants_fill());
        // Before a body is read: where that fails, the connection may be gone.
        if is_first && most == 1 {
            self.await_first_byte(now, key);
        }
        if has_begun {
            self.timers.arm_limit(now, request_key, write_limit);
            if is_blocked {
                self.update_reads(key);
                // If it was paused in the queue, the limit of its pause begins now.
                self.arm_request(request_key);
            }
            if has_more {
                self.fill(now, key);
            }
            self.ask_flush(key);
        }
    }

    /// A new connection has its first request: arms a check whether it was answered in time.
    fn await_first_byte(&mut self, now: Time, key: u32) {
        if let Some(wait) = self.config.preempt_idle_after
            && self.config.keep_connections
        {
            let connection = &self.connections[key as usize];
            let (server, handle) = (connection.server(), connection.handle(key));
            self.pool.await_first_byte(now, server, handle, wait);
            self.arm_server(now, server);
        }
    }

    /// Lets the requests on a connection frame records until its outbox is full.
    #[inline]
    pub(super) fn fill(&mut self, now: Time, key: u32) {
        let half = self.stdin_half();
        let keep = self.config.keep_connections;
        while let Some(connection) = self.connections.get_mut(key as usize)
            && connection.wants_fill()
        {
            match connection.fill(key, &mut self.requests, keep, half, &mut self.buffers) {
                Filled::Done => return,
                Filled::BodyFailed { request, error } => self.stop(now, request, error.into()),
            }
        }
    }

    /// Offers bytes of a pushed body to the transport where they are. Keeps those of them that it does not take. Returns
    /// how many bytes the request has taken, and whether the transport may take more.
    pub(super) fn lend(
        &mut self,
        now: Time,
        request_key: u32,
        bytes: &[u8],
        write: &mut impl FnMut(ConnectionHandle, &[IoSlice<'_>]) -> usize,
    ) -> (usize, bool) {
        let (high_water, half) = (self.config.stdin_high_water, self.stdin_half());
        let request = &mut self.requests[request_key];
        let State::Active {
            connection: handle, ..
        } = request.state()
        else {
            return (0, false);
        };
        let key = handle.index;
        let connection = &mut self.connections[key as usize];
        if connection.reads_first() {
            return (0, false);
        }
        let taken = request.upload_mut().lend(bytes.len(), high_water, LENT);
        if taken == 0 {
            return (0, false);
        }
        let lent = &bytes[..taken];
        connection.send_more(now, request_key, request);
        let keep = self.config.keep_connections;
        let filled = connection.fill(key, &mut self.requests, keep, half, &mut self.buffers);
        let slices = connection.transmit_lent(&self.requests, request_key, lent);
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = write(handle, &slices).min(offered);
        if written > 0 {
            self.count_sent(now, key, written);
        }
        self.requests[request_key].upload_mut().keep_lent(lent);
        if let Filled::BodyFailed { request, error } = filled {
            self.stop(now, request, error.into());
        }
        self.send_on(now, request_key, key);
        (taken, written == offered)
    }

    /// The embedder has pushed more of a body, or has finished it.
    pub(super) fn send_more(&mut self, now: Time, request_key: u32) {
        let request = &mut self.requests[request_key];
        let State::Active { connection, .. } = request.state() else {
            return;
        };
        if request.upload().stream().is_none() {
            // The end has left with the last bytes.
            return;
        }
        let key = connection.index;
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        connection.send_more(now, request_key, request);
        self.send_on(now, request_key, key);
    }

    fn send_on(&mut self, now: Time, request_key: u32, key: u32) {
        self.fill(now, key);
        self.ask_flush(key);
        self.arm_request(request_key);
    }

    /// Bytes of a connection were given to the transport.
    pub(super) fn sent(&mut self, now: Time, key: u32, len: usize) {
        self.count_sent(now, key, len);
        self.fill(now, key);
    }

    /// The embedder is told to push more of a body once no more than this number of bytes is unsent.
    fn stdin_half(&self) -> usize {
        self.config.stdin_high_water / 2
    }

    /// Notes for each request on a connection what of it was given to the transport.
    #[inline(always)]
    fn count_sent(&mut self, now: Time, key: u32, len: usize) {
        let half = self.stdin_half();
        let connection = &mut self.connections[key as usize];
        let sent = connection.sent(now, len, &mut self.requests, half, &mut self.buffers);
        self.counters.note_sent(sent);
        while let Some((request, limit)) = connection.next_sent(now, key, &mut self.requests) {
            self.timers.arm_limit(now, request, limit);
        }
    }
}
