//! A FastCGI client for programs that own their mio event loop.
//!
//! One thread, the embedder's [`mio::Poll`], any number of requests in flight over pooled and, where the application
//! can, shared connections. Output is handed on in the pieces it arrives in, lent from the embedder's [`ReadBuf`].
//!
//! # The loop contract
//! 1. [`Client::wait`], or wait in `poll` for as long as [`Client::timeout`] says: not at all while the client has
//!    work, without limit when nothing is due.
//! 2. Give each event to [`Client::handle_event`]; `false` means that it is the embedder's own.
//! 3. Call [`Client::handle_timeout`].
//! 4. Take [`Client::poll_event`] until `None`. All reading, writing and connecting is done in there; connections take
//!    turns, up to a bound.
//! 5. Serve sockets of your own.
//!
//! Commands ([`submit`](Client::submit), [`write_stdin`](Client::write_stdin), [`abort`](Client::abort),
//! [`pause`](Client::pause), …) may come at any point, also while an event's data is looked at. Any order is right, and
//! calling too often or too early is harmless; commands in steps 4 and 5 find the most connections free
//! ([why](guide::embedding#the-steps)). Each accepted request gets exactly one [`EventKind::End`]; a failed one reports what
//! happened and whether the application can have acted on it ([`Delivery`]).
//!
//! # A complete program
//! It needs `mio`, any version 1, as a dependency of its own, with the feature `os-poll`, and `net` for sockets of its
//! own. The example [`embed`] is a server with a listener and clients of its own on the same loop.
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
//! # Traps
//! - **`TCP_NODELAY`.** The client sets it on its own sockets, not on yours. Call
//!   [`set_nodelay(true)`](mio::net::TcpStream::set_nodelay) on each TCP socket that you accept. Without it, a response
//!   that leaves in several small writes waits for the browser's delayed acknowledgement: in a trial, 46 ms for each
//!   response became 3.4 ms.
//! - **Tokens that overlap.** [`handle_event`](Client::handle_event) takes every event whose token is in the client's
//!   range. If `Token(0)` is your listener and the range begins at 0, the client takes the listener's events. Take a
//!   range far from your own tokens, as the program above does. The client logs a warning for an event whose token none
//!   of its connections has ever had.
//! - **One [`ReadBuf`] for each client.** A buffer may hold bytes that its client has not handed on.
//!   [`poll_event`](Client::poll_event) panics when such a buffer is given to another client, and when its client is
//!   given another buffer.
//! - **Tags that come back too early.** [`abort`](Client::abort) does not end a request at once: its [`EventKind::End`] comes
//!   later, with its [`Tag`]. If the tag is the number of a slot, free the slot at `End`, not at `abort`. Otherwise the next
//!   request in the slot gets the `End` of the previous one.
//!
//! More are in the [guide](guide::embedding#traps).
//!
//! # Layers
//! - [`wire`]: records and name-value pairs, to and from bytes.
//! - [`Engine`]: requests, connections, the pool and all time limits, as a state machine over bytes and instants. Drive
//!   it yourself for another runtime, for completion-based I/O, or in a test with virtual time.
//! - [`Client`]: the engine on mio's sockets. Most programs need this and what follows.
//! - [`Commands`]: what both can be asked, so that a server's code runs on sockets and in a test without.
//! - [`cgi`]: an HTTP request as parameters, and output as status, fields and body.
//! - [`blocking`]: one call on a loop of its own, for tools, health checks and tests.
//!
//! The [`guide`] says how to use them well, and what the applications at the other end really do.
//!
//! # Features
//! - *Default:* none. The client, the engine, `cgi` and `blocking` are always there.
//! - `testkit`: the module `testkit`, for deterministic tests of programs that embed the client. It has scripted
//!   applications, a virtual wire and a virtual clock. It adds no dependency: enable it in `[dev-dependencies]`.
//!
//! # Examples
//! - [`embed`]: the client in a loop beside a listener of its own; the one to copy from.
//! - [`proxy`]: an HTTP/1.1 server in front of FastCGI applications, one loop per thread.
//! - [`get`]: one request, as curl does for HTTP.
//! - [`load`]: a load generator with latency percentiles.
//! - [`responder`]: a FastCGI application on [`wire`].
//!
//! [`embed`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/embed.rs
//! [`proxy`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/proxy/
//! [`get`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/get/
//! [`load`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/load/
//! [`responder`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/responder/

#![cfg_attr(docsrs, feature(doc_cfg))]

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
mod net;
mod params;
mod report;
mod request;
mod server;
mod settings;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod wire;

pub use address::{Address, AddressError};
pub use commands::Commands;
pub use config::{
    Backoff, Config, Limits, Multiplex, OverflowPolicy, PauseBuffer, RequestIds, Timeouts,
    UnknownLength,
};
pub use config_error::ConfigError;
pub use engine::{
    Action, CloseReason, ConnectionGauges, Counters, Disconnected, Engine, RequestGauges, Stats,
    Transmit,
};
pub use error::{
    BodyError, ConnectError, ConnectionLostReason, Delivery, Failure, Phase, ProtocolError,
    Refused, RequestError, StdinError, SubmitError, TimeoutKind,
};
pub use event::{
    Completion, ConnectionHandle, Event, EventKind, Outcome, OwnedEvent, RequestHandle,
    ServerValues, Tag,
};
pub use net::{Client, ReadBuf};
pub use params::{Params, ParamsIter, SharedParams};
pub use report::{Report, Timings};
pub use request::{Body, Request, Retry};
pub use server::{GetValuesError, ServerId};

// The program in README.md is compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
