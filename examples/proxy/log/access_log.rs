//! One line per request: the combined log format, then the time that the application took.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use super::log_writer::LogWriter;

/// The log lines of a turn. They are passed to the writer's thread once per turn, or earlier if there are many.
#[derive(Debug)]
pub(crate) struct AccessLog {
    lines: Vec<u8>,
    is_on: bool,
    writer: LogWriter,
    /// Entries for reuse.
    entries: Vec<LogEntry>,
}

/// What a log line needs of a request's head, which is gone when the line is written. Reused from request to request.
#[derive(Debug, Default)]
pub(crate) struct LogEntry {
    bytes: Vec<u8>,
    /// Where in `bytes` the request line ends, and where the referrer ends.
    line_end: usize,
    referrer_end: usize,
}

impl LogEntry {
    /// Stores the request line.
    fn start(&mut self, line: &[u8]) {
        self.bytes.clear();
        push_escaped(&mut self.bytes, line);
        self.line_end = self.bytes.len();
        self.set_fields(None, None);
    }

    /// Stores the fields that are logged. `None`: the request does not have the field.
    pub(crate) fn set_fields(&mut self, referrer: Option<&[u8]>, agent: Option<&[u8]>) {
        self.bytes.truncate(self.line_end);
        push_escaped(&mut self.bytes, referrer.unwrap_or(b"-"));
        self.referrer_end = self.bytes.len();
        push_escaped(&mut self.bytes, agent.unwrap_or(b"-"));
    }

    fn parts(&self) -> [&[u8]; 3] {
        let (line, rest) = self.bytes.split_at(self.line_end);
        let (referrer, agent) = rest.split_at(self.referrer_end - self.line_end);
        [line, referrer, agent]
    }
}

/// The result of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) status: u16,
    /// Bytes of the response body.
    pub(crate) body_len: u64,
    pub(crate) application_time: Option<Duration>,
}

impl AccessLog {
    /// A log to stderr. `is_on`: whether requests are logged.
    ///
    /// # Errors
    /// The system's error if it has no thread left.
    pub(crate) fn new(is_on: bool) -> io::Result<Self> {
        Ok(Self {
            lines: Vec::new(),
            is_on,
            writer: LogWriter::spawn()?,
            entries: Vec::new(),
        })
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Begins the entry of a request with its request line.
    pub(crate) fn entry(&mut self, line: &[u8]) -> LogEntry {
        let mut entry = self.entries.pop().unwrap_or_default();
        if self.is_on {
            entry.start(line);
        }
        entry
    }

    /// Logs a request that was answered.
    pub(crate) fn request(
        &mut self,
        client: impl Display,
        date: &str,
        entry: LogEntry,
        served: Served,
    ) {
        if self.is_on {
            self.write_request(client, date, &entry, served);
        }
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(entry);
        }
    }

    fn write_request(
        &mut self,
        client: impl Display,
        date: &str,
        entry: &LogEntry,
        served: Served,
    ) {
        let [line, referrer, agent] = entry.parts();
        // Writing to memory does not fail.
        let _ = write!(self.lines, "{client} - - [{date}] \"");
        self.lines.extend_from_slice(line);
        let _ = write!(self.lines, "\" {} {} \"", served.status, served.body_len);
        self.lines.extend_from_slice(referrer);
        self.lines.extend_from_slice(b"\" \"");
        self.lines.extend_from_slice(agent);
        let _ = match served.application_time {
            Some(time) => writeln!(self.lines, "\" {:.3}", time.as_secs_f64()),
            None => writeln!(self.lines, "\" -"),
        };
        self.flush_if_long();
    }

    /// Logs a message for the operator, whether or not requests are logged.
    pub(crate) fn problem(&mut self, date: &str, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.lines, "proxy: [{date}] {what}");
    }

    /// Logs the application's stderr, line by line.
    pub(crate) fn stderr(&mut self, date: &str, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let _ = write!(self.lines, "application: [{date}] ");
            push_escaped(&mut self.lines, line);
            self.lines.push(b'\n');
        }
        self.flush_if_long();
    }

    /// Passes the lines to the writer's thread.
    pub(crate) fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.writer.write(&self.lines);
            self.lines.clear();
        }
    }

    /// Passes the lines on early: those of one turn may be more than the writer accepts at once.
    fn flush_if_long(&mut self) {
        if self.lines.len() > FLUSH_LEN {
            self.flush();
        }
    }
}

/// The most entries that are kept for reuse.
const MAX_ENTRIES: usize = 64;
/// With more bytes than this, the lines are passed on before the end of the turn.
const FLUSH_LEN: usize = 64 * 1024;

/// Escapes bytes that could end a line or a quoted part, as `\xNN`.
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if (byte.is_ascii_graphic() && !b"\"\\".contains(byte)) || *byte == b' ' {
            out.push(*byte);
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}
