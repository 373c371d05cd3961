//! What one event loop serves: its listener, its clients, its part of the FastCGI connections, the order of a turn.
//!
//! It is a guest in the loop, as the FastCGI client is: [`handle_event`](Worker::handle_event) takes note of what is ready,
//! [`turn`](Worker::turn) does everything else, [`timeout`](Worker::timeout) says how long it can wait. Whose loop that is
//! does not matter: the one in `program::event_loop` has signals beside it, yours may have whatever it has.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use mio_fcgi::{Client, Config, Event, ReadBuf, SharedParams, Tag};
use slab::Slab;

use super::connection::{Connection, Stage};
use super::log::access_log::AccessLog;
use super::net::buffer_pool::Spares;
use super::net::clock::Clock;
use super::net::listener::Listener;
use super::net::timers::Timers;
use super::site::fastcgi::site_params;
use super::site::metrics::{Board, Publisher};
use super::site::options::Options;
use super::site::routes::Routes;

/// The clients of a loop. What it does for them is in `request_reader`, what it does with answers in `request::response`.
pub(crate) struct Worker {
    pub(crate) options: Arc<Options>,
    pub(crate) publisher: Publisher,
    /// Requests answered.
    pub(crate) answered: u64,
    /// The loop's.
    pub(crate) registry: Registry,
    pub(crate) tokens: Tokens,
    pub(crate) listener: Option<Listener>,
    pub(crate) fcgi: Client,
    pub(crate) connections: Slab<Connection>,
    pub(crate) max_connections: usize,
    /// When to look for room next, if there is none.
    pub(crate) next_room: Instant,
    ready: VecDeque<usize>,
    dirty: Vec<usize>,
    timers: Timers,
    pub(crate) clock: Clock,
    pub(crate) routes: Routes,
    /// What all requests tell the application.
    pub(crate) constants: SharedParams,
    pub(crate) log: AccessLog,
    /// What clients' octets are read into; those not used move to the connection.
    pub(crate) scratch: Vec<u8>,
    pub(crate) spares: Spares,
    pub(crate) running: Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Running {
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
        board: &Arc<Board>,
        config: Config,
    ) -> io::Result<Self> {
        let max_connections = options.share(options.clients, index);
        let tokens = Tokens::new(tokens, max_connections);
        let fcgi = Client::new(registry, tokens.fastcgi.clone(), config)?;
        let clock = Clock::new();
        let routes = Routes::new(options)?;
        Ok(Self {
            options: Arc::clone(options),
            publisher: Publisher::new(board, index, clock.now),
            answered: 0,
            registry: registry.try_clone()?,
            tokens,
            listener: None,
            fcgi,
            connections: Slab::new(),
            max_connections,
            next_room: clock.now,
            ready: VecDeque::new(),
            dirty: Vec::new(),
            timers: Timers::default(),
            clock,
            constants: site_params(options, routes.root()),
            routes,
            log: AccessLog::new(options.access_log)?,
            scratch: vec![0; SCRATCH_LEN],
            spares: Spares::default(),
            running: Running::Yes,
        })
    }

    /// Listens; gives the address, where a free port was asked for.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let mut listener = Listener::bind(address, self.options.threads > 1)?;
        listener.register(&self.registry, self.tokens.listener)?;
        let address = listener.address();
        self.listener = Some(listener);
        Ok(address)
    }

    /// It was told to stop, and has: there is nothing left to do.
    pub(crate) fn has_stopped(&self) -> bool {
        self.running == Running::Stopped
    }

    /// Takes note of what is ready; false for an event that is none of its tokens'.
    pub(crate) fn handle_event(&mut self, event: &mio::event::Event) -> bool {
        if self.fcgi.handle_event(event) {
            return true;
        }
        if event.token() == self.tokens.listener {
            if let Some(listener) = &mut self.listener {
                listener.is_ready = true;
            }
            return true;
        }
        let Some(key) = self.tokens.key_of(event.token()) else {
            return false;
        };
        if let Some(connection) = self.connections.get_mut(key) {
            let failed = event.is_error();
            let ended = event.is_read_closed() || failed;
            connection.is_readable |= event.is_readable() || ended;
            connection.is_writable |= event.is_writable() || failed;
            connection.is_ended |= ended;
            self.enqueue(key);
        }
        true
    }

    /// Everything there is to do, up to a bound: after the events, with the clock read anew.
    pub(crate) fn turn(&mut self, buf: &mut ReadBuf) {
        self.fcgi.handle_timeout(self.clock.now);
        self.fire_timers();
        self.make_room();
        // Whoever comes now is seen after so many turns of the others, each of which moves a buffer at most.
        let mut turns = TURNS;
        while turns > 0 {
            let before = turns;
            self.accept();
            // Half of them, or a crowd that never pauses would leave the applications none.
            turns -= self.run_ready(turns.div_ceil(2));
            turns -= self.take_events(buf, turns);
            self.flush_dirty();
            // A time limit that a command set and that is due already is none of what is done here, but of the next turn.
            if turns == before || self.is_out_of_work() {
                break;
            }
        }
        self.stop_when_empty();
        self.publish();
        self.log.flush();
    }

    /// How long the loop may wait for events; `None`: until there are some.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.may_accept() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now;
        let retry = self.listener.as_ref().and_then(Listener::retry_at);
        let retry = retry.filter(|_| self.has_room());
        let deadline = match self.running {
            Running::Stopping { deadline } => Some(deadline),
            Running::Yes | Running::Stopped => None,
        };
        let own = [
            self.timers.next(),
            retry,
            self.room_due(),
            deadline,
            self.publisher.due(),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|due| due.saturating_duration_since(now));
        match (self.fcgi.timeout(now), own) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn is_out_of_work(&self) -> bool {
        self.ready.is_empty() && self.fcgi.timeout(self.clock.now) != Some(Duration::ZERO)
    }

    /// Gives a connection a turn.
    pub(crate) fn enqueue(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key)
            && !connection.is_queued
        {
            connection.is_queued = true;
            self.ready.push_back(key);
        }
    }

    /// A turn for each connection that has something to do, up to a bound; returns how many.
    fn run_ready(&mut self, most: usize) -> usize {
        let count = self.ready.len().min(most);
        for _ in 0..count {
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_queued = false;
                self.serve(key);
                self.settle(key);
            }
        }
        count
    }

    /// What the applications say, up to a bound; returns how much there was. The rest has its turn after the sending.
    fn take_events(&mut self, buf: &mut ReadBuf, most: usize) -> usize {
        for taken in 0..most {
            let Some(event) = self.fcgi.poll_event(self.clock.now, buf) else {
                return taken;
            };
            let tag = match event {
                Event::Stdout { request, tag, data } => {
                    self.take_stdout(key_of(tag), request, data);
                    tag
                }
                Event::Stderr { tag, data, .. } => {
                    self.log.stderr(self.clock.log(), data);
                    tag
                }
                Event::StdoutEnd { request, tag } => {
                    self.end_output(key_of(tag), request);
                    tag
                }
                Event::StdinReady { request, tag } => {
                    self.continue_upload(key_of(tag), request);
                    tag
                }
                Event::End {
                    request,
                    tag,
                    outcome,
                } => {
                    self.end_request(key_of(tag), request, outcome);
                    tag
                }
                Event::ShutDown => {
                    self.running = Running::Stopped;
                    continue;
                }
                _ => continue,
            };
            self.settle(key_of(tag));
        }
        most
    }

    fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_dirty = false;
                self.send(key);
                self.settle(key);
            }
        }
        // Settling may have found more to send.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    fn fire_timers(&mut self) {
        let now = self.clock.now;
        while let Some(key) = self.timers.pop(now) {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.armed.fired();
            if connection
                .deadline(&self.options)
                .is_some_and(|due| due <= now)
            {
                self.expire(key);
            }
            self.settle(key);
        }
    }

    /// What follows for a connection from what was just done to it: the one place where it goes on to its next
    /// request, is sent, is timed or is let go.
    pub(crate) fn settle(&mut self, key: usize) {
        self.conclude(key);
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if let Stage::Gone = connection.stage {
            self.timers.disarm(key, &mut connection.armed);
            // Dropping the socket closes it, and so takes it off the poll.
            let connection = self.connections.remove(key);
            self.spares.recycle(connection.input);
            return;
        }
        if !connection.out.is_empty() && connection.is_writable && !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(key);
        }
        if let Some(buffer) = connection.out.reclaim() {
            self.spares.recycle(buffer);
        }
        if connection.input.is_empty() && connection.input.capacity() > 0 {
            let buffer = std::mem::take(&mut connection.input);
            self.spares.recycle(buffer);
        }
        let due = connection.deadline(&self.options);
        self.timers.arm(key, &mut connection.armed, due);
    }

    pub(crate) fn tag_of(key: usize) -> Tag {
        Tag(key as u64)
    }
}

fn key_of(tag: Tag) -> usize {
    tag.0 as usize
}

/// Which token is whose.
#[derive(Debug)]
pub(crate) struct Tokens {
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

    pub(crate) fn of_client(&self, key: usize) -> Token {
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
