//! The parameters of a request: name-value pairs, encoded when they are pushed.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::error::SubmitError;
use crate::wire::{self, Pairs};

mod copy;
mod declared;
mod iter;
mod lengths;
mod method;
mod names;
mod shared;

use copy::{copy_short, fill};
pub(crate) use declared::Declared;
use declared::DeclaredLen;
pub use iter::ParamsIter;
use lengths::{MAX_MEMORY, UNENCODABLE, encodable};
use method::Method;
pub(crate) use names::{GivenNames, Known, Names, map_byte};
use shared::Block;
pub use shared::SharedParams;

/// The parameters of a request: name-value pairs, encoded when they are pushed (FastCGI 1.0, 3.4).
///
/// Order and duplicates are kept; PHP lets the last of a name win. Bytes need not be UTF-8.
/// `Debug` shows names and lengths, no values.
///
/// ```
/// use mio_fcgi::Params;
///
/// let mut params = Params::from_iter([("SCRIPT_NAME", "/index.php"), ("QUERY_STRING", "a=b")]);
/// params.push("REQUEST_METHOD", "GET");
/// for (name, value) in &params {
///     println!("{}: {} bytes", name.escape_ascii(), value.len());
/// }
/// assert_eq!(params.iter().count(), 3);
/// ```
#[derive(Clone, Default)]
pub struct Params {
    shared: Option<SharedParams>,
    /// The first `len` bytes are the encoded pairs. The bytes after them are zero or left from earlier pairs. Because
    /// the space exists beforehand, a pair is one slice to be filled rather than three pieces to be appended: saves 430
    /// of 2,360 instructions for 25 pairs.
    memory: Vec<u8>,
    len: usize,
    /// The length of the longest pair with a 4-byte length, in bytes; shorter pairs always fit. [`UNENCODABLE`] after a
    /// pair that cannot be encoded.
    longest_pair: usize,
    content_length: DeclaredLen,
    data_length: DeclaredLen,
    method: Method,
}

impl Params {
    /// Parameters that begin with the pairs of a shared block. The block is not copied.
    #[must_use]
    pub fn with_shared(shared: &SharedParams) -> Self {
        let mut params = Self::default();
        params.set_shared(shared);
        params
    }

    /// Puts a shared block before the pairs. Replaces an earlier shared block.
    pub fn set_shared(&mut self, shared: &SharedParams) -> &mut Self {
        self.shared = Some(shared.clone());
        self
    }

    /// Appends a pair.
    ///
    /// `submit` compares `CONTENT_LENGTH` (and `FCGI_DATA_LENGTH`) with the length of the body. A pair that no record
    /// can carry is also refused by `submit`, not here.
    #[inline]
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        // Two of the names that `submit` looks at have 14 bytes, and one has 16.
        if let 14 | 16 = name.len() {
            self.note(name, value);
        }
        if (name.len() | value.len()) < 0x80 {
            let place = self.short_place(name.len(), value.len());
            let (name_place, value_place) = place.split_at_mut(name.len());
            copy_short(name_place, name);
            copy_short(value_place, value);
        } else if let Some(place) = self.long_place(name.len(), value.len()) {
            fill(place, name, value);
        }
        self
    }

    /// Notes the value of a parameter that `submit` looks at. Not as a `match`, which would compare byte by byte.
    fn note(&mut self, name: &[u8], value: &[u8]) {
        if name == b"REQUEST_METHOD" {
            self.method = Method::of(value);
        } else if name == b"CONTENT_LENGTH" {
            self.content_length.note(value);
        } else if name == b"FCGI_DATA_LENGTH" {
            self.data_length.note(value);
        }
    }

    /// Appends a pair. `write` writes the name, then the value, in the lengths stated. If it writes any other number of
    /// bytes, the pair is left out: the pairs after it could not be decoded.
    pub(crate) fn push_with(
        &mut self,
        name_len: usize,
        value_len: usize,
        write: impl FnOnce(&mut &mut [u8]) -> io::Result<()>,
    ) {
        let start = self.len;
        let place = if (name_len | value_len) < 0x80 {
            Some(self.short_place(name_len, value_len))
        } else {
            self.long_place(name_len, value_len)
        };
        if let Some(mut place) = place {
            let written = write(&mut place);
            if written.is_err() || !place.is_empty() {
                self.len = start;
            }
        }
    }

    /// Appends copies of the pairs of a block.
    pub(crate) fn append_shared(&mut self, block: &SharedParams) {
        let block = &block.0.params;
        let pairs = block.encoded();
        self.append(pairs.len()).copy_from_slice(pairs);
        self.longest_pair = self.longest_pair.max(block.longest_pair);
        self.content_length = self.content_length.joined(block.content_length);
        self.data_length = self.data_length.joined(block.data_length);
        self.method = self.method.followed_by(block.method);
    }

    /// Appends the lengths of a pair, both below 128. Returns the place for its name and value.
    #[inline]
    fn short_place(&mut self, name_len: usize, value_len: usize) -> &mut [u8] {
        let pair = self.append(2 + name_len + value_len);
        pair[0] = name_len as u8;
        pair[1] = value_len as u8;
        &mut pair[2..]
    }

    /// Appends the lengths of a pair, at least one of which takes 4 bytes. Returns the place for its name and value, or
    /// `None` for a pair that cannot be encoded: `longest_pair` then prevents the request from being sent.
    fn long_place(&mut self, name_len: usize, value_len: usize) -> Option<&mut [u8]> {
        let lens = encodable(name_len, value_len, self.len, MAX_MEMORY);
        let pair_len = lens.as_ref().map_or(UNENCODABLE, |(_, pair_len)| *pair_len);
        self.longest_pair = self.longest_pair.max(pair_len);
        let (lens, pair_len) = lens?;
        let pair = self.append(pair_len);
        let (place, rest) = pair.split_at_mut(lens.bytes().len());
        place.copy_from_slice(lens.bytes());
        Some(rest)
    }

    /// Appends bytes for the caller to fill.
    #[inline]
    fn append(&mut self, len: usize) -> &mut [u8] {
        let (start, end) = (self.len, self.len + len);
        self.len = end;
        // The very conditions of the slice, so that they are checked once.
        if start <= end && end <= self.memory.len() {
            return &mut self.memory[start..end];
        }
        self.grow(end);
        &mut self.memory[start..end]
    }

    #[cold]
    fn grow(&mut self, least: usize) {
        // Twice the size may exceed what memory can hold, even if the needed size does not.
        let twice = self.memory.len().saturating_mul(2).min(MAX_MEMORY);
        let len = least.max(twice).max(FIRST_LEN);
        if self.memory.is_empty() {
            // Zeroed by the allocator, which knows when it need not.
            self.memory = vec![0; len];
        } else {
            self.memory.resize(len, 0);
        }
    }

    /// Empty parameters with memory for pairs of `len` bytes in all.
    pub(crate) fn with_room(len: usize) -> Self {
        Self {
            memory: vec![0; len],
            ..Self::default()
        }
    }

    /// The length of the encoded pairs in bytes, without those of the shared block.
    #[inline]
    pub(crate) fn own_len(&self) -> usize {
        self.len
    }

    /// The pairs, those of the shared block first.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> ParamsIter<'_> {
        ParamsIter::new(self)
    }

    /// The last value of a name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.iter()
            .filter(|pair| pair.0 == name)
            .last()
            .map(|pair| pair.1)
    }

    /// The length of the encoded pairs in bytes, the shared block included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.encoded_parts().iter().map(|part| part.len()).sum()
    }

    /// Whether there is no pair, the shared block included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.encoded_len() == 0
    }

    /// Removes all pairs, the shared block too. Keeps the memory for the next pairs.
    pub fn clear(&mut self) {
        self.shared = None;
        self.len = 0;
        self.longest_pair = 0;
        self.content_length = DeclaredLen::ABSENT;
        self.data_length = DeclaredLen::ABSENT;
        self.method = Method::Absent;
    }

    /// Makes a block that many requests can share, such as a site's constants. The pairs are then encoded only once.
    #[must_use]
    pub fn into_shared(mut self) -> SharedParams {
        if let Some(inner) = self.shared.take() {
            let inner = &inner.0.params;
            let encoded = [inner.encoded(), self.encoded()].concat();
            self.len = encoded.len();
            self.memory = encoded;
            self.longest_pair = self.longest_pair.max(inner.longest_pair);
            self.content_length = inner.content_length.joined(self.content_length);
            self.data_length = inner.data_length.joined(self.data_length);
            self.method = inner.method.followed_by(self.method);
        }
        self.memory.truncate(self.len);
        self.memory.shrink_to_fit();
        let mut names = GivenNames::NONE;
        self.iter().for_each(|(name, _)| names.insert(name));
        let params = self;
        SharedParams(Arc::new(Block { params, names }))
    }

    /// The names of the pairs.
    pub(crate) fn names(&self) -> GivenNames {
        let shared = self.shared.as_ref();
        let mut names = shared.map_or(GivenNames::NONE, |shared| shared.0.names);
        let own = Pairs::new(self.encoded()).flatten();
        own.for_each(|(name, _)| names.insert(name));
        names
    }

    /// The encoded pairs without those of the shared block.
    #[inline]
    fn encoded(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    pub(crate) fn encoded_parts(&self) -> [&[u8]; 2] {
        let shared = match &self.shared {
            // Shared blocks are never nested: `into_shared` flattens them.
            Some(shared) => shared.0.params.encoded(),
            None => &[],
        };
        [shared, self.encoded()]
    }

    /// Checks that all pairs can be sent. Together with `added` bytes of pairs that are still to follow, they may take
    /// at most `max_len` bytes. With `split_long_pairs`, a pair may be longer than one record. A pair that cannot be
    /// encoded always fails.
    ///
    /// # Errors
    /// [`SubmitError::ParamLengthTooLong`], [`SubmitError::PairTooLarge`], [`SubmitError::ParamsTooLarge`].
    #[inline]
    pub(crate) fn check(
        &self,
        added: usize,
        max_len: usize,
        split_long_pairs: bool,
    ) -> Result<(), SubmitError> {
        let (len, limit) = (self.longest_pair(), wire::MAX_CONTENT_LEN);
        if len > limit {
            if len == UNENCODABLE {
                return Err(SubmitError::ParamLengthTooLong);
            }
            if !split_long_pairs {
                return Err(SubmitError::PairTooLarge { len, limit });
            }
        }
        let (len, limit) = (self.encoded_len().saturating_add(added), max_len);
        if len > limit {
            return Err(SubmitError::ParamsTooLarge { len, limit });
        }
        Ok(())
    }

    /// The length of the longest pair with a 4-byte length; 0 when there is none.
    fn longest_pair(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |s| s.0.params.longest_pair);
        self.longest_pair.max(shared)
    }

    pub(crate) fn content_length(&self) -> Declared {
        let shared = self.shared.as_ref();
        shared
            .map_or(DeclaredLen::ABSENT, |s| s.0.params.content_length)
            .joined(self.content_length)
            .get()
    }

    pub(crate) fn data_length(&self) -> Declared {
        let shared = self.shared.as_ref();
        shared
            .map_or(DeclaredLen::ABSENT, |s| s.0.params.data_length)
            .joined(self.data_length)
            .get()
    }

    /// Whether `REQUEST_METHOD` names an idempotent method.
    pub(crate) fn is_idempotent(&self) -> bool {
        let shared = self.shared.as_ref();
        let shared = shared.map_or(Method::Absent, |it| it.0.params.method);
        shared.followed_by(self.method) == Method::Idempotent
    }

    pub(crate) fn capacity(&self) -> usize {
        self.memory.capacity()
    }
}

/// Compares the pairs, in order. The same pairs must be in the shared block.
impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        (&self.shared, self.encoded()) == (&other.shared, other.encoded())
    }
}

impl Eq for Params {}

/// Pushes each pair, in order.
impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Extend<(N, V)> for Params {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.push(name, value);
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut params = Self::default();
        params.extend(pairs);
        params
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                (
                    String::from_utf8_lossy(name).into_owned(),
                    format!("{} bytes", value.len()),
                )
            }))
            .finish()
    }
}

/// The memory for the first pair, in bytes.
const FIRST_LEN: usize = 256;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn debug_shows_names_and_lengths_but_no_value() {
        let mut params = Params::default();
        params.push("HTTP_AUTHORIZATION", "Basic secret");
        let shown = format!("{params:?}");
        assert!(shown.contains("HTTP_AUTHORIZATION") && shown.contains("12 bytes"));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn a_pair_that_is_not_as_long_as_stated_is_left_out() {
        let mut params = Params::default();
        params.push("A", "1");
        for value in ["", "2", "222"] {
            params.push_with(1, 2, |place| {
                place.write_all(b"B")?;
                place.write_all(value.as_bytes())
            });
        }
        params.push_with(1, 200, |place| place.write_all(&[b'C'; 201]));
        let lens: Vec<usize> = params.iter().map(|pair| pair.1.len()).collect();
        assert_eq!(lens, [1, 200]);
    }

    #[test]
    fn memory_that_served_before_holds_only_what_is_pushed() {
        let mut params = Params::default();
        for len in [1000, 0, 127, 128, 300] {
            params.clear();
            params.push("A", vec![b'x'; len]).push("B", "2");
            let mut expected = Vec::new();
            for (name, value) in [(&b"A"[..], vec![b'x'; len]), (b"B", b"2".to_vec())] {
                wire::write_pair(&mut expected, name, &value).expect("short");
            }
            assert_eq!(params.encoded_parts(), [&[][..], &expected]);
            assert_eq!(
                params,
                Params::default()
                    .push("A", vec![b'x'; len])
                    .push("B", "2")
                    .clone()
            );
        }
    }

    #[test]
    fn each_length_of_name_and_value_is_encoded_as_wire_does() {
        let bytes: Vec<u8> = (0..=130).collect();
        for name_len in 0..=130 {
            for value_len in [0, 1, 40, 130 - name_len, name_len] {
                let (name, value) = (&bytes[..name_len], &bytes[bytes.len() - value_len..]);
                let mut params = Params::default();
                params.push(name, value);
                let mut expected = Vec::new();
                wire::write_pair(&mut expected, name, value).expect("short");
                assert_eq!(params.encoded(), expected);
            }
        }
    }

    #[test]
    fn params_are_iterated_by_reference_and_extend_others() {
        let mut constants = Params::default();
        constants.push("A", "1");
        let mut params = Params::with_shared(&constants.into_shared());
        params.push("B", "2");
        let mut names = Vec::new();
        for (name, _) in &params {
            names.push(name);
        }
        assert_eq!(names, [b"A", b"B"]);
        let mut longer = Params::from_iter([("Z", "0")]);
        longer.extend(&params);
        let values: Vec<&[u8]> = longer.iter().map(|pair| pair.1).collect();
        assert_eq!(values, [b"0", b"1", b"2"]);
    }
}
