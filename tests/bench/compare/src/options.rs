//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use lexopt::prelude::*;

/// What is to be measured, and for how long.
pub(crate) struct Options {
    pub(crate) tables: Vec<Table>,
    pub(crate) quick: bool,
    /// Appended to, so that tables can be measured one by one.
    pub(crate) out: Option<PathBuf>,
    /// Rounds; the median of each figure counts.
    pub(crate) rounds: usize,
    /// Of one measurement.
    pub(crate) duration: Duration,
    /// Only cases and sides whose names have this in them.
    pub(crate) only: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Clients,
    Proxies,
    Php,
    Scale,
    OneCore,
    Counts,
    Threads,
}

impl Table {
    const ALL: [(&'static str, Self); 7] = [
        ("clients", Self::Clients),
        ("proxies", Self::Proxies),
        ("php", Self::Php),
        ("scale", Self::Scale),
        ("one-core", Self::OneCore),
        ("counts", Self::Counts),
        ("threads", Self::Threads),
    ];
}

impl Options {
    /// Reads the command line; `None` when it asks for help.
    pub(crate) fn parse() -> Result<Option<Self>> {
        let mut options = Self {
            tables: Vec::new(),
            quick: false,
            out: None,
            rounds: 0,
            duration: Duration::ZERO,
            only: None,
        };
        let mut rounds = None;
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("table") => {
                    let name = parser.value()?.string()?;
                    let Some(table) = Table::ALL.iter().find(|table| table.0 == name) else {
                        let names = Table::ALL.map(|table| table.0).join(", ");
                        bail!("--table is one of {names}; not '{name}'");
                    };
                    options.tables.push(table.1);
                }
                Long("quick") => options.quick = true,
                Long("rounds") => rounds = Some(parser.value()?.parse()?),
                Long("only") => options.only = Some(parser.value()?.string()?),
                Long("out") => options.out = Some(parser.value()?.into()),
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected().into()),
            }
        }
        if options.tables.is_empty() {
            options.tables = Table::ALL.map(|table| table.1).into();
        }
        options.rounds = rounds.unwrap_or(if options.quick { 1 } else { 3 }).max(1);
        options.duration = Duration::from_millis(if options.quick { 700 } else { 2000 });
        Ok(Some(options))
    }

    /// Whether a case or side is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }
}

pub(crate) const USAGE: &str = "\
usage: tests/bench/compare/run [--table NAME]... [--quick] [--rounds N] [--only TEXT] [--out FILE]

  --table NAME   measure one table: clients, proxies, php, scale, one-core, counts or threads; may be repeated (all)
  --quick        one short round: to see that it works, not to quote
  --rounds N     alternating rounds, of which the medians count (3)
  --only TEXT    only cases with TEXT in their name
  --out FILE     append the tables to FILE as well";
