//! Processes that are measured or measure: started on a core, looked at, ended.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The core of what is measured, and that of all the rest.
pub(crate) const MEASURED: &str = "0";
pub(crate) const OTHERS: &str = "1";
/// Where a thread each has a core.
pub(crate) const ALL_CORES: &str = "0,1";

/// A process that is ended when this is dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Running {
    /// Starts `program` on a core; what it says goes to a file in `directory`.
    pub(crate) fn start(
        core: &str,
        program: &Path,
        arguments: &[&str],
        directory: &Path,
    ) -> Result<Self> {
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let child = pinned(core, program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        Ok(Self { child, log, name })
    }

    /// Waits until somebody accepts at this address.
    pub(crate) fn wait_for(&mut self, address: &Listening) -> Result<()> {
        let start = Instant::now();
        while !address.is_there() {
            if start.elapsed() > Duration::from_secs(10) || self.child.try_wait()?.is_some() {
                bail!("{} does not listen:\n{}", self.name, self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process that does the work: itself, or the first worker of nginx.
    pub(crate) fn worker(&self) -> u32 {
        self.workers()[0]
    }

    /// The processes that do the work, one at least.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = children(pid);
        if self.name == "nginx" && !children.is_empty() {
            children
        } else {
            vec![pid]
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if start.elapsed() > Duration::from_secs(3) {
                // It is a master whose workers end with it, or has none.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Where a process can be reached.
pub(crate) enum Listening {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Listening {
    fn is_there(&self) -> bool {
        match self {
            Self::Tcp(address) => TcpStream::connect(address).is_ok(),
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Runs a program on a core to its end, or for [`TIME_LIMIT`] seconds.
pub(crate) fn run(core: &str, program: &Path, arguments: &[&str]) -> Result<Output> {
    pinned(core, Path::new("timeout"))
        .args(["-s", "KILL", TIME_LIMIT])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} does not start", program.display()))
}

/// Much more than any of them takes.
const TIME_LIMIT: &str = "30";

fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The processor time of all threads of a process, user and system, to the nanosecond.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos: u64 = text
            .split_whitespace()
            .next()
            .context("an empty schedstat")?
            .parse()?;
        sum += nanos;
    }
    Ok(Duration::from_nanos(sum))
}

/// Resident memory now, in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Counts the system calls of a process while `during` runs. `perf` counts them in passing; `strace` would slow the
/// process down so much that it would find more to do in each turn.
pub(crate) fn count_calls<T>(
    pid: u32,
    directory: &Path,
    during: impl FnOnce() -> Result<T>,
) -> Result<(u64, T)> {
    let report = directory.join("perf.txt");
    let mut perf = pinned(OTHERS, Path::new("perf"))
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter"])
        .args(["-p", &pid.to_string(), "-o"])
        .arg(&report)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("perf does not start")?;
    // It does not say when it has attached.
    std::thread::sleep(Duration::from_millis(300));
    let value = during();
    if let Some(id) = Pid::from_raw(perf.id() as i32) {
        kill_process(id, Signal::INT)?;
    }
    perf.wait()?;
    let text = fs::read_to_string(&report).context("perf wrote no report")?;
    let line = text.lines().find(|line| line.contains("sys_enter"));
    let count = line.and_then(|line| line.split(',').next());
    let calls = count.context("perf counted nothing")?.parse()?;
    Ok((calls, value?))
}
