//! The tests of h11, a Python parser. It reports an error, with a hint of a status for two of them only; the other
//! statuses are the proxy's.

use super::{BAD, Incomplete, OK, Refused, Row, Served, check, row};

#[test]
fn requests_are_read_as_h11_reads_them() {
    check(HEADS.iter().chain(BODIES).chain(CONNECTIONS));
}

const HEADS: &[Row] = &[
    row(
        "HTTP/1.0 with a field",
        b"HEAD /u HTTP/1.0\r\nSome: value\r\n\r\n",
        &[Served(&[
            ("HTTP_SOME", "value"),
            ("SERVER_PROTOCOL", "HTTP/1.0"),
        ])],
    ),
    row("HTTP/1.0 without fields", b"HEAD /u HTTP/1.0\r\n\r\n", OK),
    row(
        "blanks inside and after a value",
        b"GET /u HTTP/1.0\r\nSome: a a a \r\n\r\n",
        &[Served(&[("HTTP_SOME", "a a a")])],
    ),
    row(
        "an empty value",
        b"GET /u HTTP/1.0\r\nSome:\r\n\r\n",
        &[Served(&[("HTTP_SOME", "")])],
    ),
    row(
        "blanks and tabs for a value",
        b"GET /u HTTP/1.0\r\nSome: \t \t \r\n\r\n",
        &[Served(&[("HTTP_SOME", "")])],
    ),
    row(
        "folded lines",
        b"HEAD /u HTTP/1.1\r\nHost: a\r\nSome: one\r\n two\r\n\tthree\r\n\r\n",
        &[Served(&[("HTTP_SOME", "one two three")])],
    )
    .but(
        BAD,
        "folding is obsolete, and a server may refuse it (RFC 9112, 5.2)",
    ),
    row(
        "lines that end with LF",
        b"GET /u HTTP/1.1\nHost: a\nSome: b\n\n",
        OK,
    )
    .but(BAD, LF),
    row(
        "an LF among CRLFs",
        b"GET /u HTTP/1.1\r\nHost: a\nSome: b\r\n\r\n",
        OK,
    )
    .but(BAD, LF),
    row(
        "a first field that is folded",
        b"HEAD /u HTTP/1.1\r\n  folded: line\r\n\r\n",
        BAD,
    ),
    row(
        "blanks after a name",
        b"HEAD /u HTTP/1.1\r\nHost: a\r\nsome  : line\r\n\r\n",
        BAD,
    ),
    row(
        "a tab after a name",
        b"HEAD /u HTTP/1.1\r\nHost: a\r\nsome\t: line\r\n\r\n",
        BAD,
    ),
    row(
        "no name",
        b"HEAD /u HTTP/1.1\r\nHost: a\r\n: line\r\n\r\n",
        BAD,
    ),
    row(
        "words after the version",
        b"HEAD /u HTTP/1.1 word\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row(
        "a NUL in a value",
        b"HEAD /u HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        BAD,
    ),
    row(
        "a NUL in the target",
        b"HEAD /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row(
        "a blank in the target",
        b"HEAD /  HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row(
        "DEL in the target",
        b"HEAD /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row(
        "a byte beyond ASCII in the target",
        b"HEAD /\xee HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD,
    )
    .but(OK, BYTES),
    row(
        "a control character in a value",
        b"GET /u HTTP/1.1\r\nHost: a\r\nCookie: a=b\x01c\r\n\r\n",
        OK,
    )
    .but(
        BAD,
        "a value has none (RFC 9110, 5.5), and applications write values into logs and terminals",
    ),
    row(
        "a byte beyond ASCII in a name",
        b"GET /u HTTP/1.1\r\nHost: a\r\nsome\xffname: b\r\n\r\n",
        BAD,
    ),
    row(
        "a control character in a name",
        b"GET /u HTTP/1.1\r\nHost: a\r\nsome\x01name: b\r\n\r\n",
        BAD,
    ),
    row(
        "a CR in a value",
        b"GET /u HTTP/1.1\r\nHost: a\r\nsome: b\rc\r\n\r\n",
        BAD,
    ),
    row("an empty line and the end", b"\r\n", BAD).but(
        &[Incomplete],
        "empty lines before a request are skipped (RFC 9112, 2.2), and then there is none",
    ),
    row("no HTTP", b"gibberish\r\n\r\n", BAD),
    row("bytes that begin no request", b"\0", BAD),
    row("a blank before the request", b" ", BAD),
    row("a TLS greeting", b"\x16\x03\x01\x00\xa5", BAD),
    row("an end in the target", b"GET /", &[Incomplete]),
];

const BYTES: &str =
    "told as it came, as by nginx: old clients send such bytes, and they separate nothing";

const LF: &str = "a server may take LF alone for a line's end (RFC 9112, 2.2), and two in a row would then differ";

const BODIES: &[Row] = &[
    row("a length", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", &[Served(&[("body", "0123456789")])]),
    row("a length of 0", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &[Served(&[("body", "")])]),
    row("no length, 1.0", b"POST /u HTTP/1.0\r\n\r\n", &[Served(&[("body", "")])]),
    row("a word for a length", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n", BAD),
    row("a letter after a length", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n", BAD),
    row("two lengths that differ", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", BAD),
    row("a length twice", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", OK),
    row("a length twice in a list", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 2 , 2\r\n\r\nab", &[Served(&[("CONTENT_LENGTH", "2"), ("body", "ab")])]),
    row("three lengths, one of which differs", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", BAD),
    row("a list of three, one of which differs", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 1 , 1,2\r\n\r\n", BAD),
    row("a length of 21 digits", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 111111111111111111111\r\n\r\n", BAD),
    row("chunked in both cases", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cHuNkEd\r\n\r\n1\r\nx\r\n0\r\n\r\n", &[Served(&[("body", "x")])]),
    row("another coding", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", &[Refused(501)])
        .but(BAD, NO_END),
    row("chunked and another coding", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n", &[Refused(501)])
        .but(BAD, NO_END),
    row("chunks", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n10\r\n0123456789abcdef\r\n0\r\nSome: trailer\r\n\r\n", &[Served(&[("body", "012340123456789abcdef")])]),
    row(
        "a size of both cases",
        b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00aA\r\n01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n0\r\n\r\n",
        &[Served(&[("CONTENT_LENGTH", "170")])],
    ),
    row("a size of a hundred digits", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999\r\nxxx", BAD),
    row("a NUL in a size", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10\0\r\nxxx", BAD),
    row("extensions", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5; hello=there\r\nxxxxx\r\n0; a=\"b\"; some=more\r\n\r\n", &[Served(&[("body", "xxxxx")])]),
    row("blanks after a size", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5   \t \r\n01234\r\n0\r\n\r\n", &[Served(&[("body", "01234")])]).but(BAD, "blanks are for extensions, before a semicolon (RFC 9112, 7.1.1)"),
    row("no line end after the content", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx__1a\r\n", BAD),
    row("half a line end after the content", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r_1a\r\n", BAD),
    row("the other half", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx_\n1a\r\n", BAD),
    row("an end in a body", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n12345", &[Incomplete]),
    row("an end in a chunk", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n012345", &[Incomplete]),
];

const NO_END: &str =
    "chunked is not the last coding, so the body's end is not known: 400 (RFC 9112, 6.3)";

const CONNECTIONS: &[Row] = &[
    row("three requests, the last of which closes", b"GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345GET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n67890GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n", &[
        Served(&[("REQUEST_URI", "/1"), ("body", "12345")]),
        Served(&[("REQUEST_URI", "/2"), ("body", "67890")]),
        Served(&[("REQUEST_URI", "/3")]),
    ]),
    row("close and others, in two fields", b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: word\r\nConnection: Other,, , CLOSE\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("REQUEST_URI", "/1")])]),
    row("an expectation and its body", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\nabcd", &[Served(&[("body", "abcd")])]),
    row("an expectation in 1.0", b"POST /u HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nabcd", &[Served(&[("body", "abcd")])]),
    row("no Host in 1.1", b"GET / HTTP/1.1\r\n\r\n", BAD),
    row("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD),
];
