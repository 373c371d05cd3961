//! Response heads in pieces: every cut, the limits, no copy.

use mio_fcgi::cgi::{Collector, HeadError, HeadParser, HeadRules, ResponseLimits};
use proptest::prelude::*;

use super::head::{head, read, read_with, text};
use super::response::ended;

fn rules(max_len: usize) -> HeadRules {
    let mut rules = HeadRules::default();
    rules.max_len = max_len;
    rules
}

/// Heads for the tests of every cut, good and bad.
const HEADS: &[&[u8]] = &[
    b"Status: 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nbody",
    b"Content-Type: a\nSet-Cookie: a=b\r\nSet-Cookie: c\n\r\n\r\n\n",
    b"HTTP/1.1 500 Oh\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
    b"Status: 103\nLink: x\n\nStatus: 102\r\n\r\nLocation: /x\r\n\r\nbody",
    b"A: b\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nbody!",
    b"A: b\nC: d\re\n\n",
    b"A: b\r\r\n\r\n",
    b"A: b\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    b"\r\nbody",
    b"<html>\n\n",
    b"A: b\r\n folded\r\n\r\n",
];

// cases 1 and 36
#[test]
fn every_cut_gives_the_same_result() {
    for bytes in HEADS {
        let whole = read(&mut HeadParser::default(), &[bytes]);
        let mut parser = HeadParser::default();
        for cut in 0..=bytes.len() {
            let (one, two) = bytes.split_at(cut);
            for second in 0..=two.len() {
                let (two, three) = two.split_at(second);
                parser.clear();
                assert_eq!(
                    read(&mut parser, &[one, two, three]),
                    whole,
                    "{:?} cut at {cut} and {}",
                    text(bytes),
                    cut + second
                );
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        parser.clear();
        assert_eq!(read(&mut parser, &single), whole);
    }
}

// case 38
#[test]
fn a_head_may_have_its_limit_and_no_byte_more() {
    for extra in [61_000, 65_536, 1_000_000] {
        let bytes = format!("A: {}\r\n\r\n", "x".repeat(extra));
        let expected = match bytes.len() {
            ..=65_536 => Ok(bytes.len()),
            _ => Err(HeadError::TooLarge { limit: 65_536 }),
        };
        assert_eq!(head(&bytes).map(|seen| seen.encoded_len), expected);
    }
    let exact = format!("A: {}\n\n", "x".repeat(65_536 - 5));
    assert_eq!(exact.len(), 65_536);
    let bodied = [exact.as_bytes(), b"body"].concat();
    for bytes in [exact.as_bytes(), &bodied] {
        for len in [1, 100, 65_536, 70_000] {
            let pieces: Vec<&[u8]> = bytes.chunks(len).collect();
            assert!(read(&mut HeadParser::new(rules(65_536)), &pieces).is_ok());
            assert_eq!(
                read(&mut HeadParser::new(rules(65_535)), &pieces),
                Err(HeadError::TooLarge { limit: 65_535 })
            );
        }
    }
}

#[test]
fn an_incomplete_head_of_just_its_limit_is_not_too_large_yet() {
    let bytes = b"A: 456789";
    let push = |max_len, pieces: &[&[u8]]| read(&mut HeadParser::new(rules(max_len)), pieces);
    assert_eq!(
        push(9, &[bytes]),
        Err(HeadError::Truncated { len: 9 }),
        "all that came was accepted"
    );
    assert_eq!(
        push(9, &[bytes, b"\n"]),
        Err(HeadError::TooLarge { limit: 9 })
    );
    assert_eq!(push(8, &[bytes]), Err(HeadError::TooLarge { limit: 8 }));
}

#[test]
fn a_long_line_in_single_bytes_is_not_searched_again_each_time() {
    let bytes = format!("A: {}\n\n", "x".repeat(1 << 21));
    let mut parser = HeadParser::new(rules(bytes.len()));
    let start = std::time::Instant::now();
    let pieces: Vec<&[u8]> = bytes.as_bytes().chunks(1).collect();
    assert!(read(&mut parser, &pieces).is_ok());
    // Searching everything again at each byte would take 2 * 10^12 steps, as good as a hang.
    assert!(start.elapsed() < std::time::Duration::from_secs(60));
}

#[test]
fn a_head_may_have_its_limit_of_fields_and_no_more() {
    let head_of = |count| format!("Status: 200\n{}\n", "A: b\n".repeat(count));
    assert_eq!(head(head_of(256)).map(|seen| seen.fields.len()), Ok(256));
    assert_eq!(
        head(head_of(257)),
        Err(HeadError::TooManyFields { limit: 256 })
    );
}

#[test]
fn interim_heads_share_the_limit_of_the_final_one() {
    let flood = b"Status: 103\n\n".repeat(100);
    assert_eq!(
        read_with(rules(1000), &flood),
        Err(HeadError::TooLarge { limit: 1000 })
    );
    // The next response has the whole limit again.
    let mut parser = HeadParser::new(rules(1000));
    let near = format!("Status: 103\n\nA: {}\n\n", "x".repeat(900));
    for _ in 0..3 {
        let (heads, _) = read(&mut parser, &[near.as_bytes()]).expect("two heads");
        assert_eq!(heads.len(), 2);
    }
}

#[test]
fn a_head_in_one_piece_is_not_copied() {
    let bytes = b"A: b\n\nbody".to_vec();
    let mut parser = HeadParser::default();
    let (head, body) = parser.push(&bytes).expect("valid").expect("complete");
    let value = head.get("a").expect("there");
    assert!(std::ptr::eq(value.as_ptr(), &raw const bytes[3]));
    assert!(std::ptr::eq(body.as_ptr(), &raw const bytes[6]));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_one_result(
        bytes in proptest::collection::vec(
            proptest::sample::select(b"\r\n\r\n: \tAStatus20013\0\x7f\xe9".as_slice()), 0..80),
        len in 1_usize..20,
    ) {
        let whole = read(&mut HeadParser::default(), &[&bytes]);
        let pieces: Vec<&[u8]> = bytes.chunks(len).collect();
        prop_assert_eq!(read(&mut HeadParser::default(), &pieces), whole);
    }
}

/// What is no head is a message of the application's, perhaps with a trace: all of it that has come is kept.
#[test]
fn a_refused_head_is_kept_whatever_its_cut() {
    let message: &[u8] = b"PHP Fatal error: x\nStack trace:\n#0 /a.php\n";
    for cut in 0..=message.len() {
        let mut collector = Collector::new(ResponseLimits::default());
        let (one, two) = message.split_at(cut);
        // What comes after the error is not looked at.
        let kept = if collector.stdout(one).is_err() {
            one
        } else {
            message
        };
        assert!(collector.stdout(two).is_err());
        let Err(incomplete) = collector.finish(ended()) else {
            panic!("there is no head");
        };
        assert_eq!(text(&incomplete.stdout), text(kept), "{cut}");
    }
}
