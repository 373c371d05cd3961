//! An HTTP/1.1 server that asks FastCGI applications: one event loop per thread, each on one `mio_fcgi::Client`.
//!
//! `cargo run --release --example proxy`, then http://127.0.0.1:8080. All options: `-- --help`.
//!
//! - `worker`: the loop, the order of a turn. `listener`, `signals`, `timers`, `clock`: what it waits for. `room`,
//!   `descriptors`: how many clients there can be, and who goes when there are more.
//! - `connection`: a client, and how far its request is. `intake`, `head`: reads requests. `start`, `routes`, `files`: what
//!   they ask for. `upload`, `chunked`, `spool`: their bodies.
//! - `relay`, `respond`, `outbox`: the way back. `back_pressure`: its rule, in both directions. `answer`, `status`, `board`:
//!   what the proxy says itself. `ending`, `stop`: how things end.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio_fcgi::{Address, Config, Params, cgi};

// Those that tests/proxy_alloc.rs runs in a process of its own are open to it.
mod access_log;
mod answer;
mod arguments;
mod back_pressure;
pub(crate) mod board;
mod chunked;
mod clock;
mod connection;
mod descriptors;
mod ending;
mod files;
mod head;
mod intake;
mod listener;
pub(crate) mod options;
mod outbox;
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
pub(crate) mod worker;

#[path = "../responder/app.rs"]
pub(crate) mod app;

use arguments::USAGE;
use board::Board;
use options::Options;
use worker::Worker;

fn main() -> ExitCode {
    env_logger::init();
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
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
    let constants = constants(&options).into_shared();
    let options = Arc::new(options);
    let board = Arc::new(Board::new(options.status, options.threads));
    let mut workers = Vec::new();
    let mut address = options.listen;
    for index in 0..options.threads {
        let config = config(&options, servers.clone(), index);
        let mut worker = Worker::new(index, &options, &board, config, &constants)?;
        // The first one takes the free port that was perhaps asked for.
        address = worker.listen(address).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"))
        })?;
        workers.push(worker);
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()?;
    drop(stdout);
    thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(move || worker.run()))
            .collect();
        let mut result = Ok(());
        for thread in threads {
            match thread.join() {
                Ok(ended) => result = result.and(ended),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result
    })
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

/// What all requests tell the application.
pub(crate) fn constants(options: &Options) -> Params {
    match &options.root {
        Some(root) => cgi::site_params(root.as_os_str().as_encoded_bytes()),
        None => cgi::site_params(""),
    }
}

/// One loop's part of the FastCGI connections.
pub(crate) fn config(options: &Options, servers: Vec<Address>, index: usize) -> Config {
    let share =
        |whole: usize| whole / options.threads + usize::from(index < whole % options.threads);
    let mut config = Config::with_servers(servers);
    config.multiplex = options.multiplex;
    config.connect_timeout = options.connect_timeout;
    // An application that restarts is back within this, as a rule.
    config.connect_patience = Duration::from_secs(2);
    // A php-fpm that is stopped takes a request with it up to three times: with the child that has it, with another that
    // is about to end too, and with its listener's queue. Only what may run twice is sent again.
    config.max_retries = 4;
    config.limits.max_connections = share(options.max_connections);
    let max_idle = options
        .max_idle
        .unwrap_or_else(|| options.max_connections.min(4));
    config.limits.max_idle = share(max_idle);
    config.limits.idle_timeout = options.idle_timeout;
    // Requests for which a connection is being opened are in the queue too, so a shorter one would refuse the first.
    config.limits.max_queue = share(options.queue).max(config.limits.max_connections);
    // Where requests share a connection, a browser that is slow to take a page does not hold up the others: most pages
    // are shorter than this.
    config.stall.per_request = 1024 * 1024;
    config.stall.per_connection = 8 * 1024 * 1024;
    config.timeouts.write = Some(options.write_timeout);
    config.timeouts.first_octet = Some(options.read_timeout);
    config.timeouts.silence = Some(options.read_timeout);
    config.timeouts.total = options.request_timeout;
    config
}
