//! An application's processes: started in a group of their own, killed by that group's id.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::TIME_LIMIT;

/// A running program and its log.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    log_start: u64,
    ended: Option<ExitStatus>,
}

/// A command for `program` that the kernel ends when the thread that starts it does.
///
/// This also covers a test run that is killed and drops nothing. A process therefore lives no longer than the test that
/// started it, and cannot be shared between tests through a static.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program.as_ref());
    command.stdin(Stdio::null());
    command
}

impl Process {
    /// Starts `command`; what it prints is appended to `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .expect("the application's log opens");
        let log_start = file.metadata().expect("an open file has metadata").len();
        let child = command
            .process_group(0)
            .stdout(file.try_clone().expect("an open file can be cloned"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}; run tests/run"));
        Self {
            child,
            log: log.to_owned(),
            log_start,
            ended: None,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has logged since it was started, or since the log was forgotten.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start).map_or(0, |start| start.min(bytes.len()));
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// Leaves out of [`log`](Self::log) what was logged so far.
    pub(crate) fn forget_log(&mut self) {
        self.log_start = fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
    }

    /// Waits until the log holds `text`; the error says why it will not.
    pub(crate) fn wait_for_log(&mut self, text: &str) -> Result<(), String> {
        let log = self.log.clone();
        wait_until(|| self.log().contains(text) || self.has_ended());
        if self.log().contains(text) {
            return Ok(());
        }
        let why = match self.ended {
            Some(status) => format!("the application ended with {status}"),
            None => format!("the application did not log {text:?} within {TIME_LIMIT:?}"),
        };
        Err(format!("{why}; {}: {}", log.display(), self.log()))
    }

    /// Sends the program alone a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.ended.is_none(), "a signal to a program that has ended");
        kill_process(Pid::from_child(&self.child), signal)
            .expect("a child not waited for can be signalled");
    }

    /// Sends `signal`, waits until the program ends, and kills what it left behind.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait_for_end()
    }

    /// Waits until a program that was told to end has done so, and kills what it left behind.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        assert!(
            wait_until(|| self.has_ended()),
            "the application did not end: {}",
            self.log()
        );
        self.kill_group();
        self.ended.expect("has_ended was true")
    }

    /// Waits at most `time_limit` for a program that ends by itself.
    pub(crate) fn wait(&mut self, time_limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + time_limit;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        self.ended
    }

    /// Whether the program has ended; its workers may live on.
    pub(crate) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended.is_some()
    }

    /// The live processes of the program's group, the program among them.
    pub(crate) fn group(&self) -> Vec<u32> {
        living(|_, process| process.group == self.pid())
    }

    /// The live processes that the program itself has started.
    pub(crate) fn children(&self) -> Vec<u32> {
        living(|_, process| process.parent == self.pid())
    }

    fn kill_group(&mut self) {
        // While a member lives, the group's id is not reused; without a member there is nothing to kill.
        if self.ended.is_none() || !self.group().is_empty() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
        wait_until(|| self.group().is_empty());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
        if thread::panicking() {
            let log = self.log();
            let from = log
                .char_indices()
                .rev()
                .nth(LOG_SHOWN)
                .map_or(0, |(at, _)| at);
            eprintln!("the end of the application's log:\n{}", &log[from..]);
        }
    }
}

/// Waits until `condition` holds, at most [`TIME_LIMIT`]. Returns whether it does.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + TIME_LIMIT;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Whether a process is there and not dead.
pub(crate) fn is_alive(pid: u32) -> bool {
    !living(|other, _| other == pid).is_empty()
}

struct Status {
    parent: u32,
    group: u32,
}

/// The processes that match, without those that are dead and only not yet waited for.
fn living(matches: impl Fn(u32, &Status) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse::<u32>().ok()?;
            // proc(5): "pid (name) state parent group …"; the name may hold anything, blanks and brackets included.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
            let state = fields.next()?;
            let status = Status {
                parent: fields.next()?.parse().ok()?,
                group: fields.next()?.parse().ok()?,
            };
            (!matches!(state, "Z" | "X") && matches(pid, &status)).then_some(pid)
        })
        .collect()
}

/// How many characters of a log a failing test prints.
const LOG_SHOWN: usize = 4000;
