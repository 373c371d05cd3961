//! Several requests on a connection, and what applications answer to `FCGI_GET_VALUES`.

use std::cell::RefCell;
use std::rc::Rc;

use mio_fcgi::testkit::internals::Values;
use mio_fcgi::testkit::{Behavior, Quirks, Scripted, Sim};
use mio_fcgi::{Config, EventKind, Multiplex, OwnedEvent, RequestHandle, ServerId, Tag};

use crate::{Case, MS, error, is_complete, plain, shared, sim, sim_of, submit};

pub(crate) const CASES: &[Case] = &[
    (84, "`Quirks::libfcgi`, which would lose the second", || {
        let (mut sim, handles) = six(auto(), Quirks::libfcgi(6));
        assert!(handles.iter().all(|handle| is_complete(&sim, *handle)));
        assert_eq!(sim.ended_at(handles[5]), Some(10 * MS));
        let counters = sim.engine().stats().counters;
        assert!(counters.connected >= 6, "{counters:?}");
    }),
    (85, "`ReceivedRequest::keep`", || {
        let keeps = Rc::new(RefCell::new(Vec::new()));
        let sees = Rc::clone(&keeps);
        let mut sim = sim(shared(), move |request| {
            sees.borrow_mut().push(request.keep);
            Behavior::answer("ok")
        });
        submit(&mut sim, 1);
        submit(&mut sim, 2);
        assert!(sim.run_to_end());
        assert_eq!(*keeps.borrow(), [true, true]);
    }),
    (86, "`Behavior::wait` of different times", || {
        let mut sim = sim(shared(), |request| {
            let tag = request.param("TAG").unwrap_or_default()[0] - b'0';
            Behavior::new()
                .await_stdin()
                .wait(MS * (9 - u32::from(tag)))
                .stdout([tag])
                .end(0)
        });
        let handles: Vec<_> = (1..4).map(|tag| submit(&mut sim, tag)).collect();
        assert!(sim.run_to_end());
        for (tag, handle) in (1..4).zip(&handles) {
            assert_eq!(sim.stdout(*handle), [tag]);
        }
        assert!(sim.ended_at(handles[2]) < sim.ended_at(handles[0]));
    }),
    (87, "`Sim::engine` and `Engine::pause`", || {
        let mut sim = sim(shared(), |_| Behavior::answer(vec![b'x'; 10_000]));
        let slow = submit(&mut sim, 1);
        let quick = submit(&mut sim, 2);
        let now = sim.now();
        sim.engine().pause(now, slow);
        sim.advance(MS);
        assert!(is_complete(&sim, quick) && sim.stdout(slow).is_empty());
        let now = sim.now();
        sim.engine().resume(now, slow);
        assert!(sim.run_to_end() && is_complete(&sim, slow));
    }),
    (
        88,
        "`ReceivedRequest::request_id`, `Quirks::flup_multiplexed`, which never ends what is aborted",
        || {
            let ids = Rc::new(RefCell::new(Vec::new()));
            let sees = Rc::clone(&ids);
            let application = Scripted::new(move |request| {
                sees.borrow_mut().push(request.request_id);
                Behavior::new().await_stdin().wait(MS).end(0)
            });
            let mut sim = sim_of(shared(), application.with_quirks(Quirks::go()));
            submit(&mut sim, 1);
            let aborted = submit(&mut sim, 2);
            sim.settle();
            sim.abort(aborted);
            submit(&mut sim, 3);
            assert!(sim.run_to_end());
            let ids = ids.borrow();
            assert!(ids.len() == 3 && !ids[..2].contains(&ids[2]), "{ids:?}");
        },
    ),
    (90, "`Behavior::reset` of one of them", || {
        let mut sim = sim(shared(), |request| match request.param("TAG") {
            Some(b"5") => Behavior::new().wait(MS).reset(),
            _ => Behavior::new(),
        });
        let handles: Vec<_> = (1..6).map(|tag| submit(&mut sim, tag)).collect();
        assert!(sim.run_to_end());
        assert!(handles.iter().all(|handle| !is_complete(&sim, *handle)));
    }),
    (
        91,
        "a behavior without `Behavior::end`, `Quirks::flup_multiplexed`",
        || {
            let mut config = shared();
            config.timeouts.total = Some(10 * MS);
            config.abort_grace = 20 * MS;
            let behavior = |request: &mio_fcgi::testkit::ReceivedRequest| match request.param("TAG")
            {
                Some(b"1") => Behavior::new(),
                _ => Behavior::answer("ok"),
            };
            let application = Scripted::new(behavior).with_quirks(Quirks::flup_multiplexed());
            let mut sim = sim_of(config, application);
            let stuck = submit(&mut sim, 1);
            let quick = submit(&mut sim, 2);
            sim.advance(40 * MS);
            assert!(!is_complete(&sim, stuck) && is_complete(&sim, quick));
            assert_eq!(sim.ended_at(stuck), Some(10 * MS));
            assert_eq!(
                sim.network().open_sockets(ServerId::new(0)),
                0,
                "the grace is over"
            );
        },
    ),
    (
        92,
        "`Quirks::libfcgi`, which answers when another byte has come",
        || {
            let (sim, handle) = asked(Quirks::libfcgi(1));
            assert!(is_complete(&sim, handle));
        },
    ),
    (93, "`internals::Values::Silent`", || {
        is_served_with(Values::Silent)
    }),
    (94, "`internals::Values::PairsAndClose`, `Close`", || {
        is_served_with(Values::Close);
        is_served_with(Values::PairsAndClose(vec![("FCGI_MPXS_CONNS", "0")]));
    }),
    (95, "`internals::Values::UnknownType`", || {
        is_served_with(Values::UnknownType)
    }),
    (
        96,
        "`internals::Values::Pairs` without any, `PairsAndEmpty`",
        || {
            is_served_with(Values::Pairs(Vec::new()));
            is_served_with(Values::PairsAndEmpty(vec![("FCGI_MPXS_CONNS", "1")]));
        },
    ),
    (97, "`internals::Values::Pairs` with such values", || {
        for value in ["", "no", "-1", "0", "99999999999999999999"] {
            is_served_with(Values::Pairs(vec![
                ("FCGI_MAX_REQS", value),
                ("FCGI_MPXS_CONNS", "1"),
            ]));
        }
    }),
    (98, "`Quirks::libfcgi` of several processes", || {
        let (sim, handles) = six(auto(), Quirks::libfcgi(6));
        assert_eq!(
            sim.ended_at(handles[5]),
            Some(10 * MS),
            "all at the same time"
        );
    }),
];

fn auto() -> Config {
    let mut config = plain();
    config.multiplex = Multiplex::Auto;
    config.limits.max_connections_per_server = 8;
    config
}

/// Submits six requests that take ten milliseconds each, and runs until they have ended.
fn six(config: Config, quirks: Quirks) -> (Sim, Vec<RequestHandle>) {
    let behavior = |_: &_| Behavior::new().await_stdin().wait(10 * MS).end(0);
    let mut sim = sim_of(config, Scripted::new(behavior).with_quirks(quirks));
    let handles = (0..6).map(|tag| submit(&mut sim, tag)).collect();
    assert!(sim.run_to_end());
    (sim, handles)
}

/// Asks a server for its values.
fn asked(quirks: Quirks) -> (Sim, RequestHandle) {
    let application = Scripted::new(|_| Behavior::answer("ok")).with_quirks(quirks);
    let mut sim = sim_of(plain(), application);
    let now = sim.now();
    let handle = sim
        .engine()
        .get_values(now, ServerId::new(0), Tag(1))
        .expect("room");
    assert!(sim.run_to_end());
    let has_values = |(_, event): &(_, OwnedEvent)| matches!(event.kind, EventKind::Values(_));
    if is_complete(&sim, handle) {
        assert!(sim.events().iter().any(has_values));
    } else {
        error(&sim, handle);
    }
    (sim, handle)
}

/// Checks that requests are served, whatever the answer to `FCGI_GET_VALUES` is.
fn is_served_with(values: Values) {
    let mut quirks = Quirks::ideal();
    quirks.details_mut().values = values;
    asked(quirks.clone());
    let (sim, handles) = six(auto(), quirks);
    assert!(handles.iter().all(|handle| is_complete(&sim, *handle)));
}
