//! How a request gets its connection, and how its body is put into the outbox.

use super::Engine;
use super::connection::Filled;
use super::requests::State;
use super::time::Time;

impl Engine {
    /// Puts a queued request, already removed from the queue, on a connection with a free slot.
    pub(super) fn assign(&mut self, now: Time, request_key: u32, key: u32) {
        let connection = &mut self.connections[key as usize];
        let (server, others) = (connection.server(), connection.live());
        let is_first = connection.served() == 0 && others == 0;
        let request = &self.requests[request_key];
        let (is_probe, runs_once) = (request.is_probe(), !request.may_be_repeated());
        let write_limit = request.timeouts().write;
        let id = self.pool.servers().id_of(server);
        self.requests[request_key].set_server(id);
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
        if most == 1 {
            if is_first {
                self.await_first_byte(now, key);
            }
        } else if others + 1 == most {
            self.pool.lists_mut(server).remove_shareable(key);
        } else if others == 0 {
            self.pool.lists_mut(server).add_shareable(key);
        }
        let has_begun = self.connections[key as usize].begin(
            now,
            key,
            request_key,
            &mut self.requests,
            self.config.keep_connections,
            &mut self.buffers,
        );
        if has_begun {
            self.timers.arm_limit(now, request_key, write_limit);
            if self.connections[key as usize].may_be_blocked() {
                self.update_reads(key);
                // If it was paused in the queue, the limit of its pause begins now.
                self.arm_request(request_key);
            }
            self.fill(now, key);
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
        let half = self.config.stdin_high_water / 2;
        while let Some(connection) = self.connections.get_mut(key as usize) {
            match connection.fill(key, &mut self.requests, half, &mut self.buffers) {
                Filled::Done => return,
                Filled::BodyFailed { request, error } => self.stop(now, request, error.into()),
            }
        }
    }

    /// The embedder has pushed more of a body.
    pub(super) fn send_more(&mut self, now: Time, request_key: u32) {
        let request = &mut self.requests[request_key];
        let State::Active { connection, .. } = request.state() else {
            return;
        };
        let key = connection.index;
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        connection.send_more(now, request_key, request);
        self.fill(now, key);
        self.ask_flush(key);
        self.arm_request(request_key);
    }

    /// Bytes of a connection were given to the transport.
    pub(super) fn sent(&mut self, now: Time, key: u32, len: usize) {
        let half = self.config.stdin_high_water / 2;
        let connection = &mut self.connections[key as usize];
        let sent = connection.sent(now, len, &mut self.requests, half, &mut self.buffers);
        self.counters.note_sent(sent);
        while let Some((request, limit)) = connection.next_sent(now, key, &mut self.requests) {
            self.timers.arm_limit(now, request, limit);
        }
        self.fill(now, key);
    }
}
