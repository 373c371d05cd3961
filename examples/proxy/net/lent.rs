//! Output of an application on its way to a client: it stays in the buffer that it was read into.

use std::ops::Range;

/// Output of an application in the read buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output<'b> {
    bytes: &'b [u8],
    /// Where the bytes are in the buffer.
    start: usize,
}

impl<'b> Output<'b> {
    pub(crate) fn new(bytes: &'b [u8], start: usize) -> Self {
        Self { bytes, start }
    }

    pub(crate) fn bytes(self) -> &'b [u8] {
        self.bytes
    }

    /// Where a part of the bytes is in the buffer.
    pub(crate) fn place_of(self, part: &[u8]) -> Range<usize> {
        let offset = part.as_ptr().addr() - self.bytes.as_ptr().addr();
        let start = self.start + offset;
        start..start + part.len()
    }
}

/// A part of the read buffer that a client gets after the first `after` bytes of its outbox.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    pub(crate) after: usize,
    pub(crate) place: Range<usize>,
}

/// The bytes of an outbox and what is lent to it, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'p> {
    pub(crate) own: &'p [u8],
    pub(crate) lent: &'p [Lent],
    /// The read buffer.
    pub(crate) memory: &'p [u8],
}

impl<'p> Parts<'p> {
    /// The parts that are left after the first `sent` bytes. Parts can be empty.
    pub(crate) fn after(self, sent: usize) -> impl Iterator<Item = &'p [u8]> {
        let Self { own, lent, memory } = self;
        let starts = std::iter::once(0).chain(lent.iter().map(|it| it.after));
        let ends = lent.iter().map(|it| it.after).chain([own.len()]);
        let own = starts.zip(ends).map(|(start, end)| &own[start..end]);
        let lent = lent.iter().map(|it| &memory[it.place.clone()]);
        let pairs = own.zip(lent.map(Some).chain([None]));
        let parts = pairs.flat_map(|(own, lent)| [own, lent.unwrap_or_default()]);
        let mut skipped = sent;
        parts.map(move |part| {
            let of_part = skipped.min(part.len());
            skipped -= of_part;
            &part[of_part..]
        })
    }
}
