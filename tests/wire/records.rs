//! Writing: headers, bodies, and whole records.

use mio_fcgi::wire::{
    self, BeginRequest, DecodeError, EncodeError, EndRequest, Header, ProtocolStatus, RecordType,
    Role, UnknownType,
};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    write(&mut out);
    assert!(out.starts_with(b"before"), "writers append");
    out.split_off(6)
}

#[test]
fn every_type_byte_survives_a_round_trip() {
    let named = [
        (1, RecordType::BeginRequest),
        (2, RecordType::AbortRequest),
        (3, RecordType::EndRequest),
        (4, RecordType::Params),
        (5, RecordType::Stdin),
        (6, RecordType::Stdout),
        (7, RecordType::Stderr),
        (8, RecordType::Data),
        (9, RecordType::GetValues),
        (10, RecordType::GetValuesResult),
        (11, RecordType::UnknownType),
    ];
    for byte in 0..=255_u8 {
        let record_type = RecordType::from(byte);
        let expected = named.iter().find(|(number, _)| *number == byte);
        assert_eq!(
            record_type,
            expected.map_or(RecordType::Unassigned(byte), |(_, named)| *named)
        );
        assert_eq!(u8::from(record_type), byte);
        assert_eq!(record_type.is_stream(), (4..=8).contains(&byte));
        assert_eq!(record_type.is_management(), (9..=11).contains(&byte));
    }
}

#[test]
fn every_protocol_status_survives_a_round_trip() {
    let named = [
        ProtocolStatus::RequestComplete,
        ProtocolStatus::CantMultiplex,
        ProtocolStatus::Overloaded,
        ProtocolStatus::UnknownRole,
    ];
    for byte in 0..=255_u8 {
        let status = ProtocolStatus::from(byte);
        let expected = named.get(usize::from(byte)).copied();
        assert_eq!(status, expected.unwrap_or(ProtocolStatus::Unassigned(byte)));
        assert_eq!(u8::from(status), byte);
    }
}

#[test]
fn roles_are_1_to_3() {
    let roles: Vec<_> = (0..=u16::MAX).filter_map(Role::from_wire).collect();
    assert_eq!(roles, [Role::Responder, Role::Authorizer, Role::Filter]);
    let numbers: Vec<_> = roles.into_iter().map(Role::to_wire).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_header_by_hand() {
    let header = Header {
        record_type: RecordType::Stdout,
        request_id: 0x1234,
        content_len: 0xfff8,
        padding_len: 7,
    };
    assert_eq!(header.encode(), *b"\x01\x06\x124\xff\xf8\x07\0");
    assert_eq!(
        Header::decode(b"\x01\x06\x124\xff\xf8\x07\xee"),
        Ok(header),
        "the reserved byte is ignored"
    );
    assert_eq!(
        Header::decode(b"\x02\x06\x124\xff\xf8\x07\0"),
        Err(DecodeError::Version { found: 2 })
    );
    assert_eq!(Header::decode(b"HTTP/1.1"), Err(DecodeError::Http));
    assert_eq!(
        Header::decode(b"HTTP 1.1"),
        Err(DecodeError::Version { found: b'H' })
    );
}

#[test]
fn padding_aligns_to_8_and_keeps_content_and_padding_within_65535() {
    for content_len in 0..=u16::MAX {
        let header = Header::padded(RecordType::Stdin, 1, content_len);
        let len = u32::from(content_len) + u32::from(header.padding_len);
        assert!(header.padding_len < 8 && len <= 65_535, "{header:?}");
        assert!(len % 8 == 0 || content_len > 65_528, "{header:?}");
    }
}

#[test]
fn bodies_by_hand() {
    let begin = BeginRequest {
        role: 0x0103,
        flags: 0x81,
    };
    assert_eq!(begin.encode(), *b"\x01\x03\x81\0\0\0\0\0");
    assert_eq!(BeginRequest::decode(b"\x01\x03\x81rubbi"), begin);
    assert!(begin.keep_conn());
    assert!(
        !BeginRequest {
            role: 1,
            flags: 0xfe
        }
        .keep_conn()
    );

    let end = EndRequest {
        app_status: 0x0102_0384,
        protocol_status: ProtocolStatus::Overloaded,
    };
    assert_eq!(end.encode(), *b"\x01\x02\x03\x84\x02\0\0\0");
    assert_eq!(EndRequest::decode(b"\x01\x02\x03\x84\x02abc"), end);

    let unknown = UnknownType { record_type: 77 };
    assert_eq!(unknown.encode(), *b"M\0\0\0\0\0\0\0");
    assert_eq!(UnknownType::decode(b"Mrubbish"), unknown);
}

#[test]
fn discrete_records_by_hand() {
    assert_eq!(
        written(|out| wire::write_begin_request(out, 0x0102, Role::Filter, true)),
        b"\x01\x01\x01\x02\0\x08\0\0\0\x03\x01\0\0\0\0\0"
    );
    assert_eq!(
        written(|out| wire::write_abort_request(out, 0xfffe)),
        b"\x01\x02\xff\xfe\0\0\0\0"
    );
    let body = EndRequest {
        app_status: 7,
        protocol_status: ProtocolStatus::CantMultiplex,
    };
    assert_eq!(
        written(|out| wire::write_end_request(out, 3, body)),
        b"\x01\x03\0\x03\0\x08\0\0\0\0\0\x07\x01\0\0\0"
    );
    assert_eq!(
        written(|out| wire::write_unknown_type(out, 99)),
        b"\x01\x0b\0\0\0\x08\0\0c\0\0\0\0\0\0\0"
    );
}

#[test]
fn one_record_holds_65535_bytes_and_no_more() {
    let content = vec![b'x'; 65_536];
    let mut out = b"before".to_vec();
    let refused = wire::write_record(&mut out, RecordType::Data, 1, &content);
    assert_eq!(refused, Err(EncodeError::ContentTooLong { len: 65_536 }));
    assert_eq!(out, b"before");

    let out = written(|out| {
        wire::write_record(out, RecordType::Data, 1, &content[1..]).expect("65,535 bytes fit");
    });
    assert_eq!(out[..8], *b"\x01\x08\0\x01\xff\xff\0\0");
    assert_eq!(out[8..], content[1..]);
}

#[test]
fn a_stream_is_cut_into_aligned_records() {
    let cases: [(usize, &[(u16, u8)]); 7] = [
        (0, &[]),
        (1, &[(1, 7)]),
        (65_528, &[(65_528, 0)]),
        (65_529, &[(65_528, 0), (1, 7)]),
        (65_535, &[(65_528, 0), (7, 1)]),
        (65_537, &[(65_528, 0), (9, 7)]),
        (131_056, &[(65_528, 0), (65_528, 0)]),
    ];
    for (len, records) in cases {
        let content: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let mut rest = content.as_slice();
        let mut expected = Vec::new();
        for &(content_len, padding_len) in records {
            let (piece, after) = rest.split_at(usize::from(content_len));
            let mut record = crate::record(5, 9, piece, padding_len);
            let padding = record.len() - usize::from(padding_len);
            record[padding..].fill(0);
            expected.extend(record);
            rest = after;
        }
        assert!(
            written(|out| wire::write_stream(out, RecordType::Stdin, 9, &content)) == expected,
            "{len}"
        );
    }
}

#[test]
fn room_for_a_record_is_made_once_and_not_more_than_it_needs() {
    for len in [1, 1001, 65_528] {
        let mut out = Vec::new();
        wire::write_stream(&mut out, RecordType::Stdin, 9, &vec![b'x'; len]);
        // Reserved one by one, the space for header, content and padding would have been doubled.
        assert!(
            out.capacity() <= out.len() + 64,
            "{} for {}",
            out.capacity(),
            out.len()
        );
    }
}
