//! Sets of names, for a quick answer to whether a name is among pairs.

/// A set of names in one word. For most names, it shows at once that they are not in the set, whatever the case of
/// their letters. Without it, comparing names took nearly half of the time that parameters cost.
#[derive(Clone, Copy)]
pub(crate) struct Names(u64);

impl Names {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) const fn with(self, name: &[u8]) -> Self {
        Self(self.0 | Self::bit(name.len(), name.last()))
    }

    pub(crate) fn insert(&mut self, name: &[u8]) {
        *self = self.with(name);
    }

    /// False: the name is not in the set. True: this name or a similar one may be in the set.
    pub(crate) fn may_have(self, name: &[u8]) -> bool {
        self.may_have_like(name.len(), name.last())
    }

    pub(crate) fn may_have_like(self, len: usize, last: Option<&u8>) -> bool {
        self.0 & Self::bit(len, last) != 0
    }

    /// As a rule, names in use differ in their lengths and last letters.
    const fn bit(len: usize, last: Option<&u8>) -> u64 {
        let last = match last {
            Some(last) => map_byte(*last),
            None => 0,
        };
        1 << (len.wrapping_mul(7).wrapping_add(last as usize) % 64)
    }
}

/// How a byte of a field's name is written in `HTTP_*` (RFC 3875, 4.1.18).
pub(crate) const fn map_byte(byte: u8) -> u8 {
    match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }
}
