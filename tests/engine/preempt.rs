//! `Config::preempt_idle_after`: a slow application keeps its connections, and an application with few processes
//! starves no request.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio_fcgi::{CloseReason, EventKind, Multiplex, OwnedEvent, Retry, Tag};

use crate::harness::Bench;
use crate::script::{config, records, request};

const MS: Duration = Duration::from_millis(1);

/// An application with N processes. Each serves one connection until that is closed. Further connections wait in the
/// backlog: connected, and not read.
struct App {
    bench: Bench,
    processes: usize,
    /// How long a request takes, by its number.
    work: fn(usize) -> Duration,
    begun: usize,
    held: Vec<(usize, Option<Instant>)>,
    backlog: VecDeque<usize>,
    known: usize,
}

impl App {
    fn new(processes: usize, connections: usize, work: fn(usize) -> Duration) -> Self {
        let mut config = config(Multiplex::Off);
        config.limits.max_connections_per_server = connections;
        config.limits.max_idle_per_server = connections;
        Self {
            bench: Bench::new(config),
            processes,
            work,
            begun: 0,
            held: Vec::new(),
            backlog: VecDeque::new(),
            known: 0,
        }
    }

    fn submit(&mut self) {
        self.bench.submit(request());
    }

    /// Lets a millisecond pass and returns the requests that ended in it.
    fn advance(&mut self) -> Vec<Tag> {
        self.bench.advance(MS);
        self.accept();
        for place in 0..self.held.len() {
            let (peer, until) = self.held[place];
            if until.is_some_and(|until| until <= self.bench.now) {
                self.held[place].1 = None;
                let answer = |id| records().stdout(id, "x").end(id, 0);
                self.bench.answer(peer, answer);
            }
        }
        self.accept();
        let end = |event: OwnedEvent| match event.kind {
            EventKind::End(outcome) => {
                assert!(outcome.is_ok(), "{:?}: {outcome:?}", event.tag);
                Some(event.tag)
            }
            _ => None,
        };
        self.bench.events().into_iter().filter_map(end).collect()
    }

    fn accept(&mut self) {
        let bench = &mut self.bench;
        self.backlog.extend(self.known..bench.peers.len());
        self.known = bench.peers.len();
        let is_open = |peer: usize| bench.peers[peer].closed.is_none();
        self.held.retain(|(peer, _)| is_open(*peer));
        self.backlog.retain(|peer| is_open(*peer));
        while self.held.len() < self.processes
            && let Some(peer) = self.backlog.pop_front()
        {
            self.held.push((peer, None));
        }
        for (peer, until) in &mut self.held {
            if until.is_none() && !bench.sent(*peer).is_empty() {
                *until = Some(bench.now + (self.work)(self.begun));
                self.begun += 1;
            }
        }
    }

    fn preempted(&self) -> u64 {
        let counters = self.bench.stats().counters;
        counters.closed_for(CloseReason::Preempted)
    }

    /// N clients begin a millisecond apart, and each sends its next request when the one before has ended. Returns the
    /// largest number of later requests that overtook one request.
    fn serve(&mut self, clients: usize, requests: usize) -> usize {
        let mut ended: Vec<Option<usize>> = vec![None; requests];
        let (mut submitted, mut count, mut most) = (0, 0, 0);
        while count < requests {
            assert!(self.begun < 2 * requests, "requests are sent once");
            if submitted < clients {
                self.submit();
                submitted += 1;
            }
            for Tag(tag) in self.advance() {
                let number = tag as usize - 1;
                let later = ended[number..].iter().filter(|it| it.is_some());
                most = most.max(later.count());
                ended[number] = Some(count);
                count += 1;
                if submitted < requests {
                    self.submit();
                    submitted += 1;
                }
            }
        }
        most
    }
}

#[test]
fn a_slow_application_with_enough_processes_keeps_its_connections() {
    // Around 50 ms, and different enough to overtake each other.
    for work in [
        |_| 50 * MS,
        |number| Duration::from_millis(42 + number as u64 * 7 % 17),
        |_| Duration::from_secs(1),
    ] as [fn(usize) -> Duration; 3]
    {
        let mut app = App::new(64, 64, work);
        app.serve(64, 1_000);
        assert_eq!(app.preempted(), 0);
        assert!(app.bench.peers.len() <= 64);
        app.bench.finish();
    }
}

#[test]
fn idle_connections_are_not_preempted_for_new_ones_of_a_slow_application() {
    let mut app = App::new(64, 64, |_| 50 * MS);
    // One more at a time, so that one connection is new each time and all others are idle before it is answered.
    for at_once in 1..20 {
        for _ in 0..at_once {
            app.submit();
            app.advance();
        }
        for _ in 0..100 {
            app.advance();
        }
    }
    assert_eq!((app.preempted(), app.bench.peers.len()), (0, 19));
    app.bench.finish();
}

#[test]
fn a_slow_request_among_fast_ones_costs_a_connection_each_time_its_wait_has_doubled() {
    let slow = 15;
    let mut app = App::new(64, 64, |number| if number == 15 { 1_000 * MS } else { MS });
    for _ in 0..=slow {
        app.submit();
    }
    let (mut waited, mut preempted) = (0, Vec::new());
    loop {
        let ended = app.advance();
        waited += 1;
        preempted.resize(app.preempted() as usize, waited);
        if ended.contains(&Tag(slow + 1)) {
            break;
        }
        for _ in ended {
            app.submit();
        }
    }
    assert_eq!(preempted.len(), 5, "{preempted:?}");
    let wait = |pair: &[i32]| pair[1] - pair[0];
    let waits: Vec<_> = [0].into_iter().chain(preempted).collect();
    let waits: Vec<_> = waits.windows(2).map(wait).collect();
    let expected = [20, 40, 80, 160, 320];
    // The average wait and the turns of the fast requests come on top.
    let pairs = waits.iter().zip(expected);
    assert!(
        pairs
            .into_iter()
            .all(|(it, least)| (least..least + 4).contains(it)),
        "{waits:?}"
    );
    app.bench.finish();
}

#[test]
fn nobody_starves_before_two_processes_behind_eight_connections() {
    // Applications that end many, few and no requests within `preempt_idle_after`.
    for (work, most) in [
        ((|_| MS) as fn(usize) -> Duration, 100),
        (|_| 5 * MS, 40),
        (|_| 50 * MS, 20),
        (|_| Duration::from_secs(1), 20),
        (|number| if number % 10 == 0 { 200 * MS } else { MS }, 200),
    ] {
        let mut app = App::new(2, 8, work);
        let overtaken = app.serve(8, 1_000);
        println!("overtaken by {overtaken}, {} closed", app.preempted());
        assert!(overtaken <= most, "overtaken by {overtaken}");
        app.bench.finish();
    }
}

#[test]
fn a_burst_before_one_process_is_served_one_after_the_other() {
    for work in [|_| 5 * MS, |_| Duration::from_secs(1)] as [fn(usize) -> Duration; 2] {
        let mut app = App::new(1, 8, work);
        for _ in 0..8 {
            app.submit();
        }
        let mut pauses = 0;
        let mut ended = 0;
        while ended < 8 {
            ended += app.advance().len();
            // Nothing to do, although requests are waiting.
            pauses += usize::from(app.held.iter().all(|(_, until)| until.is_none()));
            assert!(pauses <= 8 * 30, "{ended} have ended");
        }
        println!("{pauses} ms of pauses");
        app.bench.finish();
    }
}

/// A bench with `requests` requests submitted at once, each on a connection of its own.
fn at_once(requests: usize) -> Bench {
    let mut bench = Bench::new(config(Multiplex::Off));
    for _ in 0..requests {
        bench.submit(request());
    }
    bench
}

fn preempted(bench: &Bench) -> u64 {
    bench.stats().counters.closed_for(CloseReason::Preempted)
}

#[test]
fn a_connection_whose_response_goes_on_is_not_preempted_for() {
    let mut bench = at_once(2);
    bench.advance(MS);
    bench.feed(0, records().stdout(1, "x").end(1, 0));
    bench.feed(1, records().stdout(1, "x"));
    bench.advance(1_000 * MS);
    assert_eq!(preempted(&bench), 0);
    bench.end(1);
    bench.finish();
}

#[test]
fn a_connection_that_has_served_is_not_preempted_for_while_it_is_idle() {
    let mut bench = at_once(2);
    bench.advance(MS);
    bench.feed(1, records().stdout(1, "x").end(1, 0));
    // Just before the other connection would be preempted for it.
    bench.advance(19 * MS + MS / 2);
    bench.feed(0, records().stdout(1, "x").end(1, 0));
    bench.advance(1_000 * MS);
    assert_eq!(preempted(&bench), 0);
    bench.finish();
}

#[test]
fn an_idle_connection_is_preempted_for_one_that_a_retried_request_needs() {
    let mut bench = at_once(2);
    for peer in 0..2 {
        bench.end(peer);
    }
    bench.advance(100 * MS);
    bench.submit(request().with_retry(Retry::IfStale));
    bench.reset(1);
    assert_eq!(bench.peers.len(), 3, "the idle one may be as stale");
    bench.advance(20 * MS);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Preempted));
    bench.end(2);
    bench.finish();
}

#[test]
fn a_new_connection_that_is_shared_costs_no_other_one() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 2;
    config.limits.idle_timeout = Duration::from_secs(3600);
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(request());
    }
    bench.advance(10 * MS);
    bench.feed(
        0,
        records().stdout(1, "x").end(1, 0).stdout(2, "x").end(2, 0),
    );
    bench.advance(Duration::from_secs(30));
    assert_eq!(bench.peers[0].closed, None, "it is idle, and stays");
    bench.seen();
    bench.end(1);
    bench.finish();
}
