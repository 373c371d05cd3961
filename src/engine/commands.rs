//! Commands of the embedder: submit, push a body, abort, set limits, shut down.

use std::io::Write;
use std::time::Instant;

use log::debug;

use super::deadlines::Owner;
use super::exchange::{Clock, Exchange, Input, Life, Receiving, Sending, Step};
use super::source::Source;
use super::time::Time;
use super::{Engine, Running};
use crate::config::{ConfigError, Limits, UnknownLength};
use crate::error::{BodyError, RequestError, StdinError, SubmitError};
use crate::event::{RequestHandle, Tag};
use crate::params::{Declared, Params};
use crate::request::{Body, Content, Request};
use crate::wire::{MAX_CONTENT_LEN, Role};

impl Engine {
    /// Accepts a request: it is sent on an idle connection, or waits in the queue for one.
    ///
    /// `CONTENT_LENGTH` is added when the body's length is known and the parameters do not state it; for
    /// a Filter, `FCGI_DATA_LENGTH` likewise. Exactly one `End` with its handle and `tag` follows, whatever
    /// happens.
    ///
    /// # Errors
    /// Every variant of [`SubmitError`]; then nothing was sent and no `End` follows.
    pub fn submit(
        &mut self,
        now: Instant,
        mut request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, SubmitError> {
        let now = self.tick(now);
        if self.running != Running::Yes {
            return Err(SubmitError::ShuttingDown);
        }
        self.check_streams(&request)?;
        let stdin_len = settle_length(
            "CONTENT_LENGTH",
            request.params.content_length(),
            &mut request.body,
            &mut request.params,
            self.config.unknown_length,
        )?;
        let data_len = settle_length(
            "FCGI_DATA_LENGTH",
            request.params.data_length(),
            &mut request.data,
            &mut request.params,
            self.config.unknown_length,
        )?;
        self.check_params(&request.params)?;
        let read = |error: std::io::Error| SubmitError::BodyRead(error.kind());
        let collecting = match self.config.unknown_length {
            UnknownLength::Buffer { limit } if stdin_len.is_none() => {
                matches!(request.body.0, Content::Pushed { .. }).then_some(limit)
            }
            _ => None,
        };
        let limit = self.config.limits.max_queue;
        if collecting.is_some() && self.queue.len() + self.collecting >= limit {
            return Err(SubmitError::QueueFull { limit });
        }
        let stdin = Source::new(request.body, stdin_len).map_err(read)?;
        let data = match request.role {
            Role::Filter => Some(Box::new(Source::new(request.data, data_len).map_err(read)?)),
            Role::Responder | Role::Authorizer => None,
        };
        let key = self.add_exchange(now, request.role, tag, request.params, stdin);
        let exchange = &mut self.exchanges[key as usize];
        exchange.data = data;
        exchange.retry = request.retry;
        if let Some(timeouts) = request.timeouts {
            exchange.timeouts = timeouts;
        }
        let handle = exchange.handle(key);
        debug!("request {key}, tag {}: submitted", tag.0);
        self.arm_limit(now, key, self.exchanges[key as usize].timeouts.total);
        match collecting {
            Some(limit) => {
                self.exchanges[key as usize].life = Life::Collecting { limit };
                self.collecting += 1;
            }
            None => self.enqueue(now, key)?,
        }
        self.counters.submitted += 1;
        Ok(handle)
    }

    /// Puts a new exchange into the queue, from where it is sent at once if it can be.
    fn enqueue(&mut self, now: Time, key: u32) -> Result<(), SubmitError> {
        self.queue.push_back(&mut self.exchanges, key);
        self.settle(now);
        let Some(exchange) = self.exchanges.get(key as usize) else {
            return Ok(());
        };
        if matches!(exchange.life, Life::Waiting { .. }) {
            let limit = self.config.limits.max_queue;
            if self.queue.len() + self.collecting > limit {
                debug!("request {key}: refused, {limit} wait already");
                self.queue.remove(&mut self.exchanges, key);
                self.forget(key);
                return Err(SubmitError::QueueFull { limit });
            }
            self.arm_limit(now, key, exchange.timeouts.queue);
        }
        Ok(())
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
        };
        self.exchanges.insert(exchange) as u32
    }

    fn check_streams(&self, request: &Request) -> Result<(), SubmitError> {
        let has_body = !matches!(request.body.0, Content::Empty);
        let has_data = !matches!(request.data.0, Content::Empty);
        let allowed = match request.role {
            Role::Responder => !has_data,
            Role::Authorizer => !has_body && !has_data,
            Role::Filter => !matches!(request.data.0, Content::Pushed { .. }),
        };
        if allowed {
            Ok(())
        } else {
            Err(SubmitError::StreamNotAllowed)
        }
    }

    fn check_params(&self, params: &Params) -> Result<(), SubmitError> {
        let (len, limit) = (params.longest_pair(), MAX_CONTENT_LEN);
        let splittable = self.config.split_long_pairs && len <= self.config.max_params_len;
        if len > limit && !splittable {
            return Err(SubmitError::ParamTooLarge { len, limit });
        }
        let (len, limit) = (params.encoded_len(), self.config.max_params_len);
        if len > limit {
            return Err(SubmitError::ParamsTooLarge { len, limit });
        }
        Ok(())
    }

    /// Hands over octets of a [pushed](Body::pushed) body; returns how many were taken.
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
        exchange.wants_room = taken < octets.len();
        self.send_more(now, key);
        self.settle(now);
        Ok(taken)
    }

    /// Ends a [pushed](Body::pushed) body. The empty `FCGI_STDIN` record follows what was written.
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
    /// [`RequestError::ShutDown`].
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
        self.settle(now);
    }
}

/// Brings a body and the parameter that states its length together; the length, where there is one.
#[inline]
fn settle_length(
    name: &'static str,
    declared: Declared,
    body: &mut Body,
    params: &mut Params,
    unknown: UnknownLength,
) -> Result<Option<u64>, SubmitError> {
    match (declared, &body.0) {
        (Declared::Absent | Declared::Octets(0), Content::Empty) => Ok(Some(0)),
        _ => settle_length_of_some(name, declared, body, params, unknown),
    }
}

/// The same where there is a body, or one is declared.
fn settle_length_of_some(
    name: &'static str,
    declared: Declared,
    body: &mut Body,
    params: &mut Params,
    unknown: UnknownLength,
) -> Result<Option<u64>, SubmitError> {
    let declared = match declared {
        Declared::Absent => None,
        Declared::Octets(octets) => Some(octets),
        Declared::Invalid => return Err(SubmitError::InvalidLength { name }),
    };
    if body.len().is_none() && declared.is_none() {
        match unknown {
            UnknownLength::Refuse => return Err(SubmitError::LengthRequired),
            UnknownLength::Buffer { limit } => buffer_reader(body, limit)?,
            UnknownLength::Stream => return Ok(None),
        }
    }
    match (declared, body.len()) {
        (Some(declared), Some(actual)) if declared != actual => Err(SubmitError::LengthMismatch {
            name,
            declared,
            actual,
        }),
        (Some(declared), _) => Ok(Some(declared)),
        (None, Some(actual)) => {
            if !matches!(body.0, Content::Empty) {
                push_length(params, name, actual);
            }
            Ok(Some(actual))
        }
        (None, None) => Ok(None),
    }
}

/// Reads a reader of unknown length into memory; a pushed body is collected later.
fn buffer_reader(body: &mut Body, limit: usize) -> Result<(), SubmitError> {
    use std::io::Read;
    let mut octets = Vec::new();
    let within = limit as u64 + 1;
    let read = match &mut body.0 {
        Content::Reader { reader, .. } => reader.by_ref().take(within).read_to_end(&mut octets),
        Content::Seekable { reader, .. } => reader.by_ref().take(within).read_to_end(&mut octets),
        Content::Empty | Content::Bytes(_) | Content::Shared(_) | Content::Pushed { .. } => {
            return Ok(());
        }
    };
    read.map_err(|error| SubmitError::BodyRead(error.kind()))?;
    if octets.len() > limit {
        return Err(SubmitError::BodyTooLarge { limit });
    }
    *body = Body::bytes(octets);
    Ok(())
}

fn push_length(params: &mut Params, name: &str, len: u64) {
    let mut digits = [0; 20];
    let mut rest = &mut digits[..];
    // 20 digits hold every u64.
    let _ = write!(rest, "{len}");
    let unused = rest.len();
    params.push(name, &digits[..20 - unused]);
}
