//! What a scripted application does with one request.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::records::Records;
use crate::wire::{ProtocolStatus, Role};

/// What an application does with a request: steps, taken one after another when its parameters are complete.
///
/// A behavior without [`end`](Self::end) never ends the request. Behaviors of requests that share a connection run side
/// by side: [`wait`](Self::wait) interleaves them. [`Quirks`](super::Quirks) decide when the first step is taken, and
/// how a step appears in records.
///
/// ```
/// use std::time::Duration;
/// use mio_fcgi::testkit::Behavior;
///
/// let slow = Behavior::new()
///     .await_stdin()
///     .stdout("Status: 200 OK\r\n\r\n")
///     .wait(Duration::from_secs(3))
///     .stdout("done")
///     .end(0);
/// let dies_in_mid_answer = Behavior::new().stdout("Content-Length: 9\r\n\r\nfour").reset();
/// # drop((slow, dies_in_mid_answer));
/// ```
#[derive(Default)]
pub struct Behavior {
    steps: VecDeque<Step>,
}

pub(super) enum Step {
    Wait(Duration),
    AwaitStdin,
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    StdoutEnd,
    End(u32, ProtocolStatus),
    Send(Records),
    Echo,
    Then(Box<dyn FnOnce(&ReceivedRequest) -> Behavior>),
    Ended,
    HalfClose,
    TakeNothing,
    Close,
    Reset,
    Read(bool),
}

impl Behavior {
    /// A behavior without steps. The request is never answered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the whole request, sends this output, and ends the request with status 0.
    pub fn answer(stdout: impl Into<Vec<u8>>) -> Self {
        Self::new().await_stdin().stdout(stdout).end(0)
    }

    /// Waits for this time, as an application that works.
    #[must_use]
    pub fn wait(self, time: Duration) -> Self {
        self.with(Step::Wait(time))
    }

    /// Waits until the body is complete: until the empty `FCGI_STDIN`, and for a Filter the empty `FCGI_DATA`. php-fpm
    /// waits for `CONTENT_LENGTH` bytes instead.
    #[must_use]
    pub fn await_stdin(self) -> Self {
        self.with(Step::AwaitStdin)
    }

    /// Sends `FCGI_STDOUT`.
    #[must_use]
    pub fn stdout(self, content: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Stdout(content.into()))
    }

    /// Sends `FCGI_STDERR`.
    #[must_use]
    pub fn stderr(self, content: impl Into<Vec<u8>>) -> Self {
        self.with(Step::Stderr(content.into()))
    }

    /// Sends back as `FCGI_STDOUT` the bytes of the body that have arrived by now.
    #[must_use]
    pub fn echo(self) -> Self {
        self.with(Step::Echo)
    }

    /// Sends the empty `FCGI_STDOUT` now. [`end`](Self::end) sends it otherwise, if the application's quirks have it
    /// sent at all.
    #[must_use]
    #[doc(hidden)]
    pub fn stdout_end(self) -> Self {
        self.with(Step::StdoutEnd)
    }

    /// Sends `FCGI_END_REQUEST` with `FCGI_REQUEST_COMPLETE`, and before it what the application's quirks end output
    /// with. Steps after this one are still taken.
    #[must_use]
    pub fn end(self, app_status: u32) -> Self {
        self.with(Step::End(app_status, ProtocolStatus::RequestComplete))
    }

    /// Sends `FCGI_END_REQUEST` with another protocol status, and no empty `FCGI_STDOUT` before it.
    #[must_use]
    pub fn refuse(self, status: ProtocolStatus) -> Self {
        self.with(Step::End(0, status))
    }

    /// Sends records as they are, legal or not. Quirks do not change them.
    #[must_use]
    pub fn send(self, records: Records) -> Self {
        self.with(Step::Send(records))
    }

    /// Counts the request as ended, and sends nothing. Use it after [`send`](Self::send) of records that end the
    /// request.
    #[must_use]
    pub fn ended(self) -> Self {
        self.with(Step::Ended)
    }

    /// Goes on with another behavior, made from what has been received by now. Steps after this one are dropped.
    #[must_use]
    pub fn then(self, make: impl FnOnce(&ReceivedRequest) -> Self + 'static) -> Self {
        self.with(Step::Then(Box::new(make)))
    }

    /// Ends the application's direction of the connection. The application goes on reading.
    #[must_use]
    #[doc(hidden)]
    pub fn half_close(self) -> Self {
        self.with(Step::HalfClose)
    }

    /// Ends the client's direction of the connection (`SHUT_RD` on a Unix socket): the client's writes fail from now
    /// on.
    #[must_use]
    #[doc(hidden)]
    pub fn take_nothing(self) -> Self {
        self.with(Step::TakeNothing)
    }

    /// Closes the connection, after what was sent.
    #[must_use]
    pub fn close(self) -> Self {
        self.with(Step::Close)
    }

    /// Resets the connection. The client loses what it has not read.
    #[must_use]
    pub fn reset(self) -> Self {
        self.with(Step::Reset)
    }

    /// Reads nothing more from the connection, so that the link fills up and the client cannot write.
    #[must_use]
    pub fn stop_reading(self) -> Self {
        self.with(Step::Read(false))
    }

    /// Reads from the connection again.
    #[must_use]
    #[doc(hidden)]
    pub fn start_reading(self) -> Self {
        self.with(Step::Read(true))
    }

    pub(super) fn into_steps(self) -> VecDeque<Step> {
        self.steps
    }

    fn with(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }
}

impl fmt::Debug for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behavior")
            .field("steps", &self.steps.len())
            .finish()
    }
}

/// A request as the application has received it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The number of the connection. No two connections of a run have the same one.
    pub connection: usize,
    /// The request ID.
    pub request_id: u16,
    /// The role.
    pub role: Role,
    /// Whether the client wants the connection kept open (`FCGI_KEEP_CONN`).
    pub keep: bool,
    /// The name-value pairs of `FCGI_PARAMS`, in order.
    pub params: Vec<(Vec<u8>, Vec<u8>)>,
    /// The bytes of `FCGI_STDIN` that have arrived by now.
    pub stdin: Vec<u8>,
    /// The bytes of `FCGI_DATA` that have arrived by now.
    pub data: Vec<u8>,
    /// Whether the application has read an `FCGI_ABORT_REQUEST` for this request and goes on with it, as Go does.
    pub is_aborted: bool,
}

impl ReceivedRequest {
    /// The value of a parameter; the last one, if the name was sent more than once.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.params.iter().rev();
        let found = values.find(|(own, _)| own == name.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }
}
