//! What the embedder may expect: each event and each state is held against it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio_fcgi::{
    Delivery, Engine, Event, Limits, Outcome, Phase, RequestError, RequestHandle, Stats,
};

use crate::checks::{check_octets, check_timeout};
use crate::far::{Far, stderr_of, stdout_of};
use crate::plan::{BodyKind, Fault, Reaction, Submit};

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) handle: RequestHandle,
    /// `None`: a `get_values`.
    pub(crate) submit: Option<Submit>,
    pub(crate) submitted: Duration,
    pub(crate) stdout: u64,
    pub(crate) stderr: u64,
    pub(crate) stdout_ended: bool,
    pub(crate) paused: bool,
    pub(crate) was_paused: bool,
    pub(crate) resumed: Duration,
    pub(crate) last_output: Option<Duration>,
    pub(crate) has_ended: bool,
    pub(crate) pushed: usize,
    pub(crate) finished: bool,
    delivery: Option<Delivery>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) origin: Instant,
    pub(crate) is_punctual: bool,
    pub(crate) limits: Limits,
    /// Sockets and idle connections that each server may have at most now.
    pub(crate) ceilings: Vec<usize>,
    pub(crate) idle_ceiling: usize,
    /// Requests that may wait; more than the limit after that was lowered.
    pub(crate) queue_ceiling: usize,
    pub(crate) probes: usize,
    pub(crate) ended: u64,
    /// Failures by error.
    pub(crate) errors: BTreeMap<String, u64>,
    /// When an octet passed last, or a connection was made, or limits were set; and the octets up to then.
    pub(crate) last_traffic: Duration,
    pub(crate) last_octets: u64,
    /// When a request was given up last.
    pub(crate) last_abandoned: Duration,
    pub(crate) shut_down: bool,
    pub(crate) shutting_down: bool,
    pub(crate) is_winding_up: bool,
    pub(crate) far: Rc<RefCell<Far>>,
}

impl Request {
    /// The length of a pushed body that was told.
    pub(crate) fn declared(&self) -> Option<usize> {
        let submit = self.submit.as_ref()?;
        (submit.body == BodyKind::PushedKnown).then_some(submit.body_len)
    }
}

pub(crate) type Check = Result<(), String>;

impl Model {
    pub(crate) fn add(
        &mut self,
        tag: u64,
        handle: RequestHandle,
        submit: Option<Submit>,
        at: Duration,
    ) {
        let request = Request {
            handle,
            submit,
            submitted: at,
            stdout: 0,
            stderr: 0,
            stdout_ended: false,
            paused: false,
            was_paused: false,
            resumed: at,
            last_output: None,
            has_ended: false,
            pushed: 0,
            finished: false,
            delivery: None,
        };
        self.requests.insert(tag, request);
    }

    /// Checks an event, then reacts to it as planned.
    pub(crate) fn event(&mut self, engine: &mut Engine, now: Instant, event: &Event<'_>) -> Check {
        let at = now - self.origin;
        let Event::ShutDown = event else {
            return self.request_event(engine, now, at, event);
        };
        if self.shut_down || !self.shutting_down {
            return Err("ShutDown twice, or unasked for".into());
        }
        if !engine.is_idle() {
            return Err("ShutDown, but the engine is not idle".into());
        }
        self.shut_down = true;
        Ok(())
    }

    fn request_event(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        at: Duration,
        event: &Event<'_>,
    ) -> Check {
        let (handle, tag) = match event {
            Event::Stdout { request, tag, .. }
            | Event::Stderr { request, tag, .. }
            | Event::StdoutEnd { request, tag }
            | Event::StdinReady { request, tag }
            | Event::Values { request, tag, .. }
            | Event::End { request, tag, .. } => (*request, tag.0),
            _ => return Err(format!("unknown event {event:?}")),
        };
        let known = self.requests.get_mut(&tag);
        let request = known.ok_or_else(|| format!("tag {tag} was never submitted"))?;
        if request.handle != handle {
            return Err(format!("tag {tag} with the handle of another request"));
        }
        if request.has_ended {
            return Err(format!("tag {tag}: {event:?} after its End"));
        }
        let is_output = matches!(
            event,
            Event::Stdout { .. } | Event::Stderr { .. } | Event::StdoutEnd { .. }
        );
        if is_output && request.paused {
            return Err(format!("tag {tag}: output while paused"));
        }
        if is_output && request.was_paused {
            // Until it is taken, what was held may keep its connection from being read.
            request.resumed = at;
        }
        match event {
            Event::Stdout { data, .. } => {
                if request.stdout_ended {
                    return Err(format!("tag {tag}: stdout behind its end"));
                }
                check_octets(stdout_of(tag), &mut request.stdout, data)?;
                request.last_output = Some(at);
                let reaction = request.submit.as_ref().map(|submit| submit.reaction);
                match reaction {
                    Some(Reaction::Pause) if !request.was_paused && !self.is_winding_up => {
                        request.paused = true;
                        request.was_paused = true;
                        engine.pause(now, handle);
                    }
                    Some(Reaction::Abort) => engine.abort(now, handle),
                    _ => {}
                }
                Ok(())
            }
            Event::Stderr { data, .. } => {
                request.last_output = Some(at);
                check_octets(stderr_of(tag), &mut request.stderr, data)
            }
            Event::StdoutEnd { .. } => {
                request.last_output = Some(at);
                let twice = std::mem::replace(&mut request.stdout_ended, true);
                (!twice)
                    .then_some(())
                    .ok_or_else(|| format!("tag {tag}: two ends of stdout"))
            }
            Event::End { outcome, .. } => {
                request.has_ended = true;
                if std::mem::take(&mut request.paused) {
                    request.resumed = at;
                }
                self.ended += 1;
                self.check_outcome(tag, at, outcome)
            }
            _ => Ok(()),
        }
    }

    fn check_outcome(&mut self, tag: u64, at: Duration, outcome: &Outcome) -> Check {
        // A pause may stop the reading of others on the same connection, and their limits with it.
        let any_pause = self.requests.values().any(|request| request.was_paused);
        let is_punctual = self.is_punctual && !any_pause;
        let Some(request) = self.requests.get_mut(&tag) else {
            return Ok(());
        };
        let Some(submit) = &request.submit else {
            return Ok(());
        };
        let behaviour = &submit.behaviour;
        match outcome {
            Ok(completion) => {
                let never = [
                    Fault::Hangs,
                    Fault::ClosesInTheMiddle,
                    Fault::ResetsInTheMiddle,
                ];
                let impossible = [
                    Fault::ForeignId,
                    Fault::ManagementId,
                    Fault::ServerRecord,
                    Fault::ShortEnd,
                    Fault::Http,
                    Fault::UnknownStatus,
                ];
                let cannot = impossible.contains(&behaviour.fault)
                    || (never.contains(&behaviour.fault) && behaviour.stdout > 0);
                if cannot {
                    return Err(format!("tag {tag}: complete, though {:?}", behaviour.fault));
                }
                let (stdout, stderr) = (behaviour.stdout as u64, behaviour.stderr as u64);
                if (request.stdout, request.stderr) != (stdout, stderr) {
                    return Err(format!(
                        "tag {tag}: complete with {} and {} of {stdout} and {stderr} octets",
                        request.stdout, request.stderr
                    ));
                }
                let received = completion.report.received;
                if received != stdout + stderr {
                    return Err(format!("tag {tag}: reports {received} octets"));
                }
                Ok(())
            }
            Err(failure) => {
                request.delivery = Some(failure.delivery);
                self.last_abandoned = at;
                let name = match &failure.error {
                    RequestError::TimedOut(kind) => format!("TimedOut({kind:?})"),
                    error => {
                        let text = format!("{error:?}");
                        text.split([' ', '{', '('])
                            .next()
                            .unwrap_or_default()
                            .into()
                    }
                };
                *self.errors.entry(name).or_default() += 1;
                let has_output = request.stdout + request.stderr > 0 || request.stdout_ended;
                if has_output && failure.delivery != Delivery::Responded {
                    return Err(format!(
                        "tag {tag}: output came, but {:?}",
                        failure.delivery
                    ));
                }
                if has_output != (failure.phase == Phase::Receiving) && !request.was_paused {
                    return Err(format!(
                        "tag {tag}: {:?} with output {has_output}",
                        failure.phase
                    ));
                }
                check_timeout(request, at, failure, is_punctual)
                    .map_err(|what| format!("tag {tag}: {what}: {failure:?}"))
            }
        }
    }

    /// What must hold after each step.
    pub(crate) fn check_state(
        &mut self,
        engine: &Engine,
        sockets: &[usize],
        now: Instant,
    ) -> Check {
        if let Some(what) = self.far.borrow_mut().violation.take() {
            return Err(what);
        }
        for (index, open) in sockets.iter().enumerate() {
            let ceiling = &mut self.ceilings[index];
            if open > ceiling {
                return Err(format!(
                    "{open} sockets to server {index}, {ceiling} allowed"
                ));
            }
        }
        let stats = engine.stats();
        let connections = stats.connections;
        let all = count(&stats);
        let counters = &stats.counters;
        let octets = counters.octets_sent + counters.octets_received + counters.connected;
        if std::mem::replace(&mut self.last_octets, octets) != octets {
            self.last_traffic = now - self.origin;
        }
        for (ceiling, open) in self.ceilings.iter_mut().zip(sockets) {
            // What was above a limit when that was lowered may go on, and goes away.
            let left = all.max(*open);
            let left = if engine.has_output() {
                usize::MAX
            } else {
                left
            };
            *ceiling = (*ceiling).min(left).max(self.limits.max_connections);
        }
        if all > self.ceilings.iter().sum() {
            return Err(format!("{all} connections, {:?} allowed", self.ceilings));
        }
        if connections.idle > self.idle_ceiling * self.ceilings.len() {
            return Err(format!(
                "{} idle, {} allowed",
                connections.idle, self.idle_ceiling
            ));
        }
        let requests = stats.requests;
        let unended = requests.collecting + requests.waiting + requests.active + requests.holding;
        let queued_ends =
            stats.counters.submitted - stats.counters.completed - stats.counters.failed;
        if unended as u64 != queued_ends {
            return Err(format!(
                "{requests:?} do not add up with {:?}",
                stats.counters
            ));
        }
        if stats.counters.submitted != self.requests.len() as u64 {
            return Err(format!("{} submitted", stats.counters.submitted));
        }
        let extra = self.probes as u64 + stats.counters.retries;
        if requests.waiting as u64 > self.queue_ceiling as u64 + extra {
            return Err(format!("{} wait", requests.waiting));
        }
        self.queue_ceiling = (self.queue_ceiling)
            .min(requests.waiting + requests.collecting)
            .max(self.limits.max_queue);
        let stall = engine.config().stall;
        let slack = 64 * 1024 * all.max(1) + 64 * 1024 * requests.holding;
        if stats.octets_held > stall.per_client + slack {
            return Err(format!("{} octets held", stats.octets_held));
        }
        Ok(())
    }

    /// What must hold when nothing can be done at this instant.
    ///
    /// `sockets`: that there are. `waits`: a connection may be waiting for a full backlog, without one.
    pub(crate) fn check_rest(
        &self,
        engine: &mut Engine,
        now: Instant,
        sockets: usize,
        waits: bool,
    ) -> Check {
        if engine.has_output() {
            return Err("output was not taken".into());
        }
        if engine.poll_action().is_some() || engine.poll_event(&mut [0; 64]).is_some() {
            return Err("output without a word of it".into());
        }
        if engine.poll_timeout().is_some_and(|due| due <= now) {
            return Err("a deadline that has passed is still there".into());
        }
        let at = now - self.origin;
        let stats = engine.stats();
        let all = count(&stats);
        if sockets > all || (sockets < all && !waits) {
            return Err(format!("{sockets} sockets for {:?}", stats.connections));
        }
        let kept = self.limits.min_idle * self.ceilings.len();
        if stats.connections.idle > kept && at > self.last_traffic + self.limits.idle_timeout {
            return Err(format!("{} have idled too long", stats.connections.idle));
        }
        let is_overdue = at > self.last_abandoned + engine.config().abort_grace;
        if stats.requests.aborting > 0 && is_overdue && stats.connections.draining == 0 {
            return Err("the grace for an abort is over, and its connection goes on".into());
        }
        let taken = stats.counters.completed + stats.counters.failed;
        if taken != self.ended {
            return Err(format!("{taken} have ended, {} End events", self.ended));
        }
        let longest = engine.config().backoff.longest;
        let connections = stats.connections;
        let alone = connections.connecting + connections.probing + connections.idle == 0
            && connections.busy + connections.draining == 0;
        if alone && stats.requests.waiting > 0 {
            let soon = engine
                .poll_timeout()
                .is_some_and(|due| due <= now + longest);
            if !soon {
                return Err("requests wait, no connection, and nothing will wake them".into());
            }
        }
        // A connection that is not read because of one request makes the limits of the others stand still.
        let any_paused = self.requests.values().any(|request| request.paused);
        let resumed = self.requests.values().map(|request| request.resumed);
        let resumed = resumed.max().unwrap_or_default();
        for (tag, request) in &self.requests {
            let Some(submit) = request.submit.as_ref().filter(|_| !request.has_ended) else {
                continue;
            };
            let missed = |from: Duration, limit: Option<Duration>| {
                limit.is_some_and(|limit| at > from + limit)
            };
            if missed(request.submitted, submit.timeouts.total) {
                return Err(format!("tag {tag}: its total time limit was missed"));
            }
            let far = self.far.borrow();
            let is_plain = far.sent.get(tag) == Some(&1) && !any_paused;
            // What was not sent as a whole is not the application's silence.
            let arrived = far.written.get(tag).filter(|_| is_plain);
            if let (Some(arrived), Some(last)) = (arrived, request.last_output)
                && missed(last.max(*arrived).max(resumed), submit.timeouts.silence)
                && stats.octets_held == 0
                && stats.counters.retries == 0
            {
                return Err(format!("tag {tag}: its limit on silence was missed"));
            }
            if let Some(arrived) = arrived
                && request.last_output.is_none()
                && stats.counters.retries == 0
                && missed((*arrived).max(resumed), submit.timeouts.first_octet)
                && stats.octets_held == 0
            {
                return Err(format!(
                    "tag {tag}: its limit on the first octet was missed"
                ));
            }
        }
        Ok(())
    }

    /// What must hold when all is over.
    pub(crate) fn check_end(&self, engine: &Engine) -> Check {
        for (tag, request) in &self.requests {
            if !request.has_ended {
                return Err(format!("tag {tag} never ended"));
            }
            let far = self.far.borrow();
            let seen = far.attempts.get(tag).copied().unwrap_or_default();
            let refused = far.refused.get(tag).copied().unwrap_or_default();
            if request.delivery == Some(Delivery::NotSent) && seen > refused {
                return Err(format!("tag {tag}: not sent, but the application had it"));
            }
        }
        if !engine.is_idle() || engine.stats().octets_held > 0 {
            return Err(format!("not idle at the end: {:?}", engine.stats()));
        }
        if engine.poll_timeout().is_some() {
            return Err("a deadline is left over".into());
        }
        if !self.shut_down {
            return Err("no ShutDown".into());
        }
        Ok(())
    }
}

fn count(stats: &Stats) -> usize {
    let it = &stats.connections;
    it.connecting + it.probing + it.idle + it.busy + it.draining
}
