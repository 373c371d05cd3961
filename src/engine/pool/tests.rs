//! Tests of the pool's own state.

use super::*;

fn pool(multiplex: Multiplex) -> (Pool, Config) {
    let address = "127.0.0.1:9000".parse().expect("an address");
    let mut config = Config::new(address);
    config.multiplex = multiplex;
    config.limits.max_idle_per_server = 1;
    (Pool::new(&config), config)
}

#[test]
fn the_limits_are_looked_at_once_there_are_more_idle_connections_than_may_be() {
    let (mut pool, config) = pool(Multiplex::Off);
    assert!(!pool.is_unsettled() && !pool.take_unsettled());
    for key in 0..2 {
        pool.dial(0, true);
        pool.add_idle(0, key, &config);
        assert_eq!(pool.is_unsettled(), key == 1);
    }
    assert!(pool.take_unsettled());
    assert!(!pool.is_unsettled() && !pool.take_unsettled());
}

#[test]
fn a_server_is_to_be_asked_while_it_is_not_known_whether_it_multiplexes() {
    assert_eq!(pool(Multiplex::Off).0.unprobed(), 0);
    let (mut pool, _) = pool(Multiplex::Auto);
    assert_eq!(pool.unprobed(), 1);
    pool.set_multiplexing(0, Multiplexing::Single);
    assert_eq!(pool.unprobed(), 0);
}

#[test]
fn a_server_without_a_new_connection_is_not_waited_for() {
    let (mut pool, _) = pool(Multiplex::Off);
    assert!(!pool.awaits_first_byte(0));
    let connection = ConnectionHandle {
        index: 0,
        generation: 0,
    };
    pool.await_first_byte(Time::START, 0, connection, Duration::ZERO);
    assert!(pool.awaits_first_byte(0));
}
