//! Writes a log from a thread of its own, so that a slow file system, or a pipe that is not read, does not block the
//! loop.
//!
//! The bytes waiting to be written are bounded. Lines beyond that are lost, and so are lines that the system refuses to
//! write. Their number is logged after the next line that can be written.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The loop's side of the log. Dropping it waits up to 3 s for the remaining lines to be written.
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
    /// Number of lines that were dropped because `waiting` was full.
    lost: usize,
    /// The thread waits for lines.
    is_idle: bool,
    is_writing: bool,
    is_over: bool,
}

impl LogWriter {
    /// Starts a thread that writes to stderr.
    ///
    /// # Errors
    /// The system's error if it has no thread left.
    pub(crate) fn spawn() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let spawned = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_thread.write_on());
        match spawned {
            Ok(_) => Ok(Self { shared }),
            Err(error) => {
                let why = format!("cannot start the thread of the log: {error}");
                Err(io::Error::new(error.kind(), why))
            }
        }
    }

    /// Takes whole lines. Never blocks on the reader of the log.
    pub(crate) fn write(&self, lines: &[u8]) {
        let mut state = self.shared.lock();
        if state.waiting.len() + lines.len() > MAX_WAITING {
            state.lost += line_count(lines);
            return;
        }
        let before = state.waiting.len();
        state.waiting.extend_from_slice(lines);
        let is_much = before < BATCH_LEN && state.waiting.len() >= BATCH_LEN;
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
            .wait_timeout_while(state, DROP_TIMEOUT, is_left);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's main loop.
    fn write_on(&self) {
        let mut lines = Vec::new();
        let mut lost = Lost::default();
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
            // A short delay collects lines: waking the thread for every turn would cost most when a turn has little to
            // do.
            let is_little = |state: &mut State| !state.is_over && state.waiting.len() < BATCH_LEN;
            let waited = self
                .changed
                .wait_timeout_while(state, BATCH_DELAY, is_little)
                .unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            std::mem::swap(&mut lines, &mut state.waiting);
            lost.add(std::mem::take(&mut state.lost), "it was not read");
            state.is_writing = true;
            drop(state);
            // Locked, so that the lines of several loops are not mixed.
            lost.write(&mut io::stderr().lock(), &lines);
            lines.clear();
            lines.shrink_to(BATCH_LEN);
        }
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.lost > 0
    }
}

/// Lines that were lost and not yet reported in the log.
#[derive(Debug, Default)]
struct Lost {
    count: usize,
    /// The reason of the last loss.
    why: String,
    /// The log ends in the middle of a line.
    is_cut: bool,
}

impl Lost {
    fn add(&mut self, count: usize, why: impl Display) {
        if count > 0 {
            self.count += count;
            self.why = why.to_string();
        }
    }

    /// Writes whole lines, then the number of lost lines. Failures are counted as lost lines, not returned.
    fn write(&mut self, out: &mut impl Write, lines: &[u8]) {
        if let Err((rest, error)) = self.put(out, lines) {
            self.add(line_count(rest), error);
        } else if self.count > 0 {
            let told = format!(
                "proxy: {} lines of the log are lost: {}\n",
                self.count, self.why
            );
            if self.put(out, told.as_bytes()).is_ok() {
                self.count = 0;
            }
        }
    }

    /// Writes whole lines, beginning on a new line. An error comes with the lines that were not written.
    fn put<'l>(&mut self, out: &mut impl Write, lines: &'l [u8]) -> Result<(), Refused<'l>> {
        if self.is_cut {
            write_whole(out, b"\n").map_err(|(_, error)| (lines, error))?;
            self.is_cut = false;
        }
        let written = write_whole(out, lines);
        if let Err((rest, _)) = &written {
            let taken = &lines[..lines.len() - rest.len()];
            self.is_cut = taken.last().is_some_and(|byte| *byte != b'\n');
        }
        written
    }
}

/// The lines that were not written, and why.
type Refused<'l> = (&'l [u8], io::Error);

fn write_whole<'l>(out: &mut impl Write, mut lines: &'l [u8]) -> Result<(), Refused<'l>> {
    while !lines.is_empty() {
        match out.write(lines) {
            Ok(0) => return Err((lines, io::ErrorKind::WriteZero.into())),
            Ok(len) => lines = &lines[len..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process that shares the pipe or terminal may have made it non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(RETRY_INTERVAL)
            }
            Err(error) => return Err((lines, error)),
        }
    }
    Ok(())
}

fn line_count(lines: &[u8]) -> usize {
    lines.iter().filter(|byte| **byte == b'\n').count()
}

/// The most bytes of a loop that wait to be written: half a second of the most that a loop can log. While these are
/// written, as many can wait again.
const MAX_WAITING: usize = 8 * 1024 * 1024;
/// With this many bytes the thread is woken; and this much memory is kept when no bytes wait.
const BATCH_LEN: usize = 64 * 1024;
/// How long fewer bytes than that wait for more.
const BATCH_DELAY: Duration = Duration::from_millis(20);
/// How often to retry a non-blocking log that is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(2);
/// How long dropping the log waits for the last lines.
const DROP_TIMEOUT: Duration = Duration::from_secs(3);
