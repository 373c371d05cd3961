//! Table 2: HTTP servers in front of one application, one worker on one core.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Programs;
use crate::options::Options;
use crate::peers::{Side, Site};
use crate::process::{self, Listening, OTHERS, Running};
use crate::report::{Report, figure, median};

struct Case {
    name: &'static str,
    clients: u32,
    body_len: u32,
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

const KIB: u32 = 1024;

const CASES: [Case; 6] = [
    case("16 bytes, 64 clients", 64, 16, 0, true),
    case("16 bytes, 256 clients", 256, 16, 0, true),
    case("16 bytes, 1,024 clients", 1024, 16, 0, false),
    case("100 KiB, 16 clients", 16, 100 * KIB, 0, false),
    case("1 MiB, 16 clients", 16, 1024 * KIB, 0, false),
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
        delay_ms,
        sides: ALL,
        counts_calls,
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
                };
                // Their numbers hardly differ from round to round.
                let counts_calls = case.counts_calls && round == 0;
                match sample(options, case, *side, &site, counts_calls) {
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
    case: &Case,
    side: Side,
    site: &Site<'_>,
    counts_calls: bool,
) -> Result<Sample> {
    let server = side.start(site)?;
    let pid = server.running.worker();
    let rest_mib = process::resident_mib(pid)?;
    // Connections are opened, buffers made, paths looked up.
    wrk(case.clients, options.duration / 4, server.address)?;
    let before = process::cpu_time(pid)?;
    let load = wrk(case.clients, options.duration, server.address)?;
    let cpu = process::cpu_time(pid)?.saturating_sub(before);
    let rss_mib = process::resident_mib(pid)?;
    let calls = if counts_calls {
        let during = || wrk(case.clients, options.duration, server.address);
        let (calls, load) = process::count_calls(pid, site.directory, during)?;
        calls as f64 / load.requests
    } else {
        f64::NAN
    };
    Ok(Sample {
        requests_per_s: load.requests_per_s,
        cpu_micros: cpu.as_secs_f64() * 1e6 / load.requests,
        p99_ms: load.p99_ms,
        rss_mib,
        rest_mib,
        calls,
        failed: load.failed / load.requests * 100.0,
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
        "Processor time of the worker per request (user and system) and its ratio to nginx's; system calls per request; \
         the 99th percentile; resident memory at rest and after the load.",
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
    let nginx = case.sides.iter().position(|side| *side == Side::Nginx);
    let nginx = nginx.map_or(f64::NAN, |at| middle(at, |sample| sample.cpu_micros));
    for (at, side) in case.sides.iter().enumerate() {
        if let Some(failure) = &failures[at] {
            eprintln!("{}, {}: {failure}", case.name, side.name());
        }
        let cpu = middle(at, |sample| sample.cpu_micros);
        report.row(&[
            side.name(),
            figure(cpu),
            figure(cpu / nginx),
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

/// What `wrk` says of a run.
struct Load {
    requests: f64,
    requests_per_s: f64,
    p99_ms: f64,
    /// Answers with a status of an error.
    failed: f64,
}

fn wrk(clients: u32, duration: Duration, address: SocketAddr) -> Result<Load> {
    // wrk counts in whole seconds.
    let seconds = duration.as_secs_f64().ceil().max(1.0);
    let arguments = [
        "-t1".to_owned(),
        format!("-c{clients}"),
        format!("-d{seconds:.0}s"),
        "--latency".to_owned(),
        // A client that waits for long is a bad 99th percentile, and no failure.
        "--timeout".to_owned(),
        "20s".to_owned(),
        format!("http://{address}/bench"),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = process::run(OTHERS, &PathBuf::from("/usr/bin/wrk"), &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let is_clean = output.status.success() && !text.contains("Socket errors");
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(is_clean, "wrk ends with {}:\n{text}{errors}", output.status);
    let after = |label: &str| {
        let mut words = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(label));
        words.next().map(str::trim)
    };
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .context("no number of requests")?
        .0;
    ensure!(requests != "0", "wrk got no answer");
    Ok(Load {
        requests: requests.parse()?,
        requests_per_s: after("Requests/sec:").context("no rate")?.parse()?,
        p99_ms: milliseconds(after("99%").context("no p99")?)?,
        failed: match after("Non-2xx or 3xx responses:") {
            Some(count) => count.parse()?,
            None => 0.0,
        },
    })
}

/// `12.34ms`, `870.00us` or `1.02s`.
fn milliseconds(text: &str) -> Result<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    for (unit, factor) in units {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.parse::<f64>()
        {
            return Ok(number * factor);
        }
    }
    anyhow::bail!("'{text}' is no time")
}
