//! The proxy as a process, spoken to over raw sockets; the application behind it is the demo one, or a scripted one.

mod application;
mod attacks;
mod failures;
mod files;
mod flow;
mod harness;
mod limits;
#[cfg(unix)]
mod log;
mod noise;
mod options;
mod params;
#[path = "../examples/program.rs"]
mod program;
mod stop;
mod table;
mod uploads;
