//! Table 7: two threads of ours and two processes of nginx on two cores, with the load and the application beside them.

use std::fs;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use crate::Programs;
use crate::options::Options;
use crate::peers::{Side, Site};
use crate::php;
use crate::process::{self, ALL_CORES, Listening, Running};
use crate::report::{Report, figure, median};
use crate::wrk::Load;

const CLIENTS: u32 = 64;
const WORKERS: usize = 2;
/// Of the pool of php-fpm.
const PHP_WORKERS: u32 = 8;

#[derive(Clone, Copy)]
enum Application {
    Responder,
    Php,
}

const CASES: [(&str, Application, [Side; 2]); 2] = [
    (
        "two threads, 16 bytes",
        Application::Responder,
        [Side::Own, Side::Nginx],
    ),
    // Nginx keeps no connection: with those that it keeps, most clients get no answer (see the table of php-fpm).
    (
        "two threads, php-fpm with 8 workers",
        Application::Php,
        [Side::OwnMax(PHP_WORKERS as usize), Side::NginxClosing],
    ),
];

pub(crate) fn measure(options: &Options, programs: &Programs) -> Result<()> {
    let mut report = Report::new(
        &format!("Two threads, {CLIENTS} clients"),
        "`proxy --threads 2` and nginx with two worker processes, each with the clients and the application on two cores. \
         Processor time: of the server, all its threads or processes.",
    );
    report.head(&[
        "work",
        "server",
        "requests / s",
        "/ nginx",
        "µs / request",
        "/ nginx",
        "p99 ms",
        "failed, %",
    ]);
    for (name, application, sides) in CASES {
        if !options.wants(name) {
            continue;
        }
        let directory = TempDir::new()?;
        let root = directory.path().join("www");
        fs::create_dir(&root)?;
        let script = "<?php header('Content-Length: 6'); echo \"hello\\n\";";
        fs::write(root.join("index.php"), script)?;
        let mut samples = sides.map(|_| Vec::new());
        for _ in 0..options.rounds {
            for (side, samples) in sides.iter().zip(&mut samples) {
                let sample = sample(options, programs, application, *side, directory.path())?;
                samples.push(sample);
            }
        }
        let middles = samples.map(|samples| {
            [0, 1, 2, 3].map(|at| median(samples.iter().map(|sample: &[f64; 4]| sample[at])))
        });
        let nginx = middles[1];
        for (side, middle) in sides.iter().zip(middles) {
            report.row(&[
                name.to_owned(),
                side.name(),
                figure(middle[0]),
                figure(middle[0] / nginx[0]),
                figure(middle[1]),
                figure(middle[1] / nginx[1]),
                figure(middle[2]),
                figure(middle[3]),
            ]);
        }
    }
    report.finish(options.out.as_deref())
}

/// Answers per second, microseconds of the processor for each, the 99th percentile in ms, errors in per cent.
fn sample(
    options: &Options,
    programs: &Programs,
    application: Application,
    side: Side,
    directory: &Path,
) -> Result<[f64; 4]> {
    let socket = directory.join("fcgi.sock");
    let _application = match application {
        Application::Php => php::start_pool(PHP_WORKERS, directory, &socket)?,
        Application::Responder => {
            let _ = fs::remove_file(&socket);
            let address = format!("unix:{}", socket.display());
            let arguments = ["--listen", &address, "--threads", "2"];
            let mut running =
                Running::start(ALL_CORES, &programs.responder, &arguments, directory)?;
            running.wait_for(&Listening::Unix(socket.clone()))?;
            running
        }
    };
    let site = Site {
        programs,
        directory,
        socket: &socket,
        root: &directory.join("www"),
        workers: WORKERS,
    };
    let server = side.start(&site)?;
    let load = Load::new(CLIENTS, 0, directory)?.on(ALL_CORES, 2);
    load.run(options.duration / 4, server.address)?;
    let cpu_time = || {
        let pids = server.running.workers().into_iter();
        pids.map(process::cpu_time)
            .sum::<Result<std::time::Duration>>()
    };
    let before = cpu_time()?;
    let done = load.run(options.duration, server.address)?;
    let cpu = cpu_time()?.saturating_sub(before);
    Ok([
        done.requests_per_s,
        cpu.as_secs_f64() * 1e6 / done.requests,
        done.p99_ms,
        done.failed / done.requests * 100.0,
    ])
}
