//! Sends one request to a FastCGI application, as curl does for HTTP.
//!
//! `cargo run --example get` sends it to a demo application that is part of this program;
//! `cargo run --example get -- --help` lists the options.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::blocking::Call;
use mio_fcgi::{
    Address, Client, Config, EventKind, Multiplex, ReadBuf, Request, ServerValues, Tag, Timeouts,
    UnknownLength,
};

use answer::Answer;
use arguments::Arguments;
use failure::{Failure, Status};
use shown::Output;

mod answer;
#[path = "../responder/app.rs"]
mod app;
mod arguments;
#[path = "../shared/command_line.rs"]
mod command_line;
mod failure;
mod script;
mod shown;

fn main() -> ExitCode {
    env_logger::init();
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            let line = format!("{} (see --help)", command_line::line_of(&error));
            return Failure::new(Status::Usage, line).report();
        }
        Err(help) => {
            return match write!(io::stdout(), "{}", help.render()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => Failure::stdout(&error).report(),
            };
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(address) = &arguments.connect {
        return ask(address, arguments).map_err(|failure| failure.of(address));
    }
    let demo = app::spawn(app::Options::default())
        .map_err(|error| Failure::new(Status::Here, format!("the demo application: {error}")))?;
    ask(demo.address(), arguments).map_err(|failure| failure.of("the demo application"))
}

fn ask(address: &Address, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.values {
        return ask_for_values(address, arguments);
    }
    let here = |error: io::Error| Failure::new(Status::Here, error);
    let began = Instant::now();
    let servers = address
        .resolve()
        .map_err(|error| Failure::new(Status::Resolve, error))?;
    let mut poll = Poll::new().map_err(here)?;
    // One connection at a time, to one of the servers: one token per server.
    let tokens = Token(0)..Token(servers.len());
    let config = configure(servers, arguments, began.elapsed());
    let mut client = Client::new(poll.registry(), tokens, config).map_err(here)?;

    let mut request = Request::responder();
    arguments
        .write_params(&mut request.params)
        .map_err(|error| Failure::new(Status::Usage, error))?;
    request.body = arguments
        .open_body()
        .map_err(|error| Failure::new(Status::Data, error))?;
    let submitted = client.submit(Instant::now(), request, Tag(0));
    submitted.map_err(|refused| Failure::submit(&refused.error))?;

    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let out = Output::new(BufWriter::new(stdout.lock()), is_terminal);
    let mut answer = Answer::new(arguments, out);
    let mut events = Events::with_capacity(8);
    let mut buf = ReadBuf::default();
    loop {
        let waited = client.wait(Instant::now(), &mut poll, &mut events);
        waited.map_err(here)?;
        let now = Instant::now();
        for event in &events {
            client.handle_event(event);
        }
        client.handle_timeout(now);
        while let Some(event) = client.poll_event(now, &mut buf) {
            match event.kind {
                EventKind::Stdout(data) => answer.stdout(data)?,
                EventKind::Stderr(data) => answer.stderr(data),
                EventKind::StdoutEnd => answer.stdout_end(),
                EventKind::End(outcome) => return answer.finish(&outcome),
                // There is no pushed body, and the client is not shut down.
                _ => {}
            }
        }
        answer.flush()?;
    }
}

/// The configuration for a single request: one connection, which ends with the request. The default time limits stay in
/// place, for a server that accepts bytes and never answers, such as an HTTP server.
fn configure(servers: Vec<Address>, arguments: &Arguments, spent: Duration) -> Config {
    let mut config = Config::from_servers(servers);
    config.limits.max_connections_per_server = 1;
    config.keep_connections = false;
    config.multiplex = Multiplex::Off;
    config.unknown_length = UnknownLength::Buffer {
        limit: 64 * 1024 * 1024,
    };
    config.connect_retry_timeout = arguments.connect_retry();
    // The request is queued only until its connection is established, and connecting has time limits of its own.
    config.timeouts.queue = None;
    if let Some(timeout) = arguments.timeout {
        let left = timeout.saturating_sub(spent);
        config.timeouts = Timeouts::NONE.with_total(left);
        config.connect_timeout = left;
    }
    config
}

fn ask_for_values(address: &Address, arguments: &Arguments) -> Result<(), Failure> {
    let limit = arguments.timeout.unwrap_or_else(|| {
        let default = Duration::from_secs(10);
        default.saturating_add(arguments.connect_retry())
    });
    let call = Call::new(address, limit).with_connect_retry_timeout(arguments.connect_retry());
    show_values(call.get_values().map_err(|error| Failure::call(&error))?)
}

fn show_values(values: ServerValues) -> Result<(), Failure> {
    let multiplexes = values.multiplexes.map(u32::from);
    let named = [
        ("FCGI_MAX_CONNS", values.max_conns),
        ("FCGI_MAX_REQS", values.max_reqs),
        ("FCGI_MPXS_CONNS", multiplexes),
    ];
    let mut stdout = io::stdout();
    for (name, value) in named {
        if let Some(value) = value {
            let written = writeln!(stdout, "{name}={value}");
            written.map_err(|error| Failure::stdout(&error))?;
        }
    }
    Ok(())
}
