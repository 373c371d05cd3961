//! The client in your event loop, step by step, and what may not be assumed.
//!
//! The loop, its [`mio::Poll`], the clock and the read buffer are yours. The client opens its own sockets on your poll,
//! under tokens of a range that you give it, and does all of its reading and writing when you ask for the next event.
//! It starts no thread, blocks nowhere but in [`Client::new`], and never reads the clock.
//!
//! # A whole loop
//!
//! This one runs as it stands. Nobody listens at the address, so the one event is the end of the request.
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
//!     // 1. Wait, no longer than the client allows.
//!     client.wait(Instant::now(), &mut poll, &mut events)?;
//!     let now = Instant::now(); // once per turn is enough
//!     // 2. Hand the client its readiness, all of it.
//!     for event in &events {
//!         if !client.handle_event(event) {
//!             // Yours: a listener, a client, a waker. Note it for step 5.
//!         }
//!     }
//!     // 3. Hand it the time.
//!     client.handle_timeout(now);
//!     // 4. Take what has happened. Connecting, writing and reading are done in here.
//!     while let Some(event) = client.poll_event(now, &mut buf) {
//!         if let EventKind::End(outcome) = event.kind {
//!             let failure = outcome.expect_err("nobody listens there");
//!             assert!(event.tag == Tag(1) && matches!(failure.error, RequestError::Connect(_)));
//!             requests_left -= 1;
//!         }
//!     }
//!     // 5. Serve your own sockets: `submit` for what they ask, `write_stdin` for what they send.
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The example `embed` is a server with clients of its own and the client in one such loop, to copy from.
//!
//! # The steps
//!
//! **1. Wait.** [`wait`](Client::wait) does it all. With deadlines of your own, call [`mio::Poll::poll`] yourself, with
//! the shortest of them and of [`timeout`](Client::timeout), which is zero while the client has work and `None` when
//! nothing is due. [`deadline`](Client::deadline) is the same as an instant. Ask for it right before each `poll`, after the last command: a value kept from before does not know of a
//! request submitted since. `poll` may return [`Interrupted`](std::io::ErrorKind::Interrupted) when a signal comes: go
//! on.
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
//!             events.clear(); // a signal, and no event
//!             Ok(())
//!         }
//!         polled => polled,
//!     }
//! }
//! ```
//!
//! **2. Sort.** [`handle_event`](Client::handle_event) takes a note and does no I/O. An idle connection that has anything
//! to read is out of the pool from then on, until a read has found its socket open and empty. It returns `true` for
//! every token of the client's range, also for a connection that has been closed since. Never register, re-register or
//! deregister anything under such a token.
//!
//! **3. Time.** [`handle_timeout`](Client::handle_timeout) once per turn. Early, late or twice does no harm; without it
//! no time limit ever passes. A limit of a request that is on a connection counts when the socket was read and found
//! empty, which is done in step 4: an answer that came while the loop was held up, or the process stopped, is
//! delivered. The limit of a request in the queue counts at once.
//!
//! **4. Take.** [`poll_event`](Client::poll_event) until it says `None`. Each connection has its turn, in which it reads
//! one [`ReadBuf`] and writes 1 MiB at most. Then those with more to do have another, until 16 buffers' worth were moved
//! in all, 1 MiB by default: your own sockets wait for that long, and for the round in which it is reached. A smaller
//! buffer makes it shorter. And you may stop before `None`: [`timeout`](Client::timeout) is zero then, and the next turn
//! goes on where this one stopped. Give [`mio::Events`] room for all connections: one that `poll` had no room to report
//! gets no turn before the next `poll`, and its end is not known until then.
//!
//! **5. Your own sockets,** last, and with them most commands. [`timeout`](Client::timeout) is zero after a command that
//! makes work, and the next turn sends it.
//!
//! Any order is right: a command in another place loses nothing, because the client knows that it has work. But this
//! order profits most:
//!
//! - *Between `poll` and `handle_event`* the client does not know what was announced. A request may get a connection
//!   that the application has closed; it then has to be sent again, or it fails.
//! - *Between `handle_event` and `poll_event`* no announced connection is in the pool. Those whose answer has arrived will
//!   be free after the read, but a `submit` now opens a new connection instead, or waits.
//! - *After `poll_event`* every announced connection has been read: it is free, busy or gone.
//!
//! Commands on an event, such as the next `submit` at an `End`, belong to step 4. They find the connections free that
//! were read before.
//!
//! # One request
//!
//! An accepted [`submit`](Client::submit) has exactly one [`EventKind::End`]; a refused one has none, and its error,
//! [`Refused`](crate::Refused), gives the request back. [`ready`](Client::ready) answers before a request is made whether
//! there is room for one. Between `submit` and `End` come, in any number, [`EventKind::Stdout`] and [`EventKind::Stderr`], and at
//! most one [`EventKind::StdoutEnd`]. Keep the handle where you may want to abort, pause or push a body. Keep your own state
//! under the [`Tag`]: the client echoes it and never interprets it.
//!
//! Data is lent from the [`ReadBuf`], not from the client. So commands are allowed while it is looked at:
//!
//! ```
//! # use std::time::Instant;
//! # use mio_fcgi::{Client, EventKind, ReadBuf};
//! const MOST: usize = 1024 * 1024;
//!
//! fn take_all(client: &mut Client, now: Instant, buf: &mut ReadBuf, page: &mut Vec<u8>) {
//!     while let Some(event) = client.poll_event(now, buf) {
//!         match event.kind {
//!             EventKind::Stdout(data) => {
//!                 if page.len() + data.len() > MOST {
//!                     client.abort(now, event.request); // `data` is still there
//!                 }
//!                 page.extend_from_slice(&data[..data.len().min(MOST - page.len())]);
//!             }
//!             EventKind::Stderr(data) => eprintln!("{}", String::from_utf8_lossy(data)),
//!             _ => {}
//!         }
//!     }
//! }
//! ```
//!
//! The data is gone with the next `poll_event`. What is to last longer is copied, with
//! [`into_owned`](Event::into_owned) for instance.
//!
//! # What may not be assumed
//!
//! - *That output comes in certain pieces.* An event is what one read of the socket brought of one record. A head may
//!   come byte by byte; [`cgi::HeadParser`](crate::cgi::HeadParser) takes it in any pieces.
//! - *That requests end in the order they were submitted*, or that the events of one come without those of others in
//!   between.
//! - *That [`EventKind::StdoutEnd`] comes.* php-fpm never sends it. `End` is the end.
//! - *That `End` comes later than the output before it.* Both may be in one turn.
//! - *That stderr means failure*, or that an application status other than 0 does.
//! - *That the outcome says whether the response is whole.* An application may complete a request in the middle of its
//!   own head. [`cgi::Collector`](crate::cgi::Collector) gives the verdict.
//! - *That a request that was aborted stops running.* See [`failure`](super::failure#after-an-abort).
//!
//! # Traps
//!
//! **`TCP_NODELAY`.** The client sets it on its own sockets, not on yours. Call
//! [`set_nodelay(true)`](mio::net::TcpStream::set_nodelay) on each TCP socket that you accept. Without it, a small write
//! waits until the browser has acknowledged the one before, and the browser takes its time: in a trial, 46 ms for each
//! response became 3.4 ms.
//!
//! **Tokens that overlap.** The client takes every event whose token is in its range, and cannot see whose socket it is.
//! If `Token(0)` is your listener and the range begins at 0, [`handle_event`](Client::handle_event) returns `true` for the
//! listener's events. Take a range far from your own tokens. The client logs a warning, once, for an event whose token none
//! of its connections has ever had. Once a connection has had the token, nothing shows the mistake.
//!
//! **Two buffers.** Between two calls the client may have left bytes in the [`ReadBuf`]. The buffer belongs to that
//! client until they were taken. [`poll_event`](Client::poll_event) panics when the client is given another buffer,
//! which would lose the bytes, and when another client is given this one, which would get them. One client, one buffer.
//!
//! **Your own edges.** mio announces a change once. The client keeps that in mind for its sockets: after
//! [`resume`](Client::resume) it reads what came during the pause. Your sockets are yours: when you stopped reading a
//! client because [`write_stdin`](Client::write_stdin) took no more, then [`EventKind::StdinReady`] is the moment to read
//! on. No event of mio's will come for bytes that were there before.
//!
//! **Tags that come back too early.** When a client goes away you [`abort`](Client::abort) its request, but its `End` is
//! still to come. If the tag is the client's slot and the slot is given to the next client at once, that `End` finds the
//! wrong one. Free the slot at `End`, or compare the handle too.
//!
//! **Readers that block.** A [`Body::reader`](crate::Body::reader) is read inside the loop. A file on a local disk is
//! fine, a pipe or a socket is not: push such a body with `write_stdin`. One of unknown length that is to be
//! [collected](crate::UnknownLength::Buffer) is read to its end inside `submit`.
//! And [`cgi::ScriptMap::local`](crate::cgi::ScriptMap::local) looks at files whenever it resolves a target.
//!
//! **Names.** [`Client::new`] resolves host names, which blocks, and counts each address of a name as a server:
//! `localhost` is often two, of which one refuses. An address that does not answer keeps no request from another one for
//! longer than 250 ms. The token range must hold `max_connections_per_server` times the number of servers.
//!
//! **Dropping.** A dropped client closes its sockets and reports nothing. For a clean end, at a SIGTERM for instance,
//! shut it down and go on with the loop until [`is_shut_down`](Client::is_shut_down) returns true, after the last socket was closed. (To the
//! loop a signal is one more socket of yours: have the handler write to a pipe that is registered under a token of
//! yours, as the crate `signal-hook` does.)
//!
//! ```
//! # use std::time::{Duration, Instant};
//! # use mio_fcgi::{Config, Engine, Request, SubmitError, Tag};
//! # let mut client = Engine::new(Config::new("127.0.0.1:9000".parse()?))?;
//! # let now = Instant::now();
//! client.shutdown(now, Some(now + Duration::from_secs(10))); // what is left then fails
//! let late = client.submit(now, Request::responder(), Tag(0));
//! assert_eq!(late.map_err(SubmitError::from), Err(SubmitError::ShuttingDown));
//! # let mut buf = [0; 512];
//! # assert_eq!(client.poll_event(&mut buf), None);
//! assert!(client.is_shut_down()); // nothing was in flight, and no socket was open
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Several threads
//!
//! A client lives on one thread at a time. Give each thread its own poll, client and buffer, and divide the connections
//! among them: see [`php_fpm`](super::php_fpm#how-many-connections). To hand in requests from elsewhere, put them in a
//! queue and wake the loop with a [`mio::Waker`] under a token of yours.

#[cfg(doc)]
use crate::{Client, Event, EventKind, ReadBuf, Tag};
