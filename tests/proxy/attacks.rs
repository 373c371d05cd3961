//! Requests that two programs could read differently, and requests that are too large. They are refused, and the
//! connection is closed so that no byte after them is taken for a request.

use super::harness::{Proxy, get};

/// Sent after each refused request. If it were served, it would be a smuggled request.
const SMUGGLED: &str = "GET /tag?tag=smuggled HTTP/1.1\r\nHost: test\r\n\r\n";

fn assert_refused(request: &[u8], status: u16) {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    client.send([request, SMUGGLED.as_bytes()].concat());
    let answer = client.answer();
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.field("connection"), Some("close"));
    client.assert_closed();
    // Other clients are served as before.
    assert_eq!(proxy.get("/tag?tag=fine").text(), "fine");
}

/// One test for each case, and a table of all cases.
macro_rules! refused {
    ($($group:literal: { $($name:ident: $status:literal, $request:expr;)* })*) => {
        $($(
            #[test]
            fn $name() {
                assert_refused($request.as_ref(), $status);
            }
        )*)*

        /// The refused requests, in groups.
        pub(super) fn refused() -> Vec<(&'static str, Vec<Case>)> {
            vec![$(
                ($group, vec![$(Case::new(stringify!($name), $status, $request.as_ref())),*])
            ),*]
        }
    };
}

/// A request that is refused.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) status: u16,
    pub(super) sent: Vec<u8>,
}

impl Case {
    fn new(name: &'static str, status: u16, sent: &[u8]) -> Self {
        let sent = sent.to_vec();
        Self { name, status, sent }
    }
}

refused! {
    "Where does the body end? (RFC 9112, 6.3)": {
        a_length_and_chunks: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        chunks_and_a_length: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n";
        two_lengths_that_differ: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n";
        a_list_of_lengths_that_differ: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nabcd";
        a_length_with_a_sign: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd";
        a_negative_length: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n";
        a_hexadecimal_length: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd";
        an_empty_length: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n";
        a_length_beyond_64_bits: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n";
        another_coding: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n";
        a_coding_before_chunked: 501, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
        chunked_twice: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        chunked_and_identity: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n";
        chunked_in_disguise: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n";
        chunks_in_http_1_0: 400, "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        a_length_with_a_vertical_tab: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \x0b4\r\n\r\nabcd";
        a_length_with_a_blank_in_it: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4 4\r\n\r\nabcd";
        a_length_with_a_fraction: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4.0\r\n\r\nabcd";
        chunked_after_a_vertical_tab: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n";
        chunked_in_quotes: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n";
        chunked_with_a_parameter: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n";
        chunked_after_a_comma: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\n";
        chunked_before_another_coding: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n";
        chunked_twice_around_another_coding: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip, chunked\r\n\r\n0\r\n\r\n";
        chunked_twice_in_a_list: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n";
        no_coding_at_all: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n";
    }
    "Where does a line end? (2.2)": {
        a_bare_lf: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n";
        a_bare_cr_in_a_value: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 4\r\n\r\n";
        a_bare_cr_in_the_target: 400, "GET /tag\r?tag=a HTTP/1.1\r\nHost: a\r\n\r\n";
        a_folded_line: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX: b\r\n Content-Length: 4\r\n\r\n";
        a_first_line_that_is_folded: 400, "GET /tag?tag=a HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n";
        a_bare_lf_at_the_end_of_the_head: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX: b\n\r\n\r\n";
        a_bare_cr_before_the_end_of_the_head: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n";
        a_bare_cr_before_the_request: 400, "\rGET /tag?tag=a HTTP/1.1\r\nHost: a\r\n\r\n";
        a_bare_lf_before_the_request: 400, "\nGET /tag?tag=a HTTP/1.1\r\nHost: a\r\n\r\n";
        a_bare_cr_after_an_empty_line: 400, "\r\n\rGET /tag?tag=a HTTP/1.1\r\nHost: a\r\n\r\n";
        a_tab_that_folds_a_line: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n";
    }
    "What is a name? (5.1)": {
        a_blank_before_the_colon: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd";
        a_tab_before_the_colon: 400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n";
        a_blank_in_a_name: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n";
        an_empty_name: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n";
        a_line_without_a_colon: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nXY\r\n\r\n";
        a_nul_in_a_name: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX\0Y: b\r\n\r\n";
        a_nul_in_a_value: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n";
        a_nul_in_the_target: 400, "GET /tag\0 HTTP/1.1\r\nHost: a\r\n\r\n";
        a_name_beyond_ascii: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX\u{e9}: b\r\n\r\n";
        a_name_in_brackets: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\n(X): b\r\n\r\n";
        a_backspace_in_a_value: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX: b\x08c\r\n\r\n";
        a_nul_in_the_target_in_disguise: 400, "GET /tag%00 HTTP/1.1\r\nHost: a\r\n\r\n";
        a_line_end_in_the_target_in_disguise: 400, "GET /tag%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    "Whose request is it? (3.2)": {
        no_host: 400, "GET /tag?tag=a HTTP/1.1\r\n\r\n";
        two_hosts: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        a_host_with_a_path: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a/b\r\n\r\n";
        an_authority_with_a_user: 400, "GET http://u@a/tag HTTP/1.1\r\nHost: a\r\n\r\n";
        a_target_without_a_slash: 400, "GET tag HTTP/1.1\r\nHost: a\r\n\r\n";
        another_scheme: 400, "GET ftp://a/tag HTTP/1.1\r\nHost: a\r\n\r\n";
        a_tunnel: 405, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n";
        a_trace: 405, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n";
        another_version: 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n";
        no_version: 400, "GET /\r\nHost: a\r\n\r\n";
        a_tls_greeting: 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        another_expectation: 417, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: tea\r\n\r\nabcd";
        a_host_with_a_user: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: u@a\r\n\r\n";
        a_host_with_a_list: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a, b\r\n\r\n";
        a_host_with_a_port_that_is_none: 400, "GET /tag?tag=a HTTP/1.1\r\nHost: a:b\r\n\r\n";
        a_host_with_a_path_for_nobody: 400, "OPTIONS * HTTP/1.1\r\nHost: a/b\r\n\r\n";
        a_host_with_a_path_behind_an_authority: 400, "GET http://a/tag?tag=a HTTP/1.1\r\nHost: a/b\r\n\r\n";
        an_authority_with_a_fragment: 400, "OPTIONS http://a#b/ HTTP/1.1\r\nHost: a\r\n\r\n";
        a_fragment_in_the_target: 400, "GET /tag?tag=a#b HTTP/1.1\r\nHost: a\r\n\r\n";
        an_authority_that_is_empty: 400, "GET http:///tag HTTP/1.1\r\nHost: a\r\n\r\n";
        a_star_that_is_no_question_about_options: 400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n";
        a_blank_in_the_target: 400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n";
        a_blank_before_the_method: 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        a_method_that_is_no_token: 400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n";
        a_version_in_lower_case: 400, "GET / http/1.1\r\nHost: a\r\n\r\n";
        a_version_with_a_tail: 400, "GET / HTTP/1.1x\r\nHost: a\r\n\r\n";
        a_version_with_two_digits: 400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n";
        the_preface_of_http_2: 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    }
    "How long is a chunk? (7.1)": {
        a_chunk_without_a_size: 400, chunked("\r\nX: y\r\n\r\n");
        a_chunk_size_with_a_sign: 400, chunked("+4\r\nabcd\r\n0\r\n\r\n");
        a_chunk_size_with_a_prefix: 400, chunked("0x4\r\nabcd\r\n0\r\n\r\n");
        a_chunk_size_with_a_blank: 400, chunked(" 4\r\nabcd\r\n0\r\n\r\n");
        a_chunk_size_with_a_blank_behind: 400, chunked("4 \r\nabcd\r\n0\r\n\r\n");
        a_chunk_size_that_overflows: 400, chunked("10000000000000004\r\nabcd\r\n0\r\n\r\n");
        a_chunk_size_line_with_a_bare_lf: 400, chunked("4\nabcd\r\n0\r\n\r\n");
        a_chunk_that_is_longer_than_its_size: 400, chunked("4\r\nabcdef\r\n0\r\n\r\n");
        a_chunk_that_ends_in_a_bare_lf: 400, chunked("4\r\nabcd\n0\r\n\r\n");
        a_chunk_extension_with_a_bare_cr: 400, chunked("4;a\rb\r\nabcd\r\n0\r\n\r\n");
        a_long_chunk_extension: 400, chunked(&format!("4;{}\r\nabcd\r\n0\r\n\r\n", "a".repeat(5000)));
        a_long_trailer_section: 400, chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(1000)));
        a_folded_trailer: 400, chunked("0\r\n X: y\r\n\r\n");
        a_trailer_without_a_colon: 400, chunked("0\r\nX\r\n\r\n");
        a_trailer_with_a_blank_before_its_colon: 400, chunked("0\r\nX : y\r\n\r\n");
        a_trailer_that_is_a_request: 400, chunked("0\r\nGET /tag?tag=a HTTP/1.1\r\nHost: a\r\n\r\n");
        a_negative_chunk_size: 400, chunked("-4\r\nabcd\r\n0\r\n\r\n");
        a_chunk_size_that_is_no_number: 400, chunked("xyz\r\nabcd\r\n0\r\n\r\n");
        a_chunk_that_is_shorter_than_its_size: 400, chunked("6\r\nabcd\r\n0\r\n\r\n");
        extensions_far_longer_than_the_content: 400, chunked(&format!("1;{}\r\na\r\n", "a".repeat(4000)).repeat(5));
        a_chunk_extension_with_a_nul: 400, chunked("4;a=\0\r\nabcd\r\n0\r\n\r\n");
    }
    "How much is too much?": {
        a_long_target: 414, get(&format!("/{}", "a".repeat(9000)));
        a_long_target_before_its_line_ends: 414, format!("GET /{}", "a".repeat(9000));
        a_long_line_whose_target_is_not_too_long: 414, get(&format!("/{}", "a".repeat(8180)));
        a_long_field: 431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(40_000));
        many_fields: 431, format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101));
        a_long_body: 413, format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    }
}

fn chunked(body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

// edge: empty lines before a request, HTTP/1.0 without Host, a whole URI, dot segments, blanks around values, equal lengths | served
#[test]
fn unusual_but_valid_requests_are_served() {
    let proxy = Proxy::start(&[]);
    let fine = [
        "\r\n\r\nGET /tag?tag=a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /tag?tag=a HTTP/1.1\r\nHOST:a\r\n\r\n",
        "GET /tag?tag=a HTTP/1.1\r\nHost: \t a \t \r\n\r\n",
        "GET /tag?tag=a HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://a/tag?tag=a HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET HTTP://a/tag?tag=a HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET /./x/../tag?tag=a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /tag?tag=a HTTP/1.0\r\n\r\n",
        "DELETE /tag?tag=a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX-Latin: \u{e9}\r\n\r\n",
        "GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nX_Y: dropped\r\nProxy: dropped\r\n\r\n",
    ];
    for request in fine {
        let answer = proxy.ask(request);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "a"),
            "{request}"
        );
    }
    // RFC 9110, 8.6: equal lengths count as one.
    for lengths in ["4\r\nContent-Length: 4", "4, 4"] {
        let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {lengths}\r\n\r\n");
        let mut client = proxy.connect();
        client.send(head + "body" + &get("/tag?tag=next"));
        assert_eq!(client.answer().text(), "body", "{lengths}");
        assert_eq!(client.answer().text(), "next", "{lengths}");
    }
    // RFC 9112, 3.2.4: a URI without a path means the whole server.
    for target in ["*", "http://a"] {
        let answer = proxy.ask(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.status, 204, "{target}");
    }
}

/// Nothing follows that could be taken for the end of the head.
// edge: a head whose lines end in LF | 400 at once, not 408 after `--header-timeout`
#[test]
fn a_head_that_ends_in_bare_lfs_is_refused_at_once() {
    let proxy = Proxy::start(&["--header-timeout", "60"]);
    // The last line is longer than a request line may be, but it is not the request line.
    let long = "G\n".to_owned() + &"a".repeat(9000);
    for head in ["GET /tag?tag=a HTTP/1.1\nHost: a\n\n", "G\n\n", &long] {
        let mut client = proxy.connect();
        client.send(head);
        assert_eq!(client.answer().status, 400, "{head}");
        client.assert_closed();
    }
}

// edge: more than a few empty lines before a request, in one piece or in many | 400
#[test]
fn endless_empty_lines_are_refused_however_they_are_split() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    client.send("\r\n".repeat(6));
    assert_eq!(client.answer().status, 400);
    let mut client = proxy.connect();
    for _ in 0..6 {
        client.send("\r\n");
        // A response on another connection shows that the line was read meanwhile.
        assert_eq!(proxy.get("/tag?tag=other").text(), "other");
    }
    assert_eq!(client.answer().status, 400);
    client.assert_closed();
    for lines in [4, 5] {
        let mut client = proxy.connect();
        for bytes in ["\r\n".repeat(3), "\r".to_owned(), "\n".to_owned()] {
            client.send(bytes);
            assert_eq!(proxy.get("/tag?tag=other").text(), "other");
        }
        client.send("\r\n".repeat(lines - 4) + &get("/tag?tag=a"));
        let expected = if lines == 4 { 200 } else { 400 };
        assert_eq!(client.answer().status, expected, "{lines}");
    }
}

// edge: a field `Proxy`, a field with underscores, a URI with another host than `Host` | neither reaches the application; the host of the URI counts
#[test]
fn a_field_cannot_pose_as_another_one() {
    let proxy = Proxy::start(&[]);
    let answer = proxy.ask(
        "GET http://right/ HTTP/1.1\r\nHost: wrong\r\nProxy: evil\r\nX_Real: evil\r\nX-Real: good\r\n\r\n",
    );
    let page = answer.text();
    assert!(
        page.contains("HTTP_X_REAL") && page.contains("good"),
        "{page}"
    );
    assert!(
        !page.contains("evil") && !page.contains("HTTP_PROXY"),
        "{page}"
    );
    assert!(page.contains("right") && !page.contains("wrong"), "{page}");
}
