//! A request's body on its way from the client to the application.

use std::io;

use mio_fcgi::{Request, RequestHandle};

use super::http::chunked::Chunked;
use super::http::head::Refusal;
use super::net::spool::Spool;
use super::site::context::Context;

/// The request's body, as far as it is still to come from the client.
#[derive(Debug)]
pub(crate) struct Upload(State);

#[derive(Debug)]
enum State {
    Done,
    /// Handed on as it comes.
    Pushed {
        left: u64,
        /// The application takes no more for now; `StdinReady` follows.
        is_full: bool,
    },
    /// Collected first, because its length is only known at its end.
    Collected(Box<Collected>),
    /// Nobody wants it any more; if it is short, it is read so that the connection can go on.
    Skipped {
        left: u64,
    },
}

/// A request that is sent once its body is complete.
#[derive(Debug)]
struct Collected {
    chunked: Chunked,
    spool: Spool,
    request: Request,
}

/// What became of bytes of a body.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) used: usize,
    /// The request, when its body is complete now and was collected.
    pub(crate) complete: Option<Request>,
}

/// Why a body is not collected any further.
#[derive(Debug)]
pub(crate) enum NotTaken {
    Refused(Refusal),
    /// There is no room for it.
    NotKept(io::Error),
}

impl Upload {
    /// There is no body, or none is left.
    pub(crate) fn done() -> Self {
        Self(State::Done)
    }

    /// A body that is handed on as it comes.
    pub(crate) fn pushed(left: u64) -> Self {
        let is_full = false;
        Self(State::Pushed { left, is_full })
    }

    /// A body in chunks; the request is sent when it is whole.
    pub(crate) fn collected(request: Request) -> Self {
        Self(State::Collected(Box::new(Collected {
            chunked: Chunked::new(),
            spool: Spool::default(),
            request,
        })))
    }

    /// A body that nobody wants, of a length that is known.
    pub(crate) fn skipped(left: u64) -> Self {
        Self(State::Skipped { left })
    }

    /// A body that nobody wants, and whose end is not known, or whether it will come.
    pub(crate) fn endless() -> Self {
        Self::skipped(u64::MAX)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Whether an application gets it.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(self.0, State::Pushed { .. } | State::Collected(_))
    }

    /// Whether bytes of it are of use now. While they are not, they stay in the system's buffer.
    pub(crate) fn wants_input(&self) -> bool {
        match self.0 {
            State::Done | State::Pushed { is_full: true, .. } => false,
            State::Pushed { .. } | State::Collected(_) => true,
            State::Skipped { left } => left <= MAX_SKIPPED,
        }
    }

    /// Whether it is the client who is waited for.
    pub(crate) fn waits_for_client(&self) -> bool {
        !matches!(self.0, State::Done | State::Pushed { is_full: true, .. })
    }

    /// Whether the connection can go on after an answer that does not wait for the rest of it.
    pub(crate) fn lets_go_on(&self) -> bool {
        match self.0 {
            State::Done => true,
            State::Skipped { left } => left <= MAX_SKIPPED,
            State::Pushed { .. } | State::Collected(_) => false,
        }
    }

    /// Uses bytes of the body. In front of an application that takes no more, some are left.
    ///
    /// # Errors
    /// A body in chunks that cannot be read, is too long, or cannot be kept.
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

    /// Hands bytes on as far as the application takes them.
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
                    // All of it was taken, so there is nothing left that can be wrong with it.
                    let _ = cx.fcgi().finish_stdin(now, request);
                    self.0 = State::Done;
                }
                taken
            }
            // The request has ended, and its `End` comes next.
            Err(_) => {
                self.0 = State::Skipped { left: *left };
                0
            }
        }
    }

    /// Collects a body in chunks.
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
            // First: what cannot be kept after all is not done, so that the connection closes after the answer.
            let body = std::mem::take(&mut collected.spool).into_body()?;
            if let State::Collected(collected) = std::mem::replace(&mut self.0, State::Done) {
                let mut request = collected.request;
                request.body = body;
                complete = Some(request);
            }
        }
        Ok(Taken { used, complete })
    }

    /// The application takes bytes again; false if none are handed on.
    pub(crate) fn resume(&mut self) -> bool {
        match &mut self.0 {
            State::Pushed { is_full, .. } => {
                *is_full = false;
                true
            }
            State::Done | State::Collected(_) | State::Skipped { .. } => false,
        }
    }

    /// The request is answered without the rest of its body. Where that ends may be known, but not when.
    pub(crate) fn give_up(&mut self) {
        if self.is_wanted() {
            *self = Self::endless();
        }
    }

    /// The application has ended the request: nobody is left to hand the rest on to.
    pub(crate) fn request_ended(&mut self) {
        if let State::Pushed { left, .. } = self.0 {
            self.0 = State::Skipped { left };
        }
    }
}

/// As many of the bytes as belong to what is left.
fn within(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        Self::NotKept(error)
    }
}

/// Bytes of a body that are read although nobody wants them, so that the connection can go on.
const MAX_SKIPPED: u64 = 64 * 1024;
