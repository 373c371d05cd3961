use std::net::SocketAddr;
use std::time::{Duration, Instant};
use mio_fcgi::cgi::{self, Env, PassOnError, PassedOn, Reply, ReplyTo, RequestBody, Script, Verdict};
use mio_fcgi::{Commands, Event, EventKind, RequestHandle, Tag};

struct Session {
    tag: Tag,
    client: SocketAddr, // the socket's peer_addr
    server: SocketAddr, // the socket's local_addr
    is_tls: bool,
    unread: Vec<u8>, // was read from the client, and not used yet
    out: Vec<u8>,    // to be written to the client
    state: State,
}

enum State {
    Head,
    Exchange(Box<Exchange>),
    /// When `out` is written, end the connection: in order after `Verdict::Close`, not so after `Verdict::Cut`.
    Closing(Verdict),
}

/// A request and its response.
struct Exchange {
    request: Option<RequestHandle>, // until it ends
    body: RequestBody,
    reply: Reply,
    complete_since: Option<Instant>, // the client has the response, and the request goes on
}

const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: u64 = 16 * 1024 * 1024;
const MAX_OUT: usize = 64 * 1024;
/// The rest of an unwanted body that is read to keep the connection, and of unwanted output.
const MAX_DISCARDED: u64 = 64 * 1024;
/// How long an application may go on with output that nobody gets.
const MAX_EXTRA_TIME: Duration = Duration::from_secs(5);

impl Session {
    fn new(tag: Tag, client: SocketAddr, server: SocketAddr, is_tls: bool) -> Self {
        let (unread, out) = (Vec::new(), Vec::new());
        Self { tag, client, server, is_tls, unread, out, state: State::Head }
    }

    /// Whether to read the client's socket. After each other call ask again: mio reports nothing for bytes that
    /// have arrived before.
    fn wants_read(&self) -> bool {
        match &self.state {
            State::Head => self.out.len() <= MAX_OUT,
            // If bytes are left of a body, the application takes no more for now.
            State::Exchange(exchange) => !exchange.body.is_complete() && self.unread.is_empty(),
            State::Closing(_) => false,
        }
    }

    /// These bytes were read from the socket.
    fn on_read(&mut self, fcgi: &mut impl Commands, now: Instant, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.advance(fcgi, now);
    }

    /// The client has gone, or has ended its stream: nobody waits for a response.
    fn on_hang_up(&mut self, fcgi: &mut impl Commands, now: Instant) {
        self.state = match &mut self.state {
            State::Head => State::Closing(Verdict::Close),
            State::Exchange(exchange) => {
                exchange.abort(fcgi, now);
                State::Closing(Verdict::Cut { needs_reset: false })
            }
            State::Closing(_) => return,
        };
    }

    /// The socket has taken `len` bytes of `out`.
    fn on_written(&mut self, fcgi: &mut impl Commands, now: Instant, len: usize) {
        self.out.drain(..len);
        if !self.out.is_empty() {
            return;
        }
        if let State::Exchange(exchange) = &self.state
            && let Some(request) = exchange.request
        {
            fcgi.resume(now, request);
        }
        self.advance(fcgi, now);
    }

    /// An event with the session's tag.
    fn on_event(&mut self, fcgi: &mut impl Commands, now: Instant, event: &Event<&[u8]>) {
        if let EventKind::Stderr(text) = event.kind {
            eprintln!("stderr: {}", String::from_utf8_lossy(text));
        }
        let State::Exchange(exchange) = &mut self.state else {
            return;
        };
        if exchange.request != Some(event.request) {
            return; // of an exchange that is over
        }
        let verdict = exchange.reply.on_event(event, &mut self.out);
        if let (Some(_), Some(error)) = (verdict, exchange.reply.error()) {
            eprintln!("no whole response: {error}");
        }
        if let EventKind::End(_) = event.kind {
            exchange.request = None;
        } else if exchange.goes_on_for_nothing(now) {
            fcgi.abort(now, event.request); // its `End` completes the exchange
        } else if self.out.len() > MAX_OUT {
            fcgi.pause(now, event.request); // until the client has read it
        }
        self.advance(fcgi, now); // at `StdinReady`, offers the rest of the body again
    }

    /// Uses what can be used of the unread bytes.
    fn advance(&mut self, fcgi: &mut impl Commands, now: Instant) {
        let mut unread = std::mem::take(&mut self.unread);
        let mut input = &unread[..];
        loop {
            let state = match &mut self.state {
                State::Head if self.out.len() <= MAX_OUT => self.take_head(fcgi, now, &mut input),
                State::Exchange(exchange) => exchange.advance(fcgi, now, &mut input, &mut self.out),
                State::Head | State::Closing(_) => None,
            };
            match state {
                Some(state) => self.state = state,
                None => break,
            }
        }
        let used = unread.len() - input.len();
        unread.drain(..used);
        self.unread = unread;
    }

    /// Begins an exchange if the head of a request is complete.
    fn take_head(&mut self, fcgi: &mut impl Commands, now: Instant, input: &mut &[u8]) -> Option<State> {
        let mut space = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut space);
        match head.parse(input) {
            Ok(httparse::Status::Complete(len)) => *input = &input[len..],
            Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return None,
            Ok(httparse::Status::Partial) => return Some(self.refuse(431)),
            Err(_) => return Some(self.refuse(400)),
        }
        let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
        let http11 = head.version == Some(1);
        let fields = head.headers.iter().map(|field| (field.name.as_bytes(), field.value));

        let body = match RequestBody::new(http11, fields.clone(), MAX_BODY) {
            Ok(body) => body,
            Err(error) => return Some(self.refuse(error.http_status())),
        };
        let mut request = fcgi.new_request();
        request.body = body.to_pushed();
        let script = Script::new("/srv/www", "/index.php", ""); // or of a `ScriptMap`, whose refusals have a status
        let mut env = Env::new(method.as_bytes(), target.as_bytes(), fields.clone(), &script)
            .with_protocol(if http11 { b"HTTP/1.1" } else { b"HTTP/1.0" })
            .with_https(self.is_tls)
            .with_server(self.server)
            .with_remote(self.client);
        env.content_length = body.content_length();
        if let Err(error) = env.write_to(&mut request.params) {
            return Some(self.refuse(error.http_status()));
        }
        let reply = Reply::new(ReplyTo::of(method, http11, fields));
        let mut exchange = Exchange { request: None, body, reply, complete_since: None };
        match fcgi.submit(now, request, self.tag) {
            Ok(handle) => exchange.request = Some(handle),
            Err(refused) => exchange.answer(refused.http_status(), &mut self.out),
        }
        Some(State::Exchange(Box::new(exchange)))
    }

    /// Answers a request whose end is unknown.
    fn refuse(&mut self, status: u16) -> State {
        let mut reply = Reply::new(ReplyTo::new().with_keep_alive(false));
        State::Closing(reply.answer(status, &[], b"", &mut self.out))
    }
}

impl Exchange {
    /// Passes the body on, and returns what follows the exchange when that is over.
    fn advance(
        &mut self,
        fcgi: &mut impl Commands,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Option<State> {
        if let Err(error) = self.take_body(fcgi, now, input, out) {
            self.answer(error.http_status(), out);
        }
        if let Some(Verdict::NothingSent { status }) = self.reply.verdict() {
            self.answer(status, out);
        }
        let verdict = self.reply.verdict()?;
        if !self.body.is_complete() || !matches!(verdict, Verdict::Keep | Verdict::Close) {
            self.abort(fcgi, now); // it would wait for the rest, or for nothing
        }
        match verdict {
            Verdict::Keep if self.body.is_complete() => Some(State::Head),
            Verdict::Keep if self.body.keeps_connection(MAX_DISCARDED) => None,
            Verdict::Cut { .. } => Some(State::Closing(verdict)),
            _ => Some(State::Closing(Verdict::Close)),
        }
    }

    fn take_body(
        &mut self,
        fcgi: &mut impl Commands,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), PassOnError> {
        let Some(request) = self.request.filter(|_| self.reply.verdict().is_none()) else {
            return Ok(self.body.discard(input)?); // nobody wants the rest
        };
        if fcgi.pass_on(now, request, &mut self.body, input)? == PassedOn::NeedsInput {
            out.extend_from_slice(self.body.take_continue().unwrap_or_default());
        }
        Ok(())
    }

    /// A response of the server's own. If the application's has begun, that is cut instead.
    fn answer(&mut self, status: u16, out: &mut Vec<u8>) {
        if !self.body.keeps_connection(MAX_DISCARDED) {
            self.reply.close_after();
        }
        let text = format!("{status} {}\n", cgi::reason_phrase(status));
        let fields = [("Content-Type", "text/plain"), ("Retry-After", "1")];
        let fields = if status == 503 { &fields[..] } else { &fields[..1] };
        self.reply.answer(status, fields, text.as_bytes(), out);
    }

    /// The client has the whole response, to HEAD for instance, and the application sends more, maybe without end.
    fn goes_on_for_nothing(&mut self, now: Instant) -> bool {
        self.reply.is_complete() && {
            let since = *self.complete_since.get_or_insert(now);
            self.reply.discarded() > MAX_DISCARDED || now >= since + MAX_EXTRA_TIME
        }
    }

    fn abort(&mut self, fcgi: &mut impl Commands, now: Instant) {
        if let Some(request) = self.request.take() {
            fcgi.abort(now, request);
        }
    }
}
