//! Records that the client receives, legal or not.

use mio_fcgi::testkit::{Behavior, Fragments, Link, Quirks, Records, Scripted};
use mio_fcgi::wire::{DecodeError, ProtocolStatus, RecordType};
use mio_fcgi::{ProtocolError, RequestError};

use crate::{Case, MS, error, is_complete, play, shared, sim, submit};

pub(crate) const CASES: &[Case] = &[
    (
        1,
        "`Link::with_reads` with `Fragments::Each` or `UpTo`",
        || {
            for len in 1..60 {
                let mut sim = sim(crate::plain(), |_| {
                    Behavior::new().stdout("hello").stderr("x").end(0)
                });
                let link = Link::default().with_reads(Fragments::Each(len));
                crate::server(&mut sim).link(link);
                let handle = submit(&mut sim, 1);
                assert!(sim.run_to_end() && is_complete(&sim, handle));
                assert_eq!(sim.stdout(handle), b"hello");
            }
        },
    ),
    (2, "`Records::record` with any padding", || {
        for padding_len in [0, 1, 7, 8, 254, 255] {
            let (sim, handle) = answered(move |id| {
                let padded = Records::new().record(RecordType::Stdout, id, b"hello", padding_len);
                padded.record(RecordType::EndRequest, id, &[0; 8], padding_len)
            });
            assert!(is_complete(&sim, handle));
            assert_eq!(sim.stdout(handle), b"hello");
        }
    }),
    (3, "`Records::raw`", || {
        let (sim, handle) = answered(|_| Records::new().raw(&[2, 6, 0, 1, 0, 0, 0, 0]));
        let decode = |error: &RequestError| match error {
            RequestError::Protocol(ProtocolError::Decode(error)) => Some(*error),
            _ => None,
        };
        let version = decode(error(&sim, handle));
        assert!(
            matches!(version, Some(DecodeError::Version { .. })),
            "{version:?}"
        );
        let (sim, handle) = answered(|_| Records::new().raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        let http = decode(error(&sim, handle));
        assert!(matches!(http, Some(DecodeError::Http)), "{http:?}");
    }),
    (4, "`Records::end` for another ID", || {
        let (sim, handle) = answered(|id| Records::new().end(id + 8, 0));
        assert!(is_protocol_error(error(&sim, handle)));
    }),
    (5, "`Records::stdout` for another ID", || {
        let (sim, handle) = answered(|id| Records::new().stdout(id + 8, b"not yours"));
        assert!(is_protocol_error(error(&sim, handle)));
    }),
    (
        6,
        "`Quirks::go`, whose output comes after the end of an abort",
        || {
            let slow = |_: &_| {
                Behavior::new()
                    .await_stdin()
                    .wait(9 * MS)
                    .stdout("late")
                    .end(0)
            };
            let mut sim = crate::sim_of(shared(), Scripted::new(slow).with_quirks(Quirks::go()));
            let first = submit(&mut sim, 1);
            let second = submit(&mut sim, 2);
            sim.advance(MS);
            sim.abort(first);
            assert!(sim.run_to_end() && is_complete(&sim, second));
            assert_eq!(
                (sim.stdout(first), sim.stdout(second)),
                (vec![], b"late".to_vec())
            );
        },
    ),
    (
        7,
        "`Behavior::send` with records after an end, then `Behavior::ended`",
        || {
            let (sim, handle) = answered(|id| Records::new().end(id, 0).stdout(id, b"late"));
            assert!(is_complete(&sim, handle) && sim.stdout(handle).is_empty());
        },
    ),
    (8, "the same with a second `Records::end`", || {
        let (sim, handle) = answered(|id| Records::new().end(id, 0).end(id, 0));
        assert!(is_complete(&sim, handle));
    }),
    (9, "`Records::raw` after an end", || {
        let (mut sim, handle) = answered(|id| Records::new().end(id, 0).raw(&[1]));
        assert!(is_complete(&sim, handle));
        submit(&mut sim, 2);
        assert!(sim.run_to_end());
        assert_eq!(sim.engine().stats().counters.connected, 2);
    }),
    (10, "`Records::values`, `Records::unknown_type`", || {
        let (mut sim, handle) =
            answered(|id| Records::new().values(&[]).unknown_type(99).end(id, 0));
        assert!(is_complete(&sim, handle));
        assert_eq!(sim.engine().stats().counters.records_ignored, 2);
    }),
    (
        11,
        "`Records::record` of a `RecordType::Unassigned`",
        || {
            let (sim, handle) = answered(|id| {
                Records::new()
                    .record(RecordType::Unassigned(77), id, b"what", 3)
                    .end(id, 0)
            });
            assert!(is_complete(&sim, handle));
        },
    ),
    (12, "`Records::stdout` for ID 0", || {
        let (sim, handle) = answered(|_| Records::new().stdout(0, b"whose"));
        assert!(is_protocol_error(error(&sim, handle)));
    }),
    (
        13,
        "`Records::stdin`, `begin`, `abort`, `get_values`",
        || {
            let (sim, handle) = answered(|id| Records::new().stdin(id, b"back"));
            assert!(is_protocol_error(error(&sim, handle)));
        },
    ),
    (14, "`Records::record` of an end with 7 bytes", || {
        let (sim, handle) =
            answered(|id| Records::new().record(RecordType::EndRequest, id, &[0; 7], 1));
        assert!(is_protocol_error(error(&sim, handle)));
    }),
    (15, "`Records::record` of an end with 12 bytes", || {
        let (sim, handle) =
            answered(|id| Records::new().record(RecordType::EndRequest, id, &[0; 12], 4));
        assert!(is_complete(&sim, handle));
    }),
    (16, "`Records::record` of an end with rubbish in it", || {
        let body = [0, 0, 0, 0, 0, 7, 8, 9];
        let (sim, handle) =
            answered(move |id| Records::new().record(RecordType::EndRequest, id, &body, 0));
        assert!(is_complete(&sim, handle));
    }),
    (
        17,
        "`Behavior::end` with a status, `Quirks::libfcgi`, where it sticks",
        || {
            let (sim, handle) = play(|_| Behavior::new().stdout("fine").end(7));
            let outcome = sim.outcome(handle).expect("it has ended").as_ref();
            assert_eq!(outcome.map(|complete| complete.app_status), Ok(7));
        },
    ),
    (
        18,
        "`Behavior::refuse` with a `ProtocolStatus::Unassigned`",
        || {
            let (sim, handle) = play(|_| Behavior::new().refuse(ProtocolStatus::Unassigned(9)));
            assert_eq!(*error(&sim, handle), RequestError::UnknownStatus(9));
        },
    ),
    (19, "`Records::stderr_end`", || {
        let (sim, handle) = answered(|id| {
            Records::new()
                .stderr_end(id)
                .stdout(id, b"ok")
                .stderr_end(id)
                .end(id, 0)
        });
        assert!(is_complete(&sim, handle));
    }),
    (
        20,
        "`Behavior::stdout_end` before `Behavior::stderr`, `Quirks::flup`",
        || {
            let (sim, handle) =
                play(|_| Behavior::new().stdout_end().stderr("late, but told").end(0));
            assert_eq!(sim.stderr(handle), b"late, but told");
        },
    ),
    (21, "`Records::stdout` after `stdout_end`", || {
        let (sim, handle) =
            answered(|id| Records::new().stdout_end(id).stdout(id, b"more").end(id, 0));
        assert!(is_complete(&sim, handle) && sim.stdout(handle).is_empty());
    }),
    (22, "`Quirks::with_record_len` of 1", || {
        let quirks = Quirks::ideal().with_record_len(1);
        let behavior = |_: &_| Behavior::answer(vec![b'x'; 20_000]);
        let mut sim = crate::sim_of(crate::plain(), Scripted::new(behavior).with_quirks(quirks));
        let handle = submit(&mut sim, 1);
        assert!(sim.run_to_end());
        assert_eq!(sim.stdout(handle).len(), 20_000);
    }),
    (23, "`Records::record` of the greatest length", || {
        let (sim, handle) = answered(|id| {
            Records::new()
                .record(RecordType::Stdout, id, &[b'x'; 65_535], 255)
                .end(id, 0)
        });
        assert_eq!(sim.stdout(handle).len(), 65_535);
    }),
    (
        24,
        "`Link::with_reads`, for a read is not announced twice",
        || {
            let mut sim = sim(crate::plain(), |_| Behavior::answer(vec![b'x'; 50_000]));
            let link = Link::default().with_reads(Fragments::UpTo(700));
            crate::server(&mut sim).link(link);
            let handle = submit(&mut sim, 1);
            assert!(sim.run_to_end() && is_complete(&sim, handle));
            assert!(sim.network().tally().short_reads > 50);
        },
    ),
];

/// Submits one request, answers it with these records, and runs until it has ended.
fn answered(
    records: impl Fn(u16) -> Records + 'static,
) -> (mio_fcgi::testkit::Sim, mio_fcgi::RequestHandle) {
    play(move |request| {
        let records = records(request.request_id);
        Behavior::new().await_stdin().send(records).ended()
    })
}

fn is_protocol_error(error: &RequestError) -> bool {
    matches!(error, RequestError::Protocol(_))
}
