//! The virtual network: carries an engine's octets to applications and back, under a virtual clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use super::later::later;
use super::link::{Link, Notice, Server};
use super::rng::Rng;
use super::tally::Tally;
use super::trace::Trace;
use crate::engine::{Action, Engine};
use crate::event::{ConnectionHandle, Event};

/// The driver of an [`Engine`] in a test: what mio, the sockets and the applications are in a program.
///
/// [`Sim`](super::Sim) owns an engine and one of these. Code that has its own engine calls
/// [`advance`](Self::advance), and gives commands before, behind and from within as it likes.
pub struct Network {
    origin: Instant,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) trace: Trace,
    pub(super) tally: Tally,
    pub(super) servers: Vec<Server>,
    pub(super) links: Vec<Option<Box<Link>>>,
    /// Numbers of links, by [`ConnectionHandle::index`].
    pub(super) by_index: Vec<Option<usize>>,
    agenda: BinaryHeap<Reverse<(Instant, u64, Appointment)>>,
    next_appointment: u64,
    ready: VecDeque<usize>,
    /// The engine has been driven.
    has_started: bool,
    is_shuffled: bool,
    pub(super) max_sockets: Option<usize>,
    buffer: Vec<u8>,
    pub(super) octets: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Appointment {
    /// A connect has succeeded, or failed.
    Decided(usize),
    AtApplication(usize),
    AtClient(usize),
    ResetAtClient(usize),
    Wake(usize, usize, u64),
}

/// Reacts to an event; may give commands.
pub type OnEvent<'a> = dyn FnMut(&mut Engine, Instant, Event<'_>) + 'a;

pub(super) const BUFFER_LEN: usize = 64 * 1024;

/// Steps after which a run gives up: a loop without end would be a bug.
pub(super) const MAX_STEPS: u64 = 50_000_000;

impl Network {
    /// A network of so many servers that refuse to be connected to, until told otherwise. `origin` is the
    /// virtual clock's first instant; which one it is changes nothing.
    #[must_use]
    pub fn new(servers: usize, origin: Instant, seed: u64) -> Self {
        Self {
            origin,
            now: origin,
            rng: Rng::new(seed),
            trace: Trace::new(),
            tally: Tally::default(),
            servers: (0..servers).map(|_| Server::nowhere()).collect(),
            links: Vec::new(),
            by_index: Vec::new(),
            agenda: BinaryHeap::new(),
            next_appointment: 0,
            ready: VecDeque::new(),
            has_started: false,
            is_shuffled: false,
            max_sockets: None,
            buffer: vec![0; BUFFER_LEN],
            octets: Vec::new(),
        }
    }

    /// A server, to be set up.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn server(&mut self, index: usize) -> &mut Server {
        &mut self.servers[index]
    }

    /// Lets what can happen at the same instant happen in an order drawn from the seed, between connections
    /// too, instead of always in the same one.
    pub fn shuffle(&mut self) {
        self.is_shuffled = true;
    }

    /// Lets the client have so many sockets at a time, whichever server they lead to; a connect above that is a shortage,
    /// see [`Disconnected::Shortage`](crate::Disconnected::Shortage). `None`: no limit.
    pub fn limit_sockets(&mut self, most: Option<usize>) {
        self.max_sockets = most;
    }

    /// Keeps the trace as lines, see [`trace`](Self::trace).
    pub fn keep_trace(&mut self) {
        self.trace.keep_lines();
    }

    /// The lines of the trace since [`keep_trace`](Self::keep_trace).
    #[must_use]
    pub fn trace(&self) -> &[String] {
        self.trace.lines()
    }

    /// A hash over everything that has happened: equal for equal seeds and calls.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// How often the network has made things hard so far: whether a test has had the faults that it is about.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The virtual time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.origin
    }

    /// Sockets that the client has to a server, connecting ones included.
    #[must_use]
    pub fn open_sockets(&self, server: usize) -> usize {
        self.open_links()
            .filter(|link| link.server == server)
            .count()
    }

    /// How long the oldest of the sockets that are still being connected has been.
    #[must_use]
    pub fn longest_connect(&self) -> Option<Duration> {
        let connecting = self.open_links().filter(|link| !link.is_open);
        connecting.map(|link| self.now - link.since).max()
    }

    /// Since when something has been waiting in the client's socket, bytes or the end, announced or not, counted from
    /// the beginning. Connections are counted from 0 in the order of their connects.
    #[must_use]
    pub fn unread_since(&self, connection: usize) -> Option<Duration> {
        let link = self.links.get(connection)?.as_deref()?;
        let since = link.to_client.waits_since(self.now)?;
        (!link.client_closed).then(|| since - self.origin)
    }

    /// When something happens next: on the wire, in an application, in the engine. `None`: never.
    #[must_use]
    pub fn next(&self, engine: &Engine) -> Option<Instant> {
        let agenda = self.agenda.peek().map(|Reverse((at, _, _))| *at);
        match (agenda, engine.poll_timeout()) {
            (Some(agenda), Some(timeout)) => Some(agenda.min(timeout)),
            (agenda, timeout) => agenda.or(timeout),
        }
    }

    /// Moves the clock on; never back. What was due in between happens late, in the next steps.
    pub fn advance_to(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Lets so much time pass, and all happen that falls into it.
    ///
    /// # Panics
    /// When something goes on happening at one instant without end.
    pub fn advance(&mut self, engine: &mut Engine, time: Duration, on_event: &mut OnEvent<'_>) {
        let until = later(self.now, time);
        self.settle(engine, on_event);
        while let Some(next) = self.next(engine).filter(|at| *at <= until) {
            self.advance_to(next);
            self.settle(engine, on_event);
        }
        self.advance_to(until);
        self.settle(engine, on_event);
    }

    /// Lets everything happen that can happen now.
    ///
    /// # Panics
    /// When it does not end.
    pub fn settle(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) {
        let mut steps = 0;
        while self.step(engine, on_event) {
            steps += 1;
            assert!(steps < MAX_STEPS, "no end at {:?}", self.elapsed());
        }
    }

    /// Does one thing that can be done now: an announcement, a write, a read, a deadline, an event. False when there is
    /// none.
    ///
    /// What arrives is announced in one step and read in a later one. In between come what was announced before and the
    /// engine's outputs, and with [`shuffle`](Self::shuffle) anything else.
    pub fn step(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        if !std::mem::replace(&mut self.has_started, true) {
            // As a program's first turn does, before anything is connected.
            engine.expect_reports();
            engine.handle_timeout(self.now);
        }
        let first = if self.is_shuffled {
            self.rng.below(4)
        } else {
            0
        };
        (0..4).any(|kind| match (first + kind) % 4 {
            0 => self.keep_appointment(engine),
            1 => self.take_output(engine, on_event),
            2 => self.take_turn(engine, on_event),
            _ => {
                let is_due = engine.poll_timeout().is_some_and(|at| at <= self.now);
                if is_due {
                    self.finish_connects(engine);
                    engine.handle_timeout(self.now);
                }
                is_due
            }
        })
    }

    /// A connection that the engine wants to use while nothing was asked of the driver: an action that the engine
    /// forgot. To be called when [`step`](Self::step) is false.
    #[must_use]
    pub fn forgotten(&self, engine: &Engine) -> Option<ConnectionHandle> {
        let forgotten = self.open_links().find(|link| {
            if !link.is_open {
                return false;
            }
            let unasked = !link.flushing && !link.write_failed;
            let unsent = unasked && !engine.transmit(link.handle).is_empty();
            let unread = link.has_input() && engine.wants_read(link.handle) && !link.queued;
            unsent || unread
        });
        forgotten.map(|link| link.handle)
    }

    /// The connections that the client has a socket for.
    pub(super) fn open_links(&self) -> impl Iterator<Item = &Link> {
        let numbers = self.by_index.iter().flatten();
        numbers.filter_map(|number| self.links[*number].as_deref())
    }

    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.note(self.now - self.origin, what);
    }

    pub(super) fn appoint(&mut self, at: Option<Instant>, what: Appointment) {
        if let Some(at) = at {
            self.next_appointment += 1;
            let entry = (at, self.next_appointment, what);
            self.agenda.push(Reverse(entry));
        }
    }

    /// The next appointment, if it is due by then.
    pub(super) fn next_appointment_until(
        &mut self,
        until: Instant,
    ) -> Option<(Instant, Appointment)> {
        let Reverse((at, _, what)) = *self.agenda.peek()?;
        if at > until {
            return None;
        }
        self.agenda.pop();
        Some((at, what))
    }

    fn keep_appointment(&mut self, engine: &mut Engine) -> bool {
        let Some((_, what)) = self.next_appointment_until(self.now) else {
            return false;
        };
        match what {
            Appointment::Decided(number) => {
                self.finish_connect(engine, number);
            }
            Appointment::AtApplication(number) => self.deliver(number),
            Appointment::AtClient(number) => self.announce(engine, number),
            Appointment::ResetAtClient(number) => self.reset_at_client(engine, number),
            Appointment::Wake(server, connection, token) => self.wake(server, connection, token),
        }
        true
    }

    pub(super) fn wake(&mut self, server: usize, connection: usize, token: u64) {
        self.note(format_args!(
            "application {server} wakes, {connection} {token}"
        ));
        self.tell(server, |application, replies| {
            application.woken(connection, token, replies);
        });
    }

    fn take_output(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        if !engine.has_output() {
            return false;
        }
        let len = if self.is_shuffled {
            1 + self.rng.below(BUFFER_LEN as u64) as usize
        } else {
            BUFFER_LEN
        };
        let elapsed = self.now - self.origin;
        if let Some(event) = engine.poll_event(&mut self.buffer[..len]) {
            note_event(&mut self.trace, elapsed, &event);
            on_event(engine, self.now, event);
            return true;
        }
        let Some(action) = engine.poll_action() else {
            return engine.has_output();
        };
        self.note(format_args!("{action:?}"));
        match action {
            Action::Connect { connection, server } => self.connect(engine, connection, server),
            Action::Close { connection, .. } => {
                if let Some(number) = self.number(connection) {
                    self.hang_up(number);
                }
            }
            Action::Flush { connection } => {
                if let Some(number) = self.number(connection)
                    && let Some(link) = &mut self.links[number]
                {
                    link.flushing = true;
                    self.enqueue(number);
                }
            }
            Action::Read { connection } => {
                if let Some(number) = self.number(connection)
                    && let Some(link) = &mut self.links[number]
                {
                    // Perhaps nothing was announced, and something is there all the same.
                    link.readable |= engine.is_unread(connection);
                    self.enqueue(number);
                }
            }
        }
        true
    }

    /// The connection whose turn it is.
    pub(super) fn next_turn(&mut self) -> Option<usize> {
        let place = if self.is_shuffled {
            self.rng.below(self.ready.len() as u64) as usize
        } else {
            0
        };
        self.ready.remove(place)
    }

    /// The client drops a socket.
    pub(super) fn hang_up(&mut self, number: usize) {
        let Some(link) = &mut self.links[number] else {
            return;
        };
        let index = link.handle.index();
        let is_unread = link.to_client.unread_len() > 0;
        self.tally.closed_unread += u64::from(is_unread);
        let arrival = link.hang_up(self.now);
        self.show(number, Notice::Closed);
        if self.by_index[index] == Some(number) {
            self.by_index[index] = None;
        }
        self.appoint(arrival, Appointment::AtApplication(number));
        self.forget_if_over(number);
    }

    pub(super) fn forget_if_over(&mut self, number: usize) {
        if self.links[number]
            .as_ref()
            .is_some_and(|link| link.is_over())
        {
            self.links[number] = None;
        }
    }

    fn number(&self, handle: ConnectionHandle) -> Option<usize> {
        let number = self.by_index.get(handle.index()).copied().flatten()?;
        let link = self.links[number].as_ref()?;
        (link.handle == handle).then_some(number)
    }

    pub(super) fn enqueue(&mut self, number: usize) {
        if let Some(link) = &mut self.links[number]
            && !std::mem::replace(&mut link.queued, true)
        {
            self.ready.push_back(number);
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("elapsed", &self.elapsed())
            .field("servers", &self.servers)
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn note_event(trace: &mut Trace, elapsed: Duration, event: &Event<'_>) {
    match event {
        Event::Stdout { request, data, .. } => {
            trace.octets(data);
            trace.note(
                elapsed,
                format_args!("{request:?}: {} of stdout", data.len()),
            );
        }
        Event::Stderr { request, data, .. } => {
            trace.octets(data);
            trace.note(
                elapsed,
                format_args!("{request:?}: {} of stderr", data.len()),
            );
        }
        other => trace.note(elapsed, format_args!("{other:?}")),
    }
}
