//! The rules of a connection: how many requests, with which IDs, and when it may be used again.

use mio_fcgi::{Config, Multiplex, RequestIds};

use crate::log::{Log, Tick};
use crate::reference::{Attempt, Connection, Ending};

/// Checks the requests of a connection against each other. The application has said at `shares` that it multiplexes.
///
/// # Errors
/// The rule that was broken.
pub(crate) fn check(
    connection: &Connection,
    log: &Log,
    shares: Option<Tick>,
    config: &Config,
) -> Result<(), String> {
    let most_in_all = match config.limits.max_requests_per_connection {
        _ if !config.keep_connections => 1,
        most => most.map_or(usize::MAX, |most| most as usize),
    };
    // A byte that left may be the first of a request, or the first of another record of one.
    let attempts: Vec<&Attempt> = connection
        .attempts
        .iter()
        .filter(|it| it.id.is_some())
        .collect();
    let is_plain = most_at_once(shares, Tick::MAX, config) == 1;
    if attempts.len() > most_in_all {
        return Err(format!(
            "{} requests on a connection, of at most {most_in_all}",
            attempts.len()
        ));
    }
    if let Some(tick) = connection.broken
        && log.out_len(tick) < log.out.len()
    {
        return Err(format!(
            "{} of {} bytes left after a protocol error, read at {tick}",
            log.out.len() - log.out_len(tick),
            log.out.len()
        ));
    }
    for (at, attempt) in attempts.iter().enumerate() {
        let before = &attempts[..at];
        let fault = |what: &str| {
            Err(format!(
                "connection {}, ID {:?}: {what}",
                attempt.log, attempt.id
            ))
        };
        let is_in_flight = |it: &&&Attempt| it.is_active(attempt.begun) && it.aborted.is_none();
        let in_flight = 1 + before.iter().filter(is_in_flight).count();
        if in_flight > most_at_once(shares, attempt.begun, config) {
            return fault("more requests at once than the application takes");
        }
        let is_own = |it: &&&Attempt| it.id == attempt.id;
        if before
            .iter()
            .filter(is_own)
            .any(|it| it.is_active(attempt.begun))
        {
            return fault("an ID that is in use");
        }
        // 5: an aborted or early end may be followed by more. The ID is not used again.
        if before
            .iter()
            .filter(is_own)
            .any(|it| it.aborted.is_some() || ended_early(it))
            && !is_plain
        {
            return fault("an ID after an abort or an early end");
        }
        // The one before is the last to have begun, and the last to have ended: on a shared connection not always the same.
        let begun = before.last().filter(|it| it.id == attempt.id);
        if config.request_ids == RequestIds::Distinct && begun.is_some() {
            return fault("the ID of the request that began before");
        }
        let ended = || before.iter().filter(|it| !it.is_active(attempt.begun));
        let last = ended().map(|it| it.ending.tick()).max();
        let mut is_last = ended().filter(|it| last == Some(it.ending.tick()));
        if config.request_ids == RequestIds::Distinct
            && last.is_some()
            && is_last.all(|it| it.id == attempt.id)
        {
            return fault("the ID of the request before");
        }
        if is_plain && before.iter().any(|it| ended_early(it)) {
            return fault("a request after one that ended before it was sent");
        }
        // On a shared connection they are dropped, also while it is idle: its IDs keep them apart.
        if is_plain
            && connection
                .unsolicited
                .iter()
                .any(|tick| *tick < attempt.begun)
        {
            return fault("a request after bytes that belonged to none");
        }
    }
    Ok(())
}

fn most_at_once(shares: Option<Tick>, tick: Tick, config: &Config) -> usize {
    match config.multiplex {
        _ if !config.keep_connections => 1,
        Multiplex::On { max } => max as usize,
        Multiplex::Auto if shares.is_some_and(|told| told < tick) => Multiplex::MAX_SHARED as usize,
        _ => 1,
    }
}

/// Whether the application ended a request before it had all of it.
fn ended_early(attempt: &Attempt) -> bool {
    match attempt.ending {
        Ending::End { tick, .. } => attempt.sent_at().is_none_or(|sent| sent > tick),
        _ => false,
    }
}
