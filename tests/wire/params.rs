//! Name-value pairs: by hand, at the edges of their lengths, cut short, and framed as records.

use mio_fcgi::wire::{self, DecodeError, Demux, EncodeError, Item, Pairs, RecordType};

fn pair(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::write_pair(&mut out, name, value).expect("short enough");
    assert_eq!(out.len(), wire::pair_len(name.len(), value.len()));
    out
}

/// A pair with an empty name whose encoding has this length.
fn pair_of(encoded_len: usize) -> Vec<u8> {
    let value_len = if encoded_len < 2 + 128 {
        encoded_len - 2
    } else {
        encoded_len - 5
    };
    let pair = pair(b"", &vec![b'v'; value_len]);
    assert_eq!(pair.len(), encoded_len);
    pair
}

/// The content of each `FCGI_PARAMS` record for request 7; checks headers, padding and 65,535.
fn contents(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        assert_eq!(header[..4], *b"\x01\x04\0\x07");
        let content_len = usize::from(header[4]) << 8 | usize::from(header[5]);
        let padding_len = usize::from(header[6]);
        assert!(content_len > 0, "an empty record would end the stream");
        assert!(content_len + padding_len <= 65_535);
        assert!(content_len > 65_528 || (content_len + padding_len) % 8 == 0 && padding_len < 8);
        contents.push(rest[..content_len].to_vec());
        assert!(
            rest[content_len..content_len + padding_len]
                .iter()
                .all(|byte| *byte == 0)
        );
        bytes = &rest[content_len + padding_len..];
    }
    assert!(bytes.is_empty());
    contents
}

fn framed(encoded: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    wire::write_params_records(&mut out, 7, encoded);
    let contents = contents(&out);
    assert!(
        contents.concat() == encoded.concat(),
        "content is kept as it is"
    );
    contents
}

fn lens(contents: &[Vec<u8>]) -> Vec<usize> {
    contents.iter().map(Vec::len).collect()
}

#[test]
fn pairs_by_hand() {
    let value = [b'v'; 128];
    assert_eq!(pair(b"A", b"bc"), b"\x01\x02Abc");
    assert_eq!(pair(b"", b""), b"\0\0");
    assert_eq!(
        pair(b"A", &value[..127]),
        [b"\x01\x7fA", &value[..127]].concat()
    );
    assert_eq!(
        pair(b"A", &value),
        [b"\x01\x80\0\0\x80A", &value[..]].concat()
    );
    assert_eq!(pair(&value, b""), [b"\x80\0\0\x80\0", &value[..]].concat());
    assert_eq!(
        pair(&value, &value),
        [b"\x80\0\0\x80\x80\0\0\x80", &value[..], &value[..]].concat()
    );
}

#[test]
fn lengths_survive_a_round_trip_at_their_edges() {
    let bytes: Vec<u8> = (0..65_537).map(|at| (at % 253) as u8).collect();
    let edges = [0, 1, 127, 128, 255, 256, 65_535, 65_536];
    for name_len in edges {
        for value_len in edges {
            let (name, value) = (&bytes[..name_len], &bytes[1..=value_len]);
            let encoded = pair(name, value);
            let long = |len: usize| if len < 128 { 1 } else { 4 };
            assert_eq!(
                encoded.len(),
                long(name_len) + long(value_len) + name_len + value_len
            );
            let mut pairs = Pairs::new(&encoded);
            assert!(
                pairs.next() == Some(Ok((name, value))),
                "{name_len}, {value_len}"
            );
            assert_eq!(pairs.next(), None);
        }
    }
}

#[test]
fn order_duplicates_and_bytes_that_are_no_text_are_kept() {
    let encoded = [
        pair(b"B", b"1"),
        pair(b"A", b"\xff\0"),
        pair(b"B", b"2"),
        pair(b"", b"x"),
    ]
    .concat();
    let pairs: Vec<_> = Pairs::new(&encoded)
        .collect::<Result<_, _>>()
        .expect("whole pairs");
    let expected: [(&[u8], &[u8]); 4] =
        [(b"B", b"1"), (b"A", b"\xff\0"), (b"B", b"2"), (b"", b"x")];
    assert_eq!(pairs, expected);
}

#[test]
fn a_short_length_in_the_long_form_is_understood() {
    let pairs: Vec<_> = Pairs::new(b"\x80\0\0\x01\x80\0\0\x02Abc\x80\0\0\0\0").collect();
    assert_eq!(
        pairs,
        [Ok((&b"A"[..], &b"bc"[..])), Ok((&b""[..], &b""[..]))]
    );
}

#[test]
fn a_pair_cut_anywhere_is_an_error_that_says_what_is_missing() {
    let truncated = |needed, available| Some(Err(DecodeError::TruncatedPair { needed, available }));
    let cases: [(&[u8], u64); 9] = [
        (b"\x05", 2),
        (b"\x80", 4),
        (b"\x80\0\0", 4),
        (b"\x80\0\0\x80", 5),
        (b"\x80\0\0\x80\x80", 8),
        (b"\x01\x80\0\0", 5),
        (b"\x01\x02Ab", 5),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", 8 + 2 * 0x7fff_ffff),
        (b"\xff\xff\xff\xff\x01abc", 5 + 0x7fff_ffff + 1),
    ];
    for (encoded, needed) in cases {
        let mut pairs = Pairs::new(encoded);
        assert_eq!(
            pairs.next(),
            truncated(needed, encoded.len()),
            "{encoded:?}"
        );
        assert_eq!(pairs.next(), None, "nothing follows an error");
    }

    let whole = pair(b"NAME", &[b'v'; 200]);
    for len in 1..whole.len() {
        let encoded = [pair(b"first", b"one"), whole[..len].to_vec()].concat();
        let mut pairs = Pairs::new(&encoded);
        assert_eq!(pairs.next(), Some(Ok((&b"first"[..], &b"one"[..]))));
        let error = pairs.next();
        assert!(
            matches!(error, Some(Err(DecodeError::TruncatedPair { needed, available }))
                if needed > available as u64 && needed <= whole.len() as u64 && available == len),
            "{len}: {error:?}"
        );
        assert_eq!(pairs.next(), None);
    }
}

#[test]
fn pair_len_does_not_overflow() {
    assert_eq!(wire::pair_len(usize::MAX, 1), usize::MAX);
    assert_eq!(wire::pair_len(127, 128), 1 + 4 + 255);
}

#[test]
fn no_pairs_make_no_record() {
    assert!(framed(&[]).is_empty());
    assert!(framed(&[b"", b""]).is_empty());
}

#[test]
fn pairs_that_fit_one_record_are_one_record() {
    let (a, b) = (pair(b"A", b"1"), pair(b"B", b"2"));
    assert_eq!(framed(&[&a, b"", &b]), [[a, b].concat()]);
    let (most, rest) = (pair_of(60_000), pair_of(5_528));
    assert_eq!(lens(&framed(&[&most, &rest])), [65_528]);
}

#[test]
fn a_pair_that_does_not_fit_the_rest_of_a_record_opens_the_next() {
    let (most, rest) = (pair_of(60_000), pair_of(5_529));
    assert_eq!(lens(&framed(&[&most, &rest])), [60_000, 5_529]);
    assert_eq!(lens(&framed(&[&[most, rest].concat()])), [60_000, 5_529]);
    assert_eq!(
        lens(&framed(&[&pair_of(60_000), &pair_of(5_528), &pair_of(8)])),
        [65_528, 8]
    );

    let small = pair_of(10);
    let block = small.repeat(30_000);
    assert_eq!(
        lens(&framed(&[&block])),
        [65_520, 65_520, 65_520, 65_520, 37_920]
    );
    assert_eq!(
        lens(&framed(&[&small, &block, &small])),
        [65_520, 65_520, 65_520, 65_520, 37_940]
    );
}

#[test]
fn a_pair_of_65529_to_65535_bytes_is_a_record_of_its_own() {
    let small = pair_of(8);
    for len in 65_529..=65_535 {
        assert_eq!(
            lens(&framed(&[&small, &pair_of(len), &small, &small])),
            [8, len, 16]
        );
        assert_eq!(lens(&framed(&[&pair_of(len)])), [len]);
    }
    assert_eq!(
        lens(&framed(&[&small, &pair_of(65_528), &small])),
        [8, 65_528, 8]
    );
}

#[test]
fn a_pair_above_65535_bytes_is_split_alone() {
    let small = pair_of(8);
    assert_eq!(
        lens(&framed(&[&small, &pair_of(65_536), &small])),
        [8, 65_528, 8, 8]
    );
    assert_eq!(
        lens(&framed(&[&pair_of(200_000)])),
        [65_528, 65_528, 65_528, 3_416]
    );
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "each slice holds whole pairs")]
fn half_a_pair_is_the_callers_bug() {
    wire::write_params_records(&mut Vec::new(), 7, &[b"\x05\x05abc"]);
}

#[cfg(not(debug_assertions))]
#[test]
fn half_a_pair_goes_out_as_it_is() {
    let whole = pair_of(60_000);
    let half = [b"\x05\xff\xff\xff\xff", vec![b'x'; 9_995].as_slice()].concat();
    let long = [b"\x05\xff\xff\xff\xff", vec![b'x'; 69_995].as_slice()].concat();
    assert_eq!(lens(&framed(&[b"\x05\x05abc"])), [5]);
    assert_eq!(
        lens(&framed(&[&whole, &half, &whole])),
        [60_000, 10_000, 60_000]
    );
    assert_eq!(lens(&framed(&[&long, b"\x80"])), [65_528, 4_472, 1]);
}

#[test]
fn get_values_has_padding_whatever_the_names() {
    let mut out = Vec::new();
    wire::write_get_values(
        &mut out,
        &[wire::MAX_CONNS, wire::MAX_REQS, wire::MPXS_CONNS],
    )
    .expect("short");
    let by_hand = b"\x01\x09\0\0\0\x30\x08\0\
        \x0e\0FCGI_MAX_CONNS\x0d\0FCGI_MAX_REQS\x0f\0FCGI_MPXS_CONNS\0\0\0\0\0\0\0\0";
    assert_eq!(out, by_hand);

    let mut input = out.as_slice();
    let item = Demux::default().next(&mut input);
    let data = &by_hand[8..56];
    assert_eq!(
        item,
        Ok(Some(Item::Values {
            record_type: RecordType::GetValues,
            request_id: 0,
            data,
            last: true
        }))
    );

    for len in 0..20 {
        let mut out = Vec::new();
        wire::write_get_values(&mut out, &[&"n".repeat(len)]).expect("short");
        assert_eq!(
            out.len(),
            (8 + 2 + len).next_multiple_of(8) + if len % 8 == 6 { 8 } else { 0 }
        );
        assert_eq!(usize::from(out[6]), out.len() - 8 - 2 - len);
    }

    let mut out = Vec::new();
    let refused = wire::write_get_values(&mut out, &[&"n".repeat(65_523)]);
    assert_eq!(refused, Err(EncodeError::ContentTooLong { len: 65_528 }));
    assert!(out.is_empty());
    assert_eq!(
        wire::write_get_values(&mut out, &[&"n".repeat(65_522)]),
        Ok(())
    );
    assert_eq!(out.len(), 8 + 65_528);
}
