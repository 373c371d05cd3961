//! What one event loop serves: its listener, its clients, its part of the FastCGI connections, the order of a turn.
//!
//! It can be embedded in any loop, as the FastCGI client is: [`handle_event`](Worker::handle_event) takes note of what is
//! ready, [`turn`](Worker::turn) does everything else, [`timeout`](Worker::timeout) says how long it can wait. The loop in
//! `program::event_loop` has signals beside it, yours may have whatever it has.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use mio_fcgi::{Client, Config, EventKind, ReadBuf, Tag};
use slab::Slab;

use super::connection::{Connection, NOT_ANSWERED};
use super::net::socket::Socket;
use super::schedule::{Marks, Schedule};
use super::site::context::Context;
use super::site::metrics::{LoopMetrics, Metrics};
use super::site::options::Options;

/// The clients of a loop.
pub(crate) struct Worker {
    cx: Context,
    /// The loop's.
    registry: Registry,
    tokens: Tokens,
    clients: Slab<Slot>,
    schedule: Schedule,
    running: Running,
    /// What clients' bytes and files are read into.
    scratch: Vec<u8>,
}

struct Slot {
    connection: Connection,
    marks: Marks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Yes,
    /// Nothing new is taken; what is left at the deadline is dropped.
    Stopping {
        deadline: Instant,
    },
    Stopped,
}

impl Worker {
    /// `tokens` are for nothing else in the loop: one for the listener, then one for each client, the rest for FastCGI
    /// connections. `index` is which of [`Options::threads`] loops it is.
    ///
    /// # Errors
    /// The system's; a configuration that the client refuses, or too few tokens for it; a document root that cannot be read.
    pub(crate) fn new(
        registry: &Registry,
        tokens: Range<Token>,
        index: usize,
        options: &Arc<Options>,
        metrics: &Arc<Metrics>,
        config: Config,
    ) -> io::Result<Self> {
        let max_clients = options.share(options.max_clients, index);
        let tokens = Tokens::new(tokens, max_clients);
        let fcgi = Client::new(registry, tokens.fastcgi.clone(), config)?;
        let metrics = LoopMetrics::new(metrics, index);
        Ok(Self {
            cx: Context::new(options, fcgi, metrics, max_clients)?,
            registry: registry.try_clone()?,
            tokens,
            clients: Slab::new(),
            schedule: Schedule::default(),
            running: Running::Yes,
            scratch: vec![0; SCRATCH_LEN],
        })
    }

    /// Listens; gives the address, where a free port was asked for.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let is_shared = self.cx.options().threads > 1;
        let (registry, token) = (&self.registry, self.tokens.listener);
        let admission = self.cx.admission_mut();
        admission.listen(address, is_shared, registry, token)
    }

    /// It was told to stop, and has: there is nothing left to do.
    pub(crate) fn has_stopped(&self) -> bool {
        self.running == Running::Stopped
    }

    /// The time of the turn that begins, after the loop has waited.
    pub(crate) fn set_time(&mut self, now: Instant) {
        self.cx.set_time(now);
    }

    /// Takes note of what is ready; false for an event that is none of its tokens'.
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

    /// Everything there is to do, up to a bound: after the events, with a new time.
    pub(crate) fn turn(&mut self, buf: &mut ReadBuf) {
        let now = self.cx.now();
        self.cx.fcgi().handle_timeout(now);
        self.fire_timers();
        if let Some(since) = self.cx.admission_mut().idle_since(now) {
            self.send_idle_away(since, ACCEPTS);
        }
        // Whoever comes now is seen after so many turns of the others, each of which moves a buffer at most.
        let mut turns = TURNS;
        while turns > 0 {
            let before = turns;
            self.accept();
            // Half of them, or a crowd that never pauses would leave the applications none.
            turns -= self.run_ready(turns.div_ceil(2));
            turns -= self.take_events(buf, turns);
            self.send_unsent();
            // A time limit that a command set and that is due already is none of what is done here, but of the next turn.
            if turns == before || self.is_out_of_work() {
                break;
            }
        }
        self.stop_when_empty();
        self.cx.end_turn();
    }

    /// How long the loop may wait for events; `None`: until there are some.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let now = self.cx.now();
        if self.schedule.ready() > 0 || self.cx.admission().may_accept(now) {
            return Some(Duration::ZERO);
        }
        let deadline = match self.running {
            Running::Stopping { deadline } => Some(deadline),
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

    /// Takes in some clients, while there is a place for them.
    fn accept(&mut self) {
        let now = self.cx.now();
        for _ in 0..ACCEPTS {
            if !self.cx.admission().may_accept(now) {
                return;
            }
            let (mut stream, peer, local) = match self.cx.admission_mut().accept(now) {
                Ok(Some(accepted)) => accepted,
                Ok(None) => return,
                Err(error) => {
                    let what = format_args!("accepting clients is paused: {error}");
                    return self.cx.log_problem(what);
                }
            };
            let entry = self.clients.vacant_entry();
            let key = entry.key();
            let interests = Interest::READABLE | Interest::WRITABLE;
            let token = self.tokens.of_client(key);
            if let Err(error) = self.registry.register(&mut stream, token, interests) {
                self.cx
                    .log_problem(format_args!("a client cannot be served: {error}"));
                continue;
            }
            let socket = Socket::new(stream, peer, local, now);
            let slot = entry.insert(Slot {
                connection: Connection::new(Tag(key as u64), socket),
                marks: Marks::default(),
            });
            self.cx.admission_mut().client_came();
            self.schedule.enqueue(key, &mut slot.marks);
        }
    }

    /// Closes clients that are between requests since some time, up to so many.
    fn send_idle_away(&mut self, since: Instant, most: usize) {
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

    /// A turn for each client that has something to do, up to a bound; returns how many.
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

    /// What the applications say, up to a bound; returns how much there was. The rest has its turn after the sending.
    fn take_events(&mut self, buf: &mut ReadBuf, most: usize) -> usize {
        let now = self.cx.now();
        for taken in 0..most {
            let Some(event) = self.cx.fcgi().poll_event(now, buf) else {
                return taken;
            };
            if let EventKind::Stderr(data) = event.kind {
                self.cx.log_stderr(data);
            }
            let (request, key) = (event.request, event.tag.0 as usize);
            let Some(slot) = self.clients.get_mut(key) else {
                continue;
            };
            let (connection, cx) = (&mut slot.connection, &mut self.cx);
            match event.kind {
                EventKind::Stdout(data) => connection.take_stdout(cx, request, data),
                EventKind::StdoutEnd => connection.end_output(cx, request),
                EventKind::StdinReady => connection.resume_upload(cx, request),
                EventKind::End(outcome) => connection.end_request(cx, request, outcome),
                _ => {}
            }
            self.settle(key);
        }
        most
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

    /// What follows for a client from what was just done to it: the one place where it goes on to its next request, is
    /// given a turn, is sent, is timed or is dropped.
    fn settle(&mut self, key: usize) {
        let Some(Slot { connection, marks }) = self.clients.get_mut(key) else {
            return;
        };
        connection.conclude(&mut self.cx);
        connection.give_back(&mut self.cx);
        if connection.is_gone() {
            self.schedule.forget(key, marks);
            self.cx.admission_mut().client_left();
            // Dropping the socket closes it, and so takes it off the poll.
            self.clients.remove(key);
            return;
        }
        if connection.take_wish_for_turn() {
            self.schedule.enqueue(key, marks);
        }
        if connection.wants_to_send() {
            self.schedule.note_unsent(key, marks);
        }
        let due = connection.deadline(&self.cx);
        self.schedule.arm(key, marks, due);
    }

    /// Stops taking clients, and says so to those who are there. The second time: ends at once.
    pub(crate) fn stop(&mut self) {
        if self.running != Running::Yes {
            return self.end();
        }
        let now = self.cx.now();
        // Those whom the system has let in already would otherwise be reset.
        while self.cx.admission().may_accept(now) {
            self.accept();
        }
        self.cx.admission_mut().close();
        let deadline = now + self.cx.options().shutdown_timeout;
        self.running = Running::Stopping { deadline };
    }

    /// While stopping: idle clients go, also those that turn out to be after their first turn; with the last client the
    /// FastCGI connections, and then the loop.
    fn stop_when_empty(&mut self) {
        let Running::Stopping { deadline } = self.running else {
            return;
        };
        let now = self.cx.now();
        self.send_idle_away(now, usize::MAX);
        if now >= deadline {
            self.end();
        } else if self.clients.is_empty() {
            self.cx.fcgi().shutdown(now, Some(deadline));
            if self.cx.fcgi().is_shut_down() {
                self.running = Running::Stopped;
            }
        }
    }

    /// Ends at once, and says what that cut off.
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

/// What only the tests look at.
#[cfg(test)]
impl Worker {
    pub(crate) fn figures(&self) -> super::site::metrics::Figures {
        self.cx.figures()
    }

    /// With their places in the slab.
    pub(crate) fn connections(&self) -> Vec<(usize, &Connection)> {
        let clients = self.clients.iter();
        clients.map(|(key, slot)| (key, &slot.connection)).collect()
    }
}

/// Which token is whose.
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

    /// The place in the slab.
    fn key_of(&self, token: Token) -> Option<usize> {
        let is_client = self.clients.contains(&token.0);
        is_client.then(|| token.0 - self.clients.start)
    }
}

/// One read of a client; a whole head fits.
const SCRATCH_LEN: usize = 64 * 1024;
/// Turns of clients and events of applications before the poll is looked at again: 8 MiB at most.
const TURNS: usize = 128;
/// Clients taken in, or sent away, at a time.
const ACCEPTS: usize = 64;
