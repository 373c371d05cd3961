//! RFC 3875, section 6, for a reader that has the whole output: the head, the body, and whether both are complete.

use mio_fcgi::cgi::{HeadError, HeadRules};

use crate::wire::Pair;

/// What the output of an application is.
#[derive(Debug)]
pub(crate) enum Output {
    Whole {
        interim: Vec<Head>,
        head: Head,
        body_at: usize,
    },
    /// It ends in a head, or before the final one.
    Incomplete,
    /// It is no valid head, for any of these reasons.
    Invalid(Vec<HeadError>),
}

#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) reason: Vec<u8>,
    pub(crate) fields: Vec<Pair>,
    pub(crate) content_length: Option<u64>,
    pub(crate) local_redirect: Option<Vec<u8>>,
    stated: Option<u16>,
}

/// Reads the heads at the beginning of an output.
pub(crate) fn read(output: &[u8], rules: HeadRules) -> Output {
    let (mut interim, mut at) = (Vec::new(), 0);
    loop {
        match head(output, &mut at, rules) {
            Ok(Some(head)) if head.status < 200 => {
                if rules.strict || head.status == 101 {
                    return Output::Invalid(vec![HeadError::Interim(head.status)]);
                }
                interim.push(head);
            }
            Ok(Some(head)) => {
                return Output::Whole {
                    interim,
                    head,
                    body_at: at,
                };
            }
            Ok(None) if output.len() > rules.max_len => return too_large(rules),
            Ok(None) => return Output::Incomplete,
            Err(reasons) => return Output::Invalid(reasons),
        }
    }
}

fn too_large(rules: HeadRules) -> Output {
    Output::Invalid(vec![HeadError::TooLarge {
        limit: rules.max_len,
    }])
}

/// The head at a position, which moves after it. `None`: it is not complete.
fn head(output: &[u8], at: &mut usize, rules: HeadRules) -> Result<Option<Head>, Vec<HeadError>> {
    let mut head = Head::default();
    for line in 1.. {
        let Some(len) = output[*at..].iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let mut text = &output[*at..*at + len];
        *at += len + 1;
        text = text.strip_suffix(b"\r").unwrap_or(text);
        let is_beyond = *at > rules.max_len;
        let mut reasons = Vec::new();
        match text {
            [] if line == 1 => reasons.push(HeadError::Empty),
            [] if !is_beyond => {
                finish(&mut head);
                return Ok(Some(head));
            }
            [] => {}
            [b' ' | b'\t', ..] => reasons.push(HeadError::Folded { line }),
            _ if line == 1 && text.starts_with(b"HTTP/") => {
                status_line(text, &mut head, rules, &mut reasons)
            }
            _ => field(text, line, &mut head, &mut reasons),
        }
        if head.fields.len() > rules.max_fields {
            reasons.push(HeadError::TooManyFields {
                limit: rules.max_fields,
            });
        }
        if is_beyond {
            reasons.push(HeadError::TooLarge {
                limit: rules.max_len,
            });
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
    }
    Ok(None)
}

/// `HTTP/1.1 404 Not Found` in place of a Status field: not CGI, but common.
fn status_line(text: &[u8], head: &mut Head, rules: HeadRules, reasons: &mut Vec<HeadError>) {
    if rules.strict {
        reasons.push(HeadError::StatusLine);
    }
    control_bytes(text, 1, reasons);
    // One blank by RFC 9112, 4; several are taken for one.
    let rest = text
        .iter()
        .position(|byte| *byte == b' ')
        .map_or(&b""[..], |blank| trim(&text[blank..]));
    state(rest, 1, head, reasons);
}

/// 6.3: a name, a colon, a value with blanks around it.
fn field(text: &[u8], line: usize, head: &mut Head, reasons: &mut Vec<HeadError>) {
    control_bytes(text, line, reasons);
    let Some(colon) = text.iter().position(|byte| *byte == b':') else {
        return reasons.push(HeadError::NoColon { line });
    };
    let (name, value) = (&text[..colon], trim(&text[colon + 1..]));
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(is_token) {
        return reasons.push(HeadError::FieldName { line });
    }
    if name.eq_ignore_ascii_case(b"Status") {
        return state(value, line, head, reasons);
    }
    let is_again = head
        .fields
        .iter()
        .any(|pair| pair.0.eq_ignore_ascii_case(name) && pair.1 == value);
    if name.eq_ignore_ascii_case(b"Content-Length") {
        let digits = std::str::from_utf8(value)
            .ok()
            .filter(|text| text.bytes().all(|it| it.is_ascii_digit()));
        let len = digits
            .and_then(|text| text.parse().ok())
            .filter(|len| *len < 1 << 63);
        match (head.content_length, len) {
            (_, None) => reasons.push(HeadError::ContentLength { line }),
            (Some(first), Some(second)) if first != second => {
                reasons.push(HeadError::ContentLengths { first, second });
            }
            (_, len) => head.content_length = len,
        }
    }
    // 6.3: a CGI field is there once. The library leaves out those that are equal to another one, and passes others on.
    let is_cgi = [&b"Content-Length"[..], b"Content-Type"]
        .iter()
        .any(|it| name.eq_ignore_ascii_case(it));
    if !(is_again && is_cgi) {
        head.fields.push((name.to_vec(), value.to_vec()));
    }
}

fn control_bytes(text: &[u8], line: usize, reasons: &mut Vec<HeadError>) {
    if let Some(byte) = text
        .iter()
        .copied()
        .find(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        reasons.push(HeadError::FieldValue { line, byte });
    }
}

/// 6.3.3: three digits, a blank, a reason.
fn state(value: &[u8], line: usize, head: &mut Head, reasons: &mut Vec<HeadError>) {
    let (digits, rest) = value.split_at(value.len().min(3));
    let status = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|status| *status >= 100_u16);
    let is_digits = digits.len() == 3 && digits.iter().all(u8::is_ascii_digit);
    let is_apart = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    let Some(status) = status.filter(|_| is_digits && is_apart) else {
        return reasons.push(HeadError::Status { line });
    };
    match head.stated {
        Some(first) if first != status => reasons.push(HeadError::Statuses {
            first,
            second: status,
        }),
        Some(_) => {}
        None => {
            head.stated = Some(status);
            head.reason = trim(rest).to_vec();
        }
    }
}

/// 6.2.2, 6.3.2 and 6.3.3: what a head without Status means.
fn finish(head: &mut Head) {
    // 6.3: a field without a value is as one that was not sent.
    let is_location = |pair: &&Pair| pair.0.eq_ignore_ascii_case(b"Location") && !pair.1.is_empty();
    let location = head
        .fields
        .iter()
        .find(is_location)
        .map(|pair| pair.1.clone());
    let default = if location.is_some() { 302 } else { 200 };
    head.status = head.stated.unwrap_or(default);
    let is_local =
        |it: &Vec<u8>| it.starts_with(b"/") && !it.starts_with(b"//") && !it.contains(&b'#');
    head.local_redirect = location.filter(|it| head.stated.is_none() && is_local(it));
}

fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !is_blank(byte))
        .map_or(start, |last| last + 1);
    &text[start..end]
}
