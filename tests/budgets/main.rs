//! What is counted rather than timed: allocations, copies, file descriptors, system calls.
//!
//! Allocations are counted for the thread that makes them. Descriptors belong to the process: the test that counts them
//! starts one of its own, as strace does for system calls. So tests that run beside a test change nothing it counts.
#![cfg(unix)]

mod cgi;
mod client;
#[cfg(target_os = "linux")]
mod descriptors;
mod engine;
#[cfg(target_os = "linux")]
#[path = "../examples/program.rs"]
mod program;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the program as it is, without its main"
)]
#[path = "../../examples/proxy/main.rs"]
mod proxy;
mod proxy_allocations;
mod proxy_copies;
#[cfg(target_os = "linux")]
mod pushed;
#[cfg(target_os = "linux")]
mod syscalls;

use proxy::app;
