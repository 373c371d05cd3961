//! An HTTP/1.1 server that asks FastCGI applications: one event loop per thread, each on one `mio_fcgi::Client`.
//!
//! `cargo run --release --example proxy`, then http://127.0.0.1:8080. All options: `-- --help`.
//!
//! # The way of a request
//! 1. `net::listener` accepts a client; `serve::worker` registers its socket and gives it a turn.
//! 2. In its turn, `serve::connection` reads once from `net::socket`. `http::request_reader` finds the head in the bytes,
//!    `http::head` parses it.
//! 3. `request::start` decides who answers: an application (`site::routes` knows the script), a file (`request::file`),
//!    or the proxy itself (`request::error_page`, `request::status_page`).
//! 4. `request::exchange` holds the request and its response together. `request::upload` hands the body on as far as the
//!    application takes it.
//! 5. Output of the application reaches the worker as events, which it gives to the connections they are for.
//!    `request::response` writes heads and frames bodies for the client; `net::outbox` keeps what that does not take.
//! 6. `log::access_log` gets a line. `Worker::settle` does what follows: the next request, or `serve::teardown`.
//!
//! Calls go down that list, with a `site::context` of what all requests share; values come back. Around the worker,
//! `program` has the command line, a loop with signals, and threads.
//!
//! # Into a server of your own
//! Take all folders but `program`, and `../shared`; neither this file nor `../responder`. Your loop takes the four steps
//! of `program::event_loop`, with a range of tokens that it keeps for the worker. The options are a struct with defaults,
//! of which `listen`, `upstreams` and `status` are for `main` alone, as is `Listener::check`; they can be flattened into a
//! command line of yours. Pages of your own have their place in `request::start`, beside the status page.
//! `tests/proxy/embedded.rs` is such a server.
//!
//! Crates: mio, slab; httparse, memchr (heads); http, itoa, httpdate (answers); socket2 (the listener); tempfile (bodies
//! in chunks); mime_guess, on Unix rustix (files); serde_json (the status page); clap (the options).

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use mio_fcgi::Address;

// Those that are open to the crate are used by tests/proxy and tests/budgets.
mod http;
mod log;
pub(crate) mod net;
pub(crate) mod program;
mod request;
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
