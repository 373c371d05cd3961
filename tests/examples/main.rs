//! The examples as a user runs them: processes with a command line, an exit status and two outputs. The example
//! `responder` is also tested over FastCGI. The example `proxy` has a folder of its own.
#![cfg(unix)]

#[path = "../../examples/responder/app.rs"]
mod app;
mod drivers;
mod get;
mod load;
#[path = "../net/peer.rs"]
mod peer;
mod probe;
mod program;
mod readme;
mod resolve;
mod responder;
mod servers;
mod terminal;
mod waiting;
#[path = "../../examples/shared/watch.rs"]
mod watch;
