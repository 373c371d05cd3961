//! The bytes from a client that were not used yet, and where the next head in them ends.

use memchr::memchr2;

use super::head::{self, HeadLimits};
use super::net::buffer_pool::BufferPool;
use super::refusal::Refusal;

/// Finds heads in the bytes from a client, however they are split into reads.
#[derive(Debug, Default)]
pub(crate) struct RequestReader {
    /// Bytes that were not used; one read at most.
    held: Vec<u8>,
    /// How many bytes of an incomplete head were already searched for its end.
    searched: usize,
    /// Bytes of empty lines that were skipped before the next head.
    blank: usize,
}

/// What is at the start of the bytes from a client.
#[derive(Debug)]
pub(crate) enum Found<'b> {
    /// A complete head, and the bytes after it.
    Head { head: &'b [u8], following: &'b [u8] },
    /// An incomplete head, after empty lines of `used` bytes.
    Part { used: usize },
    /// Not a request: the response to these bytes is a refusal.
    Refused { bytes: &'b [u8], refusal: Refusal },
}

impl RequestReader {
    /// Looks for a complete head at the start of `bytes`, which are the held bytes and then the new ones.
    pub(crate) fn find_head<'b>(&mut self, bytes: &'b [u8], limits: HeadLimits) -> Found<'b> {
        // RFC 9112, 2.2: an empty line before a request is skipped. Their number is limited, over all reads: otherwise
        // each one would count as progress.
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
        match head::find_end(bytes, limits, &mut self.searched) {
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

    /// Whether no bytes are held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The number of bytes that are held.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Copies the held bytes to the front of `space`. Returns their number.
    pub(crate) fn copy_to(&self, space: &mut [u8]) -> usize {
        space[..self.held.len()].copy_from_slice(&self.held);
        self.held.len()
    }

    /// Takes the held bytes out, to use them.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Puts the bytes back that were taken out, without the first `used` ones.
    pub(crate) fn put_back(&mut self, mut bytes: Vec<u8>, used: usize) {
        bytes.drain(..used);
        self.held = bytes;
    }

    /// Drops the held bytes: they were used together with newer ones.
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

    /// Gives an empty buffer back.
    #[inline]
    pub(crate) fn give_back(&mut self, pool: &mut BufferPool) {
        if self.held.is_empty() && self.held.capacity() > 0 {
            pool.give_back(self.take());
        }
    }
}

/// The request line, for the log.
pub(crate) fn request_line(bytes: &[u8]) -> &[u8] {
    let within = &bytes[..bytes.len().min(MAX_LOGGED)];
    let end = memchr2(b'\r', b'\n', within);
    &within[..end.unwrap_or(within.len())]
}

/// The most bytes of a request line that are logged.
const MAX_LOGGED: usize = 8 * 1024;
/// The most bytes of empty lines before a request.
const MAX_BLANK: usize = 8;
