//! A world: the real engine, its embedder, its driver, and applications. It changes by one input at a time.

use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use mio_fcgi::{Disconnected, Engine, Limits, SubmitError, Tag};

use crate::asked::{Asked, BODY, Excuses, Kind};
use crate::driver::ends_with_a_stream_end;
use crate::input::{Budget, Input};
use crate::link::{Link, Stage};
use crate::setup::Setup;

/// What is wrong, or nothing.
pub(crate) type Check = Result<(), String>;

pub(crate) struct World {
    pub(crate) setup: &'static Setup,
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) links: Vec<Link>,
    pub(crate) requests: Vec<Asked>,
    pub(crate) left: Budget,
    pub(crate) limits: Limits,
    /// The most connections in all and to each server, and the most waiting requests: more than the limits while those
    /// above a lowered limit are still there.
    pub(crate) ceilings: Ceilings,
    pub(crate) is_stopping: bool,
    pub(crate) has_refused: bool,
    has_ticked: bool,
    has_late: bool,
    has_new_limits: bool,
}

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Ceilings {
    pub(crate) total: usize,
    pub(crate) per_server: [usize; 2],
    pub(crate) queue: usize,
}

impl World {
    pub(crate) fn new(setup: &'static Setup) -> Self {
        let config = (setup.config)();
        let limits = config.limits;
        Self {
            setup,
            limits,
            engine: Engine::new(config).expect("a valid setup"),
            now: Instant::now(),
            links: Vec::new(),
            requests: Vec::new(),
            left: setup.budget,
            ceilings: Ceilings {
                total: limits.max_total_connections,
                per_server: [limits.max_connections_per_server; 2],
                queue: limits.max_queued_requests,
            },
            is_stopping: false,
            has_refused: false,
            has_ticked: false,
            has_late: false,
            has_new_limits: false,
        }
    }

    /// Gives inputs. What a shorter list of them has led to was checked before.
    pub(crate) fn replay(&mut self, inputs: &[Input]) -> Check {
        for input in inputs {
            self.apply(*input)?;
            if !self.setup.limits.is_empty() {
                // Lowered limits: what is above them may stay, and no more may come.
                self.check(Some(*input))?;
            }
        }
        self.check(inputs.last().copied())
    }

    pub(crate) fn excuses(&self) -> Excuses {
        let config = self.engine.config();
        Excuses {
            now: self.now,
            is_stopping: self.is_stopping,
            has_refused: self.has_refused,
            has_ticked: self.has_ticked,
            has_late: self.has_late,
            has_new_limits: self.has_new_limits,
            timeouts: config.timeouts,
        }
    }

    /// The inputs that make sense now, apart from what is left of the budget.
    pub(crate) fn possible(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        if self.requests.len() < self.setup.requests.len() && !self.is_stopping {
            inputs.push(Input::Submit);
        }
        for (place, asked) in self.requests.iter().enumerate() {
            if asked.has_ended {
                continue;
            }
            inputs.push(Input::Abort(place));
            inputs.push(match asked.is_paused {
                true => Input::Resume(place),
                false => Input::Pause(place),
            });
            if !asked.is_finished {
                inputs.push(Input::Finish(place));
            }
        }
        for (place, limits) in self.setup.limits.iter().enumerate() {
            if limits(self.limits) != self.limits {
                inputs.push(Input::Limits(place));
            }
        }
        if !self.is_stopping {
            inputs.push(Input::Shutdown);
        }
        for place in 0..self.links.len() {
            self.possible_on(place, &mut inputs);
        }
        match self.engine.timeout(self.now) {
            Some(Duration::ZERO) => inputs.push(Input::Timeout),
            Some(_) => inputs.push(Input::Tick),
            None => {}
        }
        inputs
    }

    fn possible_on(&self, place: usize, inputs: &mut Vec<Input>) {
        let link = &self.links[place];
        match link.stage {
            Stage::Connecting => {
                inputs.push(Input::Connected(place));
                inputs.push(Input::Refused(place));
                inputs.push(Input::BacklogFull(place));
            }
            Stage::Waiting => {}
            Stage::Open => {
                if link.flushes && self.engine.wants_write(link.handle) {
                    inputs.push(Input::Write(place));
                    if ends_with_a_stream_end(&self.unsent(link.handle)) {
                        inputs.push(Input::WritePart(place));
                    }
                }
                if link.has_news {
                    inputs.push(Input::Announce(place));
                }
                if link.reads {
                    inputs.push(Input::Read(place));
                }
            }
        }
        if link.is_alive() {
            for exchange in link.carried() {
                let Some(request) = exchange.request else {
                    continue;
                };
                inputs.push(Input::End(request));
                inputs.push(Input::EndAndLate(request));
                if !exchange.is_aborted {
                    inputs.push(Input::Output(request));
                    if self.requests[request].outputs() == 0 {
                        inputs.push(Input::Overloaded(request));
                    }
                }
            }
            if link.has_late() {
                inputs.push(Input::Late(place));
            }
            inputs.push(Input::Close(place));
            inputs.push(Input::Reset(place));
        }
    }

    /// The inputs of the search.
    pub(crate) fn inputs(&mut self) -> Vec<Input> {
        let mut inputs = self.possible();
        inputs.retain(|input| self.left.of(*input).is_none_or(|left| *left > 0));
        inputs
    }

    /// Gives an input, takes all outputs, and checks what came.
    pub(crate) fn apply(&mut self, input: Input) -> Check {
        if let Some(left) = self.left.of(input) {
            *left = left.saturating_sub(1);
        }
        self.give(input)?;
        self.take_outputs()?;
        for link in &mut self.links {
            // The driver takes note of no edge of a socket that it may not read: the engine asks for that read later.
            link.reads &= self.engine.wants_read(link.handle);
        }
        Ok(())
    }

    fn give(&mut self, input: Input) -> Check {
        let now = self.now;
        match input {
            Input::Submit => return self.submit(),
            Input::Abort(place) => {
                self.requests[place].abort();
                self.engine.abort(now, self.requests[place].handle);
            }
            Input::Pause(place) => {
                self.requests[place].is_paused = true;
                self.engine.pause(now, self.requests[place].handle);
            }
            Input::Resume(place) => {
                self.requests[place].resume(now);
                self.engine.resume(now, self.requests[place].handle);
            }
            Input::Finish(place) => {
                let asked = &mut self.requests[place];
                asked.is_finished = true;
                let taken = self.engine.write_stdin(now, asked.handle, BODY);
                let finished = self.engine.finish_stdin(now, asked.handle);
                if (taken, finished) != (Ok(BODY.len()), Ok(())) {
                    return Err("the body is not taken".into());
                }
            }
            Input::Limits(place) => self.set_limits(place),
            Input::Shutdown => {
                self.is_stopping = true;
                let deadline = self.setup.shutdown_within.map(|within| now + within);
                self.engine.shutdown(now, deadline);
            }
            Input::Connected(place) => {
                self.links[place].stage = Stage::Open;
                let handle = self.links[place].handle;
                self.engine.handle_connected(now, handle);
            }
            Input::Refused(place) => {
                self.has_refused = true;
                let link = self.links.remove(place);
                let why = Disconnected::ConnectFailed(std::io::ErrorKind::ConnectionRefused);
                self.engine.handle_closed(now, link.handle, why);
            }
            Input::BacklogFull(place) => {
                self.has_refused = true;
                self.links[place].stage = Stage::Waiting;
                let handle = self.links[place].handle;
                self.engine
                    .handle_closed(now, handle, Disconnected::BacklogFull);
            }
            Input::Announce(place) => {
                let link = &mut self.links[place];
                (link.has_news, link.is_unread, link.reads) = (false, true, true);
                if link.end.is_some() {
                    link.end_is_known = true;
                    self.engine.handle_read_closed(now, link.handle);
                } else {
                    self.engine.handle_readable(now, link.handle);
                }
            }
            Input::Write(place) => return self.write(place, 0),
            Input::WritePart(place) => return self.write(place, 8),
            Input::Read(place) => return self.read(place),
            Input::Tick => {
                self.has_ticked = true;
                self.now = self.engine.deadline(now).unwrap_or(now);
            }
            Input::Timeout => {
                self.engine.handle_timeout(now);
                if self.engine.timeout(now) == Some(Duration::ZERO) {
                    return Err("what is due is due again at once".into());
                }
            }
            Input::Output(_)
            | Input::End(_)
            | Input::EndAndLate(_)
            | Input::Late(_)
            | Input::Overloaded(_)
            | Input::Close(_)
            | Input::Reset(_) => self.act(input),
        }
        Ok(())
    }

    /// The application does something. The engine learns nothing of it yet.
    fn act(&mut self, input: Input) {
        match input {
            Input::Output(request) => {
                let at = self.requests[request].outputs();
                self.requests[request].note_app_output();
                self.with_link_of(request, |link| link.send_output(request, at));
            }
            Input::End(request) => {
                self.requests[request].note_app_end();
                self.with_link_of(request, |link| link.send_end(request, false));
            }
            Input::EndAndLate(request) => {
                self.has_late = true;
                self.requests[request].note_app_end();
                self.with_link_of(request, |link| link.send_end(request, true));
            }
            Input::Overloaded(request) => {
                self.requests[request].note_rejected();
                self.with_link_of(request, |link| link.send_overloaded(request));
            }
            Input::Late(place) => {
                self.has_late = true;
                self.links[place].send_late();
            }
            Input::Close(place) => self.end_link(place, Disconnected::Eof),
            Input::Reset(place) => {
                let why = Disconnected::Failed(std::io::ErrorKind::ConnectionReset);
                self.end_link(place, why);
            }
            _ => {}
        }
    }

    fn end_link(&mut self, place: usize, why: Disconnected) {
        self.links[place].send_last(why);
        let carried: Vec<_> = self.links[place]
            .carried()
            .filter_map(|it| it.request)
            .collect();
        for request in carried {
            self.requests[request].note_lost();
        }
    }

    fn with_link_of(&mut self, request: usize, act: impl FnOnce(&mut Link)) {
        let alive = self.links.iter_mut().filter(|link| link.is_alive());
        if let Some(link) = alive
            .rev()
            .find_map(|link| link.exchange(request).is_some().then_some(link))
        {
            act(link);
        }
    }

    fn submit(&mut self) -> Check {
        let number = self.requests.len();
        let kind: Kind = self.setup.requests[number];
        let tag = Tag(number as u64);
        match self.engine.submit(self.now, kind.request(number), tag) {
            Ok(handle) if self.is_stopping => Err(format!("{handle:?} is accepted after shutdown")),
            Ok(handle) => {
                let asked = Asked::new(number, kind, handle, self.now);
                self.requests.push(asked);
                Ok(())
            }
            Err(refused) => {
                let SubmitError::QueueFull { limit } = refused.error else {
                    return Err(refused.to_string());
                };
                let gauges = self.engine.stats().requests;
                match gauges.queued + gauges.buffering >= limit {
                    true => Ok(()),
                    false => Err(format!("refused, and {} of {limit} wait", gauges.queued)),
                }
            }
        }
    }

    fn set_limits(&mut self, place: usize) {
        self.has_new_limits = true;
        let limits = (self.setup.limits[place])(self.limits);
        self.limits = limits;
        let ceilings = &mut self.ceilings;
        ceilings.total = ceilings.total.max(limits.max_total_connections);
        for most in &mut ceilings.per_server {
            *most = (*most).max(limits.max_connections_per_server);
        }
        let gauges = self.engine.stats().requests;
        let waiting = gauges.queued + gauges.buffering;
        ceilings.queue = waiting.max(limits.max_queued_requests);
        let changed = self.engine.set_limits(self.now, limits);
        changed.expect("the setup has valid limits");
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.links, &self.requests, self.left, self.ceilings).hash(hasher);
        let flags = [
            self.is_stopping,
            self.has_refused,
            self.has_ticked,
            self.has_late,
            self.has_new_limits,
        ];
        flags.hash(hasher);
    }
}
