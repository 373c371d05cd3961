//! Table 5: the client beside its floor, which does the same work with nothing but system calls, and both on one core with
//! the application: what crosses from core to core would hide the rest.

use std::path::Path;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::Programs;
use crate::clients::{Figures, figures};
use crate::options::Options;
use crate::process::{self, Listening, MEASURED, Running};
use crate::report::{Report, figure, median};

struct Case {
    name: &'static str,
    conns: u32,
    inflight: u32,
    stdin_len: u32,
    body_len: u32,
    requests: u32,
    /// The first ones, which are not measured.
    warm_up: u32,
    /// What is aimed at.
    asked: &'static str,
}

const MIB: u32 = 1024 * 1024;

const CASES: [Case; 10] = [
    shared("64 connections, 200 bytes", 64, 64, (0, 200_000), "1.2"),
    shared(
        "256 in flight over 4, from cold",
        4,
        256,
        (0, 230_000),
        "0.9 µs",
    ),
    shared("256 over 4, warm", 4, 256, (400_000, 400_000), "0.7 µs"),
    shared("4,096 over 4, from cold", 4, 4096, (0, 230_000), "0.9 µs"),
    shared(
        "60,000 over 4, warm",
        4,
        60_000,
        (400_000, 400_000),
        "1.2 of 256",
    ),
    shared(
        "60,000 over 4, from cold",
        4,
        60_000,
        (0, 230_000),
        "1.5 µs",
    ),
    body("1 MiB up", MIB, 200, 3000, "1.08"),
    body("64 MiB up", 64 * MIB, 200, 40, "1.0"),
    body("1 MiB down", 0, MIB, 3000, "1.08"),
    body("64 MiB down", 0, 64 * MIB, 40, "1.05"),
];

const fn shared(
    name: &'static str,
    conns: u32,
    inflight: u32,
    (warm_up, requests): (u32, u32),
    asked: &'static str,
) -> Case {
    Case {
        name,
        conns,
        inflight,
        stdin_len: 0,
        body_len: 200,
        requests,
        warm_up,
        asked,
    }
}

const fn body(
    name: &'static str,
    stdin_len: u32,
    body_len: u32,
    requests: u32,
    asked: &'static str,
) -> Case {
    Case {
        name,
        conns: 1,
        inflight: 1,
        stdin_len,
        body_len,
        requests,
        warm_up: requests / 10,
        asked,
    }
}

pub(crate) fn measure(options: &Options, programs: &Programs) -> Result<()> {
    let mut report = Report::new(
        "The client and its floor, on one core with the application",
        "Processor time of the client process per request (user and system), µs, 25 parameters, a Unix socket. The floor \
         encodes each request anew and looks at the headers of records. Ratio: of the medians, and of the minima. Cold: the \
         first 230,000 requests. Warm: from the 400,000th on. Memory: of `load`, MiB.",
    );
    report.head(&[
        "work",
        "floor",
        "load",
        "ratio",
        "of minima",
        "least",
        "asked",
        "memory",
    ]);
    for case in CASES.iter().filter(|case| options.wants(case.name)) {
        let directory = TempDir::new()?;
        let socket = directory.path().join("fcgi.sock");
        let address = format!("unix:{}", socket.display());
        let body = case.body_len.to_string();
        let arguments = ["--listen", &address, "--body", &body];
        let mut application =
            Running::start(MEASURED, &programs.responder, &arguments, directory.path())?;
        application.wait_for(&Listening::Unix(socket))?;
        let floor = programs.own.join("floor");
        let (mut floors, mut loads, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        // Five, unless there is a wish: the minima of few say little.
        let rounds = if options.quick {
            1
        } else {
            options.rounds.max(5)
        };
        for _ in 0..rounds {
            floors.push(sample(options, &floor, case, &address)?.cpu_micros);
            let load = sample(options, &programs.load, case, &address)?;
            loads.push(load.cpu_micros);
            memory.push(load.rss_mib);
        }
        let least = |list: &[f64]| list.iter().copied().fold(f64::INFINITY, f64::min);
        let (least_floor, least_load) = (least(&floors), least(&loads));
        let (floor, load) = (median(floors), median(loads));
        report.row(&[
            case.name.to_owned(),
            figure(floor),
            figure(load),
            figure(load / floor),
            figure(least_load / least_floor),
            figure(least_load),
            case.asked.to_owned(),
            figure(median(memory)),
        ]);
    }
    report.finish(options.out.as_deref())
}

fn sample(options: &Options, program: &Path, case: &Case, address: &str) -> Result<Figures> {
    let less = if options.quick { 10 } else { 1 };
    let warm_up = (case.warm_up / less).to_string();
    let requests = ((case.requests + case.warm_up) / less).to_string();
    let numbers = [case.conns, case.inflight, case.stdin_len].map(|number| number.to_string());
    let multiplex = if case.inflight > case.conns {
        "on"
    } else {
        "off"
    };
    let arguments = [
        "--connect",
        address,
        "--conns",
        &numbers[0],
        "--inflight",
        &numbers[1],
        "--stdin",
        &numbers[2],
        "--requests",
        &requests,
        "--warm-up",
        &warm_up,
        "--multiplex",
        multiplex,
        "--json",
    ];
    let output = process::run(MEASURED, program, &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {text}{errors}", case.name);
    }
    figures(&text)
}
