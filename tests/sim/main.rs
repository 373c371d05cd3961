//! Random runs of the engine against applications that misbehave, in virtual time.
//!
//! Each run is drawn from a seed: configuration, links, applications, commands, clock. After each step the promises are
//! checked: one `End` per request and nothing after it, no byte in the response of another request, limits, gauges,
//! deadlines, no lost wake-up. A failure prints one line that repeats the run:
//!
//! ```text
//! SEED=1234 cargo test --features testkit --test sim
//! ```
//!
//! With `RUST_LOG=trace` it also prints the engine's log. `SIM_RUNS=100000` runs more seeds, and `SIM_START` sets the
//! first one. With `--profile sim` the runs take a tenth of the time and still check overflow, which `--release` does
//! not. With `--nocapture` the runs print how often they had each fault of applications and links, and how much virtual
//! time they took.

mod checks;
mod commands;
mod crowd;
mod draw;
mod far;
mod figures;
mod ids;
mod lists;
mod model;
mod pauses;
mod plan;
mod regressions;
mod request;
mod rest;
mod run;
mod servers;
mod setup;
mod shrink;
mod system;
mod totals;
mod watch;

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use mio_fcgi::testkit::internals::Rng;

use figures::Figures;
use plan::Plan;
use run::run;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The run of a seed.
fn plan_of(seed: u64) -> Plan {
    let mut plan = Plan::draw(&mut Rng::new(seed));
    plan.rng = Rng::new(seed);
    plan
}

/// Runs one seed. Returns its figures, or what is wrong.
fn try_seed(seed: u64) -> Result<Figures, String> {
    let plan = plan_of(seed);
    let first = outcome(&plan);
    let Err(what) = &first else {
        // Every 16th seed runs twice: the same calls give the same trace.
        let again = if seed.is_multiple_of(16) {
            outcome(&plan)
        } else {
            first.clone()
        };
        return match again == first {
            true => first.map(|(_, figures)| figures),
            false => Err("the same seed, another trace".into()),
        };
    };
    Err(what.clone())
}

/// The hash of a run's trace, or what was wrong; a panic is wrong, too.
fn outcome(plan: &Plan) -> Result<(u64, Figures), String> {
    match catch_unwind(AssertUnwindSafe(|| run(plan, false))) {
        Ok(result) => result.map_err(|violation| violation.what),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

/// Makes the smallest run that fails too, and prints all about it.
fn report(plan: &Plan, what: &str) -> String {
    let small = shrink::shrink(plan, |plan| outcome(plan).is_err());
    let mut text = format!("{what}\nsmallest run: {:?}\n", small.config);
    text += &format!(
        "client {}, shuffled {}, {:?}\n",
        small.is_client, small.is_shuffled, small.servers
    );
    for op in &small.ops {
        text += &format!("  {op:?}\n");
    }
    let again = catch_unwind(AssertUnwindSafe(|| run(&small, true)));
    if let Ok(Err(violation)) = again {
        let noise: &[&str] = match number("FULL") {
            Some(_) => &[],
            None => &[" takes ", " brings ", " of stdout", " of stderr", "Flush"],
        };
        let is_telling = |line: &&String| !noise.iter().any(|word| line.contains(word));
        let lines: Vec<_> = violation.trace.iter().filter(is_telling).collect();
        for line in &lines[lines.len().saturating_sub(60)..] {
            text += &format!("{line}\n");
        }
        text += &format!("at {:?}: {}\n", violation.at, violation.what);
    }
    text
}

fn report_seed(seed: u64, what: &str) -> String {
    let text = report(&plan_of(seed), what);
    format!("seed {seed}: {text}again: SEED={seed} cargo test --features testkit --test sim\n")
}

#[test]
fn random_runs_keep_every_promise() {
    if let Some(seed) = number("SEED") {
        let _ = env_logger::try_init();
        if let Err(what) = try_seed(seed) {
            panic!("{}", report_seed(seed, &what));
        }
        return;
    }
    let start = number("SIM_START").unwrap_or(0);
    let runs = number("SIM_RUNS").unwrap_or(2_000);
    let next = AtomicU64::new(start);
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(4));
    let mut all = Figures::default();
    let mut failures: Vec<(u64, String)> = Vec::new();
    thread::scope(|scope| {
        let work = || {
            let (mut figures, mut found) = (Figures::default(), Vec::new());
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= start + runs || found.len() >= 10 {
                    return (figures, found);
                }
                match try_seed(seed) {
                    Ok(more) => figures.merge(&more),
                    Err(what) => found.push((seed, what)),
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let (figures, found) = worker.join().expect("caught inside");
            all.merge(&figures);
            failures.extend(found);
        }
    });
    failures.sort();
    println!("from seed {start}: {all}");
    for (seed, what) in &failures {
        println!("SEED={seed}: {what}");
    }
    if let Some((seed, what)) = failures.first() {
        panic!("{}", report_seed(*seed, what));
    }
    // What is never tried proves nothing.
    if runs >= 2_000 {
        assert_eq!(all.names("faults of applications"), plan::FAULTS.len() + 8);
        assert_eq!(all.names("faults of the link"), 17);
        assert_eq!(all.names("the system beneath the driver"), 9);
        assert_eq!(all.names("commands"), 16);
    }
}

#[test]
fn inputs_of_the_fuzzer_keep_every_promise() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/client");
    let files = std::fs::read_dir(corpus).expect("the corpus is committed");
    for file in files {
        let path = file.expect("a file").path();
        let plan = Plan::of_bytes(&std::fs::read(&path).expect("readable"));
        if let Err(what) = outcome(&plan) {
            panic!("{}: {}", path.display(), report(&plan, &what));
        }
    }
}

#[test]
fn overflow_is_checked_in_this_build() {
    let sum = catch_unwind(|| black_box(u8::MAX) + black_box(1));
    assert!(
        sum.is_err(),
        "build with --profile sim instead of --release"
    );
}
