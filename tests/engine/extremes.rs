//! Every limit at zero and at its largest value: nothing overflows, spins or is lost. Zero means at once, the largest
//! value means no limit.

use std::io::Cursor;
use std::time::Duration;

use mio_fcgi::wire::{RecordType, Role};
use mio_fcgi::{
    Backoff, Body, Config, EventKind, Limits, Multiplex, OverflowPolicy, PauseBuffer, Request,
    UnknownLength,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, Sent, config, records, request};

/// A limit's name, and a function that sets it to a duration.
type SetDuration = (&'static str, fn(&mut Config, Duration));

const DURATIONS: [SetDuration; 15] = [
    ("connect_timeout", |it, time| it.connect_timeout = time),
    ("connect_retry_timeout", |it, time| {
        it.connect_retry_timeout = time
    }),
    ("backoff", |it, time| {
        let first = time.max(Duration::from_nanos(1));
        it.backoff = Backoff {
            initial: first,
            max: first,
        };
    }),
    ("backoff.max", |it, time| {
        it.backoff.max = time.max(it.backoff.initial);
    }),
    ("probe_timeout", |it, time| it.probe_timeout = time),
    ("abort_grace", |it, time| it.abort_grace = time),
    ("preempt_idle_after", |it, time| {
        it.preempt_idle_after = Some(time)
    }),
    ("idle_timeout", |it, time| it.limits.idle_timeout = time),
    ("max_lifetime", |it, time| {
        it.limits.max_lifetime = Some(time)
    }),
    ("queue", |it, time| it.timeouts.queue = Some(time)),
    ("write", |it, time| it.timeouts.write = Some(time)),
    ("first_byte", |it, time| it.timeouts.first_byte = Some(time)),
    ("between_bytes", |it, time| {
        it.timeouts.between_bytes = Some(time)
    }),
    ("paused", |it, time| it.timeouts.paused = Some(time)),
    ("total", |it, time| it.timeouts.total = Some(time)),
];

/// A limit's name, and a function that sets it to a number: 0 or the largest.
type SetNumber = (&'static str, fn(&mut Config, usize));

const NUMBERS: [SetNumber; 12] = [
    ("max_connections_per_server", |it, most| {
        it.limits.max_connections_per_server = most.max(1);
    }),
    ("max_idle_per_server", |it, most| {
        it.limits.max_idle_per_server = most
    }),
    ("max_queued_requests", |it, most| {
        it.limits.max_queued_requests = most
    }),
    ("max_requests_per_connection", |it, most| {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        it.limits.max_requests_per_connection = Some(most.max(1));
    }),
    ("pause_buffer.per_request", |it, most| {
        it.pause_buffer.per_request = most
    }),
    ("pause_buffer.per_connection", |it, most| {
        it.pause_buffer.per_connection = most;
    }),
    ("pause_buffer.per_client", |it, most| {
        it.pause_buffer.per_client = most
    }),
    ("pause_buffer, failing", |it, most| {
        let mut stall = PauseBuffer::default();
        (stall.per_request, stall.per_connection) = (most, most);
        (stall.per_client, stall.overflow) = (most, OverflowPolicy::FailRequest);
        it.pause_buffer = stall;
    }),
    ("stdin_high_water", |it, most| {
        it.stdin_high_water = most.max(1)
    }),
    ("max_params_len", |it, most| {
        (it.max_params_len, it.split_long_pairs) = (most, true);
    }),
    ("max_retries", |it, most| {
        it.max_retries = u8::try_from(most).unwrap_or(u8::MAX);
    }),
    ("multiplex", |it, max| {
        let max = u32::try_from(max).unwrap_or(u32::MAX).max(1);
        it.multiplex = Multiplex::On { max };
    }),
];

/// The application answers every request that has arrived whole.
fn serve(bench: &mut Bench) {
    for peer in 0..bench.peers.len() {
        for item in bench.sent(peer) {
            if bench.peers[peer].closed.is_some() {
                break;
            }
            match item {
                Sent::StreamEnd(RecordType::Stdin, id) => {
                    bench.feed(peer, records().stdout(id, "out").stderr(id, "err"));
                    bench.feed(peer, records().stdout(id, "put").end(id, 0));
                }
                Sent::GetValues => bench.feed(peer, records().values(&[("FCGI_MPXS_CONNS", "1")])),
                _ => {}
            }
        }
    }
}

/// Submits every kind of request; the configuration refuses some. Returns how the accepted ones ended.
fn play(name: &str, config: Config) -> Vec<Seen> {
    let mut bench = Bench::new(config);
    bench.answers.push_back(Answer::Refuse);
    let body = || Cursor::new(b"body".to_vec());
    let mut ends = Vec::new();
    for round in 0..3 {
        for body in [
            Body::empty(),
            Body::bytes("body"),
            Body::reader(body(), None),
            Body::seekable(body(), Some(4)),
        ] {
            let _ = bench.try_submit(request().with_body(body));
        }
        let mut filter = Request::new(Role::Filter).with_body(Body::bytes("b"));
        filter.data = Body::bytes("data");
        let _ = bench.try_submit(filter);
        for len in [Some(4), None] {
            if let Ok(pushed) = bench.try_submit(request().with_body(Body::pushed(len))) {
                bench.command(|it, now| it.pause(now, pushed));
                let mut rest = &b"body"[..];
                for _ in 0..4 {
                    let taken = bench.command(|it, now| it.write_stdin(now, pushed, rest));
                    rest = &rest[taken.unwrap_or(rest.len())..];
                }
                let _ = bench.command(|it, now| it.finish_stdin(now, pushed));
                serve(&mut bench);
                bench.command(|it, now| it.resume(now, pushed));
            }
        }
        if let Ok(aborted) = bench.try_submit(request()) {
            bench.command(|it, now| it.abort(now, aborted));
        }
        if round == 1 {
            let limits = bench.engine.config().limits;
            let set = bench.command(|it, now| it.set_limits(now, limits));
            set.expect("they are valid");
        }
        for _ in 0..8 {
            serve(&mut bench);
            // Panics if a deadline that is due is not cleared.
            bench.advance(Duration::from_millis(200));
        }
        ends.extend(bench.events());
    }
    for peer in 0..bench.peers.len() {
        if bench.peers[peer].closed.is_none() {
            bench.eof(peer);
        }
    }
    println!("{name}: {} events", ends.len());
    bench.advance(Duration::from_secs(40 * 365 * 24 * 3_600));
    ends.extend(bench.events());
    bench.finish();
    ends.retain(|event| matches!(event.kind, EventKind::End(_)));
    Seen::all(&ends)
}

fn outcomes(ends: &[Seen]) -> (usize, usize) {
    let done = ends.iter().filter(|it| matches!(it, Seen::Done(..)));
    (done.count(), ends.len())
}

/// A configuration in which each limit can be set, and the outcomes of a run with it as it is.
fn plain(multiplex: Multiplex) -> (Config, (usize, usize)) {
    let mut config = config(multiplex);
    config.connect_retry_timeout = Duration::MAX;
    config.unknown_length = UnknownLength::Stream;
    let usual = outcomes(&play("usual", config.clone()));
    (config, usual)
}

#[test]
fn each_time_limit_may_be_zero_or_the_longest() {
    for multiplex in [Multiplex::Off, Multiplex::On { max: 3 }, Multiplex::Auto] {
        let (plain, usual) = plain(multiplex);
        assert!(usual.0 >= 20, "{usual:?}");
        for (name, set) in DURATIONS {
            let mut config = plain.clone();
            set(&mut config, Duration::ZERO);
            config.validate().expect("zero is valid");
            play(name, config);
            let mut config = plain.clone();
            set(&mut config, Duration::MAX);
            config.validate().expect("the longest is valid");
            let longest = outcomes(&play(name, config));
            if name != "backoff" {
                assert_eq!(
                    longest, usual,
                    "{name} {multiplex:?}: no limit ends nothing"
                );
            }
        }
        let mut all = [Duration::ZERO, Duration::MAX].map(|time| {
            let mut config = plain.clone();
            DURATIONS.iter().for_each(|(_, set)| set(&mut config, time));
            config
        });
        all[1].backoff = Backoff::default();
        let [shortest, longest] = all.map(|config| outcomes(&play("all", config)));
        assert!(shortest.1 > 0);
        assert_eq!(longest, usual, "{multiplex:?}");
    }
}

#[test]
fn each_number_may_be_zero_or_the_greatest() {
    for multiplex in [Multiplex::Off, Multiplex::On { max: 3 }] {
        let (plain, usual) = plain(multiplex);
        for (name, set) in NUMBERS {
            let mut config = plain.clone();
            set(&mut config, 0);
            config.validate().expect("zero, or one, is valid");
            play(name, config);
            let mut config = plain.clone();
            set(&mut config, usize::MAX);
            config.validate().expect("the greatest is valid");
            let greatest = outcomes(&play(name, config));
            assert_eq!(
                greatest, usual,
                "{name} {multiplex:?}: no limit ends nothing"
            );
        }
        let mut config = plain.clone();
        NUMBERS
            .iter()
            .for_each(|(_, set)| set(&mut config, usize::MAX));
        assert_eq!(outcomes(&play("all", config)), usual);
    }
}

#[test]
fn a_body_may_be_declared_to_be_as_long_as_can_be() {
    let mut bench = Bench::plain();
    let pushed = bench.submit(request().with_body(Body::pushed(Some(u64::MAX))));
    let taken = bench.command(|it, now| it.write_stdin(now, pushed, b"hello"));
    assert_eq!(taken, Ok(5));
    bench.command(|it, now| it.abort(now, pushed));
    let endless = Body::reader(std::io::repeat(7), Some(u64::MAX));
    let endless = request().with_body(endless);
    bench.answers.push_back(Answer::Hang);
    let endless = bench.submit(endless);
    bench.peers[1].window = 1_000_000;
    bench.accept(1);
    assert_eq!(bench.peers[1].sent.len(), 1_000_000);
    bench.command(|it, now| it.abort(now, endless));
    bench.finish();
}

#[test]
fn limits_that_contradict_each_other_are_refused_and_the_greatest_are_not() {
    let mut limits = Limits::default();
    (
        limits.max_connections_per_server,
        limits.max_idle_per_server,
    ) = (usize::MAX, usize::MAX);
    (limits.min_idle_per_server, limits.max_queued_requests) = (usize::MAX, usize::MAX);
    limits.max_requests_per_connection = Some(u32::MAX);
    (limits.idle_timeout, limits.max_lifetime) = (Duration::MAX, Some(Duration::MAX));
    assert_eq!(limits.validate(), Ok(()));
    let mut config = config(Multiplex::On { max: u32::MAX });
    config.limits = limits;
    assert_eq!(config.validate(), Ok(()));
    config.backoff = Backoff {
        initial: Duration::MAX,
        max: Duration::MAX,
    };
    assert_eq!(config.validate(), Ok(()));
    config.backoff.initial = Duration::ZERO;
    assert!(config.validate().is_err());
}
