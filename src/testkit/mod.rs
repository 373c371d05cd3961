//! Testing without sockets: scripted applications, a virtual wire, a virtual clock (feature `testkit`).
//!
//! ```toml
//! [dev-dependencies]
//! mio-fcgi = { version = "0.1", features = ["testkit"] }
//! ```
//!
//! * [`Sim`] joins an [`Engine`](crate::Engine) with [`Scripted`] applications; time passes only when told to.
//! * [`Script`] is what an application does with a request; [`records`] is for what no application should do.
//! * [`Habits`] make it behave as php-fpm, libfcgi, Go or flup do where they differ.
//! * [`Wire`] cuts, delays and fills up; [`Connect`] refuses, hangs, and finds the backlog full.
//! * [`Network`] is the driver alone, for code that has an engine of its own.
//!
//! # Testing your server
//!
//! Take a proxy that is to answer 504 when php-fpm says nothing for three seconds. What it does with an outcome
//! is a function, so give that function the outcomes that matter, at the instants that matter:
//!
//! ```
//! use std::time::Duration;
//! use mio_fcgi::testkit::{Habits, Script, Scripted, Sim};
//! use mio_fcgi::{Config, Outcome, Request, RequestError, Tag};
//!
//! // The part of the server under test.
//! fn status_for(outcome: &Outcome) -> u16 {
//!     match outcome {
//!         Ok(_) => 200,
//!         Err(failure) => match failure.error {
//!             RequestError::TimedOut(_) => 504,
//!             _ => 502,
//!         },
//!     }
//! }
//!
//! let mut config = Config::new("unix:/run/php.sock".parse()?);
//! config.timeouts.first_octet = Some(Duration::from_secs(3));
//! let mut sim = Sim::new(config, 1)?;
//! let php = Scripted::new(|request| match request.param("SCRIPT_NAME") {
//!     Some(b"/slow.php") => Script::new().await_stdin().wait(Duration::from_secs(60)),
//!     _ => Script::answer("Content-Type: text/plain\r\n\r\nhello"),
//! });
//! sim.serve(0, php.with_habits(Habits::php_fpm(2)));
//!
//! let slow = sim.submit(Request::responder().param("SCRIPT_NAME", "/slow.php"), Tag(1))?;
//! let quick = sim.submit(Request::responder().param("SCRIPT_NAME", "/quick.php"), Tag(2))?;
//! assert!(sim.run_to_end());
//!
//! assert_eq!(sim.ended_at(slow), Some(Duration::from_secs(3)), "not earlier, not later");
//! assert_eq!(sim.outcome(slow).map(status_for), Some(504));
//! assert_eq!(sim.outcome(quick).map(status_for), Some(200));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The sixty seconds took no time, and every run is the same: a test like this can be run ten thousand times.
//!
//! ## Faults
//!
//! What an application must not do is a few octets more. Whether the server notices that a response was cut short:
//!
//! ```
//! use mio_fcgi::testkit::{Fragments, Script, Scripted, Sim, Wire};
//! use mio_fcgi::{Config, Delivery, Request, Tag};
//!
//! let mut sim = Sim::new(Config::new("127.0.0.1:9000".parse()?), 7)?;
//! let mut wire = Wire::default();
//! wire.reads = Fragments::UpTo(5); // cut where the seed says
//! sim.serve(0, Scripted::new(|_| Script::new().await_stdin().stdout("half of").close()))
//!     .wire(wire);
//! let request = sim.submit(Request::responder(), Tag(1))?;
//! sim.run_to_end();
//! assert_eq!(sim.stdout(request), b"half of");
//! let failure = sim.outcome(request).and_then(|outcome| outcome.as_ref().err());
//! assert_eq!(failure.map(|failure| failure.delivery), Some(Delivery::Responded));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Ends that must be tested
//!
//! * [`Sim::run_to_end`] is false when a request never ends; [`Engine::is_idle`](crate::Engine::is_idle) after a
//!   shutdown is the check against leaks.
//! * [`Sim::trace_hash`] is equal for equal runs: a difference means that something outside has got in.
//! * [`Network::shuffle`] draws the order of what happens at one instant from the seed. Run many seeds.
//! * [`Network::keep_trace`] and [`Network::trace`] tell what happened, line by line.
//!
//! # Limits
//!
//! A virtual connection is neither TCP nor a Unix socket: there are no packets, no Nagle, no lingering close, and a
//! write to a connection that the application has closed fails without an answer. [`Habits`] are those of the versions
//! named there. What the octets cost in real time, only real sockets tell.

mod acting;
mod application;
mod connects;
mod dialogue;
mod exchange;
mod far_side;
mod framing;
mod habits;
mod hearing;
mod link;
mod network;
pub mod records;
mod rng;
mod script;
mod scripted;
mod sim;
mod tally;
mod trace;
mod wire;

pub use application::{Application, Replies};
pub use dialogue::Dialogue;
pub use habits::{
    Abort, AppStatus, Habits, NotKept, OutOfTurn, Outputs, Reads, SecondBegin, SplitPairs, Starts,
    UnknownRole, UnknownType, Values, Versions,
};
pub use link::{Connect, Server};
pub use network::{Network, OnEvent};
pub use records::Records;
pub use rng::Rng;
pub use script::{Received, Script};
pub use scripted::Scripted;
pub use sim::Sim;
pub use tally::Tally;
pub use wire::{Break, End, Fragments, Towards, Wire};
