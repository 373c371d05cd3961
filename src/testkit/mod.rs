//! Testing without sockets: scripted applications, a virtual link, a virtual clock (feature `testkit`).
//!
//! ```toml
//! [dev-dependencies]
//! mio-fcgi = { version = "0.1", features = ["testkit"] }
//! ```
//!
//! * [`Sim`] joins an [`Engine`](crate::Engine) with [`Scripted`] applications. Time passes only when the test says so.
//! * [`Network`] does the same for an engine that the test owns, with code that gives the engine commands.
//! * [`Behavior`] is what an application does with a request. [`Records`] are for what no application should send.
//! * [`Quirks`] make an application behave as php-fpm, libfcgi, Go or flup do where they differ.
//! * [`Link`] delays bytes, cuts them into pieces, and ends connections at any byte.
//! * [`Connect`] refuses a connection, lets it hang, or reports that the backlog is full.
//!
//! The guide's page [`testing`](crate::guide::testing) begins with a test of a server's time limit, and has a table of
//! faults and what to use for each.
//!
//! # Limits
//!
//! A virtual connection is neither TCP nor a Unix socket. There are no packets, no Nagle's algorithm and no lingering
//! close, and after a write was lost, bytes that were received before the reset came back can still be read. A duration
//! of more than a hundred years counts as a hundred years. [`Quirks`] are those of the versions named there. Only real
//! sockets show what the bytes cost in real time.

// Each file owns the fields of its struct, and calls only files below it. `network`, which is called from outside, is
// above `client_side` (a driver) and `driver_side` (the client's driver, on the sockets of `kernel`), `manners` (what a
// driver must not do), `application_side`, `medium` (the connections, and what happens when), `virtual_connection` (both
// ends of one connection) and `link` (one direction). `scripted` is above `receive` (takes records), `respond` (takes
// the steps of behaviors), `connections` (also has the workers) and `exchange` (one request).

mod agenda;
mod application;
mod application_side;
mod behavior;
mod client_side;
mod connections;
mod details;
mod dialogue;
mod driver_side;
mod exchange;
mod framing;
#[doc(hidden)]
pub mod internals;
mod kernel;
mod later;
mod link;
mod manners;
mod medium;
mod network;
mod output;
mod quirks;
mod receive;
mod records;
mod respond;
mod results;
mod rng;
mod scripted;
mod server;
mod sim;
mod tally;
mod trace;
mod virtual_connection;

pub use behavior::{Behavior, ReceivedRequest};
pub use link::{Fragments, Link};
pub use network::Network;
pub use quirks::Quirks;
pub use records::Records;
pub use scripted::Scripted;
pub use server::{Connect, Server};
pub use sim::Sim;
