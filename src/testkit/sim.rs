//! An engine and a virtual network in one.

use std::fmt;
use std::time::{Duration, Instant};

use super::later::later;
use super::network::{MAX_STEPS, Network};
use super::scripted::Scripted;
use super::server::Server;
use crate::config::Config;
use crate::config_error::ConfigError;
use crate::engine::Engine;
use crate::error::SubmitError;
use crate::event::{EventKind, Outcome, OwnedEvent, RequestHandle, Tag};
use crate::request::Request;
use crate::server::ServerId;

/// A client and its applications, all in memory, in virtual time.
///
/// Time passes only in [`advance`](Self::advance) and the `run` methods. The clock then jumps from one thing that
/// happens to the next, so an hour of time limits passes in microseconds. The same configuration, seed and calls give
/// the same events at the same instants.
///
/// ```
/// use mio_fcgi::testkit::{Behavior, Scripted, Sim};
/// use mio_fcgi::{Config, Request, ServerId, Tag};
///
/// let mut sim = Sim::new(Config::new("127.0.0.1:9000".parse()?), 1)?;
/// sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::answer("Status: 200 OK\r\n\r\nhello")));
/// let request = sim.submit(Request::responder(), Tag(1))?;
/// sim.run_to_end();
/// assert_eq!(sim.stdout(request), b"Status: 200 OK\r\n\r\nhello");
/// assert!(sim.outcome(request).is_some_and(Result::is_ok));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sim {
    engine: Engine,
    network: Network,
    events: Vec<(Duration, OwnedEvent)>,
    /// How many requests have had their `End` event.
    ended: u64,
}

impl Sim {
    /// A client with this configuration. Each of its servers refuses connections until [`serve`](Self::serve).
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn new(config: Config, seed: u64) -> Result<Self, ConfigError> {
        let servers = config.servers.len();
        let engine = Engine::new(config)?;
        // There is no other way to make an instant. Only differences to it are used.
        let origin = Instant::now();
        Ok(Self {
            engine,
            network: Network::new(servers, origin, seed),
            events: Vec::new(),
            ended: 0,
        })
    }

    /// Sets the application of a server, as [`Server::serve`] does. Returns the server, to set up its link and its
    /// connects.
    ///
    /// The server may be one that [`set_servers`](Engine::set_servers) will add.
    ///
    /// # Panics
    /// If the ID is 65,536 or above.
    pub fn serve(&mut self, server: ServerId, application: Scripted) -> &mut Server {
        self.network.server(server).serve(application)
    }

    /// A server, to set up its application, its links and its connects.
    ///
    /// The server may be one that [`set_servers`](Engine::set_servers) will add.
    ///
    /// # Panics
    /// If the ID is 65,536 or above.
    pub fn server(&mut self, server: ServerId) -> &mut Server {
        self.network.server(server)
    }

    /// The engine, for its getters and its commands. Give a command the instant [`now`](Self::now). Events and actions
    /// are taken by the simulation.
    ///
    /// ```
    /// # use mio_fcgi::testkit::{Behavior, Scripted, Sim};
    /// # use mio_fcgi::{Config, Request, ServerId, Tag};
    /// # let mut sim = Sim::new(Config::new("127.0.0.1:9000".parse()?), 1)?;
    /// # sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::answer("hello")));
    /// let request = sim.submit(Request::responder(), Tag(1))?;
    /// let now = sim.now();
    /// sim.engine().pause(now, request);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The network, for its settings and the trace.
    #[doc(hidden)]
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The current instant of the virtual clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// The virtual time since the first instant.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.network.elapsed()
    }

    /// Submits a request, as [`Engine::submit`] does.
    ///
    /// # Errors
    /// Those of [`Engine::submit`].
    pub fn submit(&mut self, request: Request, tag: Tag) -> Result<RequestHandle, SubmitError> {
        let submitted = self.engine.submit(self.network.now(), request, tag);
        submitted.map_err(SubmitError::from)
    }

    /// Aborts a request, as [`Engine::abort`] does.
    pub fn abort(&mut self, handle: RequestHandle) {
        self.engine.abort(self.network.now(), handle);
    }

    /// Does one thing that can be done now, as [`Network::step`] does. False when there is none.
    #[doc(hidden)]
    pub fn step(&mut self) -> bool {
        let elapsed = self.network.elapsed();
        let (events, ended) = (&mut self.events, &mut self.ended);
        self.network.step(&mut self.engine, &mut |_, _, event| {
            *ended += u64::from(matches!(event.kind, EventKind::End(_)));
            events.push((elapsed, event.into_owned()));
        })
    }

    /// Does everything that can be done now.
    ///
    /// # Panics
    /// If 50 million things happen at this instant.
    #[doc(hidden)]
    pub fn settle(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < MAX_STEPS, "no end at {:?}", self.elapsed());
        }
    }

    /// Lets this much time pass, with everything that happens in it. Zero: everything that can happen now.
    ///
    /// # Panics
    /// If 50 million things happen at one instant, which is taken for a loop without end.
    pub fn advance(&mut self, time: Duration) {
        let until = later(self.network.now(), time);
        self.settle();
        while let Some(next) = self.network.next(&self.engine).filter(|at| *at <= until) {
            self.network.advance_to(next);
            self.settle();
        }
        self.network.advance_to(until);
        self.settle();
    }

    /// Moves the clock forward while nothing happens, as in a program that is stopped. What was due happens late, after
    /// that.
    #[doc(hidden)]
    pub fn jump(&mut self, time: Duration) {
        let until = later(self.network.now(), time);
        self.network.advance_to(until);
    }

    /// Runs until a condition holds, which is checked now and after each thing that happens. Returns false if nothing
    /// is left to happen and the condition does not hold.
    ///
    /// # Panics
    /// After 50 million things that happen.
    pub fn run_until(&mut self, mut condition: impl FnMut(&mut Self) -> bool) -> bool {
        for _ in 0..MAX_STEPS {
            if condition(self) {
                return true;
            }
            if self.step() {
                continue;
            }
            match self.network.next(&self.engine) {
                Some(next) => self.network.advance_to(next),
                None => return false,
            }
        }
        panic!("no end at {:?}", self.elapsed());
    }

    /// Runs until each request has ended. Returns false if a request will never end. Requests that were submitted
    /// through [`engine`](Self::engine) count.
    ///
    /// # Panics
    /// After 50 million things that happen.
    pub fn run_to_end(&mut self) -> bool {
        // Requests submitted to the engine itself count. None is submitted during the run.
        let submitted = self.engine.stats().counters.submitted;
        self.run_until(|sim| sim.ended >= submitted)
    }

    /// All events so far, each with the virtual time since the first instant.
    #[must_use]
    pub fn events(&self) -> &[(Duration, OwnedEvent)] {
        &self.events
    }

    /// The `FCGI_STDOUT` bytes of a request so far, joined.
    #[must_use]
    pub fn stdout(&self, handle: RequestHandle) -> Vec<u8> {
        let pieces = self
            .events
            .iter()
            .filter_map(|(_, event)| match &event.kind {
                EventKind::Stdout(data) if event.request == handle => Some(&data[..]),
                _ => None,
            });
        pieces.flatten().copied().collect()
    }

    /// The `FCGI_STDERR` bytes of a request so far, joined.
    #[must_use]
    pub fn stderr(&self, handle: RequestHandle) -> Vec<u8> {
        let pieces = self
            .events
            .iter()
            .filter_map(|(_, event)| match &event.kind {
                EventKind::Stderr(data) if event.request == handle => Some(&data[..]),
                _ => None,
            });
        pieces.flatten().copied().collect()
    }

    /// How a request has ended. `None` if it has not.
    #[must_use]
    pub fn outcome(&self, handle: RequestHandle) -> Option<&Outcome> {
        self.end(handle).map(|(_, outcome)| outcome)
    }

    /// When a request has ended, as the virtual time since the first instant. `None` if it has not.
    #[must_use]
    pub fn ended_at(&self, handle: RequestHandle) -> Option<Duration> {
        self.end(handle).map(|(at, _)| at)
    }

    fn end(&self, handle: RequestHandle) -> Option<(Duration, &Outcome)> {
        self.events
            .iter()
            .find_map(|(at, event)| match &event.kind {
                EventKind::End(outcome) if event.request == handle => Some((*at, outcome)),
                _ => None,
            })
    }

    /// A hash over everything that has happened, as [`Network::trace_hash`].
    #[must_use]
    #[doc(hidden)]
    pub fn trace_hash(&self) -> u64 {
        self.network.trace_hash()
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("engine", &self.engine)
            .field("network", &self.network)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}
