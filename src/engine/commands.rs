//! Commands of the embedder: submit, write a body, abort, pause, probe, set limits, shut down.

use std::io::IoSlice;
use std::time::Instant;

use log::debug;

use super::Engine;
use super::requests::State;
use super::sending::MOST_LENT;
use super::timers::Owner;
use crate::config_error::ConfigError;
use crate::error::{BodyError, Refused, RequestError, StdinError, SubmitError};
use crate::event::{ConnectionHandle, RequestHandle, Tag};
use crate::limits::Limits;
use crate::request::Request;
use crate::server::{GetValuesError, ServerId};
use crate::timeouts::Timeouts;

impl Engine {
    /// An empty request that reuses the memory of an ended one. In a steady state, requests made this way allocate
    /// nothing.
    pub fn new_request(&mut self) -> Request {
        Request {
            params: self.requests.spare_params().unwrap_or_default(),
            ..Request::responder()
        }
    }

    /// Accepts a request. It is sent on a connection that can take it, or waits in the queue for one.
    ///
    /// `CONTENT_LENGTH` is added when the length of the body is known and the parameters do not contain it; for a
    /// Filter, `FCGI_DATA_LENGTH` likewise. Exactly one `End` with the request's handle and `tag` follows, whatever
    /// happens.
    ///
    /// # Errors
    /// [`Refused`], with the reason and the request: nothing was sent and no `End` follows. The body was not read,
    /// unless the reason is [`SubmitError::BodyRead`] or [`SubmitError::BodyTooLarge`].
    pub fn submit(
        &mut self,
        now: Instant,
        mut request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, Box<Refused>> {
        let now = self.timeline.tick(now);
        let checked = match self.check(now, &mut request) {
            Ok(checked) => checked,
            Err(error) => {
                debug!("tag {}: refused, {error}", tag.0);
                return Err(Box::new(Refused { error, request }));
            }
        };
        let handle = self.accept(now, &mut request, checked, tag);
        self.settle(now);
        // The request may have ended already, for example because its body failed.
        if !self.requests.queue().is_empty()
            && let Some(key) = self.requests.key(handle)
            && let request = &self.requests[key]
            && request.is_queued()
        {
            self.timers
                .arm_limit(now, key, self.requests.timeouts(key).queue);
            self.note_refusals(key);
        }
        Ok(handle)
    }

    /// Whether [`submit`](Self::submit) would accept a request now, apart from checks of the request itself. Call it
    /// before building a request.
    ///
    /// # Errors
    /// [`SubmitError::ShuttingDown`], [`SubmitError::QueueFull`].
    pub fn ready(&self, now: Instant) -> Result<(), SubmitError> {
        if !self.lifecycle.is_running() {
            return Err(SubmitError::ShuttingDown);
        }
        if self.would_accept(self.timeline.peek(now), None, false, || false) {
            Ok(())
        } else {
            let limit = self.config.limits.max_queued_requests;
            Err(SubmitError::QueueFull { limit })
        }
    }

    /// Queues bytes of a [pushed](crate::Body::pushed) body and returns how many were taken.
    ///
    /// Takes bytes until [`Config::stdin_high_water`](crate::Config::stdin_high_water) bytes are unsent. A result
    /// smaller than `bytes.len()` means that the buffer is full: [`EventKind::StdinReady`](crate::EventKind::StdinReady)
    /// follows once half of it was sent. The bytes are copied once; [`write_stdin_with`](Self::write_stdin_with) avoids
    /// that. They are sent as `FCGI_STDIN` records of at most
    /// 65,528 bytes (FastCGI 1.0, 5.3).
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`], [`StdinError::TooLong`],
    /// [`StdinError::BodyTooLarge`]. On an error no byte was taken, and the request continues.
    pub fn write_stdin(
        &mut self,
        now: Instant,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError> {
        let now = self.timeline.tick(now);
        let key = self.requests.key(request).ok_or(StdinError::Gone)?;
        let high_water = self.config.stdin_high_water;
        let taken = self.requests[key].push(bytes, high_water)?;
        self.send_more(now, key);
        self.settle(now);
        Ok(taken)
    }

    /// Like [`write_stdin`](Self::write_stdin), for a driver that can write at once: bytes that the transport takes now
    /// are not copied.
    ///
    /// `write` gets the connection, and slices to write to it in order. The given bytes are among them as soon as what
    /// comes before them leaves room. It returns how many bytes the transport took: 0 if it takes none now, which is also
    /// the answer after an error. Report that error as one of any other write. `write` is called again as long as the
    /// transport takes everything, up to 1 MiB. It must not panic. It is not called for pieces of less than 16 KiB, for a
    /// request that waits for a connection, and for a connection that is
    /// [read first](Self::reads_first): these bytes are kept, as with `write_stdin`.
    ///
    /// If the bytes complete the length that was declared for the body, its end is sent with them.
    /// [`finish_stdin`](Self::finish_stdin) is required all the same.
    ///
    /// # Errors
    /// As for [`write_stdin`](Self::write_stdin).
    pub fn write_stdin_with(
        &mut self,
        now: Instant,
        request: RequestHandle,
        bytes: &[u8],
        mut write: impl FnMut(ConnectionHandle, &[IoSlice<'_>]) -> usize,
    ) -> Result<usize, StdinError> {
        let time = self.timeline.tick(now);
        let mut taken = 0;
        while taken < MOST_LENT
            && let Some(key) = self.requests.key(request)
        {
            let (lent, goes_on) = self.lend(time, key, &bytes[taken..], &mut write);
            taken += lent;
            if !goes_on {
                break;
            }
        }
        match self.write_stdin(now, request, &bytes[taken..]) {
            Ok(kept) => Ok(taken + kept),
            // No error of what was taken: the data of a Filter has failed since, and with it the request.
            Err(_) if taken > 0 => Ok(taken),
            Err(error) => Err(error),
        }
    }

    /// Ends a [pushed](crate::Body::pushed) body. The empty `FCGI_STDIN` record is sent after the bytes already
    /// written.
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`]; [`StdinError::TooShort`] when fewer
    /// bytes were written than declared. In this case the request is aborted, and its `End` reports
    /// [`BodyError::TooShort`].
    pub fn finish_stdin(&mut self, now: Instant, request: RequestHandle) -> Result<(), StdinError> {
        let now = self.timeline.tick(now);
        let key = self.requests.key(request).ok_or(StdinError::Gone)?;
        let was_buffering = matches!(self.requests[key].state(), State::Buffering { .. });
        let shortfall = self.requests.finish_body(now, key)?;
        match shortfall {
            Some(error) => self.stop(now, key, error.into()),
            None if was_buffering => self.arm_request(key),
            None => self.send_more(now, key),
        }
        self.settle(now);
        match shortfall {
            Some(BodyError::TooShort { declared, sent }) => Err(StdinError::TooShort {
                declared,
                written: sent,
            }),
            _ => Ok(()),
        }
    }

    /// Ends a request early. Its `End` reports [`RequestError::Aborted`]. A stale handle is ignored.
    ///
    /// A queued request leaves the queue. If the request is alone on its connection, the connection is closed: this is
    /// the only abort that php-fpm and libfcgi notice, and php-fpm notices it only at its next write. If the request
    /// shares its connection, `FCGI_ABORT_REQUEST` is sent (FastCGI 1.0, 5.4). If the application does not end the
    /// request within [`Config::abort_grace`](crate::Config::abort_grace), the connection takes no further request.
    pub fn abort(&mut self, now: Instant, request: RequestHandle) {
        let now = self.timeline.tick(now);
        if let Some(key) = self.requests.key(request) {
            self.stop(now, key, RequestError::Aborted);
            self.settle(now);
        }
    }

    /// Stops the output events of a request until [`resume`](Self::resume). Its time limits for output are suspended;
    /// the total limit is not, and [`Timeouts::paused`] limits the pause itself. A stale handle is ignored.
    ///
    /// If the request is alone on its connection, the socket is not read. On a shared connection its output is
    /// buffered, see [`PauseBuffer`](crate::PauseBuffer), and new requests prefer other connections.
    pub fn pause(&mut self, now: Instant, request: RequestHandle) {
        let now = self.timeline.tick(now);
        let Some(key) = self.requests.key(request) else {
            return;
        };
        // The only output of a probe is its end, which is never held back.
        if self.requests[key].is_probe() || !self.requests[key].pause(now) {
            return;
        }
        if let Some(connection) = self.requests[key].connection() {
            self.connections[connection.index as usize].note_paused();
            self.update_reads(connection.index);
        }
        self.arm_request(key);
    }

    /// Continues the output events of a paused request. A stale handle is ignored.
    pub fn resume(&mut self, now: Instant, request: RequestHandle) {
        let now = self.timeline.tick(now);
        let Some(key) = self.requests.key(request) else {
            return;
        };
        if !self.requests.resume(now, key) {
            return;
        }
        if let Some(connection) = self.requests[key].connection() {
            self.connections[connection.index as usize].note_resumed();
            self.update_reads(connection.index);
        }
        self.arm_request(key);
        self.settle(now);
    }

    /// Asks a server for its `FCGI_GET_VALUES` capabilities: a health check that runs no script. It uses a connection
    /// without a request and waits at the front of the queue. [`EventKind::Values`](crate::EventKind::Values) and `End` follow.
    ///
    /// | without an answer, `End` reports | usual cause |
    /// |----------------------------------|-------------|
    /// | [`TimeoutKind::Queue`](crate::TimeoutKind::Queue) | every connection of this client is busy, or none could be opened in time |
    /// | [`TimeoutKind::Probe`](crate::TimeoutKind::Probe), [`ConnectError::BacklogFull`](crate::ConnectError::BacklogFull) | every process of the application is busy |
    /// | [`RequestError::Connect`] otherwise | the server is down |
    /// | [`RequestError::Protocol`], [`RequestError::ConnectionLost`] | another program listens there; `ConnectionLost` also while the application restarts |
    ///
    /// The time limits are [`Timeouts::queue`](crate::Timeouts::queue), [`Config::connect_timeout`](crate::Config::connect_timeout) and
    /// [`Config::probe_timeout`](crate::Config::probe_timeout). `Timeouts::total` does not apply: to end the question
    /// earlier, [`abort`](Self::abort) its handle. Keep `queue` above `connect_timeout`, or a connect that hangs is
    /// reported as [`TimeoutKind::Queue`](crate::TimeoutKind::Queue).
    ///
    /// A server that accepts the connection and sends nothing need not be a FastCGI application: some HTTP servers wait
    /// for the end of a line. The guide has a [remedy](crate::guide::php_fpm#is-it-up).
    ///
    /// # Errors
    /// [`GetValuesError`]: nothing was sent, and no `End` follows.
    pub fn get_values(
        &mut self,
        now: Instant,
        server: ServerId,
        tag: Tag,
    ) -> Result<RequestHandle, GetValuesError> {
        let now = self.timeline.tick(now);
        let Some(slot) = self.pool.servers().slot_of(server) else {
            return Err(GetValuesError::NoSuchServer { server });
        };
        if !self.lifecycle.is_running() {
            return Err(GetValuesError::ShuttingDown);
        }
        if self.is_probed(slot) {
            return Err(GetValuesError::InProgress { server });
        }
        if !self.would_accept(now, Some(slot), true, || false) {
            let limit = self.config.limits.max_queued_requests;
            return Err(GetValuesError::QueueFull { limit });
        }
        let timeouts = Timeouts {
            queue: self.config.timeouts.queue,
            ..Timeouts::NONE
        };
        let key = self.requests.add_probe(now, tag, (slot, server), timeouts);
        let handle = self.requests[key].handle(key);
        self.pool.known_mut(slot).set_probed(true);
        self.requests.enqueue_first(key, slot);
        self.arm_request(key);
        self.settle(now);
        Ok(handle)
    }

    /// Changes the limits. Idle connections above the new limits are closed now, busy ones when they become idle.
    ///
    /// # Errors
    /// The errors of [`Limits::validate`]. On an error nothing is changed.
    pub fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError> {
        let now = self.timeline.tick(now);
        limits.validate()?;
        self.config.limits = limits;
        self.lifecycle
            .set_opens_in_advance(limits.min_idle_per_server > 0);
        let expected = self.expected();
        self.requests
            .keep_waiting(expected, limits.max_queued_requests);
        self.close_used_up(now);
        self.pool.unsettle();
        self.settle(now);
        let open: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
        for key in open {
            // The armed timer may be later than the new limits allow.
            self.arm_connection(key);
        }
        Ok(())
    }

    /// Shuts down: no further request is accepted, accepted requests are finished, and connections are closed as they
    /// become idle. Then [`is_shut_down`](Self::is_shut_down) returns true. Requests that are not finished at
    /// `deadline` fail with [`RequestError::ShutDown`], even if the rest of the response is already in a socket.
    /// A second call replaces the deadline.
    pub fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
        let now = self.timeline.tick(now);
        if self.lifecycle.has_stopped() {
            return;
        }
        let deadline = deadline.map(|deadline| self.timeline.time(deadline));
        self.lifecycle.stop(deadline);
        if let Some(deadline) = deadline {
            self.timers.arm(Owner::Shutdown, deadline);
        }
        self.pool.unsettle();
        self.settle(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Config};

    #[test]
    fn a_new_request_has_the_memory_of_one_that_has_ended() {
        let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        let mut engine = Engine::new(config).expect("a valid configuration");
        assert_eq!(engine.new_request().params.capacity(), 0);
        let now = Instant::now();
        let request = engine.new_request().param("SCRIPT_NAME", "/x.php");
        let capacity = request.params.capacity();
        let handle = engine.submit(now, request, Tag(0)).expect("accepted");
        engine.abort(now, handle);
        let again = engine.new_request().params;
        assert_eq!((again.capacity(), again.encoded_len()), (capacity, 0));
    }

    #[test]
    fn a_new_request_has_the_memory_of_one_whose_response_has_begun() {
        let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        let request = engine.new_request().param("SCRIPT_NAME", "/x.php");
        let capacity = request.params.capacity();
        engine.submit(now, request, Tag(0)).expect("accepted");
        let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
            panic!("a connect");
        };
        engine.handle_connected(now, connection);
        engine.handle_transmitted(now, connection, usize::MAX);
        // It may be sent again.
        assert_eq!(engine.requests[0].params().capacity(), capacity);
        // FCGI_STDOUT with one byte, for ID 1.
        let mut output: &[u8] = &[1, 6, 0, 1, 0, 1, 0, 0, b'x'];
        assert!(engine.poll_received(now, connection, &mut output).is_some());
        assert_eq!(engine.requests[0].params().capacity(), 0);
        assert_eq!(engine.new_request().params.capacity(), capacity);
    }
}
