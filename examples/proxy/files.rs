//! Files that are sent as they are: conditions, ranges, types (RFC 9110, 13 and 14).

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::clock::http_date;
use super::connection::{Answer, Stage};
use super::head::RequestHead;
use super::respond;
use super::worker::Worker;

impl Worker {
    /// Answers with a file. Opening and reading it can wait for the disk.
    pub(crate) fn answer_file(&mut self, key: usize, head: &RequestHead<'_, '_>, path: &Path) {
        if !matches!(head.method, "GET" | "HEAD") {
            return self.answer_error(key, 405, "a file can be read only");
        }
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        let (mut file, metadata) = match opened {
            Ok((file, metadata)) if metadata.is_file() => (file, metadata),
            Ok(_) => return self.answer_error(key, 404, "there is nothing here"),
            Err(error) => return self.answer_unopened(key, &error),
        };
        let version = Version::of(&metadata);
        if version.is_known(head) {
            let fields: &[(&[u8], &[u8])] = &[
                (b"ETag", version.etag.as_bytes()),
                (b"Last-Modified", version.modified.as_bytes()),
            ];
            return self.answer_own(key, 304, fields, "", "");
        }
        let len = metadata.len();
        let range = match version.range(head, len) {
            Wanted::Part { from, to } => Some((from, to)),
            Wanted::Whole => None,
            Wanted::Nothing => {
                let range = format!("bytes */{len}");
                let fields: &[(&[u8], &[u8])] = &[(b"Content-Range", range.as_bytes())];
                return self.answer_own(key, 416, fields, "text/plain", "");
            }
        };
        let (start, left) = range.map_or((0, len), |(from, to)| (from, to - from));
        if start > 0 && file.seek(SeekFrom::Start(start)).is_err() {
            return self.answer_error(key, 500, "the file cannot be read");
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Stage::Exchange(exchange) = &mut connection.stage else {
            return;
        };
        exchange.settle_keep_alive();
        let asked = exchange.asked;
        exchange.status = if range.is_some() { 206 } else { 200 };
        let out = connection.out.tail();
        respond::start_own(out, exchange.status, self.clock.http());
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let charset = if kind.type_() == "text" {
            "; charset=utf-8"
        } else {
            ""
        };
        let kind = format!("{}{charset}", kind.essence_str());
        respond::write_field(out, b"Content-Type", kind.as_bytes());
        respond::write_number(out, b"Content-Length", left);
        respond::write_field(out, b"Last-Modified", version.modified.as_bytes());
        respond::write_field(out, b"ETag", version.etag.as_bytes());
        respond::write_field(out, b"Accept-Ranges", b"bytes");
        if let Some((from, to)) = range {
            let range = format!("bytes {from}-{}/{len}", to - 1);
            respond::write_field(out, b"Content-Range", range.as_bytes());
        }
        respond::write_connection(out, asked.keeps_alive, asked.is_http11);
        exchange.answer = Answer::Complete;
        if !asked.is_head && left > 0 {
            exchange.answer = Answer::File { file, left };
            self.enqueue(key);
        }
    }

    fn answer_unopened(&mut self, key: usize, error: &io::Error) {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                self.answer_error(key, 404, "there is nothing here");
            }
            ErrorKind::PermissionDenied => self.answer_error(key, 403, "this is not given out"),
            // No descriptor left, for one.
            _ => {
                let date = self.clock.log();
                self.log
                    .problem(date, format_args!("a file is not opened: {error}"));
                self.answer_error(key, 503, "the file cannot be opened now");
            }
        }
    }

    /// Sends some more of a file, while the socket takes it.
    pub(crate) fn send_file(&mut self, key: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.send_pieces(key, &mut scratch);
        self.scratch = scratch;
    }

    fn send_pieces(&mut self, key: usize, scratch: &mut [u8]) {
        for _ in 0..PIECES {
            let Some(exchange) = self.exchange(key) else {
                return;
            };
            let Answer::File { file, left } = &mut exchange.answer else {
                return;
            };
            let most = scratch.len();
            let wanted = usize::try_from(*left).map_or(most, |left| left.min(most));
            let len = match file.read(&mut scratch[..wanted]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return self.cut(key),
                Ok(len) => len,
            };
            *left -= len as u64;
            if *left == 0 {
                exchange.answer = Answer::Complete;
            }
            exchange.body_len += len as u64;
            self.put(key, [&scratch[..len], b"", b""]);
            let is_full = self
                .connections
                .get(key)
                .is_none_or(|connection| !connection.is_writable);
            if is_full {
                return;
            }
        }
        self.enqueue(key);
    }
}

/// By what a client knows a file's content again.
struct Version {
    etag: String,
    modified: String,
    seconds: SystemTime,
}

enum Wanted {
    Whole,
    /// From the first octet to the one behind the last.
    Part {
        from: u64,
        to: u64,
    },
    /// No octet of the file.
    Nothing,
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        let since = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .unwrap_or_default();
        let seconds = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        Self {
            etag: format!("\"{:x}-{:x}\"", since.as_nanos(), metadata.len()),
            modified: http_date(seconds),
            seconds,
        }
    }

    /// Whether the client has it already (RFC 9110, 13.2.2).
    fn is_known(&self, head: &RequestHead<'_, '_>) -> bool {
        if let Some(tags) = head.field("if-none-match") {
            let tags = tags.split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
            return tags
                .map(|tag| tag.strip_prefix(b"W/").unwrap_or(tag))
                .any(|tag| tag == b"*" || tag == self.etag.as_bytes());
        }
        date_of(head, "if-modified-since").is_some_and(|since| self.seconds <= since)
    }

    /// Which part is wanted: one range of octets, or all where there are more of them.
    fn range(&self, head: &RequestHead<'_, '_>, len: u64) -> Wanted {
        let Some(range) = head.field("range").filter(|_| head.method == "GET") else {
            return Wanted::Whole;
        };
        if let Some(condition) = head.field("if-range") {
            let is_same = condition.trim_ascii() == self.etag.as_bytes()
                || date_of(head, "if-range").is_some_and(|date| date == self.seconds);
            if !is_same {
                return Wanted::Whole;
            }
        }
        std::str::from_utf8(range)
            .ok()
            .and_then(|range| parse_range(range.trim(), len))
            .unwrap_or(Wanted::Whole)
    }
}

/// `None` for what is not one range, which is to be ignored (RFC 9110, 14.2).
fn parse_range(range: &str, len: u64) -> Option<Wanted> {
    let (first, last) = range.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| {
        let digits = text.bytes().all(|octet| octet.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits)
    };
    let (from, to) = match (first, last) {
        ("", last) => (len.saturating_sub(number(last)?), len),
        (first, "") => (number(first)?, len),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            (first, last.saturating_add(1).min(len))
        }
    };
    Some(if from < to {
        Wanted::Part { from, to }
    } else {
        Wanted::Nothing
    })
}

fn date_of(head: &RequestHead<'_, '_>, name: &str) -> Option<SystemTime> {
    let value = std::str::from_utf8(head.field(name)?).ok()?;
    httpdate::parse_http_date(value.trim()).ok()
}

/// How often a file is read in a turn.
const PIECES: usize = 4;
