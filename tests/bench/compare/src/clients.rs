//! Table 1: client libraries against the floor, processor time per request.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::Programs;
use crate::options::Options;
use crate::process::{self, Listening, MEASURED, OTHERS, Running};
use crate::report::{Report, figure, median};

/// What is sent.
struct Case {
    name: &'static str,
    conns: u32,
    inflight: u32,
    stdin_len: u32,
    body_len: u32,
    /// Of one run.
    requests: u32,
    /// Of the floor, at most.
    target: f64,
}

const MIB: u32 = 1024 * 1024;

const CASES: [Case; 5] = [
    Case {
        name: "200 bytes, 64 connections",
        conns: 64,
        inflight: 64,
        stdin_len: 0,
        body_len: 200,
        requests: 300_000,
        target: 1.5,
    },
    Case {
        name: "200 bytes, 1 connection, 1 in flight",
        conns: 1,
        inflight: 1,
        stdin_len: 0,
        body_len: 200,
        requests: 60_000,
        target: 1.4,
    },
    Case {
        name: "200 bytes, 4,096 in flight over 4 connections",
        conns: 4,
        inflight: 4096,
        stdin_len: 0,
        body_len: 200,
        requests: 1_000_000,
        target: f64::NAN,
    },
    Case {
        name: "1 MiB responses, 4 connections",
        conns: 4,
        inflight: 4,
        stdin_len: 0,
        body_len: MIB,
        requests: 4000,
        target: 1.1,
    },
    Case {
        name: "1 MiB uploads, 4 connections",
        conns: 4,
        inflight: 4,
        stdin_len: MIB,
        body_len: 200,
        requests: 4000,
        target: 1.15,
    },
];

/// The program, what it is told beside the case, and how many requests for each of the floor's.
const SIDES: [(&str, &str, u32); 4] = [
    ("floor (`load --raw`)", "raw", 1),
    ("mio-fcgi (`load`)", "load", 1),
    ("async-fcgi", "async-fcgi", 4),
    ("fastcgi-client", "fastcgi-client", 4),
];

pub(crate) fn measure(options: &Options, programs: &Programs) -> Result<()> {
    let mut report = Report::new(
        "Client libraries",
        "Processor time of the client process per request (user and system), µs; 25 parameters of about 900 bytes; the \
         application is `responder` on a Unix socket. A dash: no run came to its end (requests cannot share a connection, or \
         hang when they do).",
    );
    let mut head = vec!["work"];
    head.extend(SIDES.map(|side| side.0));
    head.extend(["mio-fcgi / floor", "to reach"]);
    report.head(&head);
    for case in CASES.iter().filter(|case| options.wants(case.name)) {
        let directory = TempDir::new()?;
        let socket = directory.path().join("fcgi.sock");
        let address = format!("unix:{}", socket.display());
        let body = case.body_len.to_string();
        let arguments = ["--listen", &address, "--body", &body];
        let mut application =
            Running::start(OTHERS, &programs.responder, &arguments, directory.path())?;
        application.wait_for(&Listening::Unix(socket))?;
        let mut figures = vec![Vec::new(); SIDES.len()];
        let mut failures = vec![None; SIDES.len()];
        for _ in 0..options.rounds {
            for (at, side) in SIDES.iter().enumerate() {
                if failures[at].is_some() {
                    continue;
                }
                match cpu_per_request(options, programs, case, side, &address) {
                    Ok(micros) => figures[at].push(micros),
                    Err(error) => failures[at] = Some(format!("{error:#}")),
                }
            }
        }
        let medians: Vec<f64> = figures.into_iter().map(median).collect();
        for (side, failure) in SIDES.iter().zip(failures) {
            if let Some(failure) = failure {
                eprintln!("{}, {}: {failure}", case.name, side.0);
            }
        }
        let mut row = vec![case.name.to_owned()];
        row.extend(medians.iter().map(|median| figure(*median)));
        row.push(figure(medians[1] / medians[0]));
        row.push(if case.target.is_nan() {
            "0.9 µs".to_owned()
        } else {
            figure(case.target)
        });
        report.row(&row);
    }
    report.finish(options.out.as_deref())
}

fn cpu_per_request(
    options: &Options,
    programs: &Programs,
    case: &Case,
    (_, side, fewer): &(&str, &str, u32),
    address: &str,
) -> Result<f64> {
    let quick = if options.quick { 10 } else { 1 };
    let requests = (case.requests / fewer / quick).to_string();
    let (conns, inflight) = (case.conns.to_string(), case.inflight.to_string());
    let (stdin, body) = (case.stdin_len.to_string(), case.body_len.to_string());
    let own = programs.own.join(side);
    let program: &Path = match *side {
        "raw" | "load" => &programs.load,
        _ => &own,
    };
    let mut arguments = vec![
        "--connect",
        address,
        "--conns",
        &conns,
        "--inflight",
        &inflight,
        "--requests",
        &requests,
        "--stdin",
        &stdin,
        "--body-expected",
        &body,
        "--json",
    ];
    if *side == "raw" {
        arguments.push("--raw");
    }
    let output = process::run(MEASURED, program, &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let error = errors.lines().next().unwrap_or_default();
        bail!("{}: {text}{error}", output.status);
    }
    figures(&text).map(|run| run.cpu_micros)
}

/// What `load --json` and its like print.
pub(crate) struct Figures {
    /// For each request.
    pub(crate) cpu_micros: f64,
    pub(crate) requests_per_s: f64,
    pub(crate) rss_mib: f64,
}

pub(crate) fn figures(json: &str) -> Result<Figures> {
    let figures: Value = serde_json::from_str(json.trim())?;
    let number = |name: &str| figures[name].as_f64().context(name.to_owned());
    let requests = number("requests")?;
    Ok(Figures {
        cpu_micros: (number("cpu_user_s")? + number("cpu_sys_s")?) * 1e6 / requests,
        requests_per_s: requests / number("seconds")?,
        rss_mib: number("rss_kb")? / 1024.0,
    })
}
