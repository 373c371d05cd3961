//! The demo application, driven over real sockets as by a Web server.

mod pages;
mod peer;
mod random;
mod turns;

use std::time::{Duration, Instant};

use crate::app::{self, Options, Running};
use mio_fcgi::Address;
use mio_fcgi::wire::{self, Pairs, ProtocolStatus, RecordType, Role};
use peer::{Peer, open_request, params, request};

fn start() -> Running {
    start_with(Options::default())
}

fn start_with(options: Options) -> Running {
    app::spawn(options).expect("a socket and a thread")
}

fn start_tcp(options: Options) -> Running {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let listener = app::Listener::bind(&any_port).expect("a port");
    app::spawn_on(listener, options).expect("a thread")
}

#[test]
fn records_of_two_requests_interleave() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let mut bytes = Vec::new();
    wire::write_begin_request(&mut bytes, 1, Role::Responder, true);
    wire::write_begin_request(&mut bytes, 2, Role::Responder, true);
    bytes.extend(params(2, "/echo", &[]));
    bytes.extend(params(1, "/echo", &[]));
    for (id, piece) in [(1, "a"), (2, "b"), (2, "b"), (1, "aa")] {
        wire::write_stream(&mut bytes, RecordType::Stdin, id, piece.as_bytes());
    }
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 2);
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    peer.send(&bytes);
    let answers = peer.answers(2);
    assert_eq!(answers.ended, [2, 1]);
    assert_eq!(answers.one(1).body(), b"aaa");
    assert_eq!(answers.one(2).body(), b"bb");
}

#[test]
fn a_quick_request_overtakes_a_slow_one() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let mut bytes = request(7, true, "/tag?tag=slow&delay=300", b"");
    bytes.extend(request(8, true, "/tag?tag=quick&size=12", b""));
    let start = Instant::now();
    peer.send(&bytes);
    let answers = peer.answers(2);
    assert_eq!(answers.ended, [8, 7]);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(answers.one(7).body(), b"slow");
    assert_eq!(answers.one(8).body(), b"quickquickqu");
}

#[test]
fn bytes_may_come_one_by_one() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    for byte in request(300, true, "/echo", b"in pieces") {
        peer.send(&[byte]);
    }
    assert_eq!(peer.answers(1).one(300).body(), b"in pieces");
}

#[test]
fn get_values_returns_the_known_values_and_nothing_else() {
    for (multiplex, requests, mpxs) in [(true, "60", "1"), (false, "20", "0")] {
        let application = start_with(Options {
            threads: 2,
            multiplex,
            max_connections: 10,
            max_requests_per_connection: 3,
            ..Options::default()
        });
        let mut peer = Peer::connect(application.address());
        let mut bytes = Vec::new();
        let names = [
            wire::MPXS_CONNS,
            "FCGI_OTHER",
            wire::MAX_CONNS,
            wire::MAX_REQS,
        ];
        wire::write_get_values(&mut bytes, &names).expect("short names");
        peer.send(&bytes);
        while peer.so_far().values_done == 0 {
            assert!(peer.read_some(1000));
        }
        let pairs: Vec<_> = Pairs::new(&peer.so_far().values)
            .map(|pair| pair.expect("pairs"))
            .collect();
        assert_eq!(
            pairs,
            [
                (wire::MAX_CONNS.as_bytes(), &b"20"[..]),
                (wire::MAX_REQS.as_bytes(), requests.as_bytes()),
                (wire::MPXS_CONNS.as_bytes(), mpxs.as_bytes()),
            ]
        );
    }
}

#[test]
fn an_unknown_management_record_is_answered() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let mut bytes = Vec::new();
    let unknown = RecordType::Unassigned(99);
    wire::write_record(&mut bytes, unknown, 0, b"what").expect("short");
    peer.send(&bytes);
    assert_eq!(peer.ask("/bench", b"").body(), [b'x'; 16]);
    peer.send(&bytes);
    while peer.so_far().unknown_types.is_empty() {
        assert!(peer.read_some(1000));
    }
    assert_eq!(peer.so_far().unknown_types, [99]);
}

#[test]
fn an_aborted_request_ends_at_once_and_alone() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    // Longer than a peer waits for a response.
    let mut bytes = request(1, true, "/slow?ms=600000", b"");
    bytes.extend(request(2, true, "/tag?tag=other&delay=100", b""));
    bytes.extend(open_request(3, true, "/form", &[]));
    wire::write_abort_request(&mut bytes, 1);
    wire::write_abort_request(&mut bytes, 3);
    wire::write_abort_request(&mut bytes, 4);
    peer.send(&bytes);
    let answers = peer.answers(3);
    assert_eq!(answers.ended, [1, 3, 2]);
    let ended = answers.one(1);
    assert_eq!(ended.stdout, b"");
    assert_eq!(ended.status(), (0, ProtocolStatus::RequestComplete));
    assert_eq!(answers.one(2).body(), b"other");
}

#[test]
fn aborting_a_long_answer_stops_it() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    peer.send(&request(1, true, "/big?size=18446744073709551615", b""));
    assert!(peer.read_some(1000));
    let mut bytes = Vec::new();
    wire::write_abort_request(&mut bytes, 1);
    peer.send(&bytes);
    assert_eq!(peer.answers(1).ended, [1]);
    assert_eq!(peer.ask("/bench", b"").body().len(), 16);
}

#[test]
fn the_connection_is_kept_only_if_asked() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    for _ in 0..3 {
        assert_eq!(peer.ask("/bench", b"").body().len(), 16);
    }
    let mut bytes = request(1, false, "/tag?tag=last&delay=50", b"");
    bytes.extend(request(2, true, "/tag?tag=neighbour&delay=200", b""));
    peer.send(&bytes);
    let answers = peer.rest();
    assert_eq!(answers.one(1).body(), b"last");
    assert_eq!(answers.one(2).body(), b"neighbour");
}

#[test]
fn a_response_without_keep_conn_is_not_cut_by_an_unread_body() {
    let application = start_tcp(Options {
        threads: 2,
        ..Options::default()
    });
    for _ in 0..4 {
        let mut peer = Peer::connect(application.address());
        let mut bytes = open_request(1, false, "/early", &[]);
        wire::write_stream(&mut bytes, RecordType::Stdin, 1, &vec![0; 1 << 20]);
        peer.send(&bytes);
        let answer = peer.rest().one(1);
        assert_eq!(answer.body(), b"answered before the body was read\n");
        std::thread::sleep(Duration::from_millis(20));
        assert!(!peer.was_reset());
    }
}

#[test]
fn a_half_closed_connection_gets_its_answers() {
    let application = start_tcp(Options::default());
    let mut peer = Peer::connect(application.address());
    let mut bytes = request(1, true, "/tag?tag=late&delay=200", b"");
    bytes.extend(open_request(2, true, "/echo", &[]));
    peer.send(&bytes);
    peer.shutdown_write();
    let answers = peer.rest();
    assert_eq!(answers.one(1).body(), b"late");
    assert_eq!(answers.ended, [1], "the other request was not complete");
}

#[test]
fn a_slow_reader_of_a_long_answer_costs_bounded_memory() {
    let application = start();
    let mut slow = Peer::connect(application.address());
    slow.send(&request(1, true, "/big?size=20000000", b""));
    slow.send(&request(2, true, "/big?size=3000", b""));
    assert!(slow.read_some(100));
    // Other connections are served meanwhile.
    let mut other = Peer::connect(application.address());
    assert_eq!(other.ask("/bench", b"").body().len(), 16);
    for _ in 0..50 {
        assert!(slow.read_some(1000));
    }
    let answers = slow.answers(2);
    assert_eq!(answers.ended, [2, 1], "the short one is not kept waiting");
    let answer = answers.one(1);
    let body = answer.body();
    assert_eq!(body.len(), 20_000_000);
    let is_pattern = |(at, byte): (usize, &u8)| *byte == app::pattern_byte(at as u64);
    assert!(body.iter().enumerate().all(is_pattern));
    let peak = application.counters().peak_held;
    assert!((1000..=256 * 1024).contains(&peak), "{peak} bytes held");
}

#[test]
fn requests_wait_while_their_responses_are_not_read() {
    let options = Options {
        bench_body_len: 20_000,
        ..Options::default()
    };
    // The two kinds of sockets report free buffer space in different ways.
    answers_wait(&start_with(options.clone()), 20_000);
    answers_wait(&start_tcp(options), 20_000);
}

fn answers_wait(application: &Running, body_len: usize) {
    let ids = 1..=1500;
    let bytes: Vec<u8> = ids
        .clone()
        .flat_map(|id| request(id, true, "/bench", b""))
        .collect();
    let mut peer = Peer::connect(application.address());
    peer.send(&bytes);
    for _ in 0..100 {
        assert!(peer.read_some(1000));
    }
    let answers = peer.answers(ids.len());
    assert!(answers.ended.iter().copied().eq(ids.clone()));
    for id in ids {
        assert_eq!(answers.one(id).body().len(), body_len);
    }
    let peak = application.counters().peak_held;
    assert!(peak <= 512 * 1024, "{peak} bytes held");
}

#[test]
fn pipelined_requests_are_answered_in_few_writes() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let bytes: Vec<u8> = (1..=200)
        .flat_map(|id| request(id, true, "/bench", b""))
        .collect();
    peer.send(&bytes);
    let answers = peer.answers(200);
    assert_eq!(answers.ended, (1..=200).collect::<Vec<u16>>());
    for id in 1..=200 {
        assert_eq!(answers.one(id).body(), [b'x'; 16]);
    }
    // One more request, so that the previous one has been counted.
    peer.ask("/bench", b"");
    let writes = application.counters().writes;
    assert!((1..=6).contains(&writes), "{writes} writes");
}

#[test]
fn bytes_that_are_not_fastcgi_close_only_their_connection() {
    let application = start();
    let mut neighbour = Peer::connect(application.address());
    neighbour.send(&request(1, true, "/tag?tag=alive&delay=300", b""));
    let begin = |id| {
        let mut bytes = Vec::new();
        wire::write_begin_request(&mut bytes, id, Role::Responder, true);
        bytes
    };
    let stream = |record_type, id, content: &[u8]| {
        let mut bytes = Vec::new();
        wire::write_record(&mut bytes, record_type, id, content).expect("short");
        bytes
    };
    let bad = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 70_000],
        begin(0),
        [begin(1), begin(1)].concat(),
        [begin(1), stream(RecordType::Stdin, 1, b"early")].concat(),
        [begin(1), stream(RecordType::Stdin, 1, b"")].concat(),
        [
            open_request(1, true, "/echo", &[]),
            stream(RecordType::Params, 1, b""),
        ]
        .concat(),
        [
            begin(1),
            stream(RecordType::Params, 1, b"\x7f\x01cut"),
            stream(RecordType::Params, 1, b""),
        ]
        .concat(),
        stream(RecordType::Stdout, 1, b"wrong way"),
        stream(RecordType::GetValues, 1, b""),
        stream(RecordType::GetValues, 0, b"\x01"),
        stream(RecordType::GetValuesResult, 0, b""),
        stream(RecordType::EndRequest, 1, &[0; 8]),
        stream(RecordType::BeginRequest, 1, &[0; 7]),
    ];
    for bytes in bad {
        let mut peer = Peer::connect(application.address());
        peer.send(&request(9, true, "/tag?tag=before", b""));
        assert_eq!(peer.answers(1).one(9).body(), b"before");
        peer.send_or_lose(&bytes);
        let head = &bytes[..bytes.len().min(40)];
        assert!(
            peer.rest()
                .by_id
                .values()
                .all(|answer| answer.end.is_none()),
            "{head:?}"
        );
    }
    assert_eq!(neighbour.answers(1).one(1).body(), b"alive");
}

#[test]
fn a_second_request_is_refused_without_multiplexing() {
    let application = start_with(Options {
        multiplex: false,
        ..Options::default()
    });
    let mut peer = Peer::connect(application.address());
    let mut bytes = open_request(1, true, "/echo", &[]);
    bytes.extend(request(2, false, "/bench", b"refused"));
    wire::write_stream(&mut bytes, RecordType::Stdin, 1, b"first");
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    peer.send(&bytes);
    let answers = peer.answers(2);
    assert_eq!(answers.one(2).status(), (0, ProtocolStatus::CantMultiplex));
    assert_eq!(answers.one(2).stdout, b"");
    assert_eq!(answers.one(1).body(), b"first");
}

#[test]
fn a_request_beyond_a_limit_is_rejected_as_overloaded() {
    let application = start_with(Options {
        max_requests_per_connection: 2,
        input_limit: 1000,
        ..Options::default()
    });
    let mut peer = Peer::connect(application.address());
    let mut bytes = request(1, true, "/slow?ms=100", b"");
    bytes.extend(open_request(2, true, "/", &[("LONG", &"x".repeat(2000))]));
    bytes.extend(request(3, true, "/slow?ms=100", b""));
    bytes.extend(request(4, true, "/bench", b""));
    peer.send(&bytes);
    let answers = peer.answers(4);
    assert_eq!(answers.ended, [2, 4, 1, 3]);
    let overloaded = (0, ProtocolStatus::Overloaded);
    assert_eq!(answers.one(2).status(), overloaded);
    assert_eq!(answers.one(4).status(), overloaded);
    // The memory of the request is counted as free again.
    for _ in 0..5 {
        let body = format!("a={}", "y".repeat(600));
        assert!(peer.ask("/form", body.as_bytes()).head().contains("200"));
    }
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let application = start_with(Options {
        max_connections: 1,
        ..Options::default()
    });
    let mut first = Peer::connect(application.address());
    assert_eq!(first.ask("/bench", b"").body().len(), 16);
    let mut second = Peer::connect(application.address());
    assert!(second.rest().by_id.is_empty());
    assert_eq!(first.ask("/bench", b"").body().len(), 16);
}

#[test]
fn dropping_it_closes_connections_and_leaves_no_socket() {
    let application = start_with(Options {
        threads: 2,
        ..Options::default()
    });
    let address = application.address().clone();
    let mut peers: Vec<_> = (0..4).map(|_| Peer::connect(&address)).collect();
    for peer in &mut peers {
        peer.send(&request(1, true, "/tag?tag=soon&delay=50", b""));
    }
    for peer in &mut peers {
        assert_eq!(peer.answers(1).one(1).body(), b"soon");
        peer.send(&request(1, true, "/slow?ms=600000", b""));
    }
    drop(application);
    for peer in &mut peers {
        assert!(peer.rest().ended.is_empty());
    }
    #[cfg(target_os = "linux")]
    assert!(matches!(&address, Address::Abstract(_)), "{address}");
    let again = app::Listener::bind(&address);
    assert!(again.is_ok(), "{again:?}");
}
