//! The tests of llhttp, Node's parser, in its strict mode. It reports an error and no status, so a refusal's status is
//! the proxy's.

use super::{Answered, BAD, Incomplete, OK, Refused, Row, Served, check, row};

#[test]
fn requests_are_read_as_llhttp_reads_them() {
    let tables = [
        CONNECTION, LENGTHS, INVALID, METHODS, CHUNKS, TARGETS, SAMPLES,
    ];
    check(tables.into_iter().flatten());
}

const CONNECTION: &[Row] = &[
    row("keep-alive", b"PUT /u HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\nPUT /v HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("REQUEST_URI", "/u")]), Served(&[("REQUEST_URI", "/v")])]),
    row("HTTP/1.0 is not kept", b"PUT /u HTTP/1.0\r\n\r\nPUT /v HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("REQUEST_URI", "/u")])]),
    row("an empty line after a body", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nq=1\r\nGET /v HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("body", "q=1")]), Served(&[("REQUEST_URI", "/v")])]),
    row("close", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nq=1\r\nGET /v HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("body", "q=1")])]),
    row("close and a tab", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\t\r\n\r\nq=1\r\nGET /v HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("body", "q=1")])]),
    row("close among others", b"PUT /u HTTP/1.1\r\nHost: a\r\nConnection: close, word, upgrade, keep-alive\r\n\r\nGET /v HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("REQUEST_URI", "/u")])]),
    row("a CR in the value", b"PUT /u HTTP/1.1\r\nHost: a\r\nConnection: keep\ralive\r\n\r\n", BAD),
    row("a blank before the colon", b"PUT /u HTTP/1.1\r\nHost: a\r\nConnection : upgrade\r\nContent-Length: 4\r\nUpgrade: ws\r\n\r\nabcdefgh", BAD),
    row("an upgrade", b"GET /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n", OK),
    row("an upgrade with a body", b"POST /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: HTTP/2.0\r\nContent-Length: 4\r\n\r\nabcd", &[Served(&[("body", "abcd"), ("HTTP_UPGRADE", "")])]),
];

const LENGTHS: &[Row] = &[
    row(
        "zeros",
        b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\nabc",
        &[Served(&[("CONTENT_LENGTH", "3"), ("body", "abc")])],
    ),
    row(
        "zeros, and a field after",
        b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\nHi: world\r\n\r\nabc",
        &[Served(&[("HTTP_HI", "world"), ("body", "abc")])],
    ),
    row(
        "more than 64 bits",
        b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000000000000000\r\n\r\n",
        BAD,
    ),
    row(
        "two that differ",
        b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        BAD,
    ),
    row(
        "beside identity",
        b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: identity\r\n\r\na",
        BAD,
    ),
    row(
        "a blank before the colon",
        b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd",
        BAD,
    ),
    row(
        "letters of both cases",
        b"GET /u HTTP/1.0\r\nconTENT-Length: 5\r\n\r\nhello",
        &[Served(&[("body", "hello")])],
    ),
    row(
        "blanks around",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  2 \r\n\r\nab",
        &[Served(&[("body", "ab")])],
    ),
    row(
        "tabs around",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t2\t  \r\n\r\nab",
        &[Served(&[("body", "ab")])],
    ),
    row(
        "a blank inside",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n",
        BAD,
    ),
    row(
        "two numbers",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12 34\r\n\r\n",
        BAD,
    ),
    row(
        "empty",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        BAD,
    ),
    row(
        "a CR for a dash",
        b"PUT /u HTTP/1.1\r\nHost: a\r\nContent\rLength: 3\r\n\r\nabc",
        BAD,
    ),
    row(
        "a CR for the empty line",
        b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\rabc",
        BAD,
    ),
    row(
        "an end before the body",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
        &[Incomplete],
    ),
    row(
        "an end in a name",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Leng",
        &[Incomplete],
    ),
];

const INVALID: &[Row] = &[
    row("ICE with GET", b"GET /music ICE/1.0\r\nHost: a\r\n\r\n", BAD),
    row("a version that ends with HTTP's", b"GET /music IHTTP/1.0\r\nHost: a\r\n\r\n", BAD),
    row("RTSP with PUT", b"PUT /music RTSP/1.0\r\nHost: a\r\n\r\n", BAD),
    row("SOURCE, which is ICE's", b"SOURCE /music HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    row("ANNOUNCE, which is RTSP's", b"ANNOUNCE /music HTTP/1.0\r\nHost: a\r\n\r\n", BAD)
        .but(OK, "any token may be a method (RFC 9110, 9.1), and the application knows its own"),
    row("an unknown method", b"MKCOLX / HTTP/1.1\r\nHost: a\r\n\r\n", BAD)
        .but(OK, "any token may be a method (RFC 9110, 9.1), and the application knows its own"),
    row("fields with a CR between", b"GET / HTTP/1.1\r\nHost: a\r\nXy: 1\rYz: 2\r\n\r\n", BAD),
    row("fields with an LF between", b"POST / HTTP/1.1\r\nHost: a\r\nx:y\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n", BAD),
    row("a field with a CR for its value", b"POST / HTTP/1.1\r\nHost: a\r\nx:\rTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n", BAD),
    row("a field with an LF for its value", b"POST / HTTP/1.1\r\nHost: a\r\nx:\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n", BAD),
    row("a request hidden after a CR", b"GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\rXGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    row("an at sign in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX@: y\r\n\r\n", BAD),
    row("a control character in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\x01y: z\r\n\r\n", BAD),
    row("no name", b"GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n", BAD),
    row("a folded colon", b"GET / HTTP/1.1\r\nHost: a\r\nname\r\n : value\r\n\r\n", BAD),
    row("bytes for the rest of a name", b"GET / HTTP/1.1\r\nHost: a\r\nX-Some\r\x1b\x05\xd5-Name\r\nAccept: b\r\n\r\n", BAD),
    row("a length hidden after an LF", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 23\r\n\r\nGET / HTTP/1.1\r\nX: GET /admin HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    row("a version that does not exist", b"GET / HTTP/5.6\r\n\r\n", &[Refused(505)]),
    row("a blank before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", BAD),
    row("LF alone, everywhere", b"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\nA\n0\n\n", BAD),
    row("a blank before a later field", b"POST /u HTTP/1.1\r\nHost: a\r\nX: y\r\n Content-Length: 38\r\n\r\nGET /v HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    row("a form feed in a value", b"GET /u HTTP/1.1\r\nHost: a\r\nX: y\x0cz\r\n\r\n", BAD),
    row("a form feed for a value", b"GET /u HTTP/1.1\r\nHost: a\r\nX: \x0c\r\n\r\n", BAD),
    row("a line of a CR alone", b"GET / HTTP/1.1\rLine: 1\r\n\r\n", BAD),
    row("no version", b"GET /\r\n\r\n", &[Served(&[])]).but(BAD, "HTTP/0.9 is not spoken: a response without a head cannot be told from one that is cut"),
];

const METHODS: &[Row] = &[
    row("REPORT", b"REPORT /u HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    row(
        "PATCH",
        b"PATCH /u HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"\r\nContent-Length: 3\r\n\r\nabc",
        &[Served(&[("REQUEST_METHOD", "PATCH"), ("body", "abc")])],
    ),
    row("PURGE", b"PURGE /u HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    row("SEARCH", b"SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    row(
        "LINK",
        b"LINK /u HTTP/1.1\r\nHost: a\r\nLink: </a>; rel=\"x\"\r\nLink: </b>; rel=\"x\"\r\n\r\n",
        &[Served(&[("HTTP_LINK", "</a>; rel=\"x\", </b>; rel=\"x\"")])],
    ),
    row("UNLINK", b"UNLINK /u HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    row(
        "M-SEARCH for a star",
        b"M-SEARCH * HTTP/1.1\r\nHost: a\r\n\r\n",
        OK,
    )
    .but(BAD, "a star is a target of OPTIONS alone (RFC 9112, 3.2.4)"),
    row(
        "CONNECT",
        b"CONNECT a.example:443 HTTP/1.0\r\nProxy-authorization: basic eHk=\r\n\r\ndata",
        OK,
    )
    .but(&[Refused(405)], "the proxy is no tunnel"),
    row(
        "OPTIONS of RTSP",
        b"OPTIONS /u RTSP/1.0\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row(
        "a star for OPTIONS",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        OK,
    )
    .but(
        &[Answered(204)],
        "the question is for the server, and the application would take it for one about a path",
    ),
];

const CHUNKS: &[Row] = &[
    row("lower case", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", &[Served(&[("body", "0123456789")])]),
    row("upper case", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", &[Served(&[("body", "0123456789")])]),
    row("two digits", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n12\r\nabcdefghijklmnopqr\r\n0\r\n\r\n", &[Served(&[("body", "abcdefghijklmnopqr")])]),
    row("three zeros at the end", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", &[Served(&[("body", "hello world")])]),
    row("trailers", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n", &[Served(&[("body", "hello")])]),
    row("extensions", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a3;b=c;d=e\r\nhello\r\n6;f;g\r\n world\r\n0\r\n\r\n", &[Served(&[("body", "hello world")])]),
    row("quoted extensions", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"I \\\"x\\\"; \\\\y\\\\\";b=\"c\";d\r\nhello\r\n0\r\n\r\n", &[Served(&[("body", "hello")])]),
    row("a quote that does not end", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\";c=\"d; e\r\nhello\r\n0\r\n\r\n", BAD).but(&[Served(&[("body", "hello")])], UNREAD),
    row("no semicolon", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2 word\r\naa\r\n0 word\r\n\r\n", BAD),
    row("an extension of no name", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\r\naa\r\n0\r\n\r\n", BAD).but(&[Served(&[("body", "aa")])], UNREAD),
    row("a blank after the size", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na \r\n0123456789\r\n0\r\n\r\n", BAD),
    row("a blank and an LF after the size", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \n  \r\nfoo\r\n0\r\n\r\n", BAD),
    row("two CRs after the size", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n", BAD),
    row("no end of the content", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nABCDE0\r\n\r\n", BAD),
    row("not chunked", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: pigeons\r\n\r\n", BAD),
    row("identity beside a length", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nWorld", BAD),
    row("codings of no bytes beside a length", b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nTransfer-Encoding:\r\nTransfer-Encoding:\r\n\r\n2\r\nAA\r\n0\r\n\r\n", BAD),
    row("chunked before another one", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, deflate\r\n\r\nWorld", BAD),
    row("chunked before another one, in two fields", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: deflate\r\n\r\nWorld", BAD),
    row("chunked after another one", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: deflate, chunked\r\n\r\n5\r\nWorld\r\n0\r\n\r\n", &[Served(&[("body", "World")])])
        .but(&[Refused(501)], UNDECODED),
    row("chunked after another one, in two fields", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nWorld\r\n0\r\n\r\n", &[Served(&[("body", "World")])])
        .but(&[Refused(501)], UNDECODED),
    row("chunkedchunked", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedchunked\r\n\r\n5\r\nWorld\r\n0\r\n\r\n", BAD),
    row("no last chunk", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n", &[Incomplete]),
    row("a folded coding", b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n  abc\r\n\r\n5\r\nWorld\r\n0\r\n\r\n", BAD),
];

const UNREAD: &str = "extensions are dropped unread: a line ends with CRLF in quotes too, so that there is one place for its end";

const UNDECODED: &str = "the application would get what nobody has decoded (RFC 9112, 6.1)";

const TARGETS: &[Row] = &[
    row("quotes", b"GET /a_\"b\"?c=\"d\" HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("REQUEST_URI", "/a_\"b\"?c=\"d\"")])]),
    row("two question marks", b"GET /a?b=c?d HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("REQUEST_URI", "/a?b=c?d")])]),
    row("a host and a query", b"GET http://x.example?b=c HTTP/1.1\r\nHost: x.example\r\n\r\n", &[Served(&[("REQUEST_URI", "/?b=c")])]),
    row("a host, a port and a query", b"GET http://x.example:81?b=c HTTP/1.1\r\nHost: x.example:81\r\n\r\n", &[Served(&[("REQUEST_URI", "/?b=c")])]),
    row("a host and a port", b"GET http://x.example:81 HTTP/1.1\r\nHost: x.example:81\r\n\r\n", &[Served(&[("REQUEST_URI", "/")])]),
    row("a vertical bar", b"GET /a?b=| HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("REQUEST_URI", "/a?b=|")])]),
    row("an encoded blank", b"GET /a?b=c%20d HTTP/1.1\r\nHost: a\r\n\r\n", &[Served(&[("REQUEST_URI", "/a?b=c%20d")])]),
    row("many question marks", b"GET http://x.example/a/??b.css,c.css?d=e.css HTTP/1.1\r\nHost: x.example\r\n\r\n", &[Served(&[("REQUEST_URI", "/a/??b.css,c.css?d=e.css")])]),
    row("IPv6", b"GET http://[1:2::3:4]/ HTTP/1.1\r\nHost: [1:2::3:4]\r\n\r\n", &[Served(&[("REQUEST_URI", "/")])]),
    row("IPv6 and a port", b"GET http://[1:2::3:4]:67/ HTTP/1.1\r\nHost: [1:2::3:4]:67\r\n\r\n", &[Served(&[("REQUEST_URI", "/")])]),
    row("IPv4 in IPv6", b"GET http://[2001:db8:0:0:0:0:1.9.1.1]/ HTTP/1.1\r\nHost: [2001:db8:0:0:0:0:1.9.1.1]\r\n\r\n", &[Served(&[("REQUEST_URI", "/")])]),
    row("a zone of IPv6", b"GET http://[fe80::a%25eth0]/ HTTP/1.1\r\nHost: [fe80::a%25eth0]\r\n\r\n", OK)
        .but(BAD, "a zone means something on the client's machine only (RFC 6874, 4)"),
    row("a zone of IPv6 that is not encoded", b"GET http://[fe80::a%eth0]/ HTTP/1.1\r\nHost: [fe80::a%eth0]\r\n\r\n", OK)
        .but(BAD, "a zone means something on the client's machine only (RFC 6874, 4)"),
    row("UTF-8", b"GET /\xce\xb4/t?q=1 HTTP/1.1\r\nHost: a\r\n\r\n", BAD).but(OK, "told as it came, as by nginx: old clients send such bytes, and they separate nothing"),
    row("a fragment", b"GET /a?b=1#c HTTP/1.1\r\nHost: a\r\n\r\n", OK)
        .but(BAD, "a fragment is not sent (RFC 9112, 3.2): two programs could cut the target at different places"),
    row("a user", b"GET http://a:b@x.example:8/u HTTP/1.1\r\nHost: x.example:8\r\n\r\n", OK)
        .but(BAD, "a user in an authority is refused (RFC 9110, 4.2.4)"),
    row("a user with any characters", b"GET http://a!;-_=+$@x.example/ HTTP/1.1\r\nHost: x.example\r\n\r\n", OK)
        .but(BAD, "a user in an authority is refused (RFC 9110, 4.2.4)"),
    row("two at signs", b"GET http://a:b@@x.example:443/ HTTP/1.1\r\nHost: x.example:443\r\n\r\n", BAD),
    row("a scheme without an authority", b"GET scheme:/a?b HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    row("a blank", b"GET /a b/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    row("a tab", b"GET /a\tb/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    row("a form feed", b"GET /a\x0cb/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
];

const SAMPLES: &[Row] = &[
    row("blanks and tabs before a value", b"OPTIONS /u HTTP/1.1\r\nHost: a\r\nXy: 1\r\nYz:\t 2\r\n\r\n", &[Served(&[("HTTP_XY", "1"), ("HTTP_YZ", "2")])]),
    row("a host with an equals sign", b"GET /u HTTP/1.1\r\nHost: 0.0.0.0=5000\r\n\r\n", OK),
    row("one field, 1.0", b"GET /u HTTP/1.0\r\nAccept: */*\r\n\r\n", &[Served(&[("HTTP_ACCEPT", "*/*")])]),
    row("plus signs for a value", b"GET /u HTTP/1.1\r\nHost: a\r\naaaa:++++\r\n\r\n", &[Served(&[("HTTP_AAAA", "++++")])]),
    row("an empty line before", b"\r\nGET /u HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    row("no Host, no fields", b"GET /u HTTP/1.1\r\n\r\n", OK).but(BAD, "HTTP/1.1 requires a Host (RFC 9112, 3.2)"),
    row("bytes beyond ASCII in a value", b"GET / HTTP/1.1\r\nHost: a\r\nTest: D\xfcsseldorf\r\n\r\n", &[Served(&[("HTTP_TEST", "D\u{fc}sseldorf")])]),
    row("a byte of 255 in a value", b"OPTIONS /u HTTP/1.1\r\nHost: a\r\nXy: \xffvalue\r\n\r\n", &[Served(&[("HTTP_XY", "\u{ff}value")])]),
    row("three requests at once", b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nAAPUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nBBBPATCH /c HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nCCCC", &[
        Served(&[("REQUEST_METHOD", "POST"), ("body", "AA")]),
        Served(&[("REQUEST_METHOD", "PUT"), ("body", "BBB")]),
        Served(&[("REQUEST_METHOD", "PATCH"), ("body", "CCCC")]),
    ]),
];
