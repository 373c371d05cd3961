//! lighttpd's tests of its request parser and of requests to applications.

use super::{Answered, BAD, OK, Refused, Row, Served, check, row};

#[test]
fn requests_are_read_as_lighttpd_reads_them() {
    check([LINES, HOSTS, FIELDS, BODIES].into_iter().flatten());
}

const LINES: &[Row] = &[
    row("a blank for a line", b" \r\nHost: a\r\n\r\n", BAD),
    row(
        "a line that begins with a blank",
        b" x\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row("a dot for a line", b".\r\nHost: a\r\n\r\n", BAD),
    row("a letter for a line", b"x\r\nHost: a\r\n\r\n", BAD),
    row("a letter and a blank", b"x \r\nHost: a\r\n\r\n", BAD),
    row("a method alone", b"PUT\r\nHost: a\r\n\r\n", BAD),
    row("a method and a blank", b"PUT \r\nHost: a\r\n\r\n", BAD),
    row("a method and two blanks", b"PUT  \r\nHost: a\r\n\r\n", BAD),
    row("no target", b"GET HTTP/1.0\r\nHost: a\r\n\r\n", BAD),
    row(
        "a target of no bytes",
        b"GET  HTTP/1.0\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row(
        "a target that is a blank",
        b"GET   HTTP/1.0\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row("no blank at all", b"GET/HTTP/1.0\r\nHost: a\r\n\r\n", BAD),
    row("one blank of two", b"GET /HTTP/1.0\r\nHost: a\r\n\r\n", BAD),
    row(
        "both blanks at one place",
        b"GET  /HTTP/1.0\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row(
        "a slash in the method",
        b"GET/ HTTP/1.0\r\nHost: a\r\n\r\n",
        &[Refused(501)],
    )
    .but(
        BAD,
        "a slash makes no method, known or not (RFC 9110, 5.6.2)",
    ),
    row(
        "a slash in the method and two blanks",
        b"GET/  HTTP/1.0\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row("no version", b"GET /x\r\n\r\n", BAD),
    row("an unknown method, no version", b"XY /\r\n\r\n", BAD),
    row("an unknown method alone", b"XYZ\r\n\r\n", BAD),
    row(
        "an unknown method",
        b"XYZ / HTTP/1.0\r\n\r\n",
        &[Refused(501)],
    )
    .but(OK, "the application knows its methods"),
    row(
        "a version with zeros",
        b"GET / HTTP/01.01\r\nHost: a\r\n\r\n",
        BAD,
    ),
    row("no major version", b"GET / HTTP/.1\r\n\r\n", BAD),
    row("no minor version", b"GET / HTTP/1.\r\n\r\n", BAD),
    row("a version of letters", b"GET / HTTP/x.y\r\n\r\n", BAD),
    row(
        "a later minor version",
        b"GET / HTTP/1.3\r\nHost: a\r\n\r\n",
        BAD,
    )
    .but(
        OK,
        "a minor version that is higher is served as 1.1 (RFC 9110, 2.5)",
    ),
    row(
        "an absolute target",
        b"GET http://site.example/x HTTP/1.0\r\n\r\n",
        &[Served(&[
            ("REQUEST_URI", "/x"),
            ("HTTP_HOST", "site.example"),
        ])],
    ),
    row(
        "an absolute target, no Host",
        b"GET http://site.example/ HTTP/1.1\r\nConnection: close\r\n\r\n",
        &[Served(&[("HTTP_HOST", "site.example")])],
    )
    .but(
        BAD,
        "HTTP/1.1 requires a Host whatever the target is (RFC 9112, 3.2)",
    ),
    row(
        "an absolute target and the same Host",
        b"GET http://site.example/ HTTP/1.1\r\nHost: site.example\r\n\r\n",
        &[Served(&[("HTTP_HOST", "site.example")])],
    ),
    row(
        "an absolute target and another Host",
        b"GET http://site.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n",
        BAD,
    )
    .but(
        &[Served(&[
            ("HTTP_HOST", "site.example"),
            ("SERVER_NAME", "site.example"),
        ])],
        "the target counts, and the Host is replaced (RFC 9112, 3.2.2)",
    ),
    row(
        "an absolute target of https",
        b"HEAD https://site.example/y HTTP/1.0\r\n\r\n",
        &[Served(&[
            ("REQUEST_URI", "/y"),
            ("HTTP_HOST", "site.example"),
        ])],
    ),
    row(
        "an encoded byte in the path",
        b"GET /a%2eb HTTP/1.0\r\n\r\n",
        &[Served(&[("PATH_INFO", "/a.b")])],
    ),
    row(
        "an encoded NUL in the path",
        b"GET /a.html%00 HTTP/1.0\r\n\r\n",
        BAD,
    ),
    row("OPTIONS for the server", b"OPTIONS * HTTP/1.0\r\n\r\n", OK)
        .but(&[Answered(204)], "as lighttpd, without the body"),
    row(
        "OPTIONS for a path",
        b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
        OK,
    ),
];

const HOSTS: &[Row] = &[
    row(
        "a name",
        b"GET / HTTP/1.0\r\nHost: www.site.example\r\n\r\n",
        &[Served(&[("SERVER_NAME", "www.site.example")])],
    ),
    row(
        "IPv4",
        b"GET / HTTP/1.0\r\nHost: 192.0.2.1\r\n\r\n",
        &[Served(&[("SERVER_NAME", "192.0.2.1")])],
    ),
    row(
        "IPv6",
        b"GET / HTTP/1.0\r\nHost: [::1]\r\n\r\n",
        &[Served(&[("SERVER_NAME", "[::1]")])],
    ),
    row(
        "a name and a port",
        b"GET / HTTP/1.0\r\nHost: site.example:80\r\n\r\n",
        &[Served(&[("SERVER_NAME", "site.example")])],
    ),
    row(
        "IPv4 and a port",
        b"GET / HTTP/1.0\r\nHost: 192.0.2.1:80\r\n\r\n",
        &[Served(&[("SERVER_NAME", "192.0.2.1")])],
    ),
    row(
        "IPv6 and a port",
        b"GET / HTTP/1.0\r\nHost: [::1]:80\r\n\r\n",
        &[Served(&[("SERVER_NAME", "[::1]")])],
    ),
    row(
        "a path that leads out",
        b"GET / HTTP/1.0\r\nHost: ../a.example\r\n\r\n",
        BAD,
    ),
    row(
        "dots at both ends",
        b"GET / HTTP/1.0\r\nHost: .a.b.\r\n\r\n",
        BAD,
    ),
    row(
        "a dot at the end",
        b"GET / HTTP/1.0\r\nHost: a.b.\r\n\r\n",
        &[Served(&[("SERVER_NAME", "a.b")])],
    )
    .but(
        &[Served(&[("SERVER_NAME", "a.b.")])],
        "told as it came: the dot is a part of the name (RFC 3986, 3.2.2)",
    ),
    row(
        "a dot at the beginning",
        b"GET / HTTP/1.0\r\nHost: .a.b\r\n\r\n",
        BAD,
    ),
    row("two dots", b"GET / HTTP/1.0\r\nHost: a..b\r\n\r\n", BAD),
    row(
        "a port of letters",
        b"GET / HTTP/1.0\r\nHost: a.b:xy\r\n\r\n",
        BAD,
    ),
    row(
        "a negative port",
        b"GET / HTTP/1.0\r\nHost: a.b:-7\r\n\r\n",
        BAD,
    ),
    row("a port alone", b"GET / HTTP/1.0\r\nHost: :80\r\n\r\n", BAD),
    row(
        "neither name nor port",
        b"GET / HTTP/1.0\r\nHost: .a.b.:c.\r\n\r\n",
        BAD,
    ),
    row(
        "digits and dashes",
        b"GET / HTTP/1.0\r\nHost: x.y-z.w9\r\n\r\n",
        &[Served(&[("SERVER_NAME", "x.y-z.w9")])],
    ),
    row(
        "a dash at the beginning",
        b"GET / HTTP/1.0\r\nHost: -x.y\r\n\r\n",
        BAD,
    )
    .but(OK, REG_NAME),
    row("a dot alone", b"GET / HTTP/1.0\r\nHost: .\r\n\r\n", BAD),
    row(
        "a letter before IPv4",
        b"GET / HTTP/1.0\r\nHost: x192.0.2.1:99\r\n\r\n",
        BAD,
    )
    .but(OK, REG_NAME),
    row(
        "three numbers",
        b"GET / HTTP/1.0\r\nHost: 192.0.2:99\r\n\r\n",
        BAD,
    )
    .but(OK, REG_NAME),
    row(
        "a quote after IPv6",
        b"GET / HTTP/1.0\r\nHost: [::1]' OR '/\r\n\r\n",
        BAD,
    ),
    row(
        "a path after IPv6",
        b"GET / HTTP/1.0\r\nHost: [::1]/../\r\n\r\n",
        BAD,
    ),
    row("no Host", b"GET / HTTP/1.1\r\n\r\n", BAD),
    row(
        "two Hosts",
        b"GET / HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        BAD,
    ),
];

const FIELDS: &[Row] = &[
    row("a blank after the name", b"GET / HTTP/1.0\r\nXy : z\r\n\r\n", BAD),
    row("a blank in the name", b"GET / HTTP/1.0\r\nXy z: w\r\n\r\n", BAD),
    row("no blank before the value", b"GET / HTTP/1.0\r\nXy:z\r\n\r\n", &[Served(&[("HTTP_XY", "z")])]),
    row("a NUL in a value", b"GET / HTTP/1.0\r\nIf-Modified-Since: \0\r\n\r\n", BAD),
    row("a folded line", b"GET / HTTP/1.0\r\nXy:z\r\n  w\r\n\r\n", &[Served(&[("HTTP_XY", "z    w")])])
        .but(BAD, FOLDED),
    row("a folded line after one of the same name", b"GET / HTTP/1.0\r\nXy: a\r\nXy: b\r\n  c\r\n\r\n", &[Served(&[("HTTP_XY", "a, b    c")])])
        .but(BAD, FOLDED),
    row("two kinds of content", b"GET / HTTP/1.0\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n", BAD),
    row("two ranges", b"GET / HTTP/1.0\r\nRange: bytes=1-2\r\nRange: bytes=1-9\r\n\r\n", OK),
    row("a range of no unit", b"GET / HTTP/1.0\r\nRange: 0\r\n\r\n", OK),
    row("two tags", b"GET / HTTP/1.0\r\nIf-None-Match: \"1\"\r\nIf-None-Match: \"2\"\r\n\r\n", OK),
    row("two dates that differ", b"GET / HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT\r\n\r\n", BAD).but(&[Served(&[("HTTP_IF_MODIFIED_SINCE", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:38 GMT")])], TWO_DATES),
    row("the same date twice", b"GET / HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n", &[Served(&[("HTTP_IF_MODIFIED_SINCE", "Sun, 06 Nov 1994 08:49:37 GMT")])]).but(&[Served(&[("HTTP_IF_MODIFIED_SINCE", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT")])], TWO_DATES),
    row("a name that poses as another one", b"GET / HTTP/1.0\r\nUser-Agent: a\r\nUser_Agent: b\r\n\r\n", &[Served(&[("HTTP_USER_AGENT", "a")])]),
    row("a name that poses as one of HTTP's", b"GET / HTTP/1.0\r\nContent_Type: b\r\n\r\n", &[Served(&[("CONTENT_TYPE", ""), ("HTTP_CONTENT_TYPE", "")])]),
    row("a plus that poses as a dash", b"GET / HTTP/1.0\r\nSome-Thing: a\r\nSome+Thing: b\r\n\r\n", &[Served(&[("HTTP_SOME_THING", "a")])]),
    row("a dot that poses as a dash", b"GET / HTTP/1.0\r\nSome-Thing: a\r\nSome.Thing: b\r\n\r\n", &[Served(&[("HTTP_SOME_THING", "a")])]),
];

const BODIES: &[Row] = &[
    row("a negative length", b"POST /x HTTP/1.0\r\nContent-Length: -2\r\n\r\n", BAD),
    row("an empty length", b"POST /x HTTP/1.0\r\nHost: a\r\nContent-Length:\r\n\r\n", BAD),
    row("no length", b"POST / HTTP/1.0\r\n\r\n", &[Refused(411)])
        .but(OK, "a request without framing fields has no body (RFC 9112, 6.3)"),
    row("two lengths", b"GET / HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\n", BAD),
    row("a length of 0", b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", &[Served(&[("CONTENT_LENGTH", "0"), ("body", "")])]),
    row("a body of a GET", b"GET / HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd", BAD)
        .but(&[Served(&[("body", "abcd")])], "a body has no meaning for GET, which is the application's affair (RFC 9110, 9.3.1)"),
    row("a body of a HEAD", b"HEAD / HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd", BAD)
        .but(&[Served(&[("body", "abcd")])], "as of a GET"),
    row("a body of OPTIONS", b"OPTIONS / HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd", &[Served(&[("body", "abcd")])]),
    row("a body that is too long", b"POST / HTTP/1.0\r\nContent-Length: 2147483648\r\n\r\n", &[Refused(413)]),
    row("a body that came with its expectation", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nabcd", &[Served(&[("body", "abcd")])]),
    chunked("a size in lower case", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"),
    chunked("a size in upper case", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    row("a size of two digits", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n", &[Served(&[("body", "0123456789abcdef")])]),
    chunked("a trailer", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nSome-Trailer: yes\r\n\r\n"),
    row("a trailer that was announced", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: some-trailer\r\n\r\na\r\n0123456789\r\n0\r\nSome-Trailer: yes\r\n\r\n", &[Served(&[("HTTP_SOME_TRAILER", "yes")])])
        .but(&[Served(&[("HTTP_SOME_TRAILER", ""), ("body", "0123456789")])], "trailers are dropped: merged, they could pose as fields of the head (RFC 9110, 6.5.1)"),
    row("a trailer that frames", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\na\r\n0123456789\r\n0\r\nContent-Length: 0\r\n\r\n", &[Served(&[("CONTENT_LENGTH", "10")])]),
    chunked("a comment after a size", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na; word\r\n0123456789\r\n0\r\n\r\n"),
    chunked("a comment after the last size", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0; word\r\n\r\n"),
    row("a size with a letter", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\naz\r\n0123456789\r\n0\r\n\r\n", BAD),
    row("more content than the size", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789xxxx\r\n0\r\n\r\n", BAD),
    row("a CR in a comment", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na;\rx\r\n0123456789\r\n0\r\n\r\n", BAD),
    row("an LF in a comment", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na;\nx\r\n0123456789\r\n0\r\n\r\n", BAD),
];

const REG_NAME: &str =
    "a name is not looked up here, and RFC 3986, 3.2.2, permits it: the application knows its own";

const TWO_DATES: &str =
    "told in one value, which is no date and so no condition (RFC 9110, 13.1.3)";

const FOLDED: &str = "folding is obsolete, and a server may refuse it (RFC 9112, 5.2)";

/// Served with a body of ten digits.
const fn chunked(what: &'static str, sent: &'static [u8]) -> Row {
    row(
        what,
        sent,
        &[Served(&[("CONTENT_LENGTH", "10"), ("body", "0123456789")])],
    )
}
