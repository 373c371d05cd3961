//! All that one event loop serves: its listener, its clients, its share of the FastCGI connections. And the order of a
//! turn.
//!
//! Any event loop can embed it, as with the FastCGI client: [`handle_event`](Worker::handle_event) records what is
//! ready, [`turn`](Worker::turn) does everything else, [`timeout`](Worker::timeout) returns how long the loop may wait.
//! The loop in `program::event_loop` also handles signals; yours may handle anything else.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use mio_fcgi::{Address, Config, ReadBuf, Tag};
use slab::Slab;

use super::connection::{Connection, NOT_ANSWERED};
use super::entrance;
use super::leftovers::Leftovers;
use super::net::listener::Listener;
use super::net::socket::Socket;
use super::schedule::{Marks, Schedule};
use super::site::applications::Applications;
use super::site::budget::Budget;
use super::site::context::Context;
use super::site::metrics::{LoopMetrics, Metrics};
use super::site::options::Options;

/// The clients of one event loop.
pub(crate) struct Worker {
    cx: Context,
    /// The registry of the event loop's poll.
    registry: Registry,
    tokens: Tokens,
    clients: Slab<Slot>,
    schedule: Schedule,
    leftovers: Leftovers,
    running: Running,
    /// The buffer that bytes of clients and of files are read into.
    scratch: Vec<u8>,
}

struct Slot {
    connection: Connection,
    marks: Marks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Yes,
    /// No new client is accepted. Requests that are still running at the deadline are cut off.
    Stopping {
        deadline: Instant,
    },
    /// No client is left. The connections to applications are being closed.
    Finishing {
        deadline: Instant,
    },
    Stopped,
}

mod events;

impl Worker {
    /// `tokens` must not be used for anything else in the loop: the first is for the listeners, then there is one for
    /// each client, and the rest are for FastCGI connections. `index` is the number of this loop, below
    /// [`Options::threads`]. There is a configuration for each application.
    ///
    /// # Errors
    /// The system's error; a configuration that the FastCGI client rejects, or too few tokens for it; a document root
    /// that cannot be read.
    pub(crate) fn new(
        registry: &Registry,
        tokens: Range<Token>,
        index: usize,
        options: &Arc<Options>,
        metrics: &Arc<Metrics>,
        configs: Vec<Config>,
    ) -> io::Result<Self> {
        let max_clients = options.share(options.max_clients, index);
        let tokens = Tokens::new(tokens, max_clients);
        let fcgi = Applications::new(registry, tokens.fastcgi.clone(), configs)?;
        let metrics = LoopMetrics::new(metrics, index);
        let budget = Budget::new(options, index);
        Ok(Self {
            cx: Context::new(options, fcgi, metrics, max_clients, budget)?,
            registry: registry.try_clone()?,
            tokens,
            clients: Slab::new(),
            schedule: Schedule::default(),
            leftovers: Leftovers::default(),
            running: Running::Yes,
            scratch: vec![0; SCRATCH_LEN],
        })
    }

    /// Accepts clients from one more listener.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn listen(&mut self, listener: Listener) -> io::Result<()> {
        let (registry, token) = (&self.registry, self.tokens.listener);
        self.cx.admission_mut().listen(listener, registry, token)
    }

    /// Whether the worker was told to stop and has nothing left to do.
    pub(crate) fn has_stopped(&self) -> bool {
        self.running == Running::Stopped
    }

    /// The number of clients.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Sets the time of the turn that begins. Call it after the loop has waited.
    pub(crate) fn set_time(&mut self, now: Instant) {
        self.cx.set_time(now);
    }

    /// Records what is ready. False if the event's token is not one of the worker's.
    pub(crate) fn handle_event(&mut self, event: &mio::event::Event) -> bool {
        if self.cx.fcgi().handle_event(event) {
            return true;
        }
        if event.token() == self.tokens.listener {
            self.cx.admission_mut().note_ready();
            return true;
        }
        let Some(key) = self.tokens.key_of(event.token()) else {
            return false;
        };
        if let Some(slot) = self.clients.get_mut(key) {
            slot.connection.note_event(event);
            self.schedule.enqueue(key, &mut slot.marks);
        }
        true
    }

    /// Does everything there is to do, up to a bound. Call it after the events were handled and the time was set.
    pub(crate) fn turn(&mut self, buf: &mut ReadBuf) {
        let now = self.cx.now();
        self.cx.fcgi().handle_timeout(now);
        self.fire_timers();
        if let Some(since) = self.cx.admission_mut().idle_since(now) {
            self.close_idle(since, ACCEPTS);
        }
        // At most this many turns pass before new clients and events are looked at. Each turn moves one buffer at most.
        let mut turns = TURNS;
        while turns > 0 {
            let before = turns;
            self.accept();
            // Clients get half of the turns: a crowd of busy clients must leave some to the applications.
            turns -= self.run_ready(turns.div_ceil(2));
            turns -= self.take_events(buf, turns).min(turns);
            self.send_unsent();
            // A FastCGI timeout of zero can also be a time limit that has already expired. The next turn handles that
            // one.
            if turns == before || self.is_out_of_work() {
                break;
            }
        }
        self.stop_when_empty();
        let clients = &self.clients;
        self.cx.end_turn(|tag, request| {
            let slot = clients.get(tag.0 as usize)?;
            let (trace, client) = slot.connection.trace_of(request)?;
            Some(trace.asker(client))
        });
    }

    /// How long the loop may wait for events. `None`: without limit.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let now = self.cx.now();
        if self.schedule.ready() > 0 || self.cx.admission().may_accept(now) {
            return Some(Duration::ZERO);
        }
        let deadline = match self.running {
            Running::Stopping { deadline } | Running::Finishing { deadline } => Some(deadline),
            Running::Yes | Running::Stopped => None,
        };
        let own = [
            self.schedule.next_due(),
            self.cx.admission().due(),
            self.cx.publish_due(),
            deadline,
        ];
        let due = own.into_iter().flatten().min();
        let own = due.map(|due| due.saturating_duration_since(now));
        match (self.cx.fcgi_timeout(), own) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn is_out_of_work(&self) -> bool {
        self.schedule.ready() == 0 && self.cx.fcgi_timeout() != Some(Duration::ZERO)
    }

    /// Accepts some clients, as long as the limit allows.
    fn accept(&mut self) {
        let now = self.cx.now();
        for _ in 0..ACCEPTS {
            if !self.cx.admission().may_accept(now) {
                return;
            }
            let mut accepted = match self.cx.admission_mut().accept(now) {
                Ok(Some(accepted)) => accepted,
                Ok(None) => return,
                Err(error) => {
                    let what = format_args!("accepting clients is paused: {error}");
                    return self.cx.log_problem(what);
                }
            };
            let place = match entrance::admit(&mut self.cx, &accepted) {
                Ok(place) => place,
                Err(refused) => {
                    entrance::turn_away(accepted, refused, &mut self.scratch);
                    continue;
                }
            };
            let entry = self.clients.vacant_entry();
            let key = entry.key();
            let interests = Interest::READABLE | Interest::WRITABLE;
            let token = self.tokens.of_client(key);
            if let Err(error) = self
                .registry
                .register(&mut accepted.stream, token, interests)
            {
                let client = accepted.ends.client;
                let what = format_args!("a client cannot be served: {error}, client: {client}");
                self.cx.log_problem(what);
                continue;
            }
            let expects_proxy_header = accepted.expects_proxy_header;
            let socket = Socket::new(accepted.stream, accepted.ends, now);
            let slot = entry.insert(Slot {
                connection: Connection::new(Tag(key as u64), socket, place, expects_proxy_header),
                marks: Marks::default(),
            });
            self.cx.admission_mut().add_client();
            self.schedule.enqueue(key, &mut slot.marks);
        }
    }

    /// Closes clients that have been between requests since `since`, at most `most` of them.
    fn close_idle(&mut self, since: Instant, most: usize) {
        let is_idle = |slot: &Slot| slot.connection.is_idle_since(since) && !slot.marks.is_ready();
        let idle = self.clients.iter().filter(|entry| is_idle(entry.1));
        let keys: Vec<usize> = idle.map(|entry| entry.0).take(most).collect();
        self.end_clients(keys);
    }

    fn end_clients(&mut self, keys: Vec<usize>) {
        for key in keys {
            if let Some(slot) = self.clients.get_mut(key) {
                slot.connection.end(&mut self.cx, NOT_ANSWERED);
            }
            self.settle(key);
        }
    }

    /// Gives a turn to each client that needs one, `most` at most. Returns how many.
    fn run_ready(&mut self, most: usize) -> usize {
        let count = self.schedule.ready().min(most);
        for _ in 0..count {
            let Some(key) = self.schedule.pop_ready() else {
                break;
            };
            if let Some(slot) = self.clients.get_mut(key) {
                slot.marks.begin_turn();
                slot.connection.serve(&mut self.cx, &mut self.scratch);
                self.settle(key);
            }
        }
        count
    }

    fn send_unsent(&mut self) {
        let unsent = self.schedule.take_unsent();
        for key in &unsent {
            if let Some(slot) = self.clients.get_mut(*key) {
                slot.marks.begin_sending();
                slot.connection.send(&mut self.cx, &mut self.scratch);
                self.settle(*key);
            }
        }
        self.schedule.give_back_unsent(unsent);
    }

    fn fire_timers(&mut self) {
        let now = self.cx.now();
        while let Some(key) = self.schedule.pop_due(now) {
            let Some(slot) = self.clients.get_mut(key) else {
                continue;
            };
            slot.marks.timer_fired();
            let due = slot.connection.deadline(&self.cx);
            if due.is_some_and(|due| due <= now) {
                slot.connection.expire(&mut self.cx);
            }
            self.settle(key);
        }
    }

    /// Does what follows for a client from the last change: the only place where it starts its next request, gets a
    /// turn, is marked to be sent to, has its timer set, or is dropped.
    fn settle(&mut self, key: usize) {
        let Some(Slot { connection, marks }) = self.clients.get_mut(key) else {
            return;
        };
        connection.conclude(&mut self.cx);
        connection.give_back(&mut self.cx);
        if connection.is_gone() {
            self.schedule.remove(key, marks);
            self.cx.admission_mut().remove_client();
            // Dropping the socket closes it, and closing removes it from the poll.
            self.clients.remove(key);
            return;
        }
        if connection.take_wants_turn() {
            self.schedule.enqueue(key, marks);
        }
        if connection.wants_to_send() {
            self.schedule.note_unsent(key, marks);
        }
        let due = connection.deadline(&self.cx);
        self.schedule.arm(key, marks, due);
    }

    /// Replaces the servers of an application, by its number. Requests in flight finish where they are.
    pub(crate) fn set_servers(&mut self, application: usize, servers: Vec<Address>) {
        let now = self.cx.now();
        let set = self.cx.fcgi().set_servers(now, application, servers);
        if let Err(error) = set {
            self.log(&format!("the addresses stay as they are: {error}"));
        }
    }

    /// Logs a message for the operator.
    pub(crate) fn log(&mut self, what: &str) {
        self.cx.log_problem(format_args!("{what}"));
    }

    /// Stops accepting clients and closes each client after its current response. The second call ends everything at
    /// once.
    pub(crate) fn stop(&mut self) {
        if self.running != Running::Yes {
            return self.end();
        }
        let now = self.cx.now();
        // Clients that the system has already accepted would otherwise be reset.
        while self.cx.admission().may_accept(now) {
            self.accept();
        }
        self.cx.admission_mut().close();
        let deadline = now + self.cx.options().shutdown_timeout;
        self.running = Running::Stopping { deadline };
    }

    /// While stopping: closes idle clients, including those that are idle after their first turn. When no client is
    /// left, shuts the FastCGI client down, which ends the loop.
    fn stop_when_empty(&mut self) {
        let now = self.cx.now();
        if let Running::Stopping { deadline } = self.running {
            self.close_idle(now, usize::MAX);
            if now < deadline && self.clients.is_empty() {
                self.cx.fcgi().shutdown(now, Some(deadline));
                self.running = Running::Finishing { deadline };
            }
        }
        match self.running {
            Running::Finishing { .. } if self.cx.fcgi().is_shut_down() => {
                self.running = Running::Stopped;
            }
            Running::Stopping { deadline } | Running::Finishing { deadline } if now >= deadline => {
                self.end();
            }
            _ => {}
        }
    }

    /// Ends at once and logs how many clients that cuts off.
    fn end(&mut self) {
        let left = self.clients.len();
        if left > 0 {
            self.cx
                .log_problem(format_args!("{left} clients did not end in time"));
        }
        let keys = self.clients.iter().map(|entry| entry.0).collect();
        self.end_clients(keys);
        self.running = Running::Stopped;
    }
}

/// For tests only.
#[cfg(test)]
impl Worker {
    pub(crate) fn figures(&self) -> super::status::figures::Figures {
        self.cx.figures()
    }

    /// The connections with their keys in the slab.
    pub(crate) fn connections(&self) -> Vec<(usize, &Connection)> {
        let clients = self.clients.iter();
        clients.map(|(key, slot)| (key, &slot.connection)).collect()
    }
}

/// Which tokens belong to what.
struct Tokens {
    listener: Token,
    clients: Range<usize>,
    fastcgi: Range<Token>,
}

impl Tokens {
    fn new(all: Range<Token>, clients: usize) -> Self {
        let first = all.start.0 + 1;
        let end = first + clients;
        Self {
            listener: all.start,
            clients: first..end,
            fastcgi: Token(end)..all.end,
        }
    }

    fn of_client(&self, key: usize) -> Token {
        Token(self.clients.start + key)
    }

    /// The key in the slab.
    fn key_of(&self, token: Token) -> Option<usize> {
        let is_client = self.clients.contains(&token.0);
        is_client.then(|| token.0 - self.clients.start)
    }
}

/// The largest size of one read of a client, or of a file.
const SCRATCH_LEN: usize = 128 * 1024;
/// Turns of clients and events of applications before the poll is called again: 8 MiB of data at most.
const TURNS: usize = 128;
/// The most clients that are accepted, or closed, at a time.
const ACCEPTS: usize = 64;
