//! The test kit can play every edge case of a FastCGI client: here each is played in a few lines.
//!
//! The numbers are those of tests/cases.md, which lists the tests of how the library handles each case. This folder
//! shows what to use of the kit. `table.md` lists it in a few words for each case; `UPDATE_CASES=1 cargo test
//! --features testkit --test testkit` writes that file.

mod answers;
mod quirks;
mod receiving;
mod seams;
mod sending;
mod sharing;
mod waiting;

use std::fmt::Write as _;
use std::time::Duration;

use mio_fcgi::testkit::internals::Dialogue;
use mio_fcgi::testkit::{
    Behavior, Connect, Fragments, Link, ReceivedRequest, Records, Scripted, Server, Sim,
};
use mio_fcgi::wire::Role;
use mio_fcgi::{Config, Failure, Multiplex, Request, RequestError, RequestHandle, ServerId, Tag};

/// The number of a case, what of the kit plays it, and the code that plays it.
type Case = (u32, &'static str, fn());

const MS: Duration = Duration::from_millis(1);

/// The cases that are played elsewhere, and why.
const ELSEWHERE: [(u32, &str); 2] = [
    (
        89,
        "case 88 played 65,535 times, too long for here: tests/engine",
    ),
    (111, "sockets of the system: tests/net"),
];

#[test]
fn every_case_can_be_played() {
    let mut numbers: Vec<u32> = ELSEWHERE.iter().map(|(number, _)| *number).collect();
    for (number, with, play) in cases() {
        println!("case {number}: {with}");
        play();
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=112).collect::<Vec<_>>());
}

#[test]
fn the_table_is_what_is_played() {
    let mut rows: Vec<(u32, &str)> = ELSEWHERE.to_vec();
    rows.extend(cases().iter().map(|(number, with, _)| (*number, *with)));
    rows.sort_unstable();
    let mut table = String::from(
        "# What of the test kit plays which edge case\n\n\
         Written by `UPDATE_CASES=1 cargo test --features testkit --test testkit` from the plays in this folder. The\n\
         numbers are those of [cases.md](../cases.md).\n\n| case | take |\n|---|---|\n",
    );
    for (number, with) in rows {
        writeln!(table, "| {number} | {with} |").expect("a String takes every text");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testkit/table.md");
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(path, &table).expect("the repository can be written to");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == table, "table.md is not up to date");
}

fn cases() -> Vec<Case> {
    let all = [
        receiving::CASES,
        answers::CASES,
        sending::CASES,
        sharing::CASES,
    ];
    [all.concat(), waiting::CASES.to_vec()].concat()
}

/// A configuration with one connection, and one request on it at a time.
fn plain() -> Config {
    let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    config.multiplex = Multiplex::Off;
    config.limits.max_connections_per_server = 1;
    config
}

/// A configuration with one connection, and eight requests on it at a time.
fn shared() -> Config {
    let mut config = plain();
    config.multiplex = Multiplex::On { max: 8 };
    config
}

/// A client of one server, whose application has these behaviors.
fn sim(config: Config, behavior: impl FnMut(&ReceivedRequest) -> Behavior + 'static) -> Sim {
    sim_of(config, Scripted::new(behavior))
}

fn sim_of(config: Config, application: Scripted) -> Sim {
    let mut sim = Sim::new(config, 1).expect("valid");
    sim.serve(ServerId::new(0), application);
    sim
}

fn submit(sim: &mut Sim, tag: u64) -> RequestHandle {
    let request = Request::responder().param("TAG", tag.to_string());
    sim.submit(request, Tag(tag)).expect("there is room")
}

/// Submits one request, and runs until it has ended.
fn play(behavior: impl FnMut(&ReceivedRequest) -> Behavior + 'static) -> (Sim, RequestHandle) {
    let mut sim = sim(plain(), behavior);
    let handle = submit(&mut sim, 1);
    assert!(sim.run_to_end());
    (sim, handle)
}

fn server(sim: &mut Sim) -> &mut Server {
    sim.server(ServerId::new(0))
}

fn is_complete(sim: &Sim, handle: RequestHandle) -> bool {
    sim.outcome(handle).is_some_and(Result::is_ok)
}

fn failure(sim: &Sim, handle: RequestHandle) -> &Failure {
    let outcome = sim.outcome(handle).expect("it has ended");
    outcome.as_ref().expect_err("it failed")
}

fn error(sim: &Sim, handle: RequestHandle) -> &RequestError {
    &failure(sim, handle).error
}

#[test]
fn a_run_to_the_end_counts_requests_submitted_to_the_engine_itself() {
    let mut sim = sim(plain(), |request| match request.param("TAG") {
        Some(b"2") => Behavior::new().wait(5_000 * MS).stdout("slow").end(0),
        _ => Behavior::answer("fast"),
    });
    let now = sim.now();
    let request = Request::responder().param("TAG", "1");
    let direct = sim.engine().submit(now, request, Tag(1)).expect("room");
    let slow = submit(&mut sim, 2);
    assert!(sim.run_to_end());
    assert!(is_complete(&sim, direct) && is_complete(&sim, slow));
    // A second run is over at once, until another request is submitted.
    let at = sim.elapsed();
    assert!(sim.run_to_end());
    assert_eq!(sim.elapsed(), at);
    let now = sim.now();
    let asked = sim
        .engine()
        .get_values(now, ServerId::new(0), Tag(3))
        .expect("room");
    assert!(sim.run_to_end() && sim.outcome(asked).is_some());
}

/// What takes as long as possible happens after a hundred years, and nothing overflows.
#[test]
fn the_longest_duration_is_one_like_others() {
    let link = Link::default()
        .with_latency(Duration::MAX)
        .with_bytes_per_second(0)
        .with_capacity(usize::MAX)
        .with_reads(Fragments::UpTo(usize::MAX))
        .with_writes(Fragments::Each(usize::MAX));
    for (link, connect, wait) in [
        (link, Connect::Accept, Duration::ZERO),
        (Link::default(), Connect::AcceptAfter(Duration::MAX), MS),
        (Link::default(), Connect::Accept, Duration::MAX),
    ] {
        let mut config = plain();
        config.connect_timeout = Duration::MAX;
        config.timeouts = mio_fcgi::Timeouts::NONE;
        let mut sim = sim(config, move |_| {
            Behavior::new().wait(wait).stdout("late").end(0)
        });
        server(&mut sim).link(link).on_connect(move |_| connect);
        let handle = submit(&mut sim, 1);
        sim.advance(Duration::from_secs(1));
        assert_eq!(sim.outcome(handle), None);
        sim.advance(Duration::MAX);
        sim.jump(Duration::MAX);
        assert!(sim.run_to_end() && is_complete(&sim, handle));
    }
    let mut dialogue = Dialogue::new(Scripted::new(|_| {
        Behavior::new().wait(Duration::MAX).stdout("late").end(0)
    }));
    let connection = dialogue.connect();
    let request = Records::new()
        .begin(1, Role::Responder, false)
        .params_end(1);
    dialogue.send(connection, request.stdin_end(1).bytes());
    dialogue.advance(Duration::from_secs(1));
    assert!(dialogue.received(connection).is_empty());
    dialogue.advance(Duration::MAX);
    assert!(!dialogue.received(connection).is_empty());
}
