//! One line per request: the combined log format, then the time that the application took, and the request's ID. And
//! lines for the operator.

use std::io::{self, Write};
use std::time::Duration;

use super::log_writer::LogWriter;
use super::net::client_address::ClientAddress;
use super::request_id::RequestIds;

/// The log lines of a turn. They are passed to the writer's thread once per turn, or earlier if there are many.
#[derive(Debug)]
pub(crate) struct AccessLog {
    lines: Vec<u8>,
    is_on: bool,
    writer: LogWriter,
    ids: RequestIds,
    /// Entries for reuse.
    entries: Vec<LogEntry>,
}

/// What log lines need of a request's head, which is gone when they are written: the bytes as they arrived. Reused from
/// request to request.
#[derive(Debug, Default)]
pub(crate) struct LogEntry {
    /// The ID of the request. All of its bytes are ASCII.
    id: String,
    /// The request line, the referrer and the agent, one after the other.
    bytes: Vec<u8>,
    line_end: usize,
    referrer_end: usize,
}

impl LogEntry {
    /// Stores an ID and a request line.
    fn start(&mut self, ids: &mut RequestIds, line: &[u8]) {
        self.id.clear();
        ids.write_next(&mut self.id);
        self.bytes.clear();
        self.bytes.extend_from_slice(line);
        self.line_end = self.bytes.len();
        self.set_fields(None, None);
    }

    /// Stores the fields that are logged. `None`: the request does not have the field.
    pub(crate) fn set_fields(&mut self, referrer: Option<&[u8]>, agent: Option<&[u8]>) {
        self.bytes.truncate(self.line_end);
        self.bytes.extend_from_slice(referrer.unwrap_or(b"-"));
        self.referrer_end = self.bytes.len();
        self.bytes.extend_from_slice(agent.unwrap_or(b"-"));
    }

    /// Replaces the ID by one that the request came with.
    pub(crate) fn set_id(&mut self, id: &str) {
        self.id.clear();
        self.id.push_str(id);
    }

    /// The ID of the request.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The request line, escaped, and cut off if it is long.
    pub(crate) fn short_line(&self) -> String {
        let line = &self.bytes[..self.line_end];
        let mut text = Vec::new();
        push_escaped(&mut text, &line[..line.len().min(MAX_SHORT)]);
        // Escaping may have cut it off, too.
        if line.len() > MAX_SHORT && !text.ends_with(b"...") {
            text.extend_from_slice(b"...");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn parts(&self) -> [&[u8]; 3] {
        let line = &self.bytes[..self.line_end];
        let referrer = &self.bytes[self.line_end..self.referrer_end];
        [line, referrer, &self.bytes[self.referrer_end..]]
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

/// The request that a line about a failure is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) client: ClientAddress,
    pub(crate) entry: &'a LogEntry,
    /// The address of the application, or of those that could have served the request.
    pub(crate) upstream: &'a str,
    /// How far the request had come.
    pub(crate) phase: &'a str,
    /// The option whose limit was the reason.
    pub(crate) option: Option<&'a str>,
}

impl AccessLog {
    /// A log to stderr. `is_on`: whether requests are logged. `index` is the number of the loop.
    ///
    /// # Errors
    /// The system's error if it has no thread left.
    pub(crate) fn new(is_on: bool, index: usize) -> io::Result<Self> {
        Ok(Self {
            lines: Vec::new(),
            is_on,
            writer: LogWriter::spawn()?,
            ids: RequestIds::new(index),
            entries: Vec::new(),
        })
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Begins the entry of a request with its request line, and gives the request an ID.
    pub(crate) fn entry(&mut self, line: &[u8]) -> LogEntry {
        let mut entry = self.entries.pop().unwrap_or_default();
        entry.start(&mut self.ids, line);
        entry
    }

    /// Logs a request that was answered.
    pub(crate) fn request(
        &mut self,
        client: ClientAddress,
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
        client: ClientAddress,
        date: &str,
        entry: &LogEntry,
        served: Served,
    ) {
        let [line, referrer, agent] = entry.parts();
        let out = &mut self.lines;
        client.push_to(out);
        out.extend_from_slice(b" - - [");
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b"] \"");
        push_escaped(out, line);
        out.extend_from_slice(b"\" ");
        push_number(out, served.status.into());
        out.push(b' ');
        push_number(out, served.body_len);
        out.extend_from_slice(b" \"");
        push_escaped(out, referrer);
        out.extend_from_slice(b"\" \"");
        push_escaped(out, agent);
        out.extend_from_slice(b"\" ");
        match served.application_time {
            Some(time) => push_seconds(out, time),
            None => out.push(b'-'),
        }
        out.push(b' ');
        out.extend_from_slice(entry.id().as_bytes());
        out.push(b'\n');
        self.flush_if_long();
    }

    /// Logs a message for the operator, whether or not requests are logged.
    pub(crate) fn problem(&mut self, date: &str, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.lines, "proxy: [{date}] {what}");
    }

    /// Logs a failure of a request, with what the operator needs to find the request elsewhere.
    pub(crate) fn failure(&mut self, date: &str, what: std::fmt::Arguments<'_>, of: Subject<'_>) {
        let Subject {
            client,
            entry,
            upstream,
            phase,
            option,
        } = of;
        let (before, option) = option.map_or(("", ""), |option| (", option: ", option));
        let (line, id) = (entry.short_line(), entry.id());
        let _ = writeln!(
            self.lines,
            "proxy: [{date}] {what}, client: {client}, request: \"{line}\", upstream: {upstream}, phase: {phase}\
             {before}{option}, id: {id}"
        );
        self.flush_if_long();
    }

    /// Logs the application's stderr, line by line.
    pub(crate) fn stderr(&mut self, date: &str, id: &str, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let _ = write!(self.lines, "application: [{date}] {id}: ");
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

/// By how many bytes a text may become longer by escaping it.
const MAX_ADDED: usize = 512;
/// The length of an escaped byte.
const ESCAPED_LEN: usize = 4;
/// The most entries that are kept for reuse.
const MAX_ENTRIES: usize = 64;
/// With more bytes than this, the lines are passed on before the end of the turn.
const FLUSH_LEN: usize = 64 * 1024;
/// How many bytes of a request line are in a line about a failure. Escaping cuts off none of them.
const MAX_SHORT: usize = MAX_ADDED / (ESCAPED_LEN - 1);

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes seconds with three digits after the point.
fn push_seconds(out: &mut Vec<u8>, time: Duration) {
    let time = time.saturating_add(Duration::from_micros(500));
    push_number(out, time.as_secs());
    let millis = time.subsec_millis();
    let digits = [millis / 100, millis / 10 % 10, millis % 10];
    out.push(b'.');
    out.extend(digits.map(|digit| b'0' + digit as u8));
}

/// Escapes bytes that could end a line or a quoted part, as `\xNN`. A text that would become much longer by that is cut
/// off.
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let most = out.len() + bytes.len() + MAX_ADDED;
    let is_escaped = |byte: u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
    let is_plain = !bytes
        .iter()
        .fold(false, |so_far, byte| so_far | is_escaped(*byte));
    if is_plain {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        if out.len() + ESCAPED_LEN > most {
            out.extend_from_slice(b"...");
            return;
        }
        if is_escaped(*byte) {
            // Writing to memory does not fail.
            let _ = write!(out, "\\x{byte:02X}");
        } else {
            out.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_to_three_digits() {
        for (micros, shown) in [
            (0, "0.000"),
            (499, "0.000"),
            (500, "0.001"),
            (12_345, "0.012"),
            (999_499, "0.999"),
            (999_500, "1.000"),
            (61_020_300_000, "61020.300"),
        ] {
            let mut out = Vec::new();
            push_seconds(&mut out, Duration::from_micros(micros));
            assert_eq!(String::from_utf8_lossy(&out), shown);
        }
        push_seconds(&mut Vec::new(), Duration::MAX);
    }
}
