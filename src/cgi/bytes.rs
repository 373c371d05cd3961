//! Which bytes are allowed where, in requests and in responses.

/// Whether this is an HTTP token. Methods and the names of fields are tokens (RFC 9110, 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| IN_TOKEN[usize::from(*byte)])
}

/// The bytes without the blanks around them, which are spaces and tabs (OWS of RFC 9110, 5.6.3).
pub(super) fn trim_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The first byte that no parameter may contain. Applications use values as C strings and write them to logs and
/// fields.
pub(super) fn breaks_lines(bytes: &[u8]) -> Option<u8> {
    let breaks = |byte: u8| matches!(byte, 0 | b'\r' | b'\n');
    if !has_any(bytes, breaks) {
        return None;
    }
    bytes.iter().copied().find(|byte| breaks(*byte))
}

/// Whether one of the bytes is such a byte. As a rule none is, so there is no early exit, and the bytes are taken in blocks:
/// all of a block at once.
#[inline]
pub(super) fn has_any(bytes: &[u8], is: impl Fn(u8) -> bool + Copy) -> bool {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut found = false;
    for block in blocks {
        found |= block_has(block, is);
    }
    // The last blocks overlap others.
    if let Some(last) = bytes.last_chunk::<16>() {
        return found | block_has(last, is);
    }
    match (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        (Some(first), Some(last)) => block_has(first, is) | block_has(last, is),
        _ => rest.iter().any(|byte| is(*byte)),
    }
}

#[inline]
fn block_has<const N: usize>(block: &[u8; N], is: impl Fn(u8) -> bool) -> bool {
    block.iter().fold(false, |so_far, byte| so_far | is(*byte))
}

/// A table by byte: true for letters, digits and `marks`. Each byte of each name is looked up: 850 instructions instead
/// of 1,400 for ten names.
pub(super) const fn alphanumeric_or(marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
}

pub(super) static IN_TOKEN: [bool; 256] = alphanumeric_or(b"!#$%&'*+-.^_`|~");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_at_each_place_of_each_length() {
        for len in 0..70 {
            let mut bytes = vec![b'x'; len];
            assert_eq!(breaks_lines(&bytes), None);
            for at in 0..len {
                bytes[at] = b'\n';
                assert_eq!(breaks_lines(&bytes), Some(b'\n'), "{at} of {len}");
                bytes[at] = b'x';
            }
        }
    }
}
