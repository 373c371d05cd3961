//! The mio driver: an [`Engine`](crate::Engine) with real sockets.
//!
//! Each file owns the fields of its struct, and calls only those below it. `client` has the engine and the position in
//! the read buffer; `turns` does what the engine asks for and tells it what became of that; `rounds` knows whose turn
//! it is; `sockets` has the registry and one `socket` for each connection, which knows what a read or a write would
//! find; `stream` is TCP or Unix. The engine knows none of them, so each is lent it for a call.

mod client;
mod read_buf;
mod rounds;
mod socket;
mod sockets;
mod stream;
mod turns;

pub use client::Client;
pub use read_buf::ReadBuf;
