//! A client's socket: its readiness, and the bytes that it has not taken yet.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Instant;

use mio::event::Event;
use mio_fcgi::SharedParams;

use super::buffer_pool::BufferPool;
use super::client_address::{ClientAddress, Ends};
use super::lent::Output;
use super::outbox::{MAX_BATCHED, Outbox};
use super::site::budget::Budget;
use super::spill::Spill;
use super::stream::{More, Stream};

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    ends: Ends,
    /// Where the request comes from that is being served.
    client: ClientAddress,
    /// The parameters that all requests of the connection share. `None`: there was no request yet.
    params: Option<SharedParams>,
    out: Outbox,
    /// What is older than the bytes in `out`, and what they take of the budget. `None`: the client reads fast enough.
    spill: Option<Box<Spill>>,
    is_readable: bool,
    is_writable: bool,
    /// The client has ended its stream, or the connection failed.
    is_ended: bool,
    /// The connection failed, or the client can receive nothing more either.
    is_broken: bool,
    /// A read or a write failed: the client is gone.
    is_failed: bool,
    /// When the client last made progress. While a head arrives: when its first byte arrived.
    last_progress: Instant,
}

impl Socket {
    pub(crate) fn new(stream: Stream, ends: Ends, now: Instant) -> Self {
        Self {
            stream,
            ends,
            client: ends.client,
            params: None,
            out: Outbox::default(),
            spill: None,
            // A new connection often has a request already. If not, the first read finds that out.
            is_readable: true,
            is_writable: true,
            is_ended: false,
            is_broken: false,
            is_failed: false,
            last_progress: now,
        }
    }

    /// The ends of the connection.
    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }

    /// Replaces the ends of the connection with those of the connection to the proxy in front.
    pub(crate) fn set_ends(&mut self, ends: Ends) {
        self.ends = ends;
        self.client = ends.client;
        self.params = None;
    }

    /// The parameters that all requests of the connection share, made at the first request.
    pub(crate) fn params(&mut self, make: impl FnOnce(Ends) -> SharedParams) -> &SharedParams {
        self.params.get_or_insert_with(|| make(self.ends))
    }

    /// Where the request comes from that is being served; between requests, where the connection comes from.
    pub(crate) fn client(&self) -> ClientAddress {
        self.client
    }

    /// Stores where a request comes from.
    pub(crate) fn set_client(&mut self, client: ClientAddress) {
        self.client = client;
    }

    /// The request is over.
    pub(crate) fn reset_client(&mut self) {
        self.client = self.ends.client;
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.is_readable
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.is_writable
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether no response can reach the client. A client that only ended its side of the stream may still wait for one.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.is_failed
    }

    /// Whether the client has taken everything.
    pub(crate) fn is_sent(&self) -> bool {
        self.out.is_empty() && !self.is_spilled()
    }

    /// The number of bytes that the client has not taken.
    pub(crate) fn unsent(&self) -> u64 {
        self.spilled() + self.out.len() as u64
    }

    /// Whether a part of what the client has not taken is in a file.
    pub(crate) fn is_spilled(&self) -> bool {
        self.spilled() > 0
    }

    fn spilled(&self) -> u64 {
        self.spill.as_ref().map_or(0, |spill| spill.len())
    }

    pub(crate) fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// Restarts the client's time limit.
    pub(crate) fn note_progress(&mut self, now: Instant) {
        self.last_progress = now;
    }

    pub(crate) fn note_event(&mut self, event: &Event) {
        let failed = event.is_error();
        let ended = event.is_read_closed() || failed;
        self.is_readable |= event.is_readable() || ended;
        self.is_writable |= event.is_writable() || failed;
        self.is_ended |= ended;
        self.is_broken |= failed || event.is_write_closed();
    }

    /// Reads once into `space`, which must not be empty. `Some(0)`: end of the stream. `None`: nothing to read now, or
    /// a failure.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> Option<usize> {
        self.read_by(space.len(), |stream| stream.read(space))
    }

    /// As [`read`](Self::read), and appends to a buffer that has room.
    pub(crate) fn read_to(&mut self, buffer: &mut Vec<u8>) -> Option<usize> {
        let room = buffer.capacity() - buffer.len();
        self.read_by(room, |stream| stream.read_to(buffer))
    }

    fn read_by(
        &mut self,
        room: usize,
        mut read: impl FnMut(&mut Stream) -> io::Result<usize>,
    ) -> Option<usize> {
        loop {
            match read(&mut self.stream) {
                Ok(0) => {
                    self.is_ended = true;
                    self.is_readable = false;
                    return Some(0);
                }
                Ok(len) => {
                    // Events are edge-triggered: a short read has emptied the socket, and an event reports more.
                    if len < room && cfg!(unix) && !self.is_ended {
                        self.is_readable = false;
                    }
                    return Some(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return None;
                }
                Err(_) => {
                    self.is_failed = true;
                    return None;
                }
            }
        }
    }

    /// The buffer for bytes that are sent at the end of the turn.
    pub(crate) fn tail(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        self.out.take_buffer(|| pool.take());
        self.out.tail()
    }

    /// Sends a few bytes at the end of the turn, more of them at once. Keeps what the client does not take.
    pub(crate) fn put(&mut self, now: Instant, parts: [&[u8]; 2], pool: &mut BufferPool) {
        if self.is_failed {
            return;
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.is_sent() {
            // The client's time limit starts now: there was nothing to send before.
            self.last_progress = now;
        }
        if !self.is_writable || self.is_spilled() || self.out.len() + len <= MAX_BATCHED {
            self.out.take_buffer(|| pool.take());
            self.out.keep(&parts, 0);
            return;
        }
        self.last_progress = now;
        let sent = self.out.send(&mut self.stream, &parts);
        self.note_sent(sent);
    }

    /// Takes output of the application, and `suffix` after it. It stays in the read buffer until
    /// [`send_lent`](Self::send_lent) if the client may take it then. A little is copied.
    pub(crate) fn lend(
        &mut self,
        now: Instant,
        output: Output<'_>,
        part: &[u8],
        suffix: &[u8],
        pool: &mut BufferPool,
    ) {
        if self.is_failed {
            return;
        }
        if self.is_sent() {
            // The client's time limit starts now: there was nothing to send before.
            self.last_progress = now;
        }
        self.out.take_buffer(|| pool.take());
        if !self.is_writable || self.is_spilled() || part.len() <= COPIED {
            self.out.keep(&[part, suffix], 0);
        } else {
            self.out.lend(output.place_of(part), pool.lent());
            self.out.tail().extend_from_slice(suffix);
        }
    }

    /// Everything that one read of the application has brought for this client is there: sends it, a few bytes at the end
    /// of the turn. `memory` is the read buffer. False if nothing was done.
    pub(crate) fn send_lent(&mut self, now: Instant, memory: &[u8], pool: &mut BufferPool) -> bool {
        let is_small = self.out.len() <= MAX_BATCHED;
        if (is_small && pool.lent().is_empty()) || !self.is_writable || self.is_spilled() {
            return false;
        }
        let mut lent = std::mem::take(pool.lent());
        if is_small || self.is_failed {
            self.out.keep_lent(&lent, memory, 0);
        } else {
            self.last_progress = now;
            let sent = self.out.send_lent(&mut self.stream, &lent, memory);
            self.note_sent(sent);
        }
        lent.clear();
        *pool.lent() = lent;
        true
    }

    /// Takes back the bytes that were put last and are unsent, `most` at most, and returns how many. A few are left, for
    /// which the client's time limit holds.
    pub(crate) fn take_back(&mut self, most: usize, pool: &mut BufferPool) -> usize {
        let (len, buffer) = self.out.take_back(most);
        pool.give_back(buffer);
        len
    }

    /// Makes room for more of a response, of which `limit` bytes may be kept for the client. False: there is none, and
    /// the application has to wait.
    ///
    /// # Errors
    /// The file system's error. What is kept stays as it is.
    pub(crate) fn make_room(&mut self, limit: u64, budget: &Budget) -> io::Result<bool> {
        if self.is_sent() || (self.is_writable && !self.is_spilled()) {
            return Ok(true);
        }
        if limit == 0 {
            return Ok(false);
        }
        let spill = self
            .spill
            .get_or_insert_with(|| Box::new(Spill::new(budget)));
        spill.make_room(&mut self.out, limit, budget)
    }

    /// Sends bytes of a file, from its position on and `len` at most, and returns how many: at least one.
    ///
    /// # Errors
    /// `WouldBlock`: the client takes no more now. After any other error the file has to be read: this system or file
    /// system cannot do it, or reading and writing will show what is wrong.
    pub(crate) fn send_file(&mut self, now: Instant, file: &File, len: u64) -> io::Result<usize> {
        if !self.is_writable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.is_sent() {
            // What is kept comes first. The caller reads the file, and what was read is kept behind it.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let len = usize::try_from(len).map_or(FILE_PIECE, |len| len.min(FILE_PIECE));
        loop {
            match self.stream.send_file(file, len) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_writable = error.kind() != io::ErrorKind::WouldBlock;
                    return Err(error);
                }
                Ok(sent) => {
                    self.last_progress = now;
                    return Ok(sent);
                }
            }
        }
    }

    /// Sends what is kept, but from a file a few pieces at most. True if the client took some of it. `more`: a file of the
    /// site follows.
    ///
    /// # Errors
    /// The error of the file system: the rest of the response is lost. If the client is gone, the socket
    /// [reports](Self::is_failed) it.
    pub(crate) fn flush(&mut self, scratch: &mut [u8], more: bool) -> io::Result<bool> {
        let before = self.unsent();
        if !self.is_writable || before == 0 {
            return Ok(false);
        }
        for _ in 0..PIECES {
            let Some(spill) = self.spill.as_mut().filter(|spill| spill.len() > 0) else {
                let sent = match more {
                    true => self.out.flush(&mut More(&mut self.stream)),
                    false => self.out.flush(&mut self.stream),
                };
                self.note_sent(sent);
                break;
            };
            let len = spill.peek(scratch)?;
            let sent = self.stream.write(&scratch[..len]);
            if let Ok(sent) = sent {
                spill.remove(sent);
            }
            match sent {
                // On Linux a short write means that the socket is full.
                Ok(sent) => self.is_writable = sent == len || !cfg!(target_os = "linux"),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_writable = false,
                Err(error) => self.note_sent(Err(error)),
            }
            if !self.is_writable {
                break;
            }
        }
        Ok(self.unsent() < before)
    }

    fn note_sent(&mut self, sent: io::Result<bool>) {
        self.is_failed |= sent.is_err();
        self.is_writable = sent.unwrap_or(false);
    }

    /// Ends the proxy's side of the stream. False if that is no longer possible.
    pub(crate) fn shut_down(&self) -> bool {
        self.stream.shut_down().is_ok()
    }

    /// Makes closing the connection reset it. A client that reads a body up to the end of the connection then sees that
    /// the body is incomplete.
    pub(crate) fn reset_when_closed(&self) {
        self.stream.reset_when_closed();
    }

    /// Gives empty buffers back, and what an unsent response took of the budget.
    #[inline]
    pub(crate) fn give_back(&mut self, pool: &mut BufferPool) {
        if self.spill.is_some() && self.is_sent() {
            self.spill = None;
        }
        if let Some(buffer) = self.out.reclaim() {
            pool.give_back(buffer);
        }
    }

    /// The number of unsent bytes that are in memory.
    #[cfg(test)]
    pub(crate) fn in_memory(&self) -> usize {
        self.out.len()
    }

    #[cfg(test)]
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }
}

/// Parts of an application's output up to this length are copied, so that small responses take no list of parts.
const COPIED: usize = 2 * 1024;
/// The most bytes of a file that are sent at once. They are not copied.
const FILE_PIECE: usize = 512 * 1024;
/// How often a file is read in a turn.
const PIECES: usize = 4;
