//! The HTTP side of the proxy: heads and bodies of requests, compared with a plain reading of RFC 9112.

use mio_fcgi::Params;
use mio_fcgi::cgi::{self, Env, FieldRules, RequestBody, Script};

use super::choices::Choices;
use head::{FieldSpace, HeadLimits, RequestHead};

#[path = "../../../examples/proxy/http/head.rs"]
#[allow(dead_code, reason = "the proxy uses more of it")]
mod head;
#[path = "../../../examples/proxy/http/refusal.rs"]
mod refusal;
#[path = "../../../examples/proxy/http/request_line.rs"]
mod request_line;

const LIMITS: HeadLimits = HeadLimits {
    head: 32 * 1024,
    line: 8 * 1024,
    fields: 100,
};

/// Three bytes choose the cuts; then what a client sends. A byte of 0xff and the next one stand for a run of letters.
pub fn http(input: &[u8]) {
    let mut choices = Choices::new(input);
    let cuts = choices.cuts();
    let mut sent = Vec::new();
    let mut rest = choices.rest().iter();
    while let Some(byte) = rest.next() {
        match byte {
            0xff => {
                let len = 64 * usize::from(rest.next().copied().unwrap_or_default());
                sent.resize(sent.len() + len, b'a');
            }
            byte => sent.push(*byte),
        }
    }
    let whole = serve([&sent[..]].into_iter());
    let pieces = serve(cuts.pieces(&sent));
    assert_eq!(whole, pieces);
}

/// What a client has sent, as the proxy reads it.
#[derive(Debug, Default, PartialEq)]
struct Served {
    /// The head as text, and the content of its body.
    requests: Vec<(String, Vec<u8>)>,
    refused: Option<u16>,
}

enum Stage {
    Head { seen: usize },
    Body { body: RequestBody, raw: Vec<u8> },
}

fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Served {
    let mut served = Served::default();
    let mut stage = Stage::Head { seen: 0 };
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        while served.refused.is_none() {
            match advance(&mut stage, &held, &mut served) {
                0 => break,
                used => drop(held.drain(..used)),
            }
        }
    }
    served
}

/// Uses bytes from the front of what is held; returns how many.
fn advance(stage: &mut Stage, held: &[u8], served: &mut Served) -> usize {
    match stage {
        // RFC 9112, 2.2: an empty line before a request is let pass.
        Stage::Head { seen: 0 } if head::empty_lines(held) > 0 => head::empty_lines(held),
        Stage::Head { seen } => {
            let end = match head::find_end(held, LIMITS, seen) {
                Ok(Some(end)) => end,
                Ok(None) => {
                    assert!(held.len() < LIMITS.head, "a head without end is held");
                    return 0;
                }
                Err(refusal) => return refuse(served, refusal.status),
            };
            assert!(end <= LIMITS.head);
            let mut space = FieldSpace::new();
            let head = match head::parse(&held[..end], LIMITS, &mut space) {
                Ok(head) => head,
                Err(refusal) => {
                    assert!(!refusal.why.is_empty());
                    return refuse(served, refusal.status);
                }
            };
            allowed(&head, &held[..end]);
            passed_on(&head);
            let body = RequestBody::new(head.is_http11, head.pairs(), u64::MAX);
            framed(&head, body.as_ref().ok());
            let body = match body {
                Ok(body) => body,
                Err(error) => return refuse(served, error.http_status()),
            };
            let keeps_alive = cgi::wants_keep_alive(head.is_http11, head.pairs());
            let shown = format!("{head:?}, {keeps_alive}, {body:?}");
            served.requests.push((shown, Vec::new()));
            *stage = if body.is_complete() {
                Stage::Head { seen: 0 }
            } else {
                let raw = Vec::new();
                Stage::Body { body, raw }
            };
            end
        }
        Stage::Body { body, raw } => {
            let mut input = held;
            match body.decode(&mut input) {
                Ok(content) => body_of(served).extend_from_slice(content.unwrap_or_default()),
                Err(error) => return refuse(served, error.http_status()),
            }
            let used = held.len() - input.len();
            raw.extend_from_slice(&held[..used]);
            if body.is_complete() {
                let content = match body.len() {
                    None => joined(raw),
                    Some(_) => Some(std::mem::take(raw)),
                };
                assert_eq!(content.as_ref(), Some(&*body_of(served)));
                *stage = Stage::Head { seen: 0 };
            }
            used
        }
    }
}

fn refuse(served: &mut Served, status: u16) -> usize {
    assert!((400..600).contains(&status));
    served.refused = Some(status);
    0
}

fn body_of(served: &mut Served) -> &mut Vec<u8> {
    let request = served.requests.last_mut();
    &mut request.expect("a body follows a head").1
}

/// Fails where a head was accepted that RFC 9112 forbids, or was read as something else than it says.
fn allowed(head: &RequestHead<'_, '_>, bytes: &[u8]) {
    let text = bytes
        .strip_suffix(b"\r\n\r\n")
        .expect("it ends in a blank line");
    assert!(text.len() <= LIMITS.head && !text.contains(&0));
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut from = 0;
    for at in 0..text.len() {
        if text[at..].starts_with(b"\r\n") {
            lines.push(&text[from..at]);
            from = at + 2;
        }
    }
    lines.push(&text[from..]);
    let bare = |line: &&[u8]| line.iter().any(|it| b"\r\n".contains(it));
    assert!(!lines.iter().any(bare), "a CR or LF alone");

    let words: Vec<&[u8]> = lines[0].split(|it| *it == b' ').collect();
    let [method, target, version] = words[..] else {
        panic!("{:?} is no request line", lines[0]);
    };
    assert!(lines[0].len() <= LIMITS.line && is_token(method));
    assert_eq!(method, head.method.as_bytes());
    match version.strip_prefix(b"HTTP/1.") {
        Some([minor]) if minor.is_ascii_digit() => assert_eq!(head.is_http11, *minor > b'0'),
        _ => panic!("{version:?} is no version of HTTP/1"),
    }
    assert!(target.iter().all(|it| *it > b' ' && *it != 0x7f));
    assert!(head.target.starts_with(b"/") || (*head.target == *b"*" && method == b"OPTIONS"));
    assert!(!target.contains(&b'#'));
    // An empty path of a URI is `/`, or `*`.
    let is_given = target.ends_with(&head.target)
        || (head.target.starts_with(b"/?") && target.ends_with(&head.target[1..]));
    assert!(is_given || *head.target == *b"/" || *head.target == *b"*");
    assert!(head.authority.is_none_or(cgi::is_valid_host));
    assert_eq!(
        head.authority.is_some(),
        !target.starts_with(b"/") && target != b"*"
    );

    let mut hosts = 0;
    for (line, field) in lines[1..].iter().zip(head.fields) {
        let colon = line.iter().position(|it| *it == b':').expect("a colon");
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        assert!(
            is_token(name),
            "{name:?}: folded, or a blank before the colon"
        );
        assert!(
            value
                .iter()
                .all(|it| *it == b'\t' || !it.is_ascii_control())
        );
        assert_eq!(
            (name, value),
            (field.name.as_bytes(), field.value.trim_ascii())
        );
        if name.eq_ignore_ascii_case(b"host") {
            assert!(cgi::is_valid_host(value));
            hosts += 1;
        }
    }
    assert_eq!(head.fields.len(), lines.len() - 1, "each line is a field");
    assert!(hosts == 1 || (hosts == 0 && !head.is_http11));
}

/// Fails where the fields were read as something else than they say, with a plain reading of RFC 9112, 6 and 9.3.
fn framed(head: &RequestHead<'_, '_>, body: Option<&RequestBody>) {
    let list = |name: &str| {
        let values = head.values(name);
        let elements = values.flat_map(|value| value.split(|it| *it == b','));
        let elements = elements.map(|it| String::from_utf8_lossy(it).to_lowercase());
        let elements = elements.map(|it| it.trim_matches([' ', '\t']).to_owned());
        elements.collect::<Vec<String>>()
    };
    let options = list("connection");
    let says = |option: &str| options.iter().any(|it| it == option);
    let keeps = !says("close") && (head.is_http11 || says("keep-alive"));
    assert_eq!(cgi::wants_keep_alive(head.is_http11, head.pairs()), keeps);
    let (lengths, codings) = (list("content-length"), list("transfer-encoding"));
    let is_expected = |it: &String| it.is_empty() || it == "100-continue";
    let knows_expectations = list("expect").iter().all(is_expected);
    let number = |it: &String| {
        let is_number = !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
        it.parse::<u64>().ok().filter(|_| is_number)
    };
    // What the body may be: a length, or chunks.
    let expected = if codings.is_empty() {
        let first = lengths.first().map_or(Some(0), number);
        let first = first.filter(|len| lengths.iter().all(|it| number(it) == Some(*len)));
        first.map(Some)
    } else {
        let is_chunked = codings == ["chunked"] && lengths.is_empty() && head.is_http11;
        is_chunked.then_some(None)
    };
    let expected = expected.filter(|_| knows_expectations);
    assert_eq!(body.map(RequestBody::len), expected);
}

/// An accepted request can be passed on, or is refused there; there is no third outcome.
fn passed_on(head: &RequestHead<'_, '_>) {
    let script = Script::new("/srv", "/x.php", "");
    let fields = head.fields_for_application(None, None);
    let hosts = fields
        .clone()
        .filter(|field| field.0.eq_ignore_ascii_case(b"host"));
    assert!(hosts.count() <= 1);
    if head.authority.is_none() {
        assert_eq!(fields.clone().count(), head.fields.len());
        let host = fields
            .clone()
            .find(|field| field.0.eq_ignore_ascii_case(b"host"));
        assert_eq!(head.field("Host"), host.map(|field| field.1));
    }
    let env = Env::new(head.method.as_bytes(), &head.target, fields, &script);
    let mut params = Params::default();
    if env.write_to(&mut params).is_ok() {
        super::env::check(&params, FieldRules::default());
    }
}

/// The content of chunks that are complete; `None` if they cannot be read.
fn joined(raw: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let mut rest = raw;
    loop {
        let line = take_line(&mut rest)?;
        let end = line.iter().position(|it| *it == b';').unwrap_or(line.len());
        let digits = std::str::from_utf8(&line[..end]).ok()?;
        // Blanks may separate a size from its extension, and only from that.
        let digits = match end < line.len() && !digits.starts_with([' ', '\t']) {
            true => digits.trim_end_matches([' ', '\t']),
            false => digits,
        };
        let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at_checked(size)?;
        content.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
    loop {
        let line = take_line(&mut rest)?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|it| *it == b':')?;
        if !is_token(&line[..colon]) {
            return None;
        }
    }
    rest.is_empty().then_some(content)
}

/// A line without its end; its only control byte may be the tab.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = rest.windows(2).position(|window| window == b"\r\n")?;
    let line = &rest[..len];
    *rest = &rest[len + 2..];
    let is_text = line.iter().all(|it| *it == b'\t' || !it.is_ascii_control());
    is_text.then_some(line)
}

fn is_token(bytes: &[u8]) -> bool {
    let in_token = |it: &u8| it.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(it);
    !bytes.is_empty() && bytes.iter().all(in_token)
}
