//! Parameters and records on their way out: whole pairs, right lengths, right order.

use std::io;

use mio_fcgi::wire::{Pairs, RecordType};
use mio_fcgi::{Body, Multiplex, Params, Request, SubmitError};

use crate::harness::Bench;
use crate::script::{Sent, config, content, records, request, split};

/// A name and a value.
type Pair = (Vec<u8>, Vec<u8>);

/// The pairs sent on the first connection, record by record. No pair may straddle two records.
pub(crate) fn pairs_sent(bench: &Bench) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (header, content) in split(&bench.peers[0].sent) {
        if header.record_type == RecordType::Params {
            for pair in Pairs::new(content) {
                let (name, value) = pair.expect("a record of whole pairs");
                pairs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    pairs
}

fn expect_pairs(request: Request) {
    let expected: Vec<_> = request
        .params
        .iter()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect();
    let mut bench = Bench::plain();
    bench.submit(request);
    assert_eq!(pairs_sent(&bench), expected);
    check_lengths(&bench);
    bench.end(0);
    bench.finish();
}

/// No record may be longer than php-fpm accepts.
fn check_lengths(bench: &Bench) {
    let sent = &bench.peers[0].sent;
    let mut bytes = 0;
    for (header, content) in split(sent) {
        let len = content.len() + usize::from(header.padding_len);
        assert!(len <= 65_535, "{header:?}");
        bytes += 8 + len;
    }
    assert_eq!(bytes, sent.len(), "whole records only");
}

// case 67, case 71
#[test]
fn many_parameters_leave_in_records_of_whole_pairs() {
    for value_len in [0, 1, 126, 127, 128, 1_000, 30_000, 65_000] {
        let mut long = request();
        while long.params.encoded_len() < 300_000 {
            let name = format!("NAME_{}", long.params.encoded_len());
            long.params.push(name, "v".repeat(value_len));
        }
        expect_pairs(long);
    }
}

// case 67
#[test]
fn parameters_that_just_fit_a_record_or_just_do_not_are_never_cut() {
    for value_len in 65_400..65_525 {
        let long = request().param("A", "x".repeat(value_len));
        expect_pairs(long.param("B", "y".repeat(value_len)));
    }
}

// case 68, case 75
#[test]
fn no_record_exceeds_65_535_bytes_with_its_padding() {
    for len in [
        65_527, 65_528, 65_529, 65_534, 65_535, 65_536, 65_537, 200_000,
    ] {
        let text: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
        let bodies = [
            Body::bytes(text.clone()),
            Body::shared(text.clone().into()),
            Body::reader(io::Cursor::new(text.clone()), Some(len)),
        ];
        for body in bodies {
            let mut bench = Bench::plain();
            bench.submit(request().with_body(body));
            check_lengths(&bench);
            let sent = bench.sent(0);
            assert_eq!(content(&sent, RecordType::Stdin, 1), text);
            assert_eq!(sent.last(), Some(&Sent::StreamEnd(RecordType::Stdin, 1)));
            let pair = (b"CONTENT_LENGTH".to_vec(), len.to_string().into_bytes());
            assert_eq!(pairs_sent(&bench).last(), Some(&pair));
            bench.feed(0, records().end(1, 0));
            bench.finish();
        }
    }
}

// case 69
#[test]
fn a_pair_that_no_record_can_carry_is_refused_before_anything_is_sent() {
    let mut bench = Bench::plain();
    let long = request().param("A", "x".repeat(65_530));
    assert_eq!(
        long.params.encoded_len() - request().params.encoded_len(),
        65_536
    );
    let error = SubmitError::PairTooLarge {
        len: 65_536,
        limit: 65_535,
    };
    assert_eq!(bench.try_submit(long), Err(error));
    assert!(bench.peers.is_empty());
    bench.submit(request().param("A", "x".repeat(65_529)));
    assert_eq!(pairs_sent(&bench).len(), 2);
    bench.end(0);
    bench.finish();
}

// case 69
#[test]
fn a_pair_that_no_record_can_carry_is_split_where_the_application_can_join_it() {
    let mut config = config(Multiplex::Off);
    config.split_long_pairs = true;
    let mut bench = Bench::new(config);
    let long = request().param("A", "x".repeat(200_000)).param("B", "1");
    let [shared, own] = [request().params, long.params.clone()].map(|it| it.encoded_len());
    bench.submit(long);
    let sent = bench.sent(0);
    let params = content(&sent, RecordType::Params, 1);
    let values: Vec<usize> = Pairs::new(&params).flatten().map(|it| it.1.len()).collect();
    assert_eq!((values, params.len()), (vec![6, 200_000, 1], own));
    assert!(own > shared);
    check_lengths(&bench);
    bench.end(0);
    bench.finish();
}

#[test]
fn parameters_above_the_limit_are_refused() {
    let mut config = config(Multiplex::Off);
    config.max_params_len = 50;
    let mut bench = Bench::new(config);
    let long = request().param("A", "x".repeat(50));
    let len = long.params.encoded_len();
    let error = SubmitError::ParamsTooLarge { len, limit: 50 };
    assert_eq!(bench.try_submit(long), Err(error));
    bench.finish();
}

// case 70
#[test]
fn lengths_are_coded_in_one_byte_or_four() {
    for name_len in [0, 1, 127, 128, 129, 60_000] {
        for value_len in [0, 1, 127, 128, 129, 5_000] {
            let name = "n".repeat(name_len);
            expect_pairs(request().param(name, "v".repeat(value_len)));
        }
    }
    let mut config = config(Multiplex::Off);
    config.split_long_pairs = true;
    let mut bench = Bench::new(config);
    bench.submit(Request::responder().param("n".repeat(65_535), ""));
    let params = content(&bench.sent(0), RecordType::Params, 1);
    assert_eq!(params[..5], [0x80, 0, 0xff, 0xff, 0]);
    bench.end(0);
    bench.finish();
}

// case 72
#[test]
fn parameters_leave_in_order_and_repeated() {
    let many = request().param("B", "1").param("A", "2").param("B", "3");
    expect_pairs(many.param("", "").param("A", "2"));
    let mut site = Params::default();
    site.push("Z", "shared").push("B", "0");
    let mut with_shared = request();
    with_shared.params.set_shared(&site.into_shared());
    let names: Vec<_> = with_shared.params.iter().map(|pair| pair.0).collect();
    assert_eq!(names, [&b"Z"[..], b"B", b"SCRIPT_NAME"]);
    expect_pairs(with_shared);
}

// case 73
#[test]
fn the_empty_record_ends_the_parameters_once_even_if_there_are_none() {
    for request in [Request::responder(), request()] {
        let mut bench = Bench::plain();
        bench.submit(request);
        let sent = bench.sent(0);
        let end = Sent::StreamEnd(RecordType::Params, 1);
        assert_eq!(sent.iter().filter(|item| **item == end).count(), 1);
        bench.end(0);
        bench.finish();
    }
}

#[test]
fn parameters_may_be_as_long_as_the_limit() {
    let mut config = config(Multiplex::Off);
    config.max_params_len = request().params.encoded_len();
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.end(0);
    bench.finish();
}

#[test]
fn a_length_that_agrees_with_the_body_is_sent_as_it_was_given() {
    let mut bench = Bench::plain();
    let request = request().param("CONTENT_LENGTH", "5");
    bench.submit(request.with_body(Body::bytes("hello")));
    let lengths: Vec<Pair> = pairs_sent(&bench)
        .into_iter()
        .filter(|(name, _)| name == b"CONTENT_LENGTH")
        .collect();
    assert_eq!(lengths, [(b"CONTENT_LENGTH".to_vec(), b"5".to_vec())]);
    bench.end(0);
    bench.finish();
}
