//! The virtual network: carries an engine's bytes to applications and back, under a virtual clock.

use std::fmt;
use std::time::{Duration, Instant};

use super::client_side::{ClientSide, OnEvent};
use super::later::later;
use super::medium::Medium;
use super::server::Server;
use super::tally::Tally;
use crate::engine::Engine;
use crate::event::ConnectionHandle;

/// The driver of an [`Engine`] in a test: what mio, the sockets and the applications are in a program.
///
/// [`Sim`](super::Sim) owns an engine and one of these. Code that has its own engine calls
/// [`advance`](Self::advance), and gives commands before, behind and from within as it likes.
pub struct Network {
    client: ClientSide,
    /// The engine has been driven.
    has_started: bool,
}

/// Steps after which a run gives up: a loop without end would be a bug.
pub(super) const MAX_STEPS: u64 = 50_000_000;

impl Network {
    /// A network of so many servers that refuse to be connected to, until told otherwise. `origin` is the
    /// virtual clock's first instant; which one it is changes nothing.
    #[must_use]
    pub fn new(servers: usize, origin: Instant, seed: u64) -> Self {
        Self {
            client: ClientSide::new(servers, origin, seed),
            has_started: false,
        }
    }

    /// A server, to be set up.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn server(&mut self, index: usize) -> &mut Server {
        self.client.side_mut().server_mut(index)
    }

    /// Lets what can happen at the same instant happen in an order drawn from the seed, between connections
    /// too, instead of always in the same one.
    #[doc(hidden)]
    pub fn shuffle(&mut self) {
        self.client.shuffle();
    }

    /// Lets the client have so many sockets at a time, whichever server they lead to; a connect above that is a shortage,
    /// see [`Disconnected::Shortage`](crate::Disconnected::Shortage). `None`: no limit.
    #[doc(hidden)]
    pub fn limit_sockets(&mut self, most: Option<usize>) {
        self.client.limit_sockets(most);
    }

    /// Keeps the trace as lines, see [`trace`](Self::trace).
    #[doc(hidden)]
    pub fn keep_trace(&mut self) {
        self.client.side_mut().medium_mut().keep_trace();
    }

    /// The lines of the trace since [`keep_trace`](Self::keep_trace).
    #[must_use]
    #[doc(hidden)]
    pub fn trace(&self) -> &[String] {
        self.medium().trace().lines()
    }

    /// A hash over everything that has happened: equal for equal seeds and calls.
    #[must_use]
    #[doc(hidden)]
    pub fn trace_hash(&self) -> u64 {
        self.medium().trace().hash()
    }

    /// How often the network has made things hard so far: whether a test has had the faults that it is about.
    #[must_use]
    #[doc(hidden)]
    pub fn tally(&self) -> Tally {
        self.medium().tally()
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.medium().now()
    }

    /// The virtual time since the beginning.
    #[must_use]
    #[doc(hidden)]
    pub fn elapsed(&self) -> Duration {
        self.medium().elapsed()
    }

    /// Sockets that the client has to a server, connecting ones included.
    #[must_use]
    #[doc(hidden)]
    pub fn open_sockets(&self, server: usize) -> usize {
        let links = self.medium().open_links();
        links.filter(|own| own.server() == server).count()
    }

    /// How long the oldest of the sockets that are still being connected has been.
    #[must_use]
    #[doc(hidden)]
    pub fn longest_connect(&self) -> Option<Duration> {
        let links = self.medium().open_links();
        let since = links.filter_map(|own| own.connecting_since()).min()?;
        Some(self.now() - since)
    }

    /// Since when something has been waiting in the client's socket, bytes or the end, announced or not, counted from
    /// the beginning. Connections are counted from 0 in the order of their connects.
    #[must_use]
    #[doc(hidden)]
    pub fn unread_since(&self, connection: usize) -> Option<Duration> {
        let medium = self.medium();
        let since = medium.connection(connection)?.unread_since(medium.now())?;
        Some(medium.since_origin(since))
    }

    /// When something happens next: on the link, in an application, in the engine. `None`: never.
    #[must_use]
    pub fn next(&self, engine: &Engine) -> Option<Instant> {
        let appointment = self.medium().next_appointment();
        appointment.into_iter().chain(engine.poll_timeout()).min()
    }

    /// Moves the clock on; never back. What was due in between happens late, in the next steps.
    #[doc(hidden)]
    pub fn advance_to(&mut self, now: Instant) {
        self.client.side_mut().medium_mut().advance_to(now);
    }

    /// Lets so much time pass, and all happen that falls into it.
    ///
    /// # Panics
    /// When something goes on happening at one instant without end.
    pub fn advance(&mut self, engine: &mut Engine, time: Duration, on_event: &mut OnEvent<'_>) {
        let until = later(self.now(), time);
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
    #[doc(hidden)]
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
    #[doc(hidden)]
    pub fn step(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        if !std::mem::replace(&mut self.has_started, true) {
            // As a program's first turn does, before anything is connected.
            engine.expect_reports();
            engine.handle_timeout(self.now());
        }
        let first = self.client.place(4);
        (0..4).any(|kind| match (first + kind) % 4 {
            0 => self.client.keep_appointment(engine),
            1 => self.client.take_output(engine, on_event),
            2 => self.client.take_turn(engine, on_event),
            _ => {
                let now = self.now();
                let is_due = engine.poll_timeout().is_some_and(|at| at <= now);
                if is_due {
                    self.client.finish_connects(engine);
                    engine.handle_timeout(now);
                }
                is_due
            }
        })
    }

    /// A connection that the engine wants to use while nothing was asked of the driver: an action that the engine
    /// forgot. To be called when [`step`](Self::step) is false.
    #[must_use]
    #[doc(hidden)]
    pub fn forgotten(&self, engine: &Engine) -> Option<ConnectionHandle> {
        let forgotten = self.medium().open_links().find(|own| {
            let wants_write = !engine.transmit(own.handle()).is_empty();
            own.is_forgotten(wants_write, engine.wants_read(own.handle()))
        });
        forgotten.map(|own| own.handle())
    }

    /// Stops the client's process for so long: applications and the link go on. What comes for the client meanwhile lies
    /// in its sockets, and is announced, late, together with the time limits that are over.
    #[doc(hidden)]
    pub fn hold_up(&mut self, time: Duration) {
        self.client.hold_up(time);
    }

    fn medium(&self) -> &Medium {
        self.client.side().medium()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("elapsed", &self.elapsed())
            .field("servers", &self.client.side().servers())
            .field("ready", &self.medium().ready_len())
            .finish_non_exhaustive()
    }
}
