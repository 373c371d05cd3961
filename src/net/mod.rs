//! The mio driver: an [`Engine`](crate::Engine) with real sockets.
//!
//! Each file owns the fields of its struct, and calls only files that come later in this order: `clients` (several clients
//! in one loop), `client` (the engine and its driver), `driver` (the position in the read buffer), `turns` (carries out what
//! the engine asks for, and reports the results to it), `rounds` (the order of the turns), `sockets` (the table of sockets),
//! `socket` (what a read or a write would find), `system` (registration), `connector` (who makes a socket), `stream` (TCP
//! or Unix). Only `client` owns the engine. It lends the engine for the time of a call. From `driver` to `socket` nothing
//! knows the system: it is a [`Transport`], and the simulation has another.

mod client;
mod clients;
mod connector;
mod driver;
mod read_buf;
mod rounds;
#[cfg(test)]
mod scripted;
mod socket;
mod sockets;
mod stream;
mod system;
mod tokens;
mod transport;
mod turns;

pub use client::Client;
pub use clients::{ClientId, Clients};
#[cfg(feature = "testkit")]
pub(crate) use driver::Driver;
pub use read_buf::ReadBuf;
pub use stream::Stream;
#[cfg(feature = "testkit")]
pub(crate) use transport::{Readiness, Transport};
