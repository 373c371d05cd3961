//! Table 6: what does not depend on how busy the machine is. Instructions in user space and misses of the cache, counted
//! by valgrind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Programs;
use crate::options::Options;
use crate::process::{Listening, OTHERS, Running};
use crate::report::{Report, figure};

struct Case {
    name: &'static str,
    conns: u32,
    inflight: u32,
    /// What is aimed at, of instructions and of misses.
    asked: [&'static str; 2],
}

const CASES: [Case; 4] = [
    Case {
        name: "16 on 16 connections",
        conns: 16,
        inflight: 16,
        asked: ["5,000", ""],
    },
    Case {
        name: "256 on 1 connection",
        conns: 1,
        inflight: 256,
        asked: ["4,200", ""],
    },
    Case {
        name: "256 on 4 connections",
        conns: 4,
        inflight: 256,
        asked: ["", ""],
    },
    Case {
        name: "60,000 on 4 connections",
        conns: 4,
        inflight: 60_000,
        asked: ["", "12 more than 256"],
    },
];

pub(crate) fn measure(options: &Options, programs: &Programs) -> Result<()> {
    let mut report = Report::new(
        "Counts",
        "Instructions of a request in user space, and misses of a last cache of 2 MiB (16 ways) behind one of 48 KiB (12 \
         ways), as valgrind's cachegrind counts them; the difference of two runs, so without the start of the process. \
         With the work of `load` itself, which encodes 25 parameters.",
    );
    report.head(&[
        "work",
        "floor",
        "load",
        "asked",
        "misses, floor",
        "misses, load",
        "asked",
    ]);
    let directory = TempDir::new()?;
    let socket = directory.path().join("fcgi.sock");
    let address = format!("unix:{}", socket.display());
    let arguments = ["--listen", &address, "--body", "200"];
    let mut application =
        Running::start(OTHERS, &programs.responder, &arguments, directory.path())?;
    application.wait_for(&Listening::Unix(socket))?;
    let floor = programs.own.join("floor");
    for case in CASES.iter().filter(|case| options.wants(case.name)) {
        let [floor, load] = [&floor, &programs.load].map(|program| count(program, case, &address));
        let (floor, load) = (floor?, load?);
        report.row(&[
            case.name.to_owned(),
            figure(floor.instructions),
            figure(load.instructions),
            case.asked[0].to_owned(),
            figure(floor.misses),
            figure(load.misses),
            case.asked[1].to_owned(),
        ]);
    }
    report.finish(options.out.as_deref())
}

/// For each request.
struct Counts {
    instructions: f64,
    misses: f64,
}

/// Two runs, of which the second is longer.
fn count(program: &Path, case: &Case, address: &str) -> Result<Counts> {
    // Each place for a request was used twice in the shorter one.
    let shorter = (case.inflight * 2).max(2000);
    let more = case.inflight.max(10_000);
    let first = run(program, case, address, shorter)?;
    let second = run(program, case, address, shorter + more)?;
    let each = |of: fn(&(f64, f64)) -> f64| (of(&second) - of(&first)) / f64::from(more);
    Ok(Counts {
        instructions: each(|counts| counts.0),
        misses: each(|counts| counts.1),
    })
}

/// Instructions, and misses of the last cache.
fn run(program: &Path, case: &Case, address: &str, requests: u32) -> Result<(f64, f64)> {
    let multiplex = if case.inflight > case.conns {
        "on"
    } else {
        "off"
    };
    let output = Command::new("timeout")
        .args(["-s", "KILL", "300", "valgrind", "--tool=cachegrind"])
        .args(["--cache-sim=yes", "--cachegrind-out-file=/dev/null"])
        .args(["--I1=32768,8,64", "--D1=49152,12,64", "--LL=2097152,16,64"])
        .arg(program)
        .args(["--connect", address, "--multiplex", multiplex, "--json"])
        // Valgrind is slow, and what falls due costs instructions.
        .args(["--timeout", "3000"])
        .args(["--conns", &case.conns.to_string()])
        .args(["--inflight", &case.inflight.to_string()])
        .args(["--requests", &requests.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("valgrind does not start")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let name: PathBuf = program.file_name().unwrap_or_default().into();
    ensure!(output.status.success(), "{}: {text}", name.display());
    let number = |label: &str| {
        let line = text.lines().find(|line| line.contains(label))?;
        let number = line.split(label).nth(1)?.split_whitespace().next()?;
        number.replace(',', "").parse::<f64>().ok()
    };
    let instructions = number("I   refs:").context("no instructions")?;
    let misses = number("LL misses:").context("no misses")?;
    Ok((instructions, misses))
}
