//! The outbox of one connection: framed octets, with large body slices woven in uncopied.
//!
//! ```text
//! framed:  [ BEGIN PARAMS STDIN-header | STDIN-header | empty STDIN ]
//!                                      ^              ^
//! bodies:                       65,528 octets   40,000 octets      (stay in their exchange)
//! ```
//!
//! What goes out is the framed octets with each body slice put in at its place. A body slice is named
//! by exchange and offset; [`Bodies`] turns the name into octets when a write is prepared.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Deref;

/// Most slices of one vectored write; twice as many cost each small request 20 ns.
const MAX_SLICES: usize = 16;

/// Where the octets of body slices are.
pub(super) trait Bodies {
    /// The octets of a slice that was put into the outbox and not yet taken out.
    fn body(&self, slice: BodySlice) -> &[u8];
}

/// Names octets of an exchange's body stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodySlice {
    pub(super) exchange: u32,
    pub(super) stream: Stream,
    /// Offset in the stream.
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// Which of a request's two body streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdin,
    Data,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    framed: Vec<u8>,
    /// Octets of `framed` that have left.
    start: usize,
    slices: VecDeque<Woven>,
    unsent: usize,
    transmitted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Woven {
    /// Position in `framed` before which the slice goes.
    at: usize,
    slice: BodySlice,
}

impl Outbox {
    /// The buffer to frame into; follow with [`framed`](Self::framed).
    pub(super) fn buffer(&mut self, spares: &mut Spares) -> &mut Vec<u8> {
        if self.framed.capacity() == 0 {
            self.framed = spares.buffers.pop().unwrap_or_default();
            spares.capacity -= self.framed.capacity();
        }
        &mut self.framed
    }

    /// Counts what was appended to the buffer since it had `before` octets.
    pub(super) fn framed(&mut self, before: usize) {
        self.unsent += self.framed.len() - before;
    }

    /// Puts a body slice behind all that is framed.
    pub(super) fn weave(&mut self, slice: BodySlice, spares: &mut Spares) {
        if self.slices.capacity() == 0 {
            self.slices = spares.slices.pop().unwrap_or_default();
        }
        self.slices.push_back(Woven {
            at: self.framed.len(),
            slice,
        });
        self.unsent += slice.len;
    }

    /// Octets not yet handed to the transport.
    #[inline]
    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Position in the connection's stream of octets of the next octet to be queued.
    #[inline]
    pub(super) fn end_offset(&self) -> u64 {
        self.transmitted + self.unsent as u64
    }

    /// Octets handed to the transport since the connection was opened.
    #[inline]
    pub(super) fn transmitted(&self) -> u64 {
        self.transmitted
    }

    /// The next octets to write, in order; not necessarily all.
    #[inline]
    pub(super) fn slices<'a>(&'a self, bodies: &'a impl Bodies) -> Transmit<'a> {
        if self.slices.is_empty() {
            return Transmit::one(&self.framed[self.start..]);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut len = 0;
        let mut push = |octets: &'a [u8]| {
            if !octets.is_empty() {
                slices[len] = IoSlice::new(octets);
                len += 1;
            }
        };
        let mut position = self.start;
        // Each gives two at most; fewer leave a place for what is behind them.
        for woven in self.slices.iter().take(MAX_SLICES / 2) {
            push(&self.framed[position..woven.at]);
            push(bodies.body(woven.slice));
            position = woven.at;
        }
        if self.slices.len() < MAX_SLICES / 2 {
            push(&self.framed[position..]);
        }
        Transmit(Slices::Many(slices, len))
    }

    /// Shows everything from a position in the connection's stream of bytes on, in order.
    pub(super) fn pieces_from(
        &self,
        position: u64,
        bodies: &impl Bodies,
        mut show: impl FnMut(&[u8]),
    ) {
        let mut skipped = position.saturating_sub(self.transmitted);
        let mut show = |bytes: &[u8]| {
            let skip = skipped.min(bytes.len() as u64);
            skipped -= skip;
            show(&bytes[skip as usize..]);
        };
        let mut start = self.start;
        for woven in &self.slices {
            show(&self.framed[start..woven.at]);
            show(bodies.body(woven.slice));
            start = woven.at;
        }
        show(&self.framed[start..]);
    }

    /// Takes `len` octets out that were handed to the transport; calls `sent` for each piece of a
    /// body slice among them. Counts at most what there is.
    pub(super) fn consume(
        &mut self,
        len: usize,
        spares: &mut Spares,
        mut sent: impl FnMut(BodySlice),
    ) {
        let mut left = len.min(self.unsent);
        self.unsent -= left;
        self.transmitted += left as u64;
        while let Some(woven) = self.slices.front_mut() {
            let framed = left.min(woven.at - self.start);
            self.start += framed;
            left -= framed;
            let body = left.min(woven.slice.len);
            // Octets framed before it, where some are left, are all that was taken.
            if body == 0 {
                break;
            }
            left -= body;
            sent(BodySlice {
                len: body,
                ..woven.slice
            });
            woven.slice.offset += body as u64;
            woven.slice.len -= body;
            if woven.slice.len > 0 {
                break;
            }
            self.slices.pop_front();
        }
        self.start += left;
        self.reclaim(spares);
    }

    /// Copies the slices of one exchange, which is about to go, into the framed octets.
    pub(super) fn absorb(&mut self, exchange: u32, bodies: &impl Bodies) {
        while let Some(index) = self
            .slices
            .iter()
            .position(|woven| woven.slice.exchange == exchange)
        {
            let Some(woven) = self.slices.remove(index) else {
                return;
            };
            let octets = bodies.body(woven.slice);
            self.framed
                .splice(woven.at..woven.at, octets.iter().copied());
            for later in self.slices.range_mut(index..) {
                later.at += octets.len();
            }
        }
    }

    /// Gives the buffer back when nothing is unsent, and drops the sent part of a long one.
    fn reclaim(&mut self, spares: &mut Spares) {
        if self.unsent == 0 {
            self.start = 0;
            self.recycle(spares);
        } else if self.start >= 16 * 1024 && self.start * 2 >= self.framed.len() {
            self.framed.drain(..self.start);
            for woven in &mut self.slices {
                woven.at -= self.start;
            }
            self.start = 0;
        }
    }

    /// Gives the memory of an outbox with nothing to send, or that is no longer needed, to the next.
    pub(super) fn recycle(&mut self, spares: &mut Spares) {
        let mut framed = std::mem::take(&mut self.framed);
        let capacity = spares.capacity + framed.capacity();
        let fits = framed.capacity() > 0 && capacity <= MAX_SPARE_CAPACITY;
        if fits && spares.buffers.len() < MAX_SPARES {
            framed.clear();
            spares.buffers.push(framed);
            spares.capacity = capacity;
        }
        let mut slices = std::mem::take(&mut self.slices);
        let fits = (1..=MAX_SPARE_SLICES).contains(&slices.capacity());
        if fits && spares.slices.len() < MAX_SPARES {
            slices.clear();
            spares.slices.push(slices);
        }
    }

    /// Octets held on the heap.
    pub(super) fn heap_len(&self) -> usize {
        self.framed.capacity() + self.slices.capacity() * size_of::<Woven>()
    }
}

/// Memory of outboxes that have nothing to send, for those that have.
#[derive(Debug, Default)]
pub(super) struct Spares {
    /// Large ones too: to grow one anew for each burst on a shared connection is a quarter of what the
    /// burst costs.
    buffers: Vec<Vec<u8>>,
    /// Of all buffers.
    capacity: usize,
    slices: Vec<VecDeque<Woven>>,
}

/// Most spares kept of each kind, the octets of all buffers, and the longest list kept: 17 MiB in all, as a
/// rule far less.
const MAX_SPARES: usize = 256;
const MAX_SPARE_CAPACITY: usize = 16 * 1024 * 1024;
const MAX_SPARE_SLICES: usize = 64;

/// Slices for one vectored write, in order, without empty ones; see
/// [`Engine::transmit`](super::Engine::transmit).
#[derive(Debug)]
pub struct Transmit<'a>(Slices<'a>);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack between two calls, and a box would be an allocation for each write"
)]
enum Slices<'a> {
    None,
    /// Apart, because nearly all requests leave in one: spares about 100 of 8,600 instructions.
    One([IoSlice<'a>; 1]),
    Many([IoSlice<'a>; MAX_SLICES], usize),
}

impl<'a> Transmit<'a> {
    #[inline]
    fn one(octets: &'a [u8]) -> Self {
        if octets.is_empty() {
            return Self::nothing();
        }
        Self(Slices::One([IoSlice::new(octets)]))
    }

    #[inline]
    pub(super) fn nothing() -> Self {
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

    struct Alphabet;

    impl Bodies for Alphabet {
        fn body(&self, slice: BodySlice) -> &[u8] {
            let start = slice.offset as usize;
            &b"abcdefghijklmnopqrstuvwxyz"[start..start + slice.len]
        }
    }

    fn letters(exchange: u32, offset: u64, len: usize) -> BodySlice {
        BodySlice {
            exchange,
            stream: Stream::Stdin,
            offset,
            len,
        }
    }

    fn filled() -> Outbox {
        let mut outbox = Outbox::default();
        let mut spares = Spares::default();
        for (text, slice) in [("<1>", letters(1, 0, 5)), ("<2>", letters(2, 5, 3))] {
            let buffer = outbox.buffer(&mut spares);
            let before = buffer.len();
            buffer.extend_from_slice(text.as_bytes());
            outbox.framed(before);
            outbox.weave(slice, &mut spares);
        }
        let buffer = outbox.buffer(&mut spares);
        let before = buffer.len();
        buffer.extend_from_slice(b"<end>");
        outbox.framed(before);
        outbox
    }

    fn rest(outbox: &Outbox) -> String {
        let octets: Vec<u8> = outbox
            .slices(&Alphabet)
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        String::from_utf8(octets).expect("ASCII")
    }

    #[test]
    fn any_partial_write_goes_on_without_repeating_or_losing() {
        let whole = "<1>abcde<2>fgh<end>";
        for first in 0..=whole.len() {
            for second in 0..=whole.len() - first {
                let mut outbox = filled();
                let mut spares = Spares::default();
                let mut sent = 0;
                outbox.consume(first, &mut spares, |slice| sent += slice.len);
                assert_eq!(rest(&outbox), whole[first..]);
                outbox.consume(second, &mut spares, |slice| sent += slice.len);
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
    fn an_absorbed_slice_is_sent_as_before() {
        for first in 0..=14 {
            let mut outbox = filled();
            outbox.consume(first, &mut Spares::default(), |_| {});
            let before = rest(&outbox);
            outbox.absorb(1, &Alphabet);
            assert_eq!(rest(&outbox), before);
            outbox.absorb(2, &Alphabet);
            assert_eq!(rest(&outbox), before);
            let len = before.len();
            outbox.consume(len, &mut Spares::default(), |_| {
                panic!("nothing is woven in")
            });
            assert_eq!(outbox.unsent(), 0);
        }
    }

    #[test]
    fn an_empty_outbox_holds_no_buffer() {
        let mut outbox = filled();
        let mut spares = Spares::default();
        outbox.consume(usize::MAX, &mut spares, |_| {});
        assert_eq!(outbox.framed.capacity(), 0);
        assert_eq!(spares.buffers.len(), 1);
        assert_eq!(outbox.transmitted(), 19);
    }

    fn frame(outbox: &mut Outbox, len: usize, spares: &mut Spares) {
        let buffer = outbox.buffer(spares);
        let before = buffer.len();
        buffer.resize(before + len, b'.');
        outbox.framed(before);
    }

    #[test]
    fn any_number_of_body_slices_leaves_whole_in_order_and_without_empty_slices() {
        for (count, all_framed) in (0..30).flat_map(|it| [(it, false), (it, true)]) {
            let mut outbox = Outbox::default();
            let mut spares = Spares::default();
            let mut whole = String::new();
            for index in 0..count {
                // Or every third follows another at once.
                if all_framed || index % 3 > 0 {
                    frame(&mut outbox, 1, &mut spares);
                    whole.push('.');
                }
                outbox.weave(letters(1, index % 26, 1), &mut spares);
                whole.push(char::from(b'a' + (index % 26) as u8));
            }
            frame(&mut outbox, 1, &mut spares);
            whole.push('.');
            let mut sent = String::new();
            while outbox.unsent() > 0 {
                let slices = outbox.slices(&Alphabet);
                assert!(slices.iter().all(|slice| !slice.is_empty()));
                assert!(slices.len() <= MAX_SLICES);
                let octets = rest(&outbox);
                outbox.consume(octets.len(), &mut spares, |_| {});
                sent += &octets;
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
            let mut spares = Spares::default();
            frame(&mut outbox, len, &mut spares);
            outbox.weave(letters(1, 0, 3), &mut spares);
            outbox.consume(sent, &mut spares, |_| {});
            assert_eq!(outbox.framed.len(), kept, "{sent} of {len}");
            let expected = ".".repeat(len - sent) + "abc";
            assert_eq!(rest(&outbox), expected);
        }
    }

    #[test]
    fn spare_memory_is_bounded_in_number_and_in_octets() {
        let mut spares = Spares::default();
        let mut boxes: Vec<Outbox> = (0..MAX_SPARES + 10).map(|_| filled()).collect();
        for outbox in &mut boxes {
            outbox.recycle(&mut spares);
        }
        assert_eq!(spares.buffers.len(), MAX_SPARES);
        assert_eq!(spares.slices.len(), MAX_SPARES);
        while spares.buffers.len() > 1 {
            boxes[0] = Outbox::default();
            frame(&mut boxes[0], 1, &mut spares);
        }
        assert_eq!(spares.capacity, spares.buffers[0].capacity());

        let mut large = Outbox {
            framed: Vec::with_capacity(MAX_SPARE_CAPACITY + 1),
            slices: VecDeque::with_capacity(2 * MAX_SPARE_SLICES),
            ..Outbox::default()
        };
        large.recycle(&mut spares);
        Outbox::default().recycle(&mut spares);
        assert_eq!(spares.buffers.len(), 1);
        assert_eq!(spares.slices.len(), MAX_SPARES);
    }

    #[test]
    fn both_the_buffer_and_the_list_of_slices_count_as_held() {
        let mut outbox = Outbox {
            framed: Vec::with_capacity(100),
            ..Outbox::default()
        };
        assert_eq!(outbox.heap_len(), 100);
        outbox.slices.reserve_exact(3);
        assert_eq!(outbox.heap_len(), 100 + 3 * size_of::<Woven>());
    }
}
