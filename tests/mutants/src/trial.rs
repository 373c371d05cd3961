//! A mutant against the tests.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::options::Options;

pub(crate) struct Trial {
    tree: PathBuf,
    /// With how long each may compute.
    binaries: Vec<(PathBuf, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Caught,
    TimedOut,
    Missed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caught => "caught",
            Self::TimedOut => "timeout",
            Self::Missed => "missed",
        })
    }
}

impl Trial {
    /// Runs the tests without a mutant, for how long they take.
    ///
    /// # Errors
    /// When they fail.
    pub(crate) fn new(options: &Options, binaries: Vec<PathBuf>) -> Result<Self> {
        let mut trial = Self {
            tree: options.tree.clone(),
            binaries: Vec::new(),
        };
        for binary in binaries {
            let began = Instant::now();
            if trial.run(&binary, 0, Duration::from_secs(600)) != Verdict::Missed {
                bail!("{} fails without a mutant", binary.display());
            }
            let took = began.elapsed();
            eprintln!("{}: {took:.1?}", binary.display());
            // Generous: with threads on several cores it computes for longer.
            trial
                .binaries
                .push((binary, took * 8 + Duration::from_secs(10)));
        }
        trial.binaries.sort_by_key(|(_, limit)| *limit);
        Ok(trial)
    }

    pub(crate) fn try_one(&self, id: u32) -> Verdict {
        let verdicts = self
            .binaries
            .iter()
            .map(|(binary, limit)| self.run(binary, id, *limit));
        verdicts
            .into_iter()
            .find(|it| *it != Verdict::Missed)
            .unwrap_or(Verdict::Missed)
    }

    fn run(&self, binary: &PathBuf, id: u32, limit: Duration) -> Verdict {
        // A mutant may ask for all memory there is, or run for ever. What counts is the time that it computes: one that
        // waits because the machine has other work is not noticed by that.
        let (computing, waiting) = (limit.as_secs(), limit.as_secs() * 20);
        let status = Command::new("prlimit")
            .args(["--as=6000000000", &format!("--cpu={computing}")])
            .args(["timeout", "-s", "KILL", &waiting.to_string()])
            .arg(binary)
            .args(NOT_ABOUT_IT.iter().flat_map(|name| ["--skip", name]))
            .current_dir(&self.tree)
            .env("MUTANT", id.to_string())
            .env("CARGO_MANIFEST_DIR", &self.tree)
            .env(
                "SIM_RUNS",
                std::env::var("SIM_RUNS").unwrap_or_else(|_| "300".to_owned()),
            )
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match status.map(|status| status.code()) {
            // What could not be run has noticed nothing.
            Ok(Some(0)) | Err(_) => Verdict::Missed,
            Ok(Some(124 | 137) | None) => Verdict::TimedOut,
            Ok(Some(_)) => Verdict::Caught,
        }
    }
}

/// What reads the sources would read the copy's; what drives sockets waits for real.
const NOT_ABOUT_IT: [&str; 6] = [
    "cases::",
    "faults::",
    "layering::",
    "owners::",
    "rooms::",
    "blocking::",
];
