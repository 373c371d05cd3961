//! Starts the proxy and sends HTTP to it, byte by byte.

#![allow(
    dead_code,
    reason = "each test program that includes this file uses its own part"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use tempfile::NamedTempFile;

use crate::program::{example, lift_limits};

/// How long anything may take before a test fails. Only what never comes takes as long, on a busy machine too.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(300);

/// A running proxy. Killed when dropped.
pub(crate) struct Proxy {
    child: Child,
    /// Where it listens, as it says.
    places: Vec<String>,
    log: NamedTempFile,
}

impl Proxy {
    /// Starts the proxy on a free port with the demo application.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = example("proxy");
        command.args(arguments);
        Self::launch(command)
    }

    /// Starts the proxy with a command that lacks only the address.
    pub(crate) fn launch(command: Command) -> Self {
        let log = NamedTempFile::new().expect("a file");
        let stderr = log.reopen().expect("the same file");
        Self::launch_logging(command, log, stderr.into())
    }

    /// Starts the proxy with its log somewhere else.
    pub(crate) fn launch_logging(mut command: Command, log: NamedTempFile, to: Stdio) -> Self {
        command.args(["--listen", "127.0.0.1:0"]);
        Self::launch_at(command, 1, log, to)
    }

    /// Starts the proxy with the demo application at these places, the first of which is one of TCP.
    pub(crate) fn listening(places: &[&str], arguments: &[&str]) -> Self {
        let mut command = example("proxy");
        command.args(arguments);
        for place in places {
            command.args(["--listen", place]);
        }
        let log = NamedTempFile::new().expect("a file");
        let stderr = log.reopen().expect("the same file");
        Self::launch_at(command, places.len(), log, stderr.into())
    }

    fn launch_at(mut command: Command, places: usize, log: NamedTempFile, to: Stdio) -> Self {
        lift_limits(&mut command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(to)
            .spawn()
            .expect("the proxy starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let lines = stdout.lines().take(places).map(|line| {
            let line = line.expect("a line");
            let place = line.strip_prefix("listening on http://");
            place.expect("a place").to_owned()
        });
        let listening = lines.collect::<Vec<_>>();
        if listening.len() < places {
            let said = std::fs::read_to_string(log.path()).unwrap_or_default();
            panic!("the proxy said '{listening:?}' and '{said}'");
        }
        Self {
            child,
            places: listening,
            log,
        }
    }

    /// Starts the proxy in front of an application of the test.
    pub(crate) fn in_front_of(address: &str, arguments: &[&str]) -> Self {
        let fixed = ["--upstream", address, "--root", "/srv/www", "--remote"];
        Self::start(&[&fixed[..], arguments].concat())
    }

    pub(crate) fn connect(&self) -> HttpClient {
        Self::browse(TcpStream::connect(self.address()).expect("it listens"))
    }

    /// A connection with small buffers in the system, for a client that does not read.
    pub(crate) fn connect_narrow(&self) -> HttpClient {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("a socket");
        socket.connect(&self.address().into()).expect("it listens");
        Self::browse(socket.into())
    }

    fn browse(stream: TcpStream) -> HttpClient {
        stream.set_read_timeout(Some(TIME_LIMIT)).expect("a socket");
        stream
            .set_write_timeout(Some(TIME_LIMIT))
            .expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        HttpClient {
            stream,
            input: Vec::new(),
        }
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask(get(target))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.places[0].parse().expect("an address")
    }

    pub(crate) fn places(&self) -> &[String] {
        &self.places
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("the log")
    }

    /// Waits until a text is in the log.
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(
            || self.log().contains(text),
            || format!("'{text}' in {}", self.log()),
        );
    }

    /// A figure of the status page, which has to be enabled.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let all = self.status();
        let path = format!("/{}", name.replace('.', "/"));
        let figure = all.pointer(&path).and_then(serde_json::Value::as_u64);
        figure.unwrap_or_else(|| panic!("{name} in {all}"))
    }

    /// The figures of the status page, which has to be enabled.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.get("/-/status.json").body).expect("JSON")
    }

    /// Waits until a figure of the status page has this value.
    pub(crate) fn wait_for_figure(&self, name: &str, value: u64) {
        eventually(
            || self.figure(name) == value,
            || format!("{name} is {value} in {}", self.status()),
        );
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it lives");
    }

    /// Stops all threads of the proxy until [`Signal::CONT`]. Whatever is sent meanwhile then arrives at once.
    #[cfg(unix)]
    pub(crate) fn halt(&self) {
        self.signal(Signal::STOP);
        #[cfg(target_os = "linux")]
        eventually(
            || {
                let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
                tasks.expect("it lives").flatten().all(|task| {
                    let stat = std::fs::read_to_string(task.path().join("stat"));
                    stat.is_ok_and(|stat| stat.contains(") T "))
                })
            },
            || "it goes on".to_owned(),
        );
    }

    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(start.elapsed() < TIME_LIMIT, "the proxy does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resident memory in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// A memory figure of proc_pid_status(5), in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kilobytes
            .and_then(|kb| kb.parse::<u64>().ok())
            .expect("a number")
            * 1024
    }

    /// Number of system calls that write to files and sockets (proc_pid_io(5)).
    #[cfg(target_os = "linux")]
    pub(crate) fn writes(&self) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.pid())).expect("it lives");
        let line = io.lines().find_map(|line| line.strip_prefix("syscw: "));
        line.and_then(|count| count.parse().ok()).expect("a number")
    }

    /// Number of open descriptors.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptors(&self) -> usize {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        folder.expect("it lives").count()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn wait_for_descriptors(&self, is_right: impl Fn(usize) -> bool) {
        eventually(
            || is_right(self.descriptors()),
            || format!("the number of descriptors, {}", self.descriptors()),
        );
    }

    /// Processor time in ticks of the system, usually 10 ms.
    #[cfg(target_os = "linux")]
    pub(crate) fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it lives");
        let fields = stat.rsplit_once(") ").expect("a name in brackets").1;
        let fields: Vec<&str> = fields.split(' ').collect();
        // User time and system time are fields 14 and 15; the first field here is field 3.
        fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum()
    }

    /// Waits until the proxy does nothing for a while. It may still finish something, but not work on and on.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_for_rest(&self) {
        let is_at_rest = || {
            let before = self.processor_time();
            std::thread::sleep(Duration::from_millis(500));
            self.processor_time() - before <= 3
        };
        eventually(is_at_rest, || "it has always something to do".to_owned());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(LOG_SHOWN);
            let from = from.map_or(0, |(at, _)| at);
            eprintln!("the end of the proxy's log:\n{}", &log[from..]);
        }
    }
}

/// The client's side of one connection.
pub(crate) struct HttpClient {
    pub(crate) stream: TcpStream,
    input: Vec<u8>,
}

/// A response, with its chunks joined.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The response was as long as its head declares.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let named = self
            .fields
            .iter()
            .find(|field| field.0.eq_ignore_ascii_case(name));
        named.map(|field| field.1.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl HttpClient {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("it takes bytes");
    }

    /// The next response, to a request other than HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if answer.status < 200 || matches!(answer.status, 204 | 304) {
            return answer;
        }
        let len = answer
            .field("content-length")
            .map(|len| len.parse().expect("a number"));
        if answer.field("transfer-encoding") == Some("chunked") {
            answer.is_whole = self.read_chunks(&mut answer.body);
        } else {
            let len: usize = len.unwrap_or(usize::MAX);
            while self.input.len() < len && self.read_some() {}
            answer.is_whole = len == usize::MAX || self.input.len() >= len;
            let len = len.min(self.input.len());
            answer.body = self.input.drain(..len).collect();
        }
        answer
    }

    /// The head of the next response.
    pub(crate) fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = find(&self.input, b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                self.read_some(),
                "closed after '{}'",
                String::from_utf8_lossy(&self.input)
            );
        };
        let head: Vec<u8> = self.input.drain(..end).collect();
        let head = String::from_utf8(head).expect("ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap_or_default();
        let status = status
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or_else(|| panic!("a status line, not '{status}'"));
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_owned(), value.to_owned())
        });
        Answer {
            status,
            fields: fields.collect(),
            body: Vec::new(),
            is_whole: true,
        }
    }

    /// The next bytes.
    pub(crate) fn read_exactly(&mut self, body: &mut [u8]) {
        while self.input.len() < body.len() {
            assert!(self.read_some(), "closed after {} bytes", self.input.len());
        }
        body.copy_from_slice(&self.input[..body.len()]);
        self.input.drain(..body.len());
    }

    /// Checks that nothing but the end of the stream arrives.
    pub(crate) fn assert_closed(&mut self) {
        while self.read_some() {}
        assert_eq!(String::from_utf8_lossy(&self.input), "");
    }

    /// Checks that nothing arrives for a while.
    pub(crate) fn assert_silent(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a socket");
        let read = self.stream.read(&mut [0]);
        assert!(
            read.as_ref().is_err_and(|error| matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut
            )),
            "{read:?}"
        );
        self.stream
            .set_read_timeout(Some(TIME_LIMIT))
            .expect("a socket");
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(end) = find(&self.input, b"\r\n") else {
                if self.read_some() {
                    continue;
                }
                return false;
            };
            let line = std::str::from_utf8(&self.input[..end]).expect("ASCII");
            let len = usize::from_str_radix(line, 16).expect("a size");
            let whole = end + 2 + len + 2;
            while self.input.len() < whole {
                if !self.read_some() {
                    return false;
                }
            }
            body.extend_from_slice(&self.input[end + 2..end + 2 + len]);
            assert_eq!(&self.input[whole - 2..whole], b"\r\n");
            self.input.drain(..whole);
            if len == 0 {
                return true;
            }
        }
    }

    /// Reads once. False at the end of the stream, however it ended.
    fn read_some(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(len) => {
                self.input.extend_from_slice(&piece[..len]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => panic!("waiting for the proxy: {error}"),
        }
    }
}

/// A request without a body.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A request with a body.
pub(crate) fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Bytes in which a lost, repeated or moved piece is noticed.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

pub(crate) fn eventually(condition: impl Fn() -> bool, what: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIME_LIMIT, "never came true: {}", what());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs the program to its end: for invalid command lines.
pub(crate) fn run(arguments: &[&str]) -> std::process::Output {
    example("proxy")
        .args(arguments)
        .output()
        .expect("the proxy starts")
}

/// How many characters of a log a failing test prints.
const LOG_SHOWN: usize = 16_000;

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
