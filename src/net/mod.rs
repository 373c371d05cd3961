//! The mio driver: an [`Engine`](crate::Engine) with real sockets.
//!
//! Each file owns the fields of its struct, and calls only files below it: `client` (the engine, and the position in the
//! read buffer), `turns` (does what the engine asks for, and tells it what became of that), `rounds` (whose turn it is),
//! `sockets` (the registry and the table of sockets), `socket` (what a read or a write would find), `stream` (TCP or
//! Unix). Only `client` has the engine; it lends it for a call.

mod client;
mod read_buf;
mod rounds;
mod socket;
mod sockets;
mod stream;
mod turns;

pub use client::Client;
pub use read_buf::ReadBuf;
