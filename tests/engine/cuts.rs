//! Whole conversations, cut at every byte: what was read in one piece, in any two, byte by byte, gives the same events
//! and the same bytes back; what is written in any two pieces or byte by byte is the same request.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, Role};
use mio_fcgi::{Body, CloseReason, Multiplex, Request};

use crate::harness::Bench;
use crate::script::{Records, Seen, config, records, repeatable, request};

/// A conversation in which one piece of it is cut.
struct Scenario {
    name: &'static str,
    /// Everything up to the bytes.
    start: fn() -> Bench,
    /// The connection they arrive on.
    peer: usize,
    bytes: Records,
    /// The rest, so that each request ends.
    then: fn(&mut Bench),
}

/// All that can be seen of a conversation from outside.
#[derive(Debug, PartialEq)]
struct Told {
    seen: Vec<Seen>,
    sent: Vec<Vec<u8>>,
    closed: Vec<Option<CloseReason>>,
    submitted: u64,
    completed: u64,
    retries: u64,
    protocol_errors: u64,
}

impl Scenario {
    fn play<'a>(&self, read_len: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Told {
        let mut bench = (self.start)();
        bench.read_len = read_len;
        for piece in pieces {
            bench.feed(self.peer, piece);
        }
        (self.then)(&mut bench);
        let counters = bench.stats().counters;
        // Late records close an idle connection before they are recognised.
        let closed = |reason| match reason {
            Some(CloseReason::LateRecord) => Some(CloseReason::UnsolicitedData),
            other => other,
        };
        let told = Told {
            seen: bench.seen(),
            sent: bench.peers.iter().map(|peer| peer.sent.clone()).collect(),
            closed: bench.peers.iter().map(|peer| closed(peer.closed)).collect(),
            submitted: counters.submitted,
            completed: counters.completed,
            retries: counters.retries,
            protocol_errors: counters.protocol_errors,
        };
        bench.finish();
        told
    }

    /// Plays the conversation cut at these positions, and byte by byte. Returns what was seen of it in one piece.
    fn play_cut_at(&self, cuts: impl IntoIterator<Item = usize>) -> Told {
        let bytes = self.bytes.as_ref();
        let whole = self.play(usize::MAX, [bytes]);
        assert_eq!(
            self.play(usize::MAX, bytes.chunks(1)),
            whole,
            "{}: byte by byte",
            self.name
        );
        assert_eq!(
            self.play(1, [bytes]),
            whole,
            "{}: one readiness, byte by byte",
            self.name
        );
        for cut in cuts {
            let (head, tail) = bytes.split_at(cut);
            let told = self.play(usize::MAX, [head, tail]);
            assert_eq!(told, whole, "{}: cut at {cut}", self.name);
        }
        whole
    }

    fn play_cut_anywhere(&self) -> Told {
        self.play_cut_at(0..=self.bytes.as_ref().len())
    }
}

fn nothing(_: &mut Bench) {}

fn eof(bench: &mut Bench) {
    bench.eof(0);
}

fn one() -> Bench {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench
}

fn two_shared() -> Bench {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    bench.submit(request());
    bench
}

fn simple(name: &'static str, bytes: Records) -> Scenario {
    Scenario {
        name,
        start: one,
        peer: 0,
        bytes,
        then: nothing,
    }
}

fn shared(name: &'static str, bytes: Records) -> Scenario {
    Scenario {
        start: two_shared,
        ..simple(name, bytes)
    }
}

/// Request 1 waits, request 2 has most of its body unsent.
fn uploading_shared() -> Bench {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    bench.peers[0].window = 300;
    bench.submit(request().with_body(Body::bytes("x".repeat(9_000))));
    bench
}

fn scenarios() -> Vec<Scenario> {
    let text = |len: usize| "0123456789abcdef".repeat(len / 16);
    let hi = || records().stdout(1, "hi").end(1, 0);
    vec![
        simple("small", hi()),
        simple("empty", records().end(1, 0)),
        simple(
            "padded",
            records().padded(7).stdout(1, "hi").stdout_end(1).end(1, 3),
        ),
        simple(
            "stderr between",
            records()
                .stdout(1, "a")
                .padded(2)
                .stderr(1, "b")
                .stderr_end(1)
                .stdout(1, "c")
                .end(1, 0),
        ),
        simple(
            "stderr behind the end of stdout",
            records()
                .stdout(1, "a")
                .stdout_end(1)
                .stderr(1, "b")
                .stdout(1, "late")
                .end(1, 0),
        ),
        simple("large", {
            let parts = records()
                .stdout(1, text(1_600))
                .padded(255)
                .stdout(1, text(320));
            parts.padded(0).stdout(1, text(16)).end(1, 0)
        }),
        simple(
            "records to be ignored",
            records()
                .unknown_type(9)
                .record(77, 0, b"abc")
                .values(&[("A", "1")])
                .raw(hi()),
        ),
        simple(
            "a long end",
            records().padded(1).record(3, 1, b"\0\0\0\x07\0rubbish"),
        ),
        simple(
            "a short end",
            records().stdout(1, "a").record(3, 1, b"\0\0\0\x07"),
        ),
        simple(
            "garbage behind output",
            records().stdout(1, "hi").raw("garbage"),
        ),
        simple("http", records().raw("HTTP/1.1 400 Bad Request\r\n\r\n")),
        simple(
            "a wrong direction",
            records().stdout(1, "a").record(5, 1, b"b"),
        ),
        simple("late output", hi().stdout(1, "late").end(1, 0)),
        simple(
            "an unknown status",
            records()
                .stderr(1, "a")
                .record(3, 1, &[0, 0, 0, 0, 9, 0, 0, 0]),
        ),
        Scenario {
            then: eof,
            ..simple("end of file behind output", records().stdout(1, "hi"))
        },
        Scenario {
            then: eof,
            ..simple(
                "end of file in a record",
                records()
                    .stdout(1, "hi")
                    .raw([1, 6, 0, 1, 0, 9, 0, 0, b'x']),
            )
        },
        shared(
            "interleaved",
            records()
                .stdout(1, "a")
                .stdout(2, "b")
                .stderr(1, "c")
                .stdout(2, "d")
                .end(2, 0)
                .stdout(1, "e")
                .end(1, 0),
        ),
        shared(
            "one of two refused",
            records()
                .stdout(2, "b")
                .end_as(1, 0, ProtocolStatus::UnknownRole)
                .end(2, 0),
        ),
        shared("an id never used", records().stdout(1, "a").stdout(9, "b")),
        Scenario {
            then: |bench| {
                bench.feed(1, records().stdout(1, "elsewhere").end(1, 0));
                bench.feed(0, records().end(1, 0));
            },
            start: || {
                let mut bench = Bench::new(config(Multiplex::On { max: 8 }));
                bench.submit(request());
                bench.submit(request());
                bench
            },
            ..shared(
                "a refusal to share",
                records()
                    .stdout(1, "a")
                    .end_as(2, 0, ProtocolStatus::CantMultiplex)
                    .stdout(1, "b"),
            )
        },
        Scenario {
            then: |bench| {
                bench.advance(Duration::from_millis(50));
                bench.answer(0, |id| records().stdout(id, "hi").end(id, 0));
            },
            ..simple(
                "overload",
                records().padded(3).end_as(1, 0, ProtocolStatus::Overloaded),
            )
        },
        Scenario {
            start: || {
                let mut bench = two_shared();
                let handle = bench.submit(request());
                bench.command(|engine, now| engine.abort(now, handle));
                bench
            },
            ..shared(
                "late output of an aborted request",
                records()
                    .stdout(3, "x")
                    .end(3, 0)
                    .stdout(1, "a")
                    .stdout(3, "x")
                    .end(3, 0)
                    .end(1, 0)
                    .end(2, 0),
            )
        },
        Scenario {
            start: || {
                let mut bench = Bench::plain();
                bench.submit(request());
                bench.feed(0, records().end(1, 0));
                bench.peers[0].window = 300;
                bench.submit(request().with_body(Body::bytes("x".repeat(9_000))));
                bench
            },
            ..simple("an early end", records().stdout(2, "hi").end(2, 0))
        },
        Scenario {
            start: uploading_shared,
            then: |bench| bench.open_window(0, usize::MAX),
            ..simple(
                "an early end on a shared connection",
                records().stdout(2, "b").end(2, 0).stdout(1, "a").end(1, 0),
            )
        },
        Scenario {
            start: || {
                let mut bench = two_shared();
                let handle = bench.submit(request());
                bench.command(|engine, now| engine.pause(now, handle));
                bench
            },
            then: |bench| {
                let handle = bench.handles[2];
                bench.command(|engine, now| engine.resume(now, handle));
            },
            ..shared(
                "held for a paused request",
                records()
                    .stdout(3, "a")
                    .stdout(1, "b")
                    .stderr(3, "c")
                    .stdout(3, "d")
                    .stdout_end(3)
                    .end(3, 4)
                    .end(1, 0)
                    .end(2, 0),
            )
        },
        Scenario {
            start: || {
                let mut bench = Bench::plain();
                bench.get_values(0);
                bench
            },
            ..simple(
                "the answer to a question",
                records()
                    .padded(5)
                    .values(&[("FCGI_MAX_CONNS", "7"), ("FCGI_MPXS_CONNS", "1")]),
            )
        },
        Scenario {
            start: || {
                let mut config = config(Multiplex::Auto);
                config.limits.max_connections_per_server = 1;
                let mut bench = Bench::new(config);
                for _ in 0..2 {
                    bench.submit(repeatable());
                }
                // A request has held its connection for a second.
                bench.advance(Duration::from_secs(1));
                bench
            },
            then: |bench| {
                bench.submit(repeatable());
                bench.feed(0, records().end(1, 0).end(2, 0).end(3, 0));
            },
            ..simple(
                "how a server says that it can share",
                records().values(&[("FCGI_MPXS_CONNS", "1")]),
            )
        },
    ]
}

// case 1
#[test]
fn every_conversation_is_the_same_wherever_it_is_cut() {
    for scenario in scenarios() {
        let told = scenario.play_cut_anywhere();
        let ended = told
            .seen
            .iter()
            .filter(|it| matches!(it, Seen::Done(..) | Seen::Failed(..)));
        assert_eq!(ended.count() as u64, told.submitted, "{}", scenario.name);
    }
}

// case 1, case 23
#[test]
fn the_longest_record_is_the_same_cut_at_its_seams_and_in_between() {
    let bytes = records()
        .padded(255)
        .stdout(1, "x".repeat(65_535))
        .end(1, 0);
    let len = bytes.as_ref().len();
    let seams = (0..=20).chain(65_530..=65_550).chain(len - 280..=len);
    let told = simple("longest", bytes).play_cut_at(seams.chain((0..len).step_by(997)));
    assert_eq!(told.seen.len(), 2);
}

/// What is sent for requests submitted by `start`, when the transport takes `window` bytes first and at most
/// `write_len` at a time.
fn sent_with(start: fn(&mut Bench), window: usize, write_len: usize) -> Vec<u8> {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    bench.feed(0, records().end(1, 0));
    let before = bench.peers[0].sent.len();
    bench.peers[0].window = window;
    bench.write_len = write_len;
    start(&mut bench);
    bench.open_window(0, usize::MAX);
    let sent = bench.peers[0].sent.split_off(before);
    bench.eof(0);
    bench.advance(Duration::from_secs(60));
    // A request that could not be sent again has failed; one that could was sent on connection 1.
    if bench.peers.len() > 1 {
        bench.eof(1);
    }
    bench.finish();
    sent
}

// case 82
#[test]
fn every_request_is_the_same_wherever_its_writes_are_cut() {
    let starts: [fn(&mut Bench); 7] = [
        |bench| {
            bench.submit(request());
        },
        |bench| {
            bench.submit(request().with_body(Body::bytes("0123456789".repeat(30))));
        },
        // Longer than what is copied, so the body leaves as a slice of its own.
        |bench| {
            bench.submit(request().with_body(Body::bytes("0123456789".repeat(500))));
        },
        |bench| {
            let reader = io::Cursor::new("0123456789".repeat(500));
            bench.submit(request().with_body(Body::reader(reader, Some(5_000))));
        },
        |bench| {
            let mut filter = Request::new(Role::Filter).with_body(Body::bytes("in"));
            filter.data = Body::shared("0123456789".repeat(500).into_bytes().into());
            bench.submit(filter);
        },
        |bench| {
            let handle = bench.submit(request().with_body(Body::pushed(Some(10))));
            for _ in 0..2 {
                let taken = bench.command(|it, now| it.write_stdin(now, handle, b"01234"));
                assert_eq!(taken, Ok(5));
            }
            let finished = bench.command(|it, now| it.finish_stdin(now, handle));
            assert_eq!(finished, Ok(()));
        },
        // After an abort the record that was begun is sent to its end, from a copy: the body is released.
        |bench| {
            let handle = bench.submit(request().with_body(Body::bytes("0123456789".repeat(500))));
            bench.submit(request().with_body(Body::bytes("abcdefghij".repeat(500))));
            bench.command(|engine, now| engine.abort(now, handle));
            bench.submit(request());
        },
    ];
    for (number, start) in starts.into_iter().enumerate() {
        let whole = sent_with(start, usize::MAX, usize::MAX);
        let dribbled = sent_with(start, usize::MAX, 1);
        assert!(dribbled == whole, "request {number}, byte by byte");
        for window in 0..whole.len() {
            let sent = sent_with(start, window, usize::MAX);
            assert!(sent == whole, "request {number}, cut at {window}");
        }
    }
}
