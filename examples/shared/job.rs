//! One job: a request, what has to become of it, and what has become of it so far.

use std::time::Duration;

use mio_fcgi::cgi::HeadParser;
use mio_fcgi::{Body, Outcome, Request, RequestError, TimeoutKind, Timeouts};

use super::app;

/// What a job does, and how it has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Receives a long answer.
    Download,
    /// Sends a body, which comes back. With a length, or without.
    Upload { has_length: bool },
    /// Receives a long answer, and pauses several times.
    Paused,
    /// Is aborted when the first part of its answer has arrived.
    Aborted,
    /// Asks for an answer that comes after its time limit.
    TimeLimit,
    /// Runs a script of the user's. The number is its place on the command line.
    Script(usize),
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    /// The length of the expected body, and of the body that is sent.
    pub(crate) len: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) pauses: u64,
    parser: HeadParser,
    /// The status of the response, once its head has arrived.
    status: Option<u16>,
    /// The 64-bit FNV-1a hash of a script's answer.
    hash: u64,
    /// The first thing that was not as expected.
    fault: Option<String>,
}

/// What a script has answered: the status, the length of the body and its hash.
pub(crate) type Answer = (u16, u64, u64);

impl Job {
    pub(crate) fn new(kind: Kind, len: u64) -> Self {
        Self {
            kind,
            len,
            sent: 0,
            received: 0,
            pauses: 0,
            parser: HeadParser::default(),
            status: None,
            hash: 0xcbf2_9ce4_8422_2325,
            fault: None,
        }
    }

    /// The request of a job that the demo application answers; `script` is for the others.
    pub(crate) fn request(&self, script: &str) -> Request {
        let Self { kind, len, .. } = self;
        let to = |method, uri: String| {
            let request = Request::responder().param("REQUEST_METHOD", method);
            request.param("REQUEST_URI", uri)
        };
        match kind {
            Kind::Download | Kind::Paused | Kind::Aborted => to("GET", format!("/big?size={len}")),
            // The demo application reads to the end of the stream, and needs no length.
            Kind::Upload { has_length } => {
                to("POST", "/echo".to_owned()).with_body(Body::pushed(has_length.then_some(*len)))
            }
            Kind::TimeLimit => {
                let limits = Timeouts::NONE.with_first_byte(TIME_LIMIT);
                to("GET", "/slow?ms=60000".to_owned()).with_timeouts(limits)
            }
            Kind::Script(_) => to("GET", script.to_owned())
                .param("SCRIPT_NAME", script)
                .param("SCRIPT_FILENAME", script),
        }
    }

    /// Takes a piece of the output, and checks it.
    pub(crate) fn take(&mut self, pattern: &Pattern, mut piece: &[u8]) {
        while self.status.is_none() && !piece.is_empty() {
            match self.parser.push(piece) {
                Ok(None) => return,
                Ok(Some((head, rest))) => {
                    self.status = Some(head.status()).filter(|_| !head.is_interim());
                    piece = rest;
                }
                Err(error) => return self.note(error.to_string()),
            }
        }
        if let Kind::Script(_) = self.kind {
            for byte in piece {
                self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        } else if !pattern.matches(self.received, piece) {
            self.note(format!("wrong bytes after the first {}", self.received));
        }
        self.received += piece.len() as u64;
    }

    /// Notes that something was not as expected.
    pub(crate) fn note(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    /// Ends the job. Returns the answer of a script.
    ///
    /// # Errors
    /// What was not as expected.
    pub(crate) fn finish(&mut self, outcome: Outcome) -> Result<Option<Answer>, String> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let limit = RequestError::TimedOut(TimeoutKind::FirstByte);
        match (&self.kind, outcome) {
            (Kind::Aborted, Err(failure)) if failure.error == RequestError::Aborted => Ok(None),
            (Kind::TimeLimit, Err(failure)) if failure.error == limit => Ok(None),
            (_, Err(failure)) => Err(failure.to_string()),
            (Kind::Aborted | Kind::TimeLimit, Ok(_)) => Err("it completed".to_owned()),
            (Kind::Script(_), Ok(_)) => match self.status {
                Some(status @ 200..400) => Ok(Some((status, self.received, self.hash))),
                Some(status) => Err(format!("status {status}")),
                None => Err("no status".to_owned()),
            },
            (_, Ok(_)) if (self.status, self.received) != (Some(200), self.len) => {
                let (status, received) = (self.status, self.received);
                Err(format!(
                    "status {status:?}, {received} bytes of {}",
                    self.len
                ))
            }
            (Kind::Paused, Ok(_)) if self.pauses == 0 => Err("it was never paused".to_owned()),
            _ => Ok(None),
        }
    }
}

/// The bytes of each body that is checked. A lost, repeated or moved piece is noticed.
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    pub(crate) fn new() -> Self {
        Self((0..PERIOD + LONGEST).map(app::pattern_byte).collect())
    }

    /// The bytes from a position on: at most `len`, and perhaps fewer.
    pub(crate) fn at(&self, position: u64, len: u64) -> &[u8] {
        &self.0[(position % PERIOD) as usize..][..len.min(LONGEST) as usize]
    }

    fn matches(&self, mut position: u64, bytes: &[u8]) -> bool {
        bytes.chunks(LONGEST as usize).all(|chunk| {
            let len = chunk.len() as u64;
            let is_equal = self.at(position, len) == chunk;
            position += len;
            is_equal
        })
    }
}

/// A multiple of this number of bytes further on, the pattern has the same byte.
const PERIOD: u64 = 251;
const LONGEST: u64 = 64 * 1024;
const TIME_LIMIT: Duration = Duration::from_millis(200);
