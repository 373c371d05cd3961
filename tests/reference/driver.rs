//! Runs a world on the real engine, one random step after the other, and writes down every byte, command and event.

use std::io::{Cursor, ErrorKind};
use std::time::{Duration, Instant};

use mio_fcgi::wire::Role;
use mio_fcgi::{
    Action, Body, ConnectionHandle, Disconnected, Engine, Event, EventKind, Request, StdinError,
    SubmitError, Tag,
};

use crate::application::{Application, End};
use crate::log::{Asked, Content, Log, Source, Tick};
use crate::reference::{self, Ending};
use crate::rng::Rng;
use crate::world::World;

pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) logs: Vec<Log>,
    /// Whether a connect has failed.
    pub(crate) was_refused: bool,
    engine: Engine,
    rng: Rng,
    start: Instant,
    time: Duration,
    tick: Tick,
    sockets: Vec<Socket>,
    next: usize,
}

struct Socket {
    handle: ConnectionHandle,
    log: usize,
    is_connected: bool,
    application: Application,
    /// What the application has sent and the engine has not taken.
    inbound: Vec<u8>,
    end: Option<Disconnected>,
}

type Verdict = Result<(), String>;

impl Run {
    pub(crate) fn new(world: World, rng: Rng, start: Instant) -> Self {
        let engine = Engine::new(world.config.clone()).expect("settings that are valid");
        Self {
            world,
            logs: Vec::new(),
            was_refused: false,
            engine,
            rng,
            start,
            time: Duration::ZERO,
            tick: 0,
            sockets: Vec::new(),
            next: 0,
        }
    }

    /// Runs until every request has ended and every connection is closed.
    ///
    /// # Errors
    /// What the engine did that no reference is needed to see: it stops, or tells a request more after its end.
    pub(crate) fn run(&mut self) -> Verdict {
        let (mut jumps, mut rescues, mut is_shutting_down) = (0, 0, false);
        loop {
            if self.round(false)? || self.round(true)? {
                continue;
            }
            if self.next < self.world.requests.len() {
                self.submit();
            } else if self.resume_all() {
            } else if let Some(deadline) = self.engine.deadline(self.now()).filter(|_| jumps < 200)
            {
                jumps += 1;
                self.time = self.time.max(deadline - self.start);
                self.engine.handle_timeout(self.now());
            } else if self.world.requests.iter().any(Asked::is_pending) {
                self.is_blameless()?;
                rescues += 1;
                if rescues > 20 {
                    return Err("a request never ends".to_owned());
                }
                self.give_up();
            } else if !is_shutting_down {
                is_shutting_down = true;
                self.engine.shutdown(self.now(), None);
            } else {
                break;
            }
        }
        match self.engine.is_idle() && self.engine.is_shut_down() && self.sockets.is_empty() {
            true => Ok(()),
            false => Err("something is left after the shutdown".to_owned()),
        }
    }

    fn now(&self) -> Instant {
        self.start + self.time
    }

    fn tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }

    /// Whether something happens in this round: to everything that can move, or to some of it.
    fn happens(&mut self, is_eager: bool) -> bool {
        is_eager || self.rng.chance(60)
    }

    /// Gives everything a turn. Returns whether something moved.
    fn round(&mut self, is_eager: bool) -> Result<bool, String> {
        let mut has_moved = self.actions();
        let handles: Vec<_> = self.sockets.iter().map(|socket| socket.handle).collect();
        for handle in handles {
            for step in [Self::write, Self::act, Self::read] {
                let is_it = |socket: &Socket| socket.handle == handle;
                if let Some(at) = self.sockets.iter().position(is_it)
                    && self.happens(is_eager)
                {
                    has_moved |= step(self, at, is_eager)?;
                }
            }
        }
        for at in 0..self.next {
            has_moved |= self.happens(is_eager) && self.push(at);
        }
        if self.next < self.world.requests.len() && self.rng.chance(30) {
            self.submit();
            has_moved = true;
        }
        self.whim();
        if self.happens(is_eager) {
            let mut scratch = vec![0; self.rng.within(1, 1_000)];
            while let Some(event) = self.engine.poll_pending(&mut scratch) {
                let event = event.into_owned();
                self.note(event)?;
                has_moved = true;
                self.whim();
            }
        }
        Ok(has_moved | self.actions())
    }

    fn actions(&mut self) -> bool {
        let mut has_moved = false;
        while let Some(action) = self.engine.poll_action() {
            has_moved = true;
            match action {
                Action::Connect { connection, .. } if self.rng.chance(self.world.refusals) => {
                    self.was_refused = true;
                    let refused = Disconnected::ConnectFailed(ErrorKind::ConnectionRefused);
                    self.engine.handle_closed(self.now(), connection, refused);
                }
                Action::Connect { connection, server } => {
                    let log = self.logs.len();
                    self.logs.push(Log::new(server));
                    let (application, inbound) = (Application::default(), Vec::new());
                    self.sockets.push(Socket {
                        handle: connection,
                        log,
                        is_connected: false,
                        application,
                        inbound,
                        end: None,
                    });
                }
                Action::Close { connection, reason } => {
                    if let Some(at) = self
                        .sockets
                        .iter()
                        .position(|socket| socket.handle == connection)
                    {
                        let (tick, log) = (self.tick(), self.sockets.remove(at).log);
                        self.logs[log].closed = Some((tick, reason));
                    }
                }
                _ => {} // `Flush` and `Read`: every connection has its turns.
            }
        }
        has_moved
    }

    fn write(&mut self, at: usize, is_eager: bool) -> Result<bool, String> {
        let (now, tick) = (self.now(), self.tick());
        let socket = &mut self.sockets[at];
        if !socket.is_connected {
            socket.is_connected = true;
            self.engine.handle_connected(now, socket.handle);
            return Ok(true);
        }
        // After the application has gone, a write may fail or disappear in the system's buffers.
        let fails = socket.end.is_some() && self.rng.chance(50);
        if self.engine.reads_first(socket.handle) || fails {
            return Ok(false);
        }
        let most = if is_eager {
            usize::MAX
        } else {
            self.rng.within(1, self.world.piece)
        };
        let log = &mut self.logs[socket.log];
        let before = log.out.len();
        for slice in self.engine.transmit(socket.handle).iter() {
            let room = most - (log.out.len() - before);
            log.out.extend(&slice[..slice.len().min(room)]);
        }
        let len = log.out.len() - before;
        if len > 0 {
            log.mark(tick, self.time);
            self.engine.handle_transmitted(now, socket.handle, len);
        }
        Ok(len > 0)
    }

    fn act(&mut self, at: usize, _: bool) -> Result<bool, String> {
        let now = self.now();
        let socket = &mut self.sockets[at];
        if socket.end.is_some() {
            return Ok(false);
        }
        let sent = socket
            .application
            .act(&self.logs[socket.log], &self.world, &mut self.rng);
        socket.inbound.extend(&sent);
        if !sent.is_empty() {
            self.engine.handle_readable(now, socket.handle);
        }
        socket.end = match socket.application.ends {
            None => None,
            Some(End::Close) => Some(Disconnected::Eof),
            Some(End::Reset) => {
                let kept = self.rng.within(0, socket.inbound.len());
                socket.inbound.truncate(kept);
                Some(Disconnected::Failed(ErrorKind::ConnectionReset))
            }
        };
        if socket.end.is_some() {
            self.engine.handle_read_closed(now, socket.handle);
        }
        Ok(!sent.is_empty() || socket.end.is_some())
    }

    fn read(&mut self, at: usize, is_eager: bool) -> Result<bool, String> {
        let now = self.now();
        let socket = &mut self.sockets[at];
        let (handle, log) = (socket.handle, socket.log);
        if !socket.is_connected
            || !(self.engine.wants_read(handle) || self.engine.reads_first(handle))
        {
            return Ok(false);
        }
        if socket.inbound.is_empty() {
            let Some(why) = socket.end else {
                self.engine.handle_drained(now, handle);
                return Ok(false);
            };
            self.sockets.remove(at);
            let tick = self.tick();
            self.logs[log].lost = Some((tick, why, self.time));
            self.engine.handle_closed(now, handle, why);
            return Ok(true);
        }
        let most = if is_eager {
            usize::MAX
        } else {
            self.rng.within(1, self.world.piece)
        };
        let piece: Vec<u8> = socket
            .inbound
            .drain(..most.min(socket.inbound.len()))
            .collect();
        let is_empty = socket.inbound.is_empty() && socket.end.is_none();
        match is_empty && self.rng.chance(50) {
            true => self.engine.handle_short_read(now, handle),
            false => self.engine.handle_readable(now, handle),
        }
        let mut input = &piece[..];
        loop {
            let before = input;
            let event = self
                .engine
                .poll_received(now, handle, &mut input)
                .map(Event::into_owned);
            let tick = self.tick();
            self.logs[log]
                .input
                .extend(&before[..before.len() - input.len()]);
            self.logs[log].mark(tick, self.time);
            let Some(event) = event else { break };
            self.note(event)?;
            self.whim();
        }
        if !input.is_empty() {
            return Err("the engine leaves bytes that it was given".to_owned());
        }
        if is_empty {
            self.engine.handle_drained(now, handle);
        }
        Ok(true)
    }

    fn note(&mut self, event: Event<Vec<u8>>) -> Verdict {
        let tick = self.tick();
        let Some(asked) = self
            .world
            .requests
            .iter_mut()
            .find(|it| it.tag == event.tag.0)
        else {
            return Err("an event with a tag that nobody gave".to_owned());
        };
        if asked.handle != Some(event.request) {
            return Err(format!(
                "request {}: an event with another handle",
                asked.tag
            ));
        }
        if asked.has_ended() {
            return Err(format!("request {}: an event after its end", asked.tag));
        }
        if asked.is_paused && matches!(event.kind, EventKind::Stdout(_) | EventKind::Stderr(_)) {
            return Err(format!("request {}: output while it is paused", asked.tag));
        }
        asked.events.push((tick, event.kind));
        Ok(())
    }

    fn submit(&mut self) {
        let asked = &self.world.requests[self.next];
        let role = [Role::Responder, Role::Authorizer, Role::Filter][usize::from(asked.role) - 1];
        let mut request = Request::new(role)
            .with_retry(asked.retry)
            .with_body(body(&asked.body))
            .with_data(body(&asked.data));
        for (name, value) in &asked.pairs {
            request.params.push(name, value);
        }
        let result = self.engine.submit(self.now(), request, Tag(asked.tag));
        let tick = self.tick();
        let asked = &mut self.world.requests[self.next];
        asked.submitted = tick;
        match result {
            Ok(handle) => asked.handle = Some(handle),
            Err(refused) => asked.refused = Some(SubmitError::from(refused)),
        }
        self.next += 1;
    }

    /// Writes some of a pushed body, or ends it. Returns whether anything was taken.
    fn push(&mut self, at: usize) -> bool {
        let now = self.now();
        let asked = &mut self.world.requests[at];
        let Some(handle) = asked.handle.filter(|_| {
            asked.body.source == Source::Pushed && asked.is_pending() && !asked.finished
        }) else {
            return false;
        };
        let rest = &asked.body.bytes[asked.pushed..];
        if !rest.is_empty() {
            let offered = &rest[..self.rng.within(1, rest.len())];
            let taken = match self.engine.write_stdin(now, handle, offered) {
                Ok(taken) => taken,
                Err(StdinError::BodyTooLarge { .. }) => {
                    self.abort(at);
                    return true;
                }
                Err(_) => 0, // It has ended, and the event is still to be taken.
            };
            self.world.requests[at].pushed += taken;
            return taken > 0;
        }
        asked.finished = true;
        // The verdict about what this returns is in the outcome.
        let _ = self.engine.finish_stdin(now, handle);
        true
    }

    /// Aborts, pauses or resumes a request, perhaps.
    fn whim(&mut self) {
        if self.next == 0 || !self.rng.chance(self.world.whims) {
            return;
        }
        let (at, now) = (self.rng.below(self.next), self.now());
        let Some(handle) = self.world.requests[at].handle else {
            return;
        };
        match self.rng.below(4) {
            0 => self.abort(at),
            1 | 2 if self.world.requests[at].is_pending() => {
                self.engine.pause(now, handle);
                let asked = &mut self.world.requests[at];
                (asked.is_paused, asked.was_paused) = (true, true);
            }
            _ => {
                self.engine.resume(now, handle);
                self.world.requests[at].is_paused = false;
            }
        }
    }

    fn abort(&mut self, at: usize) {
        let (now, tick) = (self.now(), self.tick());
        let asked = &mut self.world.requests[at];
        if let Some(handle) = asked.handle {
            self.engine.abort(now, handle);
            if asked.is_pending() {
                asked.aborted.get_or_insert(tick);
            }
        }
    }

    fn resume_all(&mut self) -> bool {
        let now = self.now();
        let mut has_resumed = false;
        for asked in self.world.requests.iter_mut().filter(|it| it.is_paused) {
            asked.is_paused = false;
            if let (Some(handle), true) = (asked.handle, asked.is_pending()) {
                self.engine.resume(now, handle);
                has_resumed = true;
            }
        }
        has_resumed
    }

    /// Ends what the applications leave open: by aborts, or by lost connections.
    fn give_up(&mut self) {
        if self.rng.chance(50) {
            (0..self.next).for_each(|at| self.abort(at));
            return;
        }
        let now = self.now();
        for socket in self.sockets.iter_mut().filter(|it| it.end.is_none()) {
            socket.end = Some(Disconnected::Eof);
            self.engine.handle_read_closed(now, socket.handle);
        }
    }

    /// Checks, when nothing moves, that the applications are why.
    fn is_blameless(&self) -> Verdict {
        if self.sockets.is_empty() {
            return Err("a request waits, and no connection is opened for it".to_owned());
        }
        for socket in self.sockets.iter().filter(|it| it.end.is_none()) {
            for attempt in reference::read(socket.log, &self.logs[socket.log], &[])?.attempts {
                let asked = self
                    .world
                    .requests
                    .iter()
                    .find(|it| Some(it.tag) == attempt.tag);
                // Also of a request that the application has ended before, if the connection stays.
                let is_over = matches!(attempt.ending, Ending::End { .. });
                let is_due = asked.is_none_or(Asked::is_pending) || is_over;
                if is_due && attempt.aborted.is_none() && !attempt.is_sent() {
                    return Err(format!("request {:?} is not sent to its end", attempt.tag));
                }
            }
        }
        Ok(())
    }
}

fn body(content: &Content) -> Body {
    let (bytes, len) = (content.bytes.clone(), content.len.map(|len| len as u64));
    match content.source {
        Source::None => Body::empty(),
        Source::Bytes => Body::bytes(bytes),
        Source::Shared => Body::shared(bytes.into()),
        Source::Reader => Body::reader(Cursor::new(bytes), len),
        Source::Seekable => Body::seekable(Cursor::new(bytes), len),
        Source::Pushed => Body::pushed(len),
    }
}
