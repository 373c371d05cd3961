//! From a client to the application: reads, finds heads, and starts exchanges.

use std::mem::MaybeUninit;
use std::path::PathBuf;

use mio_fcgi::cgi::{Env, EnvError, Resolution};
use mio_fcgi::{Body, Request, Retry, SubmitError};

use super::chunked::Chunked;
use super::connection::{Answer, Exchange, Spooled, Stage, Upload};
use super::head::{self, BodyLength, FieldSpace, MAX_FIELDS, MAX_LINE, Refusal, RequestHead};
use super::respond::Asked;
use super::spool::Spool;
use super::worker::Worker;

impl Worker {
    /// What a connection can do now: send, read once, and go on with what it read.
    pub(crate) fn turn(&mut self, key: usize) {
        let now = self.clock.now;
        self.send(key);
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.is_ended && connection.exchange().is_some() {
            // As nginx and Go see it: who ends the stream while being served has gone.
            self.lose_client(key);
            return;
        }
        if !connection.wants_input() {
            return;
        }
        if !connection.input.is_empty() && self.use_held(key) {
            return;
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if !connection.is_readable {
            return;
        }
        let held = connection.input.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch[..held].copy_from_slice(&connection.input);
        match connection.read(&mut scratch[held..]) {
            None => {}
            Some(Ok(0)) => self.end_of_stream(key),
            Some(Err(_)) => self.lose_client(key),
            Some(Ok(len)) => {
                connection.input.clear();
                if held == 0 || !matches!(connection.stage, Stage::Head) {
                    connection.since = now;
                }
                let len = held + len;
                let used = self.consume(key, &scratch[..len]);
                self.hold(key, &scratch[used..len]);
                self.go_on(key);
            }
        }
        self.scratch = scratch;
    }

    /// Uses what was held; true when that is all that can be done now.
    fn use_held(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return true;
        };
        let mut input = std::mem::take(&mut connection.input);
        let used = self.consume(key, &input);
        input.drain(..used);
        let Some(connection) = self.connections.get_mut(key) else {
            return true;
        };
        connection.input = input;
        if used > 0 && matches!(connection.stage, Stage::Head) {
            // A head that was behind another request begins now.
            connection.since = self.clock.now;
        }
        !connection.wants_input() || connection.input.len() >= self.scratch.len()
    }

    /// Keeps what was not used.
    fn hold(&mut self, key: usize, rest: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if rest.is_empty() {
            return;
        }
        if connection.input.capacity() == 0
            && let Some(spare) = self.spares.buffers.pop()
        {
            connection.input = spare;
        }
        connection.input.extend_from_slice(rest);
    }

    /// One read in a turn: whoever has more goes to the back of the queue.
    fn go_on(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key)
            && connection.is_readable
            && connection.wants_input()
        {
            self.enqueue(key);
        }
    }

    fn end_of_stream(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.is_ended = true;
            connection.is_readable = false;
            match connection.stage {
                Stage::Exchange(_) => self.lose_client(key),
                Stage::Head if !connection.out.is_empty() => {
                    // Answers to earlier requests are on their way.
                    connection.linger(false);
                }
                Stage::Head | Stage::Lingering { .. } | Stage::Gone => {
                    connection.stage = Stage::Gone;
                }
            }
        }
    }

    /// Uses octets from a client as far as possible; returns how many.
    fn consume(&mut self, key: usize, octets: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = &octets[used..];
            let Some(connection) = self.connections.get_mut(key) else {
                return octets.len();
            };
            if !connection.wants_input() || rest.is_empty() {
                return used;
            }
            match &mut connection.stage {
                Stage::Head => match self.take_head(key, rest) {
                    0 => return used,
                    len => used += len,
                },
                Stage::Exchange(_) => used += self.take_body(key, rest),
                Stage::Lingering { left, .. } => {
                    *left = left.saturating_sub(rest.len());
                    if *left == 0 {
                        connection.stage = Stage::Gone;
                    }
                    return octets.len();
                }
                Stage::Gone => return octets.len(),
            }
            self.conclude(key);
        }
    }

    /// Starts an exchange if there is a whole head; returns the octets used.
    fn take_head(&mut self, key: usize, octets: &[u8]) -> usize {
        // RFC 9112, 2.2: an empty line before a request is let pass.
        let blank = octets
            .iter()
            .take_while(|octet| b"\r\n".contains(octet))
            .count();
        let blank = if blank <= MAX_BLANK { blank } else { 0 };
        let octets = &octets[blank..];
        if octets.is_empty() {
            return blank;
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return octets.len();
        };
        match head::find_end(octets, &mut connection.seen) {
            Ok(None) => blank,
            Ok(Some(end)) => {
                connection.seen = 0;
                let (octets, following) = octets.split_at(end);
                let mut space: FieldSpace<'_> = [MaybeUninit::uninit(); MAX_FIELDS];
                let taken = match head::parse(octets, &mut space) {
                    Ok(head) => self.start(key, &head, octets, following),
                    Err(refusal) => {
                        self.refuse(key, octets, refusal);
                        0
                    }
                };
                blank + end + taken
            }
            Err(refusal) => {
                self.refuse(key, octets, refusal);
                blank + octets.len()
            }
        }
    }

    /// Answers octets that are no request.
    fn refuse(&mut self, key: usize, octets: &[u8], refusal: Refusal) {
        let asked = Asked {
            is_http11: true,
            is_head: octets.starts_with(b"HEAD "),
            keeps_alive: false,
        };
        self.open_exchange(key, asked, Upload::Done, line_of(octets));
        self.answer_error(key, refusal.status, refusal.why);
    }

    /// Answers a head that does not come to its end.
    pub(crate) fn refuse_slow_head(&mut self, key: usize) {
        let input = match self.connections.get_mut(key) {
            Some(connection) => std::mem::take(&mut connection.input),
            None => return,
        };
        let why = "the head of the request did not come in time";
        self.refuse(key, &input, Refusal { status: 408, why });
    }

    /// Puts a connection into an exchange that has no answer yet.
    fn open_exchange(&mut self, key: usize, asked: Asked, upload: Upload, line: &[u8]) {
        let mut entry = self.spares.entries.pop().unwrap_or_default();
        if self.log.is_on() {
            entry.start(line);
        }
        if let Some(connection) = self.connections.get_mut(key) {
            let spares = &mut self.spares.buffers;
            connection.out.lend(|| spares.pop());
            connection.stage = Stage::Exchange(Exchange {
                request: None,
                upload,
                answer: Answer::Unasked,
                asked,
                is_paused: false,
                entry,
                status: 0,
                body_len: 0,
                submitted: None,
                application_time: None,
            });
        }
    }

    /// Starts serving a request; returns how many of the octets that follow its head were used.
    fn start(
        &mut self,
        key: usize,
        head: &RequestHead<'_, '_>,
        octets: &[u8],
        following: &[u8],
    ) -> usize {
        let is_running = self.running == super::worker::Running::Yes;
        let asked = Asked {
            is_http11: head.is_http11,
            is_head: head.method == "HEAD",
            keeps_alive: head.keeps_alive && is_running,
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
        if self.publisher.board().is_on() && self.answer_status(key, head) {
            return 0;
        }
        let now = self.clock.now;
        let plan = match self.routes.resolve(now, head.target) {
            Resolution::Script(_) => Plan::Ask,
            Resolution::StaticFile { path } => Plan::File(path.clone()),
            Resolution::Redirect { location } => Plan::Redirect(location.clone()),
            Resolution::Forbidden(_) => Plan::Refuse(403, "this is not given out"),
            Resolution::Invalid(_) => Plan::Refuse(400, "the target cannot be read"),
            _ => Plan::Refuse(404, "there is nothing here"),
        };
        match plan {
            Plan::Ask => return self.ask(key, head, following),
            Plan::File(path) => self.answer_file(key, head, &path),
            Plan::Redirect(mut location) => {
                if let Some((_, query)) = head.target.split_once('?') {
                    location.push(b'?');
                    location.extend_from_slice(query.as_bytes());
                }
                self.answer_own(key, 301, &[(b"Location", &location)], TEXT, "");
            }
            Plan::Refuse(status, why) => self.answer_error(key, status, why),
        }
        0
    }

    /// Makes a FastCGI request of it, and sends it unless its body has to be collected first.
    fn ask(&mut self, key: usize, head: &RequestHead<'_, '_>, following: &[u8]) -> usize {
        let mut request = self.fcgi.new_request();
        if let Err(error) = self.write_params(key, head, &mut request) {
            let status = match error {
                EnvError::TooManyFields { .. } => 431,
                _ => 400,
            };
            self.answer_error(key, status, "the request cannot be handed on");
            return 0;
        }
        request.retry = retry(head.method);
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
                self.invite(key, head, following);
                let spooled = Spooled {
                    chunked: Chunked::new(),
                    spool: Spool::default(),
                    request,
                };
                if let Some(exchange) = self.exchange(key) {
                    exchange.upload = Upload::Spooled(Box::new(spooled));
                }
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
        &mut self,
        key: usize,
        head: &RequestHead<'_, '_>,
        request: &mut Request,
    ) -> Result<(), EnvError> {
        let now = self.clock.now;
        let Resolution::Script(script) = self.routes.resolve(now, head.target) else {
            return Ok(());
        };
        request.params.set_shared(&self.constants);
        let mut env = Env::new(
            head.method.as_bytes(),
            head.target.as_bytes(),
            head.fields_for_application(),
            script,
        );
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
            Err(error) => {
                let (status, why) = match error {
                    SubmitError::QueueFull { .. } | SubmitError::ShuttingDown => {
                        (503, "the server is busy")
                    }
                    SubmitError::ParamTooLarge { .. } | SubmitError::ParamsTooLarge { .. } => {
                        (431, "the fields are too long")
                    }
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

    pub(crate) fn exchange(&mut self, key: usize) -> Option<&mut Exchange> {
        self.connections.get_mut(key)?.exchange()
    }
}

/// What is done about a request.
enum Plan {
    Ask,
    File(PathBuf),
    Redirect(Vec<u8>),
    Refuse(u16, &'static str),
}

/// RFC 9110, 9.2.2: what is idempotent may run twice, so it is sent again when a connection died without an answer. The
/// rest is sent again only where it cannot have run.
fn retry(method: &str) -> Retry {
    match method {
        "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" => Retry::IfUnanswered,
        _ => Retry::IfNotSent,
    }
}

/// The request line, for the log.
fn line_of(octets: &[u8]) -> &[u8] {
    let within = &octets[..octets.len().min(MAX_LINE)];
    let end = within
        .iter()
        .position(|octet| matches!(octet, b'\r' | b'\n'));
    &within[..end.unwrap_or(within.len())]
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// Octets of empty lines before a request.
const MAX_BLANK: usize = 8;
