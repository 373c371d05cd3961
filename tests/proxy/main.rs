//! Tests the proxy as a process over raw sockets. Its application is the demo application, or one scripted by the test.
//! `chaos` and `embedded` run its worker in an event loop of their own.

mod application;
mod attacks;
#[cfg(unix)]
mod budget;
#[cfg(unix)]
mod chaos;
#[cfg(unix)]
mod claims;
#[cfg(unix)]
mod embedded;
#[cfg(unix)]
mod endings;
mod endless;
mod failures;
#[cfg(unix)]
mod file_queue;
mod files;
mod flow;
mod forms;
#[cfg(unix)]
mod front;
mod harness;
mod idle;
mod limits;
#[cfg(target_os = "linux")]
mod listen;
#[cfg(unix)]
mod log;
#[cfg(unix)]
mod log_limits;
#[cfg(unix)]
mod lookups;
mod mounts;
mod noise;
#[cfg(unix)]
mod open_files;
mod openmetrics;
mod options;
mod others;
mod params;
mod peers;
#[cfg(unix)]
mod permissions;
#[cfg(target_os = "linux")]
mod process;
#[path = "../examples/program.rs"]
mod program;
#[cfg(unix)]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the program as it is, without its main"
)]
#[path = "../../examples/proxy/main.rs"]
mod proxy;
mod proxy_protocol;
#[cfg(unix)]
mod random;
#[cfg(unix)]
mod rates;
mod redirects;
mod roots;
#[cfg(unix)]
mod sent_files;
mod sharing;
mod site;
mod slow_readers;
#[cfg(unix)]
mod slow_uploads;
mod status;
mod stop;
#[cfg(unix)]
mod swaps;
mod table;
mod terminator;
mod trace;
#[cfg(unix)]
mod turns;
mod uploads;
mod witness;
