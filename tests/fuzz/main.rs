//! The fuzz targets' entry functions over the committed corpus, and over mutations of it drawn from a seed.
//!
//! `FUZZ_RUNS=1000000 cargo test --profile sim --test fuzz` mutates for longer.

#[path = "entries/mod.rs"]
#[allow(unreachable_pub, reason = "they are a library to the fuzz targets")]
mod entries;

use std::fs;
use std::hint::black_box;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

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
    let runs = std::env::var("FUZZ_RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok());
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: runs.unwrap_or(2000),
            failure_persistence: None,
            ..Config::default()
        },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..12);
    let strategy = (prop::sample::select(seeds), edits);
    let result = runner.run(&strategy, |(mut octets, edits)| {
        for (place, octet, kind) in edits {
            let at = place.index(octets.len() + 1);
            match kind {
                0 => octets.insert(at, octet),
                1 if at < octets.len() => octets[at] = octet,
                _ if at < octets.len() => drop(octets.remove(at)),
                _ => {}
            }
        }
        entry(&octets);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{target}: {error}");
    }
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
fn octets_from_an_application() {
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
fn calls_of_the_engine() {
    run("calls", entries::calls);
}

#[test]
fn requests_over_http() {
    run("http", entries::http);
}

#[test]
fn parameters_from_requests() {
    run("env", entries::env);
}
