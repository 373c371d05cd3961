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
    // As a rule there is no byte below the blank at all.
    if !any_word(bytes, below_blank, |byte| byte < b' ') {
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

/// The first control byte other than a tab.
pub(super) fn control(bytes: &[u8]) -> Option<u8> {
    let in_word = |word| below_blank(word) | is_zero(word ^ DELS);
    let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    if !any_word(bytes, in_word, is_control) {
        return None;
    }
    bytes.iter().copied().find(|byte| is_control(*byte))
}

/// Whether one of the bytes is of a kind: `in_word` tests eight at a time.
#[inline]
fn any_word(bytes: &[u8], in_word: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> bool {
    let in_bytes = |bytes: &[u8; 8]| in_word(u64::from_le_bytes(*bytes)) != 0;
    match bytes.last_chunk::<8>() {
        // The last word overlaps others.
        Some(last) => {
            let (words, _) = bytes.as_chunks::<8>();
            in_bytes(last) || words.iter().any(in_bytes)
        }
        None => bytes.iter().any(|byte| is(*byte)),
    }
}

/// Not zero if one of the eight bytes of a word is less than a blank.
const fn below_blank(word: u64) -> u64 {
    word.wrapping_sub(ONES * b' ' as u64) & !word & (ONES << 7)
}

/// Not zero if one of the eight bytes of a word is zero.
const fn is_zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// 1 in each byte.
pub(super) const ONES: u64 = 0x0101_0101_0101_0101;
const DELS: u64 = ONES * 0x7f;

/// Whether a name is this one, which has no capital letters. As `eq_ignore_ascii_case`, which takes ten instructions for
/// each byte because it does not know the length beforehand.
#[inline]
pub(super) fn is_named<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Some(name) = name.first_chunk::<N>().filter(|_| name.len() == N) else {
        return false;
    };
    let starts = (name.first_chunk::<8>(), lower.first_chunk::<8>());
    let ends = (name.last_chunk::<8>(), lower.last_chunk::<8>());
    match (starts, ends) {
        // Two words, which overlap.
        ((Some(start), Some(lower_start)), (Some(end), Some(lower_end))) if N <= 16 => {
            is_word(*start, *lower_start) & is_word(*end, *lower_end)
        }
        _ => {
            let pairs = name.iter().zip(lower);
            pairs.fold(true, |so_far, (byte, lower)| {
                so_far & (byte.to_ascii_lowercase() == *lower)
            })
        }
    }
}

/// As [`is_named`], for eight bytes at once. A letter differs from its capital in one bit.
#[inline]
fn is_word(name: [u8; 8], lower: [u8; 8]) -> bool {
    let case = lower.map(|byte| match byte.is_ascii_lowercase() {
        true => b'a' - b'A',
        false => 0,
    });
    let case = u64::from_le_bytes(case);
    u64::from_le_bytes(name) | case == u64::from_le_bytes(lower)
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
                assert_eq!(control(&bytes), Some(b'\n'), "{at} of {len}");
                bytes[at] = b'x';
            }
        }
    }

    #[test]
    fn one_byte_is_found_at_each_place_and_two_as_well() {
        let is = |byte| byte == b'!';
        for len in 0..50 {
            let mut bytes = vec![b'x'; len];
            assert!(!has_any(&bytes, is));
            for one in 0..len {
                for other in 0..=one {
                    bytes[one] = b'!';
                    bytes[other] = b'!';
                    assert!(has_any(&bytes, is), "{one} and {other} of {len}");
                    bytes[one] = b'x';
                    bytes[other] = b'x';
                }
            }
        }
    }

    #[test]
    fn words_of_text_are_not_looked_at_byte_by_byte() {
        for text in [b"abcdefgh", b"~}| zyxw", b"ABC 0189"] {
            let word = u64::from_le_bytes(*text);
            assert_eq!((below_blank(word), is_zero(word ^ DELS)), (0, 0));
        }
        assert_ne!(is_zero(u64::from_le_bytes(*b"abc\x7fefgh") ^ DELS), 0);
    }

    #[test]
    fn each_byte_is_told_from_the_others() {
        for byte in 0..=u8::MAX {
            for len in [1, 8, 11, 40] {
                let mut bytes = vec![b'x'; len];
                bytes[len / 2] = byte;
                let breaks = [0, b'\r', b'\n'].contains(&byte);
                assert_eq!(breaks_lines(&bytes), breaks.then_some(byte));
                let is_control = byte.is_ascii_control() && byte != b'\t';
                assert_eq!(control(&bytes), is_control.then_some(byte));
            }
            for at in 0..12 {
                let mut name = *b"conTENT-typ1";
                name[at] = byte;
                let lower = b"content-typ1";
                assert_eq!(is_named(&name, lower), name.eq_ignore_ascii_case(lower));
            }
            let name = [b'k', byte];
            assert_eq!(is_named(&name, b"kz"), name.eq_ignore_ascii_case(b"kz"));
            assert_eq!(is_named(&name, b"k-"), name.eq_ignore_ascii_case(b"k-"));
        }
        assert!(is_named(b"Content-TYPE", b"content-type") && !is_named(b"Hos", b"host"));
    }
}
