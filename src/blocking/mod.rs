//! One call, or one question, on a private loop: for tools, health checks and tests, not for servers.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use thiserror::Error;

use crate::address::Address;
use crate::cgi::{Collector, Incomplete, Response, ResponseError, ResponseLimits};
use crate::config::{Config, Multiplex, Timeouts};
use crate::error::{Failure, RequestError, SubmitError};
use crate::event::{Event, Outcome, ServerValues, Tag};
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
    let mut config = one_question(address.clone(), timeout);
    config.keep_connections = false;
    let mut poll = Poll::new()?;
    let tokens = Token(0)..Token(config.limits.max_connections * 64);
    let mut client = Client::new(poll.registry(), tokens, config)?;
    request.timeouts = Some(Timeouts::total(timeout));
    let handle = client.submit(Instant::now(), request, Tag(0))?;
    let outcome = run(&mut poll, &mut client, |client, now, event| {
        if collector.on_event(&event).is_err() {
            // The collector keeps the error; the request has no more to give.
            client.abort(now, handle);
        }
    })?;
    Ok(collector.finish(outcome)?)
}

/// Asks an application what it says of itself (`FCGI_GET_VALUES`, FastCGI 1.0, 4.1): whether it is up, without a script
/// that runs.
///
/// `timeout` bounds each connect, and the answer. Of a host name's addresses the first that can be connected to is
/// asked. The table of [`Engine::get_values`](crate::Engine::get_values) says what no answer means;
/// for a php-fpm pool see [the guide](crate::guide::php_fpm#is-it-up).
///
/// ```
/// use std::time::Duration;
/// use mio_fcgi::{RequestError, blocking};
///
/// let address = "unix:/no/such.sock".parse()?;
/// let error = blocking::get_values(&address, Duration::from_secs(1)).expect_err("nobody listens");
/// assert!(error.failure().is_some_and(|failure| matches!(failure.error, RequestError::Connect(_))));
/// # Ok::<(), mio_fcgi::AddressError>(())
/// ```
///
/// # Errors
/// [`CallError::Io`], [`CallError::Unanswered`].
pub fn get_values(address: &Address, timeout: Duration) -> Result<ServerValues, CallError> {
    ask_first(address.resolve()?, timeout)
}

/// Asks the first that can be connected to; its answer, or the last refusal.
fn ask_first(addresses: Vec<Address>, timeout: Duration) -> Result<ServerValues, CallError> {
    let mut last = None;
    for address in addresses {
        match ask(address, timeout) {
            Err(CallError::Unanswered(failure))
                if matches!(failure.error, RequestError::Connect(_)) =>
            {
                last = Some(failure);
            }
            answer => return answer,
        }
    }
    Err(last.map_or_else(
        || CallError::Io(io::ErrorKind::NotFound.into()),
        CallError::Unanswered,
    ))
}

fn ask(address: Address, timeout: Duration) -> Result<ServerValues, CallError> {
    let mut config = one_question(address, timeout);
    config.probe_timeout = timeout;
    let mut poll = Poll::new()?;
    let tokens = Token(0)..Token(config.limits.max_connections);
    let mut client = Client::new(poll.registry(), tokens, config)?;
    client.get_values(Instant::now(), 0, Tag(0))?;
    let mut said = ServerValues::default();
    let outcome = run(&mut poll, &mut client, |_, _, event| {
        if let Event::Values { values, .. } = event {
            said = values;
        }
    })?;
    match outcome {
        Ok(_) => Ok(said),
        Err(failure) => Err(CallError::Unanswered(Box::new(failure))),
    }
}

fn one_question(address: Address, timeout: Duration) -> Config {
    let mut config = Config::new(address);
    config.multiplex = Multiplex::Off;
    config.connect_timeout = timeout;
    // Or it would end a longer connect.
    config.timeouts.queue = None;
    config
}

/// Turns the loop until the one request has its `End`, and shows each event before that.
fn run(
    poll: &mut Poll,
    client: &mut Client,
    mut on_event: impl FnMut(&mut Client, Instant, Event<'_>),
) -> io::Result<Outcome> {
    let mut events = Events::with_capacity(8);
    let mut buf = ReadBuf::default();
    loop {
        client.wait(Instant::now(), poll, &mut events)?;
        let now = Instant::now();
        for event in &events {
            client.handle_event(event);
        }
        client.handle_timeout(now);
        while let Some(event) = client.poll_event(now, &mut buf) {
            if let Event::End { outcome, .. } = event {
                return Ok(outcome);
            }
            on_event(client, now, event);
        }
    }
}

/// Why there is no response, or no answer.
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
    /// There was no answer to [`get_values`].
    #[error(transparent)]
    Unanswered(Box<Failure>),
}

impl CallError {
    /// What was wrong with the response, where that is the reason.
    #[must_use]
    pub fn response_error(&self) -> Option<&ResponseError> {
        match self {
            Self::Incomplete(incomplete) => Some(&incomplete.error),
            Self::Submit(_) | Self::Io(_) | Self::Unanswered(_) => None,
        }
    }

    /// How the request failed, where that is the reason.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Incomplete(incomplete) => incomplete.outcome.as_ref().err(),
            Self::Unanswered(failure) => Some(failure),
            Self::Submit(_) | Self::Io(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::error::TimeoutKind;

    #[test]
    fn an_address_that_refuses_is_passed_over() -> io::Result<()> {
        // The system accepts, nobody else does: the time limit shows that this one was asked.
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let silent = Address::Tcp(listener.local_addr()?);
        // Bound, so that nobody else gets the port, and not listening.
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        let refusing = bound.local_addr()?.as_socket().expect("an IPv4 address");
        let addresses = vec![Address::Tcp(refusing), silent];
        let answer = ask_first(addresses, Duration::from_millis(200));
        let error = answer.expect_err("nobody answers");
        let timed_out = RequestError::TimedOut(TimeoutKind::Probe);
        assert_eq!(error.failure().map(|it| &it.error), Some(&timed_out));
        Ok(())
    }
}
