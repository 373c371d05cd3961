//! How a request is checked and accepted.

use log::debug;

use super::Engine;
use super::pool::{Placement, Seeker};
use super::requests::{self, Checked, Length, Line};
use super::time::Time;
use crate::config::UnknownLength;
use crate::error::SubmitError;
use crate::event::{RequestHandle, Tag};
use crate::params::Declared;
use crate::request::{Content, Request};
use crate::server::ServerId;
use crate::wire::Role;

/// The requirements of a request for its connection.
#[inline]
pub(super) fn seeker(request: &requests::Request) -> Seeker {
    Seeker {
        server: request.pinned(),
        is_probe: request.is_probe(),
        first_serial: request.first_serial(),
        runs_once: !request.may_be_repeated(),
    }
}

impl Engine {
    /// Checks a request. A reader of unknown length is read only when nothing else is left to refuse.
    pub(super) fn check(
        &mut self,
        now: Time,
        request: &mut Request,
    ) -> Result<Checked, SubmitError> {
        if !self.lifecycle.is_running() {
            return Err(SubmitError::ShuttingDown);
        }
        let limit = self.config.limits.max_queued_requests;
        let pinned = match request.server {
            Some(server) => Some(self.slot_of(server)?),
            None => None,
        };
        if !self.would_accept(now, pinned, false, || request.runs_once()) {
            return Err(SubmitError::QueueFull { limit });
        }
        let unknown = self.config.unknown_length;
        let (max_len, split) = (self.config.max_params_len, self.config.split_long_pairs);
        if request.is_without_streams() {
            // The usual case: this saves a fifth of the cost of accepting a request.
            request.params.check(0, max_len, split)?;
            return Ok(Checked {
                pinned,
                lens: (Some(0), Some(0)),
                origins: (0, 0),
                buffering: None,
            });
        }
        request.check_streams()?;
        let declared = (
            request.params.content_length(),
            request.params.data_length(),
        );
        let added = Length::check("CONTENT_LENGTH", declared.0, &request.body, unknown)?
            + Length::check("FCGI_DATA_LENGTH", declared.1, &request.data, unknown)?;
        request.params.check(added, max_len, split)?;
        // Before a stream is read, so that another client can have the request.
        let buffering = match (unknown, &request.body.0) {
            (UnknownLength::Buffer { limit }, Content::Pushed { len: None }) => {
                (declared.0 == Declared::Absent).then_some(limit)
            }
            _ => None,
        };
        if buffering.is_some() && self.requests.queue().waiting(self.expected()) >= limit {
            return Err(SubmitError::QueueFull { limit });
        }
        let stdin_len = Length::of("CONTENT_LENGTH", declared.0, &mut request.body, unknown)?;
        let data_len = Length::of("FCGI_DATA_LENGTH", declared.1, &mut request.data, unknown)?;
        let read = |error: std::io::Error| SubmitError::BodyRead(error.kind());
        let origins = (
            request.body.position().map_err(read)?,
            request.data.position().map_err(read)?,
        );
        // FastCGI 1.0, 6.3: an Authorizer receives no CONTENT_LENGTH.
        if request.role != Role::Authorizer {
            stdin_len.state(&mut request.params);
        }
        data_len.state(&mut request.params);
        Ok(Checked {
            pinned,
            lens: (stdin_len.len(), data_len.len()),
            origins,
            buffering,
        })
    }

    fn slot_of(&self, server: ServerId) -> Result<u16, SubmitError> {
        let slot = self.pool.servers().slot_of(server);
        slot.ok_or(SubmitError::NoSuchServer { server })
    }

    /// Puts a checked request on a connection if one is available, otherwise into the queue.
    #[inline(always)]
    pub(super) fn accept(
        &mut self,
        now: Time,
        request: &mut Request,
        checked: Checked,
        tag: Tag,
    ) -> RequestHandle {
        let is_buffering = checked.buffering.is_some();
        let key = self.requests.add(now, tag, request, checked);
        debug!("request {key}, tag {}: submitted", tag.0);
        let accepted = &self.requests[key];
        let handle = accepted.handle(key);
        self.timers
            .arm_limit(now, key, self.requests.timeouts(key).total);
        if is_buffering {
            return handle;
        }
        if self.requests.queue().is_empty() {
            let sought = seeker(&self.requests[key]);
            if let Placement::Use(connection) | Placement::UseBlocked(connection) =
                self.place(now, sought, 1)
            {
                self.assign(now, key, connection);
                return handle;
            }
        }
        self.requests.enqueue(key);
        handle
    }

    /// Chooses a placement; `waiting` is the number of requests that look for one.
    #[inline(always)]
    pub(super) fn place(&self, now: Time, seeker: Seeker, waiting: usize) -> Placement {
        self.pool
            .place(now, seeker, waiting, &self.connections, &self.config)
    }

    /// Whether one more request would be accepted: it can be sent at once, a connection is being or can be opened for
    /// it, or it may wait in the queue.
    #[inline]
    pub(super) fn would_accept(
        &self,
        now: Time,
        server: Option<u16>,
        is_probe: bool,
        runs_once: impl FnOnce() -> bool,
    ) -> bool {
        let limit = self.config.limits.max_queued_requests;
        let waiting = |expected| self.requests.queue().waiting_with_one_more(expected);
        let line = server.map_or(Line::Usual, Line::Pinned);
        // Usually the queue has a place even if nothing is expected.
        if waiting(0) <= limit || waiting(self.expected_with(now, Some(line))) <= limit {
            return true;
        }
        let seeker = Seeker {
            server,
            is_probe,
            first_serial: 0,
            runs_once: runs_once(),
        };
        // As many as `settle` will count, so that what is accepted for a new connection gets one.
        let queue = self.requests.queue();
        let waiting = queue.len_of(Line::Urgent) + queue.len_of(Line::Usual) + 1;
        let waiting = waiting + self.taken_by_pinned(now);
        self.place(now, seeker, waiting) != Placement::None
    }

    /// A request that is submitted while no server can be connected to waits for at most `connect_retry_timeout`.
    pub(super) fn note_refusals(&mut self, key: u32) {
        if self.config.connect_retry_timeout.is_zero() {
            return;
        }
        if let Some(error) = self.pool.servers().refusal(self.requests[key].pinned()) {
            self.requests[key].set_refused(Some(error));
            self.arm_request(key);
        }
    }
}
