//! An HTTP/1.1 server that asks FastCGI applications: one event loop per thread, each on one `mio_fcgi::Client`.
//!
//! `cargo run --release --example proxy`, then http://127.0.0.1:8080. All options: `-- --help`.
//!
//! The way of a request:
//! - `net`: a listener takes the client in; its bytes are read into a buffer, by readiness and by turns.
//! - `http`: the head is found in these bytes and parsed; a body in chunks is decoded.
//! - `request`: `start` decides who answers: an application, a file, the proxy itself. The body goes up as far as the
//!   application takes it, the response comes down as far as the client takes it.
//! - `log`: a line for each request, written by a thread of its own.
//!
//! `serve` holds it together: the worker, its clients, the order of a turn. `site` has what all requests share: options,
//! routes, figures. `program` is around the worker: the command line, a loop with signals, threads.
//!
//! # Into a server of your own
//! Take all folders but `program`, and `../shared`; neither this file nor `../responder`. Your loop takes the four steps
//! of `program::event_loop`, with a range of tokens that it keeps for the worker. The options are a struct with defaults,
//! of which `listen`, `upstreams` and `status` are for `main` alone, as is `Listener::check`; they can be flattened into a
//! command line of yours.
//! `tests/proxy/guest.rs` is such a server. Pages of your own have their place in `request::start`, where the status page
//! has its.
//!
//! Crates: mio, slab; httparse, memchr (heads); http, itoa, httpdate (answers); socket2 (the listener); tempfile (bodies
//! in chunks); mime_guess, on Unix rustix (files); serde_json (the status page); clap (the options).

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use mio_fcgi::Address;

mod http;
mod log;
pub(crate) mod net;
mod request;
// What tests/proxy and tests/budgets use is open to them.
pub(crate) mod program;
pub(crate) mod serve;
pub(crate) mod site;

#[path = "../responder/app.rs"]
pub(crate) mod app;
#[path = "../shared/command_line.rs"]
mod command_line;

use net::listener::Listener;
use program::event_loop::EventLoop;
use program::threads::Loops;
use program::{arguments, descriptors};
use site::fastcgi;
use site::metrics::Metrics;
use site::options::Options;

fn main() -> ExitCode {
    env_logger::init();
    let options = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => return command_line::report("proxy", &error),
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> io::Result<()> {
    options.upstreams = resolved(&options.upstreams)?;
    descriptors::fit(&mut options).map_err(io::Error::other)?;
    // Lives as long as the loops do.
    let demo = match options.upstreams[..] {
        [] => Some(app::spawn(app::Options::default())?),
        _ => None,
    };
    let servers = match &demo {
        Some(demo) => vec![demo.address().clone()],
        None => options.upstreams.clone(),
    };
    let options = Arc::new(options);
    let metrics = Arc::new(Metrics::new(options.status, options.threads));
    let mut loops = Vec::new();
    let cannot_listen = |address: SocketAddr| {
        move |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"))
        }
    };
    let mut address = options.listen;
    if options.threads > 1 {
        // Sharing the port among threads would share it with another proxy too.
        Listener::check(address).map_err(cannot_listen(address))?;
    }
    for index in 0..options.threads {
        let config = fastcgi::config(&options, servers.clone(), index);
        let mut event_loop = EventLoop::new(index, &options, &metrics, config)?;
        // The first one takes the free port that was perhaps asked for.
        address = event_loop.listen(address).map_err(cannot_listen(address))?;
        loops.push(event_loop);
    }
    // Where the system has no thread left, the process ends, and with it those that run already.
    let loops = Loops::start(loops.into_iter().map(|one| move || one.run()))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()?;
    drop(stdout);
    loops.wait()
}

/// The addresses that names stand for, once for all loops: each is a server with connections of its own.
fn resolved(upstreams: &[Address]) -> io::Result<Vec<Address>> {
    let mut all = Vec::new();
    for upstream in upstreams {
        let found = upstream.resolve().map_err(|error| {
            io::Error::new(error.kind(), format!("--upstream {upstream}: {error}"))
        })?;
        all.extend(found);
    }
    Ok(all)
}
