//! The proxy's own event loop: a poll, the signals, and one worker. A worker needs no more of a loop than the four
//! steps of [`EventLoop::run`].

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use mio::{Events, Poll, Token};
use mio_fcgi::{Config, ReadBuf};

use super::serve::worker::Worker;
use super::signals::Signals;
use super::site::metrics::Metrics;
use super::site::options::Options;

pub(crate) struct EventLoop {
    poll: Poll,
    signals: Signals,
    worker: Worker,
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
        })
    }

    /// Starts to listen and returns the address, which has the actual port if port 0 was asked for.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.worker.listen(address)
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
                    for _ in 0..self.signals.pending() {
                        self.worker.stop();
                    }
                }
            }
            // 4. The worker does everything else here.
            self.worker.turn(&mut buf);
        }
        Ok(())
    }
}

const SIGNALS: Token = Token(0);
const WORKER: Range<Token> = Token(1)..Token(usize::MAX);
