//! A small FastCGI application: something to point a Web server, a proxy or a load generator at.
//!
//! `cargo run --example responder -- --listen 127.0.0.1:9000`

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::*;
use mio_fcgi::Address;

// Named, so that the files of `app` are found here from wherever it is included.
#[path = "app.rs"]
mod app;

fn main() -> ExitCode {
    env_logger::init();
    let Arguments { listen, options } = match Arguments::parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("responder: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&listen, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("responder: {listen}: {error}");
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

struct Arguments {
    listen: Address,
    options: app::Options,
}

impl Arguments {
    /// Reads the command line; `None` when it asks for help.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut listen = None;
        let mut options = app::Options::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("listen") => listen = Some(parser.value()?.parse()?),
                Long("threads") => options.threads = parser.value()?.parse()?,
                Long("delay") => {
                    options.delay = Duration::from_millis(parser.value()?.parse::<u32>()?.into());
                }
                Long("body") => options.bench_body_len = parser.value()?.parse()?,
                Long("max-connections") => options.max_connections = parser.value()?.parse()?,
                Long("no-multiplex") => options.multiplex = false,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        let Some(listen) = listen else {
            return Err("--listen is missing".into());
        };
        Ok(Some(Self { listen, options }))
    }
}

const USAGE: &str = "\
usage: responder --listen unix:/path|unix:@name|host:port [--threads N] [--delay MS] [--body BYTES]
                 [--max-connections N] [--no-multiplex]

  --listen ADDR    where to listen; port 0 takes a free one, which is printed
  --threads N      event loops, each on a thread of its own (1)
  --delay MS       wait before each answer (0)
  --body BYTES     the length of the constant answer at /bench (16)
  --max-connections N
                   the connections of each loop; further ones are closed (4096)
  --no-multiplex   refuse a second request on a connection while one is open";
