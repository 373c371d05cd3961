//! Table 4: what a request costs as there are more of them in flight, or more connections that do nothing.

use std::path::Path;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::Programs;
use crate::clients::{Figures, figures};
use crate::options::Options;
use crate::process::{self, Listening, MEASURED, OTHERS, Running};
use crate::report::{Report, figure, median};

const IN_FLIGHT: [u32; 7] = [1, 16, 256, 1024, 4096, 16_384, 60_000];
const IDLE: [u32; 5] = [0, 100, 1000, 4000, 10_000];
/// More are refused by `responder`.
const PER_CONNECTION: u32 = 1024;

pub(crate) fn measure(options: &Options, programs: &Programs) -> Result<()> {
    let directory = TempDir::new()?;
    let socket = directory.path().join("fcgi.sock");
    let address = format!("unix:{}", socket.display());
    let arguments = ["--listen", &address, "--max-connections", "20000"];
    let mut application =
        Running::start(OTHERS, &programs.responder, &arguments, directory.path())?;
    application.wait_for(&Listening::Unix(socket))?;
    if options.wants("in flight") {
        in_flight(options, programs, &address)?;
    }
    if options.wants("idle") {
        idle(options, programs, &address)?;
    }
    Ok(())
}

fn in_flight(options: &Options, programs: &Programs, address: &str) -> Result<()> {
    let points = IN_FLIGHT.map(|inflight| {
        let conns = inflight.div_ceil(PER_CONNECTION).max(4).min(inflight);
        // Enough that the first and last ones in flight do not matter.
        let requests = match inflight {
            1 => 60_000,
            16 => 400_000,
            _ => 1_200_000,
        };
        Point {
            label: figure(f64::from(inflight)) + &format!(" over {conns}"),
            program: &programs.load,
            arguments: vec![
                ("--conns", conns),
                ("--inflight", inflight),
                ("--requests", requests),
            ],
        }
    });
    let note = "Requests in flight over so many connections, shared where the application allows it, with 25 parameters and \
                16-byte answers.";
    print(options, address, "Scale: requests in flight", note, &points)
}

fn idle(options: &Options, programs: &Programs, address: &str) -> Result<()> {
    let program = programs.own.join("idle");
    let points = IDLE.map(|idle| Point {
        label: figure(f64::from(idle)),
        program: &program,
        arguments: vec![("--idle", idle), ("--requests", 300_000)],
    });
    let note =
        "Connections that are open and idle, beside 64 that carry one request each at a time.";
    print(options, address, "Scale: idle connections", note, &points)
}

struct Point<'a> {
    label: String,
    program: &'a Path,
    arguments: Vec<(&'static str, u32)>,
}

fn print(
    options: &Options,
    address: &str,
    title: &str,
    note: &str,
    points: &[Point<'_>],
) -> Result<()> {
    let mut samples: Vec<Vec<Figures>> = points.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (point, samples) in points.iter().zip(&mut samples) {
            samples.push(sample(options, point, address)?);
        }
    }
    let mut report = Report::new(title, note);
    report.head(&["", "µs / request", "requests / s", "MiB"]);
    for (point, samples) in points.iter().zip(samples) {
        let middle = |field: fn(&Figures) -> f64| figure(median(samples.iter().map(field)));
        report.row(&[
            point.label.clone(),
            middle(|run| run.cpu_micros),
            middle(|run| run.requests_per_s),
            middle(|run| run.rss_mib),
        ]);
    }
    report.finish(options.out.as_deref())
}

fn sample(options: &Options, point: &Point<'_>, address: &str) -> Result<Figures> {
    let mut arguments = vec!["--connect".to_owned(), address.to_owned()];
    for (name, value) in &point.arguments {
        let quick = options.quick && *name == "--requests";
        let value = if quick { value / 10 } else { *value };
        arguments.extend([(*name).to_owned(), value.to_string()]);
    }
    arguments.push("--json".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = process::run(MEASURED, point.program, &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "{}: {text}{}",
            point.label,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    figures(&text)
}
