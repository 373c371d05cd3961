//! `FCGI_GET_VALUES`: what a server says about itself, and what the client makes of it.

use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, RecordType};
use mio_fcgi::{Body, CloseReason, Multiplex, Request, Retry};

use crate::harness::{Answer, Bench};
use crate::script::{Records, Sent, config, done, out, records, repeatable, split};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A bench whose only connection has a request and, after it, the client's question. A second request is queued.
fn asking() -> Bench {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(repeatable());
    assert_eq!(bench.sent(0), Sent::whole(1), "and nothing is asked");
    bench.submit(repeatable());
    bench.advance(999 * MS);
    assert_eq!(bench.sent(0), [], "a connection may become idle");
    bench.advance(MS);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench
}

/// The connection on which the question was sent.
fn asked(bench: &mut Bench) -> usize {
    bench.advance(SECOND);
    let mut asked = bench.talked_to();
    asked.retain(|peer| bench.sent(*peer).contains(&Sent::GetValues));
    assert_eq!(asked.len(), 1, "asked once");
    asked[0]
}

/// How many requests run side by side after the question was answered. Then ends all of them.
pub(crate) fn shared_by(mut bench: Bench) -> usize {
    bench.submit(repeatable());
    let shared = bench.stats().requests.active;
    let mut live = vec![1];
    while bench.stats().requests.active > 0 {
        let open = bench.peers.iter().rposition(|peer| peer.closed.is_none());
        let open = open.expect("something is in flight");
        let sent = bench.sent(open);
        assert!(!sent.contains(&Sent::GetValues), "asked once");
        live.extend(sent.iter().filter_map(|sent| match sent {
            Sent::Begin { id, .. } => Some(*id),
            _ => None,
        }));
        let id = live.pop().expect("it was begun");
        bench.feed(open, records().end(id, 0));
    }
    bench.finish();
    shared
}

fn answered(answer: Records) -> usize {
    let mut bench = asking();
    bench.feed(0, answer);
    assert_eq!(bench.seen(), [], "an answer is no response");
    shared_by(bench)
}

// case 92
#[test]
fn the_question_has_padding_so_that_libfcgi_answers_at_once() {
    let bench = asking();
    let records = split(&bench.peers[0].sent);
    let (header, _) = records.last().expect("the question");
    assert_eq!(header.record_type, RecordType::GetValues);
    assert!(header.padding_len >= 1);
    assert_eq!(header.request_id, 0);
    bench_is_over(bench);
}

/// The application dies, which ends everything in flight on plain and shared connections alike.
fn bench_is_over(mut bench: Bench) {
    for peer in 0.. {
        if peer == bench.peers.len() {
            break;
        }
        if bench.peers[peer].closed.is_none() {
            bench.eof(peer);
        }
    }
    bench.finish();
}

#[test]
fn nobody_is_asked_while_a_connection_can_be_opened_for_each_request() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 3;
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(repeatable());
    }
    bench.advance(SECOND);
    for peer in 0..3 {
        assert_eq!(bench.sent(peer), Sent::whole(1));
    }
    bench.submit(repeatable());
    asked(&mut bench);
    bench_is_over(bench);
}

#[test]
fn nobody_is_asked_behind_a_request_with_a_body() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    let body = Body::pushed(Some(1));
    let uploading = bench.submit(repeatable().with_body(body));
    bench.submit(repeatable());
    let sent = bench.sent(0);
    assert!(!sent.contains(&Sent::GetValues), "{sent:?}");
    bench.peers[0].window = 0;
    let pushed = bench.command(|engine, now| engine.write_stdin(now, uploading, b"x"));
    assert_eq!(pushed, Ok(1));
    let finished = bench.command(|engine, now| engine.finish_stdin(now, uploading));
    assert_eq!(finished, Ok(()));
    bench.open_window(0, 31);
    let sent = bench.sent(0);
    assert_eq!(sent.last(), Some(&Sent::StreamEnd(RecordType::Stdin, 1)));
    bench.open_window(0, usize::MAX);
    bench.advance(SECOND);
    assert_eq!(bench.sent(0), [], "its body may be unread");
    bench.end(0);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench_is_over(bench);
}

#[test]
fn an_answer_behind_the_end_of_the_request_lets_the_next_one_have_the_connection() {
    let mut bench = asking();
    bench.end(0);
    assert_eq!(bench.stats().requests.queued, 1, "the answer may come");
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "0")]));
    assert_eq!(bench.sent(0), Sent::whole(2));
    bench.end(0);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

// case 93
#[test]
fn silence_until_the_limit_means_one_request_per_connection() {
    let mut bench = asking();
    bench.advance(7 * SECOND);
    assert_eq!(bench.peers[0].closed, None, "its request may take its time");
    bench.end(0);
    bench.advance(999 * MS);
    assert_eq!(bench.peers[0].closed, None);
    assert_eq!(bench.stats().connections.probing, 1);
    bench.advance(MS);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::ProbeDone));
    assert_eq!(bench.seen(), [done(1)], "no request noticed");
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.submit(repeatable());
    assert_eq!(bench.sent(1), [], "neither asked again nor shared");
    for _ in 0..2 {
        bench.end(1);
    }
    assert_eq!(bench.seen(), [done(2), done(3)]);
    bench.finish();
}

// case 93
#[test]
fn at_the_cap_a_request_waits_for_a_connection_and_not_for_the_answer() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(repeatable());
    }
    let other = 1 - asked(&mut bench);
    bench.end(other);
    assert_eq!(bench.sent(other), Sent::whole(2), "the third request");
    bench.end(other);
    bench.end(1 - other);
    assert_eq!(bench.seen().len(), 3);
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
            bench.feed(0, records().values(&pairs));
            assert_eq!(shared_by(bench), shared, "in reads of {cut}");
        }
    }
}

#[test]
fn an_answer_that_the_embedder_asked_for_first_counts_for_its_requests() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.get_values(0);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.submit(repeatable());
    bench.submit(repeatable());
    assert_eq!(bench.sent(0), [Sent::whole(1), Sent::whole(2)].concat());
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

// case 94
#[test]
fn a_connection_lost_over_the_question_means_plain_for_good() {
    let ends: [fn(&mut Bench); 2] = [|bench| bench.eof(0), |bench| bench.reset(0)];
    for end in ends {
        let mut bench = asking();
        end(&mut bench);
        assert_eq!(bench.sent(1), Sent::whole(1), "the request that waited");
        bench.end(1);
        bench.eof(1);
        // The program that listens now may be another one, or die of the question as well.
        bench.answers.push_back(Answer::Refuse);
        bench.submit(repeatable());
        bench.submit(repeatable());
        let back = bench.peers.len() - 1;
        bench.submit(repeatable());
        assert_eq!(bench.sent(back), Sent::whole(1), "and no question");
        bench.end(back);
        bench.end(back);
        bench.finish();
    }
}

// case 94
#[test]
fn a_connection_closed_behind_the_answer_keeps_the_answer() {
    let mut bench = asking();
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.eof(0);
    bench.seen();
    for _ in 0..3 {
        bench.submit(repeatable());
    }
    assert_eq!(bench.stats().requests.active, 3);
    assert_eq!(bench.peers.len(), 2);
    bench_is_over(bench);
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
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.feed(0, records().values(&[]).stdout(1, "hi").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    bench.end(0);
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
    bench.feed(0, records().values(&libfcgi));
    let mut limits = bench.engine.config().limits;
    limits.max_connections_per_server = 3;
    bench
        .command(|engine, now| engine.set_limits(now, limits))
        .expect("valid");
    bench.submit(repeatable());
    assert_eq!(bench.stats().connections.busy, 3);
    for peer in 0..3 {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn an_answer_in_pieces_and_one_without_end_are_taken_as_far_as_they_go() {
    let mut bench = asking();
    for byte in records()
        .padded(3)
        .values(&[("FCGI_MPXS_CONNS", "1")])
        .as_ref()
    {
        bench.feed(0, [*byte]);
    }
    assert_eq!(shared_by(bench), 3);
    let mut bench = asking();
    let long = records().record(10, 0, &[b'x'; 60_000]);
    bench.feed(0, long);
    assert_eq!(shared_by(bench), 1);
}

#[test]
fn a_yes_lets_the_requests_that_wait_share_the_connections_there_are() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    for _ in 0..4 {
        bench.submit(repeatable());
    }
    assert_eq!(bench.stats().requests.queued, 2);
    let asked = asked(&mut bench);
    bench.feed(asked, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    let requests = bench.stats().requests;
    assert_eq!((requests.active, requests.queued), (4, 0));
    bench_is_over(bench);
}

#[test]
fn a_server_that_was_down_is_asked_again() {
    let mut bench = asking();
    bench.feed(0, records().unknown_type(9));
    bench.end(0);
    bench.end(0);
    bench.eof(0);
    bench.answers.push_back(Answer::Refuse);
    bench.submit(repeatable());
    bench.seen();
    bench.submit(repeatable());
    let back = bench.peers.len() - 1;
    assert_eq!(bench.sent(back), Sent::whole(1));
    bench.submit(repeatable());
    bench.advance(SECOND);
    assert_eq!(bench.sent(back), [Sent::GetValues]);
    bench.feed(back, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    assert_eq!(bench.sent(back), Sent::whole(2), "they share");
    bench.feed(back, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn without_kept_connections_nobody_is_asked() {
    let mut config = config(Multiplex::Auto);
    config.keep_connections = false;
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(repeatable());
    }
    for peer in 0..3 {
        let sent = bench.sent(peer);
        assert!(!sent.contains(&Sent::GetValues), "{sent:?}");
        bench.end(peer);
    }
    assert_eq!(bench.seen(), [done(1), done(2), done(3)]);
    bench.finish();
}

#[test]
fn a_connection_with_strays_takes_no_more_though_its_server_multiplexes_again() {
    let mut bench = asking();
    let yes = records().values(&[("FCGI_MPXS_CONNS", "1")]);
    let cap = |bench: &mut Bench, max_connections| {
        let mut limits = bench.engine.config().limits;
        limits.max_connections_per_server = max_connections;
        let set = bench.command(|engine, now| engine.set_limits(now, limits));
        set.expect("valid");
    };
    bench.feed(0, &yes);
    cap(&mut bench, 2);
    // The connection is lowered to one request at a time, and then no longer sure of its IDs.
    bench.feed(0, records().end_as(2, 0, ProtocolStatus::CantMultiplex));
    bench.feed(0, records().stdout(2, "late"));
    bench.eof(1);
    bench.answers.push_back(Answer::Refuse);
    bench.submit(repeatable());
    bench.seen();
    bench.submit(repeatable());
    let back = bench.peers.len() - 1;
    bench.submit(repeatable());
    bench.advance(SECOND);
    assert_eq!(bench.sent(back).last(), Some(&Sent::GetValues));
    bench.sent(0);
    bench.feed(back, &yes);
    assert_eq!(bench.sent(back), Sent::whole(2));
    assert_eq!(bench.sent(0), []);
    bench.end(0);
    assert_eq!(bench.peers[0].closed, None, "id 2 is not the one it has");
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
    bench.feed(back, records().end(1, 0).end(2, 0));
    assert_eq!(bench.seen(), [done(1), done(4), done(5)]);
    bench.finish();
}

#[test]
fn nobody_is_asked_within_the_body_of_a_request() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 2;
    config.limits.max_requests_per_connection = Some(3);
    let mut bench = Bench::new(config);
    bench.get_values(0);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.submit(repeatable());
    let uploading = bench.submit(repeatable().with_body(Body::pushed(Some(1))));
    // The server is down for a moment, and may be another program when it is back.
    bench.answers.push_back(Answer::Refuse);
    bench.get_values(0);
    bench.advance(SECOND);
    bench.get_values(0);
    bench.sent(0);
    bench.submit(repeatable());
    assert_eq!(bench.stats().requests.queued, 1);
    let sent = bench.sent(0);
    assert!(!sent.contains(&Sent::GetValues), "{sent:?}");
    bench.command(|engine, now| engine.abort(now, uploading));
    bench_is_over(bench);
}

/// The connection that is being opened is for the request that waits.
#[test]
fn nothing_is_asked_for_a_request_that_another_connection_is_opened_for() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    bench.submit(repeatable());
    bench.servers[0] = Answer::Hang;
    bench.submit(repeatable());
    assert_eq!(bench.stats().requests.connecting, 1);
    bench.advance(2 * SECOND);
    assert_eq!(
        bench.sent(0),
        Sent::whole(1),
        "held for long, and nothing asked"
    );
    bench.end(0);
    assert_eq!(bench.sent(0), Sent::whole(2), "the request goes first");
    bench.end(0);
    bench.accept(1);
    bench.finish();
}

/// libfcgi reads a request below a length at once, so that nothing behind it is lost.
#[test]
fn nothing_is_asked_behind_a_request_that_is_not_read_at_once() {
    for (value_len, is_asked) in [(7_882, true), (7_890, false)] {
        let mut config = config(Multiplex::Auto);
        config.limits.max_connections_per_server = 1;
        let mut bench = Bench::new(config);
        let request = Request::responder().with_retry(Retry::IfStale);
        bench.submit(request.param("N", "x".repeat(value_len)));
        bench.submit(repeatable());
        bench.advance(2 * SECOND);
        let has_asked = bench.sent(0).contains(&Sent::GetValues);
        assert_eq!(has_asked, is_asked, "{value_len}");
    }
}

#[test]
fn nothing_is_asked_on_a_connection_that_is_closed_after_its_request() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(repeatable());
    bench.end(0);
    bench.submit(repeatable());
    bench.feed(0, records().stdout(1, "late"));
    bench.submit(repeatable());
    bench.sent(0);
    bench.advance(2 * SECOND);
    assert_eq!(bench.sent(0), []);
}
