//! The bytes of a client that were not used yet, and where in them the next head ends.

use super::head::{self, MAX_LINE, Refusal};
use super::net::buffer_pool::BufferPool;

/// Finds heads in what a client sends, however it is cut.
#[derive(Debug, Default)]
pub(crate) struct RequestReader {
    /// Bytes that were not used; at most one read.
    held: Vec<u8>,
    /// How much of an incomplete head was searched for its end.
    searched: usize,
    /// Bytes of empty lines let pass before the next head.
    blank: usize,
}

/// What the bytes of a client begin with.
#[derive(Debug)]
pub(crate) enum Found<'b> {
    /// A head, and the bytes after it.
    Head { head: &'b [u8], following: &'b [u8] },
    /// A head that goes on, after some bytes of empty lines that were used.
    Part { used: usize },
    /// No request: these bytes are answered with a refusal.
    Refused { bytes: &'b [u8], refusal: Refusal },
}

impl RequestReader {
    /// Looks for a whole head at the start of `bytes`: those that were held and those that came.
    pub(crate) fn find_head<'b>(&mut self, bytes: &'b [u8]) -> Found<'b> {
        // RFC 9112, 2.2: an empty line before a request is let pass. Not any number of them, nor by any number of
        // reads: each would count as progress.
        let blank = head::empty_lines(bytes);
        self.blank += blank;
        if self.blank > MAX_BLANK {
            let why = "empty lines instead of a request";
            let refusal = Refusal { status: 400, why };
            return Found::Refused { bytes, refusal };
        }
        let bytes = &bytes[blank..];
        if bytes.is_empty() {
            return Found::Part { used: blank };
        }
        match head::find_end(bytes, &mut self.searched) {
            Ok(None) => Found::Part { used: blank },
            Ok(Some(end)) => {
                self.searched = 0;
                self.blank = 0;
                let (head, following) = bytes.split_at(end);
                Found::Head { head, following }
            }
            Err(refusal) => Found::Refused { bytes, refusal },
        }
    }

    /// Nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many bytes are held.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Copies what is held to the front of a buffer; returns how much that is.
    pub(crate) fn copy_to(&self, space: &mut [u8]) -> usize {
        space[..self.held.len()].copy_from_slice(&self.held);
        self.held.len()
    }

    /// Takes what is held, to be used.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Holds again what was taken, without the first `used` bytes.
    pub(crate) fn put_back(&mut self, mut bytes: Vec<u8>, used: usize) {
        bytes.drain(..used);
        self.held = bytes;
    }

    /// What was held is used, as a part of something longer.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    /// Holds bytes that were not used.
    pub(crate) fn hold(&mut self, rest: &[u8], pool: &mut BufferPool) {
        if rest.is_empty() {
            return;
        }
        if self.held.capacity() == 0
            && let Some(buffer) = pool.take()
        {
            self.held = buffer;
        }
        self.held.extend_from_slice(rest);
    }

    /// Gives the memory back that nothing is in.
    #[inline]
    pub(crate) fn give_back(&mut self, pool: &mut BufferPool) {
        if self.held.is_empty() && self.held.capacity() > 0 {
            pool.give_back(self.take());
        }
    }
}

/// The first line, for the log.
pub(crate) fn request_line(bytes: &[u8]) -> &[u8] {
    let within = &bytes[..bytes.len().min(MAX_LINE)];
    let end = within.iter().position(|byte| b"\r\n".contains(byte));
    &within[..end.unwrap_or(within.len())]
}

/// Bytes of empty lines before a request.
const MAX_BLANK: usize = 8;
