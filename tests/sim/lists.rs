//! Checks of the lists of requests and connections: they agree with the gauges and with each other.

use std::time::Instant;

use mio_fcgi::{ConnectionHandle, ConnectionState, Engine, RequestState, Stats};

/// What must hold at any time. `stats` are the engine's.
pub(crate) fn check(engine: &Engine, now: Instant, stats: &Stats) -> Result<(), String> {
    // Each connection that a request is on, its requests, and how many of them are aborting. There are few.
    let mut on: Vec<(ConnectionHandle, usize, usize)> = Vec::new();
    let (mut states, mut paused, mut buffered) = ([0; 5], 0, 0);
    for it in engine.requests(now) {
        states[match it.state {
            RequestState::Buffering => 0,
            RequestState::Queued => 1,
            RequestState::Sending | RequestState::Sent | RequestState::Receiving => 2,
            RequestState::Draining => 3,
            RequestState::Aborting => 4,
            other => return Err(format!("{other:?} has no gauge")),
        }] += 1;
        paused += usize::from(it.is_paused);
        buffered += it.bytes_buffered;
        if it.since_progress > it.time_in_state || it.time_in_state > it.age() {
            return Err(format!("the times of {it:?} contradict each other"));
        }
        if let Some(connection) = it.connection {
            let aborting = usize::from(it.state == RequestState::Aborting);
            match on.iter_mut().find(|of| of.0 == connection) {
                Some(of) => (of.1, of.2) = (of.1 + 1, of.2 + aborting),
                None => on.push((connection, 1, aborting)),
            }
        }
    }
    let gauges = stats.requests;
    let queued = gauges.queued + gauges.connecting;
    let expected = [
        gauges.buffering,
        queued,
        gauges.active,
        gauges.draining,
        gauges.aborting,
    ];
    if (states, paused, buffered) != (expected, gauges.paused, stats.bytes_buffered) {
        return Err(format!(
            "requests {states:?}, {paused} paused, {buffered} bytes beside {stats:?}"
        ));
    }
    let (mut states, mut sent, mut received) = ([0; 5], 0, 0);
    for it in engine.connections(now) {
        sent += it.bytes_sent;
        received += it.bytes_received;
        states[match it.state {
            ConnectionState::Connecting | ConnectionState::Redialing => 0,
            ConnectionState::Probing => 1,
            ConnectionState::Idle => 2,
            ConnectionState::Busy => 3,
            ConnectionState::Draining => 4,
            other => return Err(format!("{other:?} has no gauge")),
        }] += 1;
        let place = on.iter().position(|of| of.0 == it.connection);
        let (_, requests, aborting) =
            place.map_or((it.connection, 0, 0), |place| on.swap_remove(place));
        if (it.requests, it.aborting) != (requests, aborting) {
            return Err(format!(
                "{requests} requests, {aborting} aborting, are on {it:?}"
            ));
        }
        if it.since_activity > it.age {
            return Err(format!("the times of {it:?} contradict each other"));
        }
    }
    if !on.is_empty() {
        return Err(format!("requests are on connections that are none: {on:?}"));
    }
    let counters = &stats.counters;
    let is_whole = counters.closed_by_reason().next().is_none();
    let all = (counters.bytes_sent, counters.bytes_received);
    let is_more = sent > all.0 || received > all.1;
    if is_more || (is_whole && (sent, received) != all) {
        return Err(format!(
            "{sent} bytes sent, {received} received beside {stats:?}"
        ));
    }
    let gauges = stats.connections;
    let expected = [
        gauges.connecting,
        gauges.probing,
        gauges.idle,
        gauges.busy,
        gauges.draining,
    ];
    if states != expected {
        return Err(format!("connections {states:?} beside {gauges:?}"));
    }
    Ok(())
}
