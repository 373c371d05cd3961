//! The event loops: events, turns and deadlines of the connections. One loop per thread.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::answer::Site;
use super::buffers::Pool;
use super::connection::{Connection, Next};
use super::socket::{Listener, Stream};
use super::{Control, Counters, Options};

/// Runs the configured number of loops. The first one, on this thread, accepts connections for all of them.
pub(super) fn run(listener: Listener, options: &Options, control: &Control) -> io::Result<()> {
    let site = Site::new(options);
    let (mut first, outlet) = EventLoop::new(&site, control)?;
    let mut outlets = vec![outlet];
    let mut others = Vec::new();
    for _ in 1..options.threads {
        let (event_loop, outlet) = EventLoop::new(&site, control)?;
        others.push(event_loop);
        outlets.push(outlet);
    }
    first.listen(listener, outlets)?;
    std::thread::scope(|scope| {
        let others: Vec<_> = others
            .into_iter()
            .map(|event_loop| scope.spawn(move || event_loop.run()))
            .collect();
        let mut result = first.run();
        for other in others {
            match other.join() {
                Ok(ended) => result = result.and(ended),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result
    })
}

/// What a connection uses in its turn.
pub(super) struct Context<'a> {
    pub(super) site: &'a Site,
    pub(super) pool: &'a mut Pool,
    pub(super) counters: &'a mut Counters,
    pub(super) now: Instant,
    /// The buffer that connections read into.
    pub(super) buf: &'a mut [u8],
}

struct EventLoop<'a> {
    site: &'a Site,
    control: &'a Control,
    poll: Poll,
    acceptor: Option<Acceptor>,
    inbox: Receiver<Stream>,
    connections: Slab<Connection>,
    /// Connections that have something to do, each at most once.
    ready: VecDeque<usize>,
    /// When a connection gets a turn without an event. At most one entry per connection.
    deadlines: BTreeSet<(Instant, usize)>,
    pool: Pool,
    buf: Vec<u8>,
    counters: Counters,
}

/// The listener, and the loops that get its connections in turn.
struct Acceptor {
    listener: Listener,
    outlets: Vec<Outlet>,
    next: usize,
    /// When to try to accept again, after the system lacked a resource: no event reports that it is available again.
    retry_at: Option<Instant>,
}

struct Outlet {
    streams: Sender<Stream>,
    waker: Arc<Waker>,
}

impl<'a> EventLoop<'a> {
    fn new(site: &'a Site, control: &'a Control) -> io::Result<(Self, Outlet)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        control.add_waker(Arc::clone(&waker));
        let (streams, inbox) = mpsc::channel();
        let event_loop = Self {
            site,
            control,
            poll,
            acceptor: None,
            inbox,
            connections: Slab::new(),
            ready: VecDeque::new(),
            deadlines: BTreeSet::new(),
            pool: Pool::default(),
            buf: vec![0; READ_LEN],
            counters: Counters::default(),
        };
        Ok((event_loop, Outlet { streams, waker }))
    }

    fn listen(&mut self, mut listener: Listener, outlets: Vec<Outlet>) -> io::Result<()> {
        listener.register(self.poll.registry(), LISTENER)?;
        self.acceptor = Some(Acceptor {
            listener,
            outlets,
            next: 0,
            retry_at: None,
        });
        Ok(())
    }

    /// Runs until the control says stop. An error of one loop stops all of them.
    fn run(mut self) -> io::Result<()> {
        let result = self.run_until_stopped();
        self.control.stop();
        result
    }

    fn run_until_stopped(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.control.is_stopped() {
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(now),
                    WAKER => {
                        while let Ok(stream) = self.inbox.try_recv() {
                            self.adopt(stream);
                        }
                    }
                    Token(key) => {
                        if let Some(connection) = self.connections.get_mut(key) {
                            connection.note_readiness(event);
                            enqueue(&mut self.ready, key, connection);
                        }
                    }
                }
            }
            self.handle_deadlines(now);
            for _ in 0..self.ready.len() {
                if let Some(key) = self.ready.pop_front() {
                    self.turn(key, now);
                }
            }
            self.control.add(&std::mem::take(&mut self.counters));
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let retry_at = self
            .acceptor
            .as_ref()
            .and_then(|acceptor| acceptor.retry_at);
        let due = self.deadlines.first().map(|&(due, _)| due);
        let next = retry_at.into_iter().chain(due).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn accept(&mut self, now: Instant) {
        let Some(acceptor) = &mut self.acceptor else {
            return;
        };
        acceptor.retry_at = None;
        let mut own = Vec::new();
        loop {
            match acceptor.listener.accept() {
                Ok(stream) => {
                    let turn = acceptor.next;
                    acceptor.next = (turn + 1) % acceptor.outlets.len();
                    if turn == 0 {
                        own.push(stream);
                    } else {
                        acceptor.outlets[turn].push(stream);
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset => {}
                    _ => {
                        log::warn!("cannot accept: {error}");
                        acceptor.retry_at = Some(now + ACCEPT_RETRY);
                        break;
                    }
                },
            }
        }
        for stream in own {
            self.adopt(stream);
        }
    }

    fn adopt(&mut self, mut stream: Stream) {
        if self.connections.len() >= self.site.options.max_connections {
            log::debug!("a connection is closed, there are as many as the limit");
            return;
        }
        let entry = self.connections.vacant_entry();
        let registered = self.poll.registry().register(
            stream.source(),
            Token(entry.key()),
            Interest::READABLE | Interest::WRITABLE,
        );
        match registered {
            Ok(()) => {
                entry.insert(Connection::new(stream));
                self.counters.connections += 1;
            }
            Err(error) => log::warn!("a connection cannot be watched: {error}"),
        }
    }

    fn handle_deadlines(&mut self, now: Instant) {
        let retry_at = self
            .acceptor
            .as_ref()
            .and_then(|acceptor| acceptor.retry_at);
        if retry_at.is_some_and(|due| due <= now) {
            self.accept(now);
        }
        while let Some(&(due, key)) = self.deadlines.first()
            && due <= now
        {
            self.deadlines.pop_first();
            if let Some(connection) = self.connections.get_mut(key) {
                connection.armed = None;
                enqueue(&mut self.ready, key, connection);
            }
        }
    }

    fn turn(&mut self, key: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.queued = false;
        let next = connection.turn(&mut Context {
            site: self.site,
            pool: &mut self.pool,
            counters: &mut self.counters,
            now,
            buf: &mut self.buf,
        });
        let due = match next {
            Next::Wait { due } => due,
            Next::Again { due } => {
                enqueue(&mut self.ready, key, connection);
                due
            }
            Next::Close => None,
        };
        if connection.armed != due {
            if let Some(armed) = connection.armed {
                self.deadlines.remove(&(armed, key));
            }
            self.deadlines.extend(due.map(|due| (due, key)));
            connection.armed = due;
        }
        if matches!(next, Next::Close) {
            let mut connection = self.connections.remove(key);
            if let Err(error) = connection.deregister(self.poll.registry()) {
                log::debug!("a connection cannot be given up: {error}");
            }
        }
    }
}

impl Outlet {
    fn push(&self, stream: Stream) {
        // Sending fails only if that loop has ended, and then all of them end.
        if self.streams.send(stream).is_ok()
            && let Err(error) = self.waker.wake()
        {
            log::warn!("a loop cannot be woken: {error}");
        }
    }
}

fn enqueue(ready: &mut VecDeque<usize>, key: usize, connection: &mut Connection) {
    if !connection.queued {
        connection.queued = true;
        ready.push_back(key);
    }
}

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// The most bytes that a connection reads per turn.
const READ_LEN: usize = 64 * 1024;

const ACCEPT_RETRY: Duration = Duration::from_millis(100);
