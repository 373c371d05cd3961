//! The access log: its lines, and readers that do not read it.

#[cfg(target_os = "linux")]
use std::fs::File;
use std::io::{PipeReader, Read};
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use rustix::fs::OFlags;
#[cfg(target_os = "linux")]
use rustix::fs::{CWD, FileType, Mode};
use rustix::process::Signal;
use tempfile::NamedTempFile;

use super::harness::{Proxy, TIME_LIMIT, find, get};
use crate::program::example;

/// This many lines of this length are more than the proxy keeps for a log that is not read, and more than a pipe holds.
const REQUESTS: usize = 1600;
const LINE_LEN: usize = 7000;

// edge: a log that is not read | clients are served, lines beyond 8 MiB are lost and counted
#[test]
fn a_log_that_is_not_read_blocks_no_client_and_reports_lost_lines() {
    let (mut proxy, log) = piped();
    ask(&proxy, REQUESTS);
    let counts = counts(&mut proxy, LogReader::new(log));
    assert!(counts.lost > 0);
    assert_eq!(counts.whole + counts.lost, REQUESTS);
    assert_eq!(counts.cut, 0);
}

// edge: a log whose reader is gone | clients are served, lost lines are counted and reported to the next reader
#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_reports_lost_lines() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("log");
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, mode, 0).expect("a FIFO");
    // Opening must not block: neither here nor below, where the proxy has one end.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = File::options();
    options.read(true).custom_flags(nonblocking);
    let reader = options.open(&path).expect("a FIFO");
    let writer = File::options().write(true).open(&path).expect("a FIFO");
    let mut proxy = logging_to(writer);
    // More than the FIFO holds. The rest is kept for the next reader.
    ask(&proxy, 20);
    drop(reader);
    for _ in 0..2 {
        // Each time all lines are tried and refused, so that the counts have to be added.
        ask(&proxy, 3);
        proxy.wait_for_rest();
    }
    let log = LogReader::new(File::open(&path).expect("a FIFO"));
    ask(&proxy, 1);
    let counts = counts(&mut proxy, log);
    assert!(counts.lost > 6, "{counts:?}");
    assert_eq!(counts.whole + counts.lost, 20 + 6 + 1, "{counts:?}");
    // Of a batch, the FIFO took what fits. Lines that were written one by one end where a page of it does.
    assert!(counts.cut <= 1, "{counts:?}");
}

/// Counts of log lines.
#[derive(Debug, Default)]
struct Counts {
    whole: usize,
    /// Lines that end too early. They are lost too.
    cut: usize,
    /// Lost lines, as reported in the log.
    lost: usize,
}

/// Reads until the loss is reported, and then up to the end of the log.
fn counts(proxy: &mut Proxy, mut log: LogReader) -> Counts {
    let told = b" lines of the log are lost";
    log.read_until(|bytes| find(&bytes[bytes.len().saturating_sub(100)..], told).is_some());
    end(proxy);
    let mut counts = Counts::default();
    let text = log.rest();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        match line.strip_prefix("proxy: ") {
            Some(said) => {
                let count = said.split(' ').next().and_then(|count| count.parse().ok());
                counts.lost += count.unwrap_or(0);
            }
            None => {
                assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
                match line.len() > LINE_LEN {
                    true => counts.whole += 1,
                    false => counts.cut += 1,
                }
            }
        }
    }
    counts
}

/// Each quote takes four bytes in the log.
// edge: more than 8 MiB of lines at once, with a log that is read | none is lost
#[test]
fn many_lines_at_once_are_all_written() {
    let mut proxy = Proxy::start(&[]);
    let mut crowd: Vec<_> = (0..60).map(|_| proxy.connect()).collect();
    let mut last = proxy.connect();
    last.send(get("/tag?tag=warm"));
    assert_eq!(last.answer().text(), "warm");
    // So that everything arrives in one turn.
    proxy.halt();
    // The proxy answers these requests itself.
    let request = get(&format!("/../?{}", "\"".repeat(LINE_LEN)));
    for client in &mut crowd {
        client.send(request.repeat(7));
    }
    proxy.signal(Signal::CONT);
    for client in &mut crowd {
        for _ in 0..7 {
            assert_eq!(client.answer().status, 403);
        }
    }
    end(&mut proxy);
    let log = proxy.log();
    let lines = log.lines().filter(|line| line.contains("\"-\" \"-\" - "));
    assert_eq!(lines.count(), 60 * 7, "of {} bytes", log.len());
}

/// A log is nonblocking if another process shares it and has made it so.
// edge: a nonblocking log | its lines stay whole, and none is lost
#[test]
fn a_nonblocking_log_is_written_completely() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let flags = rustix::fs::fcntl_getfl(&writer).expect("a pipe");
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("a pipe");
    let mut proxy = logging_to(writer);
    // Far more than the pipe holds, and less than the proxy keeps.
    ask(&proxy, 300);
    let mut log = LogReader::new(reader);
    log.read_until(|bytes| requests(&String::from_utf8_lossy(bytes)).len() == 300);
    end(&mut proxy);
    let text = log.rest();
    let lines = requests(&text);
    assert_eq!(lines.len(), 300);
    for line in lines {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.len() > LINE_LEN, "{line}");
    }
}

// edge: a log that is not read at SIGTERM | the process ends without the queued lines, after a moment
#[test]
fn a_log_that_is_not_read_does_not_delay_the_exit() {
    let (mut proxy, _log) = piped();
    // More than the pipe holds.
    ask(&proxy, 50);
    end(&mut proxy);
}

// edge: a log that is read again at SIGTERM | the process ends after the last line
#[test]
fn the_exit_waits_for_the_last_lines() {
    let (mut proxy, log) = piped();
    // More than the pipe holds.
    ask(&proxy, 200);
    proxy.terminate();
    let text = LogReader::new(log).rest();
    assert!(proxy.wait().success());
    assert!(text.ends_with('\n'));
    assert_eq!(requests(&text).len(), 200);
}

/// The lines of requests: all but the warning of a process that runs as root.
fn requests(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter(|line| !line.contains("running as root"))
        .collect()
}

/// Reads the log to its end, within [`TIME_LIMIT`].
struct LogReader {
    pieces: mpsc::Receiver<Vec<u8>>,
    bytes: Vec<u8>,
}

impl LogReader {
    fn new(mut log: impl Read + Send + 'static) -> Self {
        let (tell, pieces) = mpsc::channel();
        thread::spawn(move || {
            let mut piece = vec![0; 64 * 1024];
            while let Ok(len @ 1..) = log.read(&mut piece) {
                if tell.send(piece[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        let bytes = Vec::new();
        Self { pieces, bytes }
    }

    fn read_until(&mut self, is_enough: impl Fn(&[u8]) -> bool) {
        while !is_enough(&self.bytes) {
            let piece = self.pieces.recv_timeout(TIME_LIMIT);
            self.bytes.extend(piece.expect("more lines"));
        }
    }

    /// The rest of the log, up to the end of its writer.
    fn rest(mut self) -> String {
        loop {
            match self.pieces.recv_timeout(TIME_LIMIT) {
                Ok(piece) => self.bytes.extend(piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the log does not end"),
            }
        }
        String::from_utf8(self.bytes).expect("UTF-8")
    }
}

fn piped() -> (Proxy, PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    (logging_to(writer), reader)
}

fn logging_to(writer: impl Into<Stdio>) -> Proxy {
    let unused = NamedTempFile::new().expect("a file");
    Proxy::launch_logging(example("proxy"), unused, writer.into())
}

fn ask(proxy: &Proxy, requests: usize) {
    let target = format!("/tag?tag=a&long={}", "x".repeat(LINE_LEN));
    let mut client = proxy.connect();
    for _ in 0..requests {
        client.send(get(&target));
        assert_eq!(client.answer().text(), "a");
    }
}

#[cfg(unix)]
fn end(proxy: &mut Proxy) {
    proxy.terminate();
    assert!(proxy.wait().success());
}
