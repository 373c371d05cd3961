//! The promises where the engine meets its driver: the queue's limit, wake-ups, totals of the application, shutting down.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mio_fcgi::{
    Action, Body, CloseReason, ConnectError, ConnectionLostReason, Delivery, Disconnected,
    Multiplex, Phase, RequestError, Retry, SubmitError, Timeouts, UnknownLength,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, Sent, config, done, failed, records, request};

const SECOND: Duration = Duration::from_secs(1);

/// A bench with plain connections and a limited queue.
fn capped(max_connections: usize, max_queued: usize) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = max_connections;
    config.limits.max_queued_requests = max_queued;
    Bench::new(config)
}

/// A pushed body of which less was taken than was offered, on a socket that takes nothing.
fn full() -> (Bench, mio_fcgi::RequestHandle) {
    let mut config = config(Multiplex::Off);
    config.stdin_high_water = 10_000;
    config.unknown_length = UnknownLength::Stream;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Hang;
    let handle = bench.submit(request().with_body(Body::pushed(None)));
    bench.peers[0].window = 0;
    bench.accept(0);
    let taken = bench.command(|engine, now| engine.write_stdin(now, handle, &[b'x'; 12_000]));
    assert_eq!(taken, Ok(10_000));
    (bench, handle)
}

fn stdin_ready(bench: &mut Bench) -> usize {
    let seen = bench.seen();
    let ready = seen.iter().filter(|it| matches!(it, Seen::StdinReady(1)));
    ready.count()
}

// case 135
#[test]
fn stdin_ready_comes_once_after_less_was_taken_whatever_was_offered_in_between() {
    let offers: [&[usize]; 4] = [&[], &[0], &[0, 0], &[2_000, 0]];
    for offers in offers {
        let (mut bench, handle) = full();
        for len in offers {
            let bytes = vec![b'x'; *len];
            let taken = bench.command(|engine, now| engine.write_stdin(now, handle, &bytes));
            assert_eq!(taken, Ok(0), "full");
        }
        assert_eq!(stdin_ready(&mut bench), 0);
        bench.open_window(0, usize::MAX);
        assert_eq!(stdin_ready(&mut bench), 1, "{offers:?}");
        bench.advance(SECOND);
        assert_eq!(stdin_ready(&mut bench), 0);
        bench.eof(0);
        bench.finish();
    }
}

// case 135
#[test]
fn stdin_ready_comes_also_when_a_later_piece_was_taken_whole() {
    let (mut bench, handle) = full();
    // A third of it leaves: less than half is free.
    while bench.command(|engine, now| engine.write_stdin(now, handle, b"y")) == Ok(0) {
        bench.open_window(0, 1);
    }
    let before = stdin_ready(&mut bench);
    bench.open_window(0, usize::MAX);
    assert_eq!(before + stdin_ready(&mut bench), 1);
    bench.eof(0);
    bench.finish();
}

// case 135
#[test]
fn no_stdin_ready_comes_after_the_body_was_finished() {
    let (mut bench, handle) = full();
    let finished = bench.command(|engine, now| engine.finish_stdin(now, handle));
    assert_eq!(finished, Ok(()));
    bench.open_window(0, usize::MAX);
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();

    // A `StdinReady` that was due when the body was finished does not come either.
    let (mut bench, handle) = full();
    let now = bench.now;
    bench.peers[0].window = usize::MAX;
    let connection = bench.peers[0].handle;
    let all: usize = bench
        .engine
        .transmit(connection)
        .iter()
        .map(|it| it.len())
        .sum();
    bench.engine.handle_transmitted(now, connection, all);
    assert_eq!(bench.engine.finish_stdin(now, handle), Ok(()));
    bench.run();
    assert_eq!(bench.seen(), []);
    bench.eof(0);
    bench.finish();
}

// case 135
#[test]
fn stdin_ready_comes_again_on_the_connection_that_a_body_was_taken_back_to() {
    let (mut bench, _) = full();
    bench.eof(0);
    assert_eq!(stdin_ready(&mut bench), 0);
    bench.accept(1);
    assert_eq!(stdin_ready(&mut bench), 1);
    bench.eof(1);
    bench.finish();
}

// case 143
#[test]
fn the_most_connections_and_requests_of_an_application_are_totals() {
    let told = [
        (
            &[("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_CONNS", "2")][..],
            9,
            2,
        ),
        (&[("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_REQS", "3")], 3, 8),
        (
            &[
                ("FCGI_MPXS_CONNS", "1"),
                ("FCGI_MAX_CONNS", "1"),
                ("FCGI_MAX_REQS", "4"),
            ],
            4,
            1,
        ),
    ];
    for (values, most_requests, most_connections) in told {
        let mut bench = Bench::new(config(Multiplex::Auto));
        bench.get_values(0);
        bench.feed(0, records().values(values));
        for _ in 0..9 {
            let handle = bench.submit(request());
            // So that the next request looks for another connection.
            bench.command(|engine, now| engine.pause(now, handle));
        }
        let stats = bench.stats();
        assert_eq!(stats.requests.active, most_requests, "{values:?}");
        let connections = stats.connections.busy + stats.connections.idle;
        assert!(connections <= most_connections, "{values:?}");
        for handle in bench.handles.clone() {
            bench.command(|engine, now| engine.abort(now, handle));
        }
        bench.finish();
    }
}

// case 143
#[test]
fn connections_above_the_total_that_an_application_tells_are_closed_as_they_fall_idle() {
    let mut bench = Bench::new(config(Multiplex::Auto));
    for _ in 0..4 {
        bench.submit(request());
    }
    bench.end(0);
    bench.get_values(0);
    let asked = bench.talked_to();
    let asked: Vec<usize> = asked
        .into_iter()
        .filter(|peer| bench.sent(*peer).contains(&Sent::GetValues))
        .collect();
    let yes = [("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_CONNS", "2")];
    bench.feed(asked[0], records().values(&yes));
    for peer in 1..4 {
        bench.end(peer);
    }
    let open = bench.peers.iter().filter(|peer| peer.closed.is_none());
    assert!(open.count() <= 2);
    bench.finish();
}

// case 143
#[test]
fn a_question_is_no_request_and_does_not_wait_for_the_applications_room() {
    let mut bench = Bench::new(config(Multiplex::Auto));
    bench.get_values(0);
    let one = [("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_REQS", "1")];
    bench.feed(0, records().values(&one));
    bench.submit(request());
    bench.get_values(0);
    let asked = bench.talked_to().into_iter().find(|peer| *peer != 0);
    bench.feed(
        asked.expect("a connection of its own"),
        records().values(&one),
    );
    bench.end(0);
    assert_eq!(bench.seen().len(), 5);
    bench.finish();
}

// case 144
#[test]
fn a_shut_down_is_reported_when_the_sockets_are_closed() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.seen();
    let now = bench.now;
    bench.engine.shutdown(now, None);
    let event = bench.engine.poll_pending(&mut []);
    assert!(event.is_none(), "the socket is open: {event:?}");
    assert!(!bench.engine.is_shut_down());
    assert!(bench.engine.has_output());
    let action = bench.engine.poll_action();
    assert!(matches!(action, Some(Action::Close { .. })));
    assert!(bench.engine.is_shut_down());
    // A loop that was about to wait looks once more.
    assert!(bench.engine.has_output());
    assert_eq!(bench.engine.poll_pending(&mut []), None);
    assert!(bench.engine.is_shut_down() && !bench.engine.has_output());
}

// case 144
#[test]
fn a_padding_that_is_still_to_come_does_not_hold_up_a_shut_down() {
    for before in [true, false] {
        for mut bench in [Bench::plain(), Bench::shared(4)] {
            bench.submit(request());
            if before {
                bench.command(|engine, now| engine.shutdown(now, None));
            }
            let answer = records().padded(8).end(1, 0);
            bench.feed(0, &answer.as_ref()[..20]);
            if !before {
                bench.command(|engine, now| engine.shutdown(now, None));
            }
            assert_eq!(bench.seen(), [done(1), Seen::ShutDown]);
            assert!(bench.engine.is_idle());
        }
    }
}

/// A body that shows whether it is still held.
struct Held(#[expect(dead_code, reason = "it is held")] Arc<()>);

impl io::Read for Held {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        bytes.fill(b'x');
        Ok(bytes.len())
    }
}

// case 144
#[test]
fn a_body_is_dropped_with_the_end_of_its_request() {
    let endings: [fn(&mut Bench); 4] = [
        |bench| {
            let handle = bench.handles[1];
            bench.command(|engine, now| engine.abort(now, handle));
        },
        |bench| bench.advance(SECOND),
        |bench| bench.feed(0, records().end(2, 0)),
        |bench| {
            bench.command(|engine, now| engine.shutdown(now, Some(now)));
            bench.advance(Duration::ZERO);
        },
    ];
    for (number, ending) in endings.into_iter().enumerate() {
        for mut bench in [Bench::plain(), Bench::shared(4)] {
            let is_shared = bench.engine.config().multiplex == Multiplex::On { max: 4 };
            let mark = Arc::new(());
            bench.submit(request().with_timeouts(Timeouts::NONE));
            if !is_shared {
                bench.end(0);
            }
            bench.peers[0].window = 1_000;
            let body = Body::reader(Held(mark.clone()), Some(1 << 40));
            let limit = Timeouts::NONE.with_total(SECOND);
            bench.submit(request().with_body(body).with_timeouts(limit));
            assert_eq!(Arc::strong_count(&mark), 2);
            ending(&mut bench);
            assert_eq!(Arc::strong_count(&mark), 1, "ending {number}");
        }
    }
}

// case 145
#[test]
fn requests_to_be_sent_again_beyond_the_queues_limit_end_as_they_would_have_without_that() {
    let mut bench = capped(2, 2);
    for _ in 0..2 {
        bench.submit(request());
    }
    for peer in 0..2 {
        bench.end(peer);
        bench.peers[peer].window = 1;
    }
    for _ in 0..4 {
        bench.submit(request().with_retry(Retry::IfStale));
    }
    bench.seen();
    bench.most_connections = 2;
    let mut limits = bench.engine.config().limits;
    limits.max_connections_per_server = 1;
    let set = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(set, Ok(()));
    // No connection can be opened for the request that is lost now.
    bench.eof(0);
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    let own = failed(4, lost, Phase::Sending, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [own]);
    assert_eq!(bench.stats().requests.queued, 2);
    bench.eof(1);
    for _ in 0..3 {
        bench.end(2);
    }
    assert_eq!(bench.seen(), [done(3), done(5), done(6)]);
    bench.finish();
}

// case 145
#[test]
fn a_lowered_limit_counts_once_what_waited_above_it_has_left() {
    let mut bench = capped(2, 1);
    bench.submit(request());
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    bench.peers[1].window = 0;
    bench.accept(1);
    let waiting = bench.submit(request());
    bench.most_connections = 2;
    let mut limits = bench.engine.config().limits;
    (
        limits.max_connections_per_server,
        limits.max_queued_requests,
    ) = (1, 0);
    let set = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(set, Ok(()));
    assert_eq!(bench.stats().requests.queued, 1, "it may wait on");
    bench.command(|engine, now| engine.abort(now, waiting));
    bench.seen();
    let broken = Disconnected::Failed(io::ErrorKind::BrokenPipe);
    let handle = bench.peers[1].handle;
    bench.command(|engine, now| engine.handle_closed(now, handle, broken));
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Io(io::ErrorKind::BrokenPipe));
    let end = failed(2, lost, Phase::Sending, Delivery::NotProcessed);
    assert_eq!(bench.seen(), [end]);
    bench.end(0);
    bench.finish();
}

// case 145
#[test]
fn requests_above_the_limit_end_when_a_connection_that_was_being_opened_was_not() {
    let refused = ConnectError::Failed(io::ErrorKind::ConnectionRefused);
    let full = RequestError::QueueFull { limit: 1 };
    let whys = [
        (Disconnected::Shortage(io::ErrorKind::Other), full),
        (
            Disconnected::ConnectFailed(io::ErrorKind::ConnectionRefused),
            refused.into(),
        ),
    ];
    for (why, error) in whys {
        let mut config = config(Multiplex::Off);
        config.limits.max_connections_per_server = 3;
        config.limits.max_queued_requests = 1;
        config.connect_retry_timeout = 60 * SECOND;
        let mut bench = Bench::new(config);
        bench.submit(request());
        bench.servers[0] = Answer::Hang;
        for _ in 0..2 {
            bench.submit(request());
        }
        assert_eq!(bench.stats().requests.connecting, 2);
        for peer in 1..=2 {
            let handle = bench.peers[peer].handle;
            bench.command(|engine, now| engine.handle_closed(now, handle, why));
            assert_eq!(bench.stats().requests.queued, 1, "{why:?}");
        }
        // The request that was submitted last.
        let end = failed(3, error, Phase::Queued, Delivery::NotProcessed);
        assert_eq!(bench.seen(), [end], "{why:?}");
        bench.end(0);
        bench.end(0);
        assert_eq!(bench.seen(), [done(1), done(2)]);
        bench.finish();
    }
}

// case 145
#[test]
fn a_request_refused_by_an_overloaded_application_waits_only_where_there_is_room_to_wait() {
    let mut bench = capped(1, 1);
    bench.submit(request());
    bench.submit(request());
    let overloaded = mio_fcgi::wire::ProtocolStatus::Overloaded;
    bench.answer(0, |id| records().end_as(id, 0, overloaded));
    let error = RequestError::Overloaded;
    let end = failed(1, error, Phase::Sent, Delivery::NotProcessed);
    assert_eq!(bench.seen(), [end]);
    assert_eq!(bench.stats().requests.queued, 1);
    bench.advance(SECOND);
    bench.end(0);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

// case 145
#[test]
fn a_submit_that_is_refused_has_read_nothing_of_the_body() {
    struct Counting(Arc<AtomicU64>);
    impl io::Read for Counting {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let _ = bytes;
            Ok(0)
        }
    }
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Buffer { limit: 1 << 20 };
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    bench.submit(request());
    let reads = Arc::new(AtomicU64::new(0));
    let body = Body::reader(Counting(reads.clone()), None);
    let refused = bench.try_submit(request().with_body(body));
    assert_eq!(refused, Err(SubmitError::QueueFull { limit: 0 }));
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    bench.end(0);
    bench.finish();
}

// case 146
#[test]
fn with_a_queue_of_none_as_many_are_served_as_there_are_connections_and_the_next_is_refused() {
    for answer in [Answer::Accept, Answer::Hang] {
        let mut bench = capped(3, 0);
        bench.servers[0] = answer;
        for _ in 0..3 {
            bench.submit(request());
        }
        let requests = bench.stats().requests;
        assert_eq!(requests.queued, 0);
        assert_eq!(requests.active + requests.connecting, 3);
        let refused = bench.try_submit(request());
        assert_eq!(refused, Err(SubmitError::QueueFull { limit: 0 }));
        if answer == Answer::Hang {
            for peer in 0..3 {
                bench.accept(peer);
            }
        }
        bench.end(1);
        bench.submit(request());
        for peer in 0..3 {
            bench.end(peer);
        }
        assert_eq!(bench.seen().len(), 4);
        bench.finish();
    }
}

// case 146
#[test]
fn requests_on_their_way_to_a_shared_connection_are_not_queued_either() {
    let mut config = config(Multiplex::On { max: 5 });
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Hang;
    for _ in 0..5 {
        bench.submit(request());
    }
    let refused = bench.try_submit(request());
    assert_eq!(refused, Err(SubmitError::QueueFull { limit: 0 }));
    bench.accept(0);
    assert_eq!(bench.stats().requests.active, 5);
    bench.eof(0);
    assert_eq!(bench.stats().counters.closed_for(CloseReason::Lost), 1);
    bench.finish();
}
