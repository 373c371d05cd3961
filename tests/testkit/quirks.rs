//! Quirks in time, which the comparison with real applications does not show.

use std::time::Duration;

use mio_fcgi::testkit::{Behavior, Quirks, Scripted};

use crate::{MS, is_complete, plain, sim_of, submit};

#[test]
fn a_behavior_that_goes_on_after_its_end_keeps_the_next_request_waiting() {
    let behavior = |_: &_| Behavior::new().await_stdin().end(0).wait(1000 * MS);
    let ended_at = |quirks| {
        let mut sim = sim_of(plain(), Scripted::new(behavior).with_quirks(quirks));
        let first = submit(&mut sim, 1);
        let second = submit(&mut sim, 2);
        assert!(sim.run_to_end() && is_complete(&sim, second));
        assert_eq!(sim.ended_at(first), Some(Duration::ZERO));
        sim.ended_at(second)
    };
    assert_eq!(ended_at(Quirks::php_fpm(1)), Some(1000 * MS));
    assert_eq!(ended_at(Quirks::ideal()), Some(Duration::ZERO));
}

#[test]
fn a_kept_connection_binds_its_child_until_it_is_closed() {
    let mut config = plain();
    config.limits.max_connections_per_server = 2;
    config.limits.idle_timeout = 300 * MS;
    config.preempt_idle_after = None;
    let behavior = |_: &_| Behavior::new().await_stdin().wait(10 * MS).end(0);
    let application = Scripted::new(behavior).with_quirks(Quirks::php_fpm(1));
    let mut sim = sim_of(config, application);
    let first = submit(&mut sim, 1);
    // It has a connection of its own, and the only child serves the idle first connection until that is closed.
    let second = submit(&mut sim, 2);
    assert!(sim.run_to_end());
    assert_eq!(sim.ended_at(first), Some(10 * MS));
    assert_eq!(sim.ended_at(second), Some(320 * MS));
}

#[test]
fn a_child_that_closes_its_connection_serves_the_next_one() {
    let behavior = |_: &_| Behavior::new().await_stdin().stdout("ok").close();
    let application = Scripted::new(behavior).with_quirks(Quirks::php_fpm(1));
    let mut sim = sim_of(plain(), application);
    for tag in 0..3 {
        let handle = submit(&mut sim, tag);
        assert!(sim.run_to_end());
        assert_eq!(sim.stdout(handle), b"ok");
    }
}
