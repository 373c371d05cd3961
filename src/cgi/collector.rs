//! Collects the output of one request: head, body and stderr, and whether the response is whole.

use super::head_parser::HeadParser;
use super::response::{Completeness, Field, Incomplete, Interim, Response, ResponseError};
use super::{Head, HeadError, HeadRules};
use crate::error::{Failure, RequestError};
use crate::event::{Event, EventKind, Outcome};
use crate::settings::settings;

/// Collects the events of one request into a [`Response`].
///
/// Memory is bounded by [`ResponseLimits`], which the collector is made with. Its own `with_*` methods may follow at any
/// time, also after output was taken. To pass output on without holding it, use a [`Reply`](super::Reply), or a
/// [`HeadParser`] if the client does not speak HTTP/1.
///
/// ```
/// use mio_fcgi::cgi::Collector;
/// use mio_fcgi::{Completion, Report};
///
/// // Pass each event of the request to `on_event`, or pass the pieces:
/// let mut collector = Collector::default().with_method("GET");
/// collector.stdout(b"Content-Type: text/plain\r\n\r\nhello ")?;
/// collector.stderr(b"PHP Notice: ...");
/// collector.stdout(b"world")?;
///
/// // The outcome comes from the `End` event.
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
    /// Output that was refused as a head and is not in the parser's buffer.
    refused: Vec<u8>,
    body: Vec<u8>,
    discarded: u64,
    stdout_ended: bool,
    stderr: Vec<u8>,
    stderr_discarded: u64,
    error: Option<ResponseError>,
}

impl Collector {
    /// A collector with these limits.
    #[must_use]
    pub fn new(limits: ResponseLimits) -> Self {
        Self {
            parser: HeadParser::new(limits.head),
            limits,
            ..Self::default()
        }
    }

    /// Sets the request's method: the response to a HEAD has no body, whatever its `Content-Length` says. A body that
    /// has already arrived is [discarded](Response::stdout_discarded); a discarded body does not come back.
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

    /// Sets [`ResponseLimits::max_body`], the one limit that most programs choose. A body that already exceeds it is
    /// then too large.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.limits.max_body = bytes;
        if self.error.is_none() {
            self.error = self.take_body(&[]).err();
        }
        self
    }

    /// Takes `Stdout`, `StdoutEnd` and `Stderr`, and ignores the others. The outcome of `End` goes to
    /// [`finish`](Self::finish).
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
    /// Output that cannot belong to the response is counted in [`Response::stdout_discarded`]: a body where none is
    /// allowed (see [`has_body`]), and output after [`stdout_end`](Self::stdout_end). It may never end: see
    /// [`wants_more`](Self::wants_more).
    ///
    /// # Errors
    /// [`ResponseError::Head`], [`ResponseError::BodyTooLarge`], and [`ResponseError::LengthMismatch`] for a body
    /// longer than its `Content-Length`, whose excess is not kept. After an error there is no whole response: each
    /// further call and `finish` return the same error. The request may be aborted.
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

    /// Takes a piece of stderr. Bytes beyond [`ResponseLimits::max_stderr`] are counted, not kept.
    pub fn stderr(&mut self, piece: &[u8]) {
        let room = self.limits.max_stderr.saturating_sub(self.stderr.len());
        let kept = piece.len().min(room);
        self.stderr.extend_from_slice(&piece[..kept]);
        self.stderr_discarded += (piece.len() - kept) as u64;
    }

    /// Whether to wait for more output. False: abort the request, and call [`finish`](Self::finish) with its outcome.
    ///
    /// More is not wanted after an error, and when the application goes on after the whole response, to HEAD for
    /// instance: beyond [`ResponseLimits::max_discarded`] the rest is not waited for, since it may never end.
    ///
    /// ```
    /// use mio_fcgi::cgi::Collector;
    ///
    /// let mut collector = Collector::default().with_method("HEAD");
    /// collector.stdout(b"Content-Type: text/plain\n\n")?;
    /// assert!(collector.wants_more()); // as a rule, the request ends soon
    /// collector.stdout(&[b'x'; 100_000])?;
    /// assert!(!collector.wants_more());
    /// # Ok::<(), mio_fcgi::cgi::ResponseError>(())
    /// ```
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.error.is_none() && !self.is_over_the_limit()
    }

    /// Everything that is discarded comes after the whole response.
    fn is_over_the_limit(&self) -> bool {
        self.discarded > self.limits.max_discarded as u64
    }

    /// Ends the collection with the request's outcome, and returns the response.
    ///
    /// A lost connection, a time limit, a shutdown, or an abort when nothing more is [wanted](Self::wants_more), is not
    /// an error after the whole response: the response is returned, and [`Response::completeness`] reports the case.
    ///
    /// # Errors
    /// [`Incomplete`] when there is no whole response. It holds the received part.
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
            stderr_discarded: self.stderr_discarded,
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
        // The limit may have been lowered below the length of the body.
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

    /// The error when no head was complete.
    fn headless(&self, outcome: &Outcome) -> ResponseError {
        let head_error = match (&self.error, self.parser.end()) {
            (Some(error), _) => return error.clone(),
            (None, Err(error)) => error,
            (None, Ok(())) => HeadError::Missing,
        };
        match (outcome, head_error) {
            (Ok(_), HeadError::Missing) => ResponseError::Empty,
            (Ok(_), error) => ResponseError::Head(error),
            (Err(failure), HeadError::Truncated { .. }) => truncated_or_failed(failure),
            (Err(failure), _) => ResponseError::Failed(failure.clone()),
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
            Err(failure) if !self.spares_the_response(&failure.error) => {
                Err(ResponseError::Failed(failure.clone()))
            }
            Err(_) if self.stdout_ended && short => Err(inconsistent),
            Err(_) if self.stdout_ended => Ok(Completeness::StdoutEnded),
            Err(_) if reached => Ok(Completeness::LengthReached),
            Err(failure) => Err(truncated_or_failed(failure)),
        }
    }

    /// Whether a response that is whole already stays valid after this error.
    fn spares_the_response(&self, error: &RequestError) -> bool {
        match error {
            RequestError::ConnectionLost(_)
            | RequestError::TimedOut(_)
            | RequestError::ShutDown => true,
            RequestError::Aborted => self.is_over_the_limit(),
            _ => false,
        }
    }
}

/// The limits of a [`Collector`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseLimits {
    /// The rules for the head.
    pub head: HeadRules,
    /// The most bytes of the body. A longer body is an error. Default: 64 MiB.
    pub max_body: usize,
    /// The most bytes of stderr that are kept. More is not an error. Default: 64 KiB.
    pub max_stderr: usize,
    /// The most bytes of output that are discarded before no more is [wanted](Collector::wants_more), so that the
    /// request can be aborted. The whole response is there then. Default: 64 KiB.
    pub max_discarded: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            head: HeadRules::default(),
            max_body: 64 * 1024 * 1024,
            max_stderr: 64 * 1024,
            max_discarded: 64 * 1024,
        }
    }
}

settings! { ResponseLimits {
    with_head(head: HeadRules),
    with_max_body(max_body: usize),
    with_max_stderr(max_stderr: usize),
    with_max_discarded(max_discarded: usize),
} }

/// Whether the response to a request has a body at all. It has none if the method is HEAD or the status is 1xx, 204 or
/// 304 (RFC 9110, 6.4.1). Drop what the application sends there.
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

fn truncated_or_failed(failure: &Failure) -> ResponseError {
    match failure.error {
        RequestError::ConnectionLost(_) => ResponseError::Truncated,
        _ => ResponseError::Failed(failure.clone()),
    }
}
