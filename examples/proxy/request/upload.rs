//! The body of a request: read from the client, passed to the application.

use std::io;

use mio_fcgi::cgi::{ChunkedDecoder, ChunkedError};
use mio_fcgi::{Request, RequestHandle};

use super::http::head::Refusal;
use super::net::spool::Spool;
use super::site::context::Context;

/// The part of a request's body that has not arrived yet, and what happens to it.
#[derive(Debug)]
pub(crate) struct Upload(State);

#[derive(Debug)]
enum State {
    Done,
    /// Passed on as it arrives.
    Pushed {
        left: u64,
        /// The application takes no more for now. `StdinReady` reports when it does.
        is_full: bool,
    },
    /// Collected first: its length is known only at its end.
    Collected(Box<Collected>),
    /// Not needed any more. If little is left, it is read and discarded so that the connection can be kept.
    Skipped {
        left: u64,
    },
}

/// A request that is submitted once its body is complete.
#[derive(Debug)]
struct Collected {
    chunked: ChunkedDecoder,
    spool: Spool,
    request: Request,
}

/// The result of [`Upload::take`].
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) used: usize,
    /// The request, if its body was collected and is complete now.
    pub(crate) complete: Option<Request>,
}

/// Why collecting a body failed.
#[derive(Debug)]
pub(crate) enum NotTaken {
    Refused(Refusal),
    /// The body could not be stored.
    NotKept(io::Error),
}

impl Upload {
    /// There is no body, or it has arrived completely.
    pub(crate) fn done() -> Self {
        Self(State::Done)
    }

    /// A body that is passed on as it arrives.
    pub(crate) fn pushed(left: u64) -> Self {
        let is_full = false;
        Self(State::Pushed { left, is_full })
    }

    /// A chunked body. The request is submitted when the body is complete.
    pub(crate) fn collected(request: Request) -> Self {
        Self(State::Collected(Box::new(Collected {
            chunked: ChunkedDecoder::default(),
            spool: Spool::default(),
            request,
        })))
    }

    /// A body that is not needed, of known length.
    pub(crate) fn skipped(left: u64) -> Self {
        Self(State::Skipped { left })
    }

    /// A body that is not needed, if its end is unknown or it may never arrive.
    pub(crate) fn endless() -> Self {
        Self::skipped(u64::MAX)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Whether the body is passed to an application.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(self.0, State::Pushed { .. } | State::Collected(_))
    }

    /// Whether bytes of the body can be used now. If not, they stay in the system's buffer.
    pub(crate) fn wants_input(&self) -> bool {
        match self.0 {
            State::Done | State::Pushed { is_full: true, .. } => false,
            State::Pushed { .. } | State::Collected(_) => true,
            State::Skipped { left } => left <= MAX_SKIPPED,
        }
    }

    /// Whether the client is the one that has to act.
    pub(crate) fn waits_for_client(&self) -> bool {
        !matches!(self.0, State::Done | State::Pushed { is_full: true, .. })
    }

    /// Whether the connection can be kept after a response that does not wait for the rest of the body.
    pub(crate) fn can_keep_connection(&self) -> bool {
        match self.0 {
            State::Done => true,
            State::Skipped { left } => left <= MAX_SKIPPED,
            State::Pushed { .. } | State::Collected(_) => false,
        }
    }

    /// Uses bytes of the body. Leaves some if the application takes no more.
    ///
    /// # Errors
    /// A chunked body that is malformed, too long, or cannot be stored.
    pub(crate) fn take(
        &mut self,
        cx: &mut Context,
        request: Option<RequestHandle>,
        bytes: &[u8],
    ) -> Result<Taken, NotTaken> {
        let used = match &mut self.0 {
            State::Done => 0,
            State::Pushed { .. } => request.map_or(0, |request| self.push(cx, request, bytes)),
            State::Collected(_) => return self.collect(cx.options().max_body, bytes),
            State::Skipped { left } => {
                let len = within(*left, bytes);
                *left -= len as u64;
                if *left == 0 {
                    self.0 = State::Done;
                }
                len
            }
        };
        let complete = None;
        Ok(Taken { used, complete })
    }

    /// Passes bytes on as far as the application takes them.
    fn push(&mut self, cx: &mut Context, request: RequestHandle, bytes: &[u8]) -> usize {
        let State::Pushed { left, is_full } = &mut self.0 else {
            return 0;
        };
        let now = cx.now();
        let offered = within(*left, bytes);
        match cx.fcgi().write_stdin(now, request, &bytes[..offered]) {
            Ok(taken) => {
                *left -= taken as u64;
                *is_full = taken < offered;
                if *left == 0 {
                    // All bytes were taken, so this cannot fail.
                    let _ = cx.fcgi().finish_stdin(now, request);
                    self.0 = State::Done;
                }
                taken
            }
            // The request has ended. Its `End` event follows.
            Err(_) => {
                self.0 = State::Skipped { left: *left };
                0
            }
        }
    }

    /// Collects a chunked body.
    fn collect(&mut self, max_body: u64, bytes: &[u8]) -> Result<Taken, NotTaken> {
        let (mut used, mut complete) = (0, None);
        let State::Collected(collected) = &mut self.0 else {
            return Ok(Taken { used, complete });
        };
        while used < bytes.len() && !collected.chunked.is_done() {
            let decoded = collected.chunked.decode(&bytes[used..])?;
            used += decoded.used;
            if collected.spool.len() + decoded.content.len() as u64 > max_body {
                let why = "the body is too long";
                return Err(Refusal { status: 413, why }.into());
            }
            collected.spool.write(decoded.content)?;
        }
        if collected.chunked.is_done() {
            // Before the state changes: if this fails, the upload is not done, and the connection closes after the
            // response.
            let body = std::mem::take(&mut collected.spool).into_body()?;
            if let State::Collected(collected) = std::mem::replace(&mut self.0, State::Done) {
                let mut request = collected.request;
                request.body = body;
                complete = Some(request);
            }
        }
        Ok(Taken { used, complete })
    }

    /// The application takes bytes again. False if there is nothing to pass on.
    pub(crate) fn resume(&mut self) -> bool {
        match &mut self.0 {
            State::Pushed { is_full, .. } => {
                *is_full = false;
                true
            }
            State::Done | State::Collected(_) | State::Skipped { .. } => false,
        }
    }

    /// The response will not wait for the rest of the body. Its length may be known, but not whether it will arrive.
    pub(crate) fn give_up(&mut self) {
        if self.is_wanted() {
            *self = Self::endless();
        }
    }

    /// The application's request has ended: the rest of the body is not needed any more.
    pub(crate) fn request_ended(&mut self) {
        if let State::Pushed { left, .. } = self.0 {
            self.0 = State::Skipped { left };
        }
    }
}

/// How many of the bytes belong to the remaining `left`.
fn within(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ChunkedError> for NotTaken {
    fn from(error: ChunkedError) -> Self {
        let why = match error {
            ChunkedError::NoSize => "a chunk has no size",
            ChunkedError::SizeTooLarge => "a chunk's size is too large",
            ChunkedError::LineTooLong => "a chunk's line or the trailer section is too long",
            _ => "the chunked body is malformed",
        };
        Refusal { status: 400, why }.into()
    }
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        Self::NotKept(error)
    }
}

/// The most bytes of a body that are read and discarded so that the connection can be kept.
const MAX_SKIPPED: u64 = 64 * 1024;
