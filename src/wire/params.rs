//! Name-value pairs: their lengths, decoding them, and framing them as `FCGI_PARAMS` (FastCGI 1.0, 3.4 and 5.2).

use std::iter::FusedIterator;

use super::record::write_parts;
use super::{
    DecodeError, EncodeError, HEADER_LEN, Header, MANAGEMENT_ID, MAX_ALIGNED_CONTENT_LEN,
    RecordType, write_record, write_stream,
};

/// Appends one name-value pair.
///
/// A name and a value are bytes: neither has to be UTF-8, and both may be empty.
///
/// # Errors
/// [`EncodeError::LengthTooLong`] when the name or the value exceeds 2,147,483,647 bytes. Nothing is then appended.
#[inline]
pub fn write_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
    if (name.len() | value.len()) < 0x80 {
        out.reserve(pair_len(name.len(), value.len()));
        out.extend_from_slice(&[name.len() as u8, value.len() as u8]);
    } else {
        let lens = LenBytes::of(name.len(), value.len())?;
        out.reserve(pair_len(name.len(), value.len()));
        out.extend_from_slice(lens.bytes());
    }
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    Ok(())
}

/// The two encoded lengths at the start of a pair.
pub(crate) struct LenBytes {
    bytes: [u8; 8],
    len: usize,
}

impl LenBytes {
    /// # Errors
    /// [`EncodeError::LengthTooLong`] when one of the lengths exceeds 2,147,483,647.
    #[inline]
    pub(crate) fn of(name_len: usize, value_len: usize) -> Result<Self, EncodeError> {
        let mut lens = Self {
            bytes: [0; 8],
            len: 0,
        };
        lens.push(checked_len(name_len)?);
        lens.push(checked_len(value_len)?);
        Ok(lens)
    }

    #[inline]
    fn push(&mut self, len: u32) {
        let place = &mut self.bytes[self.len..];
        match u8::try_from(len) {
            Ok(short) if short < 0x80 => {
                place[0] = short;
                self.len += 1;
            }
            _ => {
                // `checked_len` ensures that this bit is free.
                place[..4].copy_from_slice(&(LONG_FORM + len).to_be_bytes());
                self.len += 4;
            }
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The number of bytes that [`write_pair`] appends for a name and a value of these lengths. Saturates at `usize::MAX`.
#[inline]
#[must_use]
pub const fn pair_len(name_len: usize, value_len: usize) -> usize {
    (len_bytes(name_len) + len_bytes(value_len))
        .saturating_add(name_len)
        .saturating_add(value_len)
}

/// Appends encoded pairs as `FCGI_PARAMS` records, without the empty record that ends the stream.
///
/// `encoded` holds the pairs as [`write_pair`] encodes them, in slices of whole pairs. A record holds at most 65,528
/// bytes, and no pair is split between two records, because php-fpm would reset the connection. There are two
/// exceptions: a pair of 65,529 to 65,535 bytes becomes a record of its own, and a longer pair is split, which only
/// some applications understand. Where that matters, refuse such a pair beforehand (see [`pair_len`]).
///
/// A slice that does not hold whole pairs is a bug in the caller. Debug builds panic; release builds send the rest of
/// such a slice as it is.
#[inline]
pub fn write_params_records(out: &mut Vec<u8>, request_id: u16, encoded: &[&[u8]]) {
    debug_assert!(
        encoded
            .iter()
            .all(|pairs| Pairs::new(pairs).all(|pair| pair.is_ok())),
        "each slice holds whole pairs"
    );
    let total = encoded
        .iter()
        .fold(0_usize, |sum, pairs| sum.saturating_add(pairs.len()));
    if total == 0 {
        return;
    }
    if total <= MAX_ALIGNED_CONTENT_LEN {
        write_parts(
            out,
            Header::padded(RecordType::Params, request_id, total as u16),
            encoded,
        );
        return;
    }
    write_several(out, request_id, encoded);
}

/// Appends pairs that do not fit one record.
fn write_several(out: &mut Vec<u8>, request_id: u16, encoded: &[&[u8]]) {
    let mut packer = Packer {
        out,
        request_id,
        content_len: 0,
    };
    for pairs in encoded {
        let mut rest = *pairs;
        while !rest.is_empty() {
            let pair_len = PairLens::read(rest).map_or(rest.len(), PairLens::total);
            let (pair, after) = rest.split_at(pair_len);
            packer.push(pair);
            rest = after;
        }
    }
    packer.close();
}

/// Appends an `FCGI_GET_VALUES` record that asks for these names (4.1).
///
/// The record always has 1 to 8 bytes of padding. libfcgi answers only when a byte follows the content, and the three
/// names of FastCGI 1.0 take 48 bytes, which [`write_record`] would leave unpadded.
///
/// # Errors
/// [`EncodeError::ContentTooLong`] when the names and the padding do not fit into one record of 65,528 bytes;
/// [`EncodeError::LengthTooLong`] as in [`write_pair`]. Nothing is then appended.
pub fn write_get_values(out: &mut Vec<u8>, names: &[&str]) -> Result<(), EncodeError> {
    let mut content = Vec::new();
    for name in names {
        write_pair(&mut content, name.as_bytes(), b"")?;
    }
    if content.len() >= MAX_ALIGNED_CONTENT_LEN {
        return Err(EncodeError::ContentTooLong { len: content.len() });
    }
    let content_len = content.len() as u16;
    let padding_len = 8 - (content_len % 8) as u8;
    let header = Header {
        record_type: RecordType::GetValues,
        request_id: MANAGEMENT_ID,
        content_len,
        padding_len,
    };
    write_parts(out, header, &[&content]);
    Ok(())
}

/// An iterator over encoded name-value pairs, in order, duplicates included.
///
/// Each item is a borrowed name and value, or [`DecodeError::TruncatedPair`] when the bytes end inside a pair. The
/// iterator ends after an error.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads pairs from all of `encoded`, which may be empty.
    #[inline]
    #[must_use]
    pub const fn new(encoded: &'a [u8]) -> Self {
        Self { rest: encoded }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        // Emptied first, so that the iterator ends after an error.
        let pair = std::mem::take(&mut self.rest);
        let lens = match PairLens::read(pair) {
            Ok(lens) => lens,
            Err(error) => return Some(Err(error)),
        };
        let (body, rest) = pair[lens.bytes..].split_at(lens.name + lens.value);
        self.rest = rest;
        Some(Ok(body.split_at(lens.name)))
    }
}

impl FusedIterator for Pairs<'_> {}

/// The lengths of a pair that has arrived in full.
#[derive(Clone, Copy)]
struct PairLens {
    /// The bytes that the two encoded lengths take.
    bytes: usize,
    name: usize,
    value: usize,
}

impl PairLens {
    /// Reads the lengths of the first pair and checks that the whole pair has arrived.
    #[inline]
    fn read(pair: &[u8]) -> Result<Self, DecodeError> {
        let (name, name_bytes) = read_len(pair, 0)?;
        let (value, bytes) = read_len(pair, name_bytes)?;
        // In 64 bits: the sum of two lengths of nearly 2^31 exceeds a 32-bit usize.
        let needed = bytes as u64 + u64::from(name) + u64::from(value);
        if needed > pair.len() as u64 {
            return Err(DecodeError::TruncatedPair {
                needed,
                available: pair.len(),
            });
        }
        Ok(Self {
            bytes,
            name: name as usize,
            value: value as usize,
        })
    }

    fn total(self) -> usize {
        self.bytes + self.name + self.value
    }
}

/// Reads the length at `at`. Returns it with the position after it.
#[inline]
fn read_len(pair: &[u8], at: usize) -> Result<(u32, usize), DecodeError> {
    let truncated = |needed: usize| DecodeError::TruncatedPair {
        needed: needed as u64,
        available: pair.len(),
    };
    let bytes = pair.get(at..).unwrap_or_default();
    match bytes {
        [] => Err(truncated(at + 1)),
        [len, ..] if *len < 0x80 => Ok((u32::from(*len), at + 1)),
        [len3, len2, len1, len0, ..] => Ok((
            u32::from_be_bytes([*len3 & 0x7f, *len2, *len1, *len0]),
            at + 4,
        )),
        _ => Err(truncated(at + 4)),
    }
}

/// Fills `FCGI_PARAMS` records with whole pairs.
struct Packer<'a> {
    out: &'a mut Vec<u8>,
    request_id: u16,
    /// The content bytes of the open record at the end of `out`; 0 when no record is open.
    content_len: usize,
}

impl Packer<'_> {
    fn push(&mut self, pair: &[u8]) {
        if self.content_len + pair.len() > MAX_ALIGNED_CONTENT_LEN {
            self.close();
        }
        if pair.len() >= MAX_ALIGNED_CONTENT_LEN {
            if write_record(self.out, RecordType::Params, self.request_id, pair).is_err() {
                write_stream(self.out, RecordType::Params, self.request_id, pair);
            }
            return;
        }
        if self.content_len == 0 {
            self.out.extend_from_slice(&[0; HEADER_LEN]);
        }
        self.out.extend_from_slice(pair);
        self.content_len += pair.len();
    }

    /// Writes the header that `push` left space for, and the padding.
    fn close(&mut self) {
        if self.content_len == 0 {
            return;
        }
        let header = Header::padded(RecordType::Params, self.request_id, self.content_len as u16);
        let start = self.out.len() - self.content_len - HEADER_LEN;
        self.out[start..start + HEADER_LEN].copy_from_slice(&header.encode());
        self.out
            .resize(self.out.len() + usize::from(header.padding_len), 0);
        self.content_len = 0;
    }
}

#[inline]
fn checked_len(len: usize) -> Result<u32, EncodeError> {
    match u32::try_from(len) {
        Ok(checked) if checked <= MAX_LEN => Ok(checked),
        _ => Err(EncodeError::LengthTooLong { len }),
    }
}

const fn len_bytes(len: usize) -> usize {
    if len < 0x80 { 1 } else { 4 }
}

/// The bit that marks a length of 4 bytes (3.4).
const LONG_FORM: u32 = 1 << 31;

/// The largest length: 4 bytes without [`LONG_FORM`].
const MAX_LEN: u32 = LONG_FORM - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_31_bits_is_the_longest() {
        assert_eq!(checked_len(0x7fff_ffff), Ok(0x7fff_ffff));
        assert_eq!(
            checked_len(0x8000_0000),
            Err(EncodeError::LengthTooLong { len: 0x8000_0000 })
        );
        assert_eq!(
            checked_len(usize::MAX),
            Err(EncodeError::LengthTooLong { len: usize::MAX })
        );
    }
}
