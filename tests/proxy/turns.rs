//! Turns of a worker that a test drives.

use std::time::{Duration, Instant};

use mio::{Events, Poll};
use mio_fcgi::ReadBuf;

use crate::harness::TIME_LIMIT;
use crate::proxy::serve::worker;

/// Runs turns until there is nothing to do at the current time.
pub(crate) fn run(poll: &mut Poll, worker: &mut worker::Worker) {
    let mut events = Events::with_capacity(64);
    let mut buf = ReadBuf::default();
    loop {
        poll.poll(&mut events, Some(Duration::from_millis(20)))
            .expect("events");
        for event in &events {
            assert!(worker.handle_event(event), "it is the worker's");
        }
        worker.turn(&mut buf);
        if events.is_empty() && worker.timeout() != Some(Duration::ZERO) {
            return;
        }
    }
}

/// What was sent may arrive late on a busy machine.
pub(crate) fn run_until(
    poll: &mut Poll,
    worker: &mut worker::Worker,
    is_so: impl Fn(&worker::Worker) -> bool,
) {
    let began = Instant::now();
    while !is_so(worker) {
        assert!(began.elapsed() < TIME_LIMIT, "never came true");
        run(poll, worker);
    }
}
