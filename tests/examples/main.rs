//! The examples as a person has them: processes with a command line, an exit status and two outputs.
#![cfg(unix)]

mod get;
#[path = "../net/peer.rs"]
mod peer;
mod program;
mod readme;
mod servers;
mod terminal;
mod waiting;
