//! Writes a log from a thread of its own: a file system that is slow, or a pipe that nobody empties, does not stop the loop.
//!
//! What waits is bounded. Beyond that lines are lost, and their number is told as soon as something can be written.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The loop's end of it. Dropping it waits a moment for what is not written yet.
#[derive(Debug)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines for which there was no room.
    lost: usize,
    /// The thread waits for lines.
    is_idle: bool,
    is_writing: bool,
    is_over: bool,
}

impl LogWriter {
    /// Writes to stderr.
    ///
    /// # Errors
    /// The system's, when it has no thread left.
    pub(crate) fn spawn() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let spawned = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_thread.write_on());
        match spawned {
            Ok(_) => Ok(Self { shared }),
            Err(error) => {
                let why = format!("no thread for the log: {error}");
                Err(io::Error::new(error.kind(), why))
            }
        }
    }

    /// Takes whole lines; never waits for whoever reads them.
    pub(crate) fn write(&self, lines: &[u8]) {
        let mut state = self.shared.lock();
        if state.waiting.len() + lines.len() > MOST {
            state.lost += lines.iter().filter(|octet| **octet == b'\n').count();
            return;
        }
        let before = state.waiting.len();
        state.waiting.extend_from_slice(lines);
        let is_much = before < MUCH && state.waiting.len() >= MUCH;
        if std::mem::take(&mut state.is_idle) || is_much {
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        self.shared.changed.notify_all();
        let is_left = |state: &mut State| state.has_work() || state.is_writing;
        let _ = self
            .shared
            .changed
            .wait_timeout_while(state, AT_THE_END, is_left);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn write_on(&self) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.lock();
            state.is_writing = false;
            while !state.has_work() {
                if state.is_over {
                    self.changed.notify_all();
                    return;
                }
                state.is_idle = true;
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            // Waking up for each turn of the loop would cost the more, the less there is to do in one.
            let is_little = |state: &mut State| !state.is_over && state.waiting.len() < MUCH;
            let waited = self
                .changed
                .wait_timeout_while(state, A_LITTLE, is_little)
                .unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            std::mem::swap(&mut lines, &mut state.waiting);
            let lost = std::mem::take(&mut state.lost);
            state.is_writing = true;
            drop(state);
            if lost > 0 {
                // Writing to memory does not fail.
                let _ = writeln!(
                    lines,
                    "proxy: {lost} lines of the log are lost: it was not read"
                );
            }
            // Locked, so that the lines of several loops stay whole.
            write_whole(&mut io::stderr().lock(), &lines);
            lines.clear();
            lines.shrink_to(MUCH);
        }
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.lost > 0
    }
}

/// A log that cannot be written stops nobody.
fn write_whole(out: &mut impl Write, mut lines: &[u8]) {
    while !lines.is_empty() {
        match out.write(lines) {
            Ok(0) => return,
            Ok(len) => lines = &lines[len..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process that has the same pipe or terminal may have made it so.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(A_MOMENT),
            Err(_) => return,
        }
    }
}

/// Octets that wait, of each loop: half a second of the most that a loop can say. As many again may be being written.
const MOST: usize = 8 * 1024 * 1024;
/// So many are written at once; and so much memory is kept when nothing waits.
const MUCH: usize = 64 * 1024;
/// How long fewer than that are left waiting for more.
const A_LITTLE: Duration = Duration::from_millis(20);
/// How often a log is tried that has no room for now, and says so instead of waiting.
const A_MOMENT: Duration = Duration::from_millis(2);
/// How long the end waits for the last lines.
const AT_THE_END: Duration = Duration::from_secs(3);
