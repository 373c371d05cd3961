//! Testing your server: without sockets, without sleeping, the same in every run (feature `testkit`).
//!
//! ```toml
//! [dev-dependencies]
//! mio-fcgi = { version = "0.1", features = ["testkit"] }
//! ```
//!
//! # A time limit, in thirty lines
//!
//! A proxy is to answer 504 when php-fpm has said nothing for three seconds. Its code takes [`Commands`] where it has
//! something to ask: a [`Client`](crate::Client) in the program, an [`Engine`](crate::Engine) in the test.
//!
//! ```
//! use std::collections::HashMap;
//! use std::time::{Duration, Instant};
//! use mio_fcgi::testkit::{Quirks, Network, Behavior, Scripted};
//! use mio_fcgi::{Commands, Config, Engine, Event, EventKind, Request, RequestError, Tag};
//!
//! /// What is tested: it answers browsers, by number.
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
//!                 Err(failure) if matches!(failure.error, RequestError::TimedOut(_)) => 504,
//!                 Err(_) => 502,
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
//! network.server(0).serve(php.with_quirks(Quirks::php_fpm(2)));
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
//! The three seconds took no time, and every run is the same: a test like this can be run ten thousand times.
//! [`Network::advance`] does what your loop does, wait and drain, and moves the clock from one happening to the
//! next. Timers of your own go in between: advance to their instant, call what they call.
//!
//! In the program, the loop hands on the same way, for an event borrows the buffer and not the client:
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
//! What such a test leaves out is that loop itself, the sockets, and what lies between an announcement and the read: this
//! network reports what it has read and nothing before ([why that matters](super::without_mio#on-readiness)). So a time
//! limit counts at its instant, without a last look into the socket. One request through the whole program, with an
//! application on a socket, is enough for the rest.
//!
//! # Without code of your own
//!
//! [`Sim`] has the engine in it and collects the events, for questions about a configuration rather than a program:
//!
//! ```
//! use std::time::Duration;
//! use mio_fcgi::testkit::{Quirks, Behavior, Scripted, Sim};
//! use mio_fcgi::{Config, Request, Tag};
//!
//! // Eight requests at a time, and php-fpm has two children: who waits how long?
//! let mut config = Config::new("unix:/run/php.sock".parse()?);
//! config.limits.max_connections_per_server = 2;
//! let mut sim = Sim::new(config, 1)?;
//! let work = |_: &_| Behavior::new().await_stdin().wait(Duration::from_millis(100)).end(0);
//! sim.serve(0, Scripted::new(work).with_quirks(Quirks::php_fpm(2)));
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
//! What an application must not do is a few bytes more. Whether a response that was cut short is noticed:
//!
//! ```
//! use mio_fcgi::testkit::{Fragments, Behavior, Scripted, Sim, Link};
//! use mio_fcgi::{Config, Delivery, Request, Tag};
//!
//! let mut sim = Sim::new(Config::new("127.0.0.1:9000".parse()?), 7)?;
//! let mut link = Link::default();
//! link.reads = Fragments::UpTo(5); // cut where the seed says
//! sim.serve(0, Scripted::new(|_| Behavior::new().await_stdin().stdout("half of").close()))
//!     .link(link);
//! let request = sim.submit(Request::responder(), Tag(1))?;
//! sim.run_to_end();
//! assert_eq!(sim.stdout(request), b"half of");
//! let failure = sim.outcome(request).and_then(|outcome| outcome.as_ref().err());
//! assert_eq!(failure.map(|failure| failure.delivery), Some(Delivery::Responded));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to have | take |
//! |---|---|
//! | bytes in any pieces, few at a time | [`Link::reads`], [`Link::writes`], [`Fragments`] |
//! | delay, a slow line, full buffers | [`Link::latency`], [`Link::bytes_per_second`], [`Link::capacity`], [`Behavior::stop_reading`] |
//! | connections that overtake one another | [`Server::links`], [`Network::shuffle`] |
//! | an end of file or a reset at any byte | [`Break`], [`Records::cut`]; by a script [`Behavior::close`], [`Behavior::reset`], [`Behavior::half_close`] |
//! | connects that fail, hang, come late, find the backlog full or no descriptor | [`Server::on_connect`], [`Connect`], [`Network::limit_sockets`] |
//! | an end that is announced and not read yet | [`Sim::step`], [`Network::shuffle`]; [`Server::on_notice`] shows it |
//! | reads that end exactly at the end of their buffer, selectors that are not edge-triggered | [`Link::reads`], [`Link::reads_until_blocked`] |
//! | writes into a connection that the application has closed | [`Link::after_close`], [`Behavior::take_nothing`] |
//! | a process that was stopped | [`Network::hold_up`], [`Network::unread_since`] |
//! | an application that thinks, or never ends | [`Behavior::wait`], a script without [`Behavior::end`] |
//! | an answer before the body was read | a script without [`Behavior::await_stdin`] |
//! | refusals | [`Behavior::refuse`], by turns with the closure of [`Scripted::new`] |
//! | padding, foreign IDs, records in no order, no FastCGI at all | [`Behavior::send`] with [`records`] |
//! | php-fpm, libfcgi, Go, flup | [`Quirks`]; any mixture by setting its fields |
//! | anything else | an [`Application`] of your own |
//!
//! [`Network::tally`] says whether a test had the fault that it is about.
//!
//! # Ends that must be tested
//!
//! * [`Sim::run_to_end`] is false when a request never ends; [`Engine::is_idle`](crate::Engine::is_idle) after a
//!   shutdown is the check against leaks.
//! * [`Sim::trace_hash`] is equal for equal runs: a difference means that something outside has got in.
//! * [`Network::shuffle`] draws the order of what happens at one instant from the seed. Run many seeds, and print the one
//!   that failed.
//! * [`Network::keep_trace`] and [`Network::trace`] tell what happened, line by line.

#[cfg(doc)]
use crate::Commands;
#[cfg(doc)]
use crate::testkit::{
    Application, Behavior, Break, Connect, Fragments, Link, Network, Quirks, Records, Scripted,
    Server, Sim, records,
};
