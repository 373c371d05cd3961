//! FastCGI 1.0 on the wire, from the text of the specification: whole byte strings in, lists of records out.

/// Types of records (8).
pub(crate) const BEGIN: u8 = 1;
pub(crate) const ABORT: u8 = 2;
pub(crate) const END: u8 = 3;
pub(crate) const PARAMS: u8 = 4;
pub(crate) const STDIN: u8 = 5;
pub(crate) const STDOUT: u8 = 6;
pub(crate) const STDERR: u8 = 7;
pub(crate) const DATA: u8 = 8;
pub(crate) const GET_VALUES: u8 = 9;
pub(crate) const GET_VALUES_RESULT: u8 = 10;
pub(crate) const UNKNOWN_TYPE: u8 = 11;

/// Protocol statuses (5.5).
pub(crate) const REQUEST_COMPLETE: u8 = 0;
pub(crate) const CANT_MPX_CONN: u8 = 1;
pub(crate) const OVERLOADED: u8 = 2;
pub(crate) const UNKNOWN_ROLE: u8 = 3;

const HEADER: usize = 8;

/// A record (3.3), or as much of it as there is.
#[derive(Debug)]
pub(crate) struct Record {
    /// Where its header begins.
    pub(crate) at: usize,
    pub(crate) kind: u8,
    pub(crate) id: u16,
    pub(crate) content: Vec<u8>,
    /// The length that the header states.
    pub(crate) content_len: usize,
    pub(crate) padding_len: usize,
    /// Whether content and padding are all there.
    pub(crate) is_whole: bool,
}

impl Record {
    /// Where its content begins.
    pub(crate) fn content_at(&self) -> usize {
        self.at + HEADER
    }

    pub(crate) fn has_content(&self) -> bool {
        self.content.len() == self.content_len
    }
}

/// What follows the last record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// A part of a header, perhaps of no length.
    Header { at: usize },
    /// A header of another version than 1.
    Version { at: usize },
}

pub(crate) fn decode(bytes: &[u8]) -> (Vec<Record>, Rest) {
    let (mut records, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        if rest.first().is_some_and(|version| *version != 1) {
            return (records, Rest::Version { at });
        }
        if rest.len() < HEADER {
            return (records, Rest::Header { at });
        }
        let content_len = usize::from(rest[4]) * 256 + usize::from(rest[5]);
        let padding_len = usize::from(rest[6]);
        let end = HEADER + content_len + padding_len;
        records.push(Record {
            at,
            kind: rest[1],
            id: u16::from(rest[2]) * 256 + u16::from(rest[3]),
            content: rest[HEADER..rest.len().min(HEADER + content_len)].to_vec(),
            content_len,
            padding_len,
            is_whole: rest.len() >= end,
        });
        if rest.len() < end {
            return (records, Rest::Header { at: bytes.len() });
        }
        at += end;
    }
}

pub(crate) fn encode(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let (id, len) = (id.to_be_bytes(), content.len());
    assert!(len < 65_536);
    let (high, low) = ((len / 256) as u8, (len % 256) as u8);
    let mut record = vec![1, kind, id[0], id[1], high, low, padding, 0];
    record.extend_from_slice(content);
    record.extend(vec![0xAA; usize::from(padding)]);
    record
}

/// A name and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Name-value pairs (3.4), and how many bytes they take. What is left is a part of a pair.
pub(crate) fn decode_pairs(bytes: &[u8]) -> (Vec<Pair>, usize) {
    let (mut pairs, mut at) = (Vec::new(), 0);
    while let Some((name_len, name_at)) = decode_len(bytes, at) {
        let Some((value_len, start)) = decode_len(bytes, name_at) else {
            break;
        };
        let end = start + name_len + value_len;
        if end > bytes.len() {
            break;
        }
        let (name, value) = bytes[start..end].split_at(name_len);
        pairs.push((name.to_vec(), value.to_vec()));
        at = end;
    }
    (pairs, at)
}

/// A length at a position, and the position after it. 127 and less take one byte, everything else four, of which the
/// first has its high bit set.
fn decode_len(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.get(at)?);
    if first < 128 {
        return Some((first, at + 1));
    }
    let more = bytes.get(at + 1..at + 4)?;
    let len = more
        .iter()
        .fold(first - 128, |len, byte| len * 256 + usize::from(*byte));
    Some((len, at + 4))
}

pub(crate) fn encode_pair(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut pair = Vec::new();
    for len in [name.len(), value.len()] {
        if len < 128 {
            pair.push(len as u8);
        } else {
            pair.extend((len as u32 + (1 << 31)).to_be_bytes());
        }
    }
    pair.extend(name);
    pair.extend(value);
    pair
}
