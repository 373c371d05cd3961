//! Testing your server without sockets and without sleeping, with the same result in every run (feature `testkit`).
//!
//! ```toml
//! [dev-dependencies]
//! mio-fcgi = { version = "0.1", features = ["testkit"] }
//! ```
//!
//! # A time limit, in thirty lines
//!
//! A proxy must answer 504 when php-fpm has sent nothing for three seconds. The proxy's code takes [`Commands`], which
//! are a [`Client`](crate::Client) in the program and an [`Engine`](crate::Engine) in the test.
//!
//! ```
//! use std::collections::HashMap;
//! use std::time::{Duration, Instant};
//! use mio_fcgi::testkit::{Quirks, Network, Behavior, Scripted};
//! use mio_fcgi::{Commands, Config, Engine, Event, EventKind, Request, ServerId, Tag};
//!
//! /// The server under test. Answers browsers, which have numbers.
//! #[derive(Default)]
//! struct Proxy {
//!     answers: HashMap<u64, u16>,
//! }
//!
//! impl Proxy {
//!     fn on_request(&mut self, fcgi: &mut impl Commands, now: Instant, browser: u64, path: &str) {
//!         let request = Request::responder().param("SCRIPT_FILENAME", path);
//!         if fcgi.submit(now, request, Tag(browser)).is_err() {
//!             self.answers.insert(browser, 503);
//!         }
//!     }
//!
//!     fn on_event(&mut self, _fcgi: &mut impl Commands, _now: Instant, event: Event<&[u8]>) {
//!         if let EventKind::End(outcome) = event.kind {
//!             let status = match outcome {
//!                 Ok(_) => 200,
//!                 Err(failure) => failure.http_status(),
//!             };
//!             self.answers.insert(event.tag.0, status);
//!         }
//!     }
//! }
//!
//! let mut config = Config::new("unix:/run/php.sock".parse()?); // never connected to
//! config.timeouts.first_byte = Some(Duration::from_secs(3));
//! let mut engine = Engine::new(config)?;
//! let mut network = Network::new(1, Instant::now(), 1);
//! let php = Scripted::new(|request| match request.param("SCRIPT_FILENAME") {
//!     Some(b"/slow.php") => Behavior::new().wait(Duration::from_secs(60)).end(0),
//!     _ => Behavior::answer("Content-Type: text/plain\r\n\r\nhello"),
//! });
//! network.server(ServerId::new(0)).serve(php.with_quirks(Quirks::php_fpm(2)));
//!
//! let mut proxy = Proxy::default();
//! proxy.on_request(&mut engine, network.now(), 1, "/slow.php");
//! proxy.on_request(&mut engine, network.now(), 2, "/quick.php");
//! let mut pass = |time| network.advance(&mut engine, time, &mut |fcgi, now, event| {
//!     proxy.on_event(fcgi, now, event);
//! });
//! pass(Duration::from_millis(2_999));
//! pass(Duration::from_millis(1)); // not earlier, not later:
//! assert_eq!(proxy.answers, HashMap::from([(1, 504), (2, 200)]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The three seconds take no real time, and every run is the same, so a test like this can run ten thousand times.
//! [`Network::advance`] does what your loop does: it waits, and takes all events. The clock jumps from one thing that
//! happens to the next. If your server has timers of its own, advance to the instant of the next timer, call it, and go
//! on.
//!
//! In the program, the loop passes events on in the same way, because an event borrows the buffer and not the client:
//!
//! ```
//! # use std::time::Instant;
//! # use mio_fcgi::{Client, Commands, Event, ReadBuf};
//! # struct Proxy;
//! # impl Proxy { fn on_event(&mut self, _: &mut impl Commands, _: Instant, _: Event<&[u8]>) {} }
//! fn drain(fcgi: &mut Client, proxy: &mut Proxy, now: Instant, buf: &mut ReadBuf) {
//!     while let Some(event) = fcgi.poll_event(now, buf) {
//!         proxy.on_event(fcgi, now, event);
//!     }
//! }
//! ```
//!
//! Such a test does not run your loop and has no sockets. It also cannot show a time limit that ends while bytes are in
//! the socket and unread: the virtual network reports what it has read and nothing earlier ([why that
//! matters](super::without_mio#on-readiness)), so a time limit counts at its instant, without a last look into the
//! socket. For the rest, send one request through the whole program to an application on a socket.
//!
//! # Without code of your own
//!
//! [`Sim`] contains an engine and collects its events. Use it to ask a question about a configuration instead of a
//! program:
//!
//! ```
//! use std::time::Duration;
//! use mio_fcgi::testkit::{Quirks, Behavior, Scripted, Sim};
//! use mio_fcgi::{Config, Request, ServerId, Tag};
//!
//! // Eight requests at a time, and php-fpm has two children: how long does the last request take?
//! let mut config = Config::new("unix:/run/php.sock".parse()?);
//! config.limits.max_connections_per_server = 2;
//! let mut sim = Sim::new(config, 1)?;
//! let work = |_: &_| Behavior::new().await_stdin().wait(Duration::from_millis(100)).end(0);
//! sim.serve(ServerId::new(0), Scripted::new(work).with_quirks(Quirks::php_fpm(2)));
//! let mut requests = Vec::new();
//! for tag in 0..8 {
//!     requests.push(sim.submit(Request::responder(), Tag(tag))?);
//! }
//! assert!(sim.run_to_end());
//! assert_eq!(sim.ended_at(requests[7]), Some(Duration::from_millis(400)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Faults
//!
//! Applications and networks fail in ways that are hard to produce with real ones. This test shows that a response that
//! was cut short is noticed:
//!
//! ```
//! use mio_fcgi::testkit::{Fragments, Behavior, Scripted, Sim, Link};
//! use mio_fcgi::{Config, Delivery, Request, ServerId, Tag};
//!
//! let mut sim = Sim::new(Config::new("127.0.0.1:9000".parse()?), 7)?;
//! let link = Link::default().with_reads(Fragments::UpTo(5)); // cut where the seed says
//! sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::new().await_stdin().stdout("half of").close()))
//!     .link(link);
//! let request = sim.submit(Request::responder(), Tag(1))?;
//! sim.run_to_end();
//! assert_eq!(sim.stdout(request), b"half of");
//! let failure = sim.outcome(request).and_then(|outcome| outcome.as_ref().err());
//! assert_eq!(failure.map(|failure| failure.delivery), Some(Delivery::Responded));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to have | use |
//! |---|---|
//! | bytes in pieces of any size | [`Link::with_reads`], [`Link::with_writes`], [`Fragments`] |
//! | delay, a slow line, full buffers | [`Link::with_latency`], [`Link::with_bytes_per_second`], [`Link::with_capacity`], [`Behavior::stop_reading`] |
//! | connections that overtake one another | [`Server::links`] |
//! | an end of file or a reset at any byte | [`Link::with_close_after`], [`Link::with_reset_after`], [`Records::cut`]; in a behavior [`Behavior::close`], [`Behavior::reset`] |
//! | connects that fail, hang, come late, find the backlog full or no descriptor | [`Server::on_connect`], [`Connect`] |
//! | a listener whose process hangs | [`Server::on_connect`] with [`Connect::Accept`], and no application |
//! | writes into a connection that the application has closed | [`Behavior::close`], on a TCP link or on [`Link::unix`] |
//! | an application that is slow, or never ends a request | [`Behavior::wait`], a behavior without [`Behavior::end`] |
//! | an answer before the body was read | a behavior without [`Behavior::await_stdin`] |
//! | refusals | [`Behavior::refuse`], from a closure in [`Scripted::new`] that counts requests |
//! | padding, unknown request IDs, records in any order, no FastCGI at all | [`Behavior::send`] with [`Records`] |
//! | php-fpm, libfcgi, Go, flup | [`Quirks`] |
//!
//! # What to check at the end
//!
//! * [`Sim::run_to_end`] returns false if a request never ends.
//! * After a shutdown, [`Engine::is_idle`](crate::Engine::is_idle) shows that nothing was leaked.
//! * The seed decides where [`Fragments::UpTo`] cuts. Run many seeds, and print the seed of a run that fails.

#[cfg(doc)]
use crate::Commands;
#[cfg(doc)]
use crate::testkit::{
    Behavior, Connect, Fragments, Link, Network, Quirks, Records, Scripted, Server, Sim,
};
