//! Configurations, drawn from an input.

use std::net::SocketAddr;
use std::time::Duration;

use mio_fcgi::{Address, Config, Limits, Multiplex, OverflowPolicy, UnknownLength};

use super::choices::Choices;

/// A configuration, nearly any.
pub(super) fn config(choices: &mut Choices<'_>) -> Config {
    let mut config = Config::from_servers((0..choices.of(&[1, 2, 3])).map(address));
    config.multiplex = choices.of(&[
        Multiplex::Off,
        Multiplex::Auto,
        Multiplex::On { max: 2 },
        Multiplex::On { max: 5 },
        Multiplex::On { max: 1 },
    ]);
    config.limits = limits(choices);
    let of_request = &mut config.timeouts;
    for timeout in [
        &mut of_request.queue,
        &mut of_request.write,
        &mut of_request.first_byte,
        &mut of_request.between_bytes,
        &mut of_request.paused,
        &mut of_request.total,
    ] {
        *timeout = choices.of(&[None, Some(5 * SECOND), Some(SECOND / 10)]);
    }
    config.connect_retry_timeout = choices.of(&[Duration::ZERO, 2 * SECOND]);
    config.keep_connections = choices.is_even();
    config.max_retries = choices.of(&[2, 0, 5]);
    config.pause_buffer.per_request = choices.of(&[300, 1, 100, 0]);
    config.pause_buffer.per_connection = choices.of(&[400, 50, 0]);
    config.pause_buffer.per_client = choices.of(&[500, 60, 0]);
    if choices.is_even() {
        config.pause_buffer.overflow = OverflowPolicy::FailRequest;
    }
    config.stdin_high_water = choices.of(&[100, 64 * 1024, 1]);
    config.unknown_length = choices.of(&[
        UnknownLength::Refuse,
        UnknownLength::Buffer { limit: 150 },
        UnknownLength::Stream,
    ]);
    config.split_long_pairs = choices.is_even();
    config.preempt_idle_after = choices.of(&[Some(SECOND / 50), None, Some(Duration::ZERO)]);
    config
}

/// The address of one of the servers.
pub(super) fn address(place: u8) -> Address {
    SocketAddr::from(([127, 0, 0, 1], 9000 + u16::from(place))).into()
}

pub(super) fn limits(choices: &mut Choices<'_>) -> Limits {
    let mut limits = Limits::default();
    limits.max_connections_per_server = choices.of(&[2, 1, 3, 5]);
    limits.max_idle_per_server = choices.of(&[1, 0, 4]);
    limits.min_idle_per_server = choices.of(&[0, 1, 2]);
    limits.min_idle_per_server = limits
        .min_idle_per_server
        .min(limits.max_idle_per_server)
        .min(limits.max_connections_per_server);
    limits.idle_timeout = choices.of(&[SECOND, Duration::ZERO, 60 * SECOND]);
    limits.max_lifetime = choices.of(&[None, Some(3 * SECOND), Some(Duration::ZERO)]);
    limits.max_requests_per_connection = choices.of(&[None, Some(1), Some(3)]);
    limits.max_queued_requests = choices.of(&[8, 0, 2]);
    limits
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
