//! A small FastCGI application, for testing Web servers, proxies and load generators.
//!
//! `cargo run --example responder -- --listen 127.0.0.1:9000`

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mio_fcgi::Address;

// With a path, so that the modules of `app` are found in this folder wherever `app` is included.
#[path = "app.rs"]
mod app;
#[path = "../shared/command_line.rs"]
mod command_line;

fn main() -> ExitCode {
    env_logger::init();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return command_line::report("responder", &error),
    };
    match run(&arguments.listen, &arguments.options()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("responder: {}: {error}", arguments.listen);
            ExitCode::FAILURE
        }
    }
}

fn run(listen: &Address, options: &app::Options) -> io::Result<()> {
    let listener = app::Listener::bind(listen)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {}", listener.address())?;
    stdout.flush()?;
    drop(stdout);
    app::serve(listener, options, &app::Control::default())
}

/// A small FastCGI application.
#[derive(Debug, Parser)]
#[command(name = "responder", args_override_self = true, max_term_width = 100)]
struct Arguments {
    /// address to listen at: unix:/path, unix:@name or host:port; port 0 picks a free port, which is printed
    #[arg(long, value_name = "ADDR")]
    listen: Address,
    /// event loops, each on a thread of its own (1)
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// delay before each response, in milliseconds (0)
    #[arg(long, value_name = "MS")]
    delay: Option<u32>,
    /// length of the response body of /bench, in bytes (16)
    #[arg(long, value_name = "BYTES")]
    body: Option<usize>,
    /// most connections of each loop; further ones are closed (4096)
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// reject a second request on a connection while one is open
    #[arg(long)]
    no_multiplex: bool,
}

impl Arguments {
    fn options(&self) -> app::Options {
        let mut options = app::Options::default();
        options.threads = self.threads.unwrap_or(options.threads);
        options.bench_body_len = self.body.unwrap_or(options.bench_body_len);
        options.max_connections = self.max_connections.unwrap_or(options.max_connections);
        options.delay = Duration::from_millis(self.delay.unwrap_or(0).into());
        options.multiplex = !self.no_multiplex;
        options
    }
}
