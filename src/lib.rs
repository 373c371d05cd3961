//! A FastCGI client for programs that own their mio event loop.

pub mod wire;
