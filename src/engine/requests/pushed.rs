//! The bytes of a pushed body that are not sent yet: kept here, or lent for the time of a call.
//!
//! ```text
//! released | front | back | lent
//!          ^ offset
//! ```
//!
//! Bytes leave from `front`. Once some of them have left, more are kept in `back`, and the two change places when
//! `front` is empty: no byte is moved. A record has bytes of one of the three only.

/// Bytes pushed by the embedder and not yet sent.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    front: Vec<u8>,
    /// How many bytes at the start of `front` were released.
    released: usize,
    back: Vec<u8>,
    /// How many bytes follow that are not kept here: the last ones of those that the embedder is writing.
    lent: usize,
    /// The offset in the stream of the first byte that is not released.
    offset: u64,
    /// Whether the embedder has finished the body.
    is_finished: bool,
    /// Whether the stream ends after its declared length, without waiting for the embedder to finish it.
    is_whole: bool,
}

impl Pushed {
    /// Bytes that are not released.
    pub(super) fn len(&self) -> usize {
        self.kept() + self.lent
    }

    /// Bytes pushed since the start.
    pub(super) fn total(&self) -> u64 {
        self.offset + self.len() as u64
    }

    /// The offset in the stream of the first byte that is not released.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that are not released and kept here.
    pub(super) fn kept(&self) -> usize {
        self.front_len() + self.back.len()
    }

    fn front_len(&self) -> usize {
        self.front.len() - self.released
    }

    /// How many bytes from an offset on are next to each other in memory.
    pub(super) fn contiguous(&self, offset: u64) -> usize {
        let at = (offset - self.offset) as usize;
        let ends = [self.front_len(), self.kept(), self.len()];
        let end = ends.into_iter().find(|end| at < *end);
        end.map_or(0, |end| end - at)
    }

    /// Bytes that are kept here. Empty for bytes that are not.
    #[inline]
    pub(super) fn bytes(&self, offset: u64, len: usize) -> &[u8] {
        let at = (offset - self.offset) as usize;
        let (bytes, start) = match at.checked_sub(self.front_len()) {
            None => (&self.front, self.released + at),
            Some(start) => (&self.back, start),
        };
        bytes.get(start..start + len).unwrap_or(&[])
    }

    /// Keeps bytes.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.lent, 0);
        let has_left = self.released > 0 || !self.back.is_empty();
        let end = if has_left {
            &mut self.back
        } else {
            &mut self.front
        };
        end.extend_from_slice(bytes);
    }

    /// The next bytes are lent. They are [kept](Self::keep_lent) before anything else happens to the request.
    pub(super) fn lend(&mut self, len: usize) {
        debug_assert_eq!(self.lent, 0);
        self.lent = len;
    }

    /// The bytes from an offset on, out of the bytes that were lent. `None` for bytes that are kept here.
    pub(super) fn lent<'a>(&self, offset: u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let at = (offset - self.offset) as usize;
        let left = self.lent - at.checked_sub(self.kept())?;
        bytes.get(bytes.len() - left..)
    }

    /// Keeps what is not released of the bytes that were lent.
    pub(super) fn keep_lent(&mut self, bytes: &[u8]) {
        let left = std::mem::take(&mut self.lent);
        self.keep(&bytes[bytes.len() - left..]);
    }

    /// Bytes were sent: the memory of those that are kept here is free.
    pub(super) fn release(&mut self, len: usize) {
        self.offset += len as u64;
        let mut left = len;
        for _ in 0..2 {
            let of_front = left.min(self.front_len());
            self.released += of_front;
            left -= of_front;
            if self.released == self.front.len() {
                self.front.clear();
                self.released = 0;
                std::mem::swap(&mut self.front, &mut self.back);
            }
        }
        self.lent -= left;
    }

    /// Puts bytes that were not sent after all before those that follow an offset.
    pub(super) fn take_back(&mut self, mut bytes: Vec<u8>, end: u64) {
        let at = (end - self.offset) as usize;
        bytes.extend_from_slice(&self.take_all()[at..]);
        *self = Self {
            front: bytes,
            is_finished: self.is_finished,
            is_whole: self.is_whole,
            ..Self::default()
        };
    }

    /// Takes all bytes that are kept here.
    pub(super) fn take_all(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.front);
        bytes.drain(..std::mem::take(&mut self.released));
        bytes.append(&mut self.back);
        bytes
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.front.capacity() + self.back.capacity()
    }

    // --- the end ---

    /// The embedder has finished the body.
    pub(super) fn finish(&mut self) {
        self.is_finished = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// All bytes were pushed that were declared, and some of them are lent: the end of the stream leaves with them,
    /// although the embedder has not finished the body yet.
    pub(super) fn set_whole(&mut self) {
        self.is_whole = true;
    }

    /// Whether the stream ends after the bytes that were pushed.
    pub(super) fn ends_here(&self) -> bool {
        self.is_finished || self.is_whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_in_two_buffers_and_not_moved() {
        let mut pushed = Pushed::default();
        pushed.keep(b"abc");
        pushed.keep(b"def");
        assert_eq!(pushed.contiguous(0), 6, "nothing has left");
        assert_eq!(pushed.back.capacity(), 0);
        pushed.release(2);
        let first = pushed.bytes(2, 4).as_ptr();
        pushed.keep(b"ghi");
        pushed.keep(b"jk");
        assert_eq!((pushed.len(), pushed.total()), (9, 11));
        assert_eq!((pushed.contiguous(2), pushed.contiguous(5)), (4, 1));
        assert_eq!((pushed.contiguous(6), pushed.contiguous(11)), (5, 0));
        assert_eq!(
            (pushed.bytes(2, 4), pushed.bytes(6, 5)),
            (&b"cdef"[..], &b"ghijk"[..])
        );
        assert_eq!(pushed.bytes(2, 4).as_ptr(), first);
        assert_eq!(pushed.bytes(5, 2), b"", "not next to each other");
        let second = pushed.bytes(7, 4).as_ptr();
        pushed.release(5);
        assert_eq!((pushed.offset(), pushed.bytes(7, 4)), (7, &b"hijk"[..]));
        assert_eq!(pushed.bytes(7, 4).as_ptr(), second);
        pushed.release(4);
        assert_eq!((pushed.len(), pushed.total()), (0, 11));
    }

    #[test]
    fn of_lent_bytes_those_that_have_not_left_are_kept() {
        for kept in [0, 2] {
            for released in 0..=kept + 5 {
                let mut pushed = Pushed::default();
                pushed.keep(&b"ab"[..kept]);
                pushed.lend(5);
                let start = kept as u64;
                assert_eq!(pushed.contiguous(start), 5);
                assert_eq!(pushed.bytes(start, 5), b"", "not here");
                pushed.release(released);
                if released < kept {
                    assert_eq!(pushed.lent(released as u64, b"vwxyz"), None);
                }
                let next = start + 1;
                if released <= kept + 1 {
                    assert_eq!(pushed.lent(next, b"vwxyz"), Some(&b"wxyz"[..]));
                }
                pushed.keep_lent(b"vwxyz");
                let whole = [&b"ab"[..kept], b"vwxyz"].concat();
                assert_eq!(pushed.take_all(), whole[released..]);
            }
        }
    }

    #[test]
    fn bytes_are_taken_back_before_those_that_were_not_taken() {
        let mut pushed = Pushed::default();
        pushed.keep(b"abcdef");
        pushed.release(2);
        pushed.keep(b"ghi");
        pushed.finish();
        pushed.take_back(b"abcd".to_vec(), 4);
        assert_eq!(
            (pushed.offset(), pushed.bytes(0, 9)),
            (0, &b"abcdefghi"[..])
        );
        assert!(pushed.ends_here());
    }
}
