//! A line for each request: the combined log format, then the time the application took.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::log_writer::LogWriter;

/// Lines that wait for the end of the turn, so that a turn costs one handing over, unless they are many.
#[derive(Debug)]
pub(crate) struct AccessLog {
    lines: Vec<u8>,
    is_on: bool,
    writer: LogWriter,
    /// Entries that are used again.
    entries: Vec<LogEntry>,
}

/// What a line needs of a head that will be gone by then. Reused from one request to the next.
#[derive(Debug, Default)]
pub(crate) struct LogEntry {
    bytes: Vec<u8>,
    /// Where the request line ends, and the referrer.
    line_end: usize,
    referrer_end: usize,
}

impl LogEntry {
    /// Notes the request line.
    fn start(&mut self, line: &[u8]) {
        self.bytes.clear();
        push_escaped(&mut self.bytes, line);
        self.line_end = self.bytes.len();
        self.set_fields(None, None);
    }

    /// Notes the fields that are logged; `None` for one that is not there.
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

/// How a request went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) status: u16,
    /// Bytes of the body.
    pub(crate) body_len: u64,
    pub(crate) application_time: Option<Duration>,
}

impl AccessLog {
    /// Writes to stderr; requests only if it `is_on`.
    ///
    /// # Errors
    /// The system's, when it has no thread left.
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

    /// Begins the entry of a request with this first line.
    pub(crate) fn entry(&mut self, line: &[u8]) -> LogEntry {
        let mut entry = self.entries.pop().unwrap_or_default();
        if self.is_on {
            entry.start(line);
        }
        entry
    }

    /// A request that was answered.
    pub(crate) fn request(&mut self, client: IpAddr, date: &str, entry: LogEntry, served: Served) {
        if self.is_on {
            self.write_request(client, date, &entry, served);
        }
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(entry);
        }
    }

    fn write_request(&mut self, client: IpAddr, date: &str, entry: &LogEntry, served: Served) {
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
        self.flush_many();
    }

    /// Something an operator has to know, whether or not requests are logged.
    pub(crate) fn problem(&mut self, date: &str, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.lines, "proxy: [{date}] {what}");
    }

    /// What the application wrote for its log, in lines.
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
        self.flush_many();
    }

    /// Hands the lines to whoever writes them.
    pub(crate) fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.writer.write(&self.lines);
            self.lines.clear();
        }
    }

    /// Those of one turn may be more than the writer takes at once.
    fn flush_many(&mut self) {
        if self.lines.len() > MANY {
            self.flush();
        }
    }
}

/// How many entries are kept to be used again.
const MAX_ENTRIES: usize = 64;
/// Bytes of lines that do not wait for more.
const MANY: usize = 64 * 1024;

/// Whatever could end a line or a quoted part becomes `\xNN`.
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if (byte.is_ascii_graphic() && !b"\"\\".contains(byte)) || *byte == b' ' {
            out.push(*byte);
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}
