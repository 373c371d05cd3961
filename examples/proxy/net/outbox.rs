//! The bytes to send to a client. What the socket does not take is kept, and copied once only.

use std::io::{self, IoSlice, Write};
use std::ops::Range;

use super::lent::{Lent, Parts};

/// Up to this many bytes are kept until the end of the turn.
pub(crate) const MAX_BATCHED: usize = 16 * 1024;

/// The bytes to send to a client.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// The bytes before this index were sent.
    start: usize,
    /// How many bytes of the read buffer are lent to the outbox, between its own ones. None were sent then.
    lent_len: usize,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start + self.lent_len
    }

    /// The bytes, of which none are lent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Removes the first `len` bytes.
    pub(crate) fn remove(&mut self, len: usize) {
        self.start += len;
    }

    /// The memory that the outbox has.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The buffer, to append to.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        // Here and not after each write: for a client that takes little at a time, each write would move all the rest.
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        &mut self.bytes
    }

    /// Gives the outbox a spare buffer if it has no memory.
    pub(crate) fn take_buffer(&mut self, spare: impl FnOnce() -> Option<Vec<u8>>) {
        if self.bytes.capacity() == 0
            && let Some(spare) = spare()
        {
            self.bytes = spare;
        }
    }

    /// Takes the memory of an empty outbox back.
    pub(crate) fn reclaim(&mut self) -> Option<Vec<u8>> {
        if !self.is_empty() || self.bytes.capacity() == 0 {
            return None;
        }
        self.start = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        Some(bytes)
    }

    /// Removes the last bytes, `most` at most, and all but a few. Returns how many, and the memory that the outbox had.
    pub(crate) fn take_back(&mut self, most: usize) -> (usize, Vec<u8>) {
        let len = self.len().saturating_sub(LEFT).min(most);
        let end = self.bytes.len() - len;
        let left = self.bytes[self.start..end].to_vec();
        self.start = 0;
        (len, std::mem::replace(&mut self.bytes, left))
    }

    /// Sends what is kept. `Ok(false)`: the socket is full.
    ///
    /// # Errors
    /// The socket's error: the client is gone.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        self.send(socket, &[])
    }

    /// Sends what is kept and then `parts`. Keeps what the socket does not take. `Ok(false)`: the socket is full.
    ///
    /// # Errors
    /// The socket's error: the client is gone.
    pub(crate) fn send(&mut self, socket: &mut impl Write, parts: &[&[u8]]) -> io::Result<bool> {
        let parts_len: usize = parts.iter().map(|part| part.len()).sum();
        let mut sent = 0;
        loop {
            let kept = self.len();
            let left = kept + parts_len - sent;
            if left == 0 {
                self.bytes.clear();
                self.start = 0;
                return Ok(true);
            }
            let written = if parts_len == 0 {
                socket.write(&self.bytes[self.start..])
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_PARTS + 1];
                slices[0] = IoSlice::new(&self.bytes[self.start..]);
                let mut count = 1;
                each_unsent(parts, sent, |part| {
                    slices[count] = IoSlice::new(part);
                    count += 1;
                });
                socket.write_vectored(&slices[..count])
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    let of_kept = len.min(kept);
                    self.start += of_kept;
                    sent += len - of_kept;
                    // On Linux a short write means that the socket is full, and an event reports when it no longer is.
                    if len < left && cfg!(target_os = "linux") {
                        self.keep(parts, sent);
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.keep(parts, sent);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends a part of the read buffer without copying it. Before more is read into the buffer, it has to be
    /// [sent](Self::send_lent) or [kept](Self::keep_lent).
    pub(crate) fn lend(&mut self, place: Range<usize>, lent: &mut Vec<Lent>) {
        let after = self.tail().len();
        self.lent_len += place.len();
        lent.push(Lent { after, place });
    }

    /// Sends what is kept and what is lent of `memory`. Keeps what the socket does not take. `Ok(false)`: the socket is
    /// full.
    ///
    /// # Errors
    /// The socket's error: the client is gone.
    pub(crate) fn send_lent(
        &mut self,
        socket: &mut impl Write,
        lent: &[Lent],
        memory: &[u8],
    ) -> io::Result<bool> {
        if self.lent_len == 0 {
            return self.flush(socket);
        }
        let own = &self.bytes;
        let parts = Parts { own, lent, memory };
        let mut sent = 0;
        let is_sent = loop {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut offered = 0;
            let left = parts.after(sent).filter(|part| !part.is_empty());
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(left) {
                *slice = IoSlice::new(part);
                offered += part.len();
                count += 1;
            }
            if count == 0 {
                break Ok(true);
            }
            match socket.write_vectored(&slices[..count]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    sent += len;
                    // As in `send`.
                    if len < offered && cfg!(target_os = "linux") {
                        break Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        self.keep_lent(lent, memory, sent);
        is_sent
    }

    /// Keeps the bytes after the first `sent`, with copies of those that are lent.
    pub(crate) fn keep_lent(&mut self, lent: &[Lent], memory: &[u8], mut sent: usize) {
        let end = self.bytes.len();
        if sent == self.len() {
            self.bytes.clear();
        } else {
            let mut unsent = |part: Range<usize>| {
                let skipped = sent.min(part.len());
                sent -= skipped;
                part.start + skipped..part.end
            };
            let mut start = 0;
            for Lent { after, place } in lent {
                self.bytes.extend_from_within(unsent(start..*after));
                self.bytes.extend_from_slice(&memory[unsent(place.clone())]);
                start = *after;
            }
            self.bytes.extend_from_within(unsent(start..end));
        }
        self.start = end.min(self.bytes.len());
        self.lent_len = 0;
    }

    /// Keeps the bytes of `parts` after the first `sent`.
    pub(crate) fn keep(&mut self, parts: &[&[u8]], sent: usize) {
        each_unsent(parts, sent, |part| self.tail().extend_from_slice(part));
    }
}

/// How many bytes stay in an outbox from which others are taken back.
const LEFT: usize = 1024;

/// A chunk has two parts, its bytes and its line end. Its size line is kept before them.
const MAX_PARTS: usize = 2;

/// The most parts of one write.
const MAX_SLICES: usize = 64;

fn each_unsent<'p>(parts: &[&'p [u8]], mut sent: usize, mut take: impl FnMut(&'p [u8])) {
    for part in parts {
        let skipped = sent.min(part.len());
        sent -= skipped;
        if skipped < part.len() {
            take(&part[skipped..]);
        }
    }
}
