//! The driver of `Client` over simulated sockets, with the applications, the model and the checks of `tests/sim`. The
//! fuzzer's bytes take the place of the seed. `cargo test --test sim` runs the corpus, too, and cuts a failure down.

#![no_main]

#[path = "../../sim/checks.rs"]
mod checks;
#[path = "../../sim/crowd.rs"]
mod crowd;
#[path = "../../sim/draw.rs"]
mod draw;
#[path = "../../sim/far.rs"]
mod far;
#[path = "../../sim/figures.rs"]
mod figures;
#[path = "../../sim/lists.rs"]
mod lists;
#[path = "../../sim/model.rs"]
mod model;
#[path = "../../sim/pauses.rs"]
mod pauses;
#[path = "../../sim/plan.rs"]
mod plan;
#[path = "../../sim/request.rs"]
mod request;
#[path = "../../sim/rest.rs"]
mod rest;
#[path = "../../sim/run.rs"]
mod run;
#[path = "../../sim/servers.rs"]
mod servers;
#[path = "../../sim/setup.rs"]
mod setup;
#[path = "../../sim/watch.rs"]
mod watch;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(violation) = run::run(&plan::Plan::of_bytes(input), false) {
        panic!("{:?}: {}", violation.at, violation.what);
    }
});
