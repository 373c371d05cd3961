//! The responses of the application in nginx's FastCGI tests: records whose headers, contents and paddings arrive apart.

use mio_fcgi::wire::{EndRequest, Item, ProtocolStatus, RecordType};

use crate::{Seen, read, read_at_every_cut, record, stream, stream_end};

#[test]
fn records_that_nginx_reads_are_read() {
    const HEAD: &[u8] = b"Content-Type: text/html\n\nseen\n";
    const TEXT: &[u8] = b"text for a test";
    let twice = [TEXT, TEXT].concat();
    let bytes = [
        record(6, 1, HEAD, 8),
        record(6, 1, &twice, 0),
        record(7, 1, TEXT, 0),
        record(6, 1, b"", 0),
        record(3, 1, &[0; 8], 0),
    ];
    let end = Item::End {
        request_id: 1,
        body: EndRequest {
            app_status: 0,
            protocol_status: ProtocolStatus::RequestComplete,
        },
    };
    let seen = vec![
        stream(RecordType::Stdout, 1, &[HEAD, &twice].concat()),
        stream(RecordType::Stderr, 1, TEXT),
        stream_end(RecordType::Stdout, 1),
        Seen::Discrete(end),
    ];
    let bytes = bytes.concat();
    assert_eq!(read_at_every_cut(&bytes), (seen.clone(), Ok(true)));
    // Before the padding, in the second content, in and after the header of stderr, in the last record.
    let (mut rest, mut pieces) = (&bytes[..], Vec::new());
    for len in [
        8 + HEAD.len(),
        8,
        8 + TEXT.len(),
        TEXT.len() + 2,
        6,
        TEXT.len(),
        8,
        8,
    ] {
        let (piece, after) = rest.split_at(len);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(read(pieces), (seen, Ok(true)));
}
