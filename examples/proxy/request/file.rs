//! Files that are sent as they are. What a client wants of one is found out in `http::conditional`.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::http::conditional::{Version, Wanted};
use super::http::head::RequestHead;
use super::http::response_head;
use super::serve::connection::{Answer, Stage};
use super::serve::worker::Worker;

impl Worker {
    /// Answers with a file. Opening and reading it can wait for the disk.
    pub(crate) fn answer_file(&mut self, key: usize, head: &RequestHead<'_, '_>, path: &Path) {
        if !matches!(head.method, "GET" | "HEAD") {
            return self.answer_error(key, 405, "a file can be read only");
        }
        let opened = open(path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        let (mut file, metadata) = match opened {
            Ok((file, metadata)) if metadata.is_file() => (file, metadata),
            Ok(_) => return self.answer_error(key, 404, "there is nothing here"),
            Err(error) => return self.answer_unopened(key, &error),
        };
        let version = Version::of(&metadata, self.clock.second());
        let len = metadata.len();
        let range = match version.wanted(head, len) {
            Wanted::Part { from, to } => Some((from, to)),
            Wanted::Whole => None,
            Wanted::Known => {
                let fields: &[(&[u8], &[u8])] = &[
                    (b"ETag", version.etag.as_bytes()),
                    (b"Last-Modified", version.modified.as_bytes()),
                ];
                return self.answer_own(key, 304, fields, "", "");
            }
            Wanted::Another => {
                return self.answer_error(key, 412, "the file is another one by now");
            }
            Wanted::Beyond => {
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
        response_head::start_own(out, exchange.status, self.clock.http());
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let charset = if kind.type_() == "text" {
            "; charset=utf-8"
        } else {
            ""
        };
        let kind = format!("{}{charset}", kind.essence_str());
        response_head::write_field(out, b"Content-Type", kind.as_bytes());
        response_head::write_number(out, b"Content-Length", left);
        response_head::write_field(out, b"Last-Modified", version.modified.as_bytes());
        response_head::write_field(out, b"ETag", version.etag.as_bytes());
        response_head::write_field(out, b"Accept-Ranges", b"bytes");
        if let Some((from, to)) = range {
            let range = format!("bytes {from}-{}/{len}", to - 1);
            response_head::write_field(out, b"Content-Range", range.as_bytes());
        }
        response_head::write_connection(out, asked.keeps_alive, asked.is_http11);
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
                Ok(0) | Err(_) => {
                    let date = self.clock.log();
                    let what = format_args!("a file is cut short: it shrank, or cannot be read");
                    self.log.problem(date, what);
                    return self.cut(key);
                }
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

/// Opens a file to read it. A FIFO that has taken its place since it was looked up does not make the loop wait for
/// somebody to write to it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options.open(path)
}

/// How often a file is read in a turn.
const PIECES: usize = 4;
