//! Small promises about servers and their connections, each of which only this test covers.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{Action, CloseReason, ConnectError, Disconnected, Multiplex, RequestIds, Timeouts};

use crate::hand::{answer, get, post, used};
use crate::harness::{Answer, Bench};
use crate::script::{
    Sent, config, done, not_connected, out, records, refused, repeatable, request, servers,
};

const MS: Duration = Duration::from_millis(1);

/// At most two connections, both busy, and one request is queued. The client asks the server on the first connection:
/// after its request if `is_behind`, otherwise once the connection is idle. The second connection then serves all other
/// requests and is idle.
fn asked_of_two(is_behind: bool) -> Bench {
    let mut config = config(Multiplex::Auto);
    config.timeouts = Timeouts::NONE;
    config.preempt_idle_after = None;
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(repeatable());
    }
    if is_behind {
        bench.advance(1000 * MS);
    } else {
        bench.end(0);
    }
    assert!(bench.sent(0).contains(&Sent::GetValues));
    for _ in 0..2 {
        bench.end(1);
    }
    bench
}

#[test]
fn idle_connections_above_the_total_that_an_application_tells_are_closed_at_once() {
    for is_behind in [false, true] {
        let mut bench = asked_of_two(is_behind);
        assert_eq!(bench.peers[1].closed, None);
        let values = [("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_CONNS", "1")];
        bench.feed(0, records().values(&values));
        let closed = [0, 1].map(|peer: usize| bench.peers[peer].closed);
        assert_eq!(closed, [None, Some(CloseReason::Retired)], "{is_behind}");
        if is_behind {
            bench.end(0);
        }
        bench.finish();
    }
}

#[test]
fn what_an_application_told_of_itself_is_forgotten_once_its_server_was_down() {
    let mut bench = asked_of_two(true);
    bench.most_connections = 2;
    let values = [
        ("FCGI_MPXS_CONNS", "1"),
        ("FCGI_MAX_CONNS", "1"),
        ("FCGI_MAX_REQS", "1"),
    ];
    bench.feed(0, records().values(&values));
    bench.end(0);
    bench.eof(0);
    bench.seen();
    bench.servers[0] = Answer::Refuse;
    bench.submit(repeatable());
    bench.servers[0] = Answer::Accept;
    bench.advance(10_000 * MS);
    let before = bench.peers.len();
    bench.submit(repeatable());
    bench.submit(repeatable());
    bench.submit(repeatable());
    assert_eq!(bench.peers.len(), before + 2, "as many as before it told");
    bench.end(before);
    assert_eq!(bench.sent(before).last(), Some(&Sent::GetValues));
}

/// The first server has refused a connect and accepts again. Since then one of three requests has ended on the first
/// connection. Returns the index of that connection.
fn is_down_and_back(bench: &mut Bench) -> usize {
    bench.servers[0] = Answer::Refuse;
    bench.submit(repeatable());
    bench.servers[0] = Answer::Accept;
    bench.advance(10_000 * MS);
    let before = bench.peers.len();
    for _ in 0..3 {
        bench.submit(repeatable());
    }
    bench.end(before);
    before
}

#[test]
fn a_server_that_may_die_of_questions_is_not_asked_again_even_after_it_was_down() {
    let mut bench = asked_of_two(false);
    bench.eof(0);
    bench.eof(1);
    bench.seen();
    let before = is_down_and_back(&mut bench);
    bench.advance(5000 * MS);
    for peer in before..bench.peers.len() {
        assert!(!bench.sent(peer).contains(&Sent::GetValues), "{peer}");
    }
}

#[test]
fn connections_that_are_shared_by_choice_are_shared_still_after_the_server_was_down() {
    let mut bench = Bench::shared(4);
    bench.answers.push_back(Answer::Refuse);
    bench.submit(request());
    bench.advance(10_000 * MS);
    bench.submit(request());
    bench.submit(request());
    assert_eq!(bench.peers.len(), 2);
    assert_eq!(bench.id(1), 2);
    bench.feed(1, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn another_program_behind_the_address_may_know_other_ids_than_1_again() {
    let mut bench = Bench::plain();
    for _ in 0..2 {
        bench.submit(request());
        bench.feed(0, records().stdout(1, "x").end(1, 0));
    }
    bench.submit(request());
    bench.end(1);
    assert_eq!(bench.peers[1].closed, Some(CloseReason::OnlyIdOne));
    bench.answers.push_back(Answer::Refuse);
    bench.submit(request());
    bench.advance(10_000 * MS);
    bench.submit(request());
    bench.end(3);
    assert_eq!(bench.peers[3].closed, None);
    bench.finish();
}

#[test]
fn losses_of_requests_with_id_1_say_nothing_of_other_ids() {
    let mut config = config(Multiplex::Off);
    config.stale_window = Duration::ZERO;
    let mut bench = Bench::new(config);
    for peer in 0..5 {
        bench.submit(request());
        bench.eof(peer);
    }
    bench.submit(request());
    bench.end(5);
    assert_eq!(bench.peers[5].closed, None);
    bench.finish();
}

#[test]
fn where_each_connection_serves_one_request_nobody_is_asked_and_each_has_its_own() {
    for multiplex in [Multiplex::Auto, Multiplex::On { max: 4 }] {
        let mut config = config(multiplex);
        config.timeouts = Timeouts::NONE;
        config.keep_connections = false;
        config.limits.max_connections_per_server = 2;
        let mut bench = Bench::new(config);
        bench.answers.extend([Answer::Hang, Answer::Hang]);
        for _ in 0..3 {
            bench.submit(repeatable());
        }
        assert_eq!(bench.peers.len(), 2);
        bench.accept(0);
        bench.accept(1);
        bench.advance(2000 * MS);
        for peer in 0..2 {
            assert!(!bench.sent(peer).contains(&Sent::GetValues));
            bench.end(peer);
        }
        bench.end(2);
        bench.finish();
    }
}

#[test]
fn a_request_that_found_its_connection_stale_takes_none_that_was_opened_before() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.submit(request());
    bench.end(1);
    bench.end(0);
    // A connection lost soon after an answer would keep the request off the other connection, too.
    bench.advance(100 * MS);
    bench.submit(repeatable());
    assert_eq!(bench.id(0), 2, "the one used last");
    bench.eof(0);
    assert_eq!(bench.peers.len(), 3);
    bench.end(2);
    assert_eq!(bench.seen(), [done(2), done(1), done(3)]);
    bench.finish();
}

#[test]
fn a_post_takes_an_idle_connection_that_has_not_served_before_a_later_one_that_has() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 2;
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    bench.run();
    bench.submit(repeatable());
    assert_eq!(bench.id(1), 1);
    bench.end(1);
    bench.submit(request());
    assert_eq!(bench.id(0), 1);
    bench.end(0);
    bench.finish();
}

#[test]
fn after_a_completed_request_the_pauses_for_overload_begin_anew() {
    let mut config = config(Multiplex::Off);
    config.timeouts = Timeouts::NONE;
    config.max_retries = 9;
    let mut bench = Bench::new(config);
    let pause = |bench: &mut Bench| {
        let peer = bench.peers.len() - 1;
        let id = bench.id(peer);
        bench.sent(peer);
        bench.feed(peer, records().end_as(id, 0, ProtocolStatus::Overloaded));
        let began = bench.now;
        while bench.talked_to().is_empty() {
            assert!(bench.advance_to_timeout(), "it is sent again");
        }
        bench.now - began
    };
    bench.submit(repeatable());
    let first = pause(&mut bench);
    assert!(pause(&mut bench) > first);
    let peer = bench.peers.len() - 1;
    bench.end(peer);
    bench.submit(repeatable());
    assert_eq!(pause(&mut bench), first);
    let peer = bench.peers.len() - 1;
    bench.end(peer);
    bench.finish();
}

#[test]
fn an_idle_connection_with_something_unread_is_not_kept_beyond_its_idle_time() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.limits.min_idle_per_server = 1;
        config.limits.max_connections_per_server = 1;
        config.limits.idle_timeout = 1000 * MS;
    });
    let connection = used(&mut hand);
    hand.engine.handle_readable(hand.now, connection);
    hand.tick(1000 * MS);
    let reason = CloseReason::IdleTimeout;
    let close = Action::Close { connection, reason };
    assert!(hand.actions().contains(&close));
}

#[test]
fn nobody_is_asked_behind_a_request_that_holds_its_connection_while_none_waits() {
    let mut config = config(Multiplex::Auto);
    config.timeouts = Timeouts::NONE;
    let mut bench = Bench::new(config);
    bench.submit(repeatable());
    bench.advance(5000 * MS);
    let limits = bench.engine.config().limits;
    let changed = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(changed, Ok(()));
    assert!(!bench.sent(0).contains(&Sent::GetValues));
    bench.end(0);
    bench.finish();
}

#[test]
fn a_post_takes_an_idle_shared_connection_that_has_served() {
    let mut bench = Bench::new(config(Multiplex::On { max: 4 }));
    bench.submit(repeatable());
    bench.end(0);
    bench.submit(request());
    assert_eq!(bench.peers.len(), 1);
    bench.end(0);
    bench.finish();
}

#[test]
fn a_server_that_does_not_answer_the_question_is_asked_again_once_it_was_down() {
    let mut bench = asked_of_two(false);
    bench.advance(bench.engine.config().probe_timeout);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::ProbeDone));
    bench.eof(1);
    let before = is_down_and_back(&mut bench);
    assert_eq!(bench.sent(before).last(), Some(&Sent::GetValues));
}

#[test]
fn connections_that_are_opened_beforehand_are_opened_16_at_a_time() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 20;
    config.limits.max_idle_per_server = 20;
    config.limits.max_connections_per_server = 20;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Hang;
    bench.run();
    assert_eq!(bench.peers.len(), 16);
    bench.accept(0);
    assert_eq!(bench.peers.len(), 17);
}

#[test]
fn a_request_that_waited_for_a_connection_fails_when_that_is_refused_however_late_it_was_opened() {
    let mut config = config(Multiplex::Off);
    config.connect_retry_timeout = Duration::ZERO;
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.advance(100 * MS);
    bench.answers.push_back(Answer::Refuse);
    bench.eof(0);
    assert_eq!(bench.peers.len(), 2);
    assert_eq!(bench.seen().last(), Some(&refused(2)));
    bench.finish();
}

#[test]
fn a_connection_that_has_not_served_is_kept_for_an_application_that_knows_only_id_1() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 1;
    let mut bench = Bench::new(config);
    bench.run();
    for _ in 0..2 {
        bench.submit(request());
        bench.feed(0, records().end(1, 0));
    }
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Protocol));
    assert_eq!(bench.peers.len(), 2);
    assert_eq!(bench.peers[1].closed, None);
    bench.finish();
}

// --- connections that are lost ---

#[test]
fn what_ended_a_connection_that_never_served_is_what_the_request_that_waits_fails_with() {
    let reset = io::ErrorKind::ConnectionReset;
    for (why, kind) in [
        (Some(Disconnected::Failed(reset)), reset),
        (Some(Disconnected::Eof), io::ErrorKind::UnexpectedEof),
        (None, io::ErrorKind::InvalidData),
    ] {
        let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
            config.connect_retry_timeout = Duration::ZERO;
        });
        hand.ask(get());
        let connection = hand.dialled()[0];
        // The connection is not handed out before it was read.
        hand.engine.handle_readable(hand.now, connection);
        hand.engine.handle_connected(hand.now, connection);
        match why {
            Some(why) => hand.closed(connection, why),
            None => assert_eq!(hand.receive(connection, b"220 mail.example.org\r\n"), []),
        }
        let error = ConnectError::Failed(kind);
        assert_eq!(hand.polled(), [not_connected(1, error)]);
    }
}

/// Whether a connection is opened for a request that may not be sent twice, although a connection that has served is
/// idle. Before that, `lose` ends another connection that had served.
fn keeps_off(lose: impl FnOnce(&mut Bench, mio_fcgi::ConnectionHandle)) -> bool {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.request_ids = RequestIds::AlwaysOne;
        config.stale_window = 1000 * MS;
    });
    let first = used(&mut hand);
    lose(&mut hand, first);
    hand.polled();
    hand.ask(get());
    let second = hand.connect();
    assert_eq!(hand.short_read(second, answer(1, "x")).len(), 2);
    hand.ask(post());
    !hand.dialled().is_empty()
}

#[test]
fn a_connection_closed_soon_behind_an_answer_keeps_posts_off_others_that_have_served_as_many() {
    for (after, is_taught) in [(0, true), (999, true), (1000, false), (5000, false)] {
        let when_idle = keeps_off(|hand, first| {
            hand.tick(after * MS);
            hand.closed(first, Disconnected::Eof);
        });
        assert_eq!(when_idle, is_taught, "idle for {after} ms");
    }
    let over_the_second = keeps_off(|hand, first| {
        hand.ask(post());
        hand.send(first);
        hand.closed(first, Disconnected::Eof);
    });
    assert!(over_the_second);
    let within_an_answer = keeps_off(|hand, first| {
        hand.ask(post());
        hand.send(first);
        hand.receive(first, records().stdout(1, "half"));
        hand.closed(first, Disconnected::Eof);
    });
    assert!(!within_an_answer);
}

#[test]
fn a_connection_closed_before_it_served_says_nothing_of_those_that_have() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.request_ids = RequestIds::AlwaysOne;
    });
    hand.ask(get());
    let unused = hand.ask(get());
    let [first, second] = hand.dialled()[..] else {
        panic!("one for each");
    };
    hand.engine.handle_connected(hand.now, first);
    hand.send(first);
    hand.engine.abort(hand.now, unused);
    hand.engine.handle_connected(hand.now, second);
    hand.polled();
    assert_eq!(
        hand.short_read(first, answer(1, "x")),
        [out(1, "x"), done(1)]
    );
    hand.closed(second, Disconnected::Eof);
    hand.ask(post());
    assert_eq!(hand.dialled(), []);
    assert!(hand.engine.wants_write(first));
}

// --- when a connection is looked at ---

#[test]
fn a_connection_that_is_opened_is_given_up_in_time_although_others_would_be_waited_for_longer() {
    let mut config = servers(2, Multiplex::Off);
    config.connect_timeout = 100 * MS;
    let mut bench = Bench::new(config);
    bench.servers = vec![Answer::Hang; 2];
    bench.submit(request());
    bench.advance(99 * MS);
    assert_eq!(bench.peers[0].closed, None);
    bench.advance(MS);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::ConnectFailed));
    bench.seen();
    bench.finish();
}

#[test]
fn an_idle_connection_is_closed_after_its_idle_time_or_at_its_age_whichever_comes_first() {
    for (idle, age, reason) in [
        (1000, 2000, CloseReason::IdleTimeout),
        (2000, 1000, CloseReason::MaxLifetime),
    ] {
        let mut config = config(Multiplex::Off);
        config.limits.idle_timeout = idle * MS;
        config.limits.max_lifetime = Some(age * MS);
        let mut bench = Bench::new(config);
        bench.submit(request());
        bench.end(0);
        bench.advance(999 * MS);
        assert_eq!(bench.peers[0].closed, None);
        bench.advance(MS);
        assert_eq!(bench.peers[0].closed, Some(reason));
        bench.finish();
    }
}

#[test]
fn what_a_burst_made_large_is_given_back_after_a_second_without_a_request() {
    let mut bench = Bench::shared(50);
    for _ in 0..50 {
        bench.submit(request());
    }
    for id in 1..=50 {
        bench.feed(0, records().end(id, 0));
    }
    let large = bench.engine.idle_connection_cost();
    bench.advance(999 * MS);
    assert_eq!(bench.engine.idle_connection_cost(), large);
    bench.advance(MS);
    assert!(bench.engine.idle_connection_cost() < large);
    assert_eq!(bench.peers[0].closed, None);
    bench.finish();
}
