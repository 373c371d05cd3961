//! Commands of the embedder: submit, push a body, abort, set limits, shut down.

use std::time::Instant;

use log::debug;

use super::clock::Clock;
use super::deadlines::Owner;
use super::exchange::{Exchange, Input, Life, Receiving, Sending, Step};
use super::length::{Length, push_length};
use super::source::Source;
use super::time::Time;
use super::{Engine, Running};
use crate::config::{ConfigError, Limits, UnknownLength};
use crate::error::{BodyError, Refused, RequestError, StdinError, SubmitError};
use crate::event::{RequestHandle, Tag};
use crate::params::Params;
use crate::request::{Content, Request};
use crate::wire::Role;

impl Engine {
    /// Accepts a request: it is sent on an idle connection, or waits in the queue for one.
    ///
    /// `CONTENT_LENGTH` is added when the body's length is known and the parameters do not state it; for
    /// a Filter, `FCGI_DATA_LENGTH` likewise. Exactly one `End` with its handle and `tag` follows, whatever
    /// happens.
    ///
    /// # Errors
    /// [`Refused`], with the reason and the request: nothing was sent and no `End` follows. Nothing was read of its body,
    /// unless the reason is [`SubmitError::BodyRead`] or [`SubmitError::BodyTooLarge`].
    pub fn submit(
        &mut self,
        now: Instant,
        mut request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, Box<Refused>> {
        let now = self.tick(now);
        let accepted = match self.check(now, &mut request) {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!("tag {}: refused, {error}", tag.0);
                return Err(Box::new(Refused { error, request }));
            }
        };
        let handle = self.accept(now, request, accepted, tag);
        self.settle(now);
        // It may have ended already: its body may have.
        if let Some(key) = self.exchange_key(handle)
            && let exchange = &self.exchanges[key as usize]
            && matches!(exchange.life, Life::Waiting { .. })
        {
            self.arm_limit(now, key, exchange.timeouts.queue);
            self.note_refusals(key);
        }
        Ok(handle)
    }

    /// Whether [`submit`](Self::submit) would accept a request now, as far as that does not depend on the request: to be
    /// asked before one is made.
    ///
    /// # Errors
    /// [`SubmitError::ShuttingDown`], [`SubmitError::QueueFull`].
    pub fn ready(&self, now: Instant) -> Result<(), SubmitError> {
        if self.running != Running::Yes {
            return Err(SubmitError::ShuttingDown);
        }
        if self.has_room(self.timeline.peek(now), None, || false) {
            Ok(())
        } else {
            let limit = self.config.limits.max_queue;
            Err(SubmitError::QueueFull { limit })
        }
    }

    /// Checks a request. One that is refused is left as it was, but for a body that was read.
    fn check(&mut self, now: Time, request: &mut Request) -> Result<Accepted, SubmitError> {
        if self.running != Running::Yes {
            return Err(SubmitError::ShuttingDown);
        }
        let limit = self.config.limits.max_queue;
        if !self.has_room(now, None, || request.runs_once()) {
            return Err(SubmitError::QueueFull { limit });
        }
        let unknown = self.config.unknown_length;
        if request.is_without_streams() {
            // The usual case: a fifth of what it costs to accept a request.
            let (max_len, split) = (self.config.max_params_len, self.config.split_long_pairs);
            request.params.check(0, max_len, split)?;
            return Ok(Accepted {
                lens: (Some(0), Some(0)),
                origins: (0, 0),
                collecting: None,
            });
        }
        request.check_streams()?;
        let declared = request.params.content_length();
        let stdin_len = Length::of("CONTENT_LENGTH", declared, &mut request.body, unknown)?;
        let declared = request.params.data_length();
        let data_len = Length::of("FCGI_DATA_LENGTH", declared, &mut request.data, unknown)?;
        let added = stdin_len.pair_len() + data_len.pair_len();
        let (max_len, split) = (self.config.max_params_len, self.config.split_long_pairs);
        request.params.check(added, max_len, split)?;
        let collecting = match unknown {
            UnknownLength::Buffer { limit } if stdin_len.len.is_none() => {
                matches!(request.body.0, Content::Pushed { .. }).then_some(limit)
            }
            _ => None,
        };
        if collecting.is_some() && self.queued() + self.collecting >= limit {
            return Err(SubmitError::QueueFull { limit });
        }
        let read = |error: std::io::Error| SubmitError::BodyRead(error.kind());
        let origins = (
            request.body.position().map_err(read)?,
            request.data.position().map_err(read)?,
        );
        stdin_len.state(&mut request.params);
        data_len.state(&mut request.params);
        Ok(Accepted {
            lens: (stdin_len.len, data_len.len),
            origins,
            collecting,
        })
    }

    /// Gives a request that was checked its connection, where there is one, and else puts it into the queue.
    #[inline]
    fn accept(
        &mut self,
        now: Time,
        request: Request,
        accepted: Accepted,
        tag: Tag,
    ) -> RequestHandle {
        let retry = request.effective_retry();
        let stdin = Source::new(request.body, accepted.lens.0, accepted.origins.0);
        let key = self.add_exchange(now, request.role, tag, request.params, stdin);
        let exchange = &mut self.exchanges[key as usize];
        if request.role == Role::Filter {
            let data = Source::new(request.data, accepted.lens.1, accepted.origins.1);
            exchange.data = Some(Box::new(data));
        }
        exchange.retry = retry;
        if let Some(timeouts) = request.timeouts {
            exchange.timeouts = timeouts;
        }
        debug!("request {key}, tag {}: submitted", tag.0);
        let handle = exchange.handle(key);
        let total = exchange.timeouts.total;
        self.arm_limit(now, key, total);
        self.counters.submitted += 1;
        if let Some(limit) = accepted.collecting {
            self.exchanges[key as usize].life = Life::Collecting { limit };
            self.collecting += 1;
        } else if self.queue.is_empty()
            && let Some(connection) = self.place_at_once(now, key)
        {
            self.exchanges[key as usize].life = Life::WAITING;
            self.assign(now, key, connection);
        } else {
            self.queue.push_back(&mut self.exchanges, key);
        }
        handle
    }

    /// A request that comes while no server can be connected to outwaits that for as long as it may, and no longer.
    fn note_refusals(&mut self, key: u32) {
        if self.config.connect_patience.is_zero() {
            return;
        }
        let mut refusals = self.servers.iter().map(|server| server.refused);
        if let Some(Some(error)) = refusals.next()
            && refusals.all(|it| it.is_some())
        {
            self.exchanges[key as usize].refused = Some(error);
            self.arm_exchange(key);
        }
    }

    /// Adds an exchange and gives its key. What is particular to it is set where it then is: to move one costs 64
    /// instructions.
    #[inline]
    pub(super) fn add_exchange(
        &mut self,
        now: Time,
        role: Role,
        tag: Tag,
        params: Params,
        stdin: Source,
    ) -> u32 {
        let exchange = Exchange {
            generation: self.generation(),
            life: Life::Holding,
            tag,
            paused: false,
            receiving: Receiving::Nothing,
            sending: Sending::Stdin,
            is_probe: false,
            in_round: false,
            wants_room: false,
            is_full: false,
            role,
            retry: crate::request::Retry::Never,
            retries: 0,
            maybe_acted: false,
            stale_once: false,
            oldest_connection: 0,
            first_offset: 0,
            last_offset: 0,
            framed: 0,
            received: 0,
            server: None,
            reused: false,
            clock: Clock::starting(now),
            held: None,
            timeouts: self.config.timeouts,
            params,
            stdin,
            data: None,
            lost: None,
            refused: None,
        };
        self.exchanges.insert(exchange) as u32
    }

    /// Hands over octets of a [pushed](crate::Body::pushed) body; returns how many were taken.
    ///
    /// Takes as many as fit below [`Config::stdin_high_water`](crate::Config::stdin_high_water) unsent
    /// octets. Fewer than offered means full: [`Event::StdinReady`](crate::Event::StdinReady) follows once half of
    /// that was sent. Large pieces are copied once; they leave as `FCGI_STDIN` records of at most 65,528
    /// octets (FastCGI 1.0, 5.3).
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`], [`StdinError::TooLong`],
    /// [`StdinError::BodyTooLarge`]. Nothing was taken then, and the request goes on.
    pub fn write_stdin(
        &mut self,
        now: Instant,
        request: RequestHandle,
        octets: &[u8],
    ) -> Result<usize, StdinError> {
        let now = self.tick(now);
        let key = self.exchange_key(request).ok_or(StdinError::Gone)?;
        let exchange = &mut self.exchanges[key as usize];
        if !exchange.stdin.is_pushed() {
            return Err(StdinError::NotPushed);
        }
        if exchange.stdin.is_finished() {
            return Err(StdinError::Finished);
        }
        let offered = exchange.stdin.pushed_total() + octets.len() as u64;
        if let Some(declared) = exchange.stdin.declared().filter(|all| offered > *all) {
            return Err(StdinError::TooLong { declared, offered });
        }
        let high_water = match exchange.life {
            Life::Holding => return Err(StdinError::Gone),
            Life::Collecting { limit } if offered > limit as u64 => {
                return Err(StdinError::BodyTooLarge { limit });
            }
            Life::Collecting { limit } => limit,
            Life::Waiting { .. } | Life::Active { .. } | Life::Aborting { .. } => {
                self.config.stdin_high_water
            }
        };
        let taken = exchange.stdin.push(octets, high_water);
        exchange.wants_room |= taken < octets.len();
        self.send_more(now, key);
        self.settle(now);
        Ok(taken)
    }

    /// Ends a [pushed](crate::Body::pushed) body. The empty `FCGI_STDIN` record follows what was written.
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`];
    /// [`StdinError::TooShort`] when fewer octets were written than declared: then the request is aborted and
    /// its `End` says [`BodyError::TooShort`].
    pub fn finish_stdin(&mut self, now: Instant, request: RequestHandle) -> Result<(), StdinError> {
        let now = self.tick(now);
        let key = self.exchange_key(request).ok_or(StdinError::Gone)?;
        let exchange = &mut self.exchanges[key as usize];
        if !exchange.stdin.is_pushed() {
            return Err(StdinError::NotPushed);
        }
        if exchange.stdin.is_finished() {
            return Err(StdinError::Finished);
        }
        if exchange.life == Life::Holding {
            return Err(StdinError::Gone);
        }
        let written = exchange.stdin.pushed_total();
        if let Some(declared) = exchange.stdin.declared().filter(|all| written < *all) {
            let sent = written;
            self.stop_exchange(now, key, BodyError::TooShort { declared, sent }.into());
            self.settle(now);
            return Err(StdinError::TooShort { declared, written });
        }
        exchange.stdin.finish();
        exchange.wants_room = false;
        if let Life::Collecting { .. } = exchange.life {
            exchange.stdin.settle();
            let len = exchange.stdin.declared().unwrap_or_default();
            push_length(&mut exchange.params, "CONTENT_LENGTH", len);
            exchange.clock.queued = now;
            self.collecting -= 1;
            self.queue.push_back(&mut self.exchanges, key);
            self.arm_exchange(key);
        } else {
            self.send_more(now, key);
        }
        self.settle(now);
        Ok(())
    }

    /// Ends a request early; its `End` says [`RequestError::Aborted`]. A stale handle is ignored.
    ///
    /// A waiting request leaves the queue. One that is alone on its connection has it closed: the only abort
    /// that php-fpm and libfcgi notice, and php-fpm only when it next writes. One that shares its connection
    /// is aborted with `FCGI_ABORT_REQUEST` (FastCGI 1.0, 5.4); if the application does not end it within
    /// [`Config::abort_grace`](crate::Config::abort_grace), the connection takes no further request.
    pub fn abort(&mut self, now: Instant, request: RequestHandle) {
        let now = self.tick(now);
        if let Some(key) = self.exchange_key(request) {
            self.stop_exchange(now, key, RequestError::Aborted);
            self.settle(now);
        }
    }

    /// Ends an exchange whose `End` is not out, for a reason of ours.
    pub(super) fn stop_exchange(&mut self, now: Time, key: u32, error: RequestError) {
        match self.exchanges[key as usize].life.step(Input::Abort) {
            Step::End => {
                self.queue.remove(&mut self.exchanges, key);
                self.end_with(now, key, error, 0);
            }
            Step::Abandon => self.abandon(now, key, error),
            Step::Begin
            | Step::Retry
            | Step::Gone
            | Step::Close
            | Step::None
            | Step::Impossible => {}
        }
    }

    /// Changes the caps. Idle connections above them are closed now, busy ones when they become idle.
    ///
    /// # Errors
    /// As [`Limits::validate`]; then nothing is changed.
    pub fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError> {
        let now = self.tick(now);
        limits.validate()?;
        self.config.limits = limits;
        self.is_always_unsettled = limits.min_idle > 0 || self.running != Running::Yes;
        self.queue_ceiling = limits.max_queue.max(self.queued() + self.collecting);
        self.close_used_up(now);
        self.is_untrimmed = true;
        self.settle(now);
        let open: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
        for key in open {
            // What was armed may be later than the new limits.
            self.arm_connection(key);
        }
        Ok(())
    }

    /// Takes no further request, finishes those accepted, closes connections as they become idle; then
    /// [`Event::ShutDown`](crate::Event::ShutDown), once. What is left at `deadline` fails with
    /// [`RequestError::ShutDown`], whether the rest of its answer waits in a socket or not.
    pub fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
        let now = self.tick(now);
        if self.running == Running::Stopped {
            return;
        }
        let deadline = deadline.map(|deadline| self.timeline.time(deadline));
        self.running = Running::Stopping { deadline };
        if let Some(deadline) = deadline {
            self.deadlines.arm(Owner::Shutdown, deadline);
        }
        self.is_untrimmed = true;
        self.is_always_unsettled = true;
        self.settle(now);
    }
}

/// What [`Engine::check`] has found out.
#[derive(Debug)]
struct Accepted {
    /// Of the body and of a Filter's data, where they are known.
    lens: (Option<u64>, Option<u64>),
    /// Where their readers stand.
    origins: (u64, u64),
    /// The body is to be collected first, up to so many bytes.
    collecting: Option<usize>,
}
