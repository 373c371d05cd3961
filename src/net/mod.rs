//! The mio driver: an [`Engine`](crate::Engine) with real sockets.

mod client;
mod read_buf;
mod socket;

pub use client::Client;
pub use read_buf::ReadBuf;
