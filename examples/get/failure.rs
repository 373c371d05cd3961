//! Failures: a message and an exit status.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use mio_fcgi::blocking::CallError;
use mio_fcgi::cgi::HeadError;
use mio_fcgi::{BodyError, ConnectError, Delivery, RequestError, SubmitError};

use crate::shown;

/// Why there is no complete response.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    /// Empty: no message is printed.
    line: String,
}

/// The exit statuses. The help text explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Here = 1,
    Usage = 2,
    Resolve = 6,
    Connect = 7,
    NotFastCgi = 8,
    Refused = 9,
    CutShort = 18,
    HttpError = 22,
    Stdout = 23,
    Data = 26,
    TimedOut = 28,
    NoResponse = 52,
}

impl Failure {
    pub(crate) fn new(status: Status, line: impl fmt::Display) -> Self {
        let line = line.to_string();
        Self { status, line }
    }

    /// Writing to stdout failed, or was refused. If the reader of stdout is gone (`get … | head`), no message is
    /// printed.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        let line = match error.kind() {
            io::ErrorKind::BrokenPipe => String::new(),
            io::ErrorKind::InvalidData => error.to_string(),
            _ => format!("stdout cannot be written: {error}"),
        };
        Self::new(Status::Stdout, line)
    }

    /// The request was not accepted.
    pub(crate) fn submit(error: &SubmitError) -> Self {
        let status = match error {
            SubmitError::BodyRead(_) | SubmitError::BodyTooLarge { .. } => Status::Data,
            _ => Status::Usage,
        };
        Self::new(status, error)
    }

    /// The output does not begin with a valid head.
    pub(crate) fn head(error: &HeadError) -> Self {
        Self::new(Status::NotFastCgi, error)
    }

    /// The request failed. `body_len` bytes of the response body had arrived.
    pub(crate) fn request(error: &RequestError, delivery: Delivery, body_len: u64) -> Self {
        let (status, line) = match error {
            RequestError::Connect(ConnectError::TimedOut) => {
                (Status::TimedOut, "no connection in time".to_owned())
            }
            RequestError::Connect(why) => (Status::Connect, why.to_string()),
            RequestError::TimedOut(_) => {
                let what = match delivery {
                    Delivery::NotProcessed => "no connection in time",
                    Delivery::MaybeProcessed => "no response in time",
                    Delivery::Responded => "the response did not end in time",
                };
                (Status::TimedOut, what.to_owned())
            }
            RequestError::ConnectionLost(reason) if delivery != Delivery::Responded => (
                Status::NoResponse,
                format!("no response: {reason}; is that a FastCGI application?"),
            ),
            RequestError::ConnectionLost(reason) => (
                Status::CutShort,
                format!("the response was cut short after {body_len} bytes of its body: {reason}"),
            ),
            RequestError::Protocol(_) => (Status::NotFastCgi, error.to_string()),
            RequestError::Overloaded
            | RequestError::CantMultiplex
            | RequestError::UnknownRole
            | RequestError::UnknownStatus(_) => (Status::Refused, error.to_string()),
            RequestError::Body(
                BodyError::Read(_) | BodyError::TooShort { .. } | BodyError::TooLong { .. },
            ) => (Status::Data, error.to_string()),
            _ => (Status::Here, error.to_string()),
        };
        Self { status, line }
    }

    /// The application did not answer the question for its values.
    pub(crate) fn call(error: &CallError) -> Self {
        match error {
            CallError::Unanswered(failure) => Self::request(&failure.error, failure.delivery, 0),
            CallError::Resolve(error) => Self::new(Status::Resolve, error),
            _ => Self::new(Status::Here, error),
        }
    }

    /// Puts the application's name in front of the message, if the failure concerns the application.
    pub(crate) fn of(mut self, application: impl fmt::Display) -> Self {
        match self.status {
            Status::Here | Status::Usage | Status::Data | Status::Stdout => {}
            Status::Resolve
            | Status::Connect
            | Status::NotFastCgi
            | Status::Refused
            | Status::CutShort
            | Status::HttpError
            | Status::TimedOut
            | Status::NoResponse => self.line = format!("{application}: {}", self.line),
        }
        self
    }

    /// Prints the message, if there is one, and returns the exit status.
    pub(crate) fn report(self) -> ExitCode {
        if !self.line.is_empty() {
            // If stderr cannot be written, the exit status still says what happened.
            let _ = writeln!(io::stderr(), "get: {}", shown::line(&self.line));
        }
        ExitCode::from(self.status as u8)
    }
}
