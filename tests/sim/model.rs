//! What the embedder may expect. Each event and each state is compared with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio_fcgi::testkit::internals::Tally;
use mio_fcgi::{
    Delivery, Engine, Event, EventKind, Limits, Multiplex, Outcome, Phase, RequestError,
    RequestHandle, ServerValues, Stats, TimeoutKind,
};

use crate::checks::{check_bytes, check_full_queue, check_timeout};
use crate::far::{Far, status_of, stderr_of, stdout_of};
use crate::pauses::Pauses;
use crate::plan::{BodyKind, Fault, Reaction, Submit};
use crate::system::{System, check_connect};

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) handle: RequestHandle,
    /// `None`: the request is a `get_values`.
    pub(crate) submit: Option<Submit>,
    pub(crate) submitted: Duration,
    pub(crate) stdout: u64,
    pub(crate) stderr: u64,
    pub(crate) stdout_ended: bool,
    pub(crate) pauses: Pauses,
    pub(crate) resumed: Duration,
    pub(crate) last_output: Option<Duration>,
    pub(crate) has_ended: bool,
    pub(crate) pushed: usize,
    pub(crate) finished: bool,
    /// `write_stdin` has taken fewer bytes than were offered, and no `StdinReady` has followed yet.
    pub(crate) wants_room: bool,
    /// When there were bytes to write again, after everything was written.
    pub(crate) writes_since: Duration,
    pub(crate) delivery: Option<Delivery>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) origin: Instant,
    pub(crate) is_punctual: bool,
    pub(crate) limits: Limits,
    /// The most sockets that each server may have now.
    pub(crate) ceilings: Vec<usize>,
    /// The most connections that there may be now.
    pub(crate) total_ceiling: usize,
    pub(crate) idle_ceiling: usize,
    /// How many requests may be queued. When the limit is lowered, the requests that are queued may stay.
    pub(crate) queue_ceiling: usize,
    /// Whether a request has waited while no connection was being opened for it.
    pub(crate) has_waited: bool,
    /// A server reports how many requests it can serve in all. Requests may wait for that, too.
    pub(crate) has_totals: bool,
    pub(crate) is_never_down: bool,
    /// A request may cost several connections, or none may wait for one: they are opened in advance, for checks, or to
    /// another server where a connect takes long; they are closed for another server, or because limits or those that
    /// the server tells have changed; or the connect that began last comes first, and the request that waits for it does
    /// not take the other one.
    pub(crate) opens_more: bool,
    /// The values that the embedder has received from the only server.
    pub(crate) told: Option<ServerValues>,
    /// How many requests were on connections at the last check.
    pub(crate) active: usize,
    pub(crate) probes: usize,
    /// The request that has timed out in this step, and when that was decided.
    pub(crate) timed_out: Option<(u64, Duration)>,
    /// Whether an application ends requests with a status other than the behavior's.
    pub(crate) has_zero_status: bool,
    pub(crate) has_sticky_status: bool,
    pub(crate) ended: u64,
    /// How many requests have failed with each error.
    pub(crate) errors: BTreeMap<String, u64>,
    /// When the last byte passed, a connection was made or asked, or limits were set; and the counts at that time.
    pub(crate) last_traffic: Duration,
    pub(crate) last_bytes: (u64, usize),
    /// When the last request was given up.
    pub(crate) last_abandoned: Duration,
    pub(crate) shut_down: bool,
    pub(crate) shutting_down: bool,
    pub(crate) is_winding_up: bool,
    pub(crate) far: Rc<RefCell<Far>>,
    pub(crate) system: System,
}

impl Request {
    /// The declared length of a pushed body.
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
            pauses: Pauses::default(),
            resumed: at,
            last_output: None,
            has_ended: false,
            pushed: 0,
            finished: false,
            wants_room: false,
            writes_since: at,
            delivery: None,
        };
        self.requests.insert(tag, request);
    }

    /// Whether a body with a wrong declared length may still be read.
    pub(crate) fn has_wrong_body(&self) -> bool {
        let unended = self.requests.values().filter(|it| !it.has_ended);
        let mut submits = unended.filter_map(|it| it.submit.as_ref());
        submits.any(|it| matches!(it.body, BodyKind::Short | BodyKind::Long))
    }

    /// Checks what the engine says of its shutdown.
    pub(crate) fn check_shutdown(&mut self, engine: &Engine) -> Check {
        let is_shut_down = engine.is_shut_down();
        if is_shut_down && !self.shutting_down {
            return Err("it shut down without being asked to".into());
        }
        if is_shut_down && !engine.is_idle() {
            return Err("it is shut down, but not idle".into());
        }
        if self.shut_down && !is_shut_down {
            return Err("it is no longer shut down".into());
        }
        self.shut_down = is_shut_down;
        Ok(())
    }

    /// Checks an event, and reacts to it as planned.
    pub(crate) fn event(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        event: &Event<&[u8]>,
    ) -> Check {
        let at = now - self.origin;
        let (handle, tag) = (event.request, event.tag.0);
        if self.shut_down {
            return Err(format!("tag {tag}: {event:?} after the shutdown"));
        }
        let known = self.requests.get_mut(&tag);
        let request = known.ok_or_else(|| format!("tag {tag} was never submitted"))?;
        if request.handle != handle {
            return Err(format!("tag {tag} with the handle of another request"));
        }
        if request.has_ended {
            return Err(format!("tag {tag}: {event:?} after its End"));
        }
        let is_output = matches!(
            event.kind,
            EventKind::Stdout(_) | EventKind::Stderr(_) | EventKind::StdoutEnd
        );
        if is_output && request.pauses.is_paused() {
            return Err(format!("tag {tag}: output while paused"));
        }
        let is_complete = matches!(event.kind, EventKind::End(Ok(_)));
        let is_answer = request.submit.is_some() && (is_output || is_complete);
        if is_answer && !self.far.borrow().sent.contains_key(&tag) {
            return Err(format!("tag {tag}: {event:?} before it was sent"));
        }
        if is_output && request.pauses.has_any() {
            // Until held output is taken, its connection may not be read.
            request.resumed = at;
        }
        match &event.kind {
            EventKind::Stdout(data) => {
                if request.stdout_ended {
                    return Err(format!("tag {tag}: stdout after its end"));
                }
                check_bytes(stdout_of(tag), &mut request.stdout, data)?;
                request.last_output = Some(at);
                let reaction = request.submit.as_ref().map(|submit| submit.reaction);
                match reaction {
                    Some(Reaction::Pause) if !request.pauses.has_any() && !self.is_winding_up => {
                        request.pauses.begin(at);
                        engine.pause(now, handle);
                    }
                    Some(Reaction::Abort) => engine.abort(now, handle),
                    _ => {}
                }
                Ok(())
            }
            EventKind::Stderr(data) => {
                request.last_output = Some(at);
                check_bytes(stderr_of(tag), &mut request.stderr, data)
            }
            EventKind::StdoutEnd => {
                request.last_output = Some(at);
                let twice = std::mem::replace(&mut request.stdout_ended, true);
                (!twice)
                    .then_some(())
                    .ok_or_else(|| format!("tag {tag}: two ends of stdout"))
            }
            EventKind::End(outcome) => {
                request.has_ended = true;
                if request.pauses.end(at) {
                    request.resumed = at;
                }
                if is_complete && !request.pauses.has_any() {
                    self.far.borrow_mut().note_answered(tag);
                }
                self.ended += 1;
                self.check_outcome(tag, at, outcome)
            }
            EventKind::Values(values) => {
                let is_alone = self.ceilings.len() == 1 && self.is_never_down;
                self.told = is_alone.then_some(*values);
                Ok(())
            }
            EventKind::StdinReady => {
                request.wants_room = false;
                match request.finished {
                    true => Err(format!("tag {tag}: room for a body that is finished")),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn check_outcome(&mut self, tag: u64, at: Duration, outcome: &Outcome) -> Check {
        // A pause may stop the reading of other requests on the same connection, and the clocks of their limits.
        let any_pause = self.requests.values().any(|it| it.pauses.has_any());
        let is_punctual = self.is_punctual && !any_pause;
        let Some(request) = self.requests.get_mut(&tag) else {
            return Ok(());
        };
        let Some(submit) = &request.submit else {
            return Ok(());
        };
        let answer = &submit.answer;
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
                let cannot = impossible.contains(&answer.fault)
                    || (never.contains(&answer.fault) && answer.stdout > 0);
                if cannot {
                    return Err(format!("tag {tag}: complete, though {:?}", answer.fault));
                }
                let (stdout, stderr) = (answer.stdout as u64, answer.stderr as u64);
                if (request.stdout, request.stderr) != (stdout, stderr) {
                    return Err(format!(
                        "tag {tag}: complete with {} and {} of {stdout} and {stderr} bytes",
                        request.stdout, request.stderr
                    ));
                }
                let status = completion.app_status;
                let may_be_zero = self.has_zero_status && status == 0;
                if status != status_of(tag) && !may_be_zero && !self.has_sticky_status {
                    return Err(format!("tag {tag}: status {status} is another's"));
                }
                let received = completion.report.bytes_received;
                if received != stdout + stderr {
                    return Err(format!("tag {tag}: reports {received} bytes"));
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
                let is_sent = failure.phase != Phase::Queued;
                if matches!(failure.error, RequestError::TimedOut(_)) && is_sent && !any_pause {
                    let decided = request.submitted + failure.report.timings.total();
                    self.timed_out = Some((tag, decided));
                }
                check_connect(tag, failure)?;
                check_full_queue(tag, failure)?;
                let has_output = request.stdout + request.stderr > 0 || request.stdout_ended;
                if has_output && failure.delivery != Delivery::Responded {
                    return Err(format!(
                        "tag {tag}: output came, but {:?}",
                        failure.delivery
                    ));
                }
                if has_output != (failure.phase == Phase::Receiving) && !request.pauses.has_any() {
                    return Err(format!(
                        "tag {tag}: {:?} with output {has_output}",
                        failure.phase
                    ));
                }
                if failure.error == RequestError::TimedOut(TimeoutKind::Paused) {
                    let timings = failure.report.timings;
                    let assigned = timings.queued().unwrap_or(Duration::MAX);
                    let pauses = &request.pauses;
                    pauses
                        .check_given_up(
                            request.submitted.saturating_add(assigned),
                            submit.timeouts.paused,
                            request.submitted + timings.total(),
                            self.is_punctual,
                        )
                        .map_err(|what| format!("tag {tag}: {what}"))?;
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
        tally: &Tally,
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
        crate::lists::check(engine, now, &stats)?;
        self.system.check(&stats.counters, tally)?;
        let connections = stats.connections;
        let all = count(&stats);
        let counters = &stats.counters;
        let bytes = counters.bytes_sent + counters.bytes_received + counters.connected;
        let bytes = (bytes, connections.probing);
        if std::mem::replace(&mut self.last_bytes, bytes) != bytes {
            self.last_traffic = now - self.origin;
        }
        for (ceiling, open) in self.ceilings.iter_mut().zip(sockets) {
            // Connections and requests above a lowered limit may stay until they end.
            let left = all.max(*open);
            let left = if engine.has_output() {
                usize::MAX
            } else {
                left
            };
            *ceiling = (*ceiling)
                .min(left)
                .max(self.limits.max_connections_per_server);
        }
        self.far.borrow().servers.check_list(engine, now)?;
        if all > self.total_ceiling {
            return Err(format!("{all} connections, {} allowed", self.total_ceiling));
        }
        self.total_ceiling = all.max(self.limits.max_total_connections);
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
        let queued = requests.queued + requests.connecting;
        let unended = requests.buffering + queued + requests.active + requests.draining;
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
        // A connect that fails and a request that is refused make a request wait, perhaps for one step only.
        self.has_waited |= requests.queued > 0;
        self.has_waited |= counters.connect_failures > 0 || counters.retries > 0;
        self.has_waited |= self.errors.contains_key("TimedOut(Queue)");
        let waiting = requests.queued + requests.buffering;
        if waiting > self.queue_ceiling {
            return Err(format!("{waiting} wait, {} may", self.queue_ceiling));
        }
        self.queue_ceiling = waiting.max(self.limits.max_queued_requests);
        let has_asked = self.far.borrow().questions > 0 && self.probes == 0;
        let checks = engine.config().check_interval.is_some();
        if has_asked && !self.has_waited && self.is_punctual && !checks {
            return Err("a server was asked though no request had to wait".into());
        }
        let active = requests.active + requests.aborting;
        let grows = active > std::mem::replace(&mut self.active, active);
        // A wrong FCGI_GET_VALUES_RESULT, sent without a question, replaces what was reported before.
        let may_forget = self.far.borrow().faults.contains_key(&Fault::UnaskedValues);
        let told = self
            .told
            .filter(|told| told.multiplexes == Some(true) && !may_forget);
        if let Some(most) = told.and_then(|told| told.max_reqs)
            && engine.config().multiplex == Multiplex::Auto
            && grows
            && active > most as usize + self.unended_probes()
        {
            return Err(format!(
                "{active} requests, and the application serves {most}"
            ));
        }
        let stall = engine.config().pause_buffer;
        let slack = 64 * 1024 * all.max(1) + 64 * 1024 * requests.draining;
        if stats.bytes_buffered > stall.per_client + slack {
            return Err(format!("{} bytes held", stats.bytes_buffered));
        }
        Ok(())
    }
}

pub(crate) fn count(stats: &Stats) -> usize {
    let it = &stats.connections;
    it.connecting + it.probing + it.idle + it.busy + it.draining
}
