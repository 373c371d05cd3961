//! The requests of `load`, sent with nothing but system calls: what any client has to do.
//!
//! Each request's parameters are encoded anew, and a body leaves from memory by vectored writes, as with a library. Of a
//! response only the headers of its records are looked at. There is no limit of time, no retry and no error but the end.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::prelude::*;
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

#[path = "../request.rs"]
mod request;
#[path = "../usage.rs"]
mod usage;

use usage::{cpu_time, peak_kib};

/// As `load` reads.
const READ_LEN: usize = 64 * 1024;
/// Encoded requests that are enough for a write.
const WRITE_LEN: usize = 64 * 1024;
/// Content of a record of a body: the most that is a multiple of 8.
const PIECE_LEN: usize = 0xfff8;
/// Slices of one write.
const MAX_SLICES: usize = 32;

#[derive(Default)]
struct Arguments {
    socket: String,
    conns: usize,
    inflight: usize,
    requests: u64,
    warm_up: u64,
    stdin_len: usize,
}

fn main() -> Result<()> {
    let mut given = Arguments {
        conns: 1,
        ..Arguments::default()
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("connect") => {
                let address = parser.value()?.string()?;
                let socket = address.strip_prefix("unix:").context("unix:/path")?;
                given.socket = socket.to_owned();
            }
            Long("conns") => given.conns = parser.value()?.parse()?,
            Long("inflight") => given.inflight = parser.value()?.parse()?,
            Long("requests") => given.requests = parser.value()?.parse()?,
            Long("warm-up") => given.warm_up = parser.value()?.parse()?,
            Long("stdin") => given.stdin_len = parser.value()?.parse()?,
            Long("body-expected" | "multiplex" | "timeout") => drop(parser.value()?),
            Long("json") => {}
            _ => return Err(argument.unexpected().into()),
        }
    }
    run(&given)
}

fn run(given: &Arguments) -> Result<()> {
    ensure!(given.conns > 0 && given.inflight >= given.conns, "--conns");
    let share = given.inflight / given.conns;
    ensure!(share == 1 || given.stdin_len == 0, "a body shares nothing");
    let params = request::params(given.stdin_len);
    // Different memory, as a program has that was handed a body.
    let body: Vec<u8> = (0..given.stdin_len).map(|at| at as u8).collect();
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for index in 0..given.conns {
        let mut socket = UnixStream::connect(&given.socket)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut socket, Token(index), interest)?;
        connections.push(Connection::new(socket, u16::try_from(share)?));
    }
    let (mut left, mut ended) = (given.requests, 0);
    let (mut start, mut before) = (Instant::now(), cpu_time()?);
    for connection in &mut connections {
        connection.send(&mut left, &params, &body)?;
    }
    let mut events = Events::with_capacity(1024);
    let mut memory = vec![0; READ_LEN];
    while ended < given.requests {
        poll.poll(&mut events, Some(Duration::from_secs(60)))?;
        ensure!(!events.is_empty(), "the application is silent");
        for event in &events {
            let connection = &mut connections[event.token().0];
            connection.may_read |= event.is_readable();
            while connection.may_read {
                let count = connection.read(&mut memory)?;
                let was = ended;
                ended += count;
                if (was..ended).contains(&given.warm_up) && given.warm_up > 0 {
                    (start, before) = (Instant::now(), cpu_time()?);
                }
                connection.send(&mut left, &params, &body)?;
            }
            if event.is_writable() {
                connection.send(&mut left, &params, &body)?;
            }
        }
    }
    let cpu = cpu_time()?.saturating_sub(before);
    let figures = json!({
        "requests": given.requests - given.warm_up,
        "seconds": start.elapsed().as_secs_f64(),
        "cpu_user_s": cpu.as_secs_f64(),
        // The sum is what is looked at.
        "cpu_sys_s": 0.0,
        "rss_kb": peak_kib()?,
    });
    println!("{figures}");
    Ok(())
}

struct Connection {
    socket: UnixStream,
    may_read: bool,
    /// Encoded and not written yet, from `at` on.
    out: Vec<u8>,
    at: usize,
    /// How much of the body's stream is left to write, headers included.
    body_left: usize,
    ids: VecDeque<u16>,
    /// The beginning of a header whose rest has not arrived.
    header: [u8; 8],
    header_len: usize,
    /// Content and padding of a record that are still to come.
    to_skip: usize,
}

impl Connection {
    fn new(socket: UnixStream, share: u16) -> Self {
        Self {
            socket,
            may_read: false,
            out: Vec::new(),
            at: 0,
            body_left: 0,
            ids: (1..=share).collect(),
            header: [0; 8],
            header_len: 0,
            to_skip: 0,
        }
    }

    /// Sends what is left, as far as there are IDs and the socket takes it.
    fn send(&mut self, left: &mut u64, params: &[(&str, String)], body: &[u8]) -> Result<()> {
        loop {
            self.submit_all(left, params, body.len());
            if !self.write(body)? || self.out.is_empty() && (*left == 0 || self.ids.is_empty()) {
                return Ok(());
            }
        }
    }

    /// Encodes the requests that are left, as far as there are IDs, until there is enough for a write.
    fn submit_all(&mut self, left: &mut u64, params: &[(&str, String)], body_len: usize) {
        while *left > 0
            && self.out.len() < WRITE_LEN
            && let Some(id) = self.ids.pop_front()
        {
            *left -= 1;
            encode(&mut self.out, id, params);
            if body_len == 0 {
                self.out.extend(header(5, id, 0));
            } else {
                self.body_left = stream_len(body_len);
            }
        }
    }

    /// Writes until all has left, or the socket takes no more: then false.
    fn write(&mut self, body: &[u8]) -> Result<bool> {
        while self.at < self.out.len() || self.body_left > 0 {
            let mut headers = [[0; 8]; MAX_SLICES];
            let written = if self.body_left == 0 {
                self.socket.write(&self.out[self.at..])
            } else {
                let (list, count) =
                    slices(&self.out[self.at..], body, self.body_left, &mut headers);
                self.socket.write_vectored(&list[..count])
            };
            let written = match written {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let of_out = written.min(self.out.len() - self.at);
            self.at += of_out;
            self.body_left -= written - of_out;
            if self.at == self.out.len() {
                self.out.clear();
                self.at = 0;
            }
        }
        Ok(true)
    }

    /// Reads once; how many responses ended.
    fn read(&mut self, memory: &mut [u8]) -> Result<u64> {
        let len = match self.socket.read(memory) {
            Ok(0) => anyhow::bail!("the application closed a connection"),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.may_read = false;
                return Ok(0);
            }
            Err(error) => return Err(error.into()),
        };
        // As `load`: a read that was not filled leaves nothing behind.
        self.may_read = len == memory.len();
        let (mut input, mut ended) = (&memory[..len], 0);
        loop {
            let skipped = self.to_skip.min(input.len());
            self.to_skip -= skipped;
            input = &input[skipped..];
            let taken = (8 - self.header_len).min(input.len());
            self.header[self.header_len..][..taken].copy_from_slice(&input[..taken]);
            self.header_len += taken;
            input = &input[taken..];
            if self.header_len < 8 {
                return Ok(ended);
            }
            self.header_len = 0;
            let [_, kind, id_1, id_0, len_1, len_0, padding, _] = self.header;
            self.to_skip = usize::from(u16::from_be_bytes([len_1, len_0])) + usize::from(padding);
            if kind == 3 {
                self.ids.push_back(u16::from_be_bytes([id_1, id_0]));
                ended += 1;
            }
        }
    }
}

/// What is left of the head and of a body's records, as far as one write takes it.
fn slices<'a>(
    head: &'a [u8],
    body: &'a [u8],
    left: usize,
    headers: &'a mut [[u8; 8]; MAX_SLICES],
) -> ([IoSlice<'a>; MAX_SLICES], usize) {
    let mut list = [IoSlice::new(&[]); MAX_SLICES];
    list[0] = IoSlice::new(head);
    let mut count = 1;
    // The empty record at the end is the last one of these.
    let pieces = body.chunks(PIECE_LEN).chain([&body[..0]]);
    let written = stream_len(body.len()) - left;
    let mut skip = written % (8 + PIECE_LEN);
    for (content, place) in pieces.skip(written / (8 + PIECE_LEN)).zip(headers) {
        if count + 2 > MAX_SLICES {
            break;
        }
        *place = header(5, 1, content.len() as u16);
        let place: &'a [u8; 8] = place;
        let of_header = skip.min(8);
        let of_content = (skip - of_header).min(content.len());
        list[count] = IoSlice::new(&place[of_header..]);
        list[count + 1] = IoSlice::new(&content[of_content..]);
        count += 2;
        skip -= of_header + of_content;
    }
    (list, count)
}

/// Bytes of a body's records with the empty one that ends them.
fn stream_len(body_len: usize) -> usize {
    body_len + body_len.div_ceil(PIECE_LEN) * 8 + 8
}

fn header(kind: u8, id: u16, len: u16) -> [u8; 8] {
    let ([id_1, id_0], [len_1, len_0]) = (id.to_be_bytes(), len.to_be_bytes());
    [1, kind, id_1, id_0, len_1, len_0, 0, 0]
}

/// `FCGI_BEGIN_REQUEST` and the parameters with their end.
fn encode(out: &mut Vec<u8>, id: u16, params: &[(&str, String)]) {
    out.extend(header(1, id, 8));
    // A responder, whose connection is kept.
    out.extend([0, 1, 1, 0, 0, 0, 0, 0]);
    let start = out.len();
    out.extend(header(4, id, 0));
    for (name, value) in params {
        for len in [name.len(), value.len()] {
            match u8::try_from(len) {
                Ok(len) if len < 128 => out.push(len),
                _ => out.extend((len as u32 | 1 << 31).to_be_bytes()),
            }
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let len = (out.len() - start - 8) as u16;
    out[start..][..8].copy_from_slice(&header(4, id, len));
    out.extend(header(4, id, 0));
}
