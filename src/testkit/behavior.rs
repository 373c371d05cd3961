//! What a scripted application does with one request.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::records::Records;
use crate::wire::{ProtocolStatus, Role};

/// Steps, taken one after another from the end of the request's parameters on.
///
/// A behavior without [`end`](Self::end) leaves the request open for ever. Scripts of requests that share a
/// connection run side by side: their [`wait`](Self::wait)s interleave them.
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
    /// Does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the whole request, answers, ends with status 0.
    pub fn answer(stdout: impl Into<Vec<u8>>) -> Self {
        Self::new().await_stdin().stdout(stdout).end(0)
    }

    /// Thinks.
    #[must_use]
    pub fn wait(self, time: Duration) -> Self {
        self.with(Step::Wait(time))
    }

    /// Waits for the whole body (for the empty `FCGI_STDIN`, and `FCGI_DATA` of a Filter; php-fpm: for
    /// `CONTENT_LENGTH` bytes).
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

    /// Sends the body back as `FCGI_STDOUT`, as far as it has come.
    #[must_use]
    pub fn echo(self) -> Self {
        self.with(Step::Echo)
    }

    /// Sends the empty `FCGI_STDOUT`, long before the end perhaps. [`end`](Self::end) sends it by itself where
    /// the application's quirk is to.
    #[must_use]
    #[doc(hidden)]
    pub fn stdout_end(self) -> Self {
        self.with(Step::StdoutEnd)
    }

    /// Sends `FCGI_END_REQUEST` with `FCGI_REQUEST_COMPLETE`. Steps behind it are still taken.
    #[must_use]
    pub fn end(self, app_status: u32) -> Self {
        self.with(Step::End(app_status, ProtocolStatus::RequestComplete))
    }

    /// Sends `FCGI_END_REQUEST` with another protocol status and nothing before it.
    #[must_use]
    pub fn refuse(self, status: ProtocolStatus) -> Self {
        self.with(Step::End(0, status))
    }

    /// Sends any records, right or wrong, whatever the application's quirks.
    #[must_use]
    pub fn send(self, records: Records) -> Self {
        self.with(Step::Send(records))
    }

    /// Counts the request as ended without sending anything: for behind records of one's own that end it.
    #[must_use]
    pub fn ended(self) -> Self {
        self.with(Step::Ended)
    }

    /// Goes on with a behavior made from what has come by then; its own further steps are dropped.
    #[must_use]
    pub fn then(self, make: impl FnOnce(&ReceivedRequest) -> Self + 'static) -> Self {
        self.with(Step::Then(Box::new(make)))
    }

    /// Ends the application's direction of the connection; goes on reading.
    #[must_use]
    #[doc(hidden)]
    pub fn half_close(self) -> Self {
        self.with(Step::HalfClose)
    }

    /// Ends the client's direction of the connection (`SHUT_RD` on a Unix socket): its writes fail from now on.
    #[must_use]
    #[doc(hidden)]
    pub fn take_nothing(self) -> Self {
        self.with(Step::TakeNothing)
    }

    /// Closes the connection.
    #[must_use]
    pub fn close(self) -> Self {
        self.with(Step::Close)
    }

    /// Resets the connection.
    #[must_use]
    pub fn reset(self) -> Self {
        self.with(Step::Reset)
    }

    /// Reads nothing more from the connection.
    #[must_use]
    pub fn stop_reading(self) -> Self {
        self.with(Step::Read(false))
    }

    /// Reads again.
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

/// A request as the application has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The connection's number.
    pub connection: usize,
    /// The request ID.
    pub request_id: u16,
    /// The role.
    pub role: Role,
    /// Whether the connection is to be kept (`FCGI_KEEP_CONN`).
    pub keep: bool,
    /// The name-value pairs.
    pub params: Vec<(Vec<u8>, Vec<u8>)>,
    /// The `FCGI_STDIN` stream as far as it has come.
    pub stdin: Vec<u8>,
    /// The `FCGI_DATA` stream as far as it has come.
    pub data: Vec<u8>,
    /// The Web server has given it up, and the application has read that.
    pub is_aborted: bool,
}

impl ReceivedRequest {
    /// The last value given for a name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.params.iter().rev();
        let found = values.find(|(own, _)| own == name.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }
}
