//! A FastCGI client library for [mio] event loops.
//!
//! You have a single-threaded server with a hand-driven [`mio::Poll`], and it must talk to php-fpm or another FastCGI
//! application. The client lives in that loop: a slab of connection state machines that parse records incrementally
//! from non-blocking sockets, with
//!
//! - **multiplexing**: thousands of requests in flight, several on one connection where the application allows it;
//! - **pooling**: connections are reused, limited per server, and closed when idle for too long;
//! - **[several servers](guide::servers)**, with weights and backups; the list may change while requests run, and a request
//!   may name its server;
//! - **back-pressure** in both directions, at bounded memory;
//! - **a time limit for each phase** of a request, each with an error of its own;
//! - **failures that say whether the application can have acted** ([`Delivery`]), and retries that by default never run a
//!   POST twice ([`Retry`]);
//! - **[sockets that you make](guide::sockets)**, if you like: bound to a source address, one end of a pair, a descriptor of
//!   another process;
//! - **no socket and no clock in the [engine](Engine)**: drive it from tests with virtual time, or from another runtime.
//!
//! Output is reported in the pieces in which it arrives, borrowed from the embedder's [`ReadBuf`].
//!
//! # A program
//!
//! The program needs `mio`, any version 1, as a dependency of its own, with the feature `os-poll`, and with `net` for
//! sockets of its own. The example [`embed`] is this program inside a server with a listener of its own. Copy from that
//! one.
//!
//! ```rust,no_run
//! use std::io::{self, Write};
//! use std::time::Instant;
//!
//! use mio::{Events, Poll, Token};
//! use mio_fcgi::{Client, Config, EventKind, ReadBuf, Request, Tag};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut poll = Poll::new()?;
//!     let config = Config::new("unix:/run/php/php8.2-fpm.sock".parse()?);
//!     let tokens = Token(1 << 20)..Token((1 << 20) + 8); // far from tokens of your own
//!     let mut fcgi = Client::new(poll.registry(), tokens, config)?;
//!     let request = Request::responder()
//!         .param("REQUEST_METHOD", "GET")
//!         .param("SCRIPT_FILENAME", "/var/www/hello.php");
//!     fcgi.submit(Instant::now(), request, Tag(1))?;
//!
//!     let (mut events, mut buf) = (Events::with_capacity(64), ReadBuf::default());
//!     loop {
//!         fcgi.wait(Instant::now(), &mut poll, &mut events)?;
//!         let now = Instant::now();
//!         for event in &events {
//!             let _is_mine = !fcgi.handle_event(event);
//!         }
//!         fcgi.handle_timeout(now);
//!         while let Some(event) = fcgi.poll_event(now, &mut buf) {
//!             match event.kind {
//!                 EventKind::Stdout(data) => io::stdout().write_all(data)?,
//!                 EventKind::Stderr(data) => io::stderr().write_all(data)?,
//!                 EventKind::End(outcome) => return Ok(outcome.map(drop)?),
//!                 _ => {}
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! # The loop
//!
//! 1. Wait: call [`Client::wait`], or wait in [`Poll::poll`](mio::Poll::poll) yourself, for at most the time that
//!    [`Client::timeout`] returns. It is zero while the client has work, and `None` when nothing is due.
//! 2. Pass each event to [`Client::handle_event`]. It returns `false` for events of your own sockets.
//! 3. Call [`Client::handle_timeout`].
//! 4. Call [`Client::poll_event`] until it returns `None`. All connecting, reading and writing happens in there, in
//!    turns of bounded length. Only [`write_stdin`](Client::write_stdin) may write as well.
//! 5. Serve your own sockets.
//!
//! You may call commands ([`submit`](Client::submit), [`write_stdin`](Client::write_stdin), [`abort`](Client::abort),
//! [`pause`](Client::pause), [`resume`](Client::resume), …) at any point, also while you hold an event's data. No order
//! of calls is wrong, and calling too often or too early is harmless. In steps 4 and 5 a command finds the most free
//! connections ([why](guide::embedding#the-steps)).
//!
//! Each accepted request gets exactly one [`EventKind::End`], and no event after it. A failed one reports what happened,
//! in which phase, and whether the application can have acted on the request ([`Failure`]).
//!
//! # Traps
//!
//! - **`TCP_NODELAY`.** The client sets it on its connections, not on sockets of yours. Call
//!   [`set_nodelay(true)`](mio::net::TcpStream::set_nodelay) on each TCP socket that you accept. Without it, a response
//!   sent in several small writes waits for the browser's delayed acknowledgement: in a trial, the option reduced the
//!   time per response from 46 ms to 3.4 ms.
//! - **Overlapping tokens.** [`handle_event`](Client::handle_event) takes every event whose token is in the client's
//!   range. If `Token(0)` is your listener and the range begins at 0, the client takes the listener's events. Choose a
//!   range far from your own tokens, as the program above does. If your tokens come from a counter that only grows, it
//!   will reach any range above it: put the range below its first value. The client logs a warning for an event whose
//!   token none of its connections has ever had.
//! - **One [`ReadBuf`] per client**, or one for all [`Clients`]. A buffer may contain bytes that its client has not reported yet.
//!   [`poll_event`](Client::poll_event) panics if it gets such a buffer of another client, or if the client's own
//!   buffer contains such bytes and it gets another one.
//! - **Tags that are reused too early.** [`abort`](Client::abort) does not end a request at once: the request's
//!   [`End`](EventKind::End) arrives later, with its [`Tag`]. If the tag is the number of a slot, free the slot at `End`,
//!   not at `abort`. Otherwise the next request in the slot gets the `End` of the previous one.
//!
//! The guide has [more](guide::embedding#traps).
//!
//! # Layers
//!
//! - [`Client`]: the client on your [`mio::Poll`], over TCP and Unix sockets. Most programs need this, [`cgi`] and
//!   [`Commands`].
//! - [`Clients`]: many clients in one loop, one for each application.
//! - [`Engine`]: the same state machine without sockets: requests, connections, the pool and all time limits, over bytes
//!   and instants. For another runtime, completion-based I/O (io_uring), and tests with virtual time.
//! - [`Commands`]: the commands that both have. Write your server for this trait, and test it without sockets.
//! - [`cgi`]: an HTTP request to CGI parameters and a body, and output to an HTTP response: status, fields and body.
//! - [`blocking`]: one request on a private loop, for tools, health checks and tests.
//! - [`wire`]: records and name-value pairs, to and from bytes.
//!
//! The [`guide`] explains how to use them with real applications: an HTTP server, php-fpm, several servers and names
//! that move, failures and retries, back-pressure, multiplexing, testing.
//!
//! **Not included:** futures or a runtime, an HTTP server (see the example [`proxy`]), the application side of FastCGI
//! (see [`wire`] and the example [`responder`]), TLS, process management.
//!
//! # Features
//!
//! - *Default:* none. The client, the engine, `cgi` and `blocking` are always included.
//! - `testkit`: the module `testkit`, for deterministic tests of programs that embed the client. It has scripted
//!   applications, a virtual network and a virtual clock. It adds no dependency: enable it in `[dev-dependencies]`.
//!
//! # Examples
//!
//! - [`get`]: one request, as curl does for HTTP.
//! - [`proxy`]: an HTTP/1.1 server in front of FastCGI applications, one loop per thread.
//! - [`embed`]: the client in a mio loop with a listener of its own.
//! - [`resolve`]: requests to a name that moves, without blocking the loop.
//! - [`probe`]: many clients in one loop, which asks whether applications are up.
//! - [`tokio`] and [`io_uring`]: the engine on sockets without mio, by readiness and by completion.
//! - [`load`]: a load generator with latency percentiles.
//! - [`responder`]: a FastCGI application on [`wire`].
//!
//! [`embed`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/embed.rs
//! [`probe`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/probe.rs
//! [`tokio`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/tokio.rs
//! [`io_uring`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/io_uring.rs
//! [`proxy`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/proxy/
//! [`get`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/get/
//! [`resolve`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/resolve/
//! [`load`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/load/
//! [`responder`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/responder/

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod address;
pub mod blocking;
pub mod cgi;
mod commands;
mod config;
mod config_error;
mod engine;
mod error;
mod event;
pub mod guide;
mod limits;
mod net;
mod params;
mod report;
mod request;
mod retry;
mod server;
mod settings;
#[cfg(feature = "testkit")]
pub mod testkit;
mod timeouts;
pub mod wire;

pub use address::{Address, AddressError};
pub use commands::Commands;
pub use config::{
    Backoff, Config, Multiplex, OverflowPolicy, PauseBuffer, RequestIds, UnknownLength,
};
pub use config_error::ConfigError;
pub use engine::{
    Action, CloseReason, ConnectionGauges, ConnectionInfo, ConnectionState, Counters, Disconnected,
    Engine, RequestGauges, RequestInfo, RequestState, ServerInfo, Stats, Transmit,
};
pub use error::{
    BodyError, ConnectError, ConnectionLostReason, Delivery, Failure, Phase, ProtocolError,
    Refused, RequestError, StdinError, SubmitError, TimeoutKind,
};
pub use event::{
    Completion, ConnectionHandle, Event, EventKind, Outcome, OwnedEvent, RequestHandle,
    ServerValues, Tag,
};
pub use limits::Limits;
pub use net::{Client, ClientId, Clients, ReadBuf, Stream};
pub use params::{Params, ParamsIter, SharedParams};
pub use report::{Report, Timings};
pub use request::{Body, Request};
pub use retry::Retry;
pub use server::{GetValuesError, Server, ServerId, ServerMode};
pub use timeouts::Timeouts;

// The program in README.md is compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
