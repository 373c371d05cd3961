//! A reference client, and random worlds in which the library is compared with it.
//!
//! The reference was written from FastCGI 1.0, RFC 3875 and the documented promises, by somebody who had not read the
//! engine. It is as naive as it can be: it has a codec of its own, and reads a connection as a whole when it is over.
//!
//! The real engine runs a world (`driver`): requests of all roles, applications that follow a script or break the rules,
//! connections that are lost at any byte, aborts and pauses. Every byte, command and event is written down (`log`). Then the
//! reference reads each connection (`reference`), and says what each request was sent, what it was answered, and how it may
//! have ended. The events have to say the same (`compare`, `connections`). The heads of responses have a reference of their
//! own (`cgi`, `heads`).
//!
//! `REFERENCE_RUNS` is the number of worlds, `SEED` the first seed. A failure prints the seed of its world, the difference,
//! and the world. Where the library may do one of several things, the reference allows each, and says why.
//!
//! Faults were planted in a copy of the library, one at a time, and each was found, after this number of worlds: a
//! response cut short reported as complete 1, two streams swapped 2, a body record with another ID 2, no end of STDIN
//! 2, an application status of one byte 2, another role 2, an ID used twice in a row 2, NotProcessed too often 2, END
//! for another ID 3, a partial write repeated 3, one request too many on a connection 3, one byte of padding lost 4,
//! FCGI_KEEP_CONN where it is off 6, sent again after output 7, two ends 9, output after an abort 9, two ends of STDIN
//! 22, a question without padding 116, a POST sent twice 308, one retry too many 334, an ID used after an abort 510, a
//! premature record delivered 2,291, a pair over two records 3,711.

mod application;
mod cgi;
mod compare;
mod connections;
mod driver;
mod found;
mod heads;
mod log;
mod pieces;
mod reference;
mod retries;
mod rng;
mod show;
mod submitted;
mod wire;
mod world;

use std::panic::catch_unwind;
use std::time::Instant;

use driver::Run;
use rng::Rng;
use world::World;

#[test]
fn the_engine_does_what_the_reference_reads() {
    let (runs, first) = (number("REFERENCE_RUNS", 2_000), number("SEED", 0));
    let start = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let failed = std::thread::scope(|scope| {
        let share = |thread| {
            move || {
                (first + thread..first + runs)
                    .step_by(threads as usize)
                    .find_map(|seed| failure(seed, start))
            }
        };
        let shares: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(share(thread)))
            .collect();
        shares
            .into_iter()
            .filter_map(|share| share.join().expect("failures are values"))
            .min()
    });
    if let Some((seed, difference)) = failed {
        panic!("SEED={seed} REFERENCE_RUNS=1: {difference}");
    }
}

/// The seed and the first difference of a world, if there is one. A panic is one.
fn failure(seed: u64, start: Instant) -> Option<(u64, String)> {
    let outcome = catch_unwind(|| world(seed, start))
        .unwrap_or_else(|_| Err("a panic, see above".to_owned()));
    Some((seed, outcome.err()?))
}

/// Runs the world of a seed and compares.
fn world(seed: u64, start: Instant) -> Result<(), String> {
    let mut rng = Rng(seed);
    let world = World::new(&mut rng);
    let mut run = Run::new(world, rng, start);
    let verdict = run.run().and_then(|()| compare::check(&run));
    verdict.map_err(|difference| format!("{difference}\n{}", show::world(&run)))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(default)
}

#[test]
fn cgi_reads_what_the_reference_reads() {
    let (runs, first) = (
        number("REFERENCE_RUNS", 2_000).saturating_mul(5),
        number("SEED", 0),
    );
    for seed in first..first.saturating_add(runs) {
        if let Err(difference) = heads::compare(&mut Rng(seed)) {
            panic!("SEED={seed} REFERENCE_RUNS=1: {difference}");
        }
    }
}
