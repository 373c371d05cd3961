//! What a driver may report at the edges: in another order than usual, too early, too often, or never.

use std::io::ErrorKind;
use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{
    Action, Delivery, Disconnected, Event, Multiplex, RequestError, Tag, TimeoutKind, Timeouts,
};

use crate::hand::{answer, get, post, used};
use crate::harness::Bench;
use crate::script::{Seen, done, out, records};

const MS: Duration = Duration::from_millis(1);

// case 138
#[test]
fn a_limit_that_ends_while_its_answer_is_being_fed_has_not_ended() {
    let mut hand = Bench::without_timeouts(Multiplex::On { max: 10 }, |config| {
        config.timeouts.first_byte = Some(1000 * MS);
    });
    hand.ask(get());
    let connection = hand.connect();
    hand.now += 10 * MS;
    hand.ask(get());
    hand.send(connection);
    hand.drained(connection);
    // The first limit has passed: the engine wants the socket read before it reports that.
    hand.tick(995 * MS);
    assert_eq!(hand.actions(), [Action::Read { connection }]);
    hand.engine.handle_short_read(hand.now, connection);
    let both: Vec<u8> = [answer(1, "one"), answer(2, "two")]
        .iter()
        .flat_map(|records| records.as_ref().to_vec())
        .collect();
    let mut input = &both[..];
    let first = hand.engine.poll_received(hand.now, connection, &mut input);
    let first = first.map(Event::into_owned);
    assert_eq!(Seen::all(first.as_slice()), [out(1, "one")]);
    // Between two events of one read, the second limit ends.
    hand.tick(10 * MS);
    assert_eq!(
        hand.receive(connection, input),
        [done(1), out(2, "two"), done(2)]
    );
    assert_eq!(hand.polled(), []);
}

#[test]
fn a_server_that_accepts_and_closes_or_speaks_at_once_is_backed_off_from() {
    for how in ["closed first", "closed then", "banner"] {
        let mut hand = Bench::without_timeouts(Multiplex::Auto, |_| {});
        hand.ask(get());
        let mut connects = 0;
        while let Some(connection) = hand.dialled().first().copied() {
            connects += 1;
            assert!(connects < 10, "{how}: connects at one instant");
            let Bench { engine, now, .. } = &mut hand;
            match how {
                "closed first" => engine.handle_read_closed(*now, connection),
                "banner" => engine.handle_readable(*now, connection),
                _ => {}
            }
            engine.handle_connected(*now, connection);
            match how {
                "banner" => {
                    let seen = hand.receive(connection, b"220 mail.example.org ESMTP\r\n");
                    assert_eq!(seen, [], "{how}");
                }
                _ => {
                    engine.handle_read_closed(*now, connection);
                    engine.handle_closed(*now, connection, Disconnected::Eof);
                }
            }
        }
        let seen = hand.polled();
        assert!(
            matches!(seen[..], [Seen::Failed(_, _, _, Delivery::NotProcessed)]),
            "{how}: {seen:?}"
        );
    }
}

// case 127
#[test]
fn the_clients_own_question_excuses_a_loss_only_within_the_stale_window() {
    for (after, retries) in [(999 * MS, 1), (1000 * MS, 0), (30_000 * MS, 0)] {
        let mut hand = Bench::without_timeouts(Multiplex::Auto, |config| {
            config.limits.max_connections_per_server = 1;
        });
        hand.ask(get());
        let connection = hand.connect();
        hand.drained(connection);
        hand.ask(get());
        hand.tick(1000 * MS);
        assert!(!hand.send(connection).is_empty(), "the question");
        hand.tick(after);
        hand.closed(connection, Disconnected::Eof);
        assert_eq!(
            hand.stats().counters.retries,
            retries,
            "lost {after:?} after the question"
        );
    }
}

#[test]
fn a_request_whose_record_header_has_come_is_not_sent_again() {
    for (came, retries) in [(0, 1), (1, 0), (7, 0), (8, 0), (9, 0)] {
        let mut hand = Bench::without_timeouts(Multiplex::Auto, |_| {});
        let connection = used(&mut hand);
        hand.ask(get());
        hand.send(connection);
        let output = records().stdout(2, "Status: 200 OK\r\n");
        hand.receive(connection, &output.as_ref()[..came]);
        hand.closed(connection, Disconnected::Eof);
        assert_eq!(
            hand.stats().counters.retries,
            retries,
            "{came} bytes of the record"
        );
    }
}

// case 126
#[test]
fn a_post_behind_a_get_on_an_idle_connection_is_read_for_first() {
    let mut hand = Bench::without_timeouts(Multiplex::On { max: 10 }, |_| {});
    let connection = used(&mut hand);
    hand.ask(get());
    assert!(
        !hand.engine.reads_first(connection),
        "a GET may be sent again"
    );
    hand.ask(post());
    assert!(hand.engine.reads_first(connection));
}

#[test]
fn whatever_reason_ends_an_open_connection_ends_its_requests() {
    for why in [
        Disconnected::Eof,
        Disconnected::Failed(ErrorKind::ConnectionReset),
        Disconnected::Shortage(ErrorKind::OutOfMemory),
        Disconnected::BacklogFull,
    ] {
        let mut hand = Bench::without_timeouts(Multiplex::Auto, |_| {});
        hand.ask(post());
        let connection = hand.connect();
        hand.closed(connection, why);
        let seen = hand.polled();
        assert!(
            matches!(
                seen[..],
                [Seen::Failed(_, RequestError::ConnectionLost(_), ..)]
            ),
            "{why:?}: {seen:?}"
        );
        assert_eq!(hand.stats().connections, Default::default(), "{why:?}");
    }
}

#[test]
fn more_bytes_reported_as_sent_than_there_were_count_as_what_there_was() {
    let mut hand = Bench::without_timeouts(Multiplex::Auto, |_| {});
    hand.ask(get());
    let dialled = hand.dialled();
    let connection = dialled[0];
    hand.engine.handle_connected(hand.now, connection);
    let len = hand.unsent(connection);
    for _ in 0..2 {
        hand.engine
            .handle_transmitted(hand.now, connection, usize::MAX);
    }
    let sent = hand.stats().counters.bytes_sent;
    assert_eq!(usize::try_from(sent), Ok(len));
}

// case 124
#[test]
fn a_record_for_a_request_that_is_not_sent_yet_is_not_delivered_on_any_connection() {
    let mut hand = Bench::without_timeouts(Multiplex::On { max: 10 }, |_| {});
    hand.ask(get());
    let connection = hand.connect();
    hand.ask(get());
    hand.send(connection);
    // No byte of the third request is sent, and then the application takes one request at a time.
    hand.ask(get());
    assert_eq!(
        hand.receive(connection, records().stdout(1, "one")),
        [out(1, "one")]
    );
    let refusal = records().end_as(2, 0, ProtocolStatus::CantMultiplex);
    assert_eq!(hand.receive(connection, refusal), []);
    let seen = hand.receive(connection, answer(3, "not yours"));
    let is_third = |it: &Seen| {
        matches!(
            it,
            Seen::Stdout(3, _) | Seen::Done(3, _) | Seen::Failed(3, ..)
        )
    };
    assert!(!seen.iter().any(is_third), "{seen:?}");
}

// case 144
#[test]
fn padding_that_never_comes_does_not_keep_the_only_connection() {
    let mut hand = Bench::without_timeouts(Multiplex::Auto, |config| {
        config.limits.max_connections_per_server = 1;
        config.limits.idle_timeout = Duration::MAX;
    });
    hand.ask(get());
    let connection = hand.connect();
    let bytes = records().padded(8).end(1, 0);
    let without_padding = &bytes.as_ref()[..16];
    assert_eq!(hand.receive(connection, without_padding), [done(1)]);
    hand.drained(connection);
    hand.ask(get());
    assert_eq!(hand.actions(), []);
    let start = hand.now;
    let actions = loop {
        hand.now = hand.engine.deadline(hand.now).expect("a limit");
        hand.engine.handle_timeout(hand.now);
        let actions = hand.actions();
        if !actions.is_empty() {
            break actions;
        }
    };
    assert_eq!(hand.now - start, 1000 * MS);
    assert!(
        matches!(actions[..], [Action::Close { .. }, Action::Connect { .. }]),
        "{actions:?}"
    );
}

#[test]
fn an_event_that_copies_nothing_needs_no_scratch() {
    let mut hand = Bench::without_timeouts(Multiplex::On { max: 10 }, |_| {});
    let first = hand.ask(get());
    let connection = hand.connect();
    hand.ask(get());
    hand.send(connection);
    hand.engine.pause(hand.now, first);
    let seen = hand.receive(connection, records().stdout_end(1).end(1, 0));
    assert_eq!(seen, []);
    hand.engine.resume(hand.now, first);
    let mut events = 0;
    while hand.engine.poll_pending(&mut []).is_some() {
        events += 1;
    }
    assert_eq!(events, 2, "StdoutEnd and End");
}

// case 133
#[test]
fn a_get_behind_a_post_that_waits_for_a_new_connection_takes_the_idle_one() {
    let mut hand = Bench::without_timeouts(Multiplex::Auto, |_| {});
    let idle = used(&mut hand);
    hand.ask(post());
    assert_eq!(
        hand.dialled().len(),
        1,
        "a POST does not try the IDs of a server"
    );
    hand.ask(get());
    assert!(hand.engine.wants_write(idle));
    assert_eq!(hand.dialled(), []);
}

// cases 130, 133
#[test]
fn what_is_connected_goes_on_while_no_connection_can_be_opened() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.timeouts.queue = Some(10_000 * MS);
    });
    let idle = used(&mut hand);
    hand.ask(post());
    for _ in 0..7 {
        hand.ask(get());
    }
    let mut seen = Vec::new();
    for _ in 0..100 {
        while let Some(action) = hand.engine.poll_action() {
            match action {
                Action::Connect { connection, .. } => {
                    let why = Disconnected::Shortage(ErrorKind::Other);
                    hand.closed(connection, why);
                }
                Action::Flush { connection } => {
                    assert_eq!(connection, idle);
                    // The request ID of the `FCGI_BEGIN_REQUEST`.
                    let id = hand.send(connection)[3];
                    seen.extend(hand.short_read(connection, records().end(id.into(), 0)));
                }
                _ => {}
            }
        }
    }
    seen.sort_by_key(|it| match it {
        Seen::Done(tag, _) => *tag,
        _ => 0,
    });
    let served: Vec<_> = (2..10).map(done).collect();
    assert_eq!(seen, served, "all of them, and at once");
}

#[test]
fn a_limit_ends_although_the_request_is_paused_with_each_piece() {
    let mut hand = Bench::without_timeouts(Multiplex::Auto, |config| {
        config.timeouts = Timeouts::NONE.with_total(1000 * MS);
    });
    let request = hand.ask(get());
    let connection = hand.connect();
    hand.drained(connection);
    let start = hand.now;
    let ended = loop {
        hand.engine.handle_readable(hand.now, connection);
        hand.tick(10 * MS);
        hand.actions();
        if hand.engine.wants_read(connection) {
            for _ in hand.short_read(connection, records().stdout(1, "more")) {
                hand.engine.pause(hand.now, request);
            }
        }
        let seen = hand.polled();
        if !seen.is_empty() {
            break seen;
        }
        hand.engine.resume(hand.now, request);
        assert!(hand.now - start < 10_000 * MS, "no end");
    };
    let total = RequestError::TimedOut(TimeoutKind::Total);
    assert!(
        matches!(&ended[..], [Seen::Failed(1, error, ..)] if *error == total),
        "{ended:?}"
    );
    // The limit waits for at most 128 reads.
    assert!(hand.now - start <= 1000 * MS + 130 * 10 * MS);
}

#[test]
fn a_post_whose_new_connection_is_refused_takes_the_idle_one() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |_| {});
    let idle = used(&mut hand);
    hand.ask(post());
    let dialled = hand.dialled();
    let why = Disconnected::ConnectFailed(ErrorKind::ConnectionRefused);
    hand.closed(dialled[0], why);
    assert_eq!(hand.polled(), []);
    assert!(hand.engine.wants_write(idle));
}

#[test]
fn what_one_close_behind_an_answer_taught_is_not_held_for_ever() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |_| {});
    let connection = used(&mut hand);
    hand.closed(connection, Disconnected::Eof);
    let mut opened = Vec::new();
    for _ in 0..100 {
        hand.ask(post());
        if let Some(new) = hand.dialled().first().copied() {
            hand.engine.handle_connected(hand.now, new);
            opened.push(new);
        }
        // Only one has something to send.
        let mut sent = Vec::new();
        for handle in opened.clone() {
            hand.drained(handle);
            sent = hand.send(handle);
            if !sent.is_empty() {
                hand.short_read(handle, records().end(sent[3].into(), 0));
                break;
            }
        }
        assert!(!sent.is_empty());
        hand.tick(60 * MS);
    }
    let connects = opened.len();
    assert!(connects <= 2, "{connects} connects for 100 requests");
}

#[test]
fn records_for_ended_requests_cost_no_more_the_more_there_were() {
    const REQUESTS: u16 = 20_000;
    let mut hand = Bench::without_timeouts(Multiplex::On { max: 65_535 }, |config| {
        config.limits.max_connections_per_server = 1;
        config.limits.max_queued_requests = usize::from(REQUESTS);
    });
    for _ in 0..REQUESTS {
        hand.ask(get());
    }
    let connection = hand.connect();
    hand.ask(get());
    hand.send(connection);
    for id in 1..=REQUESTS {
        assert_eq!(hand.receive(connection, records().end(id, 0)).len(), 1);
    }
    for id in (1..=REQUESTS).rev() {
        assert_eq!(hand.receive(connection, records().end(id, 0)), []);
    }
    let ignored = hand.stats().counters.records_ignored;
    assert_eq!(ignored, u64::from(REQUESTS));
    // The connection takes no more requests, and the last one ends.
    let last = REQUESTS + 1;
    assert_eq!(hand.receive(connection, records().end(last, 0)).len(), 1);
    hand.drained(connection);
    hand.ask(get());
    assert_eq!(hand.dialled().len(), 1);
}

#[test]
fn pauses_and_resumes_between_two_polls_ask_for_one_read() {
    let mut hand = Bench::without_timeouts(Multiplex::Auto, |_| {});
    let request = hand.ask(get());
    let connection = hand.connect();
    for _ in 0..1000 {
        hand.engine.pause(hand.now, request);
        hand.engine.resume(hand.now, request);
    }
    assert_eq!(hand.actions(), [Action::Read { connection }]);
    hand.engine.pause(hand.now, request);
    hand.engine.resume(hand.now, request);
    assert_eq!(hand.actions(), [Action::Read { connection }], "and again");
}

#[test]
fn the_clients_own_question_is_not_put_behind_a_request_that_may_not_run_twice() {
    for (request, asks) in [(get(), true), (post(), false)] {
        let mut hand = Bench::without_timeouts(Multiplex::Auto, |config| {
            config.limits.max_connections_per_server = 1;
        });
        let shown = format!("{request:?}");
        hand.ask(request);
        let connection = hand.connect();
        hand.ask(get());
        hand.tick(5000 * MS);
        assert_eq!(!hand.send(connection).is_empty(), asks, "{shown}");
    }
}

// case 145
#[test]
fn a_request_that_nothing_can_take_is_given_back_rather_than_accepted_and_ended() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |config| {
        config.limits.max_queued_requests = 0;
        config.limits.max_connections_per_server = 1;
    });
    let idle = used(&mut hand);
    hand.ask(get());
    // The one connection is busy, and no other may be opened.
    assert!(hand.engine.wants_write(idle));
    for request in [get(), post()] {
        assert!(hand.engine.submit(hand.now, request, Tag(9)).is_err());
    }
    assert_eq!(hand.polled(), []);
}

// case 127
#[test]
fn a_question_of_which_no_byte_has_left_excuses_nothing() {
    let mut hand = Bench::without_timeouts(Multiplex::Auto, |config| {
        config.limits.max_connections_per_server = 1;
    });
    hand.ask(get());
    let connection = hand.connect();
    hand.ask(get());
    hand.tick(5000 * MS);
    assert!(hand.engine.wants_write(connection), "the question");
    let why = Disconnected::Failed(ErrorKind::BrokenPipe);
    hand.closed(connection, why);
    assert_eq!(hand.stats().counters.retries, 0);
    assert_eq!(hand.polled().len(), 1);
}
