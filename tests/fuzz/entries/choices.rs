//! Choices and cuts, drawn from the front of an input.

/// What is left of an input. Once it is used up, it gives zeros.
pub(super) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(super) fn is_even(&mut self) -> bool {
        self.byte().is_multiple_of(2)
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// Draws where the rest of the input is cut.
    pub(super) fn cuts(&mut self) -> Cuts {
        Cuts([self.byte(), self.byte(), self.byte()])
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Three lengths that take turns. A byte below 128 is the length less one; larger bytes stand for longer pieces.
#[derive(Clone, Copy)]
pub(super) struct Cuts([u8; 3]);

impl Cuts {
    pub(super) fn pieces(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let lens = self.0.map(|byte| match usize::from(byte) {
            small @ 0..128 => 1 + small,
            large => (large - 100) * 16,
        });
        let mut lens = lens.into_iter().cycle();
        let mut rest = bytes;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let len = lens.next().unwrap_or(1).min(rest.len());
            let (piece, after) = rest.split_at(len);
            rest = after;
            Some(piece)
        })
    }
}
