//! The proxy's own event loop: a poll, the signals, and one worker. A worker needs no more of a loop than the four
//! steps of [`EventLoop::run`].

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use mio::{Events, Poll, Token, Waker};
use mio_fcgi::{Config, ReadBuf};

use super::memory::Memory;
use super::net::listener::Listener;
use super::serve::worker::Worker;
use super::signals::{Signal, Signals};
use super::site::metrics::Metrics;
use super::site::options::Options;
use super::upstreams::{Change, Changes, Lookups, Outlet};

pub(crate) struct EventLoop {
    poll: Poll,
    signals: Signals,
    worker: Worker,
    /// The loop that logs what all loops are told.
    is_first: bool,
    changes: Option<Changes>,
    lookups: Option<Arc<Lookups>>,
    memory: Memory,
}

impl EventLoop {
    /// # Errors
    /// The errors of [`Worker::new`].
    pub(crate) fn new(
        index: usize,
        options: &Arc<Options>,
        metrics: &Arc<Metrics>,
        configs: Vec<Config>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let signals = Signals::new(poll.registry(), SIGNALS)?;
        let worker = Worker::new(poll.registry(), WORKER, index, options, metrics, configs)?;
        Ok(Self {
            poll,
            signals,
            worker,
            is_first: index == 0,
            changes: None,
            lookups: None,
            memory: Memory::default(),
        })
    }

    /// Accepts clients from one more listener.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn listen(&mut self, listener: Listener) -> io::Result<()> {
        self.worker.listen(listener)
    }

    /// Where to send new addresses of the applications.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn outlet(&mut self) -> io::Result<Outlet> {
        let waker = Waker::new(self.poll.registry(), WAKER)?;
        let (sender, changes) = channel();
        self.changes = Some(changes);
        let changes = sender;
        Ok(Outlet { changes, waker })
    }

    /// The lookups that the loop can ask for.
    pub(crate) fn set_lookups(&mut self, lookups: &Arc<Lookups>) {
        self.lookups = Some(Arc::clone(lookups));
    }

    fn take_changes(&mut self) {
        let Some(changes) = &self.changes else {
            return;
        };
        for Change { line, servers } in changes.try_iter() {
            if let Some(line) = line {
                self.worker.log(&line);
            }
            for (application, servers) in servers {
                self.worker.set_servers(application, servers);
            }
        }
    }

    /// Serves until it is told to stop and the worker has stopped.
    ///
    /// # Errors
    /// The system's error, if waiting for events fails.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buf = ReadBuf::with_len(READ_LEN);
        while !self.worker.has_stopped() {
            // 1. Wait as long as the worker allows.
            match self.poll.poll(&mut events, self.worker.timeout()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            // 2. Read the clock, once per turn.
            self.worker.set_time(Instant::now());
            // 3. Hand out the events. The worker only records its own events here.
            for event in &events {
                if !self.worker.handle_event(event) {
                    self.take_signals();
                }
            }
            self.take_changes();
            // 4. The worker does everything else here.
            self.worker.turn(&mut buf);
            self.memory.note_clients(self.worker.clients());
        }
        Ok(())
    }

    fn take_signals(&mut self) {
        for signal in self.signals.pending() {
            match signal {
                Signal::Stop => self.worker.stop(),
                Signal::Hangup if self.is_first => {
                    self.worker.log(HANGUP);
                    self.lookups.iter().for_each(|it| it.look_up_now());
                }
                Signal::User if self.is_first => self.worker.log(USER_SIGNAL),
                Signal::Hangup | Signal::User => {}
            }
        }
    }
}

/// Other servers read their configuration again.
const HANGUP: &str = "SIGHUP: going on with the same options, names are looked up again";
/// Other servers reopen their logs, or exchange their program: here the log is stderr.
const USER_SIGNAL: &str =
    "SIGUSR1 and SIGUSR2 are ignored: SIGHUP looks names up again, SIGTERM stops";
const SIGNALS: Token = Token(0);
const WAKER: Token = Token(1);
const WORKER: Range<Token> = Token(2)..Token(usize::MAX);

/// The most bytes of one read of an application. A client that takes nothing may hold as many, so twice as much would save
/// calls and cost memory.
const READ_LEN: usize = ReadBuf::DEFAULT_LEN;
