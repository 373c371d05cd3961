//! The guide: how to use this library well, and what the programs at the other end really do.
//!
//! It has no code of its own. Every snippet is compiled and run.
//!
//! - [`embedding`]: the client in your event loop, step by step, and what may not be assumed.
//! - [`php_fpm`]: choosing limits for php-fpm, where a connection is a process.
//! - [`multiplexing`]: several requests on one connection, when it pays and when it breaks things.
//! - [`failure`]: what each error means, what a proxy answers, whether to send again.
//! - [`back_pressure`]: slow readers, slow writers, and what they may cost.
//! - [`http_types`]: from and to the requests and responses of the crate `http`.
//! - [`without_mio`]: driving an [`Engine`](crate::Engine) yourself, here without any socket.
#![cfg_attr(
    feature = "testkit",
    doc = "- [`testing`]: testing your server, without sockets and in no time."
)]
#![cfg_attr(
    not(feature = "testkit"),
    doc = "- `testing`, there with the feature `testkit`: testing your server, without sockets and in no time."
)]
//!
//! What is said of applications was seen with php-fpm 8.2, libfcgi 2.4 (with it Perl's FCGI and fcgiwrap), Go's
//! `net/http/fcgi` and Python's flup 1.0. Other versions may differ.

pub mod back_pressure;
pub mod embedding;
pub mod failure;
pub mod http_types;
pub mod multiplexing;
pub mod php_fpm;
#[cfg(feature = "testkit")]
pub mod testing;
pub mod without_mio;
