//! What a driver must not do with its sockets, whatever they hold.

use std::collections::BTreeMap;
use std::fmt;

/// Watches the calls of a driver, and keeps the first that was wrong.
#[derive(Debug, Default)]
pub(super) struct Manners {
    /// The length of the driver's buffer.
    buf_len: usize,
    /// How many bytes were read since the driver last let the embedder handle its own sockets.
    read: usize,
    /// How many reads there were reasons for, beside those of the rounds.
    reasons: usize,
    /// How many there had been when the embedder's own sockets last had their turn.
    used: usize,
    /// How many sockets there were then.
    sockets: usize,
    /// How many reads have brought bytes.
    reads: usize,
    /// The reads and the reasons, when each socket that waits began to wait.
    waits: BTreeMap<usize, (usize, usize)>,
    offence: Option<String>,
}

/// [`ReadBuf`](crate::ReadBuf) promises that no further round begins after this many buffers.
const BUFFERS: usize = 16;
/// How many of the other sockets' reads a socket may have to wait for, for each socket there is.
const MOST_WAITS: usize = 4;

impl Manners {
    pub(super) fn set_buf_len(&mut self, len: usize) {
        self.buf_len = len;
    }

    pub(super) fn offence(&self) -> Option<&str> {
        self.offence.as_deref()
    }

    #[cold]
    pub(super) fn accuse(&mut self, what: fmt::Arguments<'_>) {
        self.offence.get_or_insert_with(|| what.to_string());
    }

    /// The embedder may handle its own sockets now. This many are the driver's.
    pub(super) fn note_pause(&mut self, sockets: usize) {
        self.read = 0;
        self.used = self.reasons;
        self.sockets = sockets;
    }

    /// There is a new reason to read: a socket, or an event for one that was empty.
    pub(super) fn note_reason(&mut self) {
        self.reasons += 1;
    }

    pub(super) fn reads(&self) -> usize {
        self.reads
    }

    pub(super) fn note_read(&mut self, len: usize) {
        self.reads += 1;
        self.read += len;
        // Commands are reasons too, so twice as much is not too much.
        let reads = BUFFERS + 2 * self.sockets + self.reasons - self.used;
        let most = 2 * self.buf_len.saturating_mul(reads);
        if self.read > most {
            let read = self.read;
            self.accuse(format_args!(
                "{read} bytes were read before the embedder's own sockets had their turn"
            ));
        }
    }

    /// A socket was read, or need not be.
    pub(super) fn end_wait(&mut self, number: usize) {
        self.waits.remove(&number);
    }

    /// Whether a socket waits to be read. The engine may want no more bytes from it since.
    pub(super) fn has_waits(&self) -> bool {
        !self.waits.is_empty()
    }

    /// A socket waits to be read, as the driver knows. There are so many sockets in all.
    pub(super) fn note_wait(&mut self, number: usize, sockets: usize) {
        let now = (self.reads, self.reasons);
        let (reads, reasons) = *self.waits.entry(number).or_insert(now);
        // An event for a socket that was empty brings that into the round that is going on.
        let others = (now.0 - reads).saturating_sub(now.1 - reasons);
        if others > MOST_WAITS * (sockets + 1) {
            self.accuse(format_args!(
                "connection {number} waits while others were read {others} times"
            ));
        }
    }
}
