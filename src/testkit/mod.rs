//! Testing without sockets: scripted applications, a virtual link, a virtual clock (feature `testkit`).
//!
//! ```toml
//! [dev-dependencies]
//! mio-fcgi = { version = "0.1", features = ["testkit"] }
//! ```
//!
//! * [`Sim`] joins an [`Engine`](crate::Engine) with [`Scripted`] applications; time passes only when told to.
//! * [`Behavior`] is what an application does with a request; [`records`] is for what no application should do.
//! * [`Quirks`] make it behave as php-fpm, libfcgi, Go or flup do where they differ.
//! * [`Link`] cuts, delays and fills up; [`Connect`] refuses, hangs, and finds the backlog full.
//! * [`Network`] is the driver alone, for code that gives an engine commands of its own.
//! * [`Dialogue`] speaks to an application in bytes, without a client.
//!
//! The guide's page [`testing`](crate::guide::testing) begins with a server's time limit and says what to take for
//! which fault.
//!
//! # Limits
//!
//! A virtual connection is neither TCP nor a Unix socket: there are no packets, no Nagle, no lingering close, and what
//! was received before a reset came back for a lost write can still be read. A duration of more than a hundred years
//! counts as a hundred years. [`Quirks`] are those of the versions named there. What the bytes cost in real time, only real sockets tell.

// Each file owns the fields of its struct, and calls only files below it. Below `network`, which is called from outside:
// `client_side` (the driver), `application_side`, `medium` (the connections, and what happens when), `link` (both ends of
// one connection). Below `scripted`: `receive` (takes records), `respond` (takes the steps of behaviors), `connections`
// (also has the workers), `exchange` (one request).

mod agenda;
mod application;
mod application_side;
mod behavior;
mod client_side;
mod connections;
mod dialogue;
mod exchange;
mod framing;
mod later;
mod link;
mod medium;
mod network;
mod output;
mod quirks;
mod receive;
pub mod records;
mod respond;
mod rng;
mod scripted;
mod server;
mod sim;
mod tally;
mod trace;
mod virtual_connection;

pub use application::{Application, Replies};
pub use behavior::{Behavior, ReceivedRequest};
pub use client_side::OnEvent;
pub use dialogue::Dialogue;
pub use link::{AfterClose, Break, CloseKind, Fragments, Link, Towards};
pub use network::Network;
pub use quirks::{
    Abort, AppStatus, NotKept, OutOfTurn, Outputs, Quirks, Reads, SecondBegin, SplitPairs, Starts,
    UnknownRole, UnknownType, Values, Versions,
};
pub use records::Records;
pub use rng::Rng;
pub use scripted::Scripted;
pub use server::{Connect, Notice, Server};
pub use sim::Sim;
pub use tally::Tally;
