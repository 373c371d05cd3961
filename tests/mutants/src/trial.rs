//! A mutant against the tests.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::options::Options;

pub(crate) struct Trial {
    tree: PathBuf,
    binaries: Vec<(PathBuf, Limits)>,
    /// Tests on real sockets spend their time with waiting.
    waits: bool,
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

/// How long the tests may take with a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Limits {
    computing: Duration,
    waiting: Duration,
}

impl Limits {
    /// `took`: how long the tests take without a mutant. `waits`: they spend most of that with waiting.
    fn after(took: Duration, waits: bool) -> Self {
        // Generous: with threads on several cores it computes for longer.
        let computing = took * 8 + Duration::from_secs(10);
        // A mutant that waits because the machine has other work is not noticed by that. One that waits for ever is, and
        // soon: the tests themselves wait for 45 s, one after the other.
        let waiting = if waits {
            took * 3 + Duration::from_secs(15)
        } else {
            computing * 20
        };
        Self { computing, waiting }
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
            waits: options.waits(),
        };
        for binary in binaries {
            let began = Instant::now();
            let unlimited = Limits {
                computing: Duration::from_secs(600),
                waiting: Duration::from_secs(600),
            };
            if trial.run(&binary, 0, unlimited) != Verdict::Missed {
                bail!("{} fails without a mutant", binary.display());
            }
            let took = began.elapsed();
            eprintln!("{}: {took:.1?}", binary.display());
            trial
                .binaries
                .push((binary, Limits::after(took, trial.waits)));
        }
        trial.binaries.sort_by_key(|(_, limits)| *limits);
        Ok(trial)
    }

    pub(crate) fn try_one(&self, id: u32) -> Verdict {
        let verdicts = self
            .binaries
            .iter()
            .map(|(binary, limits)| self.run(binary, id, *limits));
        verdicts
            .into_iter()
            .find(|it| *it != Verdict::Missed)
            .unwrap_or(Verdict::Missed)
    }

    /// Runs a binary up to its first test that fails.
    fn run(&self, binary: &Path, id: u32, limits: Limits) -> Verdict {
        // A mutant may ask for all memory there is, or run for ever.
        let child = Command::new("prlimit")
            .args([
                "--as=6000000000",
                &format!("--cpu={}", limits.computing.as_secs()),
            ])
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
            .envs(self.waits.then_some(("RUST_TEST_THREADS", "8")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        // What could not be run has noticed nothing.
        child.map_or(Verdict::Missed, |child| watch(child, limits.waiting))
    }
}

/// Waits until a test fails, until the tests are over, or for no longer than `most`.
fn watch(mut child: Child, most: Duration) -> Verdict {
    let (failed, first_failure) = mpsc::channel();
    let printed = child.stdout.take();
    let reader = thread::spawn(move || {
        let lines = printed
            .into_iter()
            .flat_map(|it| BufReader::new(it).lines());
        let mut lines = lines.map_while(Result::ok);
        if lines.any(|line| line.starts_with("test ") && line.ends_with(" FAILED")) {
            let _ = failed.send(());
        }
    });
    let stopped = match first_failure.recv_timeout(most) {
        Ok(()) => Some(Verdict::Caught),
        Err(RecvTimeoutError::Timeout) => Some(Verdict::TimedOut),
        Err(RecvTimeoutError::Disconnected) => None,
    };
    if stopped.is_some() {
        let _ = child.kill();
    }
    let status = child.wait();
    let _ = reader.join();
    stopped.unwrap_or_else(|| match status.map(|status| status.code()) {
        Ok(Some(0)) | Err(_) => Verdict::Missed,
        // Killed for what it computed.
        Ok(None) => Verdict::TimedOut,
        Ok(Some(_)) => Verdict::Caught,
    })
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
