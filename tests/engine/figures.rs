//! Figures: reports, counters and the engine's `Debug` output.

use std::time::Duration;

use mio_fcgi::{Body, CloseReason, EventKind, Report};

use crate::harness::{Answer, Bench};
use crate::script::{records, request};

const MS: Duration = Duration::from_millis(1);

/// The reports of the requests that have completed since the last call.
fn reports(bench: &mut Bench) -> Vec<Report> {
    let events = bench.events();
    let reports = events.into_iter().filter_map(|event| match event.kind {
        EventKind::End(Ok(completion)) => Some(completion.report),
        _ => None,
    });
    reports.collect()
}

#[test]
fn a_report_says_whether_its_connection_had_served_and_else_how_long_it_took_to_open() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    bench.advance(20 * MS);
    bench.accept(0);
    bench.end(0);
    for _ in 0..2 {
        bench.submit(request());
        bench.end(0);
    }
    let told: Vec<_> = reports(&mut bench)
        .iter()
        .map(|report| (report.reused, report.timings.connect()))
        .collect();
    assert_eq!(told, [(false, Some(20 * MS)), (true, None), (true, None)]);
    assert_eq!(bench.stats().counters.reused, 2);
    bench.finish();
}

#[test]
fn a_connection_was_opened_for_the_first_of_those_that_share_it() {
    let mut bench = Bench::shared(2);
    bench.submit(request());
    bench.submit(request());
    bench.feed(0, records().end(1, 0).end(2, 0));
    let told: Vec<_> = reports(&mut bench)
        .iter()
        .map(|report| (report.reused, report.timings.connect()))
        .collect();
    assert_eq!(told, [(false, Some(Duration::ZERO)), (false, None)]);
    bench.finish();
}

/// Its connection serves other requests by then.
#[test]
fn the_report_of_a_request_given_up_after_its_end_is_that_of_its_end() {
    let mut bench = Bench::shared(2);
    let slow = bench.submit(request());
    bench.submit(request());
    bench.command(|engine, now| engine.pause(now, slow));
    bench.feed(0, records().stdout(1, "held").stdout_end(1).end(1, 0));
    bench.advance(20 * MS);
    let listed = bench.engine.requests(bench.now).next().expect("two").report;
    assert_eq!((listed.bytes_sent, listed.bytes_received), (64, 4));
    assert_eq!(listed.timings.total(), 20 * MS);
    bench.command(|engine, now| engine.abort(now, slow));
    let events = bench.events();
    let EventKind::End(Err(failure)) = &events[0].kind else {
        panic!("{events:?}");
    };
    assert_eq!(failure.report, listed);
    bench.feed(0, records().end(2, 0));
    bench.finish();
}

#[test]
fn a_report_counts_the_bytes_of_its_own_request() {
    let mut bench = Bench::shared(8);
    let with_body = || request().with_body(Body::bytes(vec![b'x'; 40_000]));
    bench.submit(with_body());
    bench.peers[0].window = 0;
    for _ in 0..3 {
        bench.submit(with_body());
    }
    bench.open_window(0, usize::MAX);
    let each = bench.peers[0].sent.len() as u64 / 4;
    bench.feed(0, records().end(1, 0).end(2, 0).end(3, 0).end(4, 0));
    let sent: Vec<u64> = reports(&mut bench).iter().map(|it| it.bytes_sent).collect();
    assert_eq!(sent, [each; 4]);
    bench.finish();
}

#[test]
fn the_engine_shows_what_is_due_next() {
    // A connect can be late only where the request could go elsewhere: to another shared connection.
    for (mut bench, can_be_late) in [(Bench::plain(), false), (Bench::shared(2), true)] {
        assert!(format!("{:?}", bench.engine).contains("next_due: None"));
        bench.servers[0] = Answer::Hang;
        bench.submit(request());
        let shown = format!("{:?}", bench.engine);
        assert_eq!(shown.contains("\"Late\""), can_be_late, "{shown}");
        bench.advance(250 * MS);
        let shown = format!("{:?}", bench.engine);
        assert!(shown.contains("\"Connect\""), "{shown}");
        bench.accept(0);
        bench.end(0);
        bench.finish();
    }
}

#[test]
fn idle_are_the_connections_that_a_request_may_have_now() {
    let mut bench = Bench::plain();
    bench.tells_reads = true;
    let gauges = |bench: &Bench| {
        let connections = bench.stats().connections;
        (connections.idle, connections.busy)
    };
    bench.submit(request());
    assert_eq!(gauges(&bench), (0, 1));
    let answer = records().padded(3).end(1, 0);
    let (answer, padding) = answer.as_ref().split_at(answer.as_ref().len() - 1);
    bench.feed(0, answer);
    assert_eq!(gauges(&bench), (0, 1), "its padding is to come");
    bench.feed(0, padding);
    assert_eq!(gauges(&bench), (1, 0));
    bench.arrive(0, "");
    assert_eq!(gauges(&bench), (0, 1), "something is to be read");
    bench.catch_up(0);
    assert_eq!(gauges(&bench), (1, 0), "nothing was");
    bench.finish();
}

#[test]
fn closed_connections_are_told_by_reason_and_what_never_happened_is_left_out() {
    let mut bench = Bench::plain();
    for _ in 0..3 {
        bench.submit(request());
    }
    for peer in 0..2 {
        bench.end(peer);
        bench.eof(peer);
    }
    let aborted = bench.handles[2];
    bench.command(|engine, now| engine.abort(now, aborted));
    let counters = bench.stats().counters;
    let closed: Vec<_> = counters.closed_by_reason().collect();
    let expected = [(CloseReason::Aborted, 1), (CloseReason::ClosedIdle, 2)];
    assert_eq!(closed, expected);
    for (reason, count) in expected {
        assert_eq!(counters.closed_for(reason), count);
    }
    assert_eq!(counters.closed_for(CloseReason::LateRecord), 0);
    let shown = format!("{counters:?}");
    let told = "closed: {Aborted: 1, ClosedIdle: 2}";
    assert!(shown.contains(told), "{shown}");
    bench.finish();
}
