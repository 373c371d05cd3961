//! Sends one request, or asks for a server's values, on a private event loop: for tools, health checks and tests, not
//! for servers.

mod turns;
mod values;

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::address::Address;
use crate::cgi::{Collector, Incomplete, Response, ResponseError, ResponseLimits};
use crate::config::{Config, Multiplex};
use crate::error::{Failure, SubmitError};
use crate::event::{EventKind, ServerValues, Tag};
use crate::request::Request;
use crate::timeouts::Timeouts;
use turns::Turns;

/// Sends one request on a connection of its own, waits for its end, and returns the collected response.
///
/// `timeout` bounds the whole call: resolving a host name, connecting, the response. All addresses of a name share it,
/// and [`Call`] describes how they are tried. The response is kept in memory, up to [`ResponseLimits::default`]. An
/// application that goes on after the whole response is not waited for beyond [`ResponseLimits::max_discarded`].
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
/// println!("{}, {} bytes", response.status, response.body.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Every variant of [`CallError`] except [`CallError::Unanswered`].
pub fn call(address: &Address, request: Request, timeout: Duration) -> Result<Response, CallError> {
    Call::new(address, timeout).send(request)
}

/// Like [`call`], with a [`Collector`] of the caller's: for other limits, or for a method whose response has no body.
///
/// # Errors
/// As [`call`].
pub fn call_with(
    address: &Address,
    request: Request,
    timeout: Duration,
    collector: Collector,
) -> Result<Response, CallError> {
    Call::new(address, timeout).send_with(request, collector)
}

/// Asks an application for its values (`FCGI_GET_VALUES`, FastCGI 1.0, 4.1). This checks whether it is up, and runs no
/// script.
///
/// `timeout` bounds the whole call, as in [`call`]. Of a host name's addresses, the first that can be connected to is
/// asked. The table of [`Engine::get_values`](crate::Engine::get_values) explains what a missing answer means; for a
/// php-fpm pool see [the guide](crate::guide::php_fpm#is-it-up).
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
/// [`CallError::Resolve`], [`CallError::Io`], [`CallError::Unanswered`].
pub fn get_values(address: &Address, timeout: Duration) -> Result<ServerValues, CallError> {
    Call::new(address, timeout).get_values()
}

/// What [`call`] and [`get_values`] do, with more settings. Each setting has a `with_*` method.
///
/// A host name may have several addresses. They are tried in the resolver's order: after a refusal the next one at
/// once, and after a connect has hung for 250 ms the next one as well (RFC 8305, 5). The first that can be connected to
/// is used. All of them together have `timeout`. If none can be connected to, the error is that of one of them.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mio_fcgi::blocking::Call;
///
/// // An application that is being started: wait until it listens, at most for 50 ms here.
/// let address = "unix:/no/such.sock".parse()?;
/// let call = Call::new(&address, Duration::from_secs(30))
///     .with_connect_retry_timeout(Duration::from_millis(50));
/// let began = Instant::now();
/// assert!(call.get_values().is_err());
/// assert!(began.elapsed() >= Duration::from_millis(50));
/// # Ok::<(), mio_fcgi::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    address: &'a Address,
    timeout: Duration,
    connect_retry_timeout: Duration,
}

impl<'a> Call<'a> {
    /// A call that takes at most `timeout` and fails when the server refuses the connection.
    ///
    /// Resolving a host name cannot be interrupted; the time it takes is subtracted from `timeout`. [`Duration::ZERO`]
    /// has passed at once, [`Duration::MAX`] never passes.
    #[must_use]
    pub const fn new(address: &'a Address, timeout: Duration) -> Self {
        Self {
            address,
            timeout,
            connect_retry_timeout: Duration::ZERO,
        }
    }

    /// Sets how long to retry a server that refuses connections, or whose socket does not exist yet, with the pauses of
    /// [`Config::backoff`]. `timeout` bounds this time as well. Default: [`Duration::ZERO`], which fails after one
    /// refusal.
    #[must_use]
    pub const fn with_connect_retry_timeout(mut self, limit: Duration) -> Self {
        self.connect_retry_timeout = limit;
        self
    }

    /// Sends one request on a connection of its own, see [`call`].
    ///
    /// # Errors
    /// As [`call`].
    pub fn send(&self, request: Request) -> Result<Response, CallError> {
        self.send_with(request, Collector::new(ResponseLimits::default()))
    }

    /// Like [`send`](Self::send), with a [`Collector`] of the caller's, see [`call_with`].
    ///
    /// # Errors
    /// As [`call`].
    pub fn send_with(&self, request: Request, collector: Collector) -> Result<Response, CallError> {
        let began = Instant::now();
        let config = self.configure(began, self.resolve()?);
        send_to(config, request, collector)
    }

    /// Asks for the server's values, see [`get_values`].
    ///
    /// # Errors
    /// As [`get_values`].
    pub fn get_values(&self) -> Result<ServerValues, CallError> {
        let began = Instant::now();
        let config = self.configure(began, self.resolve()?);
        values::ask(config)
    }

    fn resolve(&self) -> Result<Vec<Address>, CallError> {
        self.address.resolve().map_err(CallError::Resolve)
    }

    /// The configuration for one request or question, with the time that is left.
    fn configure(&self, began: Instant, servers: Vec<Address>) -> Config {
        let left = self.timeout.saturating_sub(began.elapsed());
        let mut config = Config::from_servers(servers);
        config.limits.max_connections_per_server = 1;
        config.keep_connections = false;
        config.multiplex = Multiplex::Off;
        config.timeouts = Timeouts::NONE.with_total(left);
        config.connect_timeout = left;
        config.connect_retry_timeout = self.connect_retry_timeout.min(left);
        config
    }
}

fn send_to(
    config: Config,
    mut request: Request,
    mut collector: Collector,
) -> Result<Response, CallError> {
    request.timeouts = Some(config.timeouts);
    let mut turns = Turns::new(config)?;
    let submitted = turns.client.submit(Instant::now(), request, Tag(0));
    let handle = submitted.map_err(SubmitError::from)?;
    let mut end = None;
    loop {
        turns.turn(None, |client, now, event| {
            if let EventKind::End(outcome) = event.kind {
                end = Some(outcome);
                return ControlFlow::Break(());
            }
            // The collector keeps the error.
            let _ = collector.on_event(&event);
            if !collector.wants_more() {
                client.abort(now, handle);
            }
            ControlFlow::Continue(())
        })?;
        if let Some(outcome) = end {
            return Ok(collector.finish(outcome)?);
        }
    }
}

/// Why [`call`] has no response, or [`get_values`] no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The host name could not be resolved.
    #[error(transparent)]
    Resolve(io::Error),
    /// The address cannot be passed to a system call, or the system has no poll or file descriptor left.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The request or its response failed. The error holds what was received.
    #[error(transparent)]
    Incomplete(#[from] Box<Incomplete>),
    /// There was no answer to [`get_values`].
    #[error(transparent)]
    Unanswered(Box<Failure>),
}

impl CallError {
    /// The HTTP status to answer with: 502 for a name that cannot be resolved, 500 for an error of this system, otherwise
    /// that of the error inside.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Submit(error) => error.http_status(),
            Self::Resolve(_) => 502,
            Self::Io(_) => 500,
            Self::Incomplete(incomplete) => incomplete.http_status(),
            Self::Unanswered(failure) => failure.http_status(),
        }
    }

    /// The error in the response, if that is the reason.
    #[must_use]
    pub fn response_error(&self) -> Option<&ResponseError> {
        match self {
            Self::Incomplete(incomplete) => Some(&incomplete.error),
            Self::Submit(_) | Self::Resolve(_) | Self::Io(_) | Self::Unanswered(_) => None,
        }
    }

    /// How the request failed, if that is the reason.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Incomplete(incomplete) => incomplete.outcome.as_ref().err(),
            Self::Unanswered(failure) => Some(failure),
            Self::Submit(_) | Self::Resolve(_) | Self::Io(_) => None,
        }
    }
}

/// Tests with several addresses. The other tests use real peers, in tests/net/asking.rs.
#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::error::{ConnectError, RequestError, TimeoutKind};
    use crate::wire::{self, EndRequest, ProtocolStatus, RecordType};

    /// The limit for what must happen. It is long, since the machine may be busy.
    const TIME_LIMIT: Duration = Duration::from_secs(45);

    /// An address, and the value that keeps it in its state.
    type Kept<T> = (Address, T);

    fn any_port() -> socket2::SockAddr {
        SocketAddr::from(([127, 0, 0, 1], 0)).into()
    }

    fn address_of(socket: &Socket) -> SocketAddr {
        let address = socket.local_addr().expect("it is bound");
        address.as_socket().expect("an IPv4 address")
    }

    /// Bound, so that no other program gets the port, and not listening.
    fn refusing() -> Kept<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&any_port()).expect("loopback has a free port");
        (Address::Tcp(address_of(&socket)), socket)
    }

    /// The backlog is full, so that a connect hangs.
    fn hanging() -> Kept<(Socket, Vec<TcpStream>)> {
        let (address, socket) = refusing();
        socket.listen(0).expect("a listener");
        let to = address_of(&socket);
        let mut fillers = Vec::new();
        while let Ok(filler) = TcpStream::connect_timeout(&to, Duration::from_millis(50)) {
            fillers.push(filler);
        }
        (address, (socket, fillers))
    }

    /// The system accepts connections; no program does.
    fn silent() -> Kept<TcpListener> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        (Address::Tcp(address), listener)
    }

    /// Answers the first question or request. Returns the number of further connections.
    fn answering() -> Kept<thread::JoinHandle<io::Result<usize>>> {
        let (address, listener) = silent();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut received = [0; 4096];
            let len = stream.read(&mut received)?;
            assert!(len >= 8, "a header comes whole");
            let id = u16::from_be_bytes([received[2], received[3]]);
            let mut records = Vec::new();
            if id == 0 {
                let values = b"\x0f\x01FCGI_MPXS_CONNS0";
                wire::write_record(&mut records, RecordType::GetValuesResult, 0, values)
                    .expect("a short record");
            } else {
                wire::write_stream(&mut records, RecordType::Stdout, id, b"X: y\r\n\r\nhere");
                let body = EndRequest {
                    app_status: 0,
                    protocol_status: ProtocolStatus::RequestComplete,
                };
                wire::write_end_request(&mut records, id, body);
            }
            stream.write_all(&records)?;
            while stream.read(&mut received)? > 0 {}
            listener.set_nonblocking(true)?;
            Ok(listener.incoming().map_while(Result::ok).count())
        });
        (address, peer)
    }

    fn config(servers: Vec<Address>, timeout: Duration) -> Config {
        Call::new(&servers[0], timeout).configure(Instant::now(), servers.clone())
    }

    fn ask(servers: Vec<Address>, timeout: Duration) -> Result<ServerValues, CallError> {
        values::ask(config(servers, timeout))
    }

    fn send(servers: Vec<Address>, timeout: Duration) -> Result<Response, CallError> {
        let collector = Collector::new(ResponseLimits::default());
        send_to(config(servers, timeout), Request::responder(), collector)
    }

    #[track_caller]
    fn failed<T: std::fmt::Debug>(answer: &Result<T, CallError>) -> &RequestError {
        let error = answer.as_ref().expect_err("it cannot succeed");
        &error.failure().expect("it was tried").error
    }

    fn timed_out(kind: TimeoutKind) -> RequestError {
        RequestError::TimedOut(kind)
    }

    // case 131
    #[test]
    fn an_address_that_refuses_is_passed_over_at_once() {
        let (down, _down) = refusing();
        let (up, peer) = answering();
        let began = Instant::now();
        let values = ask(vec![down.clone(), up], TIME_LIMIT).expect("an answer");
        assert_eq!(values.multiplexes, Some(false));
        assert_eq!(peer.join().expect("no panic").expect("sockets"), 0);
        let (up, peer) = answering();
        let response = send(vec![down, up], TIME_LIMIT).expect("a response");
        assert_eq!(response.body, b"here");
        assert_eq!(peer.join().expect("no panic").expect("sockets"), 0);
        assert!(began.elapsed() < TIME_LIMIT / 2);
    }

    // case 131
    #[test]
    fn an_address_that_hangs_is_passed_over_after_250_ms() {
        let (hung, _hung) = hanging();
        let (down, _down) = refusing();
        let (up, peer) = answering();
        let began = Instant::now();
        let values = ask(vec![hung, down, up], TIME_LIMIT).expect("an answer");
        let took = began.elapsed();
        assert_eq!(values.multiplexes, Some(false));
        assert_eq!(peer.join().expect("no panic").expect("sockets"), 0);
        assert!(took >= Duration::from_millis(250), "{took:?}");
        assert!(took < TIME_LIMIT / 2, "{took:?}");
    }

    // case 131
    #[test]
    fn a_request_passes_an_address_that_hangs_after_250_ms() {
        let (hung, _hung) = hanging();
        let (down, _down) = refusing();
        let (up, peer) = answering();
        let began = Instant::now();
        let response = send(vec![hung, down, up], TIME_LIMIT).expect("a response");
        let took = began.elapsed();
        assert_eq!(response.body, b"here");
        assert_eq!(peer.join().expect("no panic").expect("sockets"), 0);
        assert!(took >= Duration::from_millis(250), "{took:?}");
        assert!(took < TIME_LIMIT / 2, "{took:?}");
    }

    // case 131
    #[test]
    fn one_limit_covers_all_addresses() {
        let limit = Duration::from_millis(600);
        let hung: Vec<_> = (0..5).map(|_| hanging()).collect();
        let servers = || hung.iter().map(|(address, _)| address.clone()).collect();
        let began = Instant::now();
        let asked = ask(servers(), limit);
        let took = began.elapsed();
        assert_eq!(
            *failed(&asked),
            RequestError::Connect(ConnectError::TimedOut)
        );
        assert!((limit..5 * limit).contains(&took), "{took:?}");
        let began = Instant::now();
        let sent = send(servers(), limit);
        let took = began.elapsed();
        let late = [
            RequestError::Connect(ConnectError::TimedOut),
            timed_out(TimeoutKind::Total),
        ];
        assert!(late.contains(failed(&sent)), "{sent:?}");
        assert!((limit..5 * limit).contains(&took), "{took:?}");
    }

    #[test]
    fn the_first_address_that_is_connected_to_is_the_one_that_is_asked() {
        let (busy, _listener) = silent();
        let (other, listener) = silent();
        let asked = ask(vec![busy, other], Duration::from_millis(600));
        assert_eq!(*failed(&asked), timed_out(TimeoutKind::Probe));
        listener.set_nonblocking(true).expect("a listener");
        let nobody = listener.accept().expect_err("nobody connects");
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn of_several_failures_the_most_telling_is_reported() {
        let limit = Duration::from_millis(400);
        let (down, _down) = refusing();
        let (hung, _hung) = hanging();
        let (busy, _busy) = silent();
        let refused = RequestError::Connect(ConnectError::Failed(io::ErrorKind::ConnectionRefused));
        let no_connection = RequestError::Connect(ConnectError::TimedOut);
        for (servers, expected) in [
            ([&down, &down], refused),
            ([&down, &hung], no_connection.clone()),
            ([&hung, &down], no_connection),
            ([&down, &busy], timed_out(TimeoutKind::Probe)),
            ([&hung, &busy], timed_out(TimeoutKind::Probe)),
        ] {
            let asked = ask(servers.map(Address::clone).to_vec(), limit);
            assert_eq!(*failed(&asked), expected, "{servers:?}");
        }
    }
}
