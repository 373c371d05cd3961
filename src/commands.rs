//! The commands that a client and an engine have in common.

use std::time::Instant;

use crate::config::Limits;
use crate::config_error::ConfigError;
use crate::engine::{Engine, Stats};
use crate::error::{Refused, StdinError, SubmitError};
use crate::event::{RequestHandle, Tag};
use crate::net::Client;
use crate::request::Request;
use crate::server::{GetValuesError, ServerId};

/// What can be asked of a [`Client`] and of an [`Engine`] alike: write a server's code for this, and the same code
/// runs on sockets and in a test without any.
///
/// Each method does what the one of the same name does. In a program, events come from [`Client::poll_event`]; in
/// a test from the feature `testkit`, see the guide's page on testing.
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
    /// As [`Engine::submit`].
    ///
    /// # Errors
    /// As there.
    fn submit(
        &mut self,
        now: Instant,
        request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, Box<Refused>>;

    /// As [`Engine::ready`].
    ///
    /// # Errors
    /// As there.
    fn ready(&self, now: Instant) -> Result<(), SubmitError>;

    /// As [`Engine::new_request`].
    fn new_request(&mut self) -> Request;

    /// As [`Engine::write_stdin`].
    ///
    /// # Errors
    /// As there.
    fn write_stdin(
        &mut self,
        now: Instant,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError>;

    /// As [`Engine::finish_stdin`].
    ///
    /// # Errors
    /// As there.
    fn finish_stdin(&mut self, now: Instant, request: RequestHandle) -> Result<(), StdinError>;

    /// As [`Engine::abort`].
    fn abort(&mut self, now: Instant, request: RequestHandle);

    /// As [`Engine::pause`].
    fn pause(&mut self, now: Instant, request: RequestHandle);

    /// As [`Engine::resume`].
    fn resume(&mut self, now: Instant, request: RequestHandle);

    /// As [`Engine::get_values`].
    ///
    /// # Errors
    /// As [`Engine::get_values`].
    fn get_values(
        &mut self,
        now: Instant,
        server: ServerId,
        tag: Tag,
    ) -> Result<RequestHandle, GetValuesError>;

    /// As [`Engine::set_limits`]; a client needs the tokens for them as well.
    ///
    /// # Errors
    /// As there, and as [`Client::set_limits`].
    fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError>;

    /// As [`Engine::shutdown`].
    fn shutdown(&mut self, now: Instant, deadline: Option<Instant>);

    /// As [`Engine::is_idle`].
    #[must_use]
    fn is_idle(&self) -> bool;

    /// As [`Engine::stats`].
    #[must_use]
    fn stats(&self) -> Stats;
}

/// Implemented for no other type, so that a command more breaks no program.
pub trait Sealed {}

/// Hands each command on to the method of that name.
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

            fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
                Self::shutdown(self, now, deadline);
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
