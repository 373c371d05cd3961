//! The command line.

use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};
use mio_fcgi::Address;

use crate::command_line::{number, pair, seconds};

/// What to do, as the command line says.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) connect: Address,
    pub(crate) conns: usize,
    pub(crate) inflight: usize,
    pub(crate) end: End,
    /// Requests per second; `None`: each as soon as a former one has ended.
    pub(crate) rate: Option<f64>,
    /// What is asked for, in turns; at least one.
    pub(crate) sets: Vec<Set>,
    /// Bytes of the request body.
    pub(crate) stdin_len: usize,
    pub(crate) body_expected: Option<u64>,
    pub(crate) multiplex: Multiplex,
    pub(crate) timeout: Duration,
    pub(crate) raw: bool,
    pub(crate) json: bool,
    pub(crate) progress: bool,
}

/// A script and its parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    pub(crate) script: Option<String>,
    pub(crate) params: Vec<(String, String)>,
}

/// When no further request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Requests(u64),
    After(Duration),
}

/// Whether requests share connections where there are more in flight than connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Multiplex {
    // When the application says that it can.
    Auto,
    On,
    Off,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it; help is an error, too.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let matches = Given::command().try_get_matches()?;
        let given = Given::from_arg_matches(&matches)?;
        if given.raw && given.scripts.len() > 1 {
            let why = "--raw sends the same bytes again and again: one --script";
            return Err(Given::command().error(ErrorKind::ArgumentConflict, why));
        }
        Ok(given.complete(&matches))
    }
}

/// What was given, before defaults.
#[derive(Debug, Parser)]
#[command(
    name = "load",
    about = "Sends requests to a FastCGI application, and measures how fast it answers.",
    after_help = AFTER,
    args_override_self = true,
    allow_negative_numbers = true,
    max_term_width = 100,
    disable_help_flag = true
)]
struct Given {
    /// the application: unix:/path, unix:@name or host:port
    #[arg(long, value_name = "ADDR", help_heading = SENT)]
    connect: Address,
    /// the script to run, as SCRIPT_FILENAME; without it /bench is asked for, which the example application `responder`
    /// answers; several are asked for in turns, and each has figures of its own
    #[arg(long = "script", value_name = "PATH", help_heading = SENT)]
    scripts: Vec<String>,
    /// a parameter, in the place of the default one of that name: of the script before it, or of all where none is
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair, help_heading = SENT)]
    params: Vec<(String, String)>,
    /// POST a body of so many bytes
    #[arg(long = "stdin", value_name = "BYTES", default_value_t = 0, help_heading = SENT)]
    stdin_len: usize,

    /// connections [default: 1]
    #[arg(long, value_name = "K", value_parser = number(1, 65_536_usize), help_heading = MUCH)]
    conns: Option<usize>,
    /// requests in flight, over all connections [default: as many as connections]
    #[arg(long, value_name = "M", value_parser = number(1, 1_048_576_usize), help_heading = MUCH)]
    inflight: Option<usize>,
    /// stop after N requests
    #[arg(long, value_name = "N", conflicts_with = "duration", help_heading = MUCH)]
    requests: Option<u64>,
    /// send none after S seconds [default: 10]
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = MUCH)]
    duration: Option<Duration>,
    /// R requests per second, whatever the application does; latencies then count from when each was due, so a stall
    /// shows in all that it held up; sent to the millisecond
    #[arg(long, value_name = "R", value_parser = rate, help_heading = MUCH)]
    rate: Option<f64>,
    /// share connections where M is above K: auto asks the application first
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Multiplex::Auto, help_heading = MUCH)]
    multiplex: Multiplex,
    /// the longest that a request may take, in seconds
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "30", help_heading = MUCH)]
    timeout: Duration,

    /// each response body has to have B bytes
    #[arg(long, value_name = "B", help_heading = SHOWN)]
    body_expected: Option<u64>,
    /// send the same bytes over bare sockets, without the library; responses must all have one length and come in the
    /// order of the requests
    #[arg(long, help_heading = SHOWN)]
    raw: bool,
    /// one line of JSON on standard output
    #[arg(long, help_heading = SHOWN)]
    json: bool,
    /// a line each second on standard error, also when that is no terminal
    #[arg(long, help_heading = SHOWN)]
    progress: bool,
    /// this text
    #[arg(short, long, action = ArgAction::Help, help_heading = SHOWN)]
    help: Option<bool>,
}

const SENT: &str = "What is sent";
const MUCH: &str = "How much";
const SHOWN: &str = "What is checked and shown";

const AFTER: &str = "\
The exit status is 0 when there was a response and no error, else 1, and 2 for a wrong command line.
Errors are responses with a status of 400 or more too.";

impl Given {
    fn complete(self, matches: &ArgMatches) -> Arguments {
        let end = match (self.requests, self.duration) {
            (Some(requests), _) => End::Requests(requests),
            (None, duration) => End::After(duration.unwrap_or(DEFAULT_DURATION)),
        };
        let inflight = self.inflight.or(self.conns).unwrap_or(1);
        Arguments {
            connect: self.connect,
            // A connection that never has a request would only hold a worker.
            conns: self.conns.unwrap_or(1).min(inflight),
            inflight,
            end,
            rate: self.rate,
            sets: sets(matches, self.scripts, self.params),
            stdin_len: self.stdin_len,
            body_expected: self.body_expected,
            multiplex: self.multiplex,
            timeout: self.timeout,
            raw: self.raw,
            json: self.json,
            progress: self.progress,
        }
    }
}

/// A set for each script, with the parameters after it and those before the first script.
fn sets(matches: &ArgMatches, scripts: Vec<String>, params: Vec<(String, String)>) -> Vec<Set> {
    let places = |name| matches.indices_of(name).into_iter().flatten();
    let of_script = |script| Set {
        script: Some(script),
        params: Vec::new(),
    };
    let mut sets: Vec<Set> = scripts.into_iter().map(of_script).collect();
    if sets.is_empty() {
        sets.push(Set::default());
    }
    for (place, param) in places("params").zip(params) {
        let scripts_before = places("scripts").filter(|script| *script < place).count();
        let of_it = match scripts_before {
            0 => &mut sets[..],
            count => &mut sets[count - 1..count],
        };
        for set in of_it {
            set.params.push(param.clone());
        }
    }
    sets
}

fn rate(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(rate),
        _ => Err("wants a number of requests per second"),
    }
}

const DEFAULT_DURATION: Duration = Duration::from_secs(10);
