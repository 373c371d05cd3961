//! The command line of `load`.

use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};
use mio_fcgi::Address;

use crate::command_line::{number, pair, seconds};

/// The options, with defaults filled in.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) connect: Address,
    pub(crate) conns: usize,
    pub(crate) inflight: usize,
    pub(crate) end: End,
    /// The first requests, which are left out of the figures.
    pub(crate) warm_up: u64,
    /// Requests per second. `None`: a new request is sent whenever one has ended.
    pub(crate) rate: Option<f64>,
    /// The scripts to run, in turns. At least one.
    pub(crate) sets: Vec<Set>,
    /// Length of the request body in bytes.
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

/// When to stop sending requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Requests(u64),
    After(Duration),
}

/// Whether requests share connections if more requests are in flight than there are connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Multiplex {
    // If the application reports that it can.
    Auto,
    On,
    Off,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with the command line. `--help` is an error too.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let matches = Given::command().try_get_matches()?;
        let given = Given::from_arg_matches(&matches)?;
        if given.raw && given.scripts.len() > 1 {
            let why = "--raw sends the same bytes for each request: give one --script at most";
            return Err(Given::command().error(ErrorKind::ArgumentConflict, why));
        }
        Ok(given.complete(&matches))
    }
}

/// The options as given, before defaults.
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
    /// address of the application: unix:/path, unix:@name or host:port
    #[arg(long, value_name = "ADDR", help_heading = REQUESTS)]
    connect: Address,
    /// script to run, as SCRIPT_FILENAME; by default /bench, which the example application `responder` answers; may be
    /// repeated: the scripts take turns, and each has figures of its own
    #[arg(long = "script", value_name = "PATH", help_heading = REQUESTS)]
    scripts: Vec<String>,
    /// parameter, in place of the default one of that name: for the script before it, or for all if there is none
    /// before it
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair, help_heading = REQUESTS)]
    params: Vec<(String, String)>,
    /// send POST requests with a body of this length
    #[arg(long = "stdin", value_name = "BYTES", default_value_t = 0, help_heading = REQUESTS)]
    stdin_len: usize,

    /// number of connections [default: 1]
    #[arg(long, value_name = "K", value_parser = number(1, 65_536_usize), help_heading = LOAD)]
    conns: Option<usize>,
    /// requests in flight, over all connections [default: K]
    #[arg(long, value_name = "M", value_parser = number(1, 1_048_576_usize), help_heading = LOAD)]
    inflight: Option<usize>,
    /// stop after N requests
    #[arg(long, value_name = "N", conflicts_with = "duration", help_heading = LOAD)]
    requests: Option<u64>,
    /// stop sending after S seconds [default: 10]
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = LOAD)]
    duration: Option<Duration>,
    /// leave the first N requests out of the figures of requests, time, processor and latency
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = LOAD)]
    warm_up: u64,
    /// send R requests per second, however fast the application answers. Latencies then count from when a request was
    /// due, so a stall shows in every request that it delayed; requests are sent to the millisecond
    #[arg(long, value_name = "R", value_parser = rate, help_heading = LOAD)]
    rate: Option<f64>,
    /// share connections if M is above K; auto asks the application first
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Multiplex::Auto, help_heading = LOAD)]
    multiplex: Multiplex,
    /// time limit of a request, in seconds
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "30", help_heading = LOAD)]
    timeout: Duration,

    /// expected length of each response body, in bytes
    #[arg(long, value_name = "B", help_heading = OUTPUT)]
    body_expected: Option<u64>,
    /// send the same bytes over plain sockets, without the library; responses must all have the same length and come in
    /// the order of the requests
    #[arg(long, help_heading = OUTPUT)]
    raw: bool,
    /// print the result as one line of JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
    /// print a line per second on standard error, even if that is not a terminal
    #[arg(long, help_heading = OUTPUT)]
    progress: bool,
    /// print this help
    #[arg(short, long, action = ArgAction::Help, help_heading = OUTPUT)]
    help: Option<bool>,
}

const REQUESTS: &str = "Requests";
const LOAD: &str = "Load";
const OUTPUT: &str = "Checks and output";

const AFTER: &str = "\
Exit status: 0 if there was a response and no error, 1 otherwise, 2 for an invalid command line.
A response with a status of 400 or more counts as an error.";

impl Given {
    fn complete(self, matches: &ArgMatches) -> Arguments {
        let end = match (self.requests, self.duration) {
            (Some(requests), _) => End::Requests(requests),
            (None, duration) => End::After(duration.unwrap_or(DEFAULT_DURATION)),
        };
        let inflight = self.inflight.or(self.conns).unwrap_or(1);
        Arguments {
            connect: self.connect,
            // A connection that never gets a request would only occupy a worker of the application.
            conns: self.conns.unwrap_or(1).min(inflight),
            inflight,
            end,
            warm_up: self.warm_up,
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

/// One set per script, with the parameters given after it and those given before the first script.
fn sets(matches: &ArgMatches, scripts: Vec<String>, params: Vec<(String, String)>) -> Vec<Set> {
    let free_slots = |name| matches.indices_of(name).into_iter().flatten();
    let of_script = |script| Set {
        script: Some(script),
        params: Vec::new(),
    };
    let mut sets: Vec<Set> = scripts.into_iter().map(of_script).collect();
    if sets.is_empty() {
        sets.push(Set::default());
    }
    for (place, param) in free_slots("params").zip(params) {
        let scripts_before = free_slots("scripts")
            .filter(|script| *script < place)
            .count();
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
        _ => Err("expects a number of requests per second"),
    }
}

const DEFAULT_DURATION: Duration = Duration::from_secs(10);
