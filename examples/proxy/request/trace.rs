//! What a line of the log about a failure says of its request.

use std::fmt::Arguments;
use std::time::{Duration, Instant};

use mio_fcgi::{Failure, Outcome, Phase, RequestError, ServerId, SubmitError};

use super::limit_option;
use super::log::access_log::{LogEntry, Served, Subject};
use super::net::client_address::ClientAddress;
use super::response;
use super::site::applications::RequestHandle;
use super::site::context::Context;
use super::status::present::Asker;

/// Follows a request through its phases, for the log.
#[derive(Debug)]
pub(crate) struct Trace {
    entry: LogEntry,
    /// When an application was asked first.
    submitted: Option<Instant>,
    /// The number of the application that was asked last.
    application: usize,
    /// The time until the application had answered.
    application_time: Option<Duration>,
    /// What the application's request has left when it ended.
    ended: Ended,
}

#[derive(Debug, Default)]
struct Ended {
    server: Option<ServerId>,
    phase: Option<&'static str>,
    /// The option whose limit was the reason.
    option: Option<&'static str>,
}

impl Trace {
    pub(crate) fn new(entry: LogEntry) -> Self {
        Self {
            entry,
            submitted: None,
            application: 0,
            application_time: None,
            ended: Ended::default(),
        }
    }

    /// The entry of the access log.
    pub(crate) fn entry(&mut self) -> &mut LogEntry {
        &mut self.entry
    }

    /// The ID of the request.
    pub(crate) fn id(&self) -> &str {
        self.entry.id()
    }

    /// An application's request begins.
    pub(crate) fn note_submit(&mut self, now: Instant, application: usize) {
        self.application = application;
        self.submitted.get_or_insert(now);
        self.ended = Ended::default();
    }

    /// The application's request was refused before it began.
    pub(crate) fn note_refused(&mut self, error: &SubmitError) {
        self.ended.phase = Some("queued");
        self.ended.option = limit_option::of_submit(error);
    }

    /// The response of the application is complete, or given up.
    pub(crate) fn note_answer(&mut self, now: Instant) {
        self.application_time = self.submitted.map(|at| now.duration_since(at));
    }

    /// The application's request has ended.
    pub(crate) fn note_end(&mut self, outcome: &Outcome, response: response::Phase) {
        self.ended = match outcome {
            Ok(completion) => Ended {
                server: completion.report.server,
                ..Ended::default()
            },
            Err(failure) => Ended {
                server: failure.report.server,
                phase: Some(phase_of(failure, response)),
                option: limit_option::of_request(&failure.error),
            },
        };
    }

    /// Who asked for what, for the list of what hangs.
    pub(crate) fn asker(&self, client: ClientAddress) -> Asker {
        Asker {
            id: self.id().to_owned(),
            client: client.to_string(),
            line: self.entry.short_line(),
        }
    }

    /// Logs a failure. `request` is the application's request while it is running.
    pub(crate) fn report(
        &self,
        cx: &mut Context,
        client: ClientAddress,
        request: Option<RequestHandle>,
        phase: response::Phase,
        what: Arguments<'_>,
    ) {
        let server = self.ended.server.or_else(|| cx.server_of(request?));
        let upstream = match self.submitted {
            Some(_) => cx.upstream(self.application, server),
            None => "-".to_owned(),
        };
        let of = Subject {
            client,
            entry: &self.entry,
            upstream: &upstream,
            phase: self.ended.phase.unwrap_or_else(|| phase.name()),
            option: self.ended.option,
        };
        cx.log_failure(what, of);
    }

    /// Logs the request when it is over.
    pub(crate) fn finish(
        &mut self,
        cx: &mut Context,
        client: ClientAddress,
        status: u16,
        body_len: u64,
    ) {
        if self.application_time.is_none() {
            // The application's time of a request that was given up ends now.
            self.note_answer(cx.now());
        }
        let served = Served {
            status,
            body_len,
            application_time: self.application_time,
        };
        cx.log_request(client, std::mem::take(&mut self.entry), served);
    }
}

/// How far a request had come that failed.
fn phase_of(failure: &Failure, response: response::Phase) -> &'static str {
    match (failure.phase, &failure.error) {
        (_, RequestError::Connect(_)) => "connecting",
        (Phase::Buffering | Phase::Queued, _) => "queued",
        (Phase::Sending, _) => "sending",
        _ => response.name(),
    }
}
