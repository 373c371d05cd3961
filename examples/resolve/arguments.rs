//! The command line of `resolve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use mio_fcgi::Address;

use crate::command_line::{number, seconds};
use crate::source::Source;

#[derive(Debug, Parser)]
#[command(
    name = "resolve",
    about = "Sends requests to a FastCGI application while its addresses change.",
    after_help = AFTER,
    args_override_self = true,
    allow_negative_numbers = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// name to look up again and again, with its port: php.local:9000
    #[arg(
        long,
        value_name = "ADDR",
        required_unless_present = "addresses",
        conflicts_with = "addresses"
    )]
    connect: Option<Address>,
    /// file to read again and again instead, with one address per line, in the forms that --connect of `get` takes; a
    /// line that begins with # is skipped. Put a new file in its place by renaming it, so that no half of it is read
    #[arg(long, value_name = "FILE")]
    addresses: Option<PathBuf>,
    /// script to run, as SCRIPT_FILENAME
    #[arg(long, value_name = "PATH")]
    pub(crate) script: String,
    /// seconds between two lookups
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "5")]
    pub(crate) every: Duration,
    /// seconds between two requests
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "1")]
    pub(crate) interval: Duration,
    /// stop after N requests; by default they go on
    #[arg(long, value_name = "N", value_parser = number(1, u64::MAX))]
    pub(crate) count: Option<u64>,
}

impl Arguments {
    /// Where the addresses come from: the command line has one of the two options.
    pub(crate) fn source(&self) -> Source {
        match &self.connect {
            Some(name) => Source::Name(name.clone()),
            None => Source::File(self.addresses.clone().unwrap_or_default()),
        }
    }
}

const AFTER: &str = "\
Prints a line for each request, and the servers whenever there are others. A lookup that fails
changes nothing and is reported once, until another one succeeds.

Exit status: 0 if each request was answered, with a status below 400; 1 otherwise; 2 for an
invalid command line.";
