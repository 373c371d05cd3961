//! An HTTP/1.1 server that asks FastCGI applications: one event loop per thread, each on one `mio_fcgi::Client`.
//!
//! `cargo run --release --example proxy`, then http://127.0.0.1:8080. All options: `-- --help`.
//!
//! - `worker`: what a loop serves, the order of a turn; a guest in the loop. `event_loop`, `signals`: a loop for it.
//!   `loops`: their threads. `listener`, `timers`, `clock`: what it waits for. `room`: how many clients there can be, who goes
//!   when there are more.
//! - `connection`: a client, and how far its request is. `intake`, `head`: read requests. `start`, `routes`, `files`,
//!   `version`: what they ask for. `upload`, `chunked`, `spool`: their bodies. `fastcgi`: how the applications are asked.
//! - `relay`, `respond`, `outbox`: the way back. `back_pressure`: its rule, in both directions. `answer`: what the proxy says
//!   itself. `ending`, `stop`: how things end.
//! - `options`, `arguments`, `descriptors`: what can be set, how, and within which limits of the system. `access_log`,
//!   `log_writer`, `board`, `status`: what is told of it all. `spares`: memory that is used again.
//!
//! # Into a server of your own
//! Take all files but `main`, `arguments`, `descriptors`, `event_loop`, `loops`, `signals` and `../responder`. Your loop
//! takes the four steps of `event_loop`, with a range of tokens that it keeps for the worker; the options are a plain struct
//! with defaults, of which `listen`, `upstreams` and `status` are for `main` alone, as is `Listener::check`.
//! `tests/proxy/guest.rs` is such a server. Pages of your own have their place in `start`, where the status page has its.
//!
//! Crates: mio, slab; httparse, memchr (heads); http, itoa, httpdate (answers); socket2 (the listener); tempfile (bodies
//! in chunks); mime_guess, on Unix rustix (files); serde_json (the status page).

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use mio_fcgi::Address;

// Those that tests/proxy/chaos.rs, tests/proxy/guest.rs and tests/budgets use are open to them.
mod access_log;
mod answer;
pub(crate) mod arguments;
mod back_pressure;
pub(crate) mod board;
mod chunked;
mod clock;
mod connection;
mod descriptors;
mod ending;
pub(crate) mod event_loop;
pub(crate) mod fastcgi;
mod files;
mod head;
mod intake;
mod listener;
mod log_writer;
pub(crate) mod loops;
pub(crate) mod options;
pub(crate) mod outbox;
mod relay;
mod respond;
mod room;
mod routes;
mod signals;
mod spares;
mod spool;
mod start;
mod status;
mod stop;
mod timers;
mod upload;
mod version;
pub(crate) mod worker;

#[path = "../responder/app.rs"]
pub(crate) mod app;

use arguments::{CommandLine, USAGE};
use board::Board;
use event_loop::EventLoop;
use listener::Listener;
use loops::Loops;
use options::Options;

fn main() -> ExitCode {
    env_logger::init();
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(CommandLine::Serve(options)) => *options,
        Ok(CommandLine::Help) => return say(USAGE),
        Ok(CommandLine::Version) => return say(VERSION),
        Err(error) => {
            eprintln!("proxy: {error} (see --help)");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> ExitCode {
    // Whoever does not read on has read enough.
    let _ = writeln!(io::stdout(), "{text}");
    ExitCode::SUCCESS
}

const VERSION: &str = concat!("proxy ", env!("CARGO_PKG_VERSION"));

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
    let board = Arc::new(Board::new(options.status, options.threads));
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
        let mut event_loop = EventLoop::new(index, &options, &board, config)?;
        // The first one takes the free port that was perhaps asked for.
        address = event_loop
            .worker
            .listen(address)
            .map_err(cannot_listen(address))?;
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
