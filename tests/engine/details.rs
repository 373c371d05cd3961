//! Small promises, each of which only this test covers.

use std::time::Duration;

use mio_fcgi::wire::RecordType;
use mio_fcgi::{
    Action, Body, CloseReason, Disconnected, Event, EventKind, Multiplex, OwnedEvent, RequestError,
    SubmitError, TimeoutKind, Timeouts, UnknownLength,
};

use crate::hand::{answer, get, post, used};
use crate::harness::{Answer, Bench};
use crate::script::{Records, Seen, Sent, config, content, done, out, records, request};

const MS: Duration = Duration::from_millis(1);

// --- submit, finish_stdin, set_limits, shutdown ---

#[test]
fn ready_tells_what_submit_would() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 1;
    let mut bench = Bench::new(config);
    let mut answers = Vec::new();
    for _ in 0..3 {
        let ready = bench.engine.ready(bench.now);
        assert_eq!(ready, bench.try_submit(request()).map(drop));
        answers.push(ready);
    }
    let full = SubmitError::QueueFull { limit: 1 };
    assert_eq!(answers, [Ok(()), Ok(()), Err(full)]);
    bench.end(0);
    bench.end(0);
    bench.command(|engine, now| engine.shutdown(now, None));
    let ready = bench.engine.ready(bench.now);
    assert_eq!(ready, Err(SubmitError::ShuttingDown));
}

#[test]
fn a_request_whose_body_was_collected_waits_no_longer_than_its_queue_limit() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.limits.max_connections_per_server = 1;
        config.unknown_length = UnknownLength::Buffer { limit: 10 };
    });
    let mut timeouts = Timeouts::NONE;
    timeouts.queue = Some(1000 * MS);
    hand.submit(request());
    let body = Body::pushed(None);
    let handle = hand.submit(request().with_body(body).with_timeouts(timeouts));
    hand.advance(5000 * MS);
    assert_eq!(hand.seen(), [], "what is collected does not wait yet");
    let finished = hand.command(|engine, now| engine.finish_stdin(now, handle));
    assert_eq!(finished, Ok(()));
    hand.advance(999 * MS);
    assert_eq!(hand.seen(), []);
    hand.advance(MS);
    let late = RequestError::TimedOut(TimeoutKind::Queue);
    let seen = hand.seen();
    assert!(
        matches!(&seen[..], [Seen::Failed(2, error, ..)] if *error == late),
        "{seen:?}"
    );
    hand.end(0);
    hand.finish();
}

#[test]
fn connections_to_be_opened_beforehand_are_replaced_when_a_later_limit_asks_for_them() {
    let mut bench = Bench::plain();
    let mut limits = bench.engine.config().limits;
    limits.min_idle_per_server = 1;
    let changed = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(changed, Ok(()));
    bench.submit(request());
    bench.end(0);
    bench.eof(0);
    assert_eq!(bench.peers.len(), 2, "one in place of the one that is lost");
    assert_eq!(bench.stats().connections.idle, 1);
    bench.finish();
}

#[test]
fn a_shut_down_gives_up_what_is_being_opened_for_nobody_although_the_limits_have_changed() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.answers.push_back(Answer::Hang);
    let waiting = bench.submit(request());
    bench.command(|engine, now| engine.shutdown(now, None));
    let limits = bench.engine.config().limits;
    let changed = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(changed, Ok(()));
    assert_eq!(bench.peers[1].closed, None);
    bench.command(|engine, now| engine.abort(now, waiting));
    assert_eq!(bench.peers[1].closed, Some(CloseReason::Retired));
    bench.end(0);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Retired));
}

#[test]
fn requests_that_wait_when_the_queue_is_made_shorter_wait_on() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    for _ in 0..4 {
        bench.submit(request());
    }
    let mut limits = bench.engine.config().limits;
    limits.max_queued_requests = 1;
    let changed = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(changed, Ok(()));
    for _ in 0..4 {
        bench.end(0);
    }
    assert_eq!(bench.seen(), [done(1), done(2), done(3), done(4)]);
    bench.finish();
}

#[test]
fn a_request_that_is_sent_again_waits_anew_and_its_report_is_of_that() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.timeouts.queue = Some(1000 * MS);
    });
    let connection = used(&mut hand);
    hand.ask(get());
    hand.send(connection);
    hand.tick(900 * MS);
    hand.closed(connection, Disconnected::Eof);
    assert_eq!(hand.dialled().len(), 1);
    hand.tick(999 * MS);
    assert_eq!(hand.polled(), []);
    hand.tick(MS);
    let mut scratch = [0; 1];
    let event = hand.engine.poll_pending(&mut scratch);
    let Some(Event {
        kind: EventKind::End(Err(why)),
        ..
    }) = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(why.error, RequestError::TimedOut(TimeoutKind::Queue));
    let timings = why.report.timings;
    assert_eq!((timings.queued(), timings.sent()), (None, None));
}

#[test]
fn the_silence_behind_an_early_answer_counts_from_the_last_byte_that_is_sent() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.timeouts.between_bytes = Some(1000 * MS);
    });
    hand.submit(request());
    hand.end(0);
    hand.peers[0].window = 1;
    hand.submit(request());
    hand.seen();
    hand.feed(0, records().stdout(2, "early"));
    hand.advance(5000 * MS);
    assert_eq!(hand.seen(), [out(2, "early")]);
    hand.open_window(0, 1000);
    hand.advance(999 * MS);
    assert_eq!(hand.seen(), []);
    hand.advance(MS);
    let silent = RequestError::TimedOut(TimeoutKind::BetweenBytes);
    let seen = hand.seen();
    assert!(
        matches!(&seen[..], [Seen::Failed(2, error, ..)] if *error == silent),
        "{seen:?}"
    );
    hand.finish();
}

#[test]
fn there_is_output_while_something_can_be_taken_and_not_longer() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |_| {});
    let has_output = |hand: &Bench| hand.engine.has_output();
    assert!(!has_output(&hand));
    let request = hand.ask(get());
    assert!(has_output(&hand), "a connect");
    let connection = hand.connect();
    hand.actions();
    assert!(!has_output(&hand));
    hand.engine.pause(hand.now, request);
    hand.engine.resume(hand.now, request);
    assert!(has_output(&hand), "a read");
    hand.actions();
    assert!(!has_output(&hand), "nothing was kept");
    hand.engine.abort(hand.now, request);
    hand.actions();
    assert!(has_output(&hand), "its end");
    hand.polled();
    assert!(!has_output(&hand));
    assert!(!hand.engine.wants_read(connection));
}

#[test]
fn a_report_counts_the_bytes_of_output() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, records().stdout(1, "abc").stderr(1, "de").end(1, 0));
    let events = bench.events();
    let Some(OwnedEvent {
        kind: EventKind::End(Ok(completion)),
        ..
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    assert_eq!(completion.report.bytes_received, 5);
    bench.finish();
}

#[test]
#[should_panic(expected = "empty scratch")]
fn output_that_was_kept_cannot_be_taken_without_room_for_it() {
    let mut bench = Bench::shared(2);
    let paused = bench.submit(request());
    bench.submit(request());
    bench.command(|engine, now| engine.pause(now, paused));
    bench.feed(0, records().stdout(1, "kept"));
    bench.engine.resume(bench.now, paused);
    let _ = bench.engine.poll_pending(&mut []);
}

#[test]
fn the_length_that_is_added_counts_towards_the_most_that_parameters_may_have() {
    for len in [1, 9, 10, 99, 100, 12_345] {
        let digits = len.to_string().len();
        let most = request().params.encoded_len() + 2 + "CONTENT_LENGTH".len() + digits;
        for (limit, fits) in [(most, true), (most - 1, false)] {
            let mut config = config(Multiplex::Off);
            config.max_params_len = limit;
            let mut bench = Bench::new(config);
            let body = Body::bytes(vec![b'x'; len]);
            let result = bench.try_submit(request().with_body(body));
            assert_eq!(result.is_ok(), fits, "{len} bytes, {limit} allowed");
        }
    }
}

#[test]
fn what_is_left_at_the_deadline_of_a_shut_down_ends_even_when_the_time_is_told_late() {
    for (first, late) in [(1000, 0), (1000, 5000), (500, 0)] {
        let mut hand = Bench::without_timeouts(Multiplex::Off, |_| {});
        hand.ask(get());
        hand.connect();
        let deadline = Some(hand.now + 1000 * MS);
        let earlier = Some(hand.now + first * MS);
        hand.engine.shutdown(hand.now, earlier);
        hand.engine.shutdown(hand.now, deadline);
        hand.tick(999 * MS);
        assert_eq!(hand.polled(), []);
        hand.tick((1 + late) * MS);
        let seen = hand.polled();
        assert!(
            matches!(&seen[..], [Seen::Failed(1, RequestError::ShutDown, ..), ..]),
            "{seen:?}"
        );
    }
}

// --- what is read ---

#[test]
fn a_late_record_behind_the_last_end_in_a_read_costs_no_shared_connection() {
    let mut bench = Bench::shared(2);
    bench.submit(request());
    bench.feed(0, records().end(1, 0).end(1, 0));
    assert_eq!(bench.seen(), [done(1)]);
    bench.submit(request());
    bench.end(0);
    assert_eq!(bench.seen(), [done(2)]);
    assert_eq!(bench.peers.len(), 1);
    assert_eq!(bench.peers[0].closed, None);
    bench.finish();
}

#[test]
fn an_end_that_comes_twice_is_no_answer_to_the_next_request_on_a_shared_connection() {
    let mut bench = Bench::shared(2);
    bench.submit(request());
    bench.end(0);
    bench.submit(request());
    assert_eq!(bench.id(0), 2);
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.seen(), [done(1)]);
    bench.end(0);
    assert_eq!(bench.seen(), [done(2)]);
    assert_eq!(bench.peers[0].closed, None);
    bench.finish();
}

/// An end for ID 1 is late only once the application has answered another ID.
#[test]
fn a_late_record_on_a_plain_connection_is_dropped_and_costs_the_connection() {
    let late = |bench: &mut Bench, served: u64, record: Records| {
        for _ in 0..served {
            bench.submit(request());
            bench.end(0);
        }
        bench.submit(request());
        assert_eq!(bench.id(0), 2);
        bench.feed(0, record);
        bench.end(0);
        assert_eq!(bench.seen().last(), Some(&done(served + 1)));
        assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
    };
    late(&mut Bench::plain(), 1, records().stdout(1, "late"));
    late(&mut Bench::plain(), 3, records().end(1, 0));
}

#[test]
fn an_id_that_something_came_late_for_is_not_used_again() {
    let mut bench = Bench::shared(3);
    bench.submit(request());
    bench.submit(request());
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.feed(0, records().stdout(1, "late"));
    bench.submit(request());
    assert_eq!(bench.id(0), 3);
    bench.end(0);
    assert_eq!(bench.seen(), [done(1), done(2), done(3)]);
    bench.finish();
}

#[test]
fn ids_that_end_within_a_read_are_used_again_once_it_is_used_up_and_not_before() {
    let mut hand = Bench::without_timeouts(Multiplex::On { max: 5 }, |config| {
        config.limits.max_connections_per_server = 1;
    });
    for _ in 0..3 {
        hand.ask(get());
    }
    let connection = hand.connect();
    let read = records().end(1, 0).end(2, 0).stdout(3, "on");
    let mut input = read.as_ref();
    for _ in 0..2 {
        let end = hand.engine.poll_received(hand.now, connection, &mut input);
        let end = end.expect("an end").into_owned();
        hand.note(end);
    }
    let id_of_next = |hand: &mut Bench| {
        hand.ask(get());
        let sent = hand.send(connection);
        u16::from_be_bytes([sent[2], sent[3]])
    };
    assert_eq!(id_of_next(&mut hand), 4, "1 and 2 rest");
    let rest = input.to_vec();
    assert_eq!(
        hand.receive(connection, rest),
        [done(1), done(2), out(3, "on")]
    );
    assert_eq!(id_of_next(&mut hand), 1);
}

#[test]
fn a_connection_whose_end_was_announced_by_mistake_is_used_again_when_nothing_was_found() {
    let mut hand = Bench::without_timeouts(Multiplex::On { max: 5 }, |config| {
        config.limits.max_connections_per_server = 1;
    });
    hand.ask(get());
    let connection = hand.connect();
    hand.engine.handle_read_closed(hand.now, connection);
    hand.ask(get());
    assert!(!hand.engine.wants_write(connection), "it is about to end");
    hand.drained(connection);
    assert!(hand.engine.wants_write(connection));
}

#[test]
fn each_request_on_a_connection_has_the_socket_read_before_its_own_limit_ends_it() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.timeouts.first_byte = Some(1000 * MS);
    });
    hand.ask(get());
    let connection = hand.connect();
    hand.drained(connection);
    for tag in 1..=3 {
        hand.tick(1000 * MS);
        assert_eq!(hand.actions(), [Action::Read { connection }], "{tag}");
        let id = 1 + (tag as u16 + 1) % 2;
        let seen = hand.short_read(connection, answer(id, "x"));
        assert_eq!(seen, [out(tag, "x"), done(tag)]);
        hand.ask(get());
        hand.send(connection);
        hand.drained(connection);
    }
}

#[test]
fn a_read_that_was_asked_for_before_a_pause_is_asked_for_again_after_it() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.timeouts.first_byte = Some(1000 * MS);
    });
    let request = hand.ask(get());
    let connection = hand.connect();
    hand.drained(connection);
    hand.tick(1000 * MS);
    assert_eq!(hand.actions(), [Action::Read { connection }]);
    hand.engine.pause(hand.now, request);
    assert!(!hand.engine.wants_read(connection));
    hand.engine.resume(hand.now, request);
    assert_eq!(hand.actions(), [Action::Read { connection }]);
}

// --- what is written ---

#[test]
fn only_what_may_not_be_sent_twice_on_an_idle_connection_that_has_served_is_read_for_first() {
    let reads_first = |hand: &Bench, it| hand.engine.reads_first(it);
    let shared = || Bench::without_timeouts(Multiplex::On { max: 10 }, |_| {});
    let mut hand = shared();
    hand.ask(post());
    let new = hand.dialled()[0];
    hand.engine.handle_connected(hand.now, new);
    assert!(hand.engine.wants_write(new));
    assert!(!reads_first(&hand, new), "it has not served");

    let mut hand = shared();
    let idle = used(&mut hand);
    hand.ask(post());
    assert!(reads_first(&hand, idle));
    hand.ask(post());
    assert!(reads_first(&hand, idle), "nothing has left");

    let mut hand = shared();
    let busy = used(&mut hand);
    hand.ask(get());
    hand.send(busy);
    hand.ask(post());
    assert!(!reads_first(&hand, busy), "something has left");
}

#[test]
fn only_a_question_on_a_connection_that_has_served_counts_as_reuse() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "0")]));
    let events = bench.events();
    let Some(OwnedEvent {
        kind: EventKind::End(Ok(completion)),
        ..
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    assert!(completion.report.timings.last_byte().is_some());
    assert_eq!(bench.stats().counters.reused, 0);
    bench.get_values(0);
    assert_eq!(bench.stats().counters.reused, 1);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "0")]));
    bench.finish();
}

#[test]
fn without_a_limit_nobody_is_woken_for_a_request_that_was_sent() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |_| {});
    hand.ask(get());
    hand.connect();
    assert!(hand.engine.timeout(hand.now) != Some(Duration::ZERO));
}

#[test]
fn what_was_framed_of_a_body_leaves_as_a_whole_although_its_request_was_aborted() {
    let mut bench = Bench::shared(2);
    bench.submit(request());
    bench.sent(0);
    bench.peers[0].window = 0;
    let body = vec![b'x'; 9_000];
    let aborted = bench.submit(request().with_body(Body::bytes(body.clone())));
    bench.command(|engine, now| engine.abort(now, aborted));
    bench.open_window(0, usize::MAX);
    let sent = bench.sent(0);
    assert!(content(&sent, RecordType::Stdin, 2) == body);
    assert_eq!(sent.last(), Some(&Sent::Abort(2)));
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn a_write_of_nothing_is_no_progress() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.timeouts.write = Some(1000 * MS);
    });
    hand.ask(get());
    let connection = hand.dialled()[0];
    hand.engine.handle_connected(hand.now, connection);
    for _ in 0..9 {
        hand.tick(100 * MS);
        hand.engine.handle_transmitted(hand.now, connection, 0);
        assert_eq!(hand.polled(), []);
    }
    hand.tick(100 * MS);
    let stuck = RequestError::TimedOut(TimeoutKind::Write);
    let seen = hand.polled();
    assert!(
        matches!(&seen[..], [Seen::Failed(1, error, ..)] if *error == stuck),
        "{seen:?}"
    );
}
