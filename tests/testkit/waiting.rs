//! The pool, the queue, time limits, aborts and the clock.

use std::time::Duration;

use mio_fcgi::testkit::{Behavior, Connect, Link, Quirks, Scripted, Sim};
use mio_fcgi::{Config, RequestError, ServerId, SubmitError, Tag, TimeoutKind, Timeouts};

use crate::{Case, MS, error, is_complete, plain, server, sim, sim_of, submit};

pub(crate) const CASES: &[Case] = &[
    (
        99,
        "`Behavior::close` or more records after `Behavior::end`",
        || {
            let mut sim = sim(plain(), |_| Behavior::answer("ok").close());
            for tag in 0..3 {
                let handle = submit(&mut sim, tag);
                assert!(sim.run_to_end() && is_complete(&sim, handle));
                sim.advance(MS);
            }
            assert_eq!(sim.engine().stats().counters.retries, 0);
        },
    ),
    (100, "`Sim::advance`", || {
        let mut config = plain();
        config.limits.idle_timeout = 500 * MS;
        let mut sim = sim(config, |_| Behavior::answer("ok"));
        submit(&mut sim, 1);
        sim.advance(499 * MS);
        assert_eq!(sim.network().open_sockets(ServerId::new(0)), 1);
        sim.advance(MS);
        assert_eq!(sim.network().open_sockets(ServerId::new(0)), 0);
    }),
    (
        101,
        "`Network::open_sockets`, `Connect::AcceptAfter`",
        || {
            let mut config = plain();
            config.limits.max_connections_per_server = 3;
            let mut sim = sim(config, |_| Behavior::new().wait(5 * MS).end(0));
            server(&mut sim).on_connect(|_| Connect::AcceptAfter(20 * MS));
            for tag in 0..20 {
                submit(&mut sim, tag);
            }
            let within = sim.run_until(|sim| {
                assert!(sim.network().open_sockets(ServerId::new(0)) <= 3);
                sim.engine().is_idle()
            });
            assert!(within);
        },
    ),
    (
        102,
        "an application that never ends, `Connect::Hang`",
        || {
            let mut config = plain();
            config.limits.max_queued_requests = 1;
            config.timeouts.queue = Some(100 * MS);
            let mut sim = sim(config, |_| Behavior::new());
            submit(&mut sim, 1);
            sim.advance(MS);
            let waits = submit(&mut sim, 2);
            let request = mio_fcgi::Request::responder();
            assert_eq!(
                sim.submit(request, Tag(3)),
                Err(SubmitError::QueueFull { limit: 1 })
            );
            sim.advance(100 * MS);
            assert_eq!(
                *error(&sim, waits),
                RequestError::TimedOut(TimeoutKind::Queue)
            );
        },
    ),
    (
        103,
        "`Sim::step` any number of times, then `Sim::abort`",
        || {
            for steps in 0..40 {
                let mut sim = sim(plain(), |_| {
                    Behavior::new().await_stdin().stdout("ok").wait(MS).end(0)
                });
                let handle = submit(&mut sim, 1);
                for _ in 0..steps {
                    sim.step();
                }
                sim.abort(handle);
                assert!(sim.run_to_end());
                let now = sim.now();
                sim.engine().shutdown(now, None);
                sim.settle();
                assert!(sim.engine().is_idle(), "after {steps} steps");
            }
        },
    ),
    (104, "`Sim::abort`, `Network::open_sockets`", || {
        let mut sim = sim(plain(), |_| Behavior::new());
        let handle = submit(&mut sim, 1);
        sim.settle();
        sim.abort(handle);
        sim.settle();
        assert_eq!(sim.network().open_sockets(ServerId::new(0)), 0);
    }),
    (
        105,
        "`Quirks::php_fpm`, whose child waits for the close",
        || {
            let mut config = plain();
            config.keep_connections = false;
            let application =
                Scripted::new(|_| Behavior::answer("ok")).with_quirks(Quirks::php_fpm(1));
            let mut sim = sim_of(config, application);
            for tag in 0..5 {
                submit(&mut sim, tag);
            }
            assert!(sim.run_to_end());
            assert_eq!(sim.engine().stats().counters.completed, 5);
        },
    ),
    (106, "`Connect::BacklogFull`", || {
        let mut sim = sim(plain(), |_| Behavior::answer("ok"));
        server(&mut sim).on_connect(|attempt| match attempt {
            0..3 => Connect::BacklogFull,
            _ => Connect::Accept,
        });
        let handle = submit(&mut sim, 1);
        assert!(sim.run_to_end() && is_complete(&sim, handle));
        assert_eq!(sim.network().tally().full_backlogs, 3);
    }),
    (
        107,
        "`Behavior::wait` at each place, `Connect::Hang`, `Link::with_capacity`",
        || {
            let limit = |set: fn(&mut Timeouts)| {
                let mut timeouts = Timeouts::NONE;
                set(&mut timeouts);
                timeouts
            };
            let said = |timeouts, behavior: fn() -> Behavior| {
                let mut config = plain();
                config.timeouts = timeouts;
                let mut sim = sim(config, move |_| behavior());
                let handle = submit(&mut sim, 1);
                assert!(sim.run_to_end());
                assert_eq!(sim.ended_at(handle), Some(50 * MS));
                error(&sim, handle).clone()
            };
            let first = said(limit(|it| it.first_byte = Some(50 * MS)), Behavior::new);
            assert_eq!(first, RequestError::TimedOut(TimeoutKind::FirstByte));
            let speaks = || Behavior::new().stdout("one word");
            let silence = said(limit(|it| it.between_bytes = Some(50 * MS)), speaks);
            assert_eq!(silence, RequestError::TimedOut(TimeoutKind::BetweenBytes));
            let total = said(limit(|it| it.total = Some(50 * MS)), speaks);
            assert_eq!(total, RequestError::TimedOut(TimeoutKind::Total));
        },
    ),
    (
        108,
        "`Behavior::wait` of exactly the limit, `Network::shuffle`",
        || {
            for seed in 0..50 {
                let mut config = plain();
                config.timeouts.first_byte = Some(50 * MS);
                let mut sim = Sim::new(config, seed).expect("valid");
                sim.network().shuffle();
                sim.serve(
                    ServerId::new(0),
                    Scripted::new(|_| Behavior::new().await_stdin().wait(50 * MS).end(0)),
                );
                submit(&mut sim, 1);
                let second = submit(&mut sim, 2);
                assert!(sim.run_to_end());
                // Whether the answer or the limit came first, the second request has all of its own time.
                assert_eq!(sim.ended_at(second), Some(100 * MS));
            }
        },
    ),
    (109, "`Counters::connected`", || {
        let mut config = plain();
        config.limits.max_requests_per_connection = Some(2);
        let mut sim = sim(config, |_| Behavior::answer("ok"));
        for tag in 0..6 {
            submit(&mut sim, tag);
        }
        assert!(sim.run_to_end());
        assert_eq!(sim.engine().stats().counters.connected, 3);
    }),
    (110, "`Sim::engine` and `Engine::shutdown`", || {
        let mut sim = sim(plain(), |_| Behavior::new().wait(5 * MS).end(0));
        let active = submit(&mut sim, 1);
        sim.settle();
        let now = sim.now();
        sim.engine().shutdown(now, Some(now + 100 * MS));
        let request = mio_fcgi::Request::responder();
        assert_eq!(sim.submit(request, Tag(2)), Err(SubmitError::ShuttingDown));
        assert!(sim.run_to_end() && is_complete(&sim, active));
        sim.settle();
        assert!(sim.engine().is_idle());
    }),
    (112, "`Sim::jump`", || {
        let mut config: Config = plain();
        config.timeouts.total = Some(Duration::from_secs(1));
        let mut sim = sim(config, |_| Behavior::new());
        let link = Link::default().with_latency(MS);
        server(&mut sim).link(link);
        let handle = submit(&mut sim, 1);
        sim.jump(Duration::from_secs(600));
        assert!(sim.run_to_end());
        assert_eq!(
            *error(&sim, handle),
            RequestError::TimedOut(TimeoutKind::Total)
        );
        let early = sim.now() - Duration::from_secs(900);
        sim.engine().handle_timeout(early);
        sim.settle();
    }),
];
