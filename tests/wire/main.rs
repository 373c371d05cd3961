//! The wire format, against vectors written by hand and against itself at every cut.

mod conversations;
mod demux;
mod others;
mod params;
mod random;
mod records;

use mio_fcgi::wire::{DecodeError, Demux, Item, RecordType};

/// One record, put together without the library.
fn record(record_type: u8, request_id: u16, content: &[u8], padding_len: u8) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("a test's content fits one record");
    let mut bytes = vec![1, record_type];
    bytes.extend(request_id.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes.extend([padding_len, 0]);
    bytes.extend(content);
    bytes.extend(std::iter::repeat_n(0xee, usize::from(padding_len)));
    bytes
}

/// An item that does not borrow, with adjacent pieces of the same content joined.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Discrete(Item<'static>),
    Stream(RecordType, u16, Vec<u8>),
    Values(RecordType, u16, Vec<u8>, bool),
}

/// A demultiplexer that checks its promises about the input at each step, and what it has given so far.
#[derive(Default)]
struct Reader {
    demux: Demux,
    seen: Vec<Seen>,
    calls: usize,
}

impl Reader {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut input = bytes;
        loop {
            let before = input.len();
            self.calls += 1;
            let Some(item) = self.demux.next(&mut input)? else {
                assert!(input.is_empty(), "`None` leaves {} bytes", input.len());
                return Ok(());
            };
            assert!(input.len() < before, "{item:?} consumed nothing");
            if let Item::Stream { data, .. } | Item::Values { data, .. } = &item {
                assert_eq!(
                    data.as_ptr_range().end,
                    input.as_ptr(),
                    "{item:?} ends where consuming does"
                );
            }
            self.note(item);
        }
    }

    fn note(&mut self, item: Item<'_>) {
        let discrete = match item {
            Item::Stream {
                record_type,
                request_id,
                data,
            } => {
                assert!(!data.is_empty(), "a piece of a stream is never empty");
                match self.seen.last_mut() {
                    Some(Seen::Stream(last_type, last_id, joined))
                        if (*last_type, *last_id) == (record_type, request_id) =>
                    {
                        joined.extend(data);
                    }
                    _ => self
                        .seen
                        .push(Seen::Stream(record_type, request_id, data.to_vec())),
                }
                return;
            }
            Item::Values {
                record_type,
                request_id,
                data,
                last,
            } => {
                match self.seen.last_mut() {
                    Some(Seen::Values(last_type, last_id, joined, done @ false)) => {
                        assert_eq!((*last_type, *last_id), (record_type, request_id));
                        joined.extend(data);
                        *done = last;
                    }
                    _ => self
                        .seen
                        .push(Seen::Values(record_type, request_id, data.to_vec(), last)),
                }
                return;
            }
            Item::Begin { request_id, body } => Item::Begin { request_id, body },
            Item::Abort { request_id } => Item::Abort { request_id },
            Item::End { request_id, body } => Item::End { request_id, body },
            Item::UnknownType {
                record_type,
                request_id,
            } => Item::UnknownType {
                record_type,
                request_id,
            },
            Item::StreamEnd {
                record_type,
                request_id,
            } => Item::StreamEnd {
                record_type,
                request_id,
            },
            Item::Unassigned {
                record_type,
                request_id,
            } => Item::Unassigned {
                record_type,
                request_id,
            },
        };
        self.seen.push(Seen::Discrete(discrete));
    }
}

/// The items of bytes that arrive in these pieces, and how they end.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Seen>, Result<bool, DecodeError>) {
    let mut reader = Reader::default();
    for piece in pieces {
        if let Err(error) = reader.feed(piece) {
            assert!(!reader.demux.at_record_boundary());
            for more in [&b""[..], &record(6, 1, b"later", 0)] {
                assert_eq!(
                    reader.demux.next(&mut { more }),
                    Err(error),
                    "an error stays"
                );
            }
            return (reader.seen, Err(error));
        }
    }
    (reader.seen, Ok(reader.demux.at_record_boundary()))
}

/// Reads bytes in one piece, byte by byte, and in any two pieces. Returns the items, which are the same each time.
fn read_at_every_cut(bytes: &[u8]) -> (Vec<Seen>, Result<bool, DecodeError>) {
    let whole = read([bytes]);
    assert_eq!(read(bytes.chunks(1)), whole, "byte by byte");
    for cut in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(read([head, tail]), whole, "cut at {cut}");
    }
    whole
}

fn stream(record_type: RecordType, request_id: u16, data: &[u8]) -> Seen {
    Seen::Stream(record_type, request_id, data.to_vec())
}

fn stream_end(record_type: RecordType, request_id: u16) -> Seen {
    Seen::Discrete(Item::StreamEnd {
        record_type,
        request_id,
    })
}
