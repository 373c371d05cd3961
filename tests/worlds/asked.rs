//! A request as its embedder knows it: what was done with it, and which events it may have.

use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use mio_fcgi::{
    Body, ConnectionHandle, Delivery, EventKind, Failure, Request, RequestError, RequestHandle,
    ServerId, TimeoutKind, Timeouts,
};

pub(crate) const BODY: &[u8] = b"abc";

/// The byte of a request's output at a position. No other request has it.
pub(crate) fn output_byte(request: usize, at: usize) -> u8 {
    0x10 * (request as u8 + 1) + at as u8
}

/// What an application sends after the end of a request.
pub(crate) fn late_byte(request: usize) -> u8 {
    output_byte(request, 0xf)
}

pub(crate) fn status_of(request: usize) -> u32 {
    100 + request as u32
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// May be sent twice.
    Get,
    /// May not be sent twice.
    Post,
    /// A POST with a body that the embedder pushes.
    Pushed,
    /// A GET that names a server.
    Pinned(u32),
}

impl Kind {
    pub(crate) fn request(self, tag: usize) -> Request {
        let method = if self.may_run_twice() { "GET" } else { "POST" };
        let request = Request::responder()
            .param("TAG", tag.to_string())
            .param("REQUEST_METHOD", method);
        match self {
            Self::Get => request,
            Self::Post => request.with_body(Body::bytes(BODY)),
            Self::Pushed => request.with_body(Body::pushed(Some(BODY.len() as u64))),
            Self::Pinned(server) => request.with_server(ServerId::new(server)),
        }
    }

    pub(crate) fn may_run_twice(self) -> bool {
        matches!(self, Self::Get | Self::Pinned(_))
    }
}

pub(crate) struct Asked {
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    pub(crate) handle: RequestHandle,
    pub(crate) submitted: Instant,
    pub(crate) is_paused: bool,
    pub(crate) is_finished: bool,
    is_aborted: bool,
    pub(crate) has_ended: bool,
    /// The connection that the engine has assigned.
    pub(crate) on: Option<ConnectionHandle>,
    /// How often the application got the parameters.
    attempts: Vec<Attempt>,
    /// Output that the application has sent in this attempt, and whether it ended the request.
    app_output: Vec<u8>,
    app_ended: bool,
    /// Output that the engine has reported.
    output: Vec<u8>,
    /// The end of its connection was read.
    is_cut: bool,
    /// Its `End` said that the application cannot have acted on it.
    is_unprocessed: bool,
    resumed_at: Instant,
    /// When the last byte left, and when the last output came.
    whole_at: Option<Instant>,
    output_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, Hash)]
struct Attempt {
    is_reused: bool,
    is_rejected: bool,
    /// The application closed the connection.
    is_lost: bool,
}

/// What has happened in the world that can explain a failure.
pub(crate) struct Excuses {
    pub(crate) now: Instant,
    pub(crate) is_stopping: bool,
    pub(crate) has_refused: bool,
    pub(crate) has_ticked: bool,
    pub(crate) has_late: bool,
    pub(crate) has_new_limits: bool,
    pub(crate) timeouts: Timeouts,
}

/// Instants are left out: the state of the engine has those that matter.
impl Hash for Asked {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let flags = [
            self.is_paused,
            self.is_finished,
            self.is_aborted,
            self.has_ended,
            self.app_ended,
            self.is_cut,
            self.is_unprocessed,
            self.on.is_some(),
        ];
        (self.kind, flags).hash(hasher);
        if !self.has_ended {
            self.on.map(ConnectionHandle::index).hash(hasher);
            (&self.attempts, &self.app_output, &self.output).hash(hasher);
        }
    }
}

impl Asked {
    pub(crate) fn new(number: usize, kind: Kind, handle: RequestHandle, now: Instant) -> Self {
        Self {
            number,
            kind,
            handle,
            submitted: now,
            is_paused: false,
            is_finished: kind != Kind::Pushed,
            is_aborted: false,
            has_ended: false,
            on: None,
            attempts: Vec::new(),
            app_output: Vec::new(),
            app_ended: false,
            output: Vec::new(),
            is_cut: false,
            is_unprocessed: false,
            resumed_at: now,
            whole_at: None,
            output_at: None,
        }
    }

    pub(crate) fn abort(&mut self) {
        self.is_aborted = true;
    }

    pub(crate) fn resume(&mut self, now: Instant) {
        (self.is_paused, self.resumed_at) = (false, now);
    }

    /// The driver has read the end of a connection.
    pub(crate) fn note_cut(&mut self, connection: ConnectionHandle) {
        self.is_cut |= self.on == Some(connection);
    }

    // --- the application's side ---

    /// The application got the parameters: was the engine allowed to send them?
    pub(crate) fn attempt(&mut self, is_reused: bool) -> Result<(), String> {
        let number = self.number;
        if self.is_unprocessed {
            return Err(format!(
                "request {number} is sent after its End said that it was not"
            ));
        }
        if let Some(last) = self.attempts.last() {
            let is_stale = last.is_lost && last.is_reused && self.app_output.is_empty();
            let may = last.is_rejected || (is_stale && self.kind.may_run_twice());
            if !may {
                return Err(format!("request {number} is sent twice: {last:?}"));
            }
            if self.attempts.len() > 2 {
                return Err(format!(
                    "request {number} is sent {} times",
                    self.attempts.len()
                ));
            }
        }
        let attempt = Attempt {
            is_reused,
            ..Attempt::default()
        };
        self.attempts.push(attempt);
        self.app_output.clear();
        self.app_ended = false;
        self.whole_at = None;
        Ok(())
    }

    pub(crate) fn note_whole(&mut self, now: Instant) {
        self.whole_at = Some(now);
    }

    /// How many pieces of output the application has sent.
    pub(crate) fn outputs(&self) -> usize {
        self.app_output.len()
    }

    pub(crate) fn note_app_output(&mut self) {
        let byte = output_byte(self.number, self.app_output.len());
        self.app_output.push(byte);
    }

    pub(crate) fn note_app_end(&mut self) {
        self.app_ended = true;
    }

    pub(crate) fn note_rejected(&mut self) {
        if let Some(last) = self.attempts.last_mut() {
            last.is_rejected = true;
        }
    }

    pub(crate) fn note_lost(&mut self) {
        if let Some(last) = self.attempts.last_mut() {
            last.is_lost = true;
        }
    }

    // --- events ---

    pub(crate) fn note(
        &mut self,
        kind: &EventKind<&[u8]>,
        excuses: &Excuses,
    ) -> Result<(), String> {
        if self.has_ended {
            return Err(format!("{kind:?} after its End"));
        }
        match kind {
            EventKind::Stdout(data) => {
                if self.is_paused {
                    return Err("output while it is paused".into());
                }
                if data.is_empty() {
                    return Err("empty output".into());
                }
                self.output.extend_from_slice(data);
                self.output_at = Some(excuses.now);
                match self.app_output.starts_with(&self.output) {
                    true => Ok(()),
                    false => Err(format!("the output {data:x?} is not its own")),
                }
            }
            EventKind::End(outcome) => {
                self.has_ended = true;
                match outcome {
                    Ok(completion) => self.check_complete(completion.app_status),
                    Err(failure) => {
                        self.is_unprocessed = failure.delivery == Delivery::NotProcessed;
                        self.check_failure(failure, excuses)
                    }
                }
            }
            EventKind::StdinReady => Ok(()),
            other => Err(format!("{other:?}, which no application has sent")),
        }
    }

    fn check_complete(&self, status: u32) -> Result<(), String> {
        if !self.app_ended {
            return Err("complete, though the application has not ended it".into());
        }
        if self.output != self.app_output {
            return Err(format!(
                "complete with {:x?} instead of {:x?}",
                self.output, self.app_output
            ));
        }
        match status == status_of(self.number) {
            true => Ok(()),
            false => Err(format!("status {status}, which is another's")),
        }
    }

    fn check_failure(&self, failure: &Failure, excuses: &Excuses) -> Result<(), String> {
        let may_have_acted = self.attempts.iter().any(|it| !it.is_rejected);
        match failure.delivery {
            Delivery::NotProcessed if may_have_acted => {
                return Err("not processed, though the application got it".into());
            }
            Delivery::Responded if self.app_output.is_empty() => {
                return Err("responded, though there was no output".into());
            }
            Delivery::NotProcessed | Delivery::MaybeProcessed if !self.output.is_empty() => {
                return Err("output came, and the failure does not say so".into());
            }
            _ => {}
        }
        let is_explained = match &failure.error {
            RequestError::Aborted => self.is_aborted,
            RequestError::ShutDown => excuses.is_stopping,
            RequestError::Connect(_) => excuses.has_refused || excuses.has_ticked,
            RequestError::QueueFull { .. } => {
                excuses.has_refused
                    || excuses.has_ticked
                    || excuses.has_new_limits
                    || !self.attempts.is_empty()
                    || self.is_cut
            }
            RequestError::Overloaded => self.attempts.iter().any(|it| it.is_rejected),
            RequestError::ConnectionLost(_) => self.is_cut,
            RequestError::Protocol(_) => excuses.has_late,
            RequestError::TimedOut(kind) => self.is_due(*kind, excuses),
            _ => false,
        };
        match is_explained {
            true => Ok(()),
            false => Err(format!("it failed without a reason: {}", failure.error)),
        }
    }

    fn is_due(&self, kind: TimeoutKind, excuses: &Excuses) -> bool {
        let passed = |since: Instant, limit: Option<Duration>| {
            limit.is_some_and(|limit| excuses.now >= since + limit)
        };
        let timeouts = &excuses.timeouts;
        match kind {
            TimeoutKind::Total => passed(self.submitted, timeouts.total),
            TimeoutKind::Queue => passed(self.submitted, timeouts.queue),
            TimeoutKind::Write => passed(self.submitted, timeouts.write),
            TimeoutKind::Paused => passed(self.submitted, timeouts.paused),
            TimeoutKind::FirstByte => {
                self.output.is_empty()
                    && self
                        .whole_at
                        .is_some_and(|at| passed(at, timeouts.first_byte))
            }
            TimeoutKind::BetweenBytes => self
                .output_at
                .is_some_and(|at| passed(at, timeouts.between_bytes)),
            _ => false,
        }
    }

    /// Whether a limit that waits for nothing has passed, so that the request should have ended.
    pub(crate) fn is_overdue(&self, excuses: &Excuses) -> bool {
        let has_waited = |limit: Option<Duration>| {
            limit.is_some_and(|limit| excuses.now >= self.resumed_at + limit)
        };
        let is_first_byte_due = !self.is_paused
            && has_waited(excuses.timeouts.first_byte)
            && self.app_output.is_empty()
            && !self.app_ended
            && self.is_due(TimeoutKind::FirstByte, excuses);
        !self.has_ended && (self.is_due(TimeoutKind::Total, excuses) || is_first_byte_due)
    }

    /// Whether it may neither be sent twice nor go out on a used connection that was not read before.
    pub(crate) fn is_cautious(&self) -> bool {
        !self.kind.may_run_twice()
    }
}
