//! Heads, ends, and what happens to a request after a refusal.

use mio_fcgi::cgi::{HeadError, HeadParser};
use mio_fcgi::testkit::internals::{Break, CloseKind, Towards};
use mio_fcgi::testkit::{Behavior, Connect, Link, Scripted};
use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{
    Body, ConnectError, Delivery, Multiplex, Request, RequestError, Retry, ServerId, Tag,
};

use crate::{Case, MS, error, failure, is_complete, plain, play, server, sim, submit};

pub(crate) const CASES: &[Case] = &[
    (25, "a behavior without `Behavior::stdout`", || {
        let (sim, handle) = play(|_| Behavior::new().end(0));
        assert_eq!(status(&sim.stdout(handle)), Err(HeadError::Missing));
    }),
    (26, "`Behavior::end` in mid-head", || {
        let (sim, handle) = play(|_| Behavior::new().stdout("Status: 2").end(0));
        assert!(is_complete(&sim, handle));
        assert!(matches!(
            status(&sim.stdout(handle)),
            Err(HeadError::Truncated { .. })
        ));
    }),
    (27, "`Behavior::close` in mid-head", || {
        let (sim, handle) = play(|_| Behavior::new().stdout("Status: 2").close());
        assert!(matches!(
            error(&sim, handle),
            RequestError::ConnectionLost(_)
        ));
    }),
    (28, HEAD, || {
        for head in ["Status: 404 Not Found", "Status: 404", "status:  404"] {
            assert_eq!(head_of(format!("{head}\r\n\r\n")), Ok(404));
        }
    }),
    (29, HEAD, || {
        for head in ["Status: abc", "Status: 99", "Status: 1000"] {
            assert!(head_of(format!("{head}\r\n\r\n")).is_err());
        }
    }),
    (30, HEAD, || assert_eq!(head_of("X-A: b\r\n\r\n"), Ok(200))),
    (31, HEAD, || {
        assert_eq!(head_of("Location: http://a/\r\n\r\n"), Ok(302))
    }),
    (32, HEAD, || {
        assert_eq!(head_of("Location: /there\r\n\r\n"), Ok(302))
    }),
    (33, HEAD, || {
        assert_eq!(head_of("HTTP/1.1 404 Not Found\r\n\r\n"), Ok(404))
    }),
    (
        34,
        "`Behavior::stdout` twice, with `Behavior::wait` in between",
        || {
            let (sim, handle) = play(|_| {
                let early = Behavior::new().stdout("Status: 103\r\n\r\n").wait(MS);
                early.stdout("Status: 201\r\n\r\n").end(0)
            });
            assert_eq!(status(&sim.stdout(handle)), Ok(201));
        },
    ),
    (35, HEAD, || {
        assert_eq!(head_of("X-A: b\nStatus: 201\r\n\n"), Ok(201))
    }),
    (
        36,
        "`Behavior::stdout` twice, with `Behavior::wait` in between",
        || {
            let (sim, handle) = play(|_| {
                Behavior::new()
                    .stdout("X-A: b\n")
                    .wait(MS)
                    .stdout("\n")
                    .end(0)
            });
            assert_eq!(status(&sim.stdout(handle)), Ok(200));
        },
    ),
    (37, HEAD, || {
        assert!(head_of("<html>no head</html>\n\n").is_err())
    }),
    (38, HEAD, || {
        let long = format!("X-A: {}\r\n\r\n", "b".repeat(1 << 20));
        assert!(matches!(head_of(long), Err(HeadError::TooLarge { .. })));
    }),
    (39, HEAD, || {
        assert_eq!(head_of("Set-Cookie: a\r\nSet-Cookie: b\r\n\r\n"), Ok(200))
    }),
    (40, HEAD, || {
        assert_eq!(
            head_of("Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            Ok(200)
        );
        assert!(head_of("Content-Length: 1\r\nContent-Length: 2\r\n\r\n").is_err());
    }),
    (41, HEAD, || {
        assert!(head_of("Content-Length: -1\r\n\r\n").is_err())
    }),
    (42, HEAD, || assert!(head_of("X-A : b\r\n\r\n").is_err())),
    (43, HEAD, || assert!(head_of("X-A: b\0\r\n\r\n").is_err())),
    (44, HEAD, || {
        assert_eq!(
            head_of("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Ok(200)
        )
    }),
    (45, HEAD, || {
        assert_eq!(head_of("Status: 204\r\n\r\na body"), Ok(204))
    }),
    (46, HEAD, || {
        assert!(head_of("X-A: b\r\n c\r\n\r\n").is_err())
    }),
    (47, "`Behavior::answer`: all in one read", || {
        let (mut sim, handle) = play(|_| Behavior::answer("Status: 200\r\n\r\nbody"));
        assert!(is_complete(&sim, handle));
        assert_eq!(sim.network().tally().short_reads, 0);
    }),
    (48, "`Behavior::close` in mid-body", || {
        let (sim, handle) = play(|_| Behavior::new().stdout("X-A: b\r\n\r\nhalf").close());
        assert_eq!(failure(&sim, handle).delivery, Delivery::Responded);
    }),
    (49, "`Behavior::stdout_end`, then `Behavior::close`", || {
        let (sim, handle) = play(|_| Behavior::new().stdout("all of it").stdout_end().close());
        assert!(failure(&sim, handle).report.stdout_ended);
    }),
    (50, "`Behavior::close` after the declared length", || {
        let (sim, handle) = play(|_| {
            Behavior::new()
                .stdout("Content-Length: 4\r\n\r\nfull")
                .close()
        });
        assert!(matches!(
            error(&sim, handle),
            RequestError::ConnectionLost(_)
        ));
    }),
    (51, "`Behavior::close` before the declared length", || {
        let (sim, handle) = play(|_| {
            Behavior::new()
                .stdout("Content-Length: 9\r\n\r\nhalf")
                .close()
        });
        assert!(matches!(
            error(&sim, handle),
            RequestError::ConnectionLost(_)
        ));
    }),
    (52, "`Behavior::end` before the declared length", || {
        let (sim, handle) = play(|_| Behavior::answer("Content-Length: 9\r\n\r\nhalf"));
        assert!(is_complete(&sim, handle), "the engine reads no heads");
    }),
    (
        53,
        "`Behavior::end` after more than the declared length",
        || {
            let (sim, handle) = play(|_| Behavior::answer("Content-Length: 1\r\n\r\ntoo much"));
            assert!(is_complete(&sim, handle), "the engine reads no heads");
        },
    ),
    (54, "`Behavior::end`, then `Behavior::reset`", || {
        let (mut sim, handle) = play(|_| Behavior::new().stdout("all").end(0).wait(MS).reset());
        sim.advance(2 * MS);
        assert!(is_complete(&sim, handle));
        assert_eq!(sim.network().tally().resets, 1);
    }),
    (
        55,
        "the closure of `Scripted::new`, which counts, and `Behavior::reset`",
        || {
            let mut sim = sim(
                plain(),
                by_turns(|turn| match turn {
                    1 => Behavior::new().reset(),
                    _ => Behavior::answer("hello"),
                }),
            );
            for tag in 0..2 {
                let request = Request::responder().param("REQUEST_METHOD", "GET");
                let handle = sim.submit(request, Tag(tag)).expect("accepted");
                assert!(sim.run_to_end() && is_complete(&sim, handle));
            }
            assert_eq!(sim.engine().stats().counters.retries, 1);
        },
    ),
    (56, "`Behavior::reset` at once", || {
        let (sim, handle) = play(|_| Behavior::new().await_stdin().reset());
        assert_eq!(failure(&sim, handle).delivery, Delivery::MaybeProcessed);
    }),
    (57, "`Behavior::close` at once", || {
        let (sim, handle) = play(|_| Behavior::new().await_stdin().close());
        assert_eq!(failure(&sim, handle).delivery, Delivery::MaybeProcessed);
    }),
    (
        58,
        "`internals::Break` of the direction to the application, `Server::links`",
        || {
            let mut sim = sim(plain(), |_| Behavior::new().await_stdin().echo().end(0));
            server(&mut sim).links(|connection| match connection {
                // The first request has 40 bytes, the second many.
                0 => Link::default().with_break(Break {
                    counts: Towards::Application,
                    after: 30_000,
                    end: CloseKind::Fin,
                }),
                _ => Link::default(),
            });
            let first = submit(&mut sim, 1);
            assert!(sim.run_to_end() && is_complete(&sim, first));
            let body = Body::bytes(vec![b'x'; 60_000]);
            let request = Request::responder()
                .param("REQUEST_METHOD", "PUT")
                .with_body(body);
            let second = sim.submit(request, Tag(2)).expect("room");
            assert!(sim.run_to_end() && is_complete(&sim, second));
            assert_eq!(sim.network().tally().breaks, 1);
        },
    ),
    (
        59,
        "`Behavior::refuse` with `CantMultiplex`, `Quirks::libfcgi`",
        || {
            refused_once(ProtocolStatus::CantMultiplex);
        },
    ),
    (60, "`Behavior::refuse` with `Overloaded`", || {
        refused_once(ProtocolStatus::Overloaded)
    }),
    (
        61,
        "`Behavior::refuse` with `UnknownRole`, `Quirks::go`, `Quirks::flup`",
        || {
            let (sim, handle) = play(|_| Behavior::new().refuse(ProtocolStatus::UnknownRole));
            assert_eq!(*error(&sim, handle), RequestError::UnknownRole);
        },
    ),
    (62, "`Behavior::refuse` after `Behavior::stdout`", || {
        let (sim, handle) = play(|_| {
            Behavior::new()
                .stdout("x")
                .refuse(ProtocolStatus::Overloaded)
        });
        assert_eq!(failure(&sim, handle).delivery, Delivery::Responded);
    }),
    (
        63,
        "`Server::on_connect` of one server with `Connect::Refuse`",
        || {
            let mut config = plain();
            config
                .servers
                .push("127.0.0.1:9001".parse().expect("an address"));
            let mut sim = sim(config, |_| Behavior::answer("hello"));
            server(&mut sim).on_connect(|_| REFUSED);
            sim.serve(
                ServerId::new(1),
                Scripted::new(|_| Behavior::answer("hello")),
            );
            let handle = submit(&mut sim, 1);
            assert!(sim.run_to_end() && is_complete(&sim, handle));
        },
    ),
    (64, "a server without `Sim::serve`", || {
        let mut sim = mio_fcgi::testkit::Sim::new(plain(), 1).expect("valid");
        let handle = submit(&mut sim, 1);
        assert!(sim.run_to_end());
        let refused = ConnectError::Failed(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(*error(&sim, handle), RequestError::Connect(refused));
    }),
    (65, "`Behavior::refuse` each time", || {
        let mut config = plain();
        config.max_retries = 255;
        config.timeouts.total = Some(500 * MS);
        let mut sim = sim(config, |_| {
            Behavior::new().refuse(ProtocolStatus::Overloaded)
        });
        let handle = submit(&mut sim, 1);
        assert!(sim.run_to_end());
        assert_eq!(sim.ended_at(handle), Some(500 * MS));
    }),
    (66, "as 55, with `Retry::IfNotProcessed`", || {
        let mut sim = sim(
            plain(),
            by_turns(|turn| match turn {
                1 => Behavior::new().reset(),
                _ => Behavior::answer("hello"),
            }),
        );
        submit(&mut sim, 1);
        assert!(sim.run_to_end());
        let request = Request::responder().with_retry(Retry::IfNotProcessed);
        let handle = sim.submit(request, Tag(2)).expect("room");
        assert!(sim.run_to_end());
        assert_eq!(failure(&sim, handle).delivery, Delivery::MaybeProcessed);
    }),
];

const HEAD: &str = "`Behavior::answer` with that head";
const REFUSED: Connect = Connect::Refuse(std::io::ErrorKind::ConnectionRefused);

/// The status in the head of an answer with this output.
fn head_of(stdout: impl Into<Vec<u8>>) -> Result<u16, HeadError> {
    let stdout = stdout.into();
    let (sim, handle) = play(move |_| Behavior::answer(stdout.clone()));
    assert!(is_complete(&sim, handle));
    status(&sim.stdout(handle))
}

fn status(stdout: &[u8]) -> Result<u16, HeadError> {
    let mut parser = HeadParser::default();
    let mut rest = stdout;
    while let Some((head, body)) = parser.push(rest)? {
        if !head.is_interim() {
            return Ok(head.status());
        }
        rest = body;
    }
    parser.end().map(|()| 0)
}

/// Behaviors by the number of the request, from 0.
fn by_turns(
    behavior: impl Fn(usize) -> Behavior + 'static,
) -> impl FnMut(&mio_fcgi::testkit::ReceivedRequest) -> Behavior + 'static {
    let mut turn = 0;
    move |_| {
        turn += 1;
        behavior(turn - 1)
    }
}

fn refused_once(status: ProtocolStatus) {
    let mut config = plain();
    config.multiplex = Multiplex::On { max: 4 };
    let mut sim = sim(
        config,
        by_turns(move |turn| match turn {
            0 => Behavior::new().await_stdin().refuse(status),
            _ => Behavior::answer("hello"),
        }),
    );
    let handle = submit(&mut sim, 1);
    assert!(sim.run_to_end() && is_complete(&sim, handle));
}
