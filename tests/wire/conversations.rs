//! The conversations of the specification's appendix B, "Typical Protocol Message Flow".

use mio_fcgi::wire::{
    self, BeginRequest, EndRequest, Item, KEEP_CONN, Pairs, ProtocolStatus, RecordType, Role,
};

use crate::{Seen, read_at_every_cut, record, stream, stream_end};

const PARAMS: &[u8] = b"\x0b\x02SERVER_PORT80\x0b\x0eSERVER_ADDR199.170.183.42";
const HEAD: &[u8] = b"Content-type: text/html\r\n\r\n";
const PAGE: &[u8] = b"Content-type: text/html\r\n\r\n<html>\n<head> ... ";
const BEGIN: &[u8] = b"\0\x01\0\0\0\0\0\0";
const BEGIN_KEEP: &[u8] = b"\0\x01\x01\0\0\0\0\0";
const COMPLETE: &[u8] = b"\0\0\0\0\0\0\0\0";

fn begin(request_id: u16, flags: u8) -> Seen {
    Seen::Discrete(Item::Begin {
        request_id,
        body: BeginRequest { role: 1, flags },
    })
}

fn end(request_id: u16, app_status: u32) -> Seen {
    let body = EndRequest {
        app_status,
        protocol_status: ProtocolStatus::RequestComplete,
    };
    Seen::Discrete(Item::End { request_id, body })
}

#[test]
fn example_1_a_request_without_a_body_as_written() {
    let mut out = Vec::new();
    wire::write_begin_request(&mut out, 1, Role::Responder, false);
    wire::write_params_records(&mut out, 1, &[PARAMS]);
    wire::write_stream_end(&mut out, RecordType::Params, 1);
    wire::write_stream_end(&mut out, RecordType::Stdin, 1);
    assert_eq!(PARAMS.len(), 42);
    let by_hand = [
        b"\x01\x01\0\x01\0\x08\0\0",
        BEGIN,
        b"\x01\x04\0\x01\0\x2a\x06\0",
        PARAMS,
        &[0; 6],
        b"\x01\x04\0\x01\0\0\0\0",
        b"\x01\x05\0\x01\0\0\0\0",
    ]
    .concat();
    assert_eq!(out, by_hand);
}

#[test]
fn example_1_the_answer() {
    let bytes = [
        record(6, 1, PAGE, 2),
        record(6, 1, b"", 0),
        record(3, 1, COMPLETE, 0),
    ]
    .concat();
    let seen = vec![
        stream(RecordType::Stdout, 1, PAGE),
        stream_end(RecordType::Stdout, 1),
        end(1, 0),
    ];
    assert_eq!(read_at_every_cut(&bytes), (seen, Ok(true)));
}

#[test]
fn example_2_params_split_inside_a_pair_and_a_body() {
    let (params, more) = PARAMS.split_at(20);
    assert!(params.ends_with(b"SER"));
    let bytes = [
        record(1, 1, BEGIN, 0),
        record(4, 1, params, 0),
        record(4, 1, more, 2),
        record(4, 1, b"", 0),
        record(5, 1, b"quantity=100&item=3047936", 7),
        record(5, 1, b"", 0),
    ]
    .concat();
    let seen = vec![
        begin(1, 0),
        stream(RecordType::Params, 1, PARAMS),
        stream_end(RecordType::Params, 1),
        stream(RecordType::Stdin, 1, b"quantity=100&item=3047936"),
        stream_end(RecordType::Stdin, 1),
    ];
    assert_eq!(read_at_every_cut(&bytes), (seen, Ok(true)));
    let pairs: Vec<_> = Pairs::new(PARAMS)
        .collect::<Result<_, _>>()
        .expect("whole pairs");
    assert_eq!(
        pairs,
        [
            (&b"SERVER_PORT"[..], &b"80"[..]),
            (b"SERVER_ADDR", b"199.170.183.42")
        ]
    );
}

#[test]
fn example_3_an_error_told_on_stderr_between_two_pieces_of_stdout() {
    let bytes = [
        record(6, 1, b"Content-type: text/html\r\n\r\n<ht", 3),
        record(7, 1, b"config error: missing SI_UID\n", 3),
        record(6, 1, b"ml>\n<head> ... ", 1),
        record(6, 1, b"", 0),
        record(7, 1, b"", 0),
        record(3, 1, b"\0\0\x03\xaa\0\0\0\0", 0),
    ]
    .concat();
    let seen = vec![
        stream(RecordType::Stdout, 1, b"Content-type: text/html\r\n\r\n<ht"),
        stream(RecordType::Stderr, 1, b"config error: missing SI_UID\n"),
        stream(RecordType::Stdout, 1, b"ml>\n<head> ... "),
        stream_end(RecordType::Stdout, 1),
        stream_end(RecordType::Stderr, 1),
        end(1, 938),
    ];
    assert_eq!(read_at_every_cut(&bytes), (seen, Ok(true)));
}

#[test]
fn example_4_two_requests_multiplexed_and_ended_out_of_order() {
    let requests = [
        record(1, 1, BEGIN_KEEP, 0),
        record(4, 1, PARAMS, 6),
        record(4, 1, b"", 0),
        record(1, 2, BEGIN_KEEP, 0),
        record(4, 2, PARAMS, 6),
        record(5, 1, b"", 0),
        record(4, 2, b"", 0),
        record(5, 2, b"", 0),
    ]
    .concat();
    let seen = vec![
        begin(1, KEEP_CONN),
        stream(RecordType::Params, 1, PARAMS),
        stream_end(RecordType::Params, 1),
        begin(2, KEEP_CONN),
        stream(RecordType::Params, 2, PARAMS),
        stream_end(RecordType::Stdin, 1),
        stream_end(RecordType::Params, 2),
        stream_end(RecordType::Stdin, 2),
    ];
    assert_eq!(read_at_every_cut(&requests), (seen, Ok(true)));

    let answers = [
        record(6, 1, HEAD, 5),
        record(6, 2, PAGE, 2),
        record(6, 2, b"", 0),
        record(3, 2, COMPLETE, 0),
        record(6, 1, b"<html>\n<head> ... ", 6),
        record(6, 1, b"", 0),
        record(3, 1, COMPLETE, 0),
    ]
    .concat();
    let seen = vec![
        stream(RecordType::Stdout, 1, HEAD),
        stream(RecordType::Stdout, 2, PAGE),
        stream_end(RecordType::Stdout, 2),
        end(2, 0),
        stream(RecordType::Stdout, 1, b"<html>\n<head> ... "),
        stream_end(RecordType::Stdout, 1),
        end(1, 0),
    ];
    assert_eq!(read_at_every_cut(&answers), (seen, Ok(true)));
}
