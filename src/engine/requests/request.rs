//! One request and its response, from `submit` to `End`.
//!
//! Its states are in [`super::state`].

use std::mem::take;
use std::time::Duration;

use super::assignment::Assignment;
use super::attempts::{Attempts, LossCause, is_in_time};
use super::clock::{Clock, Progress};
use super::length::Checked;
use super::limits::LimitsKey;
use super::output::Output;
use super::source::Source;
use super::state::{Input, State, Step};
use super::upload::Upload;
use crate::engine::time::Time;
use crate::error::{ConnectError, Failure, StdinError};
use crate::event::{ConnectionHandle, RequestHandle, Tag};
use crate::params::Params;
use crate::report::Elapsed;
use crate::request::Request as Submitted;
use crate::retry::Retry;
use crate::server::ServerId;
use crate::wire::Role;

#[derive(Debug)]
pub(crate) struct Request {
    generation: u32,
    state: State,
    tag: Tag,
    role: Role,
    /// Whether this is a probe (`get_values`) and not a request.
    is_probe: bool,
    /// The slot of the server that the request names, or that is probed.
    pinned: Option<u16>,
    /// The server of its connection, or the one that is probed.
    server: Option<ServerId>,
    /// Whether its connection had served another request before.
    is_reused: bool,
    attempts: Attempts,
    upload: Upload,
    output: Output,
    clock: Clock,
    time_limits: LimitsKey,
    params: Params,
}

impl Request {
    /// A place for a request. It holds nothing.
    pub(super) fn vacant() -> Self {
        Self {
            generation: 0,
            state: State::Queued,
            tag: Tag(0),
            role: Role::Responder,
            is_probe: false,
            pinned: None,
            server: None,
            is_reused: false,
            attempts: Attempts::new(Retry::Never),
            upload: Upload::new(Source::empty(), None),
            output: Output::default(),
            clock: Clock::starting(Time::START),
            time_limits: LimitsKey::default(),
            params: Params::default(),
        }
    }

    #[inline]
    pub(super) fn is_vacant(&self) -> bool {
        self.generation == 0
    }

    /// Makes a request in a vacant place, of what was submitted and checked. Its state is Buffering or Queued, but it is not in
    /// the queue yet.
    #[inline]
    pub(super) fn fill(
        &mut self,
        now: Time,
        generation: u32,
        tag: Tag,
        request: &mut Submitted,
        checked: Checked,
        limits: LimitsKey,
    ) {
        let retry = request.effective_retry();
        self.generation = generation;
        self.state = match checked.buffering {
            Some(limit) => State::Buffering { limit },
            None => State::Queued,
        };
        self.tag = tag;
        self.role = request.role;
        self.is_probe = false;
        self.pinned = checked.pinned;
        self.server = None;
        self.is_reused = false;
        self.attempts = Attempts::new(retry);
        let (stdin_origin, data_origin) = checked.origins;
        let stdin = Source::new(take(&mut request.body), checked.lens.0, stdin_origin);
        let data = (request.role == Role::Filter).then(|| {
            let data = take(&mut request.data);
            Box::new(Source::new(data, checked.lens.1, data_origin))
        });
        self.upload = Upload::new(stdin, data);
        self.output = Output::default();
        self.clock = Clock::starting(now);
        self.time_limits = limits;
        self.params = take(&mut request.params);
    }

    /// Makes a probe of a server in a vacant place.
    pub(super) fn fill_with_probe(
        &mut self,
        now: Time,
        generation: u32,
        tag: Tag,
        (slot, server): (u16, ServerId),
        limits: LimitsKey,
    ) {
        let nothing = Checked {
            pinned: Some(slot),
            lens: (Some(0), Some(0)),
            origins: (0, 0),
            buffering: None,
        };
        let mut request = Submitted::responder().with_retry(Retry::Never);
        self.fill(now, generation, tag, &mut request, nothing, limits);
        self.is_probe = true;
        self.server = Some(server);
    }

    /// Gives up what the request holds. Its place can be filled again.
    #[inline]
    pub(super) fn vacate(&mut self) {
        self.generation = 0;
        self.attempts.note_assigned();
        self.upload.drop_bodies();
        self.output = Output::default();
        self.params = Params::default();
    }

    // --- getters ---

    #[inline]
    pub(crate) fn handle(&self, key: u32) -> RequestHandle {
        RequestHandle {
            index: key,
            generation: self.generation,
        }
    }

    /// Whether a handle with the same key names this request.
    #[inline]
    pub(super) fn is(&self, handle: RequestHandle) -> bool {
        self.generation == handle.generation
    }

    pub(crate) fn tag(&self) -> Tag {
        self.tag
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    #[inline]
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// The slot of the only server that the request may use, if it names one or is a probe.
    #[inline]
    pub(crate) fn pinned(&self) -> Option<u16> {
        self.pinned
    }

    /// The server of its connection, or the one that is probed.
    pub(super) fn server(&self) -> Option<ServerId> {
        self.server
    }

    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    pub(crate) fn params(&self) -> &Params {
        &self.params
    }

    pub(super) fn time_limits(&self) -> &LimitsKey {
        &self.time_limits
    }

    pub(crate) fn upload(&self) -> &Upload {
        &self.upload
    }

    pub(crate) fn upload_mut(&mut self) -> &mut Upload {
        &mut self.upload
    }

    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    pub(super) fn output_mut(&mut self) -> &mut Output {
        &mut self.output
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }

    pub(super) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    pub(super) fn attempts_mut(&mut self) -> &mut Attempts {
        &mut self.attempts
    }

    /// The parameters, for adding one or for reusing their memory.
    pub(super) fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    // --- state ---

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn is_queued(&self) -> bool {
        self.state == State::Queued
    }

    #[inline]
    pub(crate) fn is_aborting(&self) -> bool {
        matches!(self.state, State::Aborting { .. })
    }

    /// The ID of a request on a connection.
    #[inline]
    pub(crate) fn id(&self) -> Option<u16> {
        match self.state {
            State::Active { id, .. } | State::Aborting { id, .. } => Some(id),
            State::Buffering { .. } | State::Queued | State::Draining => None,
        }
    }

    /// Whether the request is on a connection where its head waits to be framed.
    #[inline]
    pub(crate) fn waits_on(&self, on: ConnectionHandle) -> bool {
        matches!(self.state, State::Active { connection, .. } if connection == on)
            && !self.upload.is_head_framed()
    }

    /// The connection of the request.
    #[inline]
    pub(crate) fn connection(&self) -> Option<ConnectionHandle> {
        match self.state {
            State::Active { connection, .. } | State::Aborting { connection, .. } => {
                Some(connection)
            }
            State::Buffering { .. } | State::Queued | State::Draining => None,
        }
    }

    /// Input *body complete*.
    pub(super) fn body_complete(&mut self, now: Time) {
        debug_assert_eq!(self.state.step(Input::BodyComplete), Step::Queue);
        self.clock.note_queued(now);
        self.state = State::Queued;
    }

    /// The request is about to be put on a connection to a server.
    #[inline]
    pub(crate) fn set_server(&mut self, server: ServerId) {
        self.server = Some(server);
    }

    /// Input *assigned*.
    #[inline]
    pub(crate) fn assign(&mut self, now: Time, to: Assignment) {
        debug_assert_eq!(self.state.step(Input::Assigned), Step::Begin);
        self.state = State::Active {
            connection: to.connection,
            id: to.id,
        };
        self.is_reused = to.is_reused;
        self.attempts.note_assigned();
        self.clock.note_assigned(now, to.connecting);
        self.upload.begin();
    }

    /// Input *rejected* or *lost, may retry*. False, without any change, when a body cannot be rewound.
    pub(super) fn retry(&mut self, now: Time) -> bool {
        debug_assert_eq!(self.state.step(Input::Rejected), Step::Queue);
        if !self.upload.rewind() {
            return false;
        }
        self.clock.restart(now);
        self.state = State::Queued;
        true
    }

    /// Input *ended* or *lost*, while buffered output has to be taken.
    pub(super) fn drain(&mut self) {
        debug_assert_eq!(self.state.step(Input::Ended), Step::End);
        self.state = State::Draining;
    }

    /// Input *abort* or *deadline* of an active request.
    pub(super) fn abandon(&mut self, now: Time) {
        debug_assert_eq!(self.state.step(Input::Abort), Step::Abandon);
        if let State::Active { connection, id } = self.state {
            self.state = State::Aborting {
                connection,
                id,
                since: now,
            };
        }
        self.upload.drop_bodies();
    }

    // --- retries ---

    /// Whether the request may be sent again after bytes of it were sent.
    #[inline]
    pub(crate) fn may_be_repeated(&self) -> bool {
        self.attempts.may_be_repeated() && self.upload.is_repeatable()
    }

    /// The lowest acceptable serial number of a connection.
    pub(crate) fn first_serial(&self) -> u64 {
        self.attempts.first_serial()
    }

    /// Takes the failure of the previous attempt, when the request is not sent again after all.
    pub(crate) fn take_failed(&mut self) -> Option<Box<Failure>> {
        self.attempts.take_failed()
    }

    /// Whether the request has an attempt left, and time for it; `total` is its limit.
    pub(crate) fn has_attempt_left(
        &self,
        now: Time,
        total: Option<Duration>,
        max_retries: u8,
    ) -> bool {
        is_in_time(now, self.clock.submitted(), total)
            && !self.is_probe
            && self.attempts.retries() < max_retries
    }

    /// Whether the request may be sent again after the application rejected it.
    pub(crate) fn may_retry_rejected(&self) -> bool {
        !self.attempts.is_never_retried() && self.state.step(Input::Rejected) == Step::Queue
    }

    /// Whether the request may be sent again after the loss of its connection.
    pub(crate) fn may_retry_lost(
        &self,
        now: Time,
        progress: Progress,
        cause: LossCause,
        stale_window: Duration,
    ) -> bool {
        let last_byte = self.clock.sent().unwrap_or(progress.last_activity);
        self.attempts.may_retry(
            self.delivery_of_attempt(progress.transmitted),
            cause,
            now.saturating_duration_since(last_byte),
            stale_window,
            self.may_be_repeated(),
        )
    }

    // --- times ---

    #[inline]
    pub(crate) fn note_sent(&mut self, now: Time) {
        self.clock.note_sent(now);
    }

    /// When the last byte of the request was sent.
    pub(crate) fn sent_at(&self) -> Option<Time> {
        self.clock.sent()
    }

    /// How long the request has had its connection.
    #[inline]
    pub(crate) fn assigned_for(&self, now: Time) -> Option<Elapsed> {
        let assigned = self.clock.assigned()?;
        Some(now.saturating_elapsed_since(assigned))
    }

    /// When the request entered the queue.
    pub(crate) fn queued_at(&self) -> Time {
        self.clock.queued()
    }

    /// Sets why no server could be connected to; `None` when one is available again.
    pub(crate) fn set_refused(&mut self, refused: Option<ConnectError>) {
        self.attempts.set_refused(refused);
    }

    // --- body ---

    /// Takes bytes of a pushed body, as many as fit below `high_water`.
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`], [`StdinError::TooLong`],
    /// [`StdinError::BodyTooLarge`].
    pub(crate) fn push(&mut self, bytes: &[u8], high_water: usize) -> Result<usize, StdinError> {
        let (high_water, max_len) = match self.state {
            State::Buffering { limit } => (limit, Some(limit)),
            // Checked first: these errors are more specific than `Gone`.
            State::Draining => {
                self.upload.check_open()?;
                return Err(StdinError::Gone);
            }
            State::Queued | State::Active { .. } | State::Aborting { .. } => (high_water, None),
        };
        self.upload.push(bytes, high_water, max_len)
    }

    // --- output ---

    /// Output has come. `None` when it must be buffered; otherwise whether it is the first record of the response.
    #[inline]
    pub(crate) fn note_output(&mut self, now: Time, len: usize) -> Option<bool> {
        self.output.note(len);
        let is_first = self.clock.note_output(now);
        (!self.output.is_buffering()).then_some(is_first)
    }

    /// The end of output has come. `None` when it was buffered; otherwise whether it is the first record of the
    /// response.
    #[inline]
    pub(crate) fn note_output_end(&mut self, now: Time) -> Option<bool> {
        self.output.end();
        let is_first = self.clock.note_received(now);
        if self.output.is_buffering() {
            self.output.keep_end();
            return None;
        }
        Some(is_first)
    }

    /// The reply to a probe has come.
    pub(crate) fn note_answer(&mut self, now: Time) {
        self.clock.note_received(now);
    }

    /// Notes that the output buffer is full. Returns whether that is a change.
    pub(crate) fn fill_output(&mut self) -> bool {
        self.output.fill()
    }

    /// Notes that the output buffer is no longer full, or that the request has left its connection. Returns whether
    /// that is a change.
    pub(crate) fn unfill_output(&mut self) -> bool {
        self.output.unfill()
    }

    /// Pauses the request. Returns whether that is a change.
    pub(crate) fn pause(&mut self, now: Time) -> bool {
        let is_change = self.output.set_paused(true);
        if is_change {
            self.clock.note_pause_changed(now);
        }
        is_change
    }
}
