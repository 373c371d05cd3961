//! The proxy's own event loop: a poll, the signals, and one worker. A worker needs no more of a loop than the four
//! steps of [`EventLoop::run`].

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use mio::{Events, Poll, Token};
use mio_fcgi::{Config, ReadBuf};

use super::net::listener::Listener;
use super::serve::worker::Worker;
use super::signals::{Signal, Signals};
use super::site::metrics::Metrics;
use super::site::options::Options;

pub(crate) struct EventLoop {
    poll: Poll,
    signals: Signals,
    worker: Worker,
    /// The loop that logs what all loops are told.
    is_first: bool,
}

impl EventLoop {
    /// # Errors
    /// The errors of [`Worker::new`].
    pub(crate) fn new(
        index: usize,
        options: &Arc<Options>,
        metrics: &Arc<Metrics>,
        config: Config,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let signals = Signals::new(poll.registry(), SIGNALS)?;
        let worker = Worker::new(poll.registry(), WORKER, index, options, metrics, config)?;
        Ok(Self {
            poll,
            signals,
            worker,
            is_first: index == 0,
        })
    }

    /// Accepts clients from one more listener.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn listen(&mut self, listener: Listener) -> io::Result<()> {
        self.worker.listen(listener)
    }

    /// Serves until it is told to stop and the worker has stopped.
    ///
    /// # Errors
    /// The system's error, if waiting for events fails.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buf = ReadBuf::default();
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
            // 4. The worker does everything else here.
            self.worker.turn(&mut buf);
        }
        Ok(())
    }

    fn take_signals(&mut self) {
        for signal in self.signals.pending() {
            match signal {
                Signal::Stop => self.worker.stop(),
                Signal::Hangup if self.is_first => self.worker.log(HANGUP),
                Signal::User if self.is_first => self.worker.log(USER_SIGNAL),
                Signal::Hangup | Signal::User => {}
            }
        }
    }
}

/// Other servers read their configuration again.
const HANGUP: &str = "SIGHUP: going on, with the same options";
/// Other servers reopen their logs, or exchange their program: here the log is stderr.
const USER_SIGNAL: &str =
    "SIGUSR1 and SIGUSR2 are ignored: SIGHUP looks names up again, SIGTERM stops";
const SIGNALS: Token = Token(0);
const WORKER: Range<Token> = Token(1)..Token(usize::MAX);
