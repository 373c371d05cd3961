//! Runs the examples, built from the current sources.

#![allow(
    dead_code,
    reason = "each test program that includes this file uses its own part"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take before the test fails.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// The result of a program.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: ended by a signal.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Checks the status, and that stderr is one line with these words.
    #[track_caller]
    pub(crate) fn failed(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} in {self:?}");
        }
    }

    /// Checks for success without a message.
    #[track_caller]
    pub(crate) fn succeeded(&self) {
        assert_eq!(
            (self.status, self.stderr.as_str()),
            (Some(0), ""),
            "{self:?}"
        );
    }
}

/// An example's command.
pub(crate) fn example(name: &str) -> Command {
    let mut command = Command::new(path(name));
    command.stdin(Stdio::null());
    command
}

/// The path of an example. `cargo test` builds all examples, `cargo test --test NAME` builds none, so it may be
/// outdated.
pub(crate) fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // target/debug/deps/examples-0123456789abcdef
        let this = std::env::current_exe().expect("a running test has a path");
        let profile = this.ancestors().nth(2).expect("this test is in deps/");
        build_examples(profile);
        profile.join("examples")
    });
    folder
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION)
}

/// Builds the examples with the profile and the features of this test. After `cargo test` nothing is left to build.
fn build_examples(profile: &Path) {
    let name = profile.file_name().and_then(|name| name.to_str());
    let name = match name.expect("a profile has a name") {
        "debug" => "dev",
        name => name,
    };
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--examples", "--profile", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("--target-dir")
        .arg(profile.parent().expect("the target directory"));
    if cfg!(feature = "testkit") {
        build.arg("--all-features");
    }
    assert!(build.status().expect("cargo starts").success());
}

/// Runs a command to its end with this stdin.
pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut input = child.stdin.take().expect("it is a pipe");
    let bytes = stdin.to_vec();
    // A program that does not read its stdin closes it, which is not a failure here.
    let writer = thread::spawn(move || drop(input.write_all(&bytes)));
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).expect("a pipe");
        bytes
    });
    let mut stderr = child.stderr.take().expect("it is a pipe");
    let errors = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).expect("text");
        text
    });
    let status = wait(&mut child);
    writer.join().expect("no panic");
    Ended {
        status,
        stdout: reader.join().expect("no panic"),
        stderr: errors.join().expect("no panic"),
    }
}

/// Waits for a process to end.
pub(crate) fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + TIME_LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status.code();
        }
        if Instant::now() >= deadline {
            child.kill().expect("it has not ended");
            child.wait().expect("it was killed");
            panic!("the program does not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Stops a process and continues it, which interrupts the system call it waits in (signal(7)).
pub(crate) fn interrupt(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).expect("a child can be signalled");
    let stat = format!("/proc/{}/stat", child.id());
    let deadline = Instant::now() + TIME_LIMIT;
    while !std::fs::read_to_string(&stat).is_ok_and(|text| text.contains(") T ")) {
        assert!(Instant::now() < deadline, "the program does not stop");
        thread::sleep(Duration::from_millis(1));
    }
    kill_process(pid, Signal::CONT).expect("a child can be signalled");
}

/// An example that is a server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: Child,
    /// Kept open: otherwise the next line it prints would end it.
    _stdout: BufReader<ChildStdout>,
    /// The address that it printed.
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a pipe");
        let address = line.trim_end().strip_prefix("listening on ");
        Self {
            address: address.expect("it says where it listens").to_owned(),
            child,
            _stdout: stdout,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Switches the proxy's limits off that a busy machine could exceed, but for those that the test has set.
pub(crate) fn lift_limits(proxy: &mut Command) {
    for part in "queue connect read write header keepalive client".split(' ') {
        let limit = format!("--{part}-timeout");
        if proxy.get_args().all(|it| it != &*limit) {
            proxy.args([&limit, "3600"]);
        }
    }
}
