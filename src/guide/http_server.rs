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
#![doc = include_str!("http_server/session.rs")]
//! ```
//!
//! In a loop like the one on the page [`embedding`](super::embedding), keep the sessions in a slab, with the key as
//! tag. Pass each event of [`poll_event`](crate::Client::poll_event) to the session of its tag. A tag may be used again:
//! a session compares the handles. When that is done, serve the sockets: read as long as `wants_read` is true, and write
//! as long as `out` is not empty.
//!
//! # The end of a connection
//!
//! **The client goes away.** Call `on_hang_up` when a read returns the end of the stream. While a response is awaited,
//! nobody reads the socket: so call it also if mio's event [`is_read_closed`](mio::event::Event::is_read_closed), after
//! reading. Otherwise the script runs for nobody. This gives up clients that end their direction and still read, such as
//! `nc -N`. To serve these too, go by [`is_write_closed`](mio::event::Event::is_write_closed) instead; a client that has
//! gone is then noticed once it refuses bytes with a reset. If a read or a write fails, call `on_hang_up` and drop the
//! session at once.
//!
//! **The server closes**, once the session is `Closing` and `out` is written:
//!
//! - `Verdict::Close`: over TLS, send `close_notify`. Then *linger*. The client may still send, as after a 413, and the
//!   reset that this causes at a closed socket could destroy the response (RFC 9112, 9.6). End your direction with
//!   [`shutdown`](mio::net::TcpStream::shutdown), read and drop until the end of the stream or an error, but at most 2 s
//!   and 16 MiB, then drop the socket.
//! - `Verdict::Cut`: drop the socket, over TLS without a `close_notify`. If a [reset](Verdict::Cut::needs_reset) is
//!   needed, the crate `socket2` does it: `SockRef::from(&socket).set_linger(Some(Duration::ZERO))?` before.
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
//! - *Time limits* for a head, for a body that stops, for an idle connection, and
//!   [`Timeouts::total`](crate::Timeouts::total) for a request.
//! - *Line ends:* `httparse` takes LF alone as the end of a line. Behind another server, refuse it: the two could
//!   disagree about what is a field (RFC 9112, 2.2).
//! - *`Host`:* refuse a request in HTTP/1.1 without it (RFC 9112, 3.2). [`Env`](cgi::Env) refuses a second one, and one
//!   that is not a host.
//! - *A target with scheme and authority:* remove both, and replace `Host` with the authority (3.2.2).
//!
//! [`httparse`]: https://docs.rs/httparse
//! [`proxy`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/proxy/

#[cfg(doc)]
use crate::cgi::{self, Reply, RequestBody, Verdict};
