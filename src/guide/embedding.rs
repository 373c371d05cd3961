//! Running the client in your own mio loop: what to call in each turn, and what you must not assume.
//!
//! You have an event loop already, and a library must not block it or run a second one. So the loop, its [`mio::Poll`],
//! the clock and the read buffer stay yours. The client opens its own sockets on your poll, under tokens of a range
//! that you give it. It connects, writes and reads only while you ask for the next event, and writes when you push a large
//! piece of a body. It starts no thread and never reads the clock. Only [`Client::new`], which resolves host names, and
//! [`wait`](Client::wait), which calls `poll`, may block.
//!
//! # A whole loop
//!
//! This program runs as it is. No application listens at the address, so the only event is the end of the request.
//!
//! ```
//! use std::time::Instant;
//! use mio::{Events, Poll, Token};
//! use mio_fcgi::{Client, Config, EventKind, ReadBuf, Request, RequestError, Tag};
//!
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(256);
//! let mut buf = ReadBuf::default();
//! let config = Config::new("unix:/no/such.sock".parse()?);
//! // One token for each connection that the limits allow, far from tokens of your own.
//! let tokens = Token(1 << 20)..Token((1 << 20) + 8);
//! let mut client = Client::new(poll.registry(), tokens, config)?;
//!
//! let request = Request::responder()
//!     .param("REQUEST_METHOD", "GET")
//!     .param("SCRIPT_FILENAME", "/var/www/index.php");
//! client.submit(Instant::now(), request, Tag(1))?;
//! let mut requests_left = 1;
//!
//! while requests_left > 0 {
//!     // 1. Wait, for at most as long as the client allows.
//!     client.wait(Instant::now(), &mut poll, &mut events)?;
//!     let now = Instant::now(); // once per turn is enough, unless you measure
//!     // 2. Give the client its events, all of them.
//!     for event in &events {
//!         if !client.handle_event(event) {
//!             // Yours: a listener, an HTTP connection, a waker. Keep it for step 5.
//!         }
//!     }
//!     // 3. Give it the time.
//!     client.handle_timeout(now);
//!     // 4. Take what has happened. The client connects, writes and reads in here.
//!     while let Some(event) = client.poll_event(now, &mut buf) {
//!         if let EventKind::End(outcome) = event.kind {
//!             let failure = outcome.expect_err("no application listens there");
//!             assert!(event.tag == Tag(1) && matches!(failure.error, RequestError::Connect(_)));
//!             requests_left -= 1;
//!         }
//!     }
//!     // 5. Serve your own sockets: `submit` their requests, `write_stdin` their uploads.
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The example `embed` is a server to copy from: its own HTTP connections and the client in one such loop.
//!
//! # The steps
//!
//! **1. Wait.** How long may `poll` block? [`wait`](Client::wait) decides, and calls `poll` for you. If you have
//! deadlines of your own, call [`mio::Poll::poll`] yourself, with the shortest of your deadlines and of
//! [`timeout`](Client::timeout). `timeout` is zero while the client has work, and `None` when nothing is due;
//! [`deadline`](Client::deadline) is the same as an instant. Ask for it right before each `poll`, after your last
//! command: an earlier value does not include a request submitted since. When a signal arrives, `poll` may return
//! [`Interrupted`](std::io::ErrorKind::Interrupted): continue with no events.
//!
//! ```
//! # use std::io;
//! # use std::time::Instant;
//! # use mio::{Events, Poll};
//! # use mio_fcgi::Client;
//! fn wait(poll: &mut Poll, events: &mut Events, client: &Client, mine: Option<Instant>) -> io::Result<()> {
//!     let now = Instant::now();
//!     let next = [mine, client.deadline(now)].into_iter().flatten().min();
//!     match poll.poll(events, next.map(|at| at.saturating_duration_since(now))) {
//!         Err(error) if error.kind() == io::ErrorKind::Interrupted => {
//!             events.clear(); // a signal came, and no event
//!             Ok(())
//!         }
//!         polled => polled,
//!     }
//! }
//! ```
//!
//! **2. Sort the events.** A mio event belongs to the client or to you. [`handle_event`](Client::handle_event) returns
//! `true` for every token of the client's range, also when the connection has been closed since. It only records the
//! event and does no I/O. From then on, an idle connection with something to read gets no request, until a read has
//! found its socket open and empty. Never register, reregister or deregister anything under a token of this range.
//!
//! **3. Pass the time.** Call [`handle_timeout`](Client::handle_timeout) once per turn. A call that is early, late or
//! repeated does no harm. Without the call, no time limit ever expires. The limit of a queued request expires at once.
//! The limit of a request on a connection expires only after the socket was read, in step 4, and found empty. So a
//! response that arrived while the loop was held up, or the process stopped, is delivered.
//!
//! **4. Take the events.** Call [`poll_event`](Client::poll_event) until it returns `None`. One busy connection must
//! not starve the others or your own sockets, so the work is bounded:
//!
//! - In its turn, a connection reads one [`ReadBuf`] and writes at most 1 MiB.
//! - Connections with more to do get another turn, until 16 buffers' worth of bytes were moved in all: 1 MiB by
//!   default. The round in which that happens is completed. Your own sockets wait that long; a smaller buffer makes it
//!   shorter.
//! - You may stop before `None`. Then [`timeout`](Client::timeout) is zero, and the next turn of the loop continues
//!   where this one stopped.
//!
//! Give [`mio::Events`] capacity for all connections. A connection that `poll` had no capacity to report gets no turn
//! before the next `poll`, and until then the client does not know whether it was closed.
//!
//! **5. Serve your own sockets,** last, and give most commands here. Serve also those for which step 4 brought output,
//! `StdinReady` or an `End`: mio reports nothing for them. After a command that makes work,
//! [`timeout`](Client::timeout) is zero, and the next turn does the work.
//!
//! Any order of these steps is correct: the client knows that it has work, so no command is lost. But this order makes
//! the best use of the connections:
//!
//! - *Between `poll` and `handle_event`*, the client does not know what `poll` has reported. A request may get a
//!   connection that the application has closed. Then the request has to be sent again, or it fails.
//! - *Between `handle_event` and `poll_event`*, no reported connection takes a request. Those whose response has
//!   arrived become idle with the read, but a `submit` now opens a new connection instead, or waits.
//! - *After `poll_event`*, every reported connection has been read: it is idle, busy or closed.
//!
//! Commands that answer an event, such as the next `submit` at an `End`, belong to step 4. Of the reported connections,
//! they can use those that were read before.
//!
//! # One request
//!
//! How do you know that a request is over? An accepted [`submit`](Client::submit) has exactly one [`EventKind::End`]. A
//! refused one has none: its error, [`Refused`](crate::Refused), gives the request back. [`ready`](Client::ready)
//! reports, before you make a request, whether there is room for one.
//!
//! Between `submit` and `End` come [`EventKind::Stdout`] and [`EventKind::Stderr`], any number of each, and at most one
//! [`EventKind::StdoutEnd`]. Keep the handle if you may want to abort or pause the request or push its body. Keep your
//! own state under the [`Tag`]: the client returns the tag with each event and never interprets it.
//!
//! Data is borrowed from the [`ReadBuf`], not from the client. So you may give commands while you look at the data:
//!
//! ```
//! # use std::time::Instant;
//! # use mio_fcgi::{Client, EventKind, ReadBuf};
//! const MAX_LEN: usize = 1024 * 1024;
//!
//! fn take_all(client: &mut Client, now: Instant, buf: &mut ReadBuf, page: &mut Vec<u8>) {
//!     while let Some(event) = client.poll_event(now, buf) {
//!         match event.kind {
//!             EventKind::Stdout(data) => {
//!                 if page.len() + data.len() > MAX_LEN {
//!                     client.abort(now, event.request); // `data` stays valid
//!                 }
//!                 page.extend_from_slice(&data[..data.len().min(MAX_LEN - page.len())]);
//!             }
//!             EventKind::Stderr(data) => eprintln!("{}", String::from_utf8_lossy(data)),
//!             _ => {}
//!         }
//!     }
//! }
//! ```
//!
//! The data is gone with the next `poll_event`. Copy what you need for longer, for instance with
//! [`into_owned`](Event::into_owned).
//!
//! # Several applications
//!
//! Each site has a php-fpm pool of its own, with its own limits, and all are served by one loop? Put a client for each
//! into [`Clients`](crate::Clients), which has the same steps. It adds the [`ClientId`](crate::ClientId) to each event,
//! waits for whichever client is due first, gives each client with work a turn, and calls no other. One [`ReadBuf`] serves
//! all. Clients are added and removed while the loop runs.
//!
//! ```
//! # use std::time::{Duration, Instant};
//! # use mio::{Poll, Token};
//! # use mio_fcgi::{ClientId, Clients, Config, Request, RequestHandle, Tag};
//! /// Submits a request to the first pool that has room for it, or returns the status to answer with.
//! fn submit(
//!     clients: &mut Clients,
//!     pools: &[ClientId],
//!     (now, mut request, tag): (Instant, Request, Tag),
//! ) -> Result<(ClientId, RequestHandle), u16> {
//!     for pool in pools {
//!         let Some(client) = clients.get_mut(*pool) else { continue };
//!         match client.submit(now, request, tag) {
//!             Ok(handle) => return Ok((*pool, handle)),
//!             Err(refused) => request = refused.for_another_client().map_err(|it| it.http_status())?,
//!         }
//!     }
//!     Err(503)
//! }
//!
//! # let (poll, now) = (Poll::new()?, Instant::now());
//! // 64 connections for each of at most 1,024 clients.
//! let tokens = Token(1 << 20)..Token((1 << 20) + 64 * 1024);
//! let mut clients = Clients::new(poll.registry(), tokens, 64)?;
//! let shop = clients.add(Config::new("unix:/run/php/shop.sock".parse()?))?;
//! let spare = clients.add(Config::new("unix:/run/php/spare.sock".parse()?))?;
//!
//! // A pool goes out of service: its requests have 10 s to end.
//! if let Some(client) = clients.get_mut(shop) {
//!     client.shutdown(now, Some(now + Duration::from_secs(10)));
//! }
//! let request = Request::responder().param("SCRIPT_FILENAME", "/var/www/shop/index.php");
//! let submitted = submit(&mut clients, &[shop, spare], (now, request, Tag(7)));
//! assert!(submitted.is_ok_and(|(pool, _)| pool == spare));
//!
//! // After each turn of the loop:
//! if clients.get(shop).is_some_and(|client| client.is_shut_down()) {
//!     clients.remove(shop);
//! }
//! # assert!(clients.get(shop).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Keep a handle together with the ID of its client. Another client may have a request with an equal handle.
//!
//! The example `probe` is a whole program: it asks any number of pools every few seconds whether they are up.
//!
//! # A response to an HTTP client
//!
//! What does your client get, and what becomes of its connection? A [`cgi::Reply`](crate::cgi::Reply) knows: make one
//! for each exchange, and pass it the events of the request. It appends the bytes of the response to a buffer of yours,
//! and returns a [`Verdict`](crate::cgi::Verdict) at the end, or when the output turns out to be no response.
//!
//! ```
//! use mio_fcgi::cgi::{Reply, ReplyTo, Verdict};
//! use mio_fcgi::{Event, EventKind};
//!
//! /// A connection of yours, and its request.
//! struct Exchange {
//!     reply: Reply,
//!     out: Vec<u8>, // write this to the socket, as far as it takes it
//!     after_out: AfterOut,
//! }
//!
//! /// What to do once the socket has taken all of `out`.
//! #[derive(PartialEq)]
//! enum AfterOut {
//!     Wait,
//!     ReadNextRequest,
//!     Close, // over TLS with a close_notify
//!     Cut,   // over TLS without one
//!     Reset, // set_linger(Some(Duration::ZERO)) of `socket2::SockRef::from(&socket)`, then close
//! }
//!
//! fn on_event(exchange: &mut Exchange, event: &Event<&[u8]>) {
//!     if let EventKind::Stderr(text) = event.kind {
//!         eprintln!("{}", String::from_utf8_lossy(text));
//!     }
//!     let Some(mut verdict) = exchange.reply.on_event(event, &mut exchange.out) else {
//!         return; // the verdict is still to come, or came before
//!     };
//!     if let Some(error) = exchange.reply.error() {
//!         eprintln!("tag {}: {error}", event.tag.0);
//!     }
//!     if let Verdict::NothingSent { status } = verdict {
//!         let page = format!("error {status}");
//!         verdict = exchange.reply.answer(status, &[], page.as_bytes(), &mut exchange.out);
//!     }
//!     exchange.after_out = match verdict {
//!         Verdict::Keep => AfterOut::ReadNextRequest,
//!         Verdict::Cut { needs_reset: true } => AfterOut::Reset,
//!         Verdict::Cut { .. } => AfterOut::Cut,
//!         _ => AfterOut::Close,
//!     };
//! }
//! # let request = mio_fcgi::Engine::new(mio_fcgi::Config::new("127.0.0.1:9000".parse()?))?
//! #     .submit(std::time::Instant::now(), mio_fcgi::Request::responder(), mio_fcgi::Tag(0))?;
//! # let event = |kind| Event::new(request, mio_fcgi::Tag(0), kind);
//! # let end = || event(EventKind::End(Ok(mio_fcgi::Completion::new(0, mio_fcgi::Report::default()))));
//!
//! // Made when the head of a request was read:
//! let reply = Reply::new(ReplyTo::new().with_method("GET").with_http11(false));
//! let mut exchange = Exchange { reply, out: Vec::new(), after_out: AfterOut::Wait };
//! # let stdout = event(EventKind::Stdout(&b"Content-Length: 4\n\nbody"[..]));
//! # for event in [stdout, end()] {
//! on_event(&mut exchange, &event); // for each event of its request
//! # }
//! # assert!(exchange.after_out == AfterOut::ReadNextRequest);
//! # assert!(exchange.out.ends_with(b"\r\nConnection: keep-alive\r\n\r\nbody"));
//! # exchange.reply.begin(ReplyTo::new());
//! # exchange.out.clear();
//! # on_event(&mut exchange, &end());
//! # assert!(exchange.after_out == AfterOut::ReadNextRequest);
//! # assert!(exchange.out.starts_with(b"HTTP/1.1 502 Bad Gateway\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - *To add fields, or to look at the head first* (a local redirect, `X-Accel-Redirect`): call
//!   [`head`](crate::cgi::Reply::head) before the output is passed on.
//! - *Without a copy of the body:* [`body`](crate::cgi::Reply::body) returns it in the slices it came in, for a vectored
//!   write.
//! - *If the client reads slowly*, `out` grows: [`pause`](Client::pause) the request while `out` is long. Set
//!   [`Timeouts::paused`](crate::Timeouts::paused) to give up clients that take nothing.
//! - *A verdict before `End`* that is not `Keep` or `Close` means that nothing useful follows:
//!   [`abort`](Client::abort) the request. After `Keep` or `Close`, let the request end by itself, so that its
//!   connection is used again; its events no longer concern the client.
//! - *An answer that is complete before its request*, a HEAD for instance: the application may go on for ever. Look at
//!   [`is_complete`](crate::cgi::Reply::is_complete) and [`discarded`](crate::cgi::Reply::discarded), and abort beyond
//!   a limit of bytes or of time. Its `End` then completes the reply. A collector says when, with
//!   [`wants_more`](crate::cgi::Collector::wants_more).
//!
//! # A request of an HTTP client
//!
//! Where does the body of a request end, and what if the application takes it slowly? A
//! [`cgi::RequestBody`](crate::cgi::RequestBody) is the counterpart of a reply: it finds the body in what you read from
//! the client, and leaves what the application does not take in your buffer. The page [`http_server`](super::http_server)
//! has a whole session to copy, with both directions at once.
//!
//! # What you must not assume
//!
//! - *That output comes in certain pieces.* An event holds what one read of the socket brought of one record. A
//!   response head may come byte by byte; [`cgi::HeadParser`](crate::cgi::HeadParser) takes any pieces.
//! - *That requests end in the order of their `submit`*, or that the events of one request come without those of others
//!   in between.
//! - *That [`EventKind::StdoutEnd`] comes.* php-fpm never sends it. `End` is the end.
//! - *That `End` comes in a later turn than the output before it.* Both may come in one turn.
//! - *That stderr means failure*, or that an application status other than 0 does.
//! - *That a request that completed has a whole response.* An application may complete a request in the middle of its own
//!   response head. [`cgi::Collector`](crate::cgi::Collector) decides.
//! - *That an aborted request stops running.* See [`failure`](super::failure#after-an-abort).
//!
//! # Traps
//!
//! **`TCP_NODELAY`.** The client sets it on its connections, not on sockets of yours. Call
//! [`set_nodelay(true)`](mio::net::TcpStream::set_nodelay) on each TCP socket that you accept. Without it, a small write
//! waits until the browser has acknowledged the one before, which it delays by about 40 ms: in a trial, 46 ms for each
//! response became 3.4 ms.
//!
//! **Tokens that overlap.** The client takes every event whose token is in its range, and cannot see whose socket it is.
//! If `Token(0)` is your listener and the range begins at 0, [`handle_event`](Client::handle_event) returns `true` for the
//! listener's events. Take a range far from your own tokens. If they come from a counter that only grows, put the range
//! below its first value: `Token(1)..Token(9)` for the client, and the counter from 9 on. The client logs a warning, once, for an event whose token none
//! of its connections has ever had. Once a connection has had the token, nothing shows the mistake.
//!
//! **Two buffers.** Between two calls, bytes that were read may still be in the [`ReadBuf`]. Until they are taken, the
//! buffer belongs to that client. So give each client one buffer of its own, or run them as
//! [`Clients`](crate::Clients), with one for all. [`poll_event`](Client::poll_event) panics
//! when the client gets another buffer, which would lose the bytes, and when another client gets this buffer, which
//! would deliver the bytes to the wrong client.
//!
//! **Your own edges.** mio reports a change once. For its own sockets, the client remembers it: after
//! [`resume`](Client::resume) it reads what came during the pause. For your sockets, you have to. If
//! [`write_stdin`](Client::write_stdin) took less than it was offered and you stopped reading an upload, read on at
//! [`EventKind::StdinReady`]. mio reports no event for bytes that had arrived before.
//!
//! **Tags reused too early.** When an HTTP client goes away, you [`abort`](Client::abort) its request, but the `End` is
//! still to come. If the tag is a slot of your table, and the next HTTP client gets the slot at once, that `End` finds
//! the wrong one. Free the slot at `End`, or compare the handle as well.
//!
//! **Readers that block.** A [`Body::reader`](crate::Body::reader) is read inside the loop. A file on a local disk is
//! fine. A pipe or a socket is not: push such a body with `write_stdin`. A reader of unknown length that is to be
//! [buffered](crate::UnknownLength::Buffer) is read to its end inside `submit`. And
//! [`cgi::ScriptMap::local`](crate::cgi::ScriptMap::local) looks at files whenever it resolves a target.
//!
//! **Host names.** [`Client::new`] resolves host names, which blocks, and counts each address of a name as a server.
//! `localhost` is often two addresses, of which one refuses. An address that does not answer keeps no request from
//! another address for longer than 250 ms. The token range must hold `max_connections_per_server` times the number of
//! servers, or `max_total_connections` if that is less. To follow a name whose addresses change, see
//! [`servers`](super::servers#a-name-that-moves).
//!
//! **Dropping the client.** A dropped client closes its sockets and reports nothing. For a clean end, at a SIGTERM for
//! instance, call `shutdown` and go on with the loop until [`is_shut_down`](Client::is_shut_down) returns true: then
//! the last socket was closed. (To the loop, a signal is one more socket of yours: let the handler write to a pipe that
//! is registered under a token of yours, as the crate `signal-hook` does.)
//!
//! ```
//! # use std::time::{Duration, Instant};
//! # use mio_fcgi::{Config, Engine, Request, SubmitError, Tag};
//! # let mut client = Engine::new(Config::new("127.0.0.1:9000".parse()?))?;
//! # let now = Instant::now();
//! client.shutdown(now, Some(now + Duration::from_secs(10))); // requests left after 10 s fail
//! let late = client.submit(now, Request::responder(), Tag(0));
//! assert_eq!(late.map_err(SubmitError::from), Err(SubmitError::ShuttingDown));
//! # let mut buf = [0; 512];
//! # assert_eq!(client.poll_pending(&mut buf), None);
//! assert!(client.is_shut_down()); // nothing was in flight, and no socket was open
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Several threads
//!
//! A client runs on one thread at a time. Give each thread its own poll, client and buffer, and divide the connections
//! among them: see [`php_fpm`](super::php_fpm#how-many-connections). To submit requests from another thread, put them
//! in a queue and wake the loop with a [`mio::Waker`] under a token of yours.

#[cfg(doc)]
use crate::{Client, Event, EventKind, ReadBuf, Tag};
