//! An HTTP/1.1 server in front of FastCGI applications: one event loop per thread, each with its own
//! `mio_fcgi::Clients`.
//!
//! `cargo run --release --example proxy`, then http://127.0.0.1:8080. All options: `-- --help`.
//!
//! # The way of a request
//! 1. `net::listener` accepts a client. `serve::entrance` decides whether it is served. `serve::worker` registers the
//!    socket and schedules its first turn. Where the PROXY protocol is used, `serve::preamble` takes its header.
//! 2. In each turn, `serve::connection` reads once from `net::socket`. `http::request_reader` finds the head in the
//!    bytes, `http::head` parses it. `request::origin` finds out where it comes from.
//! 3. `request::start` decides who answers: an application or a file (`site::routes` finds the part of the site, and
//!    `site::place` what the path is there; `request::file` sends files), or the proxy itself (`request::error_page`,
//!    `request::status_page`).
//! 4. `request::exchange` holds a request and its response. `request::upload` collects the body in a `net::spool`, or
//!    passes it on as fast as the application takes it; a `cgi::RequestBody` finds it in the bytes.
//! 5. Output of the application reaches the worker as events. The worker passes each event to its connection.
//!    `request::response` passes it on through a `cgi::Reply`; `net::outbox` keeps what the client does not take, and
//!    `net::spill` puts more of it into a file. If it names another path of the site or a file (`request::elsewhere`), the
//!    connection starts the request again with that.
//! 6. `request::trace` has the request's ID, for the log and for `status`. `log::access_log` writes a line.
//!    `Worker::settle` then starts the next request or `serve::teardown`.
//!
//! Calls go down that list, values come back up. What all requests share is passed along as `site::context`. The figures
//! of all loops meet in `site::metrics`; `status` counts them and shows them. Around the worker, `program` has the
//! command line, the sockets to listen at, an event loop with signals, and threads.
//!
//! # Into a server of your own
//! Take all folders but `program`, and `../shared`; neither this file nor `../responder`. Your event loop takes the
//! four steps of `program::event_loop` and reserves a range of tokens for the worker. The options are a struct with
//! defaults, and they can be flattened into a command line of yours. Only `main` uses `listen`, `status`, `user`,
//! `resolve` and `Listener::check`: hand your listeners to `Worker::listen`. `Worker::set_servers` takes new addresses of
//! an application. Add pages of your own to `request::start`, beside the status page. `tests/proxy/embedded.rs` is such a
//! server.
//!
//! Crates: mio, slab; httparse, memchr (heads); ahash (paths that are known); itoa, httpdate (answers); socket2 (listeners);
//! ipnet (who is trusted, who may ask); tempfile (bodies, responses to slow clients); mime_guess, on Unix rustix (files);
//! serde_json (the status pages); clap (the options).

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use mio_fcgi::Address;

// The modules that are `pub(crate)` are used by tests/proxy and tests/budgets.
pub(crate) mod http;
mod log;
pub(crate) mod net;
pub(crate) mod program;
mod request;
pub(crate) mod serve;
pub(crate) mod site;
mod status;

#[path = "../responder/app.rs"]
pub(crate) mod app;
#[path = "../shared/command_line.rs"]
mod command_line;
#[path = "../shared/watch.rs"]
mod watch;

use program::event_loop::EventLoop;
use program::listeners::Listeners;
use program::threads::Loops;
use program::upstreams::{Lookups, Upstreams};
#[cfg(target_os = "linux")]
use program::user;
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
    let upstreams = Upstreams::new(&options, Address::resolve)?;
    let mut servers = upstreams.servers();
    arguments::lower(&mut options);
    descriptors::fit(&mut options, &servers).map_err(io::Error::other)?;
    // The demo application lives as long as the loops do.
    let mut demo = None;
    for list in servers.iter_mut().filter(|list| list.is_empty()) {
        let demo = demo.insert(app::spawn(app::Options::default())?);
        list.push(demo.address().clone());
    }
    let mut listeners = Listeners::open(&options)?;
    #[cfg(target_os = "linux")]
    match &options.user {
        Some(name) => user::become_user(name)?,
        None => user::warn_if_root(),
    }
    let options = Arc::new(options);
    let metrics = Arc::new(Metrics::new(options.status, options.threads));
    let (mut loops, mut outlets) = (Vec::new(), Vec::new());
    let mut lines = String::new();
    for (index, of_loop) in listeners.take().into_iter().enumerate() {
        let configs = servers.iter();
        let configs = configs.map(|list| fastcgi::config(&options, list.clone(), index));
        let mut event_loop = EventLoop::new(index, &options, &metrics, configs.collect())?;
        for listener in of_loop {
            if index == 0 {
                lines += &format!("listening on http://{listener}\n");
            }
            event_loop.listen(listener)?;
        }
        outlets.push(event_loop.outlet()?);
        loops.push(event_loop);
    }
    let lookups = Arc::new(Lookups::start(
        upstreams,
        options.resolve,
        outlets,
        Address::resolve,
    )?);
    for event_loop in &mut loops {
        event_loop.set_lookups(&lookups);
    }
    // If the system has no thread left, the process ends, and with it the loops already started.
    let loops = Loops::start(loops.into_iter().map(|one| move || one.run()))?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(lines.as_bytes())?;
    stdout.flush()?;
    drop(stdout);
    loops.wait()
}
