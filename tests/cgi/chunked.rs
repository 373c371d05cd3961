//! Chunked bodies, decoded from pieces.

use mio_fcgi::cgi::{ChunkedDecoder, ChunkedError};

/// The content, and the bytes after the body, if it is complete.
type Decoded = Result<(Vec<u8>, Option<Vec<u8>>), ChunkedError>;

fn decode<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Decoded {
    let (mut decoder, mut content, mut after) = (ChunkedDecoder::default(), Vec::new(), Vec::new());
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() && !decoder.is_done() {
            let decoded = decoder.decode(rest)?;
            assert!(decoded.used > 0);
            content.extend_from_slice(decoded.content);
            rest = &rest[decoded.used..];
        }
        after.extend_from_slice(rest);
    }
    Ok((content, decoder.is_done().then_some(after)))
}

#[track_caller]
fn check(body: &str, expected: Decoded) {
    let body = body.as_bytes();
    assert_eq!(decode(std::iter::once(body)), expected);
    assert_eq!(decode(body.chunks(1)), expected);
    for at in 0..body.len() {
        assert_eq!(decode([&body[..at], &body[at..]].into_iter()), expected);
    }
}

#[track_caller]
fn whole(body: &str, content: &str, after: &str) {
    check(body, Ok((content.into(), Some(after.into()))));
}

#[test]
fn chunks_are_joined_and_what_follows_is_left() {
    whole("0\r\n\r\n", "", "");
    whole("4\r\nbody\r\n0\r\n\r\n", "body", "");
    whole("1\r\na\r\n2\r\nbc\r\n000\r\n\r\nGET /", "abc", "GET /");
    whole("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "");
    whole(
        "00000000000000b\r\n\r\n0\r\n\r\n0\r\n\r\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n0\r\n\r",
        "",
    );
}

#[test]
fn extensions_and_trailer_fields_are_dropped() {
    whole(
        "4;a=b;c=\"d e\"\r\nbody\r\n0;x\r\nX: y\r\nZ:\r\n\r\nrest",
        "body",
        "rest",
    );
}

#[test]
fn blanks_may_separate_a_size_from_its_extension() {
    whole("4 ;a=b\r\nbody\r\n0\t \t;c\r\n\r\n", "body", "");
    for body in ["4 \r\nbody\r\n", "4 a\r\n", "4 4\r\n", "4\t\n"] {
        check(body, Err(ChunkedError::Malformed));
    }
    check(" ;a\r\n", Err(ChunkedError::NoSize));
}

#[test]
fn extensions_that_are_far_longer_than_the_content_are_refused() {
    // Each chunk has one byte of content and 4,000 bytes of an extension.
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(4000));
    let (fine, long) = (chunk.repeat(4) + "0\r\n\r\n", chunk.repeat(5));
    for len in [1, 7, 4000, usize::MAX] {
        let decoded = decode(fine.as_bytes().chunks(len));
        assert_eq!(decoded, Ok((b"aaaa".to_vec(), Some(vec![]))));
        let decoded = decode(long.as_bytes().chunks(len));
        assert_eq!(decoded, Err(ChunkedError::ExtensionsTooLong));
    }
    // 4 extensions of 4,093 bytes, each with its semicolon, and 4 bytes of content: 16 more bytes are 16 KiB.
    let four = format!("1;{}\r\na\r\n", "x".repeat(4092)).repeat(4);
    for (len, expected) in [
        (15, Ok((b"aaaa".to_vec(), Some(vec![])))),
        (16, Err(ChunkedError::ExtensionsTooLong)),
    ] {
        let body = format!("{four}0;{}\r\n\r\n", "x".repeat(len));
        assert_eq!(decode(body.as_bytes().chunks(1000)), expected, "{len}");
    }
    // However long a body is, short extensions of its chunks are no offence.
    let chunk = format!("64;name=value\r\n{}\r\n", "a".repeat(100));
    let body = chunk.repeat(3000) + "0\r\n\r\n";
    let decoded = decode(body.as_bytes().chunks(997));
    assert_eq!(decoded, Ok(("a".repeat(300_000).into(), Some(vec![]))));
}

#[test]
fn a_body_without_its_end_is_not_done() {
    for len in 0.."4\r\nbody\r\n0\r\nX: y\r\n\r\n".len() {
        let (content, after) = decode(std::iter::once(&b"4\r\nbody\r\n0\r\nX: y\r\n\r\n"[..len]))
            .expect("valid so far");
        assert_eq!((content.len(), after), (len.saturating_sub(3).min(4), None));
    }
}

#[test]
fn a_body_that_is_not_chunked_is_refused() {
    for body in ["\r\n", "body", "-4\r\nbody\r\n", " 4\r\n", "<p>"] {
        let expected = match body {
            // A letter of a hexadecimal number, to begin with.
            "body" => ChunkedError::Malformed,
            _ => ChunkedError::NoSize,
        };
        check(body, Err(expected));
    }
    for body in [
        "4\nbody\n",
        "0x4\r\nbody\r\n",
        "4\r\nbodyx",
        "4\r\nbody\n0\r\n",
        "4;a\x01\r\n",
        "0\r\n: y\r\n",
        "0\r\nX y: z\r\n",
        "0\r\n folded\r\n",
        "0\r\nX: y\n",
    ] {
        check(body, Err(ChunkedError::Malformed));
    }
    check("1000000000000000\r\n", Err(ChunkedError::SizeTooLarge));
    check("fffffffffffffff\r\nx", Ok((b"x".to_vec(), None)));
}

#[test]
fn a_line_has_a_limit_and_so_has_the_trailer_section() {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(4096 - 4));
    whole(&long, "a", "");
    for body in [
        format!("1;{}\r\n", "x".repeat(4096 - 3)),
        format!("0\r\n{}", "X: y\r\n".repeat(700)),
    ] {
        check(&body, Err(ChunkedError::LineTooLong));
    }
}
