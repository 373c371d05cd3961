//! One call on a private loop: for tools, health checks and tests, not for servers.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use thiserror::Error;

use crate::address::Address;
use crate::cgi::{Collector, Incomplete, Response, ResponseError, ResponseLimits};
use crate::config::{Config, Multiplex, Timeouts};
use crate::error::SubmitError;
use crate::event::{Event, Tag};
use crate::net::{Client, ReadBuf};
use crate::request::Request;

/// Sends one request on a connection of its own, waits for the end, and gives the collected response.
///
/// `timeout` bounds the whole, connecting included; resolving a host name comes before it. The response is kept
/// in memory up to [`ResponseLimits::default`].
///
/// ```no_run
/// use std::time::Duration;
/// use mio_fcgi::{Request, blocking};
///
/// let request = Request::responder()
///     .param("REQUEST_METHOD", "GET")
///     .param("SCRIPT_FILENAME", "/var/www/hello.php");
/// let address = "unix:/run/php/php8.2-fpm.sock".parse()?;
/// let response = blocking::call(&address, request, Duration::from_secs(5))?;
/// println!("{}, {} octets", response.status, response.body.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Every variant of [`CallError`].
pub fn call(address: &Address, request: Request, timeout: Duration) -> Result<Response, CallError> {
    let limits = ResponseLimits::default();
    call_with(address, request, timeout, Collector::new(limits))
}

/// As [`call`], with a [`Collector`] of the caller's: other limits, or a method that has no body.
///
/// # Errors
/// Every variant of [`CallError`].
pub fn call_with(
    address: &Address,
    mut request: Request,
    timeout: Duration,
    mut collector: Collector,
) -> Result<Response, CallError> {
    let mut config = Config::new(address.clone());
    config.multiplex = Multiplex::Off;
    config.keep_connections = false;
    config.connect_timeout = timeout;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let tokens = Token(0)..Token(config.limits.max_connections * 64);
    let mut client = Client::new(poll.registry(), tokens, config)?;
    let mut buf = ReadBuf::default();
    request.timeouts = Some(Timeouts::total(timeout));
    let handle = client.submit(Instant::now(), request, Tag(0))?;
    loop {
        client.wait(Instant::now(), &mut poll, &mut events)?;
        let now = Instant::now();
        for event in &events {
            client.handle_event(event);
        }
        client.handle_timeout(now);
        while let Some(event) = client.poll_event(now, &mut buf) {
            if let Event::End { outcome, .. } = event {
                return Ok(collector.finish(outcome)?);
            }
            if collector.on_event(&event).is_err() {
                // The collector keeps the error; the request has no more to give.
                client.abort(now, handle);
            }
        }
    }
}

/// Why [`call`] has no response.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The address could not be resolved, or the system has no poll or file descriptor left.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The request or its response failed; what there is of it is inside.
    #[error(transparent)]
    Incomplete(#[from] Box<Incomplete>),
}

impl CallError {
    /// What was wrong with the response, where that is the reason.
    #[must_use]
    pub fn response_error(&self) -> Option<&ResponseError> {
        match self {
            Self::Incomplete(incomplete) => Some(&incomplete.error),
            Self::Submit(_) | Self::Io(_) => None,
        }
    }
}
