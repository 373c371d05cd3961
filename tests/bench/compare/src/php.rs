//! Table 3: a php-fpm pool that is smaller than the number of clients: how many are answered, and who is not.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::Programs;
use crate::options::Options;
use crate::peers::{Side, Site};
use crate::process::{self, ALL_CORES, Listening, OTHERS, Running};
use crate::report::{Report, figure, median};

const CLIENTS: u32 = 64;

/// Workers of the pool, and the sides in front of it.
const CASES: [(u32, &[Side]); 2] = [
    (
        8,
        &[
            Side::OwnMax(8),
            Side::OwnDefault,
            Side::Nginx,
            Side::NginxClosing,
            Side::HaProxyMax(8),
            Side::H2o,
        ],
    ),
    // What Debian's php-fpm comes with.
    (
        5,
        &[
            Side::OwnDefault,
            Side::Nginx,
            Side::NginxClosing,
            Side::HaProxy,
            Side::H2o,
        ],
    ),
];

/// What one measurement gives.
struct Sample {
    per_s: f64,
    /// The slowest client's answers by the median's.
    slowest: f64,
    served: f64,
    errors: f64,
}

pub(crate) fn measure(options: &Options, programs: &Programs) -> Result<()> {
    for (workers, sides) in CASES {
        if !options.wants(&format!("{workers} workers")) {
            continue;
        }
        let directory = TempDir::new()?;
        let root = directory.path().join("www");
        fs::create_dir(&root)?;
        let script = "<?php header('Content-Length: 6'); echo \"hello\\n\";";
        fs::write(root.join("index.php"), script)?;
        let mut samples: Vec<Vec<Sample>> = sides.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for (at, side) in sides.iter().enumerate() {
                match sample(options, programs, workers, *side, directory.path(), &root) {
                    Ok(sample) => samples[at].push(sample),
                    Err(error) => eprintln!("php-fpm, {}: {error:#}", side.name()),
                }
            }
        }
        let mut report = Report::new(
            &format!("php-fpm with {workers} workers, {CLIENTS} clients"),
            "Each client asks as soon as it was answered. The server is on one core, the clients on the other, php-fpm on \
             both. Slowest: the answers of the client that got fewest, as a part of the median's.",
        );
        report.head(&[
            "server",
            "answers / s",
            "slowest",
            "clients served",
            "failed",
        ]);
        for (samples, side) in samples.iter().zip(sides) {
            let middle = |field: fn(&Sample) -> f64| figure(median(samples.iter().map(field)));
            report.row(&[
                side.name(),
                middle(|sample| sample.per_s),
                middle(|sample| sample.slowest),
                middle(|sample| sample.served),
                middle(|sample| sample.errors),
            ]);
        }
        report.finish(options.out.as_deref())?;
    }
    Ok(())
}

fn sample(
    options: &Options,
    programs: &Programs,
    workers: u32,
    side: Side,
    directory: &Path,
    root: &Path,
) -> Result<Sample> {
    let socket = directory.join("php.sock");
    let _pool = start_pool(workers, directory, &socket)?;
    let site = Site {
        programs,
        directory,
        socket: &socket,
        root,
        workers: 1,
    };
    let server = side.start(&site)?;
    let seconds = options.duration.as_secs_f64();
    let (address, clients) = (server.address.to_string(), CLIENTS.to_string());
    let arguments = [&address[..], "/index.php", &clients, &seconds.to_string()];
    let output = process::run(OTHERS, &programs.own.join("many-clients"), &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "many-clients fails: {output:?}");
    let figures: Value = serde_json::from_str(&text)?;
    if figures["errors"] != 0 {
        eprintln!("php-fpm, {}: {}", side.name(), figures["why"]);
    }
    let counts = figures["counts"].as_array().context("counts")?;
    let counts: Vec<f64> = counts.iter().filter_map(Value::as_f64).collect();
    let least = counts.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(Sample {
        per_s: counts.iter().sum::<f64>() / seconds,
        // Where most get nothing, the median is 0 too.
        slowest: least / median(counts.iter().copied()).max(1.0),
        served: counts.iter().filter(|count| **count > 0.0).count() as f64,
        errors: figures["errors"].as_f64().context("errors")?,
    })
}

pub(crate) fn start_pool(workers: u32, directory: &Path, socket: &Path) -> Result<Running> {
    let _ = fs::remove_file(socket);
    let configuration = directory.join("php-fpm.conf");
    let text = format!(
        "[global]
error_log = {directory}/php-fpm-errors.log
daemonize = no
[www]
user = root
listen = {socket}
pm = static
pm.max_children = {workers}
",
        directory = directory.display(),
        socket = socket.display(),
    );
    fs::write(&configuration, text)?;
    let configuration = configuration.display().to_string();
    let arguments = ["-n", "-F", "-R", "-y", &configuration];
    let program = PathBuf::from("/usr/sbin/php-fpm8.2");
    let mut pool = Running::start(ALL_CORES, &program, &arguments, directory)?;
    pool.wait_for(&Listening::Unix(socket.to_owned()))?;
    Ok(pool)
}
