//! The library and the proxy beside their peers, in one run: `tests/bench/compare/run`.
//!
//! What is measured has a core of its own; the load and the application share the other one. All sides of a case run one
//! after the other, round by round, so that what changes on the machine changes for all of them. A figure is the median
//! of the rounds; a ratio compares medians of one run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

mod clients;
mod counts;
mod one_core;
mod options;
mod peers;
mod php;
mod process;
mod proxies;
mod report;
mod scale;
mod threads;
mod wrk;

use options::{Options, Table, USAGE};

/// The programs of this project, and where things may be written.
pub(crate) struct Programs {
    pub(crate) load: PathBuf,
    pub(crate) responder: PathBuf,
    pub(crate) proxy: PathBuf,
    /// This crate's own.
    pub(crate) own: PathBuf,
}

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("compare: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    raise_descriptor_limit()?;
    let programs = Programs::build()?;
    let head = machine();
    println!("{head}");
    report::append(options.out.as_deref(), &head)?;
    for table in &options.tables {
        match table {
            Table::Clients => clients::measure(options, &programs)?,
            Table::Proxies => proxies::measure(options, &programs)?,
            Table::Php => php::measure(options, &programs)?,
            Table::Scale => scale::measure(options, &programs)?,
            Table::OneCore => one_core::measure(options, &programs)?,
            Table::Counts => counts::measure(options, &programs)?,
            Table::Threads => threads::measure(options, &programs)?,
        }
    }
    Ok(())
}

impl Programs {
    fn build() -> Result<Self> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own.join("../../..").canonicalize()?;
        let cargo = |directory: &Path, what: &str| {
            let status = Command::new(env!("CARGO"))
                .args(["build", "--release", "--quiet", "--locked", what])
                .current_dir(directory)
                .status()?;
            ensure!(status.success(), "cargo build {what} failed");
            anyhow::Ok(())
        };
        cargo(&root, "--examples")?;
        cargo(own, "--bins")?;
        let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let examples = target.unwrap_or_else(|| root.join("target"));
        let examples = examples.join("release/examples");
        let this = env::current_exe()?;
        Ok(Self {
            load: examples.join("load"),
            responder: examples.join("responder"),
            proxy: examples.join("proxy"),
            own: this.parent().context("no directory")?.to_owned(),
        })
    }
}

/// For thousands of connections, in this process's children too.
fn raise_descriptor_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(())
}

/// What the figures were measured with.
fn machine() -> String {
    let text = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        let output = output.filter(|output| output.status.success());
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().trim().to_owned()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find(|line| line.starts_with("model name"));
    let cpu = cpu.and_then(|line| line.split(": ").nth(1)).unwrap_or("?");
    let versions = text(
        "dpkg-query",
        &[
            "-W",
            "-f",
            "${Package} ${Version}, ",
            "nginx",
            "haproxy",
            "h2o",
            "lighttpd",
            "caddy",
            "php8.2-fpm",
        ],
    );
    let arguments: Vec<String> = env::args().skip(1).collect();
    format!(
        "`tests/bench/compare/run {}`, {}, revision {}\n\n{cpu}, {} cores, Linux {}; {versions}{}\n",
        arguments.join(" "),
        text("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        text(
            "git",
            &[
                "-C",
                env!("CARGO_MANIFEST_DIR"),
                "rev-parse",
                "--short",
                "HEAD"
            ]
        ),
        std::thread::available_parallelism().map_or(0, usize::from),
        text("uname", &["-r"]),
        text("rustc", &["--version"]),
    )
}
