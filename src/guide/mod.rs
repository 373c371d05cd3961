//! The guide: how to use this library well, and what the applications at the other end really do.
//!
//! It has no code of its own. Every snippet is compiled and run.
//!
//! - [`embedding`]: the client in your own event loop, step by step.
//! - [`http_server`]: an HTTP/1 server, from a client's bytes to the application and back.
//! - [`php_fpm`]: choosing limits for php-fpm, where a connection is a process.
//! - [`multiplexing`]: several requests on one connection: when it pays, and when it breaks requests.
//! - [`servers`]: several servers, and names that move: shares, backups, maintenance, one request for each, health.
//! - [`failure`]: what each error means, what a proxy answers, whether to send the request again.
//! - [`back_pressure`]: slow readers, slow writers, and how much memory they may cost.
//! - [`http_types`]: from and to the requests and responses of the crate `http`.
//! - [`sockets`]: sockets that you make: a source address, a socket pair, a descriptor of another process, TLS.
//! - [`without_mio`]: driving an [`Engine`](crate::Engine) yourself: on tokio, on `io_uring`, without any socket.
#![cfg_attr(
    feature = "testkit",
    doc = "- [`testing`]: testing your server without sockets and without waiting."
)]
#![cfg_attr(
    not(feature = "testkit"),
    doc = "- `testing` (with the feature `testkit`): testing your server without sockets and without waiting."
)]
//!
//! What these pages say about applications was observed with php-fpm 8.2, libfcgi 2.4 (and with it Perl's FCGI and
//! fcgiwrap), Go's `net/http/fcgi` and Python's flup 1.0. Other versions may differ.

pub mod back_pressure;
pub mod embedding;
pub mod failure;
pub mod http_server;
pub mod http_types;
pub mod multiplexing;
pub mod php_fpm;
pub mod servers;
pub mod sockets;
#[cfg(feature = "testkit")]
pub mod testing;
pub mod without_mio;
