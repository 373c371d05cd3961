//! Response heads: spellings, refusals, limits, every cut.

use mio_fcgi::cgi::{HeadError, HeadParser, HeadRules};

/// A head that owns its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    status: u16,
    reason: String,
    pub(super) fields: Vec<(String, String)>,
    content_length: Option<u64>,
    local_redirect: Option<String>,
    transfer_encoding: bool,
    pub(super) encoded_len: usize,
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All heads in the pieces, and the body after the final one.
pub(super) fn read(
    parser: &mut HeadParser,
    pieces: &[&[u8]],
) -> Result<(Vec<Seen>, Vec<u8>), HeadError> {
    let mut heads = Vec::new();
    let mut body = Vec::new();
    let mut complete = false;
    for piece in pieces {
        let mut rest = *piece;
        while !complete {
            let Some((head, after)) = parser.push(rest)? else {
                rest = &[];
                break;
            };
            complete = !head.is_interim();
            rest = after;
            heads.push(Seen {
                status: head.status(),
                reason: text(head.reason()),
                fields: head.fields().map(|(n, v)| (text(n), text(v))).collect(),
                content_length: head.content_length(),
                local_redirect: head.local_redirect().map(text),
                transfer_encoding: head.has_transfer_encoding(),
                encoded_len: head.encoded_len(),
            });
        }
        body.extend_from_slice(rest);
    }
    parser.end().map(|()| (heads, body))
}

pub(super) fn read_with(rules: HeadRules, bytes: &[u8]) -> Result<Vec<Seen>, HeadError> {
    read(&mut HeadParser::new(rules), &[bytes]).map(|(heads, _)| heads)
}

/// The only head of the bytes.
pub(super) fn head(bytes: impl AsRef<[u8]>) -> Result<Seen, HeadError> {
    let mut heads = read_with(HeadRules::default(), bytes.as_ref())?;
    assert_eq!(heads.len(), 1);
    Ok(heads.remove(0))
}

fn status(bytes: impl AsRef<[u8]>) -> Result<u16, HeadError> {
    head(bytes).map(|head| head.status)
}

fn strict() -> HeadRules {
    let mut rules = HeadRules::default();
    rules.strict = true;
    rules
}

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    pairs.iter().map(owned).collect()
}

// case 25
#[test]
fn no_output_at_all_is_an_error_of_its_own() {
    assert_eq!(head(""), Err(HeadError::Missing));
    assert_eq!(
        read_with(HeadRules::default(), b"Status: 103\n\n"),
        Err(HeadError::Truncated { len: 13 }),
        "an interim head alone is not a response"
    );
}

// cases 26 and 27
#[test]
fn an_end_inside_a_head_is_truncated() {
    let whole = b"Status: 200 OK\r\nA: b\r\n\r\n";
    for len in 1..whole.len() {
        assert_eq!(head(&whole[..len]), Err(HeadError::Truncated { len }));
    }
}

// case 28
#[test]
fn status_is_read_in_all_its_spellings() {
    for line in [
        "Status: 404 Not Found",
        "Status: 404",
        "status: 404 Not Found",
        "STATUS:404",
        "Status:    404 Not Found",
        "Status:\t404\tNot Found  ",
        "Status: 404 ",
    ] {
        assert_eq!(status(format!("{line}\r\n\r\n")), Ok(404), "{line:?}");
        assert_eq!(
            status(format!("Content-Type: text/html\n{line}\n\n")),
            Ok(404),
            "{line:?}"
        );
    }
    let seen = head("Status: 404  Not Found \r\nA: b\r\n\r\n").expect("a head");
    assert_eq!(seen.reason, "Not Found");
    assert_eq!(seen.fields, fields(&[("A", "b")]), "Status is no field");
}

// case 29
#[test]
fn a_status_that_is_not_three_digits_is_malformed() {
    for value in [
        "abc",
        "99",
        "1000",
        "",
        "0",
        "099",
        "000",
        "-404",
        "+404",
        "4 04",
        "40x",
        "404Not",
        "404,",
        "４０４",
    ] {
        assert_eq!(
            status(format!("A: b\nStatus: {value}\n\n")),
            Err(HeadError::Status { line: 2 }),
            "{value:?}"
        );
    }
}

#[test]
fn a_status_stated_twice_must_be_the_same() {
    assert_eq!(status("Status: 404 A\nStatus: 404 B\n\n"), Ok(404));
    let two = HeadError::Statuses {
        first: 404,
        second: 200,
    };
    assert_eq!(status("Status: 404\nStatus: 200\n\n"), Err(two));
    assert_eq!(status("HTTP/1.1 404 No\nStatus: 200\n\n"), Err(two));
}

// case 30
#[test]
fn without_status_and_location_it_is_200() {
    let seen = head("Content-Type: text/html\r\n\r\n").expect("a head");
    assert_eq!((seen.status, seen.reason.as_str()), (200, ""));
    assert_eq!(status("Location:\n\n"), Ok(200), "an empty one counts not");
}

// case 31
#[test]
fn a_location_without_status_is_302() {
    let seen = head("Location: https://example.org/\r\n\r\n").expect("a head");
    assert_eq!((seen.status, seen.local_redirect), (302, None));
    assert_eq!(status("Location: /x\nStatus: 301\n\n"), Ok(301));
    assert_eq!(status("Status: 201\nLocation: /x\n\n"), Ok(201));
    let two = head("Location:\nLocation: /x\nLocation: /y\n\n").expect("a head");
    assert_eq!((two.status, two.fields.len()), (302, 3), "as they came");
    assert_eq!(two.local_redirect.as_deref(), Some("/x"));
}

// case 32
#[test]
fn a_local_location_alone_is_reported_as_a_local_redirect() {
    let local = |bytes: &str| head(bytes).expect("a head").local_redirect;
    assert_eq!(local("Location: /x?a=b\n\n").as_deref(), Some("/x?a=b"));
    assert_eq!(
        local("X-Powered-By: PHP\nlocation: /x\n\n").as_deref(),
        Some("/x")
    );
    assert_eq!(status("Location: /x\n\n"), Ok(302));
    assert_eq!(local("Location: /x\nStatus: 302 Found\n\n"), None);
    assert_eq!(local("Location: //example.org/x\n\n"), None);
    // Only the client can go to a fragment (RFC 3875, 6.2.3).
    assert_eq!(local("Location: /x?a=b#c\n\n"), None);
    assert_eq!(status("Location: /x#c\n\n"), Ok(302));
}

// case 33
#[test]
fn an_http_status_line_is_accepted_unless_strict() {
    for (line, reason) in [
        ("HTTP/1.1 404 Not Found", "Not Found"),
        ("HTTP/1.0 404", ""),
        ("HTTP/1.1  404  Gone", "Gone"),
    ] {
        let bytes = format!("{line}\r\nA: b\r\n\r\n");
        let seen = head(&bytes).expect("a head");
        assert_eq!((seen.status, seen.reason.as_str()), (404, reason));
        assert_eq!(seen.fields, fields(&[("A", "b")]));
        assert_eq!(
            read_with(strict(), bytes.as_bytes()),
            Err(HeadError::StatusLine)
        );
    }
    assert_eq!(status("HTTP/1.1\n\n"), Err(HeadError::Status { line: 1 }));
    assert_eq!(
        status("A: b\nHTTP/1.1 404\n\n"),
        Err(HeadError::NoColon { line: 2 }),
        "only at the start"
    );
}

// case 34
#[test]
fn an_interim_head_comes_apart_from_the_final_one() {
    let bytes = b"Status: 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nStatus: 404\r\nA: b\r\n\r\nbody";
    let (heads, body) = read(&mut HeadParser::default(), &[bytes]).expect("two heads");
    assert_eq!(heads.len(), 2);
    assert_eq!((heads[0].status, heads[1].status), (103, 404));
    assert_eq!(heads[0].fields.len(), 1);
    assert_eq!(heads[1].fields, fields(&[("A", "b")]));
    assert_eq!(body, b"body");
    assert_eq!(read_with(strict(), bytes), Err(HeadError::Interim(103)));
    // A program wrote this for a client, unaware of the server in between.
    let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Gone\r\n\r\nbody";
    let (heads, body) = read(&mut HeadParser::default(), &[bytes]).expect("two heads");
    let statuses: Vec<u16> = heads.iter().map(|head| head.status).collect();
    assert_eq!((statuses, &body[..]), (vec![100, 404], &b"body"[..]));
}

#[test]
fn a_change_of_protocol_is_refused_in_any_mode() {
    let bytes = b"Status: 101 Switching Protocols\n\n";
    assert_eq!(status(bytes), Err(HeadError::Interim(101)));
    assert_eq!(read_with(strict(), bytes), Err(HeadError::Interim(101)));
}

// case 35
#[test]
fn line_ends_may_be_mixed() {
    for bytes in [
        "Status: 404\nA: b\n\nbody",
        "Status: 404\r\nA: b\n\r\nbody",
        "Status: 404\nA: b\r\n\nbody",
        "Status: 404\r\nA: b\r\n\r\nbody",
    ] {
        let (heads, body) = read(&mut HeadParser::default(), &[bytes.as_bytes()]).expect("a head");
        assert_eq!(heads[0].status, 404, "{bytes:?}");
        assert_eq!(heads[0].fields, fields(&[("A", "b")]), "{bytes:?}");
        assert_eq!(body, b"body");
    }
}

// case 37
#[test]
fn a_body_without_a_head_is_malformed() {
    let no_colon = Err(HeadError::NoColon { line: 1 });
    assert_eq!(status("<html><body>Hello</body></html>\n"), no_colon);
    assert_eq!(status("Hello, world\n\nmore\n"), no_colon);
    assert_eq!(
        status("<b>Notice</b>: undefined\n\n"),
        Err(HeadError::FieldName { line: 1 })
    );
    assert_eq!(status("\n\nbody"), Err(HeadError::Empty));
    assert_eq!(status("\r\nA: b\r\n\r\n"), Err(HeadError::Empty));
}

// case 39
#[test]
fn repeated_fields_are_kept_in_order() {
    let seen = head("Set-Cookie: a=1\nA: b\nset-cookie: c=2\n\n").expect("a head");
    assert_eq!(
        seen.fields,
        fields(&[("Set-Cookie", "a=1"), ("A", "b"), ("set-cookie", "c=2")])
    );
}

// case 40
#[test]
fn a_repeated_length_counts_once_and_must_agree() {
    let seen = head("Content-Length: 5\nA: b\ncontent-length: 05\n\n").expect("a head");
    assert_eq!(seen.content_length, Some(5));
    assert_eq!(seen.fields, fields(&[("Content-Length", "5"), ("A", "b")]));
    assert_eq!(
        head("Content-Length: 5\nContent-Length: 6\n\n"),
        Err(HeadError::ContentLengths {
            first: 5,
            second: 6
        })
    );
}

/// A client takes the first one, the last one, or both joined by a comma.
#[test]
fn equal_types_are_one_field() {
    let seen = head("Content-Type: a/b\nA: b\ncontent-type:  a/b \nCONTENT-TYPE: a/b\n\n");
    let seen = seen.expect("a head");
    assert_eq!(seen.fields, fields(&[("Content-Type", "a/b"), ("A", "b")]));
    let seen = head("Content-Type: a/b\nContent-Type: a/c\n\n").expect("a head");
    let both = fields(&[("Content-Type", "a/b"), ("Content-Type", "a/c")]);
    assert_eq!(seen.fields, both, "which one is meant is not known here");
    let seen =
        head("Content-Type: a/b\nContent-Type: a/c\ncontent-type: a/c\nContent-Type: a/b\n\n");
    assert_eq!(seen.expect("a head").fields, both, "each one once");
}

// case 41
#[test]
fn a_length_is_a_number_below_2_to_the_63() {
    let length =
        |value: &str| head(format!("Content-Length: {value}\n\n")).map(|seen| seen.content_length);
    assert_eq!(length("0"), Ok(Some(0)));
    assert_eq!(length("9223372036854775807"), Ok(Some(i64::MAX as u64)));
    for value in [
        "",
        "abc",
        "-1",
        "+1",
        "1 2",
        "5, 5",
        "0x10",
        "1.0",
        "９",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        assert_eq!(
            length(value),
            Err(HeadError::ContentLength { line: 1 }),
            "{value:?}"
        );
    }
}

// case 42
#[test]
fn names_that_are_no_tokens_are_malformed() {
    for line in [
        ": b",
        "A : b",
        "A\t: b",
        "A B: b",
        "A\0: b",
        "A\r: b",
        "\u{e4}: b",
        "A(: b",
        "A\x7f: b",
        "\u{feff}A: b",
    ] {
        assert_eq!(
            status(format!("{line}\r\n\r\n")),
            Err(HeadError::FieldName { line: 1 }),
            "{line:?}"
        );
    }
    assert_eq!(status("!#$%&'*+-.^_`|~09azAZ: b\n\n"), Ok(200));
}

// case 43
#[test]
fn control_bytes_in_values_are_malformed() {
    for byte in (0..=0x1f).chain([0x7f]) {
        for (name, value) in [("A", "b?c"), ("A", "bc?"), ("Status", "200 O?K")] {
            let value = value.replace('?', &char::from(byte).to_string());
            let bytes = format!("A: b\r\n{name}: {value}\r\n\r\n");
            let expected = match byte {
                b'\t' => Ok(200),
                b'\n' => continue,
                byte => Err(HeadError::FieldValue { line: 2, byte }),
            };
            assert_eq!(status(&bytes), expected, "{bytes:?}");
        }
    }
    assert_eq!(
        status("HTTP/1.1 200 O\0K\n\n"),
        Err(HeadError::FieldValue { line: 1, byte: 0 })
    );
    let latin = head(b"A: caf\xe9\n\n").expect("bytes above 127 are allowed");
    assert_eq!(latin.fields.len(), 1);
}

// case 44
#[test]
fn a_transfer_encoding_is_reported_raw_and_flagged() {
    let seen = head("transfer-encoding: chunked\nA: b\n\n").expect("a head");
    assert!(seen.transfer_encoding);
    assert_eq!(
        seen.fields,
        fields(&[("transfer-encoding", "chunked"), ("A", "b")])
    );
    assert!(!head("A: b\n\n").expect("a head").transfer_encoding);
}

// case 46
#[test]
fn a_folded_line_is_malformed() {
    for bytes in ["A: b\r\n c\r\n\r\n", "A: b\n\tc: d\n\n"] {
        assert_eq!(status(bytes), Err(HeadError::Folded { line: 2 }));
    }
    assert_eq!(status(" A: b\n\n"), Err(HeadError::Folded { line: 1 }));
}

#[test]
fn an_error_stays_until_the_parser_is_cleared() {
    let mut parser = HeadParser::default();
    let error = HeadError::NoColon { line: 1 };
    assert_eq!(parser.push(b"text\n").err(), Some(error));
    assert_eq!(parser.push(b"A: b\n\n").err(), Some(error));
    assert_eq!(parser.end(), Err(error));
    parser.clear();
    assert!(matches!(parser.push(b"A: b\n\n"), Ok(Some(_))));
    assert_eq!(parser.end(), Ok(()));
    assert!(matches!(parser.push(b""), Ok(None)));
    assert_eq!(parser.end(), Ok(()), "no bytes, no new response");
}

#[test]
fn debug_shows_no_value() {
    let mut parser = HeadParser::default();
    let (head, _) = parser
        .push(b"Set-Cookie: secret\n\n")
        .expect("valid")
        .expect("complete");
    let shown = format!("{head:?}");
    assert!(shown.contains("Set-Cookie") && !shown.contains("secret"));
}

/// Names are compared by their length first.
#[test]
fn a_name_as_long_as_another_is_not_taken_for_it() {
    let seen = head(
        "X-Powered-By: one\nX-Powered-By: one\nContent-Type: text/html\nContent-Type: text/html\n\
         X-Seventeen-Long1: chunked\nX-Fourteen-Lon: 3\nX-Eight1: /x\n\n",
    )
    .expect("a head");
    let expected = [
        ("X-Powered-By", "one"),
        ("X-Powered-By", "one"),
        ("Content-Type", "text/html"),
        ("X-Seventeen-Long1", "chunked"),
        ("X-Fourteen-Lon", "3"),
        ("X-Eight1", "/x"),
    ];
    assert_eq!(seen.fields, fields(&expected));
    assert!(!seen.transfer_encoding);
    assert_eq!((seen.status, seen.content_length), (200, None));
    let mut parser = HeadParser::new(HeadRules::default());
    let parsed = parser.push(b"Cookie: a\nX: b\nServer: c\n\n");
    let (head, _) = parsed.expect("well-formed").expect("complete");
    assert_eq!(head.get("sERVER"), Some(&b"c"[..]));
    assert_eq!(head.get("Seraph"), None);
    assert_eq!(head.get("Serve"), None);
}
