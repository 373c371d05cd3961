//! Bodies of requests: how their end is found, and what they contain, however they are cut.

use mio_fcgi::cgi::{ChunkedError, RequestBody, RequestBodyError};

use End::{Open, Refused, Whole};
use RequestBodyError as E;

/// The most bytes of content of each body here.
const MAX_LEN: u64 = 100;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// What becomes of a body.
#[derive(Debug, PartialEq)]
enum End {
    /// The bytes after it.
    Whole(&'static str),
    /// More was to come.
    Open,
    Refused(u16, RequestBodyError),
}

fn new(http11: bool, fields: Fields<'_>) -> Result<RequestBody, RequestBodyError> {
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    RequestBody::new(http11, fields, MAX_LEN)
}

/// Reads pieces of what a client sends. `step` is the most content that is taken at once.
fn read<'p>(
    mut body: RequestBody,
    pieces: impl Iterator<Item = &'p [u8]>,
    step: usize,
) -> (Vec<u8>, Result<Option<Vec<u8>>, RequestBodyError>) {
    let (mut content, mut unread) = (Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        let mut input = &unread[..];
        loop {
            match body.peek(&mut input) {
                Ok(Some(shown)) => {
                    let taken = shown.len().min(step);
                    content.extend_from_slice(&shown[..taken]);
                    body.consume(&mut input, taken);
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(body.peek(&mut input), Err(error), "again");
                    assert_eq!(body.decode(&mut input), Err(error));
                    assert_eq!(body.end(), Err(error));
                    let before = input;
                    body.consume(&mut input, 1);
                    assert_eq!(input, before, "nothing is consumed after an error");
                    assert!(!body.is_complete() && !body.keeps_connection(u64::MAX));
                    return (content, Err(error));
                }
            }
        }
        assert!(body.is_complete() || input.is_empty());
        unread = input.to_vec();
    }
    assert_eq!(body.received(), content.len() as u64);
    assert_eq!(body.end().is_ok(), body.is_complete());
    (content, Ok(body.is_complete().then_some(unread)))
}

#[track_caller]
fn check(http11: bool, fields: Fields<'_>, sent: &str, content: &str, end: End) {
    let outcome = |body: Result<RequestBody, RequestBodyError>, pieces: &[&[u8]], step| {
        let (read, after) = match body {
            Ok(body) => read(body, pieces.iter().copied(), step),
            Err(error) => (Vec::new(), Err(error)),
        };
        let read = String::from_utf8(read).expect("text");
        assert_eq!(read, content, "{pieces:?}");
        match (after, &end) {
            (Ok(Some(after)), Whole(expected)) => assert_eq!(after, expected.as_bytes()),
            (Ok(None), Open) => {}
            (Err(error), Refused(status, expected)) => {
                assert_eq!((error, error.http_status()), (*expected, *status));
            }
            (after, end) => panic!("{after:?} in place of {end:?}: {pieces:?}"),
        }
    };
    let sent = sent.as_bytes();
    let bytes: Vec<&[u8]> = sent.chunks(1).collect();
    for step in [1, 3, usize::MAX] {
        outcome(new(http11, fields), &[sent], step);
        outcome(new(http11, fields), &bytes, step);
        for at in 0..=sent.len() {
            let (first, second) = sent.split_at(at);
            outcome(new(http11, fields), &[first, second], step);
        }
    }
}

/// One test for each row: the version, fields, what follows the head, its content, and the end.
macro_rules! rows {
    ($($name:ident: $version:ident [$($field:literal: $value:expr),*] $sent:expr => $content:literal, $end:expr;)*) => {
        $(
            #[test]
            fn $name() {
                check(rows!(@ $version), &[$(($field, $value)),*], &$sent, $content, $end);
            }
        )*
    };
    (@ HTTP11) => { true };
    (@ HTTP10) => { false };
}

const CHUNKS: &str = "3\r\nabc\r\n0\r\n\r\nGET";

rows! {
    // How the end is found (RFC 9112, 6.3).
    neither_field_means_no_body: HTTP11 ["Host": "a"] "GET" => "", Whole("GET");
    neither_field_in_http_1_0: HTTP10 [] "GET" => "", Whole("GET");
    a_length: HTTP11 ["Content-Length": "3"] "abcGET" => "abc", Whole("GET");
    a_length_in_http_1_0: HTTP10 ["content-LENGTH": "3"] "abcGET" => "abc", Whole("GET");
    a_length_of_zero: HTTP11 ["Content-Length": "0"] "GET" => "", Whole("GET");
    a_length_that_is_not_reached: HTTP11 ["Content-Length": "4"] "abc" => "abc", Open;
    chunked: HTTP11 ["Transfer-Encoding": "chunked"] CHUNKS => "abc", Whole("GET");
    chunked_in_capitals: HTTP11 ["TRANSFER-ENCODING": "Chunked"] CHUNKS => "abc", Whole("GET");
    chunked_without_content: HTTP11 ["Transfer-Encoding": "chunked"] "0\r\n\r\nGET" => "", Whole("GET");
    a_field_that_only_resembles_one: HTTP11 ["Content_Length": "3", "Content-Lengths": "4", "X-Transfer-Encoding": "chunked"] "GET" => "", Whole("GET");
    both_fields: HTTP11 ["Content-Length": "3", "Transfer-Encoding": "chunked"] CHUNKS => "", Refused(400, E::LengthAndCoding);
    both_fields_the_other_way_round: HTTP11 ["Transfer-Encoding": "chunked", "Host": "a", "Content-Length": "0"] CHUNKS => "", Refused(400, E::LengthAndCoding);
    both_fields_in_http_1_0: HTTP10 ["Transfer-Encoding": "chunked", "Content-Length": "3"] CHUNKS => "", Refused(400, E::LengthAndCoding);
    a_length_and_a_coding_that_is_none: HTTP11 ["Transfer-Encoding": "x", "Content-Length": "3"] "abc" => "", Refused(400, E::LengthAndCoding);

    // What is a length (RFC 9110, 8.6).
    a_length_with_blanks_around: HTTP11 ["Content-Length": " \t3 \t "] "abcGET" => "abc", Whole("GET");
    a_length_with_zeros_before_it: HTTP11 ["Content-Length": "0003"] "abcGET" => "abc", Whole("GET");
    a_length_twice: HTTP11 ["Content-Length": "3", "Content-Length": "3"] "abcGET" => "abc", Whole("GET");
    a_list_of_equal_lengths: HTTP11 ["Content-Length": "3,3 , 3"] "abcGET" => "abc", Whole("GET");
    two_lengths: HTTP11 ["Content-Length": "3", "Content-Length": "4"] "abcd" => "", Refused(400, E::ContentLengths { first: 3, second: 4 });
    a_list_of_two_lengths: HTTP11 ["Content-Length": "5, 6"] "abcdef" => "", Refused(400, E::ContentLengths { first: 5, second: 6 });
    a_length_and_a_list_of_others: HTTP11 ["Content-Length": "3", "Content-Length": "3, 0"] "abc" => "", Refused(400, E::ContentLengths { first: 3, second: 0 });
    an_empty_length: HTTP11 ["Content-Length": ""] "" => "", Refused(400, E::ContentLength);
    a_blank_length: HTTP11 ["Content-Length": " \t"] "" => "", Refused(400, E::ContentLength);
    a_length_with_a_sign: HTTP11 ["Content-Length": "+3"] "abc" => "", Refused(400, E::ContentLength);
    a_length_of_minus_zero: HTTP11 ["Content-Length": "-0"] "" => "", Refused(400, E::ContentLength);
    a_hexadecimal_length: HTTP11 ["Content-Length": "0x3"] "abc" => "", Refused(400, E::ContentLength);
    a_length_with_a_fraction: HTTP11 ["Content-Length": "3.0"] "abc" => "", Refused(400, E::ContentLength);
    a_length_with_an_exponent: HTTP11 ["Content-Length": "3e1"] "abc" => "", Refused(400, E::ContentLength);
    a_length_with_a_separator: HTTP11 ["Content-Length": "1_0"] "abc" => "", Refused(400, E::ContentLength);
    a_length_with_a_colon: HTTP11 ["Content-Length": "1:"] "abc" => "", Refused(400, E::ContentLength);
    a_length_in_two_words: HTTP11 ["Content-Length": "3 3"] "abc" => "", Refused(400, E::ContentLength);
    a_length_with_a_vertical_tab: HTTP11 ["Content-Length": "\x0b3"] "abc" => "", Refused(400, E::ContentLength);
    a_length_with_a_form_feed: HTTP11 ["Content-Length": "3\x0c"] "abc" => "", Refused(400, E::ContentLength);
    a_length_with_a_nul: HTTP11 ["Content-Length": "3\0"] "abc" => "", Refused(400, E::ContentLength);
    a_length_in_foreign_digits: HTTP11 ["Content-Length": "٣"] "abc" => "", Refused(400, E::ContentLength);
    a_folded_length: HTTP11 ["Content-Length": "\r\n 3"] "abc" => "", Refused(400, E::ContentLength);
    a_list_of_lengths_that_ends_in_a_comma: HTTP11 ["Content-Length": "3,"] "abc" => "", Refused(400, E::ContentLength);
    a_list_of_no_lengths: HTTP11 ["Content-Length": ","] "abc" => "", Refused(400, E::ContentLength);
    a_length_in_a_name_with_a_blank: HTTP11 ["Content-Length ": "3"] "abc" => "", Refused(400, E::ContentLength);
    the_greatest_length: HTTP11 ["Content-Length": "18446744073709551615"] "abc" => "", Refused(413, E::TooLarge { limit: MAX_LEN });
    a_length_beyond_64_bits: HTTP11 ["Content-Length": "18446744073709551616"] "abc" => "", Refused(400, E::ContentLength);
    a_length_that_wraps_around_to_three: HTTP11 ["Content-Length": "36893488147419103235"] "abc" => "", Refused(400, E::ContentLength);
    a_length_at_the_limit: HTTP11 ["Content-Length": "100"] "abc" => "abc", Open;
    a_length_beyond_the_limit: HTTP11 ["Content-Length": "101"] "abc" => "", Refused(413, E::TooLarge { limit: MAX_LEN });

    // What is chunked (RFC 9112, 6.1 and 7).
    chunked_in_http_1_0: HTTP10 ["Transfer-Encoding": "chunked"] CHUNKS => "", Refused(400, E::TransferEncodingInHttp10);
    chunked_with_blanks_around: HTTP11 ["Transfer-Encoding": "\t chunked \t"] CHUNKS => "abc", Whole("GET");
    chunked_in_disguise: HTTP11 ["Transfer-Encoding": "xchunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_with_a_tail: HTTP11 ["Transfer-Encoding": "chunkedx"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_after_a_vertical_tab: HTTP11 ["Transfer-Encoding": "\x0bchunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_before_a_form_feed: HTTP11 ["Transfer-Encoding": "chunked\x0c"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_in_a_folded_line: HTTP11 ["Transfer-Encoding": "\r\n chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_before_a_fold: HTTP11 ["Transfer-Encoding": "chunked\r\n "] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_in_quotes: HTTP11 ["Transfer-Encoding": "\"chunked\""] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_with_a_parameter: HTTP11 ["Transfer-Encoding": "chunked;a=b"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_in_a_name_with_a_blank: HTTP11 ["Transfer-Encoding ": "chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_in_a_name_with_a_tab_before_it: HTTP11 ["\tTransfer-Encoding": "chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_after_a_comma: HTTP11 ["Transfer-Encoding": ", chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_after_two_commas: HTTP11 ["Transfer-Encoding": ",, chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_in_two_names_with_blanks: HTTP11 ["Transfer-Encoding ": "gzip", "Transfer-Encoding ": "chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_twice: HTTP11 ["Transfer-Encoding": "chunked", "Transfer-Encoding": "chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_twice_in_a_list: HTTP11 ["Transfer-Encoding": "chunked, chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_twice_around_another: HTTP11 ["Transfer-Encoding": "chunked, gzip, chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_that_is_not_last: HTTP11 ["Transfer-Encoding": "chunked, gzip"] CHUNKS => "", Refused(400, E::TransferEncoding);
    chunked_before_identity: HTTP11 ["Transfer-Encoding": "chunked", "Transfer-Encoding": "identity"] CHUNKS => "", Refused(400, E::TransferEncoding);
    a_coding_without_chunked: HTTP11 ["Transfer-Encoding": "gzip"] CHUNKS => "", Refused(400, E::TransferEncoding);
    identity_alone: HTTP11 ["Transfer-Encoding": "identity"] CHUNKS => "", Refused(400, E::TransferEncoding);
    no_coding_at_all: HTTP11 ["Transfer-Encoding": ""] CHUNKS => "", Refused(400, E::TransferEncoding);
    no_coding_and_chunked: HTTP11 ["Transfer-Encoding": "", "Transfer-Encoding": "chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    a_coding_that_is_no_token: HTTP11 ["Transfer-Encoding": "g(z)ip, chunked"] CHUNKS => "", Refused(400, E::TransferEncoding);
    another_coding: HTTP11 ["Transfer-Encoding": "gzip, chunked"] CHUNKS => "", Refused(501, E::UnsupportedCoding);
    two_other_codings: HTTP11 ["Transfer-Encoding": "gzip, deflate, chunked"] CHUNKS => "", Refused(501, E::UnsupportedCoding);
    another_coding_with_a_parameter: HTTP11 ["Transfer-Encoding": "x;a=b", "transfer-encoding": "Chunked"] CHUNKS => "", Refused(501, E::UnsupportedCoding);

    // What a client expects (RFC 9110, 10.1.1).
    an_expected_continue: HTTP11 ["Expect": " 100-Continue", "Content-Length": "3"] "abcGET" => "abc", Whole("GET");
    an_expected_continue_in_http_1_0: HTTP10 ["Expect": "100-continue", "Content-Length": "3"] "abcGET" => "abc", Whole("GET");
    another_expectation: HTTP11 ["Expect": "tea"] "" => "", Refused(417, E::Expectation);
    another_expectation_twice: HTTP11 ["Expect": "tea", "Expect": "tea", "Content-Length": "3"] "abc" => "", Refused(417, E::Expectation);
    another_expectation_in_a_list: HTTP11 ["Expect": "100-continue, tea=hot", "Content-Length": "3"] "abc" => "", Refused(417, E::Expectation);
    another_expectation_of_a_request_without_an_end: HTTP11 ["Expect": "tea", "Transfer-Encoding": "gzip"] "abc" => "", Refused(400, E::TransferEncoding);

    // What is a chunk (RFC 9112, 7.1); `chunked` has more of it.
    a_chunk_with_an_extension: HTTP11 ["Transfer-Encoding": "chunked"] "3;a=\"b;c\"\r\nabc\r\n0;d\r\n\r\nGET" => "abc", Whole("GET");
    blanks_before_an_extension: HTTP11 ["Transfer-Encoding": "chunked"] "3 ;a=b\r\nabc\r\n0\t ;d\r\n\r\nGET" => "abc", Whole("GET");
    blanks_after_a_size: HTTP11 ["Transfer-Encoding": "chunked"] "3 \r\nabc\r\n0\r\n\r\n" => "", Refused(400, E::Chunked(ChunkedError::Malformed));
    a_size_with_a_prefix: HTTP11 ["Transfer-Encoding": "chunked"] "0x3\r\nabc\r\n0\r\n\r\n" => "", Refused(400, E::Chunked(ChunkedError::Malformed));
    a_size_with_a_sign: HTTP11 ["Transfer-Encoding": "chunked"] "+3\r\nabc\r\n0\r\n\r\n" => "", Refused(400, E::Chunked(ChunkedError::NoSize));
    a_size_that_wraps_around: HTTP11 ["Transfer-Encoding": "chunked"] "10000000000000003\r\nabc\r\n" => "", Refused(400, E::Chunked(ChunkedError::SizeTooLarge));
    a_size_line_that_ends_in_lf: HTTP11 ["Transfer-Encoding": "chunked"] "3\nabc\n0\n\n" => "", Refused(400, E::Chunked(ChunkedError::Malformed));
    a_chunk_that_ends_in_lf: HTTP11 ["Transfer-Encoding": "chunked"] "3\r\nabc\n0\r\n\r\n" => "abc", Refused(400, E::Chunked(ChunkedError::Malformed));
    a_chunk_without_an_end: HTTP11 ["Transfer-Encoding": "chunked"] "3\r\nabcd\r\n0\r\n\r\n" => "abc", Refused(400, E::Chunked(ChunkedError::Malformed));
    a_body_without_its_last_chunk: HTTP11 ["Transfer-Encoding": "chunked"] "3\r\nabc\r\n" => "abc", Open;
    a_body_without_its_last_line: HTTP11 ["Transfer-Encoding": "chunked"] "3\r\nabc\r\n0\r\n" => "abc", Open;
    trailer_fields: HTTP11 ["Transfer-Encoding": "chunked"] "1\r\na\r\n0\r\nX: y\r\nContent-Length: 9\r\n\r\nGET" => "a", Whole("GET");
    a_trailer_that_is_a_request: HTTP11 ["Transfer-Encoding": "chunked"] "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" => "", Refused(400, E::Chunked(ChunkedError::Malformed));
    chunks_at_the_limit: HTTP11 ["Transfer-Encoding": "chunked"] ten_chunks() + "0\r\n\r\nGET" => "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", Whole("GET");
    chunks_beyond_the_limit: HTTP11 ["Transfer-Encoding": "chunked"] ten_chunks() + "1\r\na" => "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", Refused(413, E::TooLarge { limit: MAX_LEN });
    a_chunk_beyond_the_limit: HTTP11 ["Transfer-Encoding": "chunked"] "65\r\nabc" => "", Refused(413, E::TooLarge { limit: MAX_LEN });
    the_greatest_chunk: HTTP11 ["Transfer-Encoding": "chunked"] "1\r\na\r\nfffffffffffffff\r\nabc" => "a", Refused(413, E::TooLarge { limit: MAX_LEN });
}

fn ten_chunks() -> String {
    "A\r\n0123456789\r\n".repeat(10)
}

#[test]
fn size_lines_and_the_trailer_section_have_a_limit() {
    let refused = |body: String, error| {
        for len in [1, 7, 4096, usize::MAX] {
            let chunked = new(true, &[("Transfer-Encoding", "chunked")]).expect("chunked");
            let (_, end) = read(chunked, body.as_bytes().chunks(len), usize::MAX);
            assert_eq!(end, Err(E::Chunked(error)));
        }
    };
    let long = "x".repeat(4096);
    refused(format!("1;{long}\r\n"), ChunkedError::LineTooLong);
    refused(format!("0\r\nX: {long}\r\n"), ChunkedError::LineTooLong);
    let trailers = "X: y\r\n".repeat(700);
    refused(format!("0\r\n{trailers}"), ChunkedError::LineTooLong);
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(4000));
    refused(chunk.repeat(5), ChunkedError::ExtensionsTooLong);
}
