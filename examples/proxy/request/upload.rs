//! The body of a request: read from the client, collected or not, passed to the application.

use std::time::{Duration, Instant};

use mio_fcgi::cgi::{PassOnError, PassedOn, RequestBody, RequestBodyError};
use mio_fcgi::{Body, Request, StdinError};

use super::net::spool::{NotKept, Spool};
use super::site::applications::RequestHandle;
use super::site::budget::{Budget, Held};
use super::site::context::Context;

/// The part of a request's body that has not arrived yet, and what happens to it.
#[derive(Debug)]
pub(crate) struct Upload {
    /// `None`: where the body ends is unknown, or it may never arrive.
    body: Option<RequestBody>,
    target: Target,
    /// What a body that arrived holds of the budget, until the application's request has ended.
    held: Option<Held>,
    /// When the body began to arrive, moved by the time in which the application was the one that had to act.
    since: Option<Instant>,
}

/// Where a body goes.
#[derive(Debug)]
enum Target {
    /// It is not needed. If little is left, it is read and discarded so that the connection can be kept.
    Nowhere,
    /// Passed on as it arrives.
    Application {
        /// Since when the application takes no more. `StdinReady` reports when it does.
        full_since: Option<Instant>,
        /// What was collected before it is passed on first.
        kept: Option<Box<Kept>>,
    },
    /// Collected first, so that the application is not held by a client that sends slowly.
    Spool(Box<Collected>),
}

/// A request that is submitted once its body is complete.
#[derive(Debug)]
struct Collected {
    spool: Spool,
    /// The number of the application that is to be asked.
    application: usize,
    /// Taken when the request is submitted.
    request: Option<Request>,
}

/// The beginning of a body that could not be collected to its end.
#[derive(Debug)]
struct Kept {
    spool: Spool,
    /// The bytes that were passed on.
    passed: u64,
}

/// The result of [`Upload::take`].
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) used: usize,
    /// The request, if its body was collected and it has to be submitted now.
    pub(crate) request: Option<Request>,
}

/// Why using a body failed.
#[derive(Debug)]
pub(crate) enum NotTaken {
    Refused(PassOnError),
    /// The body could not be stored.
    NotKept(NotKept),
}

impl Upload {
    /// A body that nobody needs so far.
    pub(crate) fn unwanted(body: RequestBody, now: Instant) -> Self {
        Self {
            body: Some(body),
            since: Some(now),
            ..Self::endless()
        }
    }

    /// A body that is not needed, if its end is unknown or it may never arrive.
    pub(crate) fn endless() -> Self {
        Self {
            body: None,
            target: Target::Nowhere,
            held: None,
            since: None,
        }
    }

    /// Takes the body off the front of the input, if all of it is there, its length is known and memory is left for it.
    pub(crate) fn take_whole(&mut self, budget: &Budget, input: &mut &[u8]) -> Option<Body> {
        let body = self.body.as_mut()?;
        let len = usize::try_from(body.len()?).ok()?;
        if len == 0 {
            return Some(Body::empty());
        }
        let mut held = Held::none_of(budget);
        if len > input.len() || !held.take_memory(len) {
            return None;
        }
        let content = body.decode(input).ok()??;
        self.held = Some(held);
        Some(Body::bytes(content))
    }

    /// Passes the body on as it arrives.
    pub(crate) fn push(&mut self) {
        self.target = Target::passing_on(None);
    }

    /// Collects the body first. The request is submitted when the body is complete.
    pub(crate) fn collect(&mut self, budget: &Budget, application: usize, request: Request) {
        self.target = Target::Spool(Box::new(Collected {
            spool: Spool::new(budget),
            application,
            request: Some(request),
        }));
    }

    /// The length of the body, if it is known.
    pub(crate) fn len(&self) -> Option<u64> {
        self.body.as_ref()?.len()
    }

    /// How many bytes have not arrived, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        let body = self.body.as_ref()?;
        Some(body.len()?.saturating_sub(body.received()))
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

    /// Whether the body is passed to an application, or will be.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.target.is_nowhere()
    }

    /// Whether bytes of the body can be used now. If not, they stay in the system's buffer.
    pub(crate) fn wants_input(&self) -> bool {
        match self.target {
            Target::Application { full_since, .. } => full_since.is_none(),
            Target::Spool(_) => true,
            Target::Nowhere => !self.is_done() && self.can_keep_connection(),
        }
    }

    /// Whether the client is the one that has to act.
    pub(crate) fn waits_for_client(&self) -> bool {
        !self.is_done() && !self.target.is_full()
    }

    /// When the body is too slow, if no more of it arrives until then: it may take `grace`, and a second more for each
    /// `rate` bytes that have arrived. `None`: never.
    pub(crate) fn too_slow_at(&self, rate: u64, grace: Duration) -> Option<Instant> {
        let received = self.body.as_ref()?.received();
        let earned = received.saturating_mul(1000).checked_div(rate)?;
        let time = grace.checked_add(Duration::from_millis(earned))?;
        self.since?.checked_add(time)
    }

    /// Whether the connection can be kept after a response that does not wait for the rest of the body.
    pub(crate) fn can_keep_connection(&self) -> bool {
        let keeps_it = |body: &RequestBody| body.keeps_connection(MAX_SKIPPED);
        self.target.is_nowhere() && self.body.as_ref().is_some_and(keeps_it)
    }

    /// Uses bytes of the body. Leaves some if the application takes no more.
    ///
    /// # Errors
    /// A chunked body that is malformed or too long, or a body that cannot be stored.
    pub(crate) fn take(
        &mut self,
        cx: &mut Context,
        request: Option<RequestHandle>,
        bytes: &[u8],
    ) -> Result<Taken, NotTaken> {
        let (mut input, mut submitted) = (bytes, None);
        match (&mut self.body, &mut self.target) {
            (None, _) => {}
            (Some(body), Target::Nowhere) => body.discard(&mut input)?,
            (Some(_), Target::Application { .. }) => {
                if let Some(request) = request {
                    self.pass_on(cx, request, &mut input)?;
                }
            }
            (Some(body), Target::Spool(collected)) => {
                match collect(cx, &mut collected.spool, body, &mut input) {
                    Ok(()) if !body.is_complete() => {}
                    Ok(()) => submitted = self.end_collecting()?,
                    Err(NotTaken::NotKept(why)) => submitted = Some(self.stop_collecting(cx, why)?),
                    Err(refused) => return Err(refused),
                }
            }
        }
        let used = bytes.len() - input.len();
        Ok(Taken {
            used,
            request: submitted,
        })
    }

    /// The memory to read more of the body into, if it is collected there.
    pub(crate) fn space(&mut self) -> Option<&mut Vec<u8>> {
        match (&self.body, &mut self.target) {
            (Some(body), Target::Spool(collected)) => collected.spool.space(body.len()?),
            _ => None,
        }
    }

    /// Uses the last `len` bytes of the [space](Self::space), which were read into it. Those that follow the body are
    /// appended to `following`.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn take_read(
        &mut self,
        len: usize,
        following: &mut Vec<u8>,
    ) -> Result<Option<Request>, NotTaken> {
        let (Some(body), Target::Spool(collected)) = (&mut self.body, &mut self.target) else {
            return Ok(None);
        };
        let mut input = collected.spool.last(len);
        let content = body.decode(&mut input)?.map_or(0, <[u8]>::len);
        following.extend_from_slice(input);
        collected.spool.keep_read(content);
        match body.is_complete() {
            true => Ok(self.end_collecting()?),
            false => Ok(None),
        }
    }

    /// The body is complete.
    fn end_collecting(&mut self) -> Result<Option<Request>, NotKept> {
        let Target::Spool(collected) = std::mem::replace(&mut self.target, Target::Nowhere) else {
            return Ok(None);
        };
        match collected.spool.into_body() {
            Ok((body, held)) => {
                self.held = Some(held);
                Ok(collected.request.map(|it| it.with_body(body)))
            }
            Err(error) => {
                // The connection closes after the response.
                *self = Self::endless();
                Err(error.into())
            }
        }
    }

    /// The body cannot be kept: from now on it is passed on as it arrives, if its length is known and connections to
    /// applications are spare. Otherwise a crowd of such bodies would hold all of them.
    fn stop_collecting(&mut self, cx: &mut Context, why: NotKept) -> Result<Request, NotKept> {
        let Target::Spool(collected) = &mut self.target else {
            return Err(why);
        };
        let len = self.body.as_ref().and_then(RequestBody::len);
        let is_possible = len.is_some() && cx.has_spare_connections(collected.application);
        let Some(request) = collected.request.take_if(|_| is_possible) else {
            return Err(why);
        };
        cx.log_problem(format_args!(
            "a request body is passed on as it arrives, because it cannot be stored: {why}"
        ));
        let spool = std::mem::replace(&mut collected.spool, Spool::new(cx.budget()));
        let kept = (spool.len() > 0).then(|| Box::new(Kept { spool, passed: 0 }));
        self.target = Target::passing_on(kept);
        Ok(request.with_body(Body::pushed(len)))
    }

    /// The application takes bytes again. False if it does not need more of the client.
    ///
    /// # Errors
    /// What was collected of the body cannot be read.
    pub(crate) fn resume(
        &mut self,
        cx: &mut Context,
        request: Option<RequestHandle>,
    ) -> Result<bool, NotTaken> {
        self.end_pause(cx.now());
        if let Some(request) = request {
            self.pass_kept_on(cx, request)?;
        }
        Ok(matches!(
            self.target,
            Target::Application {
                full_since: None,
                ..
            }
        ))
    }

    /// The client is the one that has to act again. The time in which it was not does not count.
    fn end_pause(&mut self, now: Instant) {
        if let Target::Application { full_since, .. } = &mut self.target
            && let Some(full_since) = full_since.take()
        {
            let waited = now.saturating_duration_since(full_since);
            self.since = self.since.and_then(|since| since.checked_add(waited));
        }
    }

    /// Passes content on as far as the application takes it.
    fn pass_on(
        &mut self,
        cx: &mut Context,
        request: RequestHandle,
        input: &mut &[u8],
    ) -> Result<(), NotTaken> {
        self.pass_kept_on(cx, request)?;
        let now = cx.now();
        if let Target::Application { full_since, .. } = &mut self.target
            && full_since.is_none()
            && let Some(body) = &mut self.body
        {
            match cx.fcgi().pass_on(now, request, body, input)? {
                PassedOn::NeedsInput => {}
                PassedOn::Full => *full_since = Some(now),
                // The whole body was passed on, or the request has ended.
                _ => self.target = Target::Nowhere,
            }
        }
        Ok(())
    }

    /// Passes on what was collected, as far as the application takes it.
    fn pass_kept_on(&mut self, cx: &mut Context, request: RequestHandle) -> Result<(), NotTaken> {
        let Target::Application { full_since, kept } = &mut self.target else {
            return Ok(());
        };
        let now = cx.now();
        let mut buffer = cx.buffers().take().unwrap_or_default();
        while let Some(Kept { spool, passed }) = kept.as_deref_mut()
            && full_since.is_none()
        {
            buffer.clear();
            spool.read(*passed, &mut buffer).map_err(NotKept::File)?;
            match cx.fcgi().write_stdin(now, request, &buffer) {
                Ok(taken) => {
                    *passed += taken as u64;
                    *full_since = (taken < buffer.len()).then_some(now);
                    if *passed == spool.len() {
                        *kept = None;
                    }
                }
                Err(StdinError::Gone) => {
                    self.target = Target::Nowhere;
                    break;
                }
                Err(error) => return Err(PassOnError::Stdin(error).into()),
            }
        }
        cx.buffers().give_back(buffer);
        Ok(())
    }

    /// The response will not wait for the rest of the body. Its length may be known, but not whether it will arrive.
    pub(crate) fn give_up(&mut self) {
        if self.is_wanted() {
            *self = Self::endless();
        }
    }

    /// Takes out what the body holds of the budget, for a request that outlives its exchange.
    pub(crate) fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    /// The application's request has ended: its body is not needed any more.
    pub(crate) fn request_ended(&mut self, now: Instant) {
        self.held = None;
        self.end_pause(now);
        if matches!(self.target, Target::Application { .. }) {
            self.target = Target::Nowhere;
        }
    }
}

impl Target {
    fn passing_on(kept: Option<Box<Kept>>) -> Self {
        Self::Application {
            full_since: None,
            kept,
        }
    }

    fn is_nowhere(&self) -> bool {
        matches!(self, Self::Nowhere)
    }

    fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Application {
                full_since: Some(_),
                ..
            }
        )
    }
}

/// Keeps the content that is at the front of the input. Content of a known length that cannot be kept stays there.
fn collect(
    cx: &mut Context,
    spool: &mut Spool,
    body: &mut RequestBody,
    input: &mut &[u8],
) -> Result<(), NotTaken> {
    if body.len().is_some() {
        if let Some(content) = body.peek(input)? {
            spool.write(content, body.len())?;
            body.consume(input, content.len());
        }
        return Ok(());
    }
    // Otherwise each chunk of a few bytes could cost a system call.
    let mut gathered = cx.buffers().take().unwrap_or_default();
    while let Some(content) = body.decode(input)? {
        gathered.extend_from_slice(content);
    }
    spool.write(&gathered, None)?;
    cx.buffers().give_back(gathered);
    Ok(())
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

impl From<NotKept> for NotTaken {
    fn from(error: NotKept) -> Self {
        Self::NotKept(error)
    }
}

/// The most bytes of a body that are read and discarded so that the connection can be kept.
const MAX_SKIPPED: u64 = 64 * 1024;
