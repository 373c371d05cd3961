//! What the client sends, and applications that do not read it.

use std::cell::RefCell;
use std::io::Cursor;
use std::rc::Rc;

use mio_fcgi::testkit::{Behavior, Fragments, Link, Quirks, ReceivedRequest, Scripted, Sim};
use mio_fcgi::wire::{Demux, Item, RecordType};
use mio_fcgi::{Body, BodyError, Config, Request, RequestError, SubmitError, Tag, TimeoutKind};

use crate::{Case, MS, error, is_complete, plain, server, shared, sim, submit};

pub(crate) const CASES: &[Case] = &[
    (
        67,
        "`Quirks::php_fpm`, which resets a connection for a pair in two records",
        || {
            assert!(is_served_by_php_fpm(30_000));
        },
    ),
    (
        68,
        "`Quirks::php_fpm`, which resets a connection for a record too long",
        || {
            assert!(is_served_by_php_fpm(65_520));
        },
    ),
    (
        69,
        "`Quirks::libfcgi` or `Quirks::php_fpm`, where `Config::split_long_pairs` is set",
        || {
            let long = |config: Config, quirks: Quirks| {
                let application = Scripted::new(|_| Behavior::answer("ok")).with_quirks(quirks);
                let mut sim = crate::sim_of(config, application);
                let request = Request::responder().param("LONG", "x".repeat(70_000));
                let handle = sim.submit(request, Tag(1))?;
                assert!(sim.run_to_end());
                Ok(is_complete(&sim, handle))
            };
            let refused = long(plain(), Quirks::php_fpm(1));
            assert!(matches!(refused, Err(SubmitError::PairTooLarge { .. })));
            let mut config = plain();
            config.split_long_pairs = true;
            assert_eq!(long(config.clone(), Quirks::libfcgi(1)), Ok(true));
            assert_eq!(long(config, Quirks::php_fpm(1)), Ok(false));
        },
    ),
    (70, "`ReceivedRequest::params`", || {
        for (name, value) in [(1, 0), (127, 127), (128, 128), (1, 65_000)] {
            let (name, value) = ("n".repeat(name), "v".repeat(value));
            let request = Request::responder().param(&name, &value);
            let received = received(request);
            assert_eq!(received.param(&name), Some(value.as_bytes()));
        }
    }),
    (71, "`ReceivedRequest::params`", || {
        let mut request = Request::responder();
        for number in 0..100 {
            request.params.push(format!("N{number}"), "x".repeat(3000));
        }
        assert_eq!(received(request).params.len(), 100);
    }),
    (72, "`ReceivedRequest::params`", || {
        let request = Request::responder()
            .param("B", "1")
            .param("A", "2")
            .param("B", "3");
        let pairs = received(request).params;
        let names: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name[0], value[0]))
            .collect();
        assert_eq!(names, [(b'B', b'1'), (b'A', b'2'), (b'B', b'3')]);
    }),
    (73, "`Server::tap`", || {
        assert_eq!(ends_sent(RecordType::Params), 1)
    }),
    (
        74,
        "`Server::tap`; `Quirks::libfcgi`, which waits for it",
        || {
            assert_eq!(ends_sent(RecordType::Stdin), 1);
        },
    ),
    (75, "`Behavior::echo`", || {
        for len in [65_535, 65_536, 65_537] {
            let request = Request::responder().with_body(Body::bytes(vec![b'x'; len]));
            assert_eq!(received(request).stdin.len(), len);
        }
    }),
    (76, "a behavior without `Behavior::await_stdin`", || {
        let mut sim = sim(plain(), |_| Behavior::new().stdout("early").end(0));
        server(&mut sim).link(narrow(1000));
        let handle = large(&mut sim, 1);
        assert!(sim.run_to_end() && is_complete(&sim, handle));
    }),
    (77, "the same, and `Behavior::close`", || {
        let mut sim = sim(plain(), |_| Behavior::new().stdout("early").end(0).close());
        server(&mut sim).link(narrow(1000));
        let handle = large(&mut sim, 1);
        assert!(sim.run_to_end() && is_complete(&sim, handle));
        assert_eq!(sim.network().tally().failed_writes, 1);
    }),
    (
        78,
        "`Behavior::stop_reading`, `Link::with_capacity`",
        || {
            let mut config = plain();
            config.timeouts.write = Some(700 * MS);
            let mut sim = sim(config, |_| Behavior::new().stop_reading());
            server(&mut sim).link(narrow(1000));
            let handle = large(&mut sim, 1);
            assert!(sim.run_to_end());
            assert_eq!(
                *error(&sim, handle),
                RequestError::TimedOut(TimeoutKind::Write)
            );
            assert_eq!(sim.ended_at(handle), Some(700 * MS));
        },
    ),
    (
        79,
        "`Quirks::php_fpm`, which would wait for the rest",
        || {
            let sim = of_length(9, 10);
            let outcome = Some(RequestError::Body(BodyError::TooShort {
                declared: 10,
                sent: 9,
            }));
            assert_eq!(sim, outcome);
        },
    ),
    (80, "`Server::tap`", || {
        let sim = of_length(11, 10);
        assert_eq!(
            sim,
            Some(RequestError::Body(BodyError::TooLong { declared: 10 }))
        );
    }),
    (
        81,
        "`Quirks::php_fpm`, to which a body without a length is none",
        || {
            let mut sim = sim(plain(), |_| Behavior::answer("ok"));
            let request = Request::responder().with_body(Body::pushed(None));
            let refused = sim.submit(request, Tag(1));
            assert_eq!(refused, Err(SubmitError::LengthRequired));
        },
    ),
    (
        82,
        "`Link::with_writes` with `Fragments::Each` or `UpTo`",
        || {
            for len in 1..60 {
                let mut sim = sim(plain(), |_| Behavior::new().await_stdin().echo().end(0));
                let link = Link::default().with_writes(Fragments::Each(len));
                server(&mut sim).link(link);
                let request = Request::responder().with_body(Body::bytes("a body"));
                let handle = sim.submit(request, Tag(1)).expect("room");
                assert!(sim.run_to_end());
                assert_eq!(sim.stdout(handle), b"a body");
            }
        },
    ),
    (
        83,
        "`Link::with_bytes_per_second`, `Link::with_capacity`",
        || {
            let mut sim = sim(shared(), |_| Behavior::new().await_stdin().end(0));
            let link = narrow(10_000).with_bytes_per_second(1_000_000);
            server(&mut sim).link(link);
            let upload = large(&mut sim, 1);
            let small = submit(&mut sim, 2);
            assert!(sim.run_to_end());
            assert!(sim.ended_at(small) < sim.ended_at(upload));
        },
    ),
];

fn narrow(capacity: usize) -> Link {
    Link::default().with_capacity(capacity)
}

/// Submits a request with a body of 1 MB.
fn large(sim: &mut Sim, tag: u64) -> mio_fcgi::RequestHandle {
    let request = Request::responder().with_body(Body::bytes(vec![b'x'; 1_000_000]));
    sim.submit(request, Tag(tag)).expect("room")
}

fn is_served_by_php_fpm(value_len: usize) -> bool {
    let application = Scripted::new(|_| Behavior::answer("ok")).with_quirks(Quirks::php_fpm(1));
    let mut sim = crate::sim_of(plain(), application);
    let mut request = Request::responder();
    for number in 0..10 {
        request
            .params
            .push(format!("N{number}"), "x".repeat(value_len));
    }
    let handle = sim.submit(request, Tag(1)).expect("room");
    assert!(sim.run_to_end());
    is_complete(&sim, handle)
}

/// The request as the application has received it, when its body is complete.
fn received(request: Request) -> ReceivedRequest {
    let seen = Rc::new(RefCell::new(None));
    let sees = Rc::clone(&seen);
    let mut sim = sim(plain(), move |_| {
        let sees = Rc::clone(&sees);
        Behavior::new().await_stdin().then(move |request| {
            *sees.borrow_mut() = Some(request.clone());
            Behavior::new().end(0)
        })
    });
    sim.submit(request, Tag(1)).expect("room");
    assert!(sim.run_to_end());
    seen.take().expect("it was sent")
}

/// How many empty records of a stream the client sends for a request.
fn ends_sent(stream: RecordType) -> usize {
    let ends = Rc::new(RefCell::new(0));
    let counts = Rc::clone(&ends);
    let mut demux = Demux::default();
    let application = Scripted::new(|_| Behavior::answer("ok")).with_quirks(Quirks::libfcgi(1));
    let mut sim = crate::sim_of(plain(), application);
    server(&mut sim).tap(move |_, mut bytes| {
        while let Some(item) = demux.next(&mut bytes).expect("the client sends FastCGI") {
            let is_end =
                matches!(item, Item::StreamEnd { record_type, .. } if record_type == stream);
            *counts.borrow_mut() += usize::from(is_end);
        }
    });
    let handle = submit(&mut sim, 1);
    assert!(sim.run_to_end() && is_complete(&sim, handle));
    ends.take()
}

/// How a request fails whose body has `len` bytes where `declared` are declared. `None` if it does not.
fn of_length(len: usize, declared: u64) -> Option<RequestError> {
    let application = Scripted::new(|_| Behavior::answer("ok")).with_quirks(Quirks::php_fpm(1));
    let mut sim = crate::sim_of(plain(), application);
    let body = Body::reader(Cursor::new(vec![b'x'; len]), Some(declared));
    let handle = sim
        .submit(Request::responder().with_body(body), Tag(1))
        .expect("room");
    assert!(sim.run_to_end());
    let outcome = sim.outcome(handle)?.as_ref();
    outcome.err().map(|failure| failure.error.clone())
}
