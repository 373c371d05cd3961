//! The one buffer that serves all connections of a client.

use std::fmt;
use std::ops::Range;
use std::slice::SliceIndex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory that sockets are read into and events are lent from; the embedder's, one for each client.
///
/// While it holds octets that were not handed on, it belongs to that client: another in its place would
/// lose them, so [`Client::poll_event`](crate::Client::poll_event) refuses it.
pub struct ReadBuf {
    octets: Box<[u8]>,
    unread: Range<usize>,
    identity: u64,
}

/// Identities only have to differ.
static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(0);

impl ReadBuf {
    /// The smallest buffer.
    pub const MIN_LEN: usize = 512;
    /// The size of [`ReadBuf::default`]: a record of 65,528 octets of content with its header fits.
    pub const DEFAULT_LEN: usize = 64 * 1024;

    /// A buffer of `len` octets, at least [`MIN_LEN`](Self::MIN_LEN). It is also the most that one connection
    /// is read in its turn, and 16 times as much is what all turns move before
    /// [`Client::poll_event`](crate::Client::poll_event) says `None`, the last round aside.
    pub fn with_len(len: usize) -> Self {
        Self {
            octets: vec![0; len.max(Self::MIN_LEN)].into_boxed_slice(),
            unread: 0..0,
            identity: NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    pub(super) fn identity(&self) -> u64 {
        self.identity
    }

    /// All of the memory, to read into.
    pub(super) fn memory(&mut self) -> &mut [u8] {
        &mut self.octets
    }

    /// The first `len` octets were read from a socket.
    pub(super) fn filled(&mut self, len: usize) {
        self.unread = 0..len;
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.octets[self.unread.clone()]
    }

    /// Only the last `left` octets are still unread; gives the position before them.
    pub(super) fn keep_last(&mut self, left: usize) -> usize {
        self.unread.start = self.unread.end - left;
        self.unread.start
    }

    pub(super) fn octets(&self, range: impl SliceIndex<[u8], Output = [u8]>) -> &[u8] {
        &self.octets[range]
    }
}

impl Default for ReadBuf {
    fn default() -> Self {
        Self::with_len(Self::DEFAULT_LEN)
    }
}

impl fmt::Debug for ReadBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBuf")
            .field("len", &self.octets.len())
            .field("unread", &self.unread.len())
            .finish()
    }
}
