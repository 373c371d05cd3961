//! The comparison: what the engine did in a world against what the reference reads from the connections.

use std::io::ErrorKind;

use mio_fcgi::{
    Config, ConnectError, ConnectionLostReason, Delivery, Disconnected, EventKind, Failure,
    Multiplex, OverflowPolicy,
};
use mio_fcgi::{Outcome, Phase, ProtocolError, RequestError};

use crate::connections;
use crate::driver::Run;
use crate::log::{Asked, Tick};
use crate::pieces::Pieces;
use crate::reference::{self, Attempt, Connection, Ending, Incoming};
use crate::submitted::{params, reason, refusals, to_send};
use crate::wire;

type Verdict = Result<(), String>;

/// Compares everything.
///
/// # Errors
/// The first difference.
pub(crate) fn check(run: &Run) -> Verdict {
    let config = &run.world.config;
    let error = |(_, event): &(Tick, EventKind<Vec<u8>>)| match event {
        EventKind::End(Err(Failure {
            error: RequestError::Protocol(error),
            ..
        })) => Some(*error),
        _ => None,
    };
    let errors: Vec<ProtocolError> = run
        .world
        .requests
        .iter()
        .flat_map(|it| &it.events)
        .filter_map(error)
        .collect();
    let read = |(index, log)| reference::read(index, log, &errors);
    let connections: Vec<Connection> = run
        .logs
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()?;
    // A record for an ID that was never used, or that of a request of which no more than the start of a header left.
    if connections.iter().any(Connection::is_ambiguous) {
        return Ok(());
    }
    for (connection, log) in connections.iter().zip(&run.logs) {
        let told = connections
            .iter()
            .zip(&run.logs)
            .filter(|it| it.1.server == log.server)
            .filter_map(|it| it.0.multiplexes);
        connections::check(connection, log, told.min(), config)?;
    }
    let attempts = || connections.iter().flat_map(|it| &it.attempts);
    let unknown: Vec<&Attempt> = attempts().filter(|it| it.tag.is_none()).collect();
    for asked in &run.world.requests {
        let known: Vec<&Attempt> = attempts().filter(|it| it.tag == Some(asked.tag)).collect();
        let at = |fault: String| format!("request {}: {fault}", asked.tag);
        if asked.handle.is_none() {
            is_refused(asked, config, &known).map_err(at)?;
            continue;
        }
        if !refusals(asked, config).is_empty() {
            return Err(at(format!(
                "accepted in spite of {:?}",
                refusals(asked, config)
            )));
        }
        // An attempt that was cut before its first parameter may be anybody's.
        let mut guesses = vec![vec![]];
        guesses.extend(unknown.iter().map(|one| vec![*one]));
        guesses.extend(
            unknown
                .iter()
                .flat_map(|one| unknown.iter().map(|two| vec![*one, *two])),
        );
        let mut verdicts = guesses.iter().map(|guess| {
            let mut attempts = [&known[..], guess].concat();
            attempts.sort_by_key(|attempt| attempt.begun);
            Compared {
                run,
                connections: &connections,
                asked,
                attempts,
                may_be_more: false,
            }
            .check()
        });
        let first = verdicts.next().unwrap_or(Ok(()));
        if first.is_err() && !verdicts.any(|it| it.is_ok()) {
            first.map_err(at)?;
        }
    }
    Ok(())
}

fn is_refused(asked: &Asked, config: &Config, attempts: &[&Attempt]) -> Verdict {
    let Some(refused) = &asked.refused else {
        return Err("never submitted".to_owned());
    };
    let (name, reasons) = (reason(refused), refusals(asked, config));
    let is_full = name == "QueueFull" && config.limits.max_queued_requests < 4;
    // The parameters are counted with the lengths that are added.
    let is_near = name == "ParamsTooLarge" && config.max_params_len < 1_000;
    match attempts.is_empty() && (reasons.contains(&name) || is_full || is_near) {
        true => Ok(()),
        false => Err(format!("refused as {name}, expected {reasons:?}")),
    }
}

/// A request, its attempts, and the world around it.
pub(crate) struct Compared<'a> {
    pub(crate) run: &'a Run,
    pub(crate) connections: &'a [Connection],
    pub(crate) asked: &'a Asked,
    pub(crate) attempts: Vec<&'a Attempt>,
    pub(crate) may_be_more: bool,
}

impl Compared<'_> {
    fn check(mut self) -> Verdict {
        let asked = self.asked;
        let Some((ended, EventKind::End(outcome))) = asked.events.last() else {
            return Err("no end".to_owned());
        };
        // What was queued before an abort may leave after it, on a connection that others use.
        let is_given_up = matches!(outcome, Err(failure) if is_given_up(&failure.error));
        if self.attempts.iter().any(|it| it.begun > *ended) && !is_given_up {
            return Err("sent after its end".to_owned());
        }
        for attempt in &self.attempts {
            self.streams(attempt, *ended)?;
        }
        let report = match outcome {
            Ok(completion) => &completion.report,
            Err(failure) => &failure.report,
        };
        let retries = usize::from(report.retries);
        if retries + 1 < self.attempts.len() || report.retries > self.run.world.config.max_retries {
            return Err(format!(
                "{retries} retries of {} attempts",
                self.attempts.len()
            ));
        }
        // An attempt of which no byte left is not seen.
        self.may_be_more = retries >= self.attempts.len();
        let is_alone = self.run.world.config.multiplex == Multiplex::Off;
        let is_exact = is_alone && !self.may_be_more && !asked.was_paused;
        if let Some(last) = self.last().filter(|_| is_exact) {
            // Alone on its connection, a request has sent what has left since its begin.
            let sent = self.run.logs[last.log].out_len(*ended);
            let sent = sent.saturating_sub(last.begun_at) as u64;
            if report.bytes_sent != sent {
                return Err(format!("{} bytes sent, expected {sent}", report.bytes_sent));
            }
        }
        self.retries()?;
        self.outcome(outcome, *ended)?;
        self.events(outcome, *ended)
    }

    /// Whether the streams to the application are those of the request.
    fn streams(&self, attempt: &Attempt, ended: Tick) -> Verdict {
        let (asked, config) = (self.asked, &self.run.world.config);
        if attempt
            .role
            .is_some_and(|role| role != asked.role || attempt.keeps != config.keep_connections)
        {
            return Err(format!(
                "begun with role {:?}, keeps {}",
                attempt.role, attempt.keeps
            ));
        }
        let mut is_any = false;
        for pairs in params(asked, config) {
            let encoded: Vec<Vec<u8>> = pairs
                .iter()
                .map(|(name, value)| wire::encode_pair(name, value))
                .collect();
            let all = encoded.concat();
            let is_same = match attempt.params.ended {
                Some(_) => attempt.params.content == all,
                None => all.starts_with(&attempt.params.content),
            };
            is_any |= is_same && is_whole_pairs(&attempt.params, &encoded);
        }
        if !is_any {
            return Err("other parameters, or pairs that straddle two records".to_owned());
        }
        for (name, stream, content) in [
            ("CONTENT_LENGTH", &attempt.stdin, &asked.body),
            ("FCGI_DATA_LENGTH", &attempt.data, &asked.data),
        ] {
            let (all, is_wrong) = to_send(asked, name, content, config);
            let is_over =
                |tick: Tick| ended < tick || attempt.ending.tick().is_some_and(|end| end < tick);
            // A stream is also ended for a request that is over.
            let is_partial = stream
                .ended
                .is_none_or(|tick| is_over(tick) || attempt.aborted.is_some());
            let is_same = match is_partial {
                true => all.starts_with(&stream.content),
                // What is said to be empty need not be read.
                false => all == stream.content && (!is_wrong || content.len == Some(0)),
            };
            if !is_same {
                return Err(format!("other bytes than those of its body ({name})"));
            }
        }
        Ok(())
    }

    /// Whether the outcome is what the last attempt came to.
    fn outcome(&self, outcome: &Outcome, ended: Tick) -> Verdict {
        let differs = || {
            Err(format!(
                "{outcome:?}, expected {:?} of {:?}",
                self.last().map(|it| &it.ending),
                self.last().map(|it| it.id)
            ))
        };
        let failure = match (outcome, self.last().map(|it| &it.ending)) {
            (
                Ok(completion),
                Some(Ending::End {
                    tick,
                    app_status,
                    status: wire::REQUEST_COMPLETE,
                }),
            ) => {
                let report = &completion.report;
                let last = self.last().expect("it has an ending");
                let is_same = *tick < ended
                    && completion.app_status == *app_status
                    && report.stdout_ended == last.stdout_ended.is_some()
                    && report.bytes_received == last.output_len(Tick::MAX) as u64;
                return if is_same { Ok(()) } else { differs() };
            }
            (Ok(_), _) => return differs(),
            (Err(failure), _) => failure,
        };
        if !self.is_error(&failure.error, ended) {
            return differs();
        }
        self.delivery(failure, ended)
    }

    pub(crate) fn last(&self) -> Option<&Attempt> {
        self.attempts.last().copied()
    }

    /// Whether an error is one that the request may end with.
    fn is_error(&self, error: &RequestError, ended: Tick) -> bool {
        let (world, asked) = (&self.run.world, self.asked);
        let ending = self.last().map_or(&Ending::None, |it| &it.ending);
        // The application had ended it before, and the embedder could know.
        let is_over_by = |tick: Tick| {
            let is_over =
                matches!(ending, Ending::End { tick: end, .. } if *end < tick) && !asked.was_paused;
            is_over && !self.last().is_some_and(|it| self.may_be_followed(it))
        };
        let status = |wanted: u8| matches!(ending, Ending::End { status, .. } if *status == wanted);
        let is_refusal = |wanted: u8| status(wanted) && !self.has_another_chance();
        // An attempt of which no byte left came to this.
        let can_be_unseen = self
            .last()
            .is_none_or(|it| self.may_be_more && self.may_be_followed(it));
        match error {
            RequestError::Aborted => asked
                .aborted
                .is_some_and(|tick| tick < ended && !is_over_by(tick)),
            RequestError::Overloaded => is_refusal(wire::OVERLOADED),
            RequestError::CantMultiplex => is_refusal(wire::CANT_MPX_CONN),
            RequestError::UnknownRole => status(wire::UNKNOWN_ROLE),
            RequestError::UnknownStatus(number) => *number > wire::UNKNOWN_ROLE && status(*number),
            RequestError::ConnectionLost(reason) => {
                let is_why = |why: Disconnected| match why {
                    Disconnected::Failed(kind) => *reason == ConnectionLostReason::Io(kind),
                    _ => *reason == ConnectionLostReason::Closed,
                };
                let is_lost = match ending {
                    Ending::Lost { why, .. }
                    | Ending::Violation {
                        or_lost: Some(why), ..
                    } => is_why(*why),
                    _ => false,
                };
                let is_unseen = can_be_unseen
                    && self
                        .run
                        .logs
                        .iter()
                        .filter_map(|log| log.lost)
                        .any(|lost| is_why(lost.1));
                (is_lost && !self.has_chance_after_loss()) || is_unseen
            }
            RequestError::Protocol(ProtocolError::OnlyIdOne) => {
                self.last().is_some_and(|it| it.only_one.is_some())
            }
            // A record of an earlier request closed the connection that this one was to have.
            RequestError::Protocol(ProtocolError::Premature { .. }) if can_be_unseen => self
                .connections
                .iter()
                .any(|it| !it.unsolicited.is_empty() || !it.violation.is_empty()),
            RequestError::Protocol(error) => {
                let is_broken =
                    matches!(ending, Ending::Violation { allowed, .. } if allowed.contains(error));
                is_broken
                    || (can_be_unseen
                        && self
                            .connections
                            .iter()
                            .any(|it| it.violation.contains(error)))
            }
            RequestError::Connect(error) => {
                // An application that speaks or closes before it is asked counts as one that cannot be connected to.
                let is_odd = |it: &ErrorKind| {
                    matches!(
                        it,
                        ErrorKind::InvalidData
                            | ErrorKind::UnexpectedEof
                            | ErrorKind::ConnectionReset
                    )
                };
                let is_unused = self.connections.iter().any(|it| it.attempts.is_empty());
                let can_fail = match error {
                    ConnectError::Failed(ErrorKind::ConnectionRefused) => self.run.was_refused,
                    ConnectError::Failed(kind) => is_odd(kind) && is_unused,
                    _ => false,
                };
                can_fail && self.last().is_none_or(|it| self.may_be_followed(it))
            }
            RequestError::Body(_) => [
                ("CONTENT_LENGTH", &asked.body),
                ("FCGI_DATA_LENGTH", &asked.data),
            ]
            .iter()
            .any(|(name, content)| to_send(asked, name, content, &world.config).1),
            RequestError::PauseBufferFull { .. } => {
                asked.was_paused
                    && world.config.pause_buffer.overflow == OverflowPolicy::FailRequest
                    && world.config.multiplex != Multiplex::Off
            }
            RequestError::QueueFull { .. } => world.config.limits.max_queued_requests < 4,
            _ => false,
        }
    }

    /// What the application can have done, as far as its bytes tell.
    fn delivery(&self, failure: &Failure, ended: Tick) -> Verdict {
        let until = self.given_up(failure).unwrap_or(ended);
        let refusals = [wire::CANT_MPX_CONN, wire::OVERLOADED, wire::UNKNOWN_ROLE];
        let is_refused = |it: &&Attempt| matches!(it.ending, Ending::End { tick, status, .. } if tick <= until && refusals.contains(&status));
        let (last, world) = (self.last(), &self.run.world);
        let allowed = if last.is_some_and(|it| it.output_len(until) > 0) {
            match is_given_up(&failure.error) && failure.error != RequestError::Aborted {
                // When it was given up is not known.
                true => vec![Delivery::Responded, Delivery::MaybeProcessed],
                false => vec![Delivery::Responded],
            }
        } else if last.is_some_and(|it| it.stdout_ended.is_some_and(|tick| tick <= until)) {
            // The end of an empty output: the specification does not say whether this is an answer.
            vec![
                Delivery::Responded,
                Delivery::MaybeProcessed,
                Delivery::NotProcessed,
            ]
        } else if is_given_up(&failure.error)
            && last.is_none()
            && world.config.multiplex != Multiplex::Off
        {
            // Among the bytes of others, those of a request cannot be taken back. They may yet leave.
            vec![Delivery::NotProcessed, Delivery::MaybeProcessed]
        } else if self.attempts.iter().all(is_refused) {
            vec![Delivery::NotProcessed]
        } else {
            vec![Delivery::MaybeProcessed]
        };
        let is_whole = failure.phase != Phase::Sent || last.is_some_and(Attempt::is_sent);
        let is_receiving =
            (failure.phase == Phase::Receiving) == (failure.delivery == Delivery::Responded);
        match allowed.contains(&failure.delivery) && is_whole && is_receiving {
            true => Ok(()),
            false => Err(format!(
                "{failure:?}, expected {allowed:?} of {:?}",
                last.map(|it| &it.ending)
            )),
        }
    }

    /// When the client gave the request up, if that is known.
    fn given_up(&self, failure: &Failure) -> Option<Tick> {
        match failure.error {
            RequestError::Aborted => self.asked.aborted,
            RequestError::Protocol(ProtocolError::OnlyIdOne) => {
                self.last()?.only_one.map(|tick| tick - 1)
            }
            _ => None,
        }
    }

    /// Whether the events carry the output, all of it and in its order.
    fn events(&self, outcome: &Outcome, ended: Tick) -> Verdict {
        let is_dropped = matches!(outcome, Err(failure) if is_given_up(&failure.error));
        let until = outcome
            .as_ref()
            .err()
            .and_then(|it| self.given_up(it))
            .unwrap_or(ended);
        let mut expected = Pieces::default();
        for (tick, kind, bytes) in self.last().iter().flat_map(|it| &it.output) {
            if *tick <= until {
                expected.push(*kind, bytes);
            }
        }
        let mut actual = Pieces::default();
        for (_, event) in &self.asked.events {
            match event {
                EventKind::Stdout(data) if data.is_empty() => {
                    return Err("an empty event".to_owned());
                }
                EventKind::Stdout(data) => actual.push(wire::STDOUT, data),
                EventKind::Stderr(data) => actual.push(wire::STDERR, data),
                EventKind::StdoutEnd => actual.push(wire::STDOUT, b""),
                EventKind::Values(_) => return Err("values that nobody asked for".to_owned()),
                _ => {}
            }
        }
        // Output that is held back is dropped at an abort. When a body fails is not known.
        let is_known = matches!(outcome, Err(failure) if failure.error == RequestError::Aborted)
            && !self.asked.was_paused;
        let is_same = match is_dropped && !is_known {
            true => expected.begin_with(&actual),
            false => expected == actual,
        };
        if is_same {
            Ok(())
        } else {
            Err(format!(
                "other output: {}, expected {}",
                actual.show(),
                expected.show()
            ))
        }
    }
}

/// Whether the client ends a request with this error while the application still works on it.
fn is_given_up(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::Aborted | RequestError::Body(_) | RequestError::PauseBufferFull { .. }
    )
}

/// Whether each record of PARAMS ends between two pairs, where it can.
fn is_whole_pairs(params: &Incoming, encoded: &[Vec<u8>]) -> bool {
    params.cuts.iter().all(|cut| {
        let mut start = 0;
        encoded.iter().all(|pair| {
            let is_inside = start < *cut && *cut < start + pair.len();
            start += pair.len();
            !is_inside || pair.len() > 65_535
        })
    })
}
