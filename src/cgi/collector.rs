//! Collects one exchange: head, body and stderr, and whether all of it is there.

use super::head_parser::HeadParser;
use super::response::{Completeness, Field, Incomplete, Interim, Response, ResponseError};
use super::{Head, HeadError, HeadRules};
use crate::error::RequestError;
use crate::event::{Event, EventKind, Outcome};

/// Collects the events of one request into a [`Response`].
///
/// Memory is bounded by [`ResponseLimits`]. For output that should not be held, use a [`HeadParser`] and pass
/// the body on as it comes.
///
/// ```
/// use mio_fcgi::cgi::Collector;
/// use mio_fcgi::{Completion, Report};
///
/// // Each event of the request goes to `on_event`, or piece by piece:
/// let mut collector = Collector::default().with_method("GET");
/// collector.stdout(b"Content-Type: text/plain\r\n\r\nhello ")?;
/// collector.stderr(b"PHP Notice: ...");
/// collector.stdout(b"world")?;
///
/// // The outcome is that of the `End` event.
/// let response = collector.finish(Ok(Completion::new(0, Report::default())))?;
/// assert_eq!((response.status, response.body), (200, b"hello world".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Collector {
    limits: ResponseLimits,
    parser: HeadParser,
    head_only: bool,
    head: Option<FinalHead>,
    interim: Vec<Interim>,
    /// Output that was refused as a head, where the parser does not hold it.
    refused: Vec<u8>,
    body: Vec<u8>,
    discarded: u64,
    stdout_ended: bool,
    stderr: Vec<u8>,
    stderr_dropped: u64,
    error: Option<ResponseError>,
}

impl Collector {
    /// A collector with limits of its own.
    #[must_use]
    pub fn new(limits: ResponseLimits) -> Self {
        Self {
            parser: HeadParser::new(limits.head),
            limits,
            ..Self::default()
        }
    }

    /// States the request's method: the response to a HEAD has no body, whatever its length says. A body that is there
    /// already is [discarded](Response::stdout_discarded); one that was discarded does not come back.
    #[must_use]
    pub fn with_method(mut self, method: impl AsRef<[u8]>) -> Self {
        self.head_only = method.as_ref() == b"HEAD";
        if let Some(head) = &mut self.head {
            let may_have_one = head.has_body || self.discarded == 0;
            head.has_body = may_have_one && !self.head_only && has_body("", head.status);
            if !head.has_body {
                self.discarded += self.body.len() as u64;
                self.body = Vec::new();
            }
        }
        self
    }

    /// Sets the one limit that most programs choose: [`ResponseLimits::max_body`]. A body that exceeds it already is
    /// too large from now on.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.limits.max_body = bytes;
        if self.error.is_none() {
            self.error = self.take_body(&[]).err();
        }
        self
    }

    /// Takes `Stdout`, `StdoutEnd` and `Stderr`, and ignores the others. `End` is for [`finish`](Self::finish).
    ///
    /// # Errors
    /// As [`stdout`](Self::stdout).
    pub fn on_event(&mut self, event: &Event<&[u8]>) -> Result<(), ResponseError> {
        match &event.kind {
            EventKind::Stdout(data) => self.stdout(data)?,
            EventKind::StdoutEnd => self.stdout_end(),
            EventKind::Stderr(data) => self.stderr(data),
            _ => {}
        }
        Ok(())
    }

    /// Takes a piece of output.
    ///
    /// What cannot belong to the response is counted in [`Response::stdout_discarded`]: a body where there is none (see
    /// [`has_body`]), output after its end.
    ///
    /// # Errors
    /// [`ResponseError::Head`], [`ResponseError::BodyTooLarge`], and [`ResponseError::LengthMismatch`] for a body longer than its
    /// `Content-Length`, whose excess is not kept. The response cannot be had any more, and the same error
    /// comes from each further call and from `finish`; the request may be aborted.
    pub fn stdout(&mut self, piece: &[u8]) -> Result<(), ResponseError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let taken = self.take(piece);
        self.error = taken.clone().err();
        taken
    }

    /// Notes that the output is complete.
    pub fn stdout_end(&mut self) {
        self.stdout_ended = true;
    }

    /// Takes a piece of stderr. What exceeds [`ResponseLimits::max_stderr`] is counted, not kept.
    pub fn stderr(&mut self, piece: &[u8]) {
        let room = self.limits.max_stderr.saturating_sub(self.stderr.len());
        let kept = piece.len().min(room);
        self.stderr.extend_from_slice(&piece[..kept]);
        self.stderr_dropped += (piece.len() - kept) as u64;
    }

    /// The request is over.
    ///
    /// A connection lost, a time limit or a shutdown after the whole response is no error: the response is there,
    /// flagged in [`Response::completeness`].
    ///
    /// # Errors
    /// [`Incomplete`] for anything that is not a whole response, with what there is of it.
    pub fn finish(mut self, outcome: Outcome) -> Result<Response, Box<Incomplete>> {
        let Some(head) = self.head.take() else {
            let error = self.headless(&outcome);
            if self.refused.is_empty() {
                self.refused.extend_from_slice(self.parser.buffered());
            }
            return Err(Box::new(Incomplete {
                error,
                outcome,
                response: None,
                stdout: self.refused,
                stderr: self.stderr,
            }));
        };
        let verdict = self.verdict(&head, &outcome);
        let response = Response {
            status: head.status,
            reason: head.reason,
            fields: head.fields,
            content_length: head.content_length,
            local_redirect: head.local_redirect,
            transfer_encoding: head.transfer_encoding,
            interim: self.interim,
            body: self.body,
            stdout_discarded: self.discarded,
            stderr: self.stderr,
            stderr_discarded: self.stderr_dropped,
            completeness: *verdict.as_ref().unwrap_or(&Completeness::Partial),
            outcome: outcome.clone(),
        };
        match verdict {
            Ok(_) => Ok(response),
            Err(error) => Err(Box::new(Incomplete {
                error,
                outcome,
                response: Some(response),
                stdout: Vec::new(),
                stderr: Vec::new(),
            })),
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), ResponseError> {
        if self.stdout_ended {
            self.discarded += piece.len() as u64;
            return Ok(());
        }
        if self.head.is_some() {
            return self.take_body(piece);
        }
        let mut rest = piece;
        loop {
            let (head, body) = match self.parser.push(rest) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => return Ok(()),
                Err(error) => {
                    if self.parser.buffered().is_empty() {
                        let kept = rest.len().min(self.limits.head.max_len);
                        self.refused.extend_from_slice(&rest[..kept]);
                    }
                    return Err(ResponseError::Head(error));
                }
            };
            rest = body;
            if head.is_interim() {
                self.interim.push(Interim {
                    status: head.status(),
                    fields: head.fields().map(owned).collect(),
                });
                continue;
            }
            self.head = Some(FinalHead::new(head, self.head_only));
            return self.take_body(rest);
        }
    }

    fn take_body(&mut self, piece: &[u8]) -> Result<(), ResponseError> {
        let Some(head) = &self.head else {
            return Ok(());
        };
        if !head.has_body {
            self.discarded += piece.len() as u64;
            return Ok(());
        }
        let limit = self.limits.max_body;
        let received = self.body.len().saturating_add(piece.len());
        let declared = head.content_length.unwrap_or(u64::MAX);
        let wanted = limit.min(usize::try_from(declared).unwrap_or(usize::MAX));
        // The limit may have been lowered below what is there.
        self.body.truncate(wanted);
        let kept = piece.len().min(wanted - self.body.len());
        self.body.extend_from_slice(&piece[..kept]);
        match head.content_length {
            Some(declared) if declared > limit as u64 => Err(ResponseError::BodyTooLarge { limit }),
            Some(declared) if received as u64 > declared => Err(ResponseError::LengthMismatch {
                declared,
                received: received as u64,
            }),
            None if received > limit => Err(ResponseError::BodyTooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// What is wrong where no head was complete.
    fn headless(&self, outcome: &Outcome) -> ResponseError {
        let head_error = match (&self.error, self.parser.end()) {
            (Some(error), _) => return error.clone(),
            (None, Err(error)) => error,
            (None, Ok(())) => HeadError::Missing,
        };
        match (outcome, head_error) {
            (Ok(_), HeadError::Missing) => ResponseError::Empty,
            (Ok(_), error) => ResponseError::Head(error),
            (Err(failure), HeadError::Truncated { .. }) => cut_or_failed(&failure.error),
            (Err(_), _) => ResponseError::Failed,
        }
    }

    fn verdict(&self, head: &FinalHead, outcome: &Outcome) -> Result<Completeness, ResponseError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let received = self.body.len() as u64;
        let declared = match head.content_length {
            Some(declared) if head.has_body => Some(declared),
            None if head.has_body => None,
            _ => Some(0),
        };
        let reached = declared == Some(received);
        let short = declared.is_some() && !reached;
        let inconsistent = ResponseError::LengthMismatch {
            declared: declared.unwrap_or(received),
            received,
        };
        match outcome {
            Ok(_) if short => Err(inconsistent),
            Ok(_) => Ok(Completeness::Complete),
            Err(failure) if !spares_the_response(&failure.error) => Err(ResponseError::Failed),
            Err(_) if self.stdout_ended && short => Err(inconsistent),
            Err(_) if self.stdout_ended => Ok(Completeness::StdoutEnded),
            Err(_) if reached => Ok(Completeness::LengthReached),
            Err(failure) => Err(cut_or_failed(&failure.error)),
        }
    }
}

/// What a [`Collector`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseLimits {
    /// What the head may be.
    pub head: HeadRules,
    /// Bytes of the body; default 64 MiB. A longer one is an error.
    pub max_body: usize,
    /// Bytes of stderr that are kept; default 64 KiB. More is no error.
    pub max_stderr: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            head: HeadRules::default(),
            max_body: 64 * 1024 * 1024,
            max_stderr: 64 * 1024,
        }
    }
}

/// Whether the response to a request has a body at all: not to HEAD, and not with status 1xx, 204 or 304
/// (RFC 9110, 6.4.1). What the application sends there all the same is to be dropped.
pub fn has_body(method: impl AsRef<[u8]>, status: u16) -> bool {
    method.as_ref() != b"HEAD" && !matches!(status, 100..=199 | 204 | 304)
}

/// A head that owns its bytes.
#[derive(Debug)]
struct FinalHead {
    status: u16,
    reason: Vec<u8>,
    fields: Vec<Field>,
    content_length: Option<u64>,
    local_redirect: Option<Vec<u8>>,
    transfer_encoding: Option<Vec<u8>>,
    has_body: bool,
}

impl FinalHead {
    fn new(head: Head<'_>, head_only: bool) -> Self {
        let transfer_encoding = |name: &[u8]| name.eq_ignore_ascii_case(b"transfer-encoding");
        Self {
            status: head.status(),
            reason: head.reason().to_vec(),
            fields: head
                .fields()
                .filter(|field| !transfer_encoding(field.0))
                .map(owned)
                .collect(),
            content_length: head.content_length(),
            local_redirect: head.local_redirect().map(<[u8]>::to_vec),
            transfer_encoding: head.get("transfer-encoding").map(<[u8]>::to_vec),
            has_body: !head_only && has_body("", head.status()),
        }
    }
}

fn owned((name, value): (&[u8], &[u8])) -> Field {
    (name.to_vec(), value.to_vec())
}

fn cut_or_failed(error: &RequestError) -> ResponseError {
    match error {
        RequestError::ConnectionLost(_) => ResponseError::Truncated,
        _ => ResponseError::Failed,
    }
}

/// True for errors that say nothing against a response that is whole already.
fn spares_the_response(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::ConnectionLost(_) | RequestError::TimedOut(_) | RequestError::ShutDown
    )
}
