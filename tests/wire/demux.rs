//! The demultiplexer: padding, lengths, errors, and how much work it does.

use mio_fcgi::wire::{
    BeginRequest, DecodeError, Demux, EndRequest, Item, ProtocolStatus, RecordType,
};

use crate::{Reader, Seen, read, read_at_every_cut, record, stream, stream_end};

const BODY: &[u8; 8] = b"\0\x01\x02\x03\x04\x05\x06\x07";

/// The items of a record with the content [`BODY`], by type.
fn seen_of(record_type: u8, request_id: u16) -> Seen {
    Seen::Discrete(match RecordType::from(record_type) {
        RecordType::BeginRequest => Item::Begin {
            request_id,
            body: BeginRequest { role: 1, flags: 2 },
        },
        RecordType::AbortRequest => Item::Abort { request_id },
        RecordType::EndRequest => {
            let protocol_status = ProtocolStatus::Unassigned(4);
            Item::End {
                request_id,
                body: EndRequest {
                    app_status: 0x0001_0203,
                    protocol_status,
                },
            }
        }
        RecordType::UnknownType => Item::UnknownType {
            record_type: 0,
            request_id,
        },
        RecordType::Unassigned(record_type) => Item::Unassigned {
            record_type,
            request_id,
        },
        values @ (RecordType::GetValues | RecordType::GetValuesResult) => {
            return Seen::Values(values, request_id, BODY.to_vec(), true);
        }
        content => return stream(content, request_id, BODY),
    })
}

/// The items of an empty record, by type; `None` for types whose records may not be empty.
fn seen_of_empty(record_type: u8, request_id: u16) -> Option<Seen> {
    match RecordType::from(record_type) {
        RecordType::BeginRequest | RecordType::EndRequest | RecordType::UnknownType => None,
        values @ (RecordType::GetValues | RecordType::GetValuesResult) => {
            Some(Seen::Values(values, request_id, Vec::new(), true))
        }
        content if content.is_stream() => Some(stream_end(content, request_id)),
        _ => Some(seen_of(record_type, request_id)),
    }
}

#[test]
fn the_state_is_small() {
    assert!(size_of::<Demux>() <= 32, "{}", size_of::<Demux>());
    assert!(size_of::<Item<'_>>() <= 32, "{}", size_of::<Item<'_>>());
}

#[test]
fn every_type_with_every_padding() {
    for record_type in (0..=12).chain([255]) {
        for padding_len in 0..=255 {
            let bytes = [
                record(record_type, 0x0102, BODY, padding_len),
                record(6, 1, b"next", 4),
                record(record_type, 0xffff, BODY, padding_len),
            ]
            .concat();
            let seen = vec![
                seen_of(record_type, 0x0102),
                stream(RecordType::Stdout, 1, b"next"),
                seen_of(record_type, 0xffff),
            ];
            assert_eq!(
                read([&bytes[..]]),
                (seen.clone(), Ok(true)),
                "{record_type}, {padding_len}"
            );
            assert_eq!(
                read(bytes.chunks(1)),
                (seen, Ok(true)),
                "{record_type}, {padding_len}"
            );
        }
    }
}

#[test]
fn every_type_empty_with_every_padding() {
    for record_type in (0..=12).chain([255]) {
        for padding_len in 0..=255 {
            let bytes = [
                record(record_type, 2, b"", padding_len),
                record(6, 1, b"next", 4),
            ]
            .concat();
            let Some(first) = seen_of_empty(record_type, 2) else {
                let record_type = RecordType::from(record_type);
                let error = DecodeError::ShortBody {
                    record_type,
                    len: 0,
                };
                assert_eq!(read([&bytes[..]]), (vec![], Err(error)));
                continue;
            };
            let seen = vec![first, stream(RecordType::Stdout, 1, b"next")];
            assert_eq!(
                read([&bytes[..]]),
                (seen.clone(), Ok(true)),
                "{record_type}, {padding_len}"
            );
            assert_eq!(
                read(bytes.chunks(1)),
                (seen, Ok(true)),
                "{record_type}, {padding_len}"
            );
        }
    }
}

#[test]
fn every_cut_of_one_record_of_each_type() {
    let mut bytes = Vec::new();
    let mut seen = Vec::new();
    for record_type in 0..=12 {
        bytes.extend(record(record_type, 7, BODY, 3));
        seen.push(seen_of(record_type, 7));
        if let Some(empty) = seen_of_empty(record_type, 8) {
            bytes.extend(record(record_type, 8, b"", 2));
            seen.push(empty);
        }
    }
    assert_eq!(read_at_every_cut(&bytes), (seen, Ok(true)));
}

#[test]
fn three_pieces_cut_anywhere() {
    let bytes = [
        record(10, 0, b"\x01\x01A1", 1),
        record(3, 1, BODY, 2),
        record(6, 1, b"x", 0),
        record(6, 1, b"", 1),
    ]
    .concat();
    let whole = read([&bytes[..]]);
    assert_eq!((whole.0.len(), &whole.1), (4, &Ok(true)));
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(read(pieces), whole, "{first}, {second}");
        }
    }
}

#[test]
fn the_longest_record_has_65535_and_255_bytes() {
    let content: Vec<u8> = (0..65_535).map(|at| (at % 251) as u8).collect();
    let bytes = [record(6, 1, &content, 255), record(6, 1, b"", 0)].concat();
    let seen = vec![
        stream(RecordType::Stdout, 1, &content),
        stream_end(RecordType::Stdout, 1),
    ];
    for piece_len in [1, 7, 4_096, 65_535, bytes.len()] {
        assert!(
            read(bytes.chunks(piece_len)) == (seen.clone(), Ok(true)),
            "{piece_len}"
        );
    }
    // Skipped content is counted the same way.
    let bytes = [
        record(200, 1, &content, 255),
        record(2, 1, &content, 255),
        record(1, 1, &content, 255),
    ]
    .concat();
    for piece_len in [1, 7, 4_096, 65_535, bytes.len()] {
        let (seen, end) = read(bytes.chunks(piece_len));
        assert_eq!((seen.len(), end), (3, Ok(true)), "{piece_len}");
    }
}

#[test]
fn a_discrete_record_of_more_than_8_bytes_is_read_by_its_first_8() {
    for record_type in [1, 3, 11] {
        let long = [&BODY[..], b"and then some"].concat();
        let bytes = [
            record(record_type, 1, &long, 5),
            record(2, 9, b"content?", 1),
        ]
        .concat();
        let seen = vec![seen_of(record_type, 1), seen_of(2, 9)];
        assert_eq!(read_at_every_cut(&bytes), (seen, Ok(true)));
    }
}

#[test]
fn a_discrete_record_of_fewer_than_8_bytes_is_an_error_at_its_header() {
    for byte in [1, 3, 11] {
        for len in 0..8 {
            let record_type = RecordType::from(byte);
            let bytes = record(byte, 1, &BODY[..usize::from(len)], 0);
            let error = DecodeError::ShortBody { record_type, len };
            assert_eq!(read_at_every_cut(&bytes), (vec![], Err(error)));
            assert_eq!(
                read([&bytes[..8]]),
                (vec![], Err(error)),
                "the header is enough"
            );
        }
    }
}

#[test]
fn another_version_is_an_error_at_its_first_byte() {
    let good = record(6, 1, b"good", 4);
    for found in (0..=255).filter(|version| *version != 1) {
        let mut bad = record(6, 1, b"bad", 0);
        bad[0] = found;
        let bytes = [&good[..], &bad].concat();
        let seen = vec![stream(RecordType::Stdout, 1, b"good")];
        let error = Err(DecodeError::Version { found });
        assert_eq!(read_at_every_cut(&bytes), (seen.clone(), error));
        if found != b'H' {
            assert_eq!(
                read([&bytes[..=good.len()]]),
                (seen, error),
                "one byte is enough"
            );
        }
    }
}

#[test]
fn a_peer_that_speaks_http_is_named() {
    assert_eq!(
        read_at_every_cut(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (vec![], Err(DecodeError::Http))
    );
    assert_eq!(
        read_at_every_cut(b"HTTP/"),
        (vec![], Err(DecodeError::Http)),
        "five bytes are enough"
    );
    for len in 0..5 {
        assert_eq!(
            read([&b"HTTP/"[..len]]),
            (vec![], Ok(len == 0)),
            "{len} bytes are not"
        );
    }
    for other in [
        &b"HT2P/1.1 200"[..],
        b"HX",
        b"HTTPS/1.1",
        b"H\x01\0\0\0\0\0\0",
    ] {
        let error = DecodeError::Version { found: b'H' };
        assert_eq!(read_at_every_cut(other), (vec![], Err(error)), "{other:?}");
    }
    // Old bytes in the carry-over are not used.
    let bytes = [
        &record(6, 1, b"HTTP/1.1", 0)[..],
        &record(3, 1, b"HTTP/1.1", 0),
        b"HT1P/",
    ]
    .concat();
    assert_eq!(
        read_at_every_cut(&bytes).1,
        Err(DecodeError::Version { found: b'H' })
    );
}

#[test]
fn the_end_of_a_request_does_not_wait_for_its_padding() {
    let bytes = record(3, 1, BODY, 9);
    let mut reader = Reader::default();
    reader.feed(&bytes[..16]).expect("well formed");
    assert_eq!(reader.seen, [seen_of(3, 1)]);
    for byte in bytes[16..].chunks(1) {
        assert!(
            !reader.demux.at_record_boundary(),
            "padding is part of the record"
        );
        reader.feed(byte).expect("well formed");
    }
    assert!(reader.demux.at_record_boundary());
}

#[test]
fn the_boundary_is_where_records_end_and_nowhere_else() {
    let records = [
        record(1, 1, BODY, 0),
        record(4, 1, b"pairs", 3),
        record(4, 1, b"", 0),
        record(2, 1, b"?", 0),
        record(9, 0, b"", 8),
        record(99, 0, b"12", 1),
        record(10, 0, b"12", 0),
    ];
    let mut reader = Reader::default();
    assert!(reader.demux.at_record_boundary());
    for record in &records {
        for (at, byte) in record.chunks(1).enumerate() {
            reader.feed(byte).expect("well formed");
            assert_eq!(
                reader.demux.at_record_boundary(),
                at + 1 == record.len(),
                "{at} of {record:?}"
            );
        }
    }
}

#[test]
fn a_boundary_is_known_with_the_item_when_there_is_no_padding() {
    for record_type in 1..=12 {
        let bytes = record(record_type, 1, BODY, 0);
        let mut demux = Demux::default();
        let mut input = bytes.as_slice();
        // The content of these types is skipped by the call after the item.
        let skipped = matches!(
            RecordType::from(record_type),
            RecordType::AbortRequest | RecordType::Unassigned(_)
        );
        assert!(matches!(demux.next(&mut input), Ok(Some(_))));
        assert_eq!(demux.at_record_boundary(), !skipped, "{record_type}");
        assert_eq!(demux.next(&mut input), Ok(None));
        assert!(demux.at_record_boundary());
    }
}

#[test]
fn each_record_of_values_has_one_last_piece() {
    let bytes = [
        record(10, 0, b"0123456789", 3),
        record(10, 0, b"", 0),
        record(9, 0, b"x", 0),
    ]
    .concat();
    for piece_len in 1..=bytes.len() {
        let mut demux = Demux::default();
        let mut lasts = Vec::new();
        for mut input in bytes.chunks(piece_len) {
            while let Some(item) = demux.next(&mut input).expect("well formed") {
                let Item::Values { data, last, .. } = item else {
                    panic!("{item:?}")
                };
                assert!(last || !data.is_empty());
                lasts.push(last);
            }
        }
        assert_eq!(lasts.iter().filter(|last| **last).count(), 3, "{piece_len}");
        assert_eq!(lasts.last(), Some(&true));
    }
}

#[test]
fn sixteen_mebibytes_in_records_of_one_byte_cost_one_call_each() {
    let block = record(6, 1, b"x", 7).repeat(4_096);
    let mut demux = Demux::default();
    let mut calls = 0;
    for _ in 0..256 {
        let mut input = block.as_slice();
        loop {
            calls += 1;
            match demux.next(&mut input) {
                Ok(Some(Item::Stream { data, .. })) => assert_eq!(data, b"x"),
                other => break assert_eq!(other, Ok(None)),
            }
        }
        assert!(demux.at_record_boundary());
    }
    assert_eq!(calls, 256 * (4_096 + 1));
}
