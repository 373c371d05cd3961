//! `FCGI_GET_VALUES`: what a server says of itself, and what follows from it.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::{Header, ProtocolStatus};
use mio_fcgi::{
    CloseReason, ConnectError, Delivery, Disconnected, LostReason, Multiplex, Phase, RequestError,
    ServerValues, SubmitError, Tag, TimeoutKind,
};

use crate::harness::{Answer, Bench};
use crate::script::{Records, Seen, Sent, config, done, failed, out, records, request};

const SECOND: Duration = Duration::from_secs(1);

/// A bench with a request on connection 0 and the client's question on connection 1.
fn asking() -> Bench {
    let mut bench = Bench::new(config(Multiplex::Auto));
    bench.submit(request());
    assert_eq!(
        bench.sent(0),
        Sent::whole(1),
        "the request does not wait for the answer"
    );
    assert_eq!(bench.sent(1), [Sent::GetValues]);
    bench
}

/// How many requests run side by side on connection 0, after the answer to the question is in.
fn shared_by(mut bench: Bench) -> usize {
    bench.submit(request());
    bench.submit(request());
    let mut shared = 1;
    for peer in 0..bench.peers.len() {
        let sent = bench.sent(peer);
        assert!(!sent.contains(&Sent::GetValues), "asked once");
        let begins = sent.iter().filter(|it| matches!(it, Sent::Begin { .. }));
        shared += if peer == 0 { begins.count() } else { 0 };
        if bench.peers[peer].closed.is_none() {
            bench.eof(peer);
        }
    }
    bench.finish();
    shared
}

fn answered(answer: Records) -> usize {
    let mut bench = asking();
    bench.feed(1, answer);
    // One that does not multiplex would hold a process for nothing.
    let shared_now = bench.peers[1].closed != Some(CloseReason::ProbeDone);
    let shared = shared_by(bench);
    assert_eq!(shared_now, shared > 1);
    shared
}

// case 92
#[test]
fn the_question_has_padding_so_that_libfcgi_answers_at_once() {
    let bench = asking();
    let header = bench.peers[1].sent.first_chunk().expect("a record");
    let header = Header::decode(header).expect("a header");
    assert!(header.padding_len >= 1);
    assert_eq!(header.request_id, 0);
    shared_by(bench);
}

// case 93
#[test]
fn silence_until_the_limit_means_one_request_per_connection() {
    let mut bench = asking();
    bench.advance(999 * Duration::from_millis(1));
    assert_eq!(bench.peers[1].closed, None);
    bench.advance(Duration::from_millis(1));
    assert_eq!(bench.peers[1].closed, Some(CloseReason::ProbeDone));
    assert_eq!(bench.seen(), [], "no request noticed");
    assert_eq!(shared_by(bench), 1);
}

// case 93
#[test]
fn at_the_cap_a_request_waits_for_the_clients_question_no_longer_than_its_limit() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections = 2;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    assert_eq!(bench.stats().requests.waiting, 1, "request, question, cap");
    bench.advance(SECOND);
    assert_eq!(bench.stats().requests.active, 2);
    bench.feed(0, records().end(1, 0));
    bench.feed(2, records().end(1, 0));
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

// case 93
#[test]
fn with_a_cap_of_one_the_question_waits_until_no_request_does() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.sent(0);
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.sent(0), Sent::whole(1), "the second request first");
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.submit(request());
    bench.submit(request());
    assert_eq!(bench.sent(0), [Sent::whole(1), Sent::whole(2)].concat());
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn of_an_answer_only_the_first_kilobyte_counts_however_it_is_cut() {
    let filler = "x".repeat(100);
    for (before, shared) in [(9, 3), (10, 1)] {
        let mut pairs = vec![("X", &filler[..]); before];
        pairs.push(("FCGI_MPXS_CONNS", "1"));
        for cut in [usize::MAX, 100, 1] {
            let mut bench = asking();
            bench.read_len = cut;
            bench.feed(1, records().values(&pairs));
            assert_eq!(shared_by(bench), shared, "in reads of {cut}");
        }
    }
}

#[test]
fn an_answer_that_the_embedder_asked_for_first_counts_for_its_requests() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections = 1;
    let mut bench = Bench::new(config);
    bench.get_values(0);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.submit(request());
    bench.submit(request());
    assert_eq!(bench.sent(0), [Sent::whole(1), Sent::whole(2)].concat());
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

// case 94
#[test]
fn a_connection_closed_over_the_question_means_plain() {
    let mut bench = asking();
    bench.eof(1);
    assert_eq!(bench.stats().connections.busy, 1);
    assert_eq!(shared_by(bench), 1);
    let mut bench = asking();
    bench.reset(1);
    assert_eq!(shared_by(bench), 1);
}

// case 94
#[test]
fn a_connection_closed_behind_the_answer_keeps_the_answer() {
    let mut bench = asking();
    bench.feed(1, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.eof(1);
    assert_eq!(shared_by(bench), 3);
}

// case 95
#[test]
fn unknown_type_means_plain() {
    assert_eq!(answered(records().unknown_type(9)), 1);
}

// case 96
#[test]
fn an_empty_answer_means_plain_and_a_second_one_ends_nothing() {
    assert_eq!(answered(records().values(&[])), 1);
    let yes = records().values(&[("FCGI_MPXS_CONNS", "1")]).values(&[]);
    assert_eq!(answered(yes), 3, "Go sends two");
    let mut bench = asking();
    bench.feed(1, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.submit(request());
    bench.feed(0, records().values(&[]).stdout(1, "hi").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    bench.feed(0, records().end(2, 0));
    bench.finish();
}

// case 97
#[test]
fn values_that_are_not_plain_numbers_count_as_not_said() {
    for value in ["", "yes", "-1", "2", "1 ", "99999999999999999999", "\u{0}1"] {
        let shared = answered(records().values(&[("FCGI_MPXS_CONNS", value)]));
        assert_eq!(shared, 1, "{value:?}");
    }
    for value in ["", "0", "-5", "many", "99999999999999999999", "4000000000"] {
        let both = [("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_REQS", value)];
        assert_eq!(answered(records().values(&both)), 3, "{value:?}");
    }
    let both = [("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_REQS", "2")];
    assert_eq!(answered(records().values(&both)), 2);
}

// case 98
#[test]
fn one_connection_and_one_request_per_process_do_not_limit_the_pool() {
    let libfcgi = [
        ("FCGI_MAX_CONNS", "1"),
        ("FCGI_MAX_REQS", "1"),
        ("FCGI_MPXS_CONNS", "0"),
    ];
    let mut bench = asking();
    bench.feed(1, records().values(&libfcgi));
    bench.submit(request());
    bench.submit(request());
    assert_eq!(bench.stats().connections.busy, 3);
    for peer in [0, 2, 3] {
        bench.feed(peer, records().end(1, 0));
    }
    bench.finish();
}

#[test]
fn an_answer_in_pieces_and_one_without_end_are_taken_as_far_as_they_go() {
    let mut bench = asking();
    for octet in records()
        .padded(3)
        .values(&[("FCGI_MPXS_CONNS", "1")])
        .as_ref()
    {
        bench.feed(1, [*octet]);
    }
    assert_eq!(shared_by(bench), 3);
    let mut bench = asking();
    let long = records().record(10, 0, &[b'x'; 60_000]);
    bench.feed(1, long);
    assert_eq!(shared_by(bench), 1);
}

#[test]
fn a_yes_lets_the_requests_that_wait_share_the_connections_there_are() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections = 2;
    let mut bench = Bench::new(config);
    for _ in 0..4 {
        bench.submit(request());
    }
    bench.sent(0);
    assert_eq!(bench.stats().requests.waiting, 3);
    bench.feed(1, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    assert_eq!(bench.stats().requests.waiting, 0);
    for peer in 0..2 {
        if bench.peers[peer].closed.is_none() {
            bench.eof(peer);
        }
    }
    bench.advance(SECOND);
    bench.seen();
    for peer in 2..bench.peers.len() {
        bench.eof(peer);
    }
    bench.finish();
}

#[test]
fn get_values_says_what_the_server_said() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    let pairs = [
        ("FCGI_MAX_CONNS", "10"),
        ("FCGI_MAX_REQS", "50"),
        ("FCGI_MPXS_CONNS", "0"),
        ("FCGI_OTHER", "1"),
    ];
    bench.feed(0, records().values(&pairs));
    let mut values = ServerValues::default();
    values.max_conns = Some(10);
    values.max_reqs = Some(50);
    values.multiplexes = Some(false);
    assert_eq!(bench.seen(), [Seen::Values(1, values), done(1)]);
    bench.finish();
}

#[test]
fn get_values_of_a_silent_server_times_out() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    bench.advance(SECOND);
    let error = RequestError::TimedOut(TimeoutKind::Probe);
    assert_eq!(
        bench.seen(),
        [failed(1, error, Phase::Sending, Delivery::MaybeSent)]
    );
    assert_eq!(bench.peers[0].closed, Some(CloseReason::ProbeDone));
    bench.finish();
}

#[test]
fn get_values_of_a_server_that_is_down_says_so() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::Refuse;
    bench.get_values(0);
    let error = ConnectError::Failed(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(
        bench.seen(),
        [failed(1, error, Phase::Waiting, Delivery::NotSent)]
    );
    bench.finish();
}

#[test]
fn get_values_of_a_server_that_closes_says_so() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    bench.eof(0);
    let error = RequestError::Lost(LostReason::Closed);
    assert_eq!(
        bench.seen(),
        [failed(1, error, Phase::Sending, Delivery::MaybeSent)]
    );
    bench.finish();
}

#[test]
fn get_values_waits_before_the_requests_while_all_connections_are_busy() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.get_values(0);
    bench.sent(0);
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.feed(0, records().values(&[]));
    assert_eq!(bench.sent(0), Sent::whole(1), "on the same connection");
    bench.feed(0, records().end(1, 0));
    let values = Seen::Values(3, ServerValues::default());
    assert_eq!(bench.seen(), [done(1), values, done(3), done(2)]);
    bench.finish();
}

#[test]
fn get_values_that_finds_no_free_connection_tells_busy_from_down() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections = 1;
    config.timeouts.queue = Some(SECOND);
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.get_values(0);
    bench.advance(SECOND);
    let error = RequestError::TimedOut(TimeoutKind::Queue);
    assert_eq!(
        bench.seen(),
        [failed(2, error, Phase::Waiting, Delivery::NotSent)]
    );
    bench.feed(0, records().end(1, 0));
    bench.finish();
}

#[test]
fn a_server_is_asked_by_the_embedder_once_at_a_time() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    let second = bench.engine.get_values(bench.now, 0, Tag(99));
    assert_eq!(second, Err(SubmitError::QueueFull { limit: 1 }));
    bench.advance(SECOND);
    bench.get_values(0);
    bench.advance(SECOND);
    assert_eq!(bench.seen().len(), 2, "two ends");
    bench.finish();
}

#[test]
fn an_aborted_get_values_closes_its_connection() {
    let mut bench = Bench::plain();
    let probe = bench.get_values(0);
    bench.command(|engine, now| engine.abort(now, probe));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Aborted));
    assert_eq!(
        bench.seen(),
        [failed(
            1,
            RequestError::Aborted,
            Phase::Sending,
            Delivery::MaybeSent
        )]
    );
    bench.finish();
}

#[test]
fn a_server_that_was_down_is_asked_again() {
    let mut bench = asking();
    bench.feed(1, records().unknown_type(9));
    bench.feed(0, records().end(1, 0));
    bench.eof(0);
    bench.answers.push_back(Answer::Refuse);
    bench.submit(request());
    bench.seen();
    bench.submit(request());
    let asked = bench.peers.len() - 1;
    assert_eq!(bench.sent(asked), [Sent::GetValues]);
    bench.feed(asked, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.submit(request());
    bench.submit(request());
    assert_eq!(bench.peers.len(), asked + 1, "they share");
    for peer in 2..bench.peers.len() {
        if bench.peers[peer].closed.is_none() {
            bench.eof(peer);
        }
    }
    bench.finish();
}

#[test]
fn a_question_of_the_embedder_waits_for_its_server_and_not_for_another() {
    let mut config = config(Multiplex::Off);
    config.servers.push(config.servers[0].clone());
    let mut bench = Bench::new(config);
    bench.servers = vec![Answer::Hang; 2];
    bench.submit(request());
    bench.get_values(1);
    let [other, asked] = [bench.peers[0].handle, bench.peers[1].handle];
    let refused = Disconnected::ConnectFailed(io::ErrorKind::ConnectionRefused);
    bench.command(|engine, now| engine.handle_closed(now, other, refused));
    assert_eq!(bench.seen(), [], "server 1 has not said no");
    bench.command(|engine, now| engine.handle_connected(now, asked));
    bench.feed(1, records().values(&[]));
    let values = Seen::Values(2, ServerValues::default());
    assert_eq!(bench.seen(), [values, done(2)]);
    bench.feed(1, records().end(1, 0));
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn without_kept_connections_one_that_was_opened_for_nobody_is_shared_after_a_yes() {
    let mut config = config(Multiplex::Auto);
    config.keep_connections = false;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Hang;
    let given_up = bench.submit(request());
    bench.command(|engine, now| engine.abort(now, given_up));
    for peer in 0..2 {
        bench.accept(peer);
    }
    let yes = [("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_REQS", "2")];
    bench.feed(1, records().values(&yes));
    for _ in 0..4 {
        bench.submit(request());
    }
    assert_eq!(bench.sent(0), [Sent::whole(1), Sent::whole(2)].concat());
    for peer in 0..2 {
        bench.feed(peer, records().end(1, 0).end(2, 0));
    }
    bench.finish();
}

#[test]
fn a_connection_with_strays_takes_no_more_though_its_server_multiplexes_again() {
    let mut bench = asking();
    let yes = records().values(&[("FCGI_MPXS_CONNS", "1")]);
    bench.feed(1, &yes);
    bench.eof(1);
    bench.submit(request());
    // Lowered to one request at a time, and then unsure of its IDs.
    bench.feed(0, records().end_as(2, 0, ProtocolStatus::CantMultiplex));
    bench.feed(0, records().stdout(2, "late"));
    bench.eof(2);
    bench.answers.push_back(Answer::Refuse);
    bench.submit(request());
    bench.submit(request());
    let asked = bench.peers.len() - 1;
    assert_eq!(bench.sent(asked), [Sent::GetValues]);
    bench.feed(asked, &yes);
    bench.feed(asked - 1, records().end(1, 0));
    bench.sent(0);
    bench.submit(request());
    assert_eq!(bench.sent(0), []);
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Stray));
    for peer in 3..bench.peers.len() {
        if bench.peers[peer].closed.is_none() {
            bench.eof(peer);
        }
    }
    bench.finish();
}
