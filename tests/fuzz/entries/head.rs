//! Response heads: the same in one piece and in many, and nothing in them that must not reach an HTTP response.

use mio_fcgi::cgi::{Collector, Head, HeadError, HeadParser, HeadRules, Response, ResponseLimits};
use mio_fcgi::{Completion, Report};

use super::choices::Choices;

/// Two bytes choose the rules, three the cuts; then the application's output.
pub fn head(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut rules = HeadRules::default();
    rules.max_len = choices.of(&[64 * 1024, 40, 100, 0]);
    rules.max_fields = choices.of(&[256, 3, 1, 0]);
    rules.strict = !choices.is_even();
    let cuts = choices.cuts();
    let output = choices.rest();
    let whole = read(rules, [output].into_iter(), output.len());
    let pieces = read(rules, cuts.pieces(output), output.len());
    assert_eq!(whole, pieces);

    let mut limits = ResponseLimits::default();
    limits.head = rules;
    limits.max_body = 20;
    let whole = collect(limits, [output].into_iter());
    let pieces = collect(limits, cuts.pieces(output));
    assert_eq!(whole.is_some(), pieces.is_some());
    if let (Some(whole), Some(pieces)) = (whole, pieces) {
        assert!(whole.body.len() <= limits.max_body);
        assert_eq!(whole, pieces);
    }
}

#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    reason: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    content_length: Option<u64>,
    local_redirect: Option<Vec<u8>>,
    transfer_encoding: bool,
}

#[derive(Debug, PartialEq)]
struct Reading {
    heads: Vec<Seen>,
    body: Vec<u8>,
    end: Result<(), HeadError>,
}

fn read<'a>(rules: HeadRules, pieces: impl Iterator<Item = &'a [u8]>, len: usize) -> Reading {
    let mut parser = HeadParser::new(rules);
    let mut reading = Reading {
        heads: Vec::new(),
        body: Vec::new(),
        end: Ok(()),
    };
    let mut heads_len = 0;
    let mut is_final = false;
    for mut piece in pieces {
        while !is_final && !piece.is_empty() {
            match parser.push(piece) {
                Ok(None) => piece = &[],
                Ok(Some((head, rest))) => {
                    check(head, rules);
                    heads_len += head.encoded_len();
                    assert!(heads_len <= rules.max_len);
                    is_final = !head.is_interim();
                    reading.heads.push(seen(head));
                    piece = rest;
                }
                Err(error) => {
                    assert_eq!(parser.push(b"x").map(|_| ()), Err(error), "again");
                    assert_eq!(parser.end(), Err(error));
                    reading.end = Err(error);
                    return reading;
                }
            }
            assert!(parser.buffered().len() <= rules.max_len);
        }
        reading.body.extend_from_slice(piece);
    }
    if is_final {
        assert_eq!(heads_len + reading.body.len(), len, "no byte is lost");
    }
    reading.end = parser.end();
    assert_eq!(reading.end.is_ok(), is_final);
    reading
}

fn seen(head: Head<'_>) -> Seen {
    let fields = head.fields();
    Seen {
        status: head.status(),
        reason: head.reason().to_vec(),
        fields: fields
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect(),
        content_length: head.content_length(),
        local_redirect: head.local_redirect().map(<[u8]>::to_vec),
        transfer_encoding: head.has_transfer_encoding(),
    }
}

/// Checks what holds for every head that the parser returns.
fn check(head: Head<'_>, rules: HeadRules) {
    let is_clean = |value: &[u8]| !value.iter().any(|it| it.is_ascii_control() && *it != b'\t');
    let is_trimmed = |value: &[u8]| {
        let ends = [value.first(), value.last()];
        !ends.into_iter().flatten().any(|it| b" \t".contains(it))
    };
    assert!((100..1000).contains(&head.status()) && head.status() != 101);
    assert!(!(rules.strict && head.is_interim()));
    assert!(is_clean(head.reason()) && is_trimmed(head.reason()));
    assert!(head.fields().count() <= rules.max_fields);
    let mut lengths = 0;
    for (name, value) in head.fields() {
        let in_token = |it: &u8| it.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(it);
        assert!(!name.is_empty() && name.iter().all(in_token));
        assert!(!name.eq_ignore_ascii_case(b"status"));
        assert!(is_clean(value) && is_trimmed(value));
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            let text = std::str::from_utf8(value).expect("digits");
            assert_eq!(text.parse().ok(), head.content_length());
        }
    }
    assert_eq!(lengths, usize::from(head.content_length().is_some()));
    if let Some(path) = head.local_redirect() {
        assert!(path.starts_with(b"/") && !path.starts_with(b"//") && !path.contains(&b'#'));
    }
}

fn collect<'a>(limits: ResponseLimits, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Response> {
    let mut collector = Collector::new(limits);
    for piece in pieces {
        if let Err(error) = collector.stdout(piece) {
            assert_eq!(collector.stdout(b"x"), Err(error), "again");
            break;
        }
    }
    collector
        .finish(Ok(Completion::new(0, Report::default())))
        .ok()
}
