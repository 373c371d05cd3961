//! A load generator for FastCGI applications: how many requests, how fast, at what cost.
//!
//! `cargo run --release --example load -- --connect unix:/run/php/php8.2-fpm.sock --script /var/www/x.php`
//!
//! With `--raw` it sends the same bytes over plain sockets, without the library. That is the baseline for measuring the
//! library's own cost.

use std::io;
use std::process::ExitCode;

mod answer;
mod arguments;
#[path = "../shared/command_line.rs"]
mod command_line;
mod connect;
mod library;
mod pace;
mod progress;
mod raw;
mod request;
mod summary;
mod tally;
mod usage;

use arguments::Arguments;
use pace::Pace;
use progress::Progress;
use request::Template;
use summary::Summary;
use tally::Tally;

fn main() -> ExitCode {
    env_logger::init();
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => return command_line::report("load", &error),
    };
    let summary = match run(&arguments) {
        Ok(summary) => summary,
        Err(error) => {
            eprintln!("load: {}: {error}", arguments.connect);
            return ExitCode::FAILURE;
        }
    };
    let shown = if arguments.json {
        summary.print_json()
    } else {
        summary.print_text()
    };
    match shown {
        Ok(()) if summary.is_good() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: the figures cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<Summary> {
    let address = connect::choose(&arguments.connect)?;
    let sets = arguments.sets.iter();
    let templates: Vec<_> = sets.map(|set| Template::new(arguments, set)).collect();
    let sharing = connect::sharing(&address, arguments)?;
    let progress = Progress::new(arguments.progress);
    let mut tally = Tally::new(&arguments.sets, arguments.warm_up, progress);
    let pace = Pace::starting_now(arguments);
    let totals = if arguments.raw {
        raw::run(
            &address,
            arguments,
            &templates[0],
            sharing,
            pace,
            &mut tally,
        )?
    } else {
        library::run(&address, arguments, &templates, sharing, pace, &mut tally)?
    };
    let (usage, elapsed) = tally.since_start();
    tally.end_progress();
    if tally.is_failing() {
        eprintln!("load: given up: too many failures in a row");
    }
    if tally.requests == 0 {
        eprintln!("load: no request ended after the warm-up");
    }
    Ok(Summary::new(tally, totals, usage, elapsed))
}
