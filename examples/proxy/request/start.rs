//! A request that was read: what it asks for, and how the application is asked.

use mio_fcgi::cgi::{Env, EnvError, Forbidden, Resolution, Script};
use mio_fcgi::{Body, Request, SubmitError};

use super::error_page::TEXT;
use super::http::chunked::Chunked;
use super::http::head::{BodyLength, RequestHead};
use super::http::response_head::Asked;
use super::net::spool::Spool;
use super::serve::connection::{Answer, Spooled, Stage, Upload};
use super::serve::request_reader::line_of;
use super::serve::worker::Worker;

impl Worker {
    /// Starts serving a request; returns how many of the octets that follow its head were used.
    pub(crate) fn start(
        &mut self,
        key: usize,
        head: &RequestHead<'_, '_>,
        octets: &[u8],
        following: &[u8],
    ) -> usize {
        let asked = Asked {
            is_http11: head.is_http11,
            is_head: head.method == "HEAD",
            keeps_alive: head.keeps_alive && self.keeps_clients(),
        };
        // Until somebody wants the body: what is not read decides whether the connection can go on.
        let upload = match head.body {
            BodyLength::Counted(0) => Upload::Done,
            BodyLength::Counted(left) if !head.waits => Upload::Skipped { left },
            // Its end is not known, or whether it will come.
            BodyLength::Counted(_) | BodyLength::Chunked => Upload::Skipped { left: u64::MAX },
        };
        self.open_exchange(key, asked, upload, line_of(octets));
        if self.log.is_on()
            && let Some(exchange) = self.exchange(key)
        {
            let field = |name| head.field(name);
            exchange
                .entry
                .set_fields(field("referer"), field("user-agent"));
        }
        if let BodyLength::Counted(len) = head.body
            && len > self.options.max_body
        {
            self.answer_error(key, 413, "the body is too long");
            return 0;
        }
        if head.target == "*" {
            self.answer_own(key, 204, &[], "", "");
            return 0;
        }
        // Pages of your own have their place here, as this one; so has a bound on what is asked of the applications, such as
        // one path and what lies below it.
        if self.publisher.board().is_on() && self.answer_status(key, head) {
            return 0;
        }
        let now = self.clock.now;
        match &*self.routes.resolve(now, head.target) {
            Resolution::Script(script) => return self.ask(key, head, script, following),
            Resolution::StaticFile { path } => self.answer_file(key, head, path),
            Resolution::Redirect { location } => {
                let mut location = location.clone();
                if let Some((_, query)) = head.target.split_once('?') {
                    location.push(b'?');
                    location.extend_from_slice(query.as_bytes());
                }
                self.answer_own(key, 301, &[(b"Location", &location)], TEXT, "");
            }
            Resolution::Forbidden(Forbidden::OutsideRoot) => {
                self.answer_error(key, 403, "this leads out of the document root");
            }
            Resolution::Forbidden(_) => self.answer_error(key, 403, "this is not given out"),
            Resolution::Invalid(_) => self.answer_error(key, 400, "the target cannot be read"),
            _ => self.answer_error(key, 404, "there is nothing here"),
        }
        0
    }

    /// Makes a FastCGI request of it, and sends it unless its body has to be collected first.
    fn ask(
        &mut self,
        key: usize,
        head: &RequestHead<'_, '_>,
        script: &Script,
        following: &[u8],
    ) -> usize {
        let mut request = self.fcgi.new_request();
        if let Err(error) = self.write_params(key, head, script, &mut request) {
            let status = match error {
                EnvError::TooManyFields { .. } => 431,
                _ => 400,
            };
            self.answer_error(key, status, "the request cannot be handed on");
            return 0;
        }
        let (upload, used) = match head.body {
            BodyLength::Counted(0) => (Upload::Done, 0),
            BodyLength::Counted(len) if following.len() as u64 >= len => {
                // It fits the buffer it came in.
                let len = len as usize;
                request.body = Body::bytes(&following[..len]);
                (Upload::Done, len)
            }
            BodyLength::Counted(left) => {
                request.body = Body::pushed(Some(left));
                let is_full = false;
                (Upload::Pushed { left, is_full }, 0)
            }
            BodyLength::Chunked => {
                let spooled = Spooled {
                    chunked: Chunked::new(),
                    spool: Spool::default(),
                    request,
                };
                if let Some(exchange) = self.exchange(key) {
                    exchange.upload = Upload::Spooled(Box::new(spooled));
                }
                self.invite(key, head, following);
                return 0;
            }
        };
        if let Some(exchange) = self.exchange(key) {
            exchange.upload = upload;
        }
        self.submit(key, request);
        self.invite(key, head, following);
        used
    }

    fn write_params(
        &self,
        key: usize,
        head: &RequestHead<'_, '_>,
        script: &Script,
        request: &mut Request,
    ) -> Result<(), EnvError> {
        request.params.set_shared(&self.constants);
        let mut env = Env::new(
            head.method.as_bytes(),
            head.target.as_bytes(),
            head.fields_for_application(),
            script,
        );
        env.rules.pass_authorization = self.options.pass_authorization;
        if !head.is_http11 {
            env.protocol = b"HTTP/1.0";
        }
        if let Some(connection) = self.connections.get(key) {
            env.server = Some(connection.local);
            env.remote = Some(connection.peer);
        }
        env.write_to(&mut request.params)
    }

    /// Tells a client that waits for it to send its body.
    fn invite(&mut self, key: usize, head: &RequestHead<'_, '_>, following: &[u8]) {
        if !head.waits || !following.is_empty() {
            return;
        }
        if let Some(connection) = self.connections.get_mut(key)
            && let Stage::Exchange(exchange) = &connection.stage
            && matches!(exchange.upload, Upload::Pushed { .. } | Upload::Spooled(_))
        {
            connection
                .out
                .tail()
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Hands a request to the client library.
    pub(crate) fn submit(&mut self, key: usize, request: Request) {
        let now = self.clock.now;
        match self.fcgi.submit(now, request, Self::tag_of(key)) {
            Ok(handle) => {
                let parser = self.spares.parsers.pop().unwrap_or_default();
                if let Some(exchange) = self.exchange(key) {
                    exchange.request = Some(handle);
                    exchange.submitted = Some(now);
                    exchange.answer = Answer::Awaited(parser);
                }
            }
            Err(refused) => {
                let error = refused.error;
                let (status, why) = match error {
                    SubmitError::QueueFull { .. } | SubmitError::ShuttingDown => {
                        (503, "the server is busy")
                    }
                    SubmitError::ParamTooLarge { .. }
                    | SubmitError::ParamsTooLarge { .. }
                    | SubmitError::ParamLengthTooLong => (431, "the fields are too long"),
                    _ => (500, "the request cannot be handed on"),
                };
                let date = self.clock.log();
                self.log.problem(
                    date,
                    format_args!("a request is answered with {status}: {error}"),
                );
                self.answer_error(key, status, why);
            }
        }
    }
}
