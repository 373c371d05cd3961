//! An engine, a network and a clock in one.

use std::fmt;
use std::time::{Duration, Instant};

use super::later::later;
use super::network::{MAX_STEPS, Network};
use super::scripted::Scripted;
use super::server::Server;
use crate::config::{Config, ConfigError};
use crate::engine::Engine;
use crate::error::SubmitError;
use crate::event::{EventKind, Outcome, OwnedEvent, RequestHandle, Tag};
use crate::request::Request;

/// A client and its applications, all in memory, in virtual time.
///
/// Time stands still until [`advance`](Self::advance) or one of the `run` methods moves it; then it jumps from
/// one happening to the next, so an hour of time limits passes in microseconds. The same configuration, seed and calls give the
/// same events at the same instants, and the same [`trace_hash`](Self::trace_hash).
///
/// ```
/// use mio_fcgi::testkit::{Behavior, Scripted, Sim};
/// use mio_fcgi::{Config, Request, Tag};
///
/// let mut sim = Sim::new(Config::new("127.0.0.1:9000".parse()?), 1)?;
/// sim.serve(0, Scripted::new(|_| Behavior::answer("Status: 200 OK\r\n\r\nhello")));
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
    /// Requests whose `End` was among the events.
    ended: u64,
}

impl Sim {
    /// A client of this configuration. Its servers refuse connections until [`serve`](Self::serve).
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn new(config: Config, seed: u64) -> Result<Self, ConfigError> {
        let servers = config.servers.len();
        let engine = Engine::new(config)?;
        // An instant cannot be had in any other way. Only differences to it are ever used.
        let origin = Instant::now();
        Ok(Self {
            engine,
            network: Network::new(servers, origin, seed),
            events: Vec::new(),
            ended: 0,
        })
    }

    /// Puts an application on a server. Set its link and connects up with what this returns.
    ///
    /// # Panics
    /// When the configuration has no such server.
    pub fn serve(&mut self, server: usize, application: Scripted) -> &mut Server {
        self.network.server(server).serve(application)
    }

    /// A server's settings.
    ///
    /// # Panics
    /// When the configuration has no such server.
    pub fn server(&mut self, server: usize) -> &mut Server {
        self.network.server(server)
    }

    /// The engine, for its commands and getters; pair its commands with [`now`](Self::now). Its outputs are for
    /// the simulation to take.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The network, for its settings and the trace.
    #[doc(hidden)]
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// The virtual time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.network.elapsed()
    }

    /// As [`Engine::submit`].
    ///
    /// # Errors
    /// As there.
    pub fn submit(&mut self, request: Request, tag: Tag) -> Result<RequestHandle, SubmitError> {
        let submitted = self.engine.submit(self.network.now(), request, tag);
        submitted.map_err(SubmitError::from)
    }

    /// As [`Engine::abort`].
    pub fn abort(&mut self, handle: RequestHandle) {
        self.engine.abort(self.network.now(), handle);
    }

    /// One thing that can happen now; false when there is none. See [`Network::step`].
    #[doc(hidden)]
    pub fn step(&mut self) -> bool {
        let elapsed = self.network.elapsed();
        let (events, ended) = (&mut self.events, &mut self.ended);
        self.network.step(&mut self.engine, &mut |_, _, event| {
            *ended += u64::from(matches!(event.kind, EventKind::End(_)));
            events.push((elapsed, event.into_owned()));
        })
    }

    /// Everything that can happen now.
    ///
    /// # Panics
    /// When it does not end.
    #[doc(hidden)]
    pub fn settle(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < MAX_STEPS, "no end at {:?}", self.elapsed());
        }
    }

    /// Lets so much time pass, and all happen that falls into it.
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

    /// Moves the clock on without anything happening in between: a program that was stopped, a loop that came
    /// late. What was due happens after that.
    #[doc(hidden)]
    pub fn jump(&mut self, time: Duration) {
        let until = later(self.network.now(), time);
        self.network.advance_to(until);
    }

    /// Runs until a condition holds, looking after each step; false when nothing is left to happen and it
    /// still does not.
    ///
    /// # Panics
    /// After 50 million steps.
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

    /// Runs until each request has its `End`; false when one will never have it.
    ///
    /// # Panics
    /// As [`run_until`](Self::run_until).
    pub fn run_to_end(&mut self) -> bool {
        // Those submitted to the engine itself are among them. No more are submitted in the meantime.
        let submitted = self.engine.stats().counters.submitted;
        self.run_until(|sim| sim.ended >= submitted)
    }

    /// All events so far, with their times since the beginning.
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

    /// How a request ended; `None` as long as it has not.
    #[must_use]
    pub fn outcome(&self, handle: RequestHandle) -> Option<&Outcome> {
        self.end(handle).map(|(_, outcome)| outcome)
    }

    /// When a request ended, since the beginning.
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

    /// A hash over everything that has happened.
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
