//! The outbox of one connection: framed bytes, and large body slices that are inserted without a copy.
//!
//! ```text
//! framed:  [ BEGIN PARAMS STDIN-header | STDIN-header | empty STDIN ]
//!                                      ^              ^
//! bodies:                       65,528 bytes   40,000 bytes      (stay in their request)
//! ```
//!
//! The bytes on the wire are the framed bytes with each body slice inserted at its position. A body slice is a request
//! and an offset; `requests` turns it into bytes when a write is prepared.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Deref;

use crate::engine::requests::BodySlice;

/// The most slices of one vectored write. Twice as many cost each small request 20 ns.
const MAX_SLICES: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    framed: Vec<u8>,
    /// Bytes of `framed` that were sent.
    start: usize,
    slices: VecDeque<BodyRef>,
    unsent: usize,
    transmitted: u64,
}

#[derive(Clone, Copy, Debug)]
struct BodyRef {
    /// The position in `framed` before which the slice is inserted.
    at: usize,
    slice: BodySlice,
}

impl Outbox {
    /// Frames the bytes that `write` appends to the buffer.
    #[inline]
    pub(super) fn frame<R>(
        &mut self,
        pool: &mut BufferPool,
        write: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        if self.framed.capacity() == 0 {
            self.framed = pool.buffers.pop().unwrap_or_default();
            pool.capacity -= self.framed.capacity();
        }
        let before = self.framed.len();
        let result = write(&mut self.framed);
        self.unsent += self.framed.len() - before;
        result
    }

    /// Appends a body slice.
    pub(super) fn push_body(&mut self, slice: BodySlice, pool: &mut BufferPool) {
        if self.slices.capacity() == 0 {
            self.slices = pool.slices.pop().unwrap_or_default();
        }
        self.slices.push_back(BodyRef {
            at: self.framed.len(),
            slice,
        });
        self.unsent += slice.len;
    }

    /// Bytes not yet given to the transport.
    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    /// The position of the next byte to be queued, in the connection's stream of sent bytes.
    #[inline]
    pub(super) fn end_offset(&self) -> u64 {
        self.transmitted + self.unsent as u64
    }

    /// Bytes given to the transport since the connection was opened.
    pub(super) fn transmitted(&self) -> u64 {
        self.transmitted
    }

    /// The next bytes to write, in order; not necessarily all.
    #[inline]
    pub(super) fn slices<'a>(&'a self, body: impl Fn(BodySlice) -> &'a [u8]) -> Transmit<'a> {
        if self.slices.is_empty() {
            return Transmit::one(&self.framed[self.start..]);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut len = 0;
        let mut push = |bytes: &'a [u8]| {
            if !bytes.is_empty() {
                slices[len] = IoSlice::new(bytes);
                len += 1;
            }
        };
        let mut position = self.start;
        // Each body gives two slices at most. With fewer bodies there is a slice left for the bytes after them.
        for body_ref in self.slices.iter().take(MAX_SLICES / 2) {
            push(&self.framed[position..body_ref.at]);
            push(body(body_ref.slice));
            position = body_ref.at;
        }
        if self.slices.len() < MAX_SLICES / 2 {
            push(&self.framed[position..]);
        }
        Transmit(Slices::Many(slices, len))
    }

    /// Passes all bytes from a position in the connection's stream of sent bytes on to `show`, in order.
    pub(super) fn pieces_from<'a>(
        &'a self,
        position: u64,
        body: impl Fn(BodySlice) -> &'a [u8],
        mut show: impl FnMut(&[u8]),
    ) {
        let mut skipped = position.saturating_sub(self.transmitted);
        let mut show = |bytes: &[u8]| {
            let skip = skipped.min(bytes.len() as u64);
            skipped -= skip;
            show(&bytes[skip as usize..]);
        };
        let mut start = self.start;
        for body_ref in &self.slices {
            show(&self.framed[start..body_ref.at]);
            show(body(body_ref.slice));
            start = body_ref.at;
        }
        show(&self.framed[start..]);
    }

    /// Removes `len` bytes that were given to the transport, at most those that are unsent. Calls `sent` for each piece
    /// of a body slice among them.
    #[inline]
    pub(super) fn consume(
        &mut self,
        len: usize,
        pool: &mut BufferPool,
        mut sent: impl FnMut(BodySlice),
    ) {
        let mut left = len.min(self.unsent);
        self.unsent -= left;
        self.transmitted += left as u64;
        while let Some(body_ref) = self.slices.front_mut() {
            let framed = left.min(body_ref.at - self.start);
            self.start += framed;
            left -= framed;
            let body = left.min(body_ref.slice.len);
            // Stop if the framed bytes before the body have not all left.
            if body == 0 {
                break;
            }
            left -= body;
            sent(BodySlice {
                len: body,
                ..body_ref.slice
            });
            body_ref.slice.offset += body as u64;
            body_ref.slice.len -= body;
            if body_ref.slice.len > 0 {
                break;
            }
            self.slices.pop_front();
        }
        self.start += left;
        self.reclaim(pool);
    }

    /// Copies the body slices of a request, which is about to be removed, into the framed bytes.
    pub(super) fn inline_bodies<'a>(&mut self, request: u32, body: impl Fn(BodySlice) -> &'a [u8]) {
        while let Some(index) = self
            .slices
            .iter()
            .position(|body_ref| body_ref.slice.request == request)
        {
            let Some(body_ref) = self.slices.remove(index) else {
                return;
            };
            let bytes = body(body_ref.slice);
            self.framed
                .splice(body_ref.at..body_ref.at, bytes.iter().copied());
            for later in self.slices.range_mut(index..) {
                later.at += bytes.len();
            }
        }
    }

    /// Gives the buffer back when nothing is unsent, and drops the sent part of a long one.
    #[inline]
    fn reclaim(&mut self, pool: &mut BufferPool) {
        if self.unsent == 0 {
            self.start = 0;
            self.give_back(pool);
        } else if self.start >= 16 * 1024 && self.start * 2 >= self.framed.len() {
            self.framed.drain(..self.start);
            for body_ref in &mut self.slices {
                body_ref.at -= self.start;
            }
            self.start = 0;
        }
    }

    /// Gives the memory of an outbox that is empty or no longer needed to the pool.
    pub(super) fn give_back(&mut self, pool: &mut BufferPool) {
        let mut framed = std::mem::take(&mut self.framed);
        let capacity = pool.capacity + framed.capacity();
        let fits = framed.capacity() > 0 && capacity <= MAX_KEPT_CAPACITY;
        if fits && pool.buffers.len() < MAX_KEPT {
            framed.clear();
            pool.buffers.push(framed);
            pool.capacity = capacity;
        }
        if self.slices.capacity() == 0 {
            return;
        }
        let mut slices = std::mem::take(&mut self.slices);
        let fits = (1..=MAX_KEPT_SLICES).contains(&slices.capacity());
        if fits && pool.slices.len() < MAX_KEPT {
            slices.clear();
            pool.slices.push(slices);
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_len(&self) -> usize {
        self.framed.capacity() + self.slices.capacity() * size_of::<BodyRef>()
    }
}

/// Memory of empty outboxes, for reuse by others.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    /// Large buffers are kept too: to grow a new one for each burst on a shared connection is a quarter of the burst's
    /// cost.
    buffers: Vec<Vec<u8>>,
    /// The capacity of all buffers.
    capacity: usize,
    slices: Vec<VecDeque<BodyRef>>,
}

/// The bounds of the pool: buffers and lists of each kind, bytes of all buffers, and length of a list. 17 MiB in all at
/// most, usually far less.
const MAX_KEPT: usize = 256;
const MAX_KEPT_CAPACITY: usize = 16 * 1024 * 1024;
const MAX_KEPT_SLICES: usize = 64;

/// Slices for one vectored write, in order and without empty ones. See [`Engine::transmit`](crate::Engine::transmit).
#[derive(Debug)]
pub struct Transmit<'a>(Slices<'a>);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack between two calls, and a box would be an allocation for each write"
)]
enum Slices<'a> {
    None,
    /// A variant of its own, because nearly all requests are sent in one slice: this saves about 100 of 8,600
    /// instructions.
    One([IoSlice<'a>; 1]),
    Many([IoSlice<'a>; MAX_SLICES], usize),
}

impl<'a> Transmit<'a> {
    #[inline]
    fn one(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() {
            return Self::nothing();
        }
        Self(Slices::One([IoSlice::new(bytes)]))
    }

    #[inline]
    pub(crate) fn nothing() -> Self {
        Self(Slices::None)
    }
}

impl<'a> Deref for Transmit<'a> {
    type Target = [IoSlice<'a>];

    #[inline]
    fn deref(&self) -> &[IoSlice<'a>] {
        match &self.0 {
            Slices::None => &[],
            Slices::One(slice) => slice,
            Slices::Many(slices, len) => &slices[..*len],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::requests::Stream;

    fn alphabet<'a>(slice: BodySlice) -> &'a [u8] {
        let start = slice.offset as usize;
        &b"abcdefghijklmnopqrstuvwxyz"[start..start + slice.len]
    }

    fn letters(request: u32, offset: u64, len: usize) -> BodySlice {
        BodySlice {
            request,
            stream: Stream::Stdin,
            offset,
            len,
        }
    }

    fn filled() -> Outbox {
        let mut outbox = Outbox::default();
        let mut pool = BufferPool::default();
        for (text, slice) in [("<1>", letters(1, 0, 5)), ("<2>", letters(2, 5, 3))] {
            outbox.frame(&mut pool, |buffer| {
                buffer.extend_from_slice(text.as_bytes());
            });
            outbox.push_body(slice, &mut pool);
        }
        outbox.frame(&mut pool, |buffer| buffer.extend_from_slice(b"<end>"));
        outbox
    }

    fn rest(outbox: &Outbox) -> String {
        let bytes: Vec<u8> = outbox
            .slices(alphabet)
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn any_partial_write_goes_on_without_repeating_or_losing() {
        let whole = "<1>abcde<2>fgh<end>";
        for first in 0..=whole.len() {
            for second in 0..=whole.len() - first {
                let mut outbox = filled();
                let mut pool = BufferPool::default();
                let mut sent = 0;
                outbox.consume(first, &mut pool, |slice| sent += slice.len);
                assert_eq!(rest(&outbox), whole[first..]);
                outbox.consume(second, &mut pool, |slice| sent += slice.len);
                assert_eq!(rest(&outbox), whole[first + second..]);
                assert_eq!(outbox.unsent(), whole.len() - first - second);
                let body = whole[..first + second]
                    .chars()
                    .filter(|c| "abcdefgh".contains(*c))
                    .count();
                let end = whole[..first + second].matches("e").count();
                assert!(sent == body || sent + end >= body, "{first} {second}");
            }
        }
    }

    #[test]
    fn an_inline_bodiesed_slice_is_sent_as_before() {
        for first in 0..=14 {
            let mut outbox = filled();
            outbox.consume(first, &mut BufferPool::default(), |_| {});
            let before = rest(&outbox);
            outbox.inline_bodies(1, alphabet);
            assert_eq!(rest(&outbox), before);
            outbox.inline_bodies(2, alphabet);
            assert_eq!(rest(&outbox), before);
            let len = before.len();
            outbox.consume(len, &mut BufferPool::default(), |_| {
                panic!("nothing is a body")
            });
            assert_eq!(outbox.unsent(), 0);
        }
    }

    #[test]
    fn an_empty_outbox_holds_no_buffer() {
        let mut outbox = filled();
        let mut pool = BufferPool::default();
        outbox.consume(usize::MAX, &mut pool, |_| {});
        assert_eq!(outbox.framed.capacity(), 0);
        assert_eq!(pool.buffers.len(), 1);
        assert_eq!(outbox.transmitted(), 19);
    }

    fn frame(outbox: &mut Outbox, len: usize, pool: &mut BufferPool) {
        outbox.frame(pool, |buffer| buffer.resize(buffer.len() + len, b'.'));
    }

    #[test]
    fn any_number_of_body_slices_leaves_whole_in_order_and_without_empty_slices() {
        for (count, all_framed) in (0..30).flat_map(|it| [(it, false), (it, true)]) {
            let mut outbox = Outbox::default();
            let mut pool = BufferPool::default();
            let mut whole = String::new();
            for index in 0..count {
                // With `all_framed` off, every third body follows another one directly.
                if all_framed || index % 3 > 0 {
                    frame(&mut outbox, 1, &mut pool);
                    whole.push('.');
                }
                outbox.push_body(letters(1, index % 26, 1), &mut pool);
                whole.push(char::from(b'a' + (index % 26) as u8));
            }
            frame(&mut outbox, 1, &mut pool);
            whole.push('.');
            let mut sent = String::new();
            while outbox.unsent() > 0 {
                let slices = outbox.slices(alphabet);
                assert!(slices.iter().all(|slice| !slice.is_empty()));
                assert!(slices.len() <= MAX_SLICES);
                let bytes = rest(&outbox);
                outbox.consume(bytes.len(), &mut pool, |_| {});
                sent += &bytes;
            }
            assert_eq!(sent, whole, "{count} slices");
        }
    }

    #[test]
    fn the_sent_part_of_a_long_buffer_is_given_back_when_it_is_the_larger_one() {
        for (len, sent, kept) in [
            (40_000, 30_000, 10_000),
            (40_000, 17_000, 40_000),
            (2_000, 1_500, 2_000),
        ] {
            let mut outbox = Outbox::default();
            let mut pool = BufferPool::default();
            frame(&mut outbox, len, &mut pool);
            outbox.push_body(letters(1, 0, 3), &mut pool);
            outbox.consume(sent, &mut pool, |_| {});
            assert_eq!(outbox.framed.len(), kept, "{sent} of {len}");
            let expected = ".".repeat(len - sent) + "abc";
            assert_eq!(rest(&outbox), expected);
        }
    }

    #[test]
    fn kept_memory_is_bounded_in_number_and_in_bytes() {
        let mut pool = BufferPool::default();
        let mut boxes: Vec<Outbox> = (0..MAX_KEPT + 10).map(|_| filled()).collect();
        for outbox in &mut boxes {
            outbox.give_back(&mut pool);
        }
        assert_eq!(pool.buffers.len(), MAX_KEPT);
        assert_eq!(pool.slices.len(), MAX_KEPT);
        while pool.buffers.len() > 1 {
            boxes[0] = Outbox::default();
            frame(&mut boxes[0], 1, &mut pool);
        }
        assert_eq!(pool.capacity, pool.buffers[0].capacity());

        let mut large = Outbox {
            framed: Vec::with_capacity(MAX_KEPT_CAPACITY + 1),
            slices: VecDeque::with_capacity(2 * MAX_KEPT_SLICES),
            ..Outbox::default()
        };
        large.give_back(&mut pool);
        Outbox::default().give_back(&mut pool);
        assert_eq!(pool.buffers.len(), 1);
        assert_eq!(pool.slices.len(), MAX_KEPT);
    }

    #[test]
    fn both_the_buffer_and_the_list_of_slices_count_as_held() {
        let mut outbox = Outbox {
            framed: Vec::with_capacity(100),
            ..Outbox::default()
        };
        assert_eq!(outbox.heap_len(), 100);
        outbox.slices.reserve_exact(3);
        assert_eq!(outbox.heap_len(), 100 + 3 * size_of::<BodyRef>());
    }
}
