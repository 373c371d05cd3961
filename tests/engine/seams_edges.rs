//! What a driver may report at the edges: in another order than usual, too early, too often, or never.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{Action, Body, Disconnected, Multiplex, RequestError, Tag, TimeoutKind, Timeouts};

use crate::hand::{Hand, answer, get, post, used, words};
use crate::script::records;

const MS: Duration = Duration::from_millis(1);

// case 138
#[test]
fn a_limit_that_ends_while_its_answer_is_being_fed_has_not_ended() {
    let mut hand = Hand::new(Multiplex::On { max: 10 }, |config| {
        config.timeouts.first_octet = Some(1000 * MS);
    });
    hand.submit(get());
    let connection = hand.connect();
    hand.now += 10 * MS;
    hand.submit(get());
    hand.send(connection);
    hand.engine.handle_drained(hand.now, connection);
    // The first limit is over: the engine wants the socket read before it says so.
    hand.advance(995 * MS);
    assert_eq!(hand.actions(), [Action::Read { connection }]);
    hand.engine.handle_short_read(hand.now, connection);
    let both: Vec<u8> = [answer(1, "one"), answer(2, "two")]
        .iter()
        .flat_map(|records| records.as_ref().to_vec())
        .collect();
    let mut input = &both[..];
    let first = hand.engine.poll_received(hand.now, connection, &mut input);
    assert_eq!(first.as_ref().map(words).as_deref(), Some("1 out one"));
    // Between two events of one read, the second limit ends.
    hand.advance(10 * MS);
    assert_eq!(
        hand.feed(connection, input),
        ["1 done", "2 out two", "2 done"]
    );
    assert_eq!(hand.seen(), [""; 0]);
}

#[test]
fn a_server_that_accepts_and_closes_or_speaks_at_once_is_backed_off_from() {
    for how in ["closed first", "closed then", "banner"] {
        let mut hand = Hand::new(Multiplex::Auto, |_| {});
        hand.submit(get());
        let mut connects = 0;
        while let Some(connection) = hand.dialled().first().copied() {
            connects += 1;
            assert!(connects < 10, "{how}: connects at one instant");
            let Hand { engine, now, .. } = &mut hand;
            match how {
                "closed first" => engine.handle_read_closed(*now, connection),
                "banner" => engine.handle_readable(*now, connection),
                _ => {}
            }
            engine.handle_connected(*now, connection);
            match how {
                "banner" => {
                    let seen = hand.feed(connection, b"220 mail.example.org ESMTP\r\n");
                    assert_eq!(seen, [""; 0], "{how}");
                }
                _ => {
                    engine.handle_read_closed(*now, connection);
                    engine.handle_closed(*now, connection, Disconnected::Eof);
                }
            }
        }
        let seen = hand.seen();
        assert!(
            seen.len() == 1 && seen[0].ends_with("NotSent"),
            "{how}: {seen:?}"
        );
    }
}

// case 127
#[test]
fn the_clients_own_question_excuses_a_loss_only_within_the_stale_window() {
    for (after, retries) in [(999 * MS, 1), (1000 * MS, 0), (30_000 * MS, 0)] {
        let mut hand = Hand::new(Multiplex::Auto, |config| {
            config.limits.max_connections = 1;
        });
        hand.submit(get());
        let connection = hand.connect();
        hand.engine.handle_drained(hand.now, connection);
        hand.submit(get());
        hand.advance(1000 * MS);
        assert!(!hand.send(connection).is_empty(), "the question");
        hand.advance(after);
        hand.engine
            .handle_closed(hand.now, connection, Disconnected::Eof);
        assert_eq!(hand.retries(), retries, "lost {after:?} after the question");
    }
}

#[test]
fn a_request_whose_record_header_has_come_is_not_sent_again() {
    for (came, retries) in [(0, 1), (1, 0), (7, 0), (8, 0), (9, 0)] {
        let mut hand = Hand::new(Multiplex::Auto, |_| {});
        let connection = used(&mut hand);
        hand.submit(get());
        hand.send(connection);
        let output = records().stdout(2, "Status: 200 OK\r\n");
        hand.feed(connection, &output.as_ref()[..came]);
        hand.engine
            .handle_closed(hand.now, connection, Disconnected::Eof);
        assert_eq!(hand.retries(), retries, "{came} bytes of the record");
    }
}

// case 126
#[test]
fn a_post_behind_a_get_on_an_idle_connection_is_read_for_first() {
    let mut hand = Hand::new(Multiplex::On { max: 10 }, |_| {});
    let connection = used(&mut hand);
    hand.submit(get());
    assert!(
        !hand.engine.reads_first(connection),
        "a GET may be sent again"
    );
    hand.submit(post());
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
        let mut hand = Hand::new(Multiplex::Auto, |_| {});
        hand.submit(post());
        let connection = hand.connect();
        hand.engine.handle_closed(hand.now, connection, why);
        let seen = hand.seen();
        assert!(
            seen.len() == 1 && seen[0].contains("Lost("),
            "{why:?}: {seen:?}"
        );
        assert_eq!(
            hand.engine.stats().connections,
            Default::default(),
            "{why:?}"
        );
    }
}

#[test]
fn more_bytes_reported_as_sent_than_there_were_count_as_what_there_was() {
    let mut hand = Hand::new(Multiplex::Auto, |_| {});
    hand.submit(get());
    let dialled = hand.dialled();
    let connection = dialled[0];
    hand.engine.handle_connected(hand.now, connection);
    let len: usize = hand
        .engine
        .transmit(connection)
        .iter()
        .map(|slice| slice.len())
        .sum();
    for _ in 0..2 {
        hand.engine
            .handle_transmitted(hand.now, connection, usize::MAX);
    }
    let sent = hand.engine.stats().counters.octets_sent;
    assert_eq!(usize::try_from(sent), Ok(len));
}

// case 124
#[test]
fn a_record_for_a_request_that_is_not_sent_yet_is_not_delivered_on_any_connection() {
    let mut hand = Hand::new(Multiplex::On { max: 10 }, |_| {});
    hand.submit(get());
    let connection = hand.connect();
    hand.submit(get());
    hand.send(connection);
    // Not a byte of the third leaves, and then the application takes one request at a time.
    hand.submit(get());
    assert_eq!(
        hand.feed(connection, records().stdout(1, "one")),
        ["1 out one"]
    );
    let refusal = records().end_as(2, 0, ProtocolStatus::CantMultiplex);
    assert_eq!(hand.feed(connection, refusal), [""; 0]);
    let seen = hand.feed(connection, answer(3, "not yours"));
    assert!(!seen.concat().contains("3 "), "{seen:?}");
}

// case 144
#[test]
fn padding_that_never_comes_does_not_keep_the_only_connection() {
    let mut hand = Hand::new(Multiplex::Auto, |config| {
        config.limits.max_connections = 1;
        config.limits.idle_timeout = Duration::MAX;
    });
    hand.submit(get());
    let connection = hand.connect();
    let bytes = records().padded(8).end(1, 0);
    let without_padding = &bytes.as_ref()[..16];
    assert_eq!(hand.feed(connection, without_padding), ["1 done"]);
    hand.engine.handle_drained(hand.now, connection);
    hand.submit(get());
    assert_eq!(hand.actions(), []);
    let start = hand.now;
    let actions = loop {
        hand.now = hand.engine.poll_timeout().expect("a limit");
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
    let mut hand = Hand::new(Multiplex::On { max: 10 }, |_| {});
    let first = hand.submit(get());
    let connection = hand.connect();
    hand.submit(get());
    hand.send(connection);
    hand.engine.pause(hand.now, first);
    let seen = hand.feed(connection, records().stdout_end(1).end(1, 0));
    assert_eq!(seen, [""; 0]);
    hand.engine.resume(hand.now, first);
    let mut events = 0;
    while hand.engine.poll_event(&mut []).is_some() {
        events += 1;
    }
    assert_eq!(events, 2, "StdoutEnd and End");
}

// case 133
#[test]
fn a_get_behind_a_post_that_waits_for_a_new_connection_takes_the_idle_one() {
    let mut hand = Hand::new(Multiplex::Auto, |_| {});
    let idle = used(&mut hand);
    hand.submit(post());
    assert_eq!(
        hand.dialled().len(),
        1,
        "a POST does not try the IDs of a server"
    );
    hand.submit(get());
    assert!(hand.engine.wants_write(idle));
    assert_eq!(hand.dialled(), []);
}

// cases 130, 133
#[test]
fn what_is_connected_goes_on_while_no_connection_can_be_opened() {
    let mut hand = Hand::new(Multiplex::Off, |config| {
        config.timeouts.queue = Some(10_000 * MS);
    });
    let idle = used(&mut hand);
    hand.submit(post());
    for _ in 0..7 {
        hand.submit(get());
    }
    let mut seen = Vec::new();
    for _ in 0..100 {
        while let Some(action) = hand.engine.poll_action() {
            match action {
                Action::Connect { connection, .. } => {
                    let why = Disconnected::Shortage(ErrorKind::Other);
                    hand.engine.handle_closed(hand.now, connection, why);
                }
                Action::Flush { connection } => {
                    assert_eq!(connection, idle);
                    // The request ID of its `FCGI_BEGIN_REQUEST`.
                    let id = hand.send(connection)[3];
                    seen.extend(hand.read(connection, records().end(id.into(), 0)));
                }
                _ => {}
            }
        }
    }
    seen.sort();
    let served: Vec<_> = (2..10).map(|tag| format!("{tag} done")).collect();
    assert_eq!(seen, served, "all of them, and at once");
}

#[test]
fn a_limit_ends_although_the_request_is_paused_with_each_piece() {
    let mut hand = Hand::new(Multiplex::Auto, |config| {
        config.timeouts = Timeouts::total(1000 * MS);
    });
    let request = hand.submit(get());
    let connection = hand.connect();
    hand.engine.handle_drained(hand.now, connection);
    let start = hand.now;
    let ended = loop {
        hand.engine.handle_readable(hand.now, connection);
        hand.advance(10 * MS);
        hand.actions();
        if hand.engine.wants_read(connection) {
            for _ in hand.read(connection, records().stdout(1, "more")) {
                hand.engine.pause(hand.now, request);
            }
        }
        let seen = hand.seen();
        if !seen.is_empty() {
            break seen;
        }
        hand.engine.resume(hand.now, request);
        assert!(hand.now - start < 10_000 * MS, "no end");
    };
    let error = RequestError::TimedOut(TimeoutKind::Total);
    assert!(
        ended.len() == 1 && ended[0].contains(&format!("{error:?}")),
        "{ended:?}"
    );
    // 128 reads are the most that the limit looks for.
    assert!(hand.now - start <= 1000 * MS + 130 * 10 * MS);
}

#[test]
fn a_post_whose_new_connection_is_refused_takes_the_idle_one() {
    let mut hand = Hand::new(Multiplex::Off, |_| {});
    let idle = used(&mut hand);
    hand.submit(post());
    let dialled = hand.dialled();
    let why = Disconnected::ConnectFailed(ErrorKind::ConnectionRefused);
    hand.engine.handle_closed(hand.now, dialled[0], why);
    assert_eq!(hand.seen(), [""; 0]);
    assert!(hand.engine.wants_write(idle));
}

#[test]
fn what_one_close_behind_an_answer_taught_is_not_held_for_ever() {
    let mut hand = Hand::new(Multiplex::Off, |_| {});
    let connection = used(&mut hand);
    hand.engine
        .handle_closed(hand.now, connection, Disconnected::Eof);
    let mut opened = Vec::new();
    for _ in 0..100 {
        hand.submit(post());
        if let Some(new) = hand.dialled().first().copied() {
            hand.engine.handle_connected(hand.now, new);
            opened.push(new);
        }
        // Only one has something to send.
        let mut sent = Vec::new();
        for handle in opened.clone() {
            hand.engine.handle_drained(hand.now, handle);
            sent = hand.send(handle);
            if !sent.is_empty() {
                hand.read(handle, records().end(sent[3].into(), 0));
                break;
            }
        }
        assert!(!sent.is_empty());
        hand.advance(60 * MS);
    }
    let connects = opened.len();
    assert!(connects <= 2, "{connects} connects for 100 requests");
}

#[test]
fn records_for_ended_requests_cost_no_more_the_more_there_were() {
    const REQUESTS: u16 = 20_000;
    let mut hand = Hand::new(Multiplex::On { max: 65_535 }, |config| {
        config.limits.max_connections = 1;
        config.limits.max_queue = usize::from(REQUESTS);
    });
    for _ in 0..REQUESTS {
        hand.submit(get());
    }
    let connection = hand.connect();
    hand.submit(get());
    hand.send(connection);
    for id in 1..=REQUESTS {
        assert_eq!(hand.feed(connection, records().end(id, 0)).len(), 1);
    }
    for id in (1..=REQUESTS).rev() {
        assert_eq!(hand.feed(connection, records().end(id, 0)), [""; 0]);
    }
    let ignored = hand.engine.stats().counters.records_ignored;
    assert_eq!(ignored, u64::from(REQUESTS));
    // It takes no more requests, and the last one ends.
    let last = REQUESTS + 1;
    assert_eq!(hand.feed(connection, records().end(last, 0)).len(), 1);
    hand.engine.handle_drained(hand.now, connection);
    hand.submit(get());
    assert_eq!(hand.dialled().len(), 1);
}

#[test]
fn pauses_and_resumes_between_two_polls_ask_for_one_read() {
    let mut hand = Hand::new(Multiplex::Auto, |_| {});
    let request = hand.submit(get());
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

// case 129
#[test]
fn a_reader_that_has_said_its_end_is_not_asked_again() {
    struct Once(Option<&'static [u8]>);
    impl io::Read for Once {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.take() {
                Some(bytes) => {
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    if !bytes.is_empty() {
                        self.0 = Some(b"");
                    }
                    Ok(bytes.len())
                }
                None => Err(io::Error::other("asked behind its end")),
            }
        }
    }
    let mut hand = Hand::new(Multiplex::Auto, |_| {});
    hand.submit(post().with_body(Body::reader(Once(Some(b"body")), Some(4))));
    let dialled = hand.dialled();
    hand.engine.handle_connected(hand.now, dialled[0]);
    hand.engine
        .handle_closed(hand.now, dialled[0], Disconnected::Eof);
    hand.advance(Duration::from_secs(1));
    let dialled = hand.dialled();
    hand.engine.handle_connected(hand.now, dialled[0]);
    let sent = hand.send(dialled[0]);
    assert_eq!(hand.seen(), [""; 0]);
    assert!(sent.windows(4).any(|window| window == b"body"));
}

#[test]
fn the_clients_own_question_is_not_put_behind_a_request_that_may_not_run_twice() {
    for (request, asks) in [(get(), true), (post(), false)] {
        let mut hand = Hand::new(Multiplex::Auto, |config| {
            config.limits.max_connections = 1;
        });
        let shown = format!("{request:?}");
        hand.submit(request);
        let connection = hand.connect();
        hand.submit(get());
        hand.advance(5000 * MS);
        assert_eq!(!hand.send(connection).is_empty(), asks, "{shown}");
    }
}

// case 145
#[test]
fn a_request_that_nothing_can_take_is_given_back_rather_than_accepted_and_ended() {
    let mut hand = Hand::new(Multiplex::Off, |config| {
        config.limits.max_queue = 0;
        config.limits.max_connections = 1;
    });
    let idle = used(&mut hand);
    hand.submit(get());
    // The one connection is busy, and no other may be opened.
    assert!(hand.engine.wants_write(idle));
    for request in [get(), post()] {
        assert!(hand.engine.submit(hand.now, request, Tag(9)).is_err());
    }
    assert_eq!(hand.seen(), [""; 0]);
}

// case 127
#[test]
fn a_question_of_which_no_byte_has_left_excuses_nothing() {
    let mut hand = Hand::new(Multiplex::Auto, |config| {
        config.limits.max_connections = 1;
    });
    hand.submit(get());
    let connection = hand.connect();
    hand.submit(get());
    hand.advance(5000 * MS);
    assert!(hand.engine.wants_write(connection), "the question");
    let why = Disconnected::Failed(ErrorKind::BrokenPipe);
    hand.engine.handle_closed(hand.now, connection, why);
    assert_eq!(hand.retries(), 0);
    assert_eq!(hand.seen().len(), 1);
}
