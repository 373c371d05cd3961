//! Tests against real FastCGI applications, each started for its test on a temporary directory.
//!
//! All of them are ignored by default, since they need programs that a plain checkout does not need: `tests/run`
//! installs those and runs them. A test belongs in the module of its application; `tests/run` counts by module.
#![cfg(unix)]

mod browser;
mod common;
mod crowd;
mod fcgiwrap;
mod flup;
mod go;
mod harness;
#[path = "../proxy/harness.rs"]
mod http;
mod libfcgi;
mod mixed;
mod perl;
#[cfg(feature = "testkit")]
mod personalities;
mod php_fpm;
#[path = "../examples/program.rs"]
mod program;
mod proxy;
mod suites;
mod tools;
mod wiki;
