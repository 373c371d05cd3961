//! Content for STDOUT: prepared once for `/bench`, or produced in pieces as fast as the socket takes them.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use mio_fcgi::wire::{self, EndRequest, HEADER_LEN, Header, ProtocolStatus, RecordType};

use super::Options;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) options: Options,
    bench: Bench,
}

impl Site {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            bench: Bench::new(options.bench_body_len),
        }
    }

    /// Appends the whole response of `/bench` with all its records, `FCGI_END_REQUEST` included. If that is too long to
    /// be prepared, appends only the head and returns the body.
    pub(super) fn write_bench(&self, out: &mut Vec<u8>, request_id: u16) -> Option<Cycle> {
        match &self.bench {
            Bench::Whole { bytes, ids } => {
                let start = out.len();
                out.extend_from_slice(bytes);
                let id = request_id.to_be_bytes();
                for at in ids {
                    out[start + at..][..id.len()].copy_from_slice(&id);
                }
                None
            }
            Bench::Long { head, body_len } => {
                wire::write_stream(out, RecordType::Stdout, request_id, head);
                Some(Cycle::new(BENCH_UNIT, *body_len as u64))
            }
        }
    }
}

/// The response of `/bench`.
#[derive(Debug)]
enum Bench {
    /// All records, and the positions of the request ID in them.
    Whole { bytes: Vec<u8>, ids: Vec<usize> },
    /// Longer than [`MAX_WHOLE_LEN`].
    Long { head: Vec<u8>, body_len: usize },
}

impl Bench {
    fn new(body_len: usize) -> Self {
        let mut content =
            format!("Content-Type: text/plain\r\nContent-Length: {body_len}\r\n\r\n").into_bytes();
        if body_len > MAX_WHOLE_LEN {
            return Self::Long {
                head: content,
                body_len,
            };
        }
        content.extend(BENCH_UNIT.iter().cycle().take(body_len));
        let complete = EndRequest {
            app_status: 0,
            protocol_status: ProtocolStatus::RequestComplete,
        };
        let mut bytes = Vec::new();
        let mut ids = Vec::new();
        for piece in content.chunks(wire::MAX_ALIGNED_CONTENT_LEN) {
            ids.push(bytes.len() + ID_OFFSET);
            wire::write_stream(&mut bytes, RecordType::Stdout, 0, piece);
        }
        ids.push(bytes.len() + ID_OFFSET);
        wire::write_stream_end(&mut bytes, RecordType::Stdout, 0);
        ids.push(bytes.len() + ID_OFFSET);
        wire::write_end_request(&mut bytes, 0, complete);
        Self::Whole { bytes, ids }
    }
}

/// A sequence of bytes, repeated up to a total length. Only one repetition is stored.
#[derive(Debug)]
pub(super) struct Cycle {
    unit: Cow<'static, [u8]>,
    at: u64,
    len: u64,
}

impl Cycle {
    /// `len` bytes that repeat `unit`. Empty if `unit` is empty.
    pub(super) fn new(unit: impl Into<Cow<'static, [u8]>>, len: u64) -> Self {
        let unit = unit.into();
        let len = if unit.is_empty() { 0 } else { len };
        Self { unit, at: 0, len }
    }

    /// Appends a record with the next bytes. False if there are none left.
    pub(super) fn write_piece(&mut self, out: &mut Vec<u8>, request_id: u16) -> bool {
        let piece_len = (self.len - self.at).min(u64::from(PIECE_LEN)) as u16;
        if piece_len == 0 {
            return false;
        }
        let header = Header::padded(RecordType::Stdout, request_id, piece_len);
        let (content_len, padding_len) = (usize::from(piece_len), usize::from(header.padding_len));
        out.reserve(HEADER_LEN + content_len + padding_len);
        out.extend_from_slice(&header.encode());
        let end = out.len() + content_len;
        let mut offset = (self.at % self.unit.len() as u64) as usize;
        while out.len() < end {
            let round = &self.unit[offset..];
            out.extend_from_slice(&round[..round.len().min(end - out.len())]);
            offset = 0;
        }
        out.resize(end + padding_len, 0);
        self.at += u64::from(piece_len);
        true
    }
}

/// Lines that are sent one at a time.
#[derive(Debug)]
pub(super) struct Lines {
    next: u64,
    count: u64,
    every: Duration,
    /// When the next line is due.
    pub(super) due: Instant,
}

impl Lines {
    pub(super) fn new(count: u64, every: Duration, now: Instant) -> Self {
        Self {
            next: 1,
            count,
            every,
            due: now,
        }
    }

    /// Appends a record with the next line. False if there are none left.
    pub(super) fn write_line(&mut self, out: &mut Vec<u8>, request_id: u16) -> bool {
        if self.next > self.count {
            return false;
        }
        let line = format!("line {} of {}\n", self.next, self.count);
        wire::write_stream(out, RecordType::Stdout, request_id, line.as_bytes());
        self.next += 1;
        // After the last line, the end of the response is not delayed any further.
        if self.next <= self.count {
            self.due += self.every;
        }
        true
    }
}

/// The body of a response, after its head.
#[derive(Debug)]
pub(super) enum Source {
    Cycle(Cycle),
    Lines(Lines),
}

/// The byte of the body of `/big` at this position. With this pattern a lost, repeated or moved piece is noticed.
pub fn pattern_byte(position: u64) -> u8 {
    (position % PATTERN_PERIOD as u64) as u8
}

/// The body of `/big`.
pub(super) fn pattern(len: u64) -> Cycle {
    Cycle::new(&PATTERN[..], len)
}

/// A prime number, so that it does not divide the length of any buffer.
const PATTERN_PERIOD: usize = 251;

/// The pattern several times, so that it is copied in large pieces.
static PATTERN: [u8; PATTERN_PERIOD * 64] = {
    let mut bytes = [0; PATTERN_PERIOD * 64];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at % PATTERN_PERIOD) as u8;
        at += 1;
    }
    bytes
};

const BENCH_UNIT: &[u8] = &[b'x'; 4096];

/// The longest `/bench` body that is prepared.
const MAX_WHOLE_LEN: usize = 64 * 1024;

/// The content length of a record that is built while sending.
const PIECE_LEN: u16 = 32 * 1024;

/// The position of the request ID in a record header (3.3).
const ID_OFFSET: usize = 2;
