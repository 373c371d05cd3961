//! What must hold when nothing more can happen at an instant, and when everything is over.

use std::time::{Duration, Instant};

use mio_fcgi::{CloseReason, Counters, Delivery, Engine, Stats};

use crate::model::{Check, Model, Request, count};

impl Model {
    /// What must hold when nothing can be done at this instant.
    ///
    /// `sockets`: how many there are. `waits`: a connection may be waiting for a full backlog, without a socket.
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
        if engine.poll_action().is_some() || engine.poll_pending(&mut [0; 64]).is_some() {
            return Err("output without a word of it".into());
        }
        if engine.timeout(now) == Some(Duration::ZERO) {
            return Err("a deadline that has passed is still there".into());
        }
        let at = now - self.origin;
        let stats = engine.stats();
        let all = count(&stats);
        if sockets > all || (sockets < all && !waits) {
            return Err(format!("{sockets} sockets for {:?}", stats.connections));
        }
        let kept = self.limits.min_idle_per_server * self.ceilings.len();
        let longest_idle = self.limits.idle_timeout;
        if stats.connections.idle > kept && at > self.last_traffic + longest_idle {
            return Err(format!("{} have idled too long", stats.connections.idle));
        }
        let longest_probe = engine.config().probe_timeout;
        if stats.connections.probing > 0 && at > self.last_traffic + longest_probe {
            return Err("a question has waited too long for its answer".into());
        }
        self.check_waiting(&stats)?;
        self.check_pauses(engine, now)?;
        let is_overdue = at > self.last_abandoned + engine.config().abort_grace;
        if stats.requests.aborting > 0 && is_overdue && stats.connections.draining == 0 {
            return Err("the grace for an abort is over, and its connection goes on".into());
        }
        let taken = stats.counters.completed + stats.counters.failed;
        if taken != self.ended {
            return Err(format!("{taken} have ended, {} End events", self.ended));
        }
        let longest = engine.config().backoff.max;
        let connections = stats.connections;
        let alone = connections.connecting + connections.probing + connections.idle == 0
            && connections.busy + connections.draining == 0;
        let has_takers = self.far.borrow().servers.has_takers();
        if alone && stats.requests.queued > 0 && has_takers {
            let soon = engine.timeout(now).is_some_and(|wait| wait <= longest);
            if !soon {
                return Err("requests wait, no connection, and nothing will wake them".into());
            }
        }
        // While a connection is not read because of one request, the clocks of the other requests on it stop.
        let any_paused = self
            .requests
            .values()
            .any(|request| request.pauses.is_paused());
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
            // An application need not answer what was not sent completely.
            let arrived = far.written.get(tag).filter(|_| is_plain);
            if let (Some(arrived), Some(last)) = (arrived, request.last_output)
                && missed(
                    last.max(*arrived).max(resumed),
                    submit.timeouts.between_bytes,
                )
                && stats.bytes_buffered == 0
                && stats.counters.retries == 0
            {
                return Err(format!("tag {tag}: its limit on silence was missed"));
            }
            if let Some(arrived) = arrived
                && request.last_output.is_none()
                && stats.counters.retries == 0
                && missed((*arrived).max(resumed), submit.timeouts.first_byte)
                && stats.bytes_buffered == 0
            {
                return Err(format!("tag {tag}: its limit on the first byte was missed"));
            }
        }
        Ok(())
    }

    /// Checks that no request on a connection, or with output left, has been paused for longer than it may.
    fn check_pauses(&self, engine: &Engine, now: Instant) -> Check {
        for listed in engine.requests(now) {
            let request = self.requests.get(&listed.tag.0);
            let paused = request.filter(|it| it.handle == listed.request && !it.has_ended);
            let (Some(request), Some(assigned)) = (paused, listed.report.timings.queued()) else {
                continue;
            };
            let limit = request.submit.as_ref().and_then(|it| it.timeouts.paused);
            let due = request.pauses.due(request.submitted + assigned, limit);
            if due.is_some_and(|due| due <= now - self.origin) {
                return Err(format!("its limit on pauses was missed: {listed}"));
            }
        }
        Ok(())
    }

    pub(crate) fn unended_probes(&self) -> usize {
        let probes = self.requests.values().filter(|it| it.submit.is_none());
        probes.filter(|it| !it.has_ended).count()
    }

    /// Checks that nothing was forgotten: a request that can be served is, and `StdinReady` has followed when there is
    /// room.
    fn check_waiting(&self, stats: &Stats) -> Check {
        let far = self.far.borrow();
        let queued = (stats.requests.queued + stats.requests.connecting) as u64;
        // A request that may not be sent twice may have to wait for a new connection.
        let is_choosy = |(tag, request): &(&u64, &Request)| {
            let submit = request.submit.as_ref();
            !request.has_ended
                && !far.sent.contains_key(tag)
                && submit.is_some_and(|submit| {
                    !submit.may_run_twice() || submit.is_collected() || submit.server.is_some()
                })
        };
        let choosy = self.requests.iter().filter(is_choosy).count();
        let held_back = stats.counters.retries + (self.probes + choosy) as u64;
        let is_undisturbed = !self.has_totals
            && !far.servers.has_modes
            && far.refused.is_empty()
            && far.unread() == 0;
        if is_undisturbed && queued > held_back && stats.connections.idle > 0 {
            return Err(format!(
                "{queued} wait, {held_back} of them sent again, and {} connections are idle",
                stats.connections.idle
            ));
        }
        for (tag, request) in &self.requests {
            let is_all_written = far.stdin.get(tag) == Some(&(request.pushed as u64));
            let wants_room = request.wants_room && !request.finished && !request.has_ended;
            if wants_room && is_all_written {
                return Err(format!("tag {tag}: there is room, and no StdinReady"));
            }
        }
        Ok(())
    }

    /// Checks that each connect had a cause: a request that was submitted or put back, a question of the engine, or a
    /// connection that the application closed before it was of use. A server that is overloaded may be left alone until
    /// its connections are closed.
    fn check_connects(&self, counters: &Counters) -> Check {
        let far = self.far.borrow();
        let requests = counters.submitted + counters.retries;
        let questions = far.questions.saturating_sub(self.probes);
        let useless = counters.closed_for(CloseReason::ClosedIdle);
        let causes = requests + useless + questions as u64;
        if counters.connected > causes && !self.opens_more && far.refused.is_empty() {
            return Err(format!("{causes} causes of a connect: {counters:?}"));
        }
        Ok(())
    }

    /// What must hold when everything is over.
    pub(crate) fn check_end(&self, engine: &Engine, now: Instant) -> Check {
        for (tag, request) in &self.requests {
            if !request.has_ended {
                return Err(format!("tag {tag} never ended"));
            }
            let far = self.far.borrow();
            let seen = far.attempts.get(tag).copied().unwrap_or_default();
            let refused = far.refused.get(tag).copied().unwrap_or_default();
            if request.delivery == Some(Delivery::NotProcessed) && seen > refused {
                return Err(format!("tag {tag}: not sent, but the application had it"));
            }
        }
        let (stats, nothing) = (engine.stats(), Stats::default());
        let is_left = stats.bytes_buffered > 0
            || stats.connections != nothing.connections
            || stats.requests != nothing.requests
            || engine.requests(now).next().is_some()
            || engine.connections(now).next().is_some();
        if !engine.is_idle() || is_left {
            return Err(format!("not idle at the end: {stats:?}"));
        }
        if engine.timeout(now).is_some() {
            return Err("a deadline is left over".into());
        }
        self.check_connects(&stats.counters)?;
        if !self.shut_down {
            return Err("it is not shut down".into());
        }
        Ok(())
    }
}
