//! The HTTP side of the proxy: heads and chunks of requests, compared with a plain reading of RFC 9112.

use std::mem::MaybeUninit;

use mio_fcgi::Params;
use mio_fcgi::cgi::{self, ChunkedDecoder, Env, FieldRules, Script};

use super::choices::Choices;
use head::{BodyLength, FieldSpace, MAX_FIELDS, MAX_HEAD, MAX_LINE, Refusal, RequestHead};

#[path = "../../../examples/proxy/http/head.rs"]
mod head;

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
    Head {
        seen: usize,
    },
    Counted {
        left: u64,
    },
    Chunked {
        decoder: ChunkedDecoder,
        raw: Vec<u8>,
    },
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
    let result = match stage {
        // RFC 9112, 2.2: an empty line before a request is let pass.
        Stage::Head { seen: 0 } if head::empty_lines(held) > 0 => Ok(head::empty_lines(held)),
        Stage::Head { seen } => {
            let found = head::find_end(held, seen);
            let end = match found {
                Ok(Some(end)) => end,
                Ok(None) => {
                    assert!(held.len() < MAX_HEAD, "a head without end is held");
                    return 0;
                }
                Err(refusal) => {
                    served.refused = Some(refusal.status);
                    return 0;
                }
            };
            assert!(end <= MAX_HEAD);
            let mut space: FieldSpace<'_> = [MaybeUninit::uninit(); MAX_FIELDS];
            head::parse(&held[..end], &mut space).map(|head| {
                allowed(&head, &held[..end]);
                passed_on(&head);
                served.requests.push((format!("{head:?}"), Vec::new()));
                *stage = match head.body {
                    BodyLength::Counted(0) => Stage::Head { seen: 0 },
                    BodyLength::Counted(left) => Stage::Counted { left },
                    BodyLength::Chunked => Stage::Chunked {
                        decoder: ChunkedDecoder::default(),
                        raw: Vec::new(),
                    },
                };
                end
            })
        }
        Stage::Counted { left } => {
            let len = held.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= len as u64;
            body_of(served).extend_from_slice(&held[..len]);
            if *left == 0 {
                *stage = Stage::Head { seen: 0 };
            }
            Ok(len)
        }
        Stage::Chunked { decoder, raw } => {
            let decoded = decoder.decode(held);
            if let Ok(decoded) = &decoded {
                assert!(decoded.used > 0 || held.is_empty());
                raw.extend_from_slice(&held[..decoded.used]);
                body_of(served).extend_from_slice(decoded.content);
            }
            if decoder.is_done() {
                assert_eq!(joined(raw).as_ref(), Some(&*body_of(served)));
                *stage = Stage::Head { seen: 0 };
            }
            let why = "the body is not chunked";
            let refusal = Refusal { status: 400, why };
            decoded.map(|decoded| decoded.used).map_err(|_| refusal)
        }
    };
    result.unwrap_or_else(|refusal| {
        assert!((400..600).contains(&refusal.status) && !refusal.why.is_empty());
        served.refused = Some(refusal.status);
        0
    })
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
    assert!(text.len() <= MAX_HEAD && !text.contains(&0));
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
    assert!(lines[0].len() <= MAX_LINE && is_token(method));
    assert_eq!(method, head.method.as_bytes());
    assert_eq!(
        version,
        if head.is_http11 {
            b"HTTP/1.1"
        } else {
            b"HTTP/1.0"
        }
    );
    assert!(target.iter().all(|it| *it > b' ' && *it != 0x7f));
    assert!(head.target.starts_with('/') || (head.target == "*" && method == b"OPTIONS"));
    assert!(!target.contains(&b'#'));
    let is_given = target.ends_with(head.target.as_bytes());
    assert!(is_given || head.target == "/" || head.target == "*");
    assert!(head.authority.is_none_or(cgi::is_valid_host));
    assert_eq!(
        head.authority.is_some(),
        !target.starts_with(b"/") && target != b"*"
    );

    let (mut hosts, mut lengths, mut codings) = (0, Vec::new(), Vec::new());
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
        match name.to_ascii_lowercase().as_slice() {
            b"host" => {
                assert!(cgi::is_valid_host(value));
                hosts += 1;
            }
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => codings.push(value.to_ascii_lowercase()),
            _ => {}
        }
    }
    assert_eq!(head.fields.len(), lines.len() - 1, "each line is a field");
    let options = head.fields.iter();
    let options = options.filter(|field| field.name.eq_ignore_ascii_case("connection"));
    let options = options.flat_map(|field| field.value.split(|it| *it == b','));
    let options: Vec<_> = options
        .map(|it| it.trim_ascii().to_ascii_lowercase())
        .collect();
    let says = |option: &[u8]| options.iter().any(|it| it == option);
    let keeps = !says(b"close") && (head.is_http11 || says(b"keep-alive"));
    assert_eq!(head.keeps_alive, keeps);
    assert!(!head.expects_continue || (head.is_http11 && head.field("expect").is_some()));
    assert!(hosts == 1 || (hosts == 0 && !head.is_http11));
    match head.body {
        BodyLength::Chunked => {
            assert!(head.is_http11 && lengths.is_empty());
            assert_eq!(codings, [b"chunked".to_vec()]);
        }
        BodyLength::Counted(len) => {
            assert!(codings.is_empty() && lengths.len() <= 1);
            let digits: String = lengths.concat().iter().map(|it| char::from(*it)).collect();
            assert!(digits.bytes().all(|it| it.is_ascii_digit()));
            assert_eq!(len, digits.parse().unwrap_or(0));
            assert!(lengths.is_empty() || !digits.is_empty());
        }
    }
}

/// An accepted request can be passed on, or is refused there; there is no third outcome.
fn passed_on(head: &RequestHead<'_, '_>) {
    let script = Script::new("/srv", "/x.php", "");
    let fields = head.fields_for_application();
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
    let env = Env::new(
        head.method.as_bytes(),
        head.target.as_bytes(),
        fields,
        &script,
    );
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
