//! The body of a request: read from the client, passed to the application.

use std::io;

use mio_fcgi::Request;
use mio_fcgi::cgi::{PassOnError, PassedOn, RequestBody, RequestBodyError};

use super::net::spool::Spool;
use super::site::applications::RequestHandle;
use super::site::context::Context;

/// The part of a request's body that has not arrived yet, and what happens to it.
#[derive(Debug)]
pub(crate) struct Upload {
    /// `None`: where the body ends is unknown, or it may never arrive.
    body: Option<RequestBody>,
    target: Target,
}

/// Where a body goes.
#[derive(Debug)]
enum Target {
    /// It is not needed. If little is left, it is read and discarded so that the connection can be kept.
    Nowhere,
    /// Passed on as it arrives. Full: the application takes no more for now, and `StdinReady` reports when it does.
    Application { is_full: bool },
    /// Collected first, because its length is known only at its end.
    Spool(Box<Collected>),
}

/// A request that is submitted once its body is complete.
#[derive(Debug)]
struct Collected {
    spool: Spool,
    /// Taken when the body is complete.
    request: Option<Request>,
}

/// The result of [`Upload::take`].
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) used: usize,
    /// The request, if its body was collected and is complete now.
    pub(crate) complete: Option<Request>,
}

/// Why using a body failed.
#[derive(Debug)]
pub(crate) enum NotTaken {
    Refused(PassOnError),
    /// The body could not be stored.
    NotKept(io::Error),
}

impl Upload {
    /// A body that nobody needs so far.
    pub(crate) fn unwanted(body: RequestBody) -> Self {
        Self {
            body: Some(body),
            target: Target::Nowhere,
        }
    }

    /// A body that is not needed, if its end is unknown or it may never arrive.
    pub(crate) fn endless() -> Self {
        Self {
            body: None,
            target: Target::Nowhere,
        }
    }

    /// Takes the content off the front of the input, if all of it is there and its length is known.
    pub(crate) fn take_whole<'b>(&mut self, input: &mut &'b [u8]) -> Option<&'b [u8]> {
        let body = self.body.as_mut()?;
        if body.len()? > input.len() as u64 {
            return None;
        }
        let content = body.decode(input).ok()?;
        Some(content.unwrap_or_default())
    }

    /// Passes the body on as it arrives.
    pub(crate) fn push(&mut self) {
        self.target = Target::Application { is_full: false };
    }

    /// Collects the body first. The request is submitted when the body is complete.
    pub(crate) fn collect(&mut self, request: Request) {
        self.target = Target::Spool(Box::new(Collected {
            spool: Spool::default(),
            request: Some(request),
        }));
    }

    /// The length of the body, if it is known.
    pub(crate) fn len(&self) -> Option<u64> {
        self.body.as_ref()?.len()
    }

    /// The length that the client has declared.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.body.as_ref()?.content_length()
    }

    /// The interim response that the client waits for, if the body is wanted.
    pub(crate) fn take_continue(&mut self) -> Option<&'static [u8]> {
        let body = self.body.as_mut().filter(|_| !self.target.is_nowhere());
        body?.take_continue()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.target.is_nowhere() && self.body.as_ref().is_some_and(RequestBody::is_complete)
    }

    /// Whether the body is passed to an application.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.target.is_nowhere()
    }

    /// Whether bytes of the body can be used now. If not, they stay in the system's buffer.
    pub(crate) fn wants_input(&self) -> bool {
        match self.target {
            Target::Application { is_full } => !is_full,
            Target::Spool(_) => true,
            Target::Nowhere => !self.is_done() && self.can_keep_connection(),
        }
    }

    /// Whether the client is the one that has to act.
    pub(crate) fn waits_for_client(&self) -> bool {
        !self.is_done() && !matches!(self.target, Target::Application { is_full: true })
    }

    /// Whether the connection can be kept after a response that does not wait for the rest of the body.
    pub(crate) fn can_keep_connection(&self) -> bool {
        let keeps_it = |body: &RequestBody| body.keeps_connection(MAX_SKIPPED);
        self.target.is_nowhere() && self.body.as_ref().is_some_and(keeps_it)
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
        let (mut input, mut complete) = (bytes, None);
        if let Some(body) = &mut self.body {
            match &mut self.target {
                Target::Nowhere => body.discard(&mut input)?,
                Target::Application { .. } => {
                    if let Some(request) = request {
                        self.target = push(cx, request, body, &mut input)?;
                    }
                }
                Target::Spool(collected) => {
                    while let Some(content) = body.decode(&mut input)? {
                        collected.spool.write(content)?;
                    }
                    if body.is_complete() {
                        // If this fails, the upload is not done, and the connection closes after the response.
                        let body = std::mem::take(&mut collected.spool).into_body()?;
                        complete = collected.request.take().map(|it| it.with_body(body));
                        self.target = Target::Nowhere;
                    }
                }
            }
        }
        let used = bytes.len() - input.len();
        Ok(Taken { used, complete })
    }

    /// The application takes bytes again. False if there is nothing to pass on.
    pub(crate) fn resume(&mut self) -> bool {
        match &mut self.target {
            Target::Application { is_full } => {
                *is_full = false;
                true
            }
            Target::Nowhere | Target::Spool(_) => false,
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
        if matches!(self.target, Target::Application { .. }) {
            self.target = Target::Nowhere;
        }
    }
}

impl Target {
    fn is_nowhere(&self) -> bool {
        matches!(self, Self::Nowhere)
    }
}

/// Passes content on as far as the application takes it. Returns where the rest goes.
fn push(
    cx: &mut Context,
    request: RequestHandle,
    body: &mut RequestBody,
    input: &mut &[u8],
) -> Result<Target, PassOnError> {
    let now = cx.now();
    Ok(match cx.fcgi().pass_on(now, request, body, input)? {
        PassedOn::NeedsInput => Target::Application { is_full: false },
        PassedOn::Full => Target::Application { is_full: true },
        _ => Target::Nowhere, // the whole body was passed on, or the request has ended
    })
}

impl From<RequestBodyError> for NotTaken {
    fn from(error: RequestBodyError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<PassOnError> for NotTaken {
    fn from(error: PassOnError) -> Self {
        Self::Refused(error)
    }
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        Self::NotKept(error)
    }
}

/// The most bytes of a body that are read and discarded so that the connection can be kept.
const MAX_SKIPPED: u64 = 64 * 1024;
