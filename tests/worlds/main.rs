//! Small worlds, explored to the end: every order of inputs, on the real engine.
//!
//! A world has two requests (one has three), at most two connections and two servers. In each state the promises are
//! checked, and that everything can still come to its end. `README.md` lists the worlds, their figures, and the faults that
//! they find.
//!
//! ```text
//! cargo test --features testkit --test worlds                                    # a few seconds
//! WORLDS_SECONDS=60 cargo test --profile sim --features testkit --test worlds -- --ignored --nocapture
//! ```
//!
//! A breach is printed as the shortest sequence of inputs, in words and as a line for `regressions.rs`.

mod asked;
mod canonical;
mod checks;
mod driver;
mod finish;
mod input;
mod link;
mod regressions;
mod search;
mod setup;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use input::Input::{self, *};
use search::{Breach, search};
use setup::{Setup, WORLDS};

/// Where the short searches begin: at the beginning, when a request was sent, and when it was answered.
const STARTS: [&[Input]; 3] = [
    &[],
    &[Submit, Connected(0), Write(0)],
    &[Submit, Connected(0), Write(0), End(0), Announce(0), Read(0)],
];

/// Searches all worlds, two at a time, and prints the figures. After a breach no further world is searched.
fn search_all(
    starts: &[&'static [Input]],
    limit: impl Fn(&Setup) -> (usize, Option<Duration>) + Sync,
) {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), Breach> {
        while let Some(setup) = WORLDS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (depth, time) = limit(setup);
            match search(setup, starts, depth, time) {
                Ok(figures) => println!("{}: {figures}", setup.name),
                Err(breach) => {
                    next.store(WORLDS.len(), Ordering::Relaxed);
                    return Err(breach);
                }
            }
        }
        Ok(())
    };
    let results = thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.map(|it| it.join().expect("caught inside"))
    });
    for result in results {
        if let Err(breach) = result {
            panic!("{breach}");
        }
    }
}

#[test]
fn every_order_of_a_few_inputs_keeps_every_promise() {
    search_all(&STARTS, |setup| {
        (if setup.limits.is_empty() { 4 } else { 3 }, None)
    });
}

#[test]
#[ignore = "as long as WORLDS_SECONDS for each world, 10 by default"]
fn every_order_of_many_inputs_keeps_every_promise() {
    let seconds = std::env::var("WORLDS_SECONDS").ok();
    let seconds = seconds.and_then(|it| it.parse().ok()).unwrap_or(10);
    let only = std::env::var("WORLD").ok();
    search_all(&[&[]], |setup| match &only {
        Some(name) if name != setup.name => (0, None),
        _ => (usize::MAX, Some(Duration::from_secs(seconds))),
    });
}
