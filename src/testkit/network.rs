//! The virtual network: carries an engine's octets to applications and back, under a virtual clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::later::later;
use super::link::{Link, Server};
use super::rng::Rng;
use super::tally::Tally;
use super::trace::Trace;
use super::wire::End;
use crate::engine::{Action, Disconnected, Engine};
use crate::event::{ConnectionHandle, Event};

/// The driver of an [`Engine`] in a test: what mio, the sockets and the applications are in a program.
///
/// [`Sim`](super::Sim) owns an engine and one of these. Code that has its own engine calls
/// [`advance`](Self::advance), and gives commands before, behind and from within as it likes.
pub struct Network {
    origin: Instant,
    pub(super) now: Instant,
    rng: Rng,
    trace: Trace,
    pub(super) tally: Tally,
    pub(super) servers: Vec<Server>,
    pub(super) links: Vec<Option<Box<Link>>>,
    /// Numbers of links, by [`ConnectionHandle::index`].
    pub(super) by_index: Vec<Option<usize>>,
    agenda: BinaryHeap<Reverse<(Instant, u64, Appointment)>>,
    next_appointment: u64,
    ready: VecDeque<usize>,
    is_shuffled: bool,
    buffer: Vec<u8>,
    octets: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Appointment {
    Connected(usize),
    Refused(usize, io::ErrorKind),
    AtApplication(usize),
    AtClient(usize),
    Wake(usize, usize, u64),
}

/// Reacts to an event; may give commands.
pub type OnEvent<'a> = dyn FnMut(&mut Engine, Instant, Event<'_>) + 'a;

const BUFFER_LEN: usize = 64 * 1024;

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
            is_shuffled: false,
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

    /// Does one thing that can be done now: an arrival, a write, a read, a deadline, an event. False when there is
    /// none.
    pub fn step(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
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
    fn open_links(&self) -> impl Iterator<Item = &Link> {
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

    fn keep_appointment(&mut self, engine: &mut Engine) -> bool {
        let due = matches!(self.agenda.peek(), Some(Reverse((at, _, _))) if *at <= self.now);
        let Some(Reverse((_, _, what))) = due.then(|| self.agenda.pop()).flatten() else {
            return false;
        };
        match what {
            Appointment::Connected(number) => self.connected(engine, number),
            Appointment::Refused(number, kind) => self.refused(engine, number, kind),
            Appointment::AtApplication(number) => self.deliver(number),
            Appointment::AtClient(number) => {
                if let Some(link) = &mut self.links[number]
                    && link.to_client.arrive(self.now)
                {
                    self.enqueue(number);
                }
            }
            Appointment::Wake(server, connection, token) => {
                self.note(format_args!(
                    "application {server} wakes, {connection} {token}"
                ));
                self.tell(server, |application, replies| {
                    application.woken(connection, token, replies);
                });
            }
        }
        true
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
                if let Some(number) = self.number(connection) {
                    self.enqueue(number);
                }
            }
        }
        true
    }

    /// The next ready connection writes, or reads once.
    fn take_turn(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        let place = if self.is_shuffled {
            self.rng.below(self.ready.len() as u64) as usize
        } else {
            0
        };
        let Some(number) = self.ready.remove(place) else {
            return false;
        };
        let Some(link) = &mut self.links[number] else {
            return true;
        };
        link.queued = false;
        if link.client_closed || !link.is_open {
            return true;
        }
        let has_written = link.flushing && self.write(engine, number);
        let Some(link) = &self.links[number] else {
            return true;
        };
        if !link.has_input() || !engine.wants_read(link.handle) {
            if has_written {
                self.enqueue(number);
            }
            return true;
        }
        if has_written {
            self.enqueue(number);
        } else {
            self.read(engine, number, on_event);
        }
        true
    }

    /// True when something was taken and more may be.
    fn write(&mut self, engine: &mut Engine, number: usize) -> bool {
        let Some(link) = &mut self.links[number] else {
            return false;
        };
        let slices = engine.transmit(link.handle);
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if offered == 0 || link.application_closed {
            if offered > 0 && !std::mem::replace(&mut link.write_failed, true) {
                self.tally.failed_writes += 1;
            }
            link.flushing = false;
            return false;
        }
        let room = link.to_application.room().min(offered);
        if room == 0 {
            self.tally.full_wires += 1;
            return false;
        }
        let len = link.wire.writes.cut(room, &mut self.rng);
        self.tally.short_writes += u64::from(len < offered);
        let mut octets = Vec::with_capacity(len);
        for slice in slices.iter() {
            let missing = len - octets.len();
            octets.extend_from_slice(&slice[..slice.len().min(missing)]);
        }
        let handle = link.handle;
        self.trace.octets(&octets);
        if let Some(tap) = &mut self.servers[link.server].tap {
            tap(number, &octets);
        }
        let arrival = link.to_application.send(self.now, octets);
        self.note(format_args!(
            "connection {number} takes {len} of {offered} octets"
        ));
        self.appoint(arrival, Appointment::AtApplication(number));
        engine.handle_transmitted(self.now, handle, len);
        true
    }

    fn read(&mut self, engine: &mut Engine, number: usize, on_event: &mut OnEvent<'_>) {
        let Some(link) = &mut self.links[number] else {
            return;
        };
        let handle = link.handle;
        if let Some(end) = link.to_client.ended() {
            self.tally.ends += 1;
            self.tally.resets += u64::from(end == End::Reset);
            let why = match end {
                End::Fin => Disconnected::Eof,
                End::Reset => Disconnected::Failed(io::ErrorKind::ConnectionReset),
            };
            self.note(format_args!("connection {number} has ended, {why:?}"));
            self.hang_up(number);
            engine.handle_closed(self.now, handle, why);
            return;
        }
        let available = link.to_client.unread_len().min(BUFFER_LEN);
        let len = link.wire.reads.cut(available, &mut self.rng);
        self.tally.short_reads += u64::from(len < available);
        let mut octets = std::mem::take(&mut self.octets);
        octets.clear();
        let arrival = link.to_client.read(self.now, len, &mut octets);
        self.appoint(arrival, Appointment::AtClient(number));
        self.trace.octets(&octets);
        self.note(format_args!("connection {number} brings {len} octets"));
        let elapsed = self.now - self.origin;
        let mut input = &octets[..];
        while let Some(event) = engine.poll_received(self.now, handle, &mut input) {
            note_event(&mut self.trace, elapsed, &event);
            on_event(engine, self.now, event);
        }
        self.octets = octets;
        if self.links[number]
            .as_ref()
            .is_some_and(|link| link.has_input())
        {
            self.enqueue(number);
        }
    }

    /// The client drops a socket.
    pub(super) fn hang_up(&mut self, number: usize) {
        let Some(link) = &mut self.links[number] else {
            return;
        };
        let index = link.handle.index();
        let arrival = link.hang_up(self.now);
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

fn note_event(trace: &mut Trace, elapsed: Duration, event: &Event<'_>) {
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
