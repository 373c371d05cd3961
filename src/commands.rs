//! The commands that [`Client`] and [`Engine`] have in common.

use std::time::Instant;

use crate::cgi::{PassOnError, PassedOn, RequestBody};
use crate::config_error::ConfigError;
use crate::engine::{Engine, Stats};
use crate::error::{Refused, StdinError, SubmitError};
use crate::event::{RequestHandle, Tag};
use crate::limits::Limits;
use crate::net::Client;
use crate::request::Request;
use crate::server::{GetValuesError, Server, ServerId};

/// The commands that [`Client`] and [`Engine`] have in common.
///
/// Write the code of a server for `impl Commands`: it then runs with a [`Client`] on sockets, and with an [`Engine`] in
/// a test without sockets. Each method does the same as the method of [`Engine`] with its name.
///
/// Events are not part of the trait. In a program they come from [`Client::poll_event`], in a test from the feature
/// `testkit`: see the page on testing in the [guide](crate::guide).
///
/// ```
/// use std::time::Instant;
/// use mio_fcgi::{Commands, Config, Engine, Refused, Request, Tag};
///
/// fn fetch(fcgi: &mut impl Commands, now: Instant, path: &str, browser: u64) -> Result<(), Box<Refused>> {
///     let request = Request::responder().param("SCRIPT_FILENAME", path);
///     fcgi.submit(now, request, Tag(browser)).map(drop)
/// }
///
/// let mut engine = Engine::new(Config::new("127.0.0.1:9000".parse()?))?;
/// fetch(&mut engine, Instant::now(), "/srv/hello.php", 7)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Commands: Sealed {
    /// Accepts a request, which is sent or queued. See [`Engine::submit`].
    ///
    /// # Errors
    /// [`Refused`], with the reason and the request. No byte was sent, and no `End` follows.
    fn submit(
        &mut self,
        now: Instant,
        request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, Box<Refused>>;

    /// Checks whether [`submit`](Self::submit) would accept a request now. See [`Engine::ready`].
    ///
    /// # Errors
    /// [`SubmitError::ShuttingDown`], [`SubmitError::QueueFull`].
    fn ready(&self, now: Instant) -> Result<(), SubmitError>;

    /// Returns an empty request that reuses the memory of an ended one. See [`Engine::new_request`].
    fn new_request(&mut self) -> Request;

    /// Queues bytes of a pushed body and returns how many were taken. See [`Engine::write_stdin`].
    ///
    /// # Errors
    /// [`StdinError`]. No byte was taken, and the request continues.
    fn write_stdin(
        &mut self,
        now: Instant,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError>;

    /// Ends a pushed body. See [`Engine::finish_stdin`].
    ///
    /// # Errors
    /// [`StdinError`]. After [`StdinError::TooShort`] the request fails.
    fn finish_stdin(&mut self, now: Instant, request: RequestHandle) -> Result<(), StdinError>;

    /// Passes the body of an HTTP/1 request on as far as the application takes it, and ends it once it is complete.
    /// Removes what was used from the front of the input: framing, and content that was taken.
    ///
    /// Call it when the client's bytes have come, at [`StdinReady`](crate::EventKind::StdinReady), and after `submit`, also
    /// for a body without content. The request's body is [`RequestBody::to_pushed`].
    ///
    /// ```
    /// # use std::time::Instant;
    /// use mio_fcgi::cgi::{PassOnError, PassedOn, RequestBody};
    /// use mio_fcgi::{Commands, RequestHandle};
    /// # use mio_fcgi::{Config, Engine, Request, Tag};
    ///
    /// /// Passes on what was read from the client. Returns whether to read more of the body.
    /// fn pass_on(
    ///     fcgi: &mut impl Commands,
    ///     now: Instant,
    ///     request: RequestHandle,
    ///     body: &mut RequestBody,
    ///     unread: &mut Vec<u8>,
    /// ) -> Result<bool, PassOnError> {
    ///     let mut input = &unread[..];
    ///     let passed = fcgi.pass_on(now, request, body, &mut input);
    ///     let used = unread.len() - input.len();
    ///     unread.drain(..used); // the rest waits for `StdinReady`, or is the next request
    ///     if passed.is_err() {
    ///         fcgi.abort(now, request); // it would wait for the rest
    ///     }
    ///     Ok(passed? == PassedOn::NeedsInput)
    /// }
    /// # let mut fcgi = Engine::new(Config::new("127.0.0.1:9000".parse()?))?;
    /// # let now = Instant::now();
    /// # let mut body = RequestBody::new(true, [(&b"Content-Length"[..], &b"3"[..])], 9)?;
    /// # let request = fcgi.submit(now, Request::responder().with_body(body.to_pushed()), Tag(0))?;
    /// # let mut unread = b"ab".to_vec();
    /// # assert!(pass_on(&mut fcgi, now, request, &mut body, &mut unread)?);
    /// # unread.extend_from_slice(b"cGET");
    /// # assert!(!pass_on(&mut fcgi, now, request, &mut body, &mut unread)?);
    /// # assert_eq!(unread, b"GET");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PassOnError`]. The request continues, unless the error is [`StdinError::TooShort`]: abort it.
    fn pass_on(
        &mut self,
        now: Instant,
        request: RequestHandle,
        body: &mut RequestBody,
        input: &mut &[u8],
    ) -> Result<PassedOn, PassOnError> {
        let gone = |error| match error {
            StdinError::Gone => Ok(PassedOn::Gone),
            error => Err(PassOnError::Stdin(error)),
        };
        while let Some(content) = body.peek(input)? {
            let taken = match self.write_stdin(now, request, content) {
                Ok(taken) => taken,
                Err(error) => return gone(error),
            };
            body.consume(input, taken);
            if taken < content.len() {
                return Ok(PassedOn::Full);
            }
        }
        if !body.is_complete() {
            return Ok(PassedOn::NeedsInput);
        }
        if body.take_end() {
            match self.finish_stdin(now, request) {
                Ok(()) => {}
                // The request was submitted without a body.
                Err(StdinError::NotPushed) if body.is_empty() => {}
                Err(error) => return gone(error),
            }
        }
        Ok(PassedOn::Complete)
    }

    /// Ends a request early. Its `End` follows. See [`Engine::abort`].
    fn abort(&mut self, now: Instant, request: RequestHandle);

    /// Stops the output events of a request until [`resume`](Self::resume). See [`Engine::pause`].
    fn pause(&mut self, now: Instant, request: RequestHandle);

    /// Continues the output events of a paused request. See [`Engine::resume`].
    fn resume(&mut self, now: Instant, request: RequestHandle);

    /// Asks a server for its capabilities, as a health check that runs no script. See [`Engine::get_values`].
    ///
    /// # Errors
    /// [`GetValuesError`]. No byte was sent, and no `End` follows.
    fn get_values(
        &mut self,
        now: Instant,
        server: ServerId,
        tag: Tag,
    ) -> Result<RequestHandle, GetValuesError>;

    /// Changes the limits. See [`Engine::set_limits`] and [`Client::set_limits`].
    ///
    /// # Errors
    /// The errors of [`Limits::validate`]. On a [`Client`] also [`ConfigError::TooFewTokens`]. On an error nothing is
    /// changed.
    fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError>;

    /// Replaces the servers. See [`Engine::set_servers`] and [`Client::set_servers`].
    ///
    /// # Errors
    /// Those of [`Engine::set_servers`]. On an error nothing is changed.
    fn set_servers(&mut self, now: Instant, servers: Vec<Server>) -> Result<(), ConfigError>;

    /// Accepts no further request, and finishes those accepted until the deadline. See [`Engine::shutdown`].
    fn shutdown(&mut self, now: Instant, deadline: Option<Instant>);

    /// Whether [`shutdown`](Self::shutdown) was called and is complete. See [`Engine::is_shut_down`].
    #[must_use]
    fn is_shut_down(&self) -> bool;

    /// Whether no request and no connection is left. See [`Engine::is_idle`].
    #[must_use]
    fn is_idle(&self) -> bool;

    /// Returns a snapshot of the gauges and counters. See [`Engine::stats`].
    #[must_use]
    fn stats(&self) -> Stats;
}

/// Prevents other implementations, so that adding a command to the trait is not a breaking change.
pub trait Sealed {}

/// Calls the method of the same name for each command.
macro_rules! commands {
    ($type:ty) => {
        impl Sealed for $type {}

        impl Commands for $type {
            fn submit(
                &mut self,
                now: Instant,
                request: Request,
                tag: Tag,
            ) -> Result<RequestHandle, Box<Refused>> {
                Self::submit(self, now, request, tag)
            }

            fn ready(&self, now: Instant) -> Result<(), SubmitError> {
                Self::ready(self, now)
            }

            fn new_request(&mut self) -> Request {
                Self::new_request(self)
            }

            fn write_stdin(
                &mut self,
                now: Instant,
                request: RequestHandle,
                bytes: &[u8],
            ) -> Result<usize, StdinError> {
                Self::write_stdin(self, now, request, bytes)
            }

            fn finish_stdin(
                &mut self,
                now: Instant,
                request: RequestHandle,
            ) -> Result<(), StdinError> {
                Self::finish_stdin(self, now, request)
            }

            fn abort(&mut self, now: Instant, request: RequestHandle) {
                Self::abort(self, now, request);
            }

            fn pause(&mut self, now: Instant, request: RequestHandle) {
                Self::pause(self, now, request);
            }

            fn resume(&mut self, now: Instant, request: RequestHandle) {
                Self::resume(self, now, request);
            }

            fn get_values(
                &mut self,
                now: Instant,
                server: ServerId,
                tag: Tag,
            ) -> Result<RequestHandle, GetValuesError> {
                Self::get_values(self, now, server, tag)
            }

            fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError> {
                Self::set_limits(self, now, limits)
            }

            fn set_servers(
                &mut self,
                now: Instant,
                servers: Vec<Server>,
            ) -> Result<(), ConfigError> {
                Self::set_servers(self, now, servers)
            }

            fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
                Self::shutdown(self, now, deadline);
            }

            fn is_shut_down(&self) -> bool {
                Self::is_shut_down(self)
            }

            fn is_idle(&self) -> bool {
                Self::is_idle(self)
            }

            fn stats(&self) -> Stats {
                Self::stats(self)
            }
        }
    };
}

commands!(Engine);
commands!(Client);
