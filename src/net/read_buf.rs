//! The one buffer that serves all connections of a client.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Weak};

use crate::engine::RawEvent;
use crate::event::Event;

/// The memory that sockets are read into and that events borrow. The embedder owns one buffer for each client,
/// or one for all [`Clients`](crate::Clients).
///
/// While the buffer holds bytes that were not returned in events, it belongs to the client that read them.
/// [`Client::poll_event`](crate::Client::poll_event) panics when that client is given another buffer, because the bytes
/// would be lost, and when another client is given this buffer, because it would get the bytes. A client that was
/// dropped owns nothing.
///
/// Once `poll_event` has returned `None`, the buffer holds nothing. So one buffer can serve several clients of a thread
/// if each of them is drained to `None` before the next one is polled.
pub struct ReadBuf {
    bytes: Box<[u8]>,
    unread: Range<usize>,
    /// The client that used the buffer last.
    owner: Weak<()>,
    /// The address of `owner`, to compare it in one step.
    place: usize,
    /// The owner has not taken all bytes yet, so no other client may use the buffer.
    is_taken: bool,
}

/// Distinguishes a client from all others. No counter is needed: as long as a buffer refers to the client, the address
/// of this memory is not used again.
#[derive(Debug, Default)]
pub(super) struct Owner(Arc<()>);

impl Owner {
    /// Unique as long as a buffer refers to this owner.
    #[inline]
    fn place(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl ReadBuf {
    /// The smallest size, in bytes.
    pub const MIN_LEN: usize = 512;
    /// The size of [`ReadBuf::default`], in bytes: a record of 65,528 bytes of content fits, with its header.
    pub const DEFAULT_LEN: usize = 64 * 1024;

    /// A buffer of `len` bytes, at least [`MIN_LEN`](Self::MIN_LEN).
    ///
    /// In its turn, a connection reads at most one buffer. All turns together move 16 buffers' worth, and what the last
    /// round moves beyond that, before [`Client::poll_event`](crate::Client::poll_event) returns `None`.
    #[must_use]
    pub fn with_len(len: usize) -> Self {
        Self {
            bytes: vec![0; len.max(Self::MIN_LEN)].into_boxed_slice(),
            unread: 0..0,
            owner: Weak::new(),
            place: 0,
            is_taken: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Lends the buffer to a client for a call. `is_reading`: the client has not taken all bytes that it read into its
    /// buffer, so this must be the same buffer.
    ///
    /// # Panics
    /// When the buffer holds bytes of another client, and when the bytes of this client are in another buffer.
    #[inline]
    pub(super) fn claim(&mut self, client: &Owner, is_reading: bool) {
        // As a rule, the buffer is already this client's and holds nothing.
        if self.is_taken != is_reading || self.place != client.place() {
            self.change_owner(client, is_reading);
        }
    }

    #[inline]
    fn is_owned_by(&self, client: &Owner) -> bool {
        std::ptr::eq(self.owner.as_ptr(), Arc::as_ptr(&client.0))
    }

    #[cold]
    fn change_owner(&mut self, client: &Owner, is_reading: bool) {
        assert!(
            !is_reading,
            "another ReadBuf was passed while the former holds bytes of the client's"
        );
        assert!(
            !self.is_taken || self.is_owned_by(client) || self.owner.strong_count() == 0,
            "the ReadBuf holds bytes of another client: give each client a buffer of its own, or poll the other until it says None"
        );
        self.owner = Arc::downgrade(&client.0);
        self.place = client.place();
        self.release();
    }

    /// Releases the buffer: all bytes were taken, or their connection is gone. Any client may use it now.
    pub(super) fn release(&mut self) {
        self.unread = 0..0;
        self.is_taken = false;
    }

    /// All of the memory, to read into.
    pub(super) fn memory(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Notes that the first `len` bytes were read from a socket.
    pub(super) fn filled(&mut self, len: usize) {
        self.unread = 0..len;
        self.is_taken = true;
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.unread.clone()]
    }

    /// Keeps only the last `left` bytes as unread.
    pub(super) fn keep_last(&mut self, left: usize) {
        self.unread.start = self.unread.end - left;
    }

    /// The bytes before the unread ones.
    #[inline]
    pub(super) fn consumed(&self) -> &[u8] {
        &self.bytes[..self.unread.start]
    }

    /// The memory of the buffer, in which the events of [`poll_in_place`](crate::Clients::poll_in_place) name their output.
    /// It stays as it is until the next call that may read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Names the output of an event by its place.
    pub(super) fn place(&self, event: RawEvent) -> Event<Range<usize>> {
        let end = self.unread.start;
        match self.is_taken {
            true => event.map(|len| end - len..end),
            false => event.map(|len| 0..len),
        }
    }

    /// Lends an event its output: the last consumed bytes or, if no bytes of a socket are here, the first bytes.
    pub(super) fn lend(&self, event: RawEvent) -> Event<&[u8]> {
        if self.is_taken {
            event.into_event(self.consumed())
        } else {
            event.into_event_at_front(&self.bytes)
        }
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
            .field("len", &self.bytes.len())
            .field("unread", &self.unread.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// The panic message of a client that is refused the buffer.
    fn refusal(buf: &mut ReadBuf, client: &Owner, is_reading: bool) -> String {
        let claim = AssertUnwindSafe(|| buf.claim(client, is_reading));
        let panic = catch_unwind(claim).expect_err("the buffer is refused");
        panic
            .downcast_ref::<&str>()
            .map(|it| (*it).to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn a_buffer_with_bytes_of_one_client_is_refused_to_another_until_all_are_taken() {
        let (one, other) = (Owner::default(), Owner::default());
        let mut buf = ReadBuf::with_len(0);
        buf.claim(&one, false);
        buf.filled(10);
        let why = refusal(&mut buf, &other, false);
        assert!(why.contains("bytes of another client"), "{why}");
        // The refusal has not changed the buffer.
        buf.claim(&one, true);
        assert_eq!(buf.unread().len(), 10);
        buf.keep_last(0);
        assert!(buf.unread().is_empty());
        // The last bytes are borrowed, and events that they cause may still follow.
        refusal(&mut buf, &other, false);
        buf.claim(&one, true);
        buf.release();
        buf.claim(&other, false);
        buf.claim(&one, false);
        buf.claim(&other, false);
        // Bytes that the owner does not read any more are nobody's.
        buf.filled(10);
        buf.claim(&other, false);
        assert!(buf.unread().is_empty());
        buf.claim(&one, false);
    }

    #[test]
    fn a_client_whose_bytes_are_in_one_buffer_is_refused_another() {
        let (one, other) = (Owner::default(), Owner::default());
        let mut first = ReadBuf::with_len(0);
        first.claim(&one, false);
        first.filled(10);
        let mut second = ReadBuf::with_len(0);
        for used_before in [false, true] {
            let why = refusal(&mut second, &one, true);
            assert!(why.contains("another ReadBuf"), "{why} {used_before}");
            second.claim(&one, false);
        }
        second.claim(&other, false);
        second.filled(10);
        refusal(&mut second, &one, true);
        first.claim(&one, true);
    }

    #[test]
    fn the_buffer_of_a_client_that_was_dropped_serves_the_next() {
        let mut buf = ReadBuf::with_len(0);
        for _ in 0..3 {
            // The next client may get the address of the dropped one.
            let client = Owner::default();
            buf.claim(&client, false);
            assert!(buf.unread().is_empty());
            buf.filled(10);
        }
    }
}
