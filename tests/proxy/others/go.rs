//! The tests of Go's `net/http/cgi` that send more than a head. `tests/cgi/others.rs` has its parameters.

use super::{BAD, Row, Served, check, row};

#[test]
fn requests_are_passed_on_as_by_go() {
    check(ROWS);
}

const ROWS: &[Row] = &[
    row("a form", b"POST /a HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nname=me", &[Served(&[("CONTENT_LENGTH", "7"), ("body", "name=me")])]),
    row("a form in chunks", b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nname=\r\n2\r\nme\r\n0\r\n\r\n", BAD)
        .but(&[Served(&[("CONTENT_LENGTH", "7"), ("body", "name=me")])], "the body is collected, so its length is known when the application is asked"),
];
