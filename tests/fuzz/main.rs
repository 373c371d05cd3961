//! The fuzz targets' entry functions over the committed corpus, and over mutations of it drawn from a seed.
//!
//! `FUZZ_RUNS=1000000 cargo test --profile sim --test fuzz` mutates for longer.

#[path = "entries/mod.rs"]
#[allow(unreachable_pub, reason = "they are a library to the fuzz targets")]
mod entries;

use std::cell::Cell;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use mio_fcgi::Counters;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn run(target: &str, entry: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let files = fs::read_dir(&directory).expect("the corpus is committed");
    let seeds: Vec<Vec<u8>> = files
        .map(|file| fs::read(file.expect("a file").path()).expect("readable"))
        .collect();
    assert!(!seeds.is_empty());
    for seed in &seeds {
        entry(seed);
    }
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..12);
    let strategy = (prop::sample::select(seeds), edits);
    let result = runner().run(&strategy, |(mut bytes, edits)| {
        for (place, byte, kind) in edits {
            let at = place.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        entry(&bytes);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{target}: {error}");
    }
}

fn runner() -> TestRunner {
    let runs = std::env::var("FUZZ_RUNS").ok();
    let config = Config {
        cases: runs.and_then(|runs| runs.parse().ok()).unwrap_or(2000),
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn overflow_is_checked_in_this_build() {
    let sum = std::panic::catch_unwind(|| black_box(u8::MAX) + black_box(1));
    assert!(
        sum.is_err(),
        "build with --profile sim instead of --release"
    );
}

#[test]
fn bytes_from_an_application() {
    run("received", entries::received);
}

#[test]
fn parameters() {
    run("params", entries::params);
}

#[test]
fn response_heads() {
    run("head", entries::head);
}

#[test]
fn responses_for_a_client() {
    run("reply", entries::reply);
}

#[test]
fn bodies_of_requests() {
    run("body", entries::body);
}

#[test]
fn calls_of_the_engine() {
    run("calls", |input| {
        entries::calls(input);
    });
}

#[test]
fn servers_and_limits_that_change() {
    run("changes", |input| {
        entries::changes(input);
    });
}

#[test]
fn calls_of_the_engine_drawn_without_a_corpus() {
    drawn(entries::calls, 2000, 100);
}

#[test]
fn changes_drawn_without_a_corpus() {
    drawn(entries::changes, 1000, 30);
}

fn drawn(entry: fn(&[u8]) -> Counters, ended: u64, other: u64) {
    let totals = Cell::new([0; 5]);
    let result = runner().run(&prop::collection::vec(any::<u8>(), 100..1200), |bytes| {
        let counters = entry(&bytes);
        let of_this = [
            counters.completed,
            counters.failed,
            counters.retries,
            counters.protocol_errors,
            counters.records_ignored,
        ];
        totals.set(std::array::from_fn(|at| totals.get()[at] + of_this[at]));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // Runs in which these outcomes are rare prove nothing.
    let [completed, failed, others @ ..] = totals.get();
    let is_enough = completed.min(failed) > ended && others.iter().all(|count| *count > other);
    assert!(is_enough, "the runs are too tame: {totals:?}");
}

#[test]
fn requests_over_http() {
    run("http", entries::http);
}

#[test]
fn parameters_from_requests() {
    run("env", entries::env);
}
