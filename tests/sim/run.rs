//! Carries out a plan, and checks the promises after each step.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio_fcgi::testkit::Network;
use mio_fcgi::testkit::internals::AppStatus;
use mio_fcgi::{Engine, RequestIds, ServerId, SubmitError, Tag};

use crate::far::Far;
use crate::figures::{self, Figures};
use crate::model::Model;
use crate::plan::{BodyKind, Op, Plan, ServerPlan, Submit};
use crate::request::request_of;
use crate::servers::Choice;
use crate::setup::{network_of, set_up};

/// What went wrong, and when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    pub(crate) at: Duration,
    pub(crate) what: String,
    pub(crate) trace: Vec<String>,
}

pub(crate) struct World<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) engine: Engine,
    pub(crate) network: Network,
    pub(crate) model: Model,
    pub(crate) far: Rc<RefCell<Far>>,
    next_probe: u64,
    steps: usize,
    /// The virtual time until the commands were over.
    pub(crate) busy: Duration,
}

/// After this many steps at one instant a run fails, because it seems to have no end.
const MAX_STEPS: usize = 400_000;

/// Runs a plan. Returns the hash of its trace and its figures, or the violation.
pub(crate) fn run(plan: &Plan, keep_trace: bool) -> Result<(u64, Figures), Violation> {
    let mut world = World::new(plan, keep_trace);
    let result = world.carry_out();
    result
        .map(|()| (world.network.trace_hash(), figures::of_a_run(&world)))
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
        let network = network_of(plan, origin, keep_trace);
        far.borrow_mut().always_one = plan.config.request_ids == RequestIds::AlwaysOne;
        far.borrow_mut().stale_window = plan.config.stale_window;
        far.borrow_mut().is_punctual = plan.is_punctual();
        far.borrow_mut().servers.may_be_down = plan.max_sockets.is_some()
            || plan.config.check_interval.is_some()
            || !plan.is_punctual()
            || !plan.servers.iter().all(ServerPlan::is_never_down);
        let limits = plan.config.limits;
        let has_status = |status| {
            let mut servers = plan.servers.iter();
            servers.any(|it| it.quirks.details().app_status == status)
        };
        far.borrow_mut().most_per_connection = limits.max_requests_per_connection;
        let model = Model {
            requests: Default::default(),
            origin,
            is_punctual: plan.is_punctual(),
            limits,
            ceilings: Vec::new(),
            total_ceiling: limits.max_total_connections,
            idle_ceiling: limits.max_idle_per_server,
            queue_ceiling: limits.max_queued_requests,
            has_waited: false,
            has_totals: plan.servers.iter().any(ServerPlan::has_totals),
            is_never_down: plan.is_punctual() && plan.servers.iter().all(ServerPlan::is_never_down),
            opens_more: plan.list.len() > 1
                || plan.servers.iter().any(ServerPlan::has_totals)
                || !plan.servers.iter().all(ServerPlan::connects_in_order)
                || limits.min_idle_per_server > 0
                || plan.config.check_interval.is_some(),
            told: None,
            active: 0,
            timed_out: None,
            has_zero_status: has_status(AppStatus::Zero),
            has_sticky_status: has_status(AppStatus::Sticky),
            probes: 0,
            ended: 0,
            errors: Default::default(),
            last_traffic: Duration::ZERO,
            last_bytes: (0, 0),
            last_abandoned: Duration::ZERO,
            shut_down: false,
            shutting_down: false,
            is_winding_up: false,
            far: Rc::clone(&far),
            system: Default::default(),
        };
        let mut world = Self {
            plan,
            engine: Engine::new(plan.config.clone()).expect("plans draw valid configurations"),
            network,
            model,
            far,
            next_probe: 1_000_000,
            steps: 0,
            busy: Duration::ZERO,
        };
        let listed = world.take_list(&plan.list);
        listed.expect("the engine lists its first servers");
        world
    }

    /// Takes over the list that the engine has now, and sets up the servers that are new.
    fn take_list(&mut self, list: &[Choice]) -> Result<(), String> {
        let (step, before) = (self.far.borrow().step, self.far.borrow().servers.len());
        let mut far = self.far.borrow_mut();
        far.servers
            .set(step, list, &self.engine, self.network.now())?;
        let all = far.servers.len();
        drop(far);
        for number in before..all {
            set_up(&mut self.network, &self.far, self.plan, number);
        }
        let most = self.model.limits.max_connections_per_server;
        self.model.ceilings.resize(all, most);
        Ok(())
    }

    fn carry_out(&mut self) -> Result<(), String> {
        for op in &self.plan.ops {
            self.perform(op)?;
            self.check()?;
        }
        self.wind_up()
    }

    fn perform(&mut self, op: &Op) -> Result<(), String> {
        self.note_step();
        let now = self.network.now();
        match op {
            Op::Submit(submit) => self.submit(submit)?,
            Op::GetValues(server) => {
                let tag = self.next_probe;
                let server = ServerId::new(*server as u32);
                if let Ok(handle) = self.engine.get_values(now, server, Tag(tag)) {
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
                model.opens_more = true;
                model.last_traffic = self.network.elapsed();
                for ceiling in &mut model.ceilings {
                    *ceiling = limits.max_connections_per_server.max(*ceiling);
                }
                model.total_ceiling = limits.max_total_connections.max(model.total_ceiling);
                model.idle_ceiling = limits.max_idle_per_server;
                let requests = self.engine.stats().requests;
                let waiting = requests.queued + requests.buffering;
                model.queue_ceiling = limits.max_queued_requests.max(waiting);
                let most = limits.max_requests_per_connection;
                let mut far = self.far.borrow_mut();
                far.most_per_connection = far.most_per_connection.zip(most).map(|(a, b)| a.max(b));
                drop(far);
                let changed = self.engine.set_limits(now, *limits);
                changed.map_err(|error| error.to_string())?;
            }
            Op::Servers(list) => {
                self.model.opens_more = true;
                self.model.last_traffic = self.network.elapsed();
                self.model.told = None;
                let servers = list.iter().map(|it| it.server()).collect();
                let changed = self.engine.set_servers(now, servers);
                changed.map_err(|error| error.to_string())?;
                self.take_list(list)?;
                // Requests that waited for connections being opened to servers that are gone go on waiting.
                let requests = self.engine.stats().requests;
                let waiting = requests.queued + requests.buffering;
                let model = &mut self.model;
                model.queue_ceiling = model.queue_ceiling.max(waiting);
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
            Op::Next(count) => {
                self.settle()?;
                if let Some(next) = self.network.next(&self.engine) {
                    self.network.advance_to(next);
                }
                for _ in 0..*count {
                    self.step()?;
                }
            }
            Op::Jump(time) => self.network.advance_to(now + *time),
            Op::HoldUp(time) => self.network.hold_up(*time),
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

    fn submit(&mut self, submit: &Submit) -> Result<(), String> {
        let mut request = request_of(submit);
        if let Some(place) = submit.server {
            let mut far = self.far.borrow_mut();
            let server = ServerId::new((place % far.servers.len()) as u32);
            far.servers.named.insert(submit.tag, server);
            request.server = Some(server);
        }
        let failed = self.engine.stats().counters.failed;
        self.far
            .borrow_mut()
            .submits
            .insert(submit.tag, submit.clone());
        let now = self.network.now();
        match self.engine.submit(now, request, Tag(submit.tag)) {
            Ok(handle) => {
                let at = self.network.elapsed();
                self.model.add(submit.tag, handle, Some(submit.clone()), at);
                let mut far = self.far.borrow_mut();
                let step = far.step;
                far.submitted_at.insert(submit.tag, step);
                drop(far);
                // The request that failed may be one whose body has a wrong declared length.
                let is_wrong = matches!(submit.body, BodyKind::Short | BodyKind::Long);
                let is_read_now = is_wrong || self.model.has_wrong_body();
                let far = self.far.borrow();
                let is_over = is_read_now || !far.servers.has_takers();
                drop(far);
                if self.engine.stats().counters.failed > failed && !is_over {
                    return Err(format!("tag {}: accepted, and one has failed", submit.tag));
                }
            }
            Err(refused) => {
                let SubmitError::QueueFull { limit } = refused.error else {
                    return Ok(());
                };
                // The request would have waited.
                self.model.has_waited = true;
                let requests = self.engine.stats().requests;
                if requests.queued + requests.buffering < limit {
                    return Err(format!("refused, the queue is full with {requests:?}"));
                }
            }
        }
        Ok(())
    }

    /// Counts a step that is about to happen.
    fn note_step(&mut self) {
        let mut far = self.far.borrow_mut();
        far.step += 1;
        far.now = self.network.elapsed();
    }

    /// One step, and the checks after it.
    fn step(&mut self) -> Result<bool, String> {
        let now = self.network.elapsed();
        if self.far.borrow().now != now {
            self.steps = 0;
        }
        self.note_step();
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
        self.model.check_shutdown(&self.engine)?;
        self.check()?;
        self.check_timeout()?;
        Ok(any)
    }

    /// Checks that no request has timed out while an answer that arrived earlier was in its socket.
    fn check_timeout(&mut self) -> Result<(), String> {
        let Some((tag, decided)) = self.model.timed_out.take() else {
            return Ok(());
        };
        let far = self.far.borrow();
        if self.plan.reads_little() {
            // After a number of reads the limit counts in any case.
            return Ok(());
        }
        let last = far.carried.get(&tag).and_then(|all| all.last());
        let since = last.and_then(|it| self.network.unread_since(it.connection));
        match since.filter(|since| *since < decided) {
            Some(since) => Err(format!(
                "tag {tag}: timed out at {decided:?}, and since {since:?} something was in its socket"
            )),
            None => Ok(()),
        }
    }

    fn check(&mut self) -> Result<(), String> {
        if let Some(offence) = self.network.offence() {
            return Err(offence.into());
        }
        let sockets = self.sockets();
        let (now, tally) = (self.network.now(), self.network.tally());
        self.model.check_state(&self.engine, &sockets, now, &tally)
    }

    fn sockets(&self) -> Vec<usize> {
        let servers = 0..self.far.borrow().servers.len() as u32;
        servers
            .map(|it| self.network.open_sockets(ServerId::new(it)))
            .collect()
    }

    /// Does everything that can be done now.
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

    /// Lets all requests end, and shuts down.
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
            self.check()?;
            let request = &self.model.requests[tag];
            if request.declared() > Some(request.pushed) {
                // The rest will not be pushed, and no time limit ends such a request.
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
        self.model.check_end(&self.engine, self.network.now())
    }
}
