//! An HTTP/1 server around the client: a parser reads the heads, this crate does the rest.
//!
//! You have an event loop with sockets of HTTP clients, and an application. What has to happen between them? Three
//! types of [`cgi`] do it, and none of them does I/O:
//!
//! - [`RequestBody`] finds the end of a request's body, decodes it, and refuses what could smuggle a request.
//! - [`Env`](cgi::Env) makes the parameters for the application.
//! - [`Reply`] writes the response, and says whether the connection can be used again.
//!
//! The heads of requests are left to a parser of your choice: the crate [`httparse`] here.
//!
//! # A whole session
//!
//! This is one connection of an HTTP client: pipelined requests, bodies of any length, `100 Continue`, and both
//! directions at once with bounded memory. Copy it, and call its methods from your loop. It works with a
//! [`Client`](crate::Client) and with an [`Engine`](crate::Engine).
//!
//! ```
//! use std::time::Instant;
//! use mio_fcgi::cgi::{self, Env, Reply, ReplyTo, RequestBody, RequestBodyError, Script, Verdict};
//! use mio_fcgi::{Body, Commands, Event, EventKind, RequestHandle, Tag};
//!
//! struct Session {
//!     tag: Tag,
//!     unread: Vec<u8>, // was read from the client, and not used yet
//!     out: Vec<u8>,    // to be written to the client
//!     state: State,
//! }
//!
//! enum State {
//!     Head,
//!     Exchange(Exchange),
//!     /// Close the socket when `out` is written. With a reset: set SO_LINGER to 0 before.
//!     Closing { needs_reset: bool },
//! }
//!
//! /// A request and its response.
//! struct Exchange {
//!     request: Option<RequestHandle>, // until it ends
//!     body: RequestBody,
//!     is_pushed: bool, // `finish_stdin` is still due
//!     reply: Reply,
//! }
//!
//! const MAX_HEAD: usize = 16 * 1024;
//! const MAX_BODY: u64 = 16 * 1024 * 1024;
//! const MAX_OUT: usize = 64 * 1024;
//! /// The rest of an unwanted body that is read to keep the connection.
//! const MAX_DISCARDED: u64 = 64 * 1024;
//!
//! impl Session {
//!     fn new(tag: Tag) -> Self {
//!         Self { tag, unread: Vec::new(), out: Vec::new(), state: State::Head }
//!     }
//!
//!     /// Whether to read the client's socket. After each other call ask again: mio reports nothing for bytes that
//!     /// have arrived before.
//!     fn wants_read(&self) -> bool {
//!         match &self.state {
//!             State::Head => self.out.len() <= MAX_OUT,
//!             // If bytes are left of a body, the application takes no more for now.
//!             State::Exchange(exchange) => !exchange.body.is_complete() && self.unread.is_empty(),
//!             State::Closing { .. } => false,
//!         }
//!     }
//!
//!     /// These bytes were read from the socket.
//!     fn on_read(&mut self, fcgi: &mut impl Commands, now: Instant, bytes: &[u8]) {
//!         self.unread.extend_from_slice(bytes);
//!         self.advance(fcgi, now);
//!     }
//!
//!     /// The client has ended its stream: nobody waits for the response.
//!     fn on_end_of_stream(&mut self, fcgi: &mut impl Commands, now: Instant) {
//!         if let State::Exchange(exchange) = &mut self.state {
//!             if let Err(error) = exchange.body.end() {
//!                 eprintln!("{error}");
//!             }
//!             exchange.abort(fcgi, now);
//!         }
//!         self.state = State::Closing { needs_reset: false };
//!     }
//!
//!     /// The socket has taken `len` bytes of `out`.
//!     fn on_written(&mut self, fcgi: &mut impl Commands, now: Instant, len: usize) {
//!         self.out.drain(..len);
//!         if !self.out.is_empty() {
//!             return;
//!         }
//!         if let State::Exchange(Exchange { request: Some(request), .. }) = self.state {
//!             fcgi.resume(now, request);
//!         }
//!         self.advance(fcgi, now);
//!     }
//!
//!     /// An event with the session's tag.
//!     fn on_event(&mut self, fcgi: &mut impl Commands, now: Instant, event: &Event<&[u8]>) {
//!         let State::Exchange(exchange) = &mut self.state else {
//!             return;
//!         };
//!         if exchange.request != Some(event.request) {
//!             return; // of an exchange that is over
//!         }
//!         match event.kind {
//!             EventKind::Stderr(text) => eprintln!("{}", String::from_utf8_lossy(text)),
//!             EventKind::End(_) => exchange.request = None,
//!             _ => {} // at `StdinReady`, `advance` offers the rest of the body again
//!         }
//!         exchange.reply.on_event(event, &mut self.out);
//!         if let (Some(request), true) = (exchange.request, self.out.len() > MAX_OUT) {
//!             fcgi.pause(now, request); // until the client has read it
//!         }
//!         self.advance(fcgi, now);
//!     }
//!
//!     /// Uses what can be used of the unread bytes.
//!     fn advance(&mut self, fcgi: &mut impl Commands, now: Instant) {
//!         let mut unread = std::mem::take(&mut self.unread);
//!         let mut input = &unread[..];
//!         loop {
//!             let state = match &mut self.state {
//!                 State::Head if self.out.len() <= MAX_OUT => self.take_head(fcgi, now, &mut input),
//!                 State::Exchange(exchange) => exchange.advance(fcgi, now, &mut input, &mut self.out),
//!                 State::Head | State::Closing { .. } => None,
//!             };
//!             match state {
//!                 Some(state) => self.state = state,
//!                 None => break,
//!             }
//!         }
//!         let used = unread.len() - input.len();
//!         unread.drain(..used);
//!         self.unread = unread;
//!     }
//!
//!     /// Begins an exchange if the head of a request is complete.
//!     fn take_head(&mut self, fcgi: &mut impl Commands, now: Instant, input: &mut &[u8]) -> Option<State> {
//!         let mut space = [httparse::EMPTY_HEADER; 64];
//!         let mut head = httparse::Request::new(&mut space);
//!         match head.parse(input) {
//!             Ok(httparse::Status::Complete(len)) => *input = &input[len..],
//!             Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return None,
//!             Ok(httparse::Status::Partial) => return Some(self.refuse(431)),
//!             Err(_) => return Some(self.refuse(400)),
//!         }
//!         let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
//!         let http11 = head.version == Some(1);
//!         let fields = head.headers.iter().map(|field| (field.name.as_bytes(), field.value));
//!
//!         let body = match RequestBody::new(http11, fields.clone(), MAX_BODY) {
//!             Ok(body) => body,
//!             Err(error) => return Some(self.refuse(error.http_status())),
//!         };
//!         let mut request = fcgi.new_request();
//!         let script = Script::new("/srv/www", "/index.php", ""); // or what a `ScriptMap` finds
//!         let mut env = Env::new(method.as_bytes(), target.as_bytes(), fields.clone(), &script);
//!         env.content_length = body.content_length();
//!         if let Err(error) = env.write_to(&mut request.params) {
//!             return Some(self.refuse(error.http_status()));
//!         }
//!         let is_pushed = !body.is_empty();
//!         if is_pushed {
//!             request.body = Body::pushed(body.len());
//!         }
//!         let to = ReplyTo::new()
//!             .with_method(method)
//!             .with_http11(http11)
//!             .with_keep_alive(cgi::wants_keep_alive(http11, fields));
//!         let reply = Reply::new(to);
//!         let mut exchange = Exchange { request: None, body, is_pushed, reply };
//!         match fcgi.submit(now, request, self.tag) {
//!             Ok(handle) => exchange.request = Some(handle),
//!             Err(refused) => exchange.answer(refused.http_status(), &mut self.out),
//!         }
//!         Some(State::Exchange(exchange))
//!     }
//!
//!     /// Answers a request whose end is unknown.
//!     fn refuse(&mut self, status: u16) -> State {
//!         let mut reply = Reply::new(ReplyTo::new().with_keep_alive(false));
//!         reply.answer(status, &[], b"", &mut self.out);
//!         State::Closing { needs_reset: false }
//!     }
//! }
//!
//! impl Exchange {
//!     /// Passes the body on, and returns what follows the exchange when that is over.
//!     fn advance(
//!         &mut self,
//!         fcgi: &mut impl Commands,
//!         now: Instant,
//!         input: &mut &[u8],
//!         out: &mut Vec<u8>,
//!     ) -> Option<State> {
//!         if let Err(error) = self.take_body(fcgi, now, input, out) {
//!             self.answer(error.http_status(), out);
//!         }
//!         if let Some(Verdict::NothingSent { status }) = self.reply.verdict() {
//!             self.answer(status, out);
//!         }
//!         let verdict = self.reply.verdict()?;
//!         if !self.body.is_complete() || !matches!(verdict, Verdict::Keep | Verdict::Close) {
//!             self.abort(fcgi, now); // it would wait for the rest, or for nothing
//!         }
//!         match verdict {
//!             Verdict::Keep if self.body.is_complete() => Some(State::Head),
//!             Verdict::Keep if self.body.keeps_connection(MAX_DISCARDED) => None,
//!             Verdict::Cut { needs_reset } => Some(State::Closing { needs_reset }),
//!             _ => Some(State::Closing { needs_reset: false }),
//!         }
//!     }
//!
//!     fn take_body(
//!         &mut self,
//!         fcgi: &mut impl Commands,
//!         now: Instant,
//!         input: &mut &[u8],
//!         out: &mut Vec<u8>,
//!     ) -> Result<(), RequestBodyError> {
//!         let Some(request) = self.request.filter(|_| self.reply.verdict().is_none()) else {
//!             return self.body.discard(input); // nobody wants the rest
//!         };
//!         while let Some(content) = self.body.peek(input)? {
//!             let Ok(taken) = fcgi.write_stdin(now, request, content) else {
//!                 return Ok(()); // the request has ended: its `End` follows
//!             };
//!             self.body.consume(input, taken);
//!             if taken < content.len() {
//!                 return Ok(()); // what is left of the input waits for `StdinReady`
//!             }
//!         }
//!         if !self.body.is_complete() {
//!             out.extend_from_slice(self.body.take_continue().unwrap_or_default());
//!         } else if std::mem::take(&mut self.is_pushed) {
//!             let _gone = fcgi.finish_stdin(now, request);
//!         }
//!         Ok(())
//!     }
//!
//!     /// A response of the server's own. If the application's has begun, that is cut instead.
//!     fn answer(&mut self, status: u16, out: &mut Vec<u8>) {
//!         if !self.body.keeps_connection(MAX_DISCARDED) {
//!             self.reply.close_after();
//!         }
//!         let text = format!("{status} {}\n", cgi::reason_phrase(status));
//!         self.reply.answer(status, &[("Content-Type", "text/plain")], text.as_bytes(), out);
//!     }
//!
//!     fn abort(&mut self, fcgi: &mut impl Commands, now: Instant) {
//!         if let Some(request) = self.request.take() {
//!             fcgi.abort(now, request);
//!         }
//!     }
//! }
//! # use std::collections::BTreeMap;
//! # use mio_fcgi::wire::{self, Demux, EndRequest, Item, ProtocolStatus, RecordType};
//! # use mio_fcgi::{Action, Config, ConnectionHandle, Engine, UnknownLength};
//! # type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
//! # /// An engine, and an application that sends back each piece of a body as it arrives; unless that is a command.
//! # struct Loop { fcgi: Engine, now: Instant, connections: BTreeMap<ConnectionHandle, Application> }
//! # #[derive(Default)]
//! # struct Application { demux: Demux, output: Vec<u8>, has_begun: bool, has_ended: bool }
//! # impl Application {
//! #     fn send(&mut self, id: u16, bytes: &[u8]) {
//! #         if !std::mem::replace(&mut self.has_begun, true) {
//! #             wire::write_stream(&mut self.output, RecordType::Stdout, id, b"Content-Type: text/plain\n\n");
//! #         }
//! #         wire::write_stream(&mut self.output, RecordType::Stdout, id, bytes);
//! #     }
//! #     fn end(&mut self, id: u16) {
//! #         let end = EndRequest { app_status: 0, protocol_status: ProtocolStatus::RequestComplete };
//! #         if !std::mem::replace(&mut self.has_ended, true) {
//! #             wire::write_end_request(&mut self.output, id, end);
//! #         }
//! #     }
//! #     fn receive(&mut self, mut bytes: &[u8]) -> Outcome<()> {
//! #         while let Some(item) = self.demux.next(&mut bytes)? {
//! #             match item {
//! #                 Item::Begin { .. } => (self.has_begun, self.has_ended) = (false, false),
//! #                 Item::Stream { record_type: RecordType::Stdin, request_id, data } => match data {
//! #                     b"nothing" => self.end(request_id),
//! #                     b"early" => { self.send(request_id, data); self.end(request_id); }
//! #                     _ => self.send(request_id, data),
//! #                 },
//! #                 Item::StreamEnd { record_type: RecordType::Stdin, request_id } if !self.has_ended => {
//! #                     self.send(request_id, b"");
//! #                     self.end(request_id);
//! #                 }
//! #                 _ => {}
//! #             }
//! #         }
//! #         Ok(())
//! #     }
//! # }
//! # impl Loop {
//! #     fn new() -> Outcome<Self> {
//! #         let config = Config::new("127.0.0.1:9000".parse()?).with_unknown_length(UnknownLength::Stream);
//! #         let config = config.with_stdin_high_water(100);
//! #         Ok(Self { fcgi: Engine::new(config)?, now: Instant::now(), connections: BTreeMap::new() })
//! #     }
//! #     fn turn(&mut self, session: &mut Session) -> Outcome<()> {
//! #         let now = self.now;
//! #         while self.fcgi.has_output() {
//! #             while let Some(action) = self.fcgi.poll_action() {
//! #                 match action {
//! #                     Action::Connect { connection, .. } => {
//! #                         self.connections.insert(connection, Application::default());
//! #                         self.fcgi.handle_connected(now, connection);
//! #                     }
//! #                     Action::Close { connection, .. } => { self.connections.remove(&connection); }
//! #                     _ => {}
//! #                 }
//! #             }
//! #             for (connection, application) in &mut self.connections {
//! #                 let mut sent = Vec::new();
//! #                 self.fcgi.poll_transmit(now, *connection, &mut sent);
//! #                 application.receive(&sent)?;
//! #                 let output = std::mem::take(&mut application.output);
//! #                 let mut output = &output[..];
//! #                 while let Some(event) = self.fcgi.poll_received(now, *connection, &mut output) {
//! #                     session.on_event(&mut self.fcgi, now, &event);
//! #                 }
//! #                 self.fcgi.handle_drained(now, *connection);
//! #             }
//! #             while let Some(event) = self.fcgi.poll_pending(&mut [0; 512]) {
//! #                 session.on_event(&mut self.fcgi, now, &event);
//! #             }
//! #         }
//! #         Ok(())
//! #     }
//! #     /// Reads 16 bytes at once, or everything if it is much, and only what the session wants.
//! #     fn exchange(&mut self, session: &mut Session, sent: &str) -> Outcome<String> {
//! #         let max = if sent.len() < 1000 { 16 } else { sent.len() };
//! #         let mut pieces = sent.as_bytes().chunks(max);
//! #         let (mut out, mut before) = (String::new(), None);
//! #         while before != Some((pieces.len(), out.len())) {
//! #             before = Some((pieces.len(), out.len()));
//! #             while session.wants_read() {
//! #                 let Some(piece) = pieces.next() else { break };
//! #                 session.on_read(&mut self.fcgi, self.now, piece);
//! #                 let is_in_body = matches!(&session.state, State::Exchange(it) if !it.body.is_complete());
//! #                 assert!(!is_in_body || session.unread.len() <= max);
//! #             }
//! #             self.turn(session)?;
//! #             out += std::str::from_utf8(&session.out)?;
//! #             let len = session.out.len();
//! #             assert!(len < 3 * MAX_OUT, "{len}");
//! #             session.on_written(&mut self.fcgi, self.now, len);
//! #             self.turn(session)?;
//! #         }
//! #         assert!(pieces.next().is_none() || matches!(session.state, State::Closing { .. }), "{sent}");
//! #         Ok(out)
//! #     }
//! # }
//! # let mut server = Loop::new()?;
//!
//! // What a client reads after it has sent this. The application sends back what it gets.
//! # let mut session = Session::new(Tag(1));
//! # let mut exchange = |sent: &str| server.exchange(&mut session, sent);
//! let out = exchange("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")?;
//! assert_eq!(out, "HTTP/1.1 100 Continue\r\n\r\n");
//! let out = exchange("he")?;
//! assert!(out.starts_with("HTTP/1.1 200 OK\r\n") && out.ends_with("\r\n\r\n2\r\nhe\r\n"));
//! assert_eq!(exchange("llo")?, "3\r\nllo\r\n0\r\n\r\n");
//!
//! // A chunked body and a pipelined request.
//! let chunks = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
//! let out = exchange(&format!("PUT /b HTTP/1.1\r\nHost: a\r\n{chunks}GET /c HTTP/1.0\r\n\r\n"))?;
//! assert_eq!(out.matches("HTTP/1.1 200 OK\r\n").count(), 2);
//! assert!(out.contains("\r\n\r\n3\r\nabc\r\n0\r\n\r\n") && out.ends_with("\r\nConnection: close\r\n\r\n"));
//! # assert!(matches!(session.state, State::Closing { needs_reset: false }) && !session.wants_read());
//! #
//! # let mut session = Session::new(Tag(2));
//! # let mut exchange = |sent: &str| server.exchange(&mut session, sent);
//!
//! // On another connection: two programs could disagree about where this request ends.
//! let out = exchange(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n{chunks}"))?;
//! assert!(out.starts_with("HTTP/1.1 400 Bad Request\r\n") && out.contains("\r\nConnection: close\r\n"));
//! #
//! # // An application that takes 100 bytes before the connection is open, one that says nothing, and one that does not want the whole body.
//! # let (mut session, mut server) = (Session::new(Tag(3)), Loop::new()?);
//! # let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:";
//! # let out = server.exchange(&mut session, &format!("{post} 300\r\n\r\n{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "~".repeat(300)))?;
//! # assert_eq!((out.matches('~').count(), out.matches(" 200 OK").count()), (300, 2), "{out}");
//! # let out = server.exchange(&mut session, &format!("{post} 400000\r\n\r\n{}", "~".repeat(400_000)))?;
//! # assert!(out.matches('~').count() == 400_000 && out.ends_with("\r\n0\r\n\r\n"));
//! # server.exchange(&mut session, &format!("{post} 7\r\n\r\n"))?;
//! # let out = server.exchange(&mut session, "nothing")?;
//! # assert!(out.contains(" 502 ") && matches!(session.state, State::Head), "{out}");
//! # let out = server.exchange(&mut session, &format!("{post} 10\r\n\r\n"))?;
//! # assert_eq!(out, "");
//! # let out = server.exchange(&mut session, "early")?;
//! # assert!(out.contains("early") && out.ends_with("0\r\n\r\n") && matches!(session.state, State::Exchange(_)), "{out}");
//! # let out = server.exchange(&mut session, "12345GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
//! # assert!(out.starts_with("HTTP/1.1 200 OK\r\n"), "{out}");
//! # server.exchange(&mut session, &format!("{post} 100000\r\n\r\n"))?;
//! # let out = server.exchange(&mut session, "early")?;
//! # assert!(out.contains("early") && matches!(session.state, State::Closing { needs_reset: false }), "{out}");
//! # // A body that turns out malformed before the head of the response, and after it; and a client that goes away.
//! # let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
//! # let mut session = Session::new(Tag(4));
//! # let out = server.exchange(&mut session, &format!("{head}-1\r\n"))?;
//! # assert!(out.contains("400 Bad Request") && matches!(session.state, State::Closing { .. }), "{out}");
//! # let mut session = Session::new(Tag(5));
//! # server.exchange(&mut session, &format!("{head}3\r\nabc\r\n"))?;
//! # let out = server.exchange(&mut session, "-1\r\n")?;
//! # assert!(out.is_empty() && matches!(session.state, State::Closing { needs_reset: false }), "{out}");
//! # let mut session = Session::new(Tag(6));
//! # server.exchange(&mut session, &format!("{post} 9\r\n\r\nabc"))?;
//! # session.on_end_of_stream(&mut server.fcgi, server.now);
//! # server.turn(&mut session)?;
//! # assert_eq!(server.fcgi.requests(server.now).count(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In a loop like the one on the page [`embedding`](super::embedding), keep the sessions in a slab, with the key as
//! tag. Pass each event of [`poll_event`](crate::Client::poll_event) to the session of its tag. When that is done, read
//! and write the sockets: as long as `wants_read` is true, and as long as `out` is not empty. Drop a session once it is
//! `Closing` and `out` is empty. A tag may be used again: a session compares the handles.
//!
//! # Decisions
//!
//! - *A body without a length* is pushed as it is, and [`Config::unknown_length`](crate::Config::unknown_length)
//!   decides: refused with 411, buffered up to a limit, or streamed to an application that reads to the end of its
//!   input.
//! - *Slow uploads* hold a process of the application. [Collect](super::back_pressure#a-slow-upload) such a body first,
//!   with [`decode`](RequestBody::decode).
//! - *What is left of a body* when the response is complete: [`keeps_connection`](RequestBody::keeps_connection) decides
//!   whether it is read and dropped, or the connection closed.
//!
//! # What a public server adds
//!
//! The example [`proxy`] has all of this.
//!
//! - *Time limits* for a head, for a body that stops, and for an idle connection.
//! - *Line ends:* `httparse` takes LF alone as the end of a line. Behind another server, refuse it: the two could
//!   disagree about what is a field (RFC 9112, 2.2).
//! - *`Host`:* refuse a request in HTTP/1.1 without it (RFC 9112, 3.2). [`Env`](cgi::Env) refuses a second one, and one
//!   that is not a host.
//! - *A target with scheme and authority:* remove both, and replace `Host` with the authority (3.2.2).
//! - *A lingering close:* see [`keeps_connection`](RequestBody::keeps_connection).
//!
//! [`httparse`]: https://docs.rs/httparse
//! [`proxy`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/proxy/

#[cfg(doc)]
use crate::cgi::{self, Reply, RequestBody};
