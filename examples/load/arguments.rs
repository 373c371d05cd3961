//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::prelude::*;
use mio_fcgi::Address;

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
    /// Octets of the request body.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Multiplex {
    /// When the application says that it can.
    Auto,
    On,
    Off,
}

impl Arguments {
    /// Reads the command line; `None` when it asks for help.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut given = Given::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("connect") => given.connect = Some(parser.value()?.parse()?),
                Long("conns") => given.conns = Some(count(parser.value()?, MAX_CONNS)?),
                Long("inflight") => given.inflight = Some(count(parser.value()?, MAX_INFLIGHT)?),
                Long("requests") => given.requests = Some(parser.value()?.parse()?),
                Long("duration") => given.duration = Some(seconds(parser.value()?)?),
                Long("rate") => given.rate = Some(rate(parser.value()?)?),
                Long("script") => given.add_script(parser.value()?.string()?),
                Long("param") => given.last_set().params.push(pair(parser.value()?)?),
                Long("stdin") => given.stdin_len = parser.value()?.parse()?,
                Long("body-expected") => given.body_expected = Some(parser.value()?.parse()?),
                Long("multiplex") => given.multiplex = Some(multiplex(parser.value()?)?),
                Long("timeout") => given.timeout = Some(seconds(parser.value()?)?),
                Long("raw") => given.raw = true,
                Long("json") => given.json = true,
                Long("progress") => given.progress = true,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        given.complete().map(Some)
    }
}

/// What was given, before defaults.
#[derive(Default)]
struct Given {
    connect: Option<Address>,
    conns: Option<usize>,
    inflight: Option<usize>,
    requests: Option<u64>,
    duration: Option<Duration>,
    rate: Option<f64>,
    /// What comes before the first script.
    for_all: Set,
    scripts: Vec<Set>,
    stdin_len: usize,
    body_expected: Option<u64>,
    multiplex: Option<Multiplex>,
    timeout: Option<Duration>,
    raw: bool,
    json: bool,
    progress: bool,
}

impl Given {
    /// Begins a set, with what all have.
    fn add_script(&mut self, script: String) {
        let mut set = self.for_all.clone();
        set.script = Some(script);
        self.scripts.push(set);
    }

    fn last_set(&mut self) -> &mut Set {
        self.scripts.last_mut().unwrap_or(&mut self.for_all)
    }

    fn complete(self) -> Result<Arguments, lexopt::Error> {
        let Some(connect) = self.connect else {
            return Err("--connect is missing".into());
        };
        let end = match (self.requests, self.duration) {
            (Some(_), Some(_)) => return Err("either --requests or --duration".into()),
            (Some(requests), None) => End::Requests(requests),
            (None, duration) => End::After(duration.unwrap_or(DEFAULT_DURATION)),
        };
        if self.raw && self.scripts.len() > 1 {
            return Err("--raw sends the same octets again and again: one --script".into());
        }
        let sets = match self.scripts {
            scripts if scripts.is_empty() => vec![self.for_all],
            scripts => scripts,
        };
        let inflight = self.inflight.or(self.conns).unwrap_or(1);
        Ok(Arguments {
            connect,
            // A connection that never has a request would only hold a worker.
            conns: self.conns.unwrap_or(1).min(inflight),
            inflight,
            end,
            rate: self.rate,
            sets,
            stdin_len: self.stdin_len,
            body_expected: self.body_expected,
            multiplex: self.multiplex.unwrap_or(Multiplex::Auto),
            timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
            raw: self.raw,
            json: self.json,
            progress: self.progress,
        })
    }
}

fn count(value: OsString, most: usize) -> Result<usize, lexopt::Error> {
    let count: usize = value.parse()?;
    if (1..=most).contains(&count) {
        return Ok(count);
    }
    Err(format!("{count} is not between 1 and {most}").into())
}

fn seconds(value: OsString) -> Result<Duration, lexopt::Error> {
    let seconds: f64 = value.parse()?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration <= MAX_DURATION => Ok(duration),
        _ => Err(format!("{seconds} seconds is not above 0 and at most a day").into()),
    }
}

fn rate(value: OsString) -> Result<f64, lexopt::Error> {
    let rate: f64 = value.parse()?;
    if rate > 0.0 && rate <= 1e9 {
        return Ok(rate);
    }
    Err(format!("{rate} is not a number of requests per second").into())
}

fn pair(value: OsString) -> Result<(String, String), lexopt::Error> {
    let text = value.string()?;
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("'{text}' is not NAME=VALUE").into()),
    }
}

fn multiplex(value: OsString) -> Result<Multiplex, lexopt::Error> {
    match value.string()?.as_str() {
        "auto" => Ok(Multiplex::Auto),
        "on" => Ok(Multiplex::On),
        "off" => Ok(Multiplex::Off),
        other => Err(format!("'{other}' is not auto, on or off").into()),
    }
}

const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_CONNS: usize = 65_536;
const MAX_INFLIGHT: usize = 1_048_576;

pub(crate) const USAGE: &str = "\
usage: load --connect unix:/path|unix:@name|host:port [--conns K] [--inflight M]
            [--requests N | --duration S] [--rate R]
            [--param NAME=VALUE]... [--script PATH [--param NAME=VALUE]...]...
            [--stdin BYTES] [--body-expected B] [--multiplex auto|on|off] [--timeout S]
            [--raw] [--json] [--progress]

what is sent
  --connect ADDR      the application
  --script PATH       the script to run, as SCRIPT_FILENAME; without it /bench is asked for, which
                      the example application `responder` answers; several are asked for in turns,
                      and each has figures of its own
  --param NAME=VALUE  a parameter, in the place of the default one of that name: of the script before
                      it, or of all where none is
  --stdin BYTES       POST a body of so many octets (0)

how much
  --conns K           connections (1)
  --inflight M        requests in flight, over all connections (as many as connections)
  --requests N        stop after N requests
  --duration S        send none after S seconds (10)
  --rate R            R requests per second, whatever the application does; latencies then count from
                      when each was due, so a stall shows in all that it held up; sent to the millisecond
  --multiplex WHAT    share connections where M is above K: auto asks the application first (auto)
  --timeout S         the longest that a request may take (30)

what is checked and shown
  --body-expected B   each response body has to have B octets
  --raw               send the same octets over bare sockets, without the library; responses must all
                      have one length and come in the order of the requests
  --json              one line of JSON on standard output
  --progress          a line each second on standard error, also when that is no terminal

The exit status is 0 when there was a response and no error, else 1, and 2 for a wrong command line.
Errors are responses with a status of 400 or more too.";
