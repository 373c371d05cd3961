//! Carries a plan out, checking the promises after each step.

use std::cell::RefCell;
use std::io::{Cursor, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio_fcgi::testkit::{Network, Scripted};
use mio_fcgi::wire::Role;
use mio_fcgi::{Body, Engine, Multiplex, Request, StdinError, Tag};

use crate::far::{Far, Tap, answer, data_of, pattern, stdin_of};
use crate::figures::Figures;
use crate::model::Model;
use crate::plan::{BodyKind, Op, Plan, Submit};

/// What went wrong, and when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    pub(crate) at: Duration,
    pub(crate) what: String,
    pub(crate) trace: Vec<String>,
}

struct World<'p> {
    plan: &'p Plan,
    engine: Engine,
    network: Network,
    model: Model,
    far: Rc<RefCell<Far>>,
    next_probe: u64,
    steps: usize,
    busy: Duration,
}

/// Steps at one instant after which a loop without end is suspected.
const MAX_STEPS: usize = 400_000;

/// Runs a plan; the hash of its trace and what it has gone through, or what was wrong.
pub(crate) fn run(plan: &Plan, keep_trace: bool) -> Result<(u64, Figures), Violation> {
    let mut world = World::new(plan, keep_trace);
    let result = world.carry_out();
    result
        .map(|()| (world.network.trace_hash(), world.figures()))
        .map_err(|what| Violation {
            at: world.network.elapsed(),
            what,
            trace: world.network.trace().to_vec(),
        })
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, keep_trace: bool) -> Self {
        let origin = Instant::now();
        let far = Rc::new(RefCell::new(Far::default()));
        let count = plan.servers.len();
        let mut network = Network::new(count, origin, plan.seed);
        if keep_trace {
            network.keep_trace();
        }
        if plan.is_shuffled {
            network.shuffle();
        }
        for (index, setup) in plan.servers.iter().enumerate() {
            let asks = Rc::clone(&far);
            let inner = Scripted::new(move |request| answer(&asks, request))
                .with_habits(setup.habits.clone());
            let shares = match plan.config.multiplex {
                Multiplex::Off => false,
                Multiplex::On { max } => max > 1,
                Multiplex::Auto => setup.habits.multiplexes,
                other => panic!("the runs do not know {other:?}"),
            };
            far.borrow_mut().refuses_to_share |= shares && !setup.habits.multiplexes;
            let connects = setup.connects.clone();
            let mut tap = Tap::new(Rc::clone(&far), shares, setup.habits.all_roles);
            let (wire, other) = (setup.wire.clone(), setup.other_wire.clone());
            network
                .server(index)
                .wires(move |attempt| match &other {
                    Some(other) if attempt % 2 == 1 => other.clone(),
                    _ => wire.clone(),
                })
                .serve(inner)
                .tap(move |number, octets| tap.hear(number, octets))
                .on_connect(move |attempt| connects[attempt % connects.len()]);
        }
        let limits = plan.config.limits;
        far.borrow_mut().most_per_connection = limits.max_requests_per_connection;
        let model = Model {
            requests: Default::default(),
            origin,
            is_punctual: plan.is_punctual(),
            limits,
            ceilings: vec![limits.max_connections; count],
            idle_ceiling: limits.max_idle,
            queue_ceiling: limits.max_queue,
            probes: 0,
            ended: 0,
            errors: Default::default(),
            last_traffic: Duration::ZERO,
            last_octets: 0,
            last_abandoned: Duration::ZERO,
            shut_down: false,
            shutting_down: false,
            is_winding_up: false,
            far: Rc::clone(&far),
        };
        Self {
            plan,
            engine: Engine::new(plan.config.clone()).expect("plans draw valid configurations"),
            network,
            model,
            far,
            next_probe: 1_000_000,
            steps: 0,
            busy: Duration::ZERO,
        }
    }

    fn carry_out(&mut self) -> Result<(), String> {
        for op in &self.plan.ops {
            self.perform(op)?;
            self.check()?;
        }
        self.wind_up()
    }

    fn perform(&mut self, op: &Op) -> Result<(), String> {
        let now = self.network.now();
        match op {
            Op::Submit(submit) => self.submit(submit),
            Op::GetValues(server) => {
                let tag = self.next_probe;
                if let Ok(handle) = self.engine.get_values(now, *server, Tag(tag)) {
                    self.next_probe += 1;
                    self.model.probes += 1;
                    self.model.add(tag, handle, None, self.network.elapsed());
                }
            }
            Op::Abort(place) => {
                if let Some(tag) = self.tag(*place) {
                    let handle = self.model.requests[&tag].handle;
                    self.engine.abort(now, handle);
                }
            }
            Op::Pause(place) => {
                if let Some(tag) = self.tag(*place) {
                    self.pause(tag);
                }
            }
            Op::Resume(place) => {
                if let Some(tag) = self.tag(*place) {
                    self.resume(tag);
                }
            }
            Op::Push(place, len) => {
                if let Some(tag) = self.tag(*place) {
                    self.push(tag, *len)?;
                }
            }
            Op::Finish(place) => {
                if let Some(tag) = self.tag(*place) {
                    self.finish(tag)?;
                }
            }
            Op::Limits(limits) => {
                let model = &mut self.model;
                model.limits = *limits;
                model.last_traffic = self.network.elapsed();
                for ceiling in &mut model.ceilings {
                    *ceiling = limits.max_connections.max(*ceiling);
                }
                model.idle_ceiling = limits.max_idle;
                model.queue_ceiling = limits.max_queue.max(model.queue_ceiling);
                let most = limits.max_requests_per_connection;
                let mut far = self.far.borrow_mut();
                far.most_per_connection = far.most_per_connection.zip(most).map(|(a, b)| a.max(b));
                drop(far);
                let changed = self.engine.set_limits(now, *limits);
                changed.map_err(|error| error.to_string())?;
            }
            Op::Shutdown(within) => {
                self.model.shutting_down = true;
                let deadline = within.map(|within| now + within);
                self.engine.shutdown(now, deadline);
            }
            Op::Steps(count) => {
                for _ in 0..*count {
                    if !self.step()? {
                        break;
                    }
                }
            }
            Op::Advance(time) => self.advance(*time)?,
            Op::Jump(time) => self.network.advance_to(now + *time),
            Op::Timeout { early } => {
                let then = now.checked_sub(*early).unwrap_or(now);
                self.engine.handle_timeout(then);
            }
        }
        Ok(())
    }

    fn tag(&self, place: usize) -> Option<u64> {
        let requests = &self.model.requests;
        let place = place % requests.len().max(1);
        requests.keys().rev().nth(place).copied()
    }

    fn submit(&mut self, submit: &Submit) {
        let mut request = Request::new(submit.role);
        request.params.push("TAG", submit.tag.to_string());
        let mut left = submit.params_len;
        while left > 0 {
            let len = left.min(40_000);
            request.params.push("FILLING", vec![b'x'; len]);
            left -= len;
        }
        let octets = pattern(stdin_of(submit.tag), 0..submit.body_len);
        let len = Some(octets.len() as u64);
        request.body = match submit.body {
            BodyKind::None => Body::empty(),
            BodyKind::Bytes => Body::bytes(octets),
            BodyKind::Shared => Body::shared(Arc::from(octets)),
            BodyKind::Reader => Body::reader(Cursor::new(octets), len),
            BodyKind::Seekable => Body::seekable(Cursor::new(octets), len),
            BodyKind::Short => Body::reader(Cursor::new(octets).take(9), len),
            BodyKind::Long => {
                let longer = [&octets[..], &[0; 9]].concat();
                Body::reader(Cursor::new(longer), len)
            }
            BodyKind::Pushed => Body::pushed(None),
            BodyKind::PushedKnown => Body::pushed(len),
        };
        if submit.role == Role::Filter {
            request.data = Body::bytes(pattern(data_of(submit.tag), 0..500));
        }
        request.retry = submit.retry;
        request.timeouts = Some(submit.timeouts);
        self.far
            .borrow_mut()
            .submits
            .insert(submit.tag, submit.clone());
        let now = self.network.now();
        if let Ok(handle) = self.engine.submit(now, request, Tag(submit.tag)) {
            let at = self.network.elapsed();
            self.model.add(submit.tag, handle, Some(submit.clone()), at);
        }
    }

    fn pause(&mut self, tag: u64) {
        if let Some(request) = self.model.requests.get_mut(&tag) {
            request.paused = true;
            request.was_paused = true;
            self.engine.pause(self.network.now(), request.handle);
        }
    }

    fn resume(&mut self, tag: u64) {
        if let Some(request) = self.model.requests.get_mut(&tag) {
            if std::mem::take(&mut request.paused) {
                request.resumed = self.network.elapsed();
            }
            self.engine.resume(self.network.now(), request.handle);
        }
    }

    fn push(&mut self, tag: u64, len: usize) -> Result<(), String> {
        let Some(request) = self.model.requests.get_mut(&tag) else {
            return Ok(());
        };
        let declared = request.declared();
        let most = match declared {
            // Every second one offers too much.
            Some(declared) if tag.is_multiple_of(2) => len.min(declared - request.pushed),
            _ => len,
        };
        let octets = pattern(stdin_of(tag), request.pushed..request.pushed + most);
        let now = self.network.now();
        match self.engine.write_stdin(now, request.handle, &octets) {
            Ok(taken) if taken <= octets.len() => request.pushed += taken,
            Ok(taken) => return Err(format!("took {taken} of {most}")),
            Err(StdinError::TooLong { .. }) if declared < Some(request.pushed + most) => {}
            // Its End may be on its way.
            Err(StdinError::Gone | StdinError::NotPushed | StdinError::BodyTooLarge { .. }) => {}
            Err(StdinError::Finished) if request.finished => {}
            Err(error) => return Err(format!("tag {tag}: {error}")),
        }
        Ok(())
    }

    fn finish(&mut self, tag: u64) -> Result<(), String> {
        let Some(request) = self.model.requests.get_mut(&tag) else {
            return Ok(());
        };
        match self.engine.finish_stdin(self.network.now(), request.handle) {
            Ok(()) => request.finished = true,
            Err(StdinError::TooShort { .. }) if Some(request.pushed) < request.declared() => {}
            Err(StdinError::Gone | StdinError::NotPushed) => {}
            Err(StdinError::Finished) if request.finished => {}
            Err(error) => return Err(format!("tag {tag}: {error}")),
        }
        Ok(())
    }

    /// One step, and the checks after it.
    fn step(&mut self) -> Result<bool, String> {
        let now = self.network.elapsed();
        if std::mem::replace(&mut self.far.borrow_mut().now, now) != now {
            self.steps = 0;
        }
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err("no end".into());
        }
        let mut result = Ok(());
        let model = &mut self.model;
        let any = self
            .network
            .step(&mut self.engine, &mut |engine, now, event| {
                if result.is_ok() {
                    result = model.event(engine, now, &event);
                }
            });
        result?;
        self.check()?;
        Ok(any)
    }

    fn check(&mut self) -> Result<(), String> {
        let sockets = self.sockets();
        self.model
            .check_state(&self.engine, &sockets, self.network.now())
    }

    fn sockets(&self) -> Vec<usize> {
        let servers = 0..self.plan.servers.len();
        servers.map(|it| self.network.open_sockets(it)).collect()
    }

    /// All that can happen now.
    fn settle(&mut self) -> Result<(), String> {
        while self.step()? {}
        if let Some(connection) = self.network.forgotten(&self.engine) {
            return Err(format!("{connection:?} was forgotten"));
        }
        let sockets = self.sockets().iter().sum();
        let waits = self.network.tally().full_backlogs > 0;
        let now = self.network.now();
        self.model
            .check_rest(&mut self.engine, now, sockets, waits)?;
        let connecting = self.network.longest_connect();
        if self.plan.is_punctual() && connecting > Some(self.plan.config.connect_timeout) {
            return Err(format!("a socket has been connecting for {connecting:?}"));
        }
        Ok(())
    }

    fn advance(&mut self, time: Duration) -> Result<(), String> {
        let until = self.network.now() + time;
        self.settle()?;
        while let Some(next) = self.network.next(&self.engine).filter(|at| *at <= until) {
            self.network.advance_to(next);
            self.settle()?;
        }
        self.network.advance_to(until);
        self.settle()
    }

    /// Lets everything come to its end.
    fn wind_up(&mut self) -> Result<(), String> {
        self.settle()?;
        self.busy = self.network.elapsed();
        self.model.is_winding_up = true;
        let tags: Vec<u64> = self.model.requests.keys().copied().collect();
        for tag in &tags {
            self.resume(*tag);
            let request = &self.model.requests[tag];
            if request.has_ended {
                continue;
            }
            if let Some(declared) = request.declared() {
                self.push(*tag, declared - request.pushed)?;
            }
            self.finish(*tag)?;
            let request = &self.model.requests[tag];
            if request.declared() > Some(request.pushed) {
                // Nobody will push the rest, and no limit is set to a Web server that is slow.
                let handle = request.handle;
                self.engine.abort(self.network.now(), handle);
            }
        }
        self.advance(Duration::from_secs(120))?;
        for (tag, request) in &self.model.requests {
            if !request.has_ended {
                return Err(format!(
                    "tag {tag} does not end, two minutes after all limits"
                ));
            }
        }
        if !self.model.shutting_down {
            self.model.shutting_down = true;
            self.engine.shutdown(self.network.now(), None);
        }
        self.advance(Duration::from_secs(120))?;
        self.model.check_end(&self.engine)
    }

    /// What the run has gone through.
    fn figures(&self) -> Figures {
        let mut figures = Figures::of_a_run(self.busy, self.network.elapsed());
        for (fault, count) in &self.far.borrow().faults {
            figures.add("faults of applications", format!("{fault:?}"), *count);
        }
        for (tag, count) in &self.far.borrow().refused {
            let refusal = self.far.borrow().submits[tag].behaviour.refusal;
            figures.add(
                "faults of applications",
                format!("{refusal:?}"),
                *count as u64,
            );
        }
        let tally = self.network.tally();
        for (name, count) in [
            ("connects refused", tally.refused_connects),
            ("connects that hang", tally.hanging_connects),
            ("connects that are late", tally.late_connects),
            ("full backlogs", tally.full_backlogs),
            ("short reads", tally.short_reads),
            ("short writes", tally.short_writes),
            ("full wires", tally.full_wires),
            ("failed writes", tally.failed_writes),
            ("ends of file", tally.ends - tally.resets),
            ("resets", tally.resets),
            ("breaks at any octet", tally.breaks),
        ] {
            figures.add("faults of the wire", name, count);
        }
        for op in &self.plan.ops {
            let name = match op {
                Op::Submit(_) => "submit",
                Op::GetValues(_) => "get_values",
                Op::Abort(_) => "abort",
                Op::Pause(_) => "pause",
                Op::Resume(_) => "resume",
                Op::Push(..) => "write_stdin",
                Op::Finish(_) => "finish_stdin",
                Op::Limits(_) => "set_limits",
                Op::Shutdown(_) => "shutdown",
                Op::Steps(_) => "steps",
                Op::Advance(_) => "the clock, step by step",
                Op::Jump(_) => "the clock, in a jump",
                Op::Timeout { .. } => "handle_timeout, early",
            };
            figures.add("commands", name, 1);
        }
        let counters = self.engine.stats().counters;
        for (name, count) in [
            ("accepted", counters.submitted),
            ("completed", counters.completed),
            ("failed", counters.failed),
            ("retries", counters.retries),
        ] {
            figures.add("requests", name, count);
        }
        for (reason, count) in counters.closed_by_reason() {
            figures.add("connections closed", format!("{reason:?}"), count);
        }
        for (error, count) in &self.model.errors {
            figures.add("failures", error.clone(), *count);
        }
        figures
    }
}
