//! The lists of requests and connections: what an operator sees of each.

use std::time::Duration;

use mio_fcgi::{Body, Multiplex, RequestState, UnknownLength};

use crate::harness::{Answer, Bench};
use crate::lists;
use crate::script::{config, records, repeatable, request};

const SECOND: Duration = Duration::from_secs(1);

fn requests(bench: &Bench) -> Vec<String> {
    assert_eq!(
        lists::check(&bench.engine, bench.now, &bench.stats()),
        Ok(())
    );
    let all = bench.engine.requests(bench.now);
    all.map(|it| it.to_string()).collect()
}

fn connections(bench: &Bench) -> Vec<String> {
    let all = bench.engine.connections(bench.now);
    all.map(|it| it.to_string()).collect()
}

/// Six requests: receiving and paused, sent, sending and without more of its body, sending, queued, buffering. Each of
/// the first four has a connection of its own; another one is being opened.
fn one_of_each() -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 5;
    config.connect_timeout = 60 * SECOND;
    config.unknown_length = UnknownLength::Buffer { limit: 100 };
    let mut bench = Bench::new(config);
    let paused = bench.submit(request());
    bench.advance(SECOND);
    bench.answer(0, |id| records().stdout(id, "hello"));
    bench.submit(request());
    bench.submit(request().with_body(Body::pushed(Some(100))));
    bench.servers[0] = Answer::Hang;
    bench.submit(request().with_body(Body::bytes(vec![b'x'; 100])));
    bench.peers[3].window = 10;
    bench.accept(3);
    bench.submit(request());
    bench.submit(request().with_body(Body::pushed(None)));
    bench.advance(SECOND);
    bench.answer(0, |id| records().stdout(id, " again"));
    bench.command(|engine, now| engine.pause(now, paused));
    bench.advance(SECOND / 2);
    bench
}

#[test]
fn a_line_says_what_a_request_is_doing_since_when_and_where() {
    let mut bench = one_of_each();
    assert_eq!(
        requests(&bench),
        [
            "request 0, tag 1: receiving for 1.5s on connection 0, last progress 500.0ms ago, paused; \
             64 bytes sent, 11 received, server 0; \
             queued 0.0ns, connect 0.0ns, sent 0.0ns, first byte 1.0s, last byte 2.0s, total 2.5s",
            "request 1, tag 2: awaiting output for 1.5s on connection 1; 64 bytes sent, 0 received, server 0; \
             queued 0.0ns, connect 0.0ns, sent 0.0ns, total 1.5s",
            "request 2, tag 3: sending for 1.5s on connection 2, awaits its body; \
             72 bytes sent, 0 received, server 0; queued 0.0ns, connect 0.0ns, total 1.5s",
            "request 3, tag 4: sending for 1.5s on connection 3; 10 bytes sent, 0 received, server 0; \
             queued 0.0ns, connect 0.0ns, total 1.5s",
            "request 4, tag 5: queued for 1.5s; 0 bytes sent, 0 received; total 1.5s",
            "request 5, tag 6: buffering for 1.5s, awaits its body; 0 bytes sent, 0 received; total 1.5s",
        ]
    );
    assert_eq!(
        connections(&bench),
        [
            "connection 0 to server 0: busy, opened 2.5s ago, last activity 500.0ms ago, requests 1 of 1, \
             64 bytes sent, 27 bytes received, not read because of a pause",
            "connection 1 to server 0: busy, opened 1.5s ago, requests 1 of 1, 64 bytes sent",
            "connection 2 to server 0: busy, opened 1.5s ago, requests 1 of 1, 72 bytes sent",
            "connection 3 to server 0: busy, opened 1.5s ago, requests 1 of 1, 10 bytes sent, 182 unsent",
            "connection 4 to server 0: connecting, opened 1.5s ago",
        ]
    );
    for handle in bench.handles.clone() {
        bench.command(|engine, now| engine.abort(now, handle));
    }
    bench.command(|engine, now| engine.shutdown(now, None));
    assert_eq!(bench.engine.requests(bench.now).count(), 0);
    assert_eq!(bench.engine.connections(bench.now).count(), 0);
    bench.finish();
}

#[test]
fn an_item_has_these_fields() {
    let bench = one_of_each();
    let first = bench.engine.requests(bench.now).next().expect("one");
    assert_eq!(
        (first.request, first.connection),
        (bench.handles[0], Some(bench.peers[0].handle))
    );
    assert_eq!(first.age(), 5 * SECOND / 2);
    let handles = "request: RequestHandle { index: 0, generation: 1 }, tag: Tag(1)";
    let timings = "queued: Some(0ns), connect: Some(0ns), sent: Some(0ns), first_byte: Some(1s), \
         last_byte: Some(2s), total: 2.5s";
    assert_eq!(
        format!("{first:?}"),
        format!(
            "RequestInfo {{ {handles}, state: Receiving, time_in_state: 1.5s, since_progress: 500ms, \
             connection: Some(ConnectionHandle {{ index: 0, generation: 0 }}), is_paused: true, \
             bytes_buffered: 0, awaits_body: false, is_probe: false, connect_error: None, \
             report: Report {{ bytes_sent: 64, bytes_received: 11, server: Some(ServerId(0)), retries: 0, \
             reused: false, stdout_ended: false, timings: Timings {{ {timings} }} }} }}"
        )
    );
    let connection = bench.engine.connections(bench.now).nth(3).expect("four");
    assert_eq!(connection.connection, bench.peers[3].handle);
    assert_eq!(
        format!("{connection:?}"),
        "ConnectionInfo { connection: ConnectionHandle { index: 3, generation: 3 }, server: ServerId(0), \
         state: Busy, age: 1.5s, since_activity: 1.5s, requests: 1, aborting: 0, max_requests: 1, served: 0, \
         bytes_sent: 10, bytes_unsent: 182, bytes_received: 0, bytes_buffered: 0, is_read_blocked: false, close_reason: None }"
    );
}

#[test]
fn what_has_ended_is_listed_while_its_output_or_its_abort_is_left() {
    let mut bench = Bench::shared(4);
    let paused = bench.submit(request());
    let aborted = bench.submit(request());
    bench.submit(request());
    bench.advance(SECOND);
    bench.command(|engine, now| engine.pause(now, paused));
    bench.feed(0, records().stdout(1, "hello").stdout_end(1));
    assert_eq!(
        connections(&bench),
        [
            "connection 0 to server 0: busy, opened 1.0s ago, last activity 0.0ns ago, requests 3 of 4, \
             192 bytes sent, 21 bytes received, 5 buffered"
        ]
    );
    bench.advance(SECOND);
    bench.feed(0, records().end(1, 0).stdout(3, "abc"));
    bench.advance(SECOND);
    bench.command(|engine, now| engine.abort(now, aborted));
    bench.advance(SECOND);
    let at_once = "queued 0.0ns, sent 0.0ns";
    assert_eq!(
        requests(&bench),
        [
            "request 0, tag 1: draining for 2.0s, paused, 5 bytes buffered; 64 bytes sent, 5 received, server 0; \
             queued 0.0ns, connect 0.0ns, sent 0.0ns, first byte 1.0s, last byte 1.0s, total 4.0s"
                .to_owned(),
            format!(
                "request 1, tag 2: aborting for 1.0s on connection 0; 64 bytes sent, 0 received, server 0; \
                 {at_once}, total 4.0s"
            ),
            format!(
                "request 2, tag 3: receiving for 2.0s on connection 0; 64 bytes sent, 3 received, server 0; \
                 {at_once}, first byte 2.0s, last byte 2.0s, total 4.0s"
            ),
        ]
    );
    assert_eq!(
        connections(&bench),
        [
            "connection 0 to server 0: busy, opened 4.0s ago, last activity 1.0s ago, requests 2 of 4, \
             aborting 1, served 1, 200 bytes sent, 48 bytes received"
        ]
    );
    let grace = bench.engine.config().abort_grace;
    bench.advance(grace);
    assert_eq!(
        connections(&bench),
        [
            "connection 0 to server 0: draining, opened 9.0s ago, last activity 6.0s ago, requests 1 of 4, served 2, \
             200 bytes sent, 48 bytes received, closes: a request did not end after its abort"
        ]
    );
    bench.command(|engine, now| engine.resume(now, paused));
    bench.feed(0, records().end(3, 0));
    assert_eq!(requests(&bench), [""; 0]);
    bench.finish();
}

#[test]
fn a_connection_is_idle_asks_for_values_or_waits_for_the_backlog() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.advance(SECOND);
    bench.end(0);
    bench.advance(SECOND);
    assert_eq!(
        connections(&bench),
        [
            "connection 0 to server 0: idle, opened 2.0s ago, last activity 1.0s ago, served 1, 64 bytes sent, \
             16 bytes received"
        ]
    );
    bench.get_values(0);
    bench.advance(SECOND / 2);
    assert_eq!(
        requests(&bench),
        [
            "request 0, tag 2, get_values: awaiting output for 500.0ms on connection 0; \
             0 bytes sent, 0 received, server 0, reused; queued 0.0ns, total 500.0ms"
        ]
    );
    assert_eq!(
        connections(&bench),
        [
            "connection 0 to server 0: probing, opened 2.5s ago, last activity 500.0ms ago, requests 1 of 1, served 1, \
             128 bytes sent, 16 bytes received"
        ]
    );
    bench.feed(0, records().values(&[]));
    bench.eof(0);
    bench.answers.extend([Answer::BacklogFull]);
    bench.submit(request());
    assert_eq!(
        connections(&bench),
        ["connection 0 to server 0: redialing, opened 0.0ns ago"]
    );
    bench.advance(SECOND);
    bench.end(1);
    bench.finish();
}

#[test]
fn a_request_without_a_server_says_why() {
    let mut config = config(Multiplex::Off);
    config.connect_retry_timeout = 2 * SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    bench.advance(SECOND);
    assert_eq!(
        requests(&bench),
        [
            "request 0, tag 1: queued for 1.0s, connection refused: nobody listens there; \
             0 bytes sent, 0 received; total 1.0s"
        ]
    );
    bench.finish();
}

#[test]
fn a_retry_begins_anew_and_the_age_goes_on() {
    let mut bench = Bench::plain();
    bench.submit(repeatable());
    bench.end(0);
    bench.submit(repeatable());
    bench.advance(SECOND / 2);
    bench.servers[0] = Answer::Hang;
    bench.reset(0);
    bench.advance(SECOND);
    assert_eq!(
        requests(&bench),
        [
            "request 0, tag 2: queued for 1.0s; 0 bytes sent, 0 received, server 0, retries 1, reused; total 1.5s"
        ]
    );
    bench.accept(1);
    bench.end(1);
    bench.finish();
}

/// The connection's bytes cannot be told apart by request.
#[test]
fn bytes_that_leave_are_progress_of_what_is_being_sent() {
    let mut bench = Bench::shared(2);
    bench.submit(request());
    bench.peers[0].window = 0;
    bench.submit(request().with_body(Body::bytes(vec![b'x'; 1000])));
    bench.advance(SECOND);
    bench.open_window(0, 100);
    bench.advance(SECOND / 2);
    assert_eq!(
        requests(&bench)[..2],
        [
            "request 0, tag 1: awaiting output for 1.5s on connection 0; 64 bytes sent, 0 received, server 0; \
             queued 0.0ns, connect 0.0ns, sent 0.0ns, total 1.5s",
            "request 1, tag 2: sending for 1.5s on connection 0, last progress 500.0ms ago; \
             100 bytes sent, 0 received, server 0; queued 0.0ns, total 1.5s",
        ]
    );
    assert_eq!(
        connections(&bench),
        [
            "connection 0 to server 0: busy, opened 1.5s ago, last activity 500.0ms ago, requests 2 of 2, \
             164 bytes sent, 988 unsent"
        ]
    );
}

#[test]
fn no_item_shows_a_parameter_or_content() {
    let mut bench = Bench::plain();
    let secret = request().param("HTTP_COOKIE", "hunter2");
    bench.submit(secret.with_body(Body::bytes(*b"hunter2")));
    bench.answer(0, |id| records().stdout(id, "hunter2"));
    let shown = format!("{:?}", bench.engine.requests(bench.now).collect::<Vec<_>>());
    let shown = shown + &requests(&bench).concat();
    assert!(
        !shown.contains("hunter2") && !shown.contains("COOKIE"),
        "{shown}"
    );
    bench.end(0);
    bench.finish();
}

#[test]
fn once_a_response_has_begun_what_is_still_sent_is_no_progress() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.peers[0].window = 1_000;
    bench.submit(request().with_body(vec![b'x'; 100_000]));
    bench.answer(0, |id| records().stdout(id, "x"));
    bench.advance(2 * SECOND);
    bench.open_window(0, 10);
    let listed = bench.engine.requests(bench.now).next().expect("one");
    let times = (listed.time_in_state, listed.since_progress);
    assert_eq!(
        (listed.state, times),
        (RequestState::Receiving, (2 * SECOND, 2 * SECOND))
    );
}
