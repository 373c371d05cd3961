//! The virtual network: carries an engine's bytes to applications and back, in virtual time.

use std::fmt;
use std::time::{Duration, Instant};

use super::application_side::ApplicationSide;
use super::client_side::{ClientSide, OnEvent};
use super::driver_side::DriverSide;
use super::kernel::Kernel;
use super::later::later;
use super::medium::Medium;
use super::rng::Rng;
use super::server::Server;
use super::tally::Tally;
use crate::engine::Engine;
use crate::error::StdinError;
use crate::event::{ConnectionHandle, RequestHandle};
use crate::server::ServerId;

/// The driver of an [`Engine`] in a test. It takes the place of mio, the sockets and the applications.
///
/// Code under test has its own engine: the test calls [`advance`](Self::advance), and the code gives commands to the
/// engine before it, after it, and from its events. [`Sim`](super::Sim) owns an engine and a network.
///
/// The same seed and calls give the same events at the same instants of virtual time.
pub struct Network {
    client: Way,
    /// The engine was driven before.
    has_started: bool,
}

/// What drives the engine.
enum Way {
    /// A driver that does one thing at a time, in any order.
    OneByOne(Box<ClientSide>),
    /// The driver of [`Client`](crate::Client), in a loop.
    AsClient(Box<DriverSide>),
}

impl Way {
    fn side(&self) -> &ApplicationSide {
        match self {
            Self::OneByOne(client) => client.side(),
            Self::AsClient(client) => client.kernel().side(),
        }
    }

    fn side_mut(&mut self) -> &mut ApplicationSide {
        match self {
            Self::OneByOne(client) => client.side_mut(),
            Self::AsClient(client) => client.kernel_mut().side_mut(),
        }
    }
}

/// After this many steps a run panics, because it does not end.
pub(super) const MAX_STEPS: u64 = 50_000_000;

impl Network {
    /// A network of this many servers, each of which refuses connections until it is [set up](Self::server).
    ///
    /// `origin` is the first instant of the virtual clock. No result depends on it. The `seed` decides what is random.
    #[must_use]
    pub fn new(servers: usize, origin: Instant, seed: u64) -> Self {
        Self {
            client: Way::OneByOne(Box::new(ClientSide::new(servers, origin, seed))),
            has_started: false,
        }
    }

    /// A server, to set up its application, its links and its connects. It may be one that
    /// [`set_servers`](Engine::set_servers) will add.
    ///
    /// # Panics
    /// If the ID is 65,536 or above.
    pub fn server(&mut self, server: ServerId) -> &mut Server {
        self.client.side_mut().server_mut(server.number() as usize)
    }

    /// Draws the order of what can happen at the same instant from the seed, instead of using the same order always.
    #[doc(hidden)]
    pub fn shuffle(&mut self) {
        match &mut self.client {
            Way::OneByOne(client) => client.shuffle(),
            Way::AsClient(client) => client.shuffle(),
        }
    }

    /// What is random is drawn from here, and not from the seed.
    #[must_use]
    #[doc(hidden)]
    pub fn with_rng(mut self, rng: Rng) -> Self {
        match &mut self.client {
            Way::OneByOne(client) => client.set_rng(rng),
            Way::AsClient(client) => *client.kernel_mut().rng() = rng,
        }
        self
    }

    /// The network, driven by what drives [`Client`](crate::Client), in a loop over edge-triggered events. Call it before
    /// [`shuffle`](Self::shuffle).
    #[must_use]
    #[doc(hidden)]
    pub fn as_client(self) -> Self {
        let client = match self.client {
            Way::OneByOne(client) => {
                let (side, rng, max_sockets) = client.into_parts();
                Box::new(DriverSide::new(Kernel::new(side, rng, max_sockets)))
            }
            Way::AsClient(client) => client,
        };
        Self {
            client: Way::AsClient(client),
            ..self
        }
    }

    /// Limits how many sockets the client has at a time, to all servers together. A connect above the limit fails as
    /// [`Disconnected::Shortage`](crate::Disconnected::Shortage). `None`: no limit.
    #[doc(hidden)]
    pub fn limit_sockets(&mut self, most: Option<usize>) {
        match &mut self.client {
            Way::OneByOne(client) => client.limit_sockets(most),
            Way::AsClient(client) => client.kernel_mut().limit_sockets(most),
        }
    }

    /// Keeps the lines of the [`trace`](Self::trace) from now on.
    #[doc(hidden)]
    pub fn keep_trace(&mut self) {
        self.client.side_mut().medium_mut().keep_trace();
    }

    /// What has happened since [`keep_trace`](Self::keep_trace), line by line.
    #[must_use]
    #[doc(hidden)]
    pub fn trace(&self) -> &[String] {
        self.medium().trace().lines()
    }

    /// A hash over everything that has happened. It is equal for equal seeds and calls.
    #[must_use]
    #[doc(hidden)]
    pub fn trace_hash(&self) -> u64 {
        self.medium().trace().hash()
    }

    /// How often each fault has happened by now, so that a test can check that it had the fault that it is about.
    #[must_use]
    #[doc(hidden)]
    pub fn tally(&self) -> Tally {
        self.medium().tally()
    }

    /// The current instant of the virtual clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.medium().now()
    }

    /// The virtual time since the first instant.
    #[must_use]
    #[doc(hidden)]
    pub fn elapsed(&self) -> Duration {
        self.medium().elapsed()
    }

    /// How many sockets the client has to a server. Sockets that are still connecting count.
    #[must_use]
    #[doc(hidden)]
    pub fn open_sockets(&self, server: ServerId) -> usize {
        let links = self.medium().open_links();
        links
            .filter(|own| own.server() == server.number() as usize)
            .count()
    }

    /// How long the oldest of the sockets that are still connecting has been connecting.
    #[must_use]
    #[doc(hidden)]
    pub fn longest_connect(&self) -> Option<Duration> {
        let links = self.medium().open_links();
        let since = links.filter_map(|own| own.connecting_since()).min()?;
        Some(self.now() - since)
    }

    /// Since when bytes, or the end, have been unread in the client's socket, announced or not. The time counts from
    /// the first instant, and connections from 0, in the order of their connects.
    #[must_use]
    #[doc(hidden)]
    pub fn unread_since(&self, connection: usize) -> Option<Duration> {
        let medium = self.medium();
        let since = medium.connection(connection)?.unread_since(medium.now())?;
        Some(medium.since_origin(since))
    }

    /// The instant at which something happens next: on a link, in an application, or in the engine. `None` if nothing
    /// will.
    ///
    /// What can happen now is not counted: call [`advance`](Self::advance) with zero before.
    #[must_use]
    pub fn next(&self, engine: &Engine) -> Option<Instant> {
        let appointment = self.medium().next_appointment();
        appointment
            .into_iter()
            .chain(engine.deadline(self.now()))
            .min()
    }

    /// Moves the clock forward, never back. What was due in between happens late, in the next steps.
    #[doc(hidden)]
    pub fn advance_to(&mut self, now: Instant) {
        self.client.side_mut().medium_mut().advance_to(now);
    }

    /// Lets this much time pass, with everything that happens in it. Zero: everything that can happen now.
    ///
    /// `on_event` is called with the engine, the instant and each event, and may give commands to the engine.
    ///
    /// # Panics
    /// If 50 million things happen at one instant, which is taken for a loop without end.
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

    /// Does everything that can be done now.
    ///
    /// # Panics
    /// If 50 million things happen at this instant.
    #[doc(hidden)]
    pub fn settle(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) {
        let mut steps = 0;
        while self.step(engine, on_event) {
            steps += 1;
            assert!(steps < MAX_STEPS, "no end at {:?}", self.elapsed());
        }
    }

    /// Does one thing that can be done now: an announcement, a write, a read, a deadline or an event. False when there
    /// is none.
    ///
    /// Bytes that arrive are announced in one step and read in a later one. In between are earlier announcements and
    /// the engine's outputs, and with [`shuffle`](Self::shuffle) anything else.
    #[doc(hidden)]
    pub fn step(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        if !std::mem::replace(&mut self.has_started, true) {
            // A program's first turn does the same, before anything is connected.
            engine.expect_reports();
            engine.handle_timeout(self.now());
        }
        match &mut self.client {
            Way::OneByOne(client) => client.step(engine, on_event),
            Way::AsClient(client) => client.step(engine, on_event),
        }
    }

    /// Writes bytes of a pushed body as [`Client`](crate::Client) does: what its socket takes at once is not copied. When
    /// the order of events is [drawn](Self::shuffle), every second call is [`Engine::write_stdin`].
    ///
    /// # Errors
    /// As for [`Engine::write_stdin`].
    #[doc(hidden)]
    pub fn write_stdin(
        &mut self,
        engine: &mut Engine,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError> {
        match &mut self.client {
            Way::OneByOne(client) => client.write_stdin(engine, request, bytes),
            Way::AsClient(client) => client.write_stdin(engine, request, bytes),
        }
    }

    /// A connection that the engine wants to use without having asked the driver to: a forgotten action. Call it when
    /// [`step`](Self::step) has returned false.
    #[must_use]
    #[doc(hidden)]
    pub fn forgotten(&self, engine: &Engine) -> Option<ConnectionHandle> {
        match &self.client {
            Way::OneByOne(client) => client.forgotten(engine),
            Way::AsClient(client) => client.forgotten(engine),
        }
    }

    /// What the driver has done that no system forgives or no embedder may expect, if it has done such a thing.
    #[must_use]
    #[doc(hidden)]
    pub fn offence(&self) -> Option<&str> {
        match &self.client {
            Way::OneByOne(_) => None,
            Way::AsClient(client) => client.kernel().manners().offence(),
        }
    }

    /// Stops the client's process for this long, while applications and links go on. What arrives for the client is in
    /// its sockets then, and is announced late, together with the time limits that are over.
    #[doc(hidden)]
    pub fn hold_up(&mut self, time: Duration) {
        self.client.side_mut().hold_up(time);
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
