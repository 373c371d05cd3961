//! Table 2: HTTP servers in front of one application, one worker on one core.

use std::fs;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use crate::Programs;
use crate::options::Options;
use crate::peers::{Side, Site};
use crate::process::{self, Listening, OTHERS, Running};
use crate::report::{Report, figure, median};
use crate::wrk::Load;

struct Case {
    name: &'static str,
    clients: u32,
    body_len: u32,
    /// Of the request.
    post_len: usize,
    delay_ms: u32,
    sides: &'static [Side],
    /// Whether system calls are counted too.
    counts_calls: bool,
}

const ALL: &[Side] = &[
    Side::Floor,
    Side::Own,
    Side::OwnShared,
    Side::Nginx,
    Side::HaProxy,
    Side::HaProxyShared,
    Side::H2o,
    Side::Lighttpd,
];

/// Bodies are collected by those above the line, and passed on as they arrive by those below.
const POST: &[Side] = &[
    Side::Own,
    Side::OwnShared,
    Side::Nginx,
    Side::OwnStreaming,
    Side::OwnSharedStreaming,
    Side::NginxStreaming,
    Side::HaProxy,
    Side::Caddy,
];

const KIB: u32 = 1024;

const CASES: [Case; 8] = [
    case("16 bytes, 64 clients", 64, 16, 0, true),
    case("16 bytes, 256 clients", 256, 16, 0, true),
    case("16 bytes, 1,024 clients", 1024, 16, 0, false),
    case("100 KiB, 16 clients", 16, 100 * KIB, 0, false),
    case("1 MiB, 16 clients", 16, 1024 * KIB, 0, false),
    post("POST of 64 KiB, 16 clients", 64 * 1024),
    post("POST of 1 MiB, 16 clients", 1024 * 1024),
    case("16 bytes after 50 ms, 1,000 clients", 1000, 16, 50, false),
];

const fn case(
    name: &'static str,
    clients: u32,
    body_len: u32,
    delay_ms: u32,
    counts_calls: bool,
) -> Case {
    Case {
        name,
        clients,
        body_len,
        post_len: 0,
        delay_ms,
        sides: ALL,
        counts_calls,
    }
}

const fn post(name: &'static str, post_len: usize) -> Case {
    Case {
        post_len,
        sides: POST,
        ..case(name, 16, 16, 0, true)
    }
}

/// What one measurement gives.
#[derive(Clone, Copy)]
struct Sample {
    requests_per_s: f64,
    cpu_micros: f64,
    p99_ms: f64,
    rss_mib: f64,
    rest_mib: f64,
    calls: f64,
    /// Answers that were errors, in per cent.
    failed: f64,
}

pub(crate) fn measure(options: &Options, programs: &Programs) -> Result<()> {
    for case in CASES.iter().filter(|case| options.wants(case.name)) {
        let directory = TempDir::new()?;
        let root = directory.path().join("www");
        fs::create_dir(&root)?;
        fs::write(root.join("index.php"), "")?;
        let socket = directory.path().join("fcgi.sock");
        let mut samples = vec![Vec::new(); case.sides.len()];
        let mut failures = vec![None; case.sides.len()];
        for round in 0..options.rounds {
            for (at, side) in case.sides.iter().enumerate() {
                let _application = start_application(programs, case, directory.path(), &socket)?;
                let site = Site {
                    programs,
                    directory: directory.path(),
                    socket: &socket,
                    root: &root,
                    workers: 1,
                };
                let load = Load::new(case.clients, case.post_len, directory.path())?;
                // Their numbers hardly differ from round to round.
                let counts_calls = case.counts_calls && round == 0;
                match sample(options, &load, *side, &site, counts_calls) {
                    Ok(sample) => samples[at].push(sample),
                    Err(error) => failures[at] = Some(format!("{error:#}")),
                }
            }
        }
        print(options, case, &samples, &failures)?;
    }
    Ok(())
}

fn start_application(
    programs: &Programs,
    case: &Case,
    directory: &Path,
    socket: &Path,
) -> Result<Running> {
    let _ = fs::remove_file(socket);
    let address = format!("unix:{}", socket.display());
    let (body, delay) = (case.body_len.to_string(), case.delay_ms.to_string());
    let arguments = ["--listen", &address, "--body", &body, "--delay", &delay];
    let mut application = Running::start(OTHERS, &programs.responder, &arguments, directory)?;
    application.wait_for(&Listening::Unix(socket.to_owned()))?;
    Ok(application)
}

fn sample(
    options: &Options,
    load: &Load,
    side: Side,
    site: &Site<'_>,
    counts_calls: bool,
) -> Result<Sample> {
    let server = side.start(site)?;
    let pid = server.running.worker();
    let rest_mib = process::resident_mib(pid)?;
    // Connections are opened, buffers made, paths looked up.
    load.run(options.duration / 4, server.address)?;
    let before = process::cpu_time(pid)?;
    let done = load.run(options.duration, server.address)?;
    let cpu = process::cpu_time(pid)?.saturating_sub(before);
    let rss_mib = process::resident_mib(pid)?;
    let calls = if counts_calls {
        let during = || load.run(options.duration, server.address);
        let (calls, done) = process::count_calls(pid, site.directory, during)?;
        calls as f64 / done.requests
    } else {
        f64::NAN
    };
    Ok(Sample {
        requests_per_s: done.requests_per_s,
        cpu_micros: cpu.as_secs_f64() * 1e6 / done.requests,
        p99_ms: done.p99_ms,
        rss_mib,
        rest_mib,
        calls,
        failed: done.failed / done.requests * 100.0,
    })
}

fn print(
    options: &Options,
    case: &Case,
    samples: &[Vec<Sample>],
    failures: &[Option<String>],
) -> Result<()> {
    let mut report = Report::new(
        &format!("Proxies: {}", case.name),
        "Processor time of the worker per request (user and system) and its ratio to nginx's (with bodies, to that nginx which \
         collects them or does not, as the server does); system calls per request; the 99th percentile; resident memory \
         at rest and after the load.",
    );
    report.head(&[
        "server",
        "µs / request",
        "/ nginx",
        "calls / request",
        "p99 ms",
        "MiB at rest",
        "MiB",
        "requests / s",
        "failed, %",
    ]);
    let middle = |at: usize, field: fn(&Sample) -> f64| {
        median(
            samples[at]
                .iter()
                .map(field)
                .filter(|value| !value.is_nan()),
        )
    };
    let nginx_beside = |side: Side| {
        let nginx = side.nginx_beside(case.sides);
        let at = case.sides.iter().position(|side| *side == nginx);
        at.map_or(f64::NAN, |at| middle(at, |sample| sample.cpu_micros))
    };
    for (at, side) in case.sides.iter().enumerate() {
        if let Some(failure) = &failures[at] {
            eprintln!("{}, {}: {failure}", case.name, side.name());
        }
        let cpu = middle(at, |sample| sample.cpu_micros);
        report.row(&[
            side.name(),
            figure(cpu),
            figure(cpu / nginx_beside(*side)),
            figure(middle(at, |sample| sample.calls)),
            figure(middle(at, |sample| sample.p99_ms)),
            figure(middle(at, |sample| sample.rest_mib)),
            figure(middle(at, |sample| sample.rss_mib)),
            figure(middle(at, |sample| sample.requests_per_s)),
            figure(middle(at, |sample| sample.failed)),
        ]);
    }
    report.finish(options.out.as_deref())
}
