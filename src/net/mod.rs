//! The mio driver: an [`Engine`](crate::Engine) with real sockets.

mod client;
mod read_buf;
mod socket;
mod turns;

pub use client::Client;
pub use read_buf::ReadBuf;
