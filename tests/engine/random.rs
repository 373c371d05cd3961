//! Random commands, octets, faults and time over applications that misbehave.
//!
//! Each run has a seed of its own, which a failure prints: `SEED=n` runs that one again, `RUNS=n` those up to n.

use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{Disconnected, Event, Outcome, RequestHandle, Tag};

use crate::random_app::response_octet;
use crate::random_sim::Sim;

const RUNS: u64 = 2_000;
const STEPS: usize = 120;

#[test]
fn whatever_happens_the_promises_hold() {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("SEED");
    let last = seed.or_else(|| number("RUNS")).unwrap_or(RUNS);
    let seeds = seed.unwrap_or(1)..=last;
    let mut totals = Totals::default();
    for seed in seeds {
        let failed = Failed(seed);
        run(seed, &mut totals);
        std::mem::forget(failed);
    }
    if seed.is_none() {
        totals.check();
    }
}

/// Tells the seed of a run that panics.
struct Failed(u64);

impl Drop for Failed {
    fn drop(&mut self) {
        eprintln!("to repeat this run: SEED={}", self.0);
    }
}

/// What all runs together must have met, or they prove nothing.
#[derive(Debug, Default)]
struct Totals {
    completed: u64,
    failed: u64,
    retries: u64,
    protocol_errors: u64,
    ignored: u64,
    held: usize,
    multiplexed: usize,
}

impl Totals {
    fn check(&self) {
        let enough = self.completed > 3_000
            && self.failed > 3_000
            && self.retries > 100
            && self.protocol_errors > 100
            && self.ignored > 100
            && self.held > 100
            && self.multiplexed > 100;
        assert!(enough, "the runs are too tame: {self:?}");
    }
}

fn run(seed: u64, totals: &mut Totals) {
    let mut random = Random::new(seed);
    let mut sim = Sim::new(&mut random);
    for _ in 0..STEPS {
        step(&mut sim, &mut random);
        sim.check();
        totals.held += usize::from(sim.engine.stats().octets_held > 0);
    }
    wind_up(&mut sim, &mut random);
    let counters = sim.engine.stats().counters;
    totals.completed += counters.completed;
    totals.failed += counters.failed;
    totals.retries += counters.retries;
    totals.protocol_errors += counters.protocol_errors;
    totals.ignored += counters.records_ignored;
    totals.multiplexed += sim.multiplexed;
}

fn step(sim: &mut Sim, random: &mut Random) {
    match random.below(100) {
        0..14 => sim.submit(random),
        14..16 => sim.get_values(random),
        16..20 => {
            if let Some(request) = pick(sim, random) {
                let now = sim.now;
                sim.engine.abort(now, request);
            }
        }
        20..25 => {
            if let Some(request) = pick(sim, random) {
                let now = sim.now;
                sim.engine.pause(now, request);
            }
        }
        25..31 => {
            if let Some(request) = pick(sim, random) {
                let now = sim.now;
                sim.engine.resume(now, request);
            }
        }
        31..39 => sim.push(random),
        39..47 => sim.connect(random),
        47..56 => sim.open_window(random),
        56..74 => sim.application(random),
        74..86 => sim.read(random),
        86..90 => sim.advance(random.below(3_000)),
        90..92 => sim.advance_to_timeout(),
        92..94 => sim.limits(random),
        _ => {
            let most = if random.chance(4) {
                random.below(4)
            } else {
                10_000
            };
            sim.drain(most as usize);
        }
    }
    if random.chance(2) {
        sim.drain(10_000);
    }
}

/// Any request so far, ended ones too: their handles are stale and harmless.
fn pick(sim: &Sim, random: &mut Random) -> Option<RequestHandle> {
    let index = random.below(sim.requests.len() as u64 + 1) as usize;
    sim.requests.get(index).map(|request| request.handle)
}

/// Lets everything end: bodies are finished or aborted, pauses lifted, applications answer or fall silent.
fn wind_up(sim: &mut Sim, random: &mut Random) {
    let answers = random.chance(2);
    let now = sim.now;
    if random.chance(2) {
        let deadline = random.chance(2).then(|| now + Duration::from_secs(2));
        sim.engine.shutdown(now, deadline);
    }
    for index in 0..sim.requests.len() {
        let handle = sim.requests[index].handle;
        sim.engine.resume(now, handle);
        if sim.requests[index].pushed.is_some() {
            sim.engine.abort(now, handle);
        }
    }
    if answers {
        // Long before any time limit: nobody waits for what has happened already.
        for _ in 0..100 {
            sim.drain(10_000);
            sim.settle(true);
        }
        let stats = sim.engine.stats();
        let left = stats.requests.active + stats.requests.holding + stats.requests.aborting;
        assert!(left <= stats.connections.probing, "stuck: {:?}", sim.engine);
    }
    for round in 0..10_000 {
        sim.drain(10_000);
        sim.settle(answers);
        sim.check();
        if sim.engine.is_idle() && !sim.engine.has_output() {
            break;
        }
        if round == 200 {
            sim.engine.shutdown(sim.now, None);
        }
        sim.advance_to_timeout();
        assert!(round < 9_999, "it never ends: {:?}", sim.engine);
    }
    sim.engine.shutdown(sim.now, None);
    sim.drain(10_000);
    sim.finish();
}

impl Sim {
    /// One application does something, good or bad.
    fn application(&mut self, random: &mut Random) {
        let Some(index) = self.open_connection(random) else {
            return;
        };
        let lose = |why| Some(Some(why));
        let ending = match random.below(60) {
            0 => lose(Disconnected::Eof),
            1 => lose(Disconnected::Failed(std::io::ErrorKind::ConnectionReset)),
            _ => None,
        };
        let connection = &mut self.connections[index];
        if let Some(ending) = ending {
            connection.ending = connection.ending.or(ending);
            return self.announce(index);
        }
        if connection.ending.is_some() {
            return;
        }
        let app = &mut connection.app;
        match random.below(100) {
            0..2 => app.garbage(random),
            2..7 => app.stray(random),
            7..12 => app.answer_values(random),
            12..18 => {
                let status = match random.below(4) {
                    0 => ProtocolStatus::CantMultiplex,
                    1 | 2 => ProtocolStatus::Overloaded,
                    _ => ProtocolStatus::UnknownRole,
                };
                app.end(random, status);
            }
            18..45 => app.end(random, ProtocolStatus::RequestComplete),
            45..55 => app.stdout_end(random),
            _ => app.output(random),
        }
        self.announce(index);
    }
}

/// An accepted request and what has come of it.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) handle: RequestHandle,
    /// Octets pushed and in all, while the pushed body is not finished.
    pub(crate) pushed: Option<(u64, u64)>,
    pub(crate) received: u64,
    pub(crate) stdout_ended: bool,
    pub(crate) outcome: Option<Outcome>,
}

/// Holds an event against what the application can have meant.
pub(crate) fn note(requests: &mut [Submitted], shut_downs: &mut usize, event: Event<'_>) {
    let Some(Tag(tag)) = event.tag() else {
        *shut_downs += 1;
        return;
    };
    // Tags count from 1.
    let request = &mut requests[tag as usize - 1];
    assert_eq!(event.request(), Some(request.handle));
    assert_eq!(request.outcome, None, "{event:?} after End");
    match event {
        Event::Stdout { data, .. } => {
            assert!(!data.is_empty() && !request.stdout_ended);
            for octet in data {
                let expected = response_octet(tag, request.received);
                assert_eq!(*octet, expected, "of {tag} at {}", request.received);
                request.received += 1;
            }
        }
        Event::StdoutEnd { .. } => request.stdout_ended = true,
        Event::End { outcome, .. } => {
            if let Ok(completion) = &outcome {
                // The application says how much it sent in its status.
                assert_eq!(u64::from(completion.app_status), request.received);
            }
            request.outcome = Some(outcome);
            request.pushed = None;
        }
        _ => {}
    }
}

/// xorshift64*: the same seed gives the same run.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit.max(1)
    }

    /// One in `of`.
    pub(crate) fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}
