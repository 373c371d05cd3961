//! What becomes of a request on its way in: whether it is refused, and the streams that an application must get.

use mio_fcgi::{Config, SubmitError, UnknownLength};

use crate::log::{Asked, Content, Source};
use crate::wire::{Pair, encode_pair};

/// The reasons for which a request has to be refused.
pub(crate) fn refusals(asked: &Asked, config: &Config) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    let has = |content: &Content| content.len != Some(0);
    let is_allowed = match asked.role {
        1 => !has(&asked.data),
        2 => !has(&asked.body) && !has(&asked.data),
        _ => asked.data.source != Source::Pushed || !has(&asked.data),
    };
    if !is_allowed {
        reasons.push("StreamNotAllowed");
    }
    let lens = || {
        asked
            .pairs
            .iter()
            .map(|(name, value)| encode_pair(name, value).len())
    };
    if lens().any(|len| len > 65_535) && !config.split_long_pairs {
        reasons.push("PairTooLarge");
    }
    if lens().sum::<usize>() > config.max_params_len {
        reasons.push("ParamsTooLarge");
    }
    for (name, content) in [
        ("CONTENT_LENGTH", &asked.body),
        ("FCGI_DATA_LENGTH", &asked.data),
    ] {
        let declared: Vec<_> = asked.values(name).map(number).collect();
        match (declared.first(), content.len) {
            (Some(None), _) => reasons.push("InvalidLength"),
            (Some(Some(declared)), Some(len)) if *declared != len => reasons.push("LengthMismatch"),
            (None, None) => match config.unknown_length {
                UnknownLength::Buffer { limit }
                    if content.source != Source::Pushed && content.bytes.len() > limit =>
                {
                    reasons.push("BodyTooLarge");
                }
                UnknownLength::Refuse => reasons.push("LengthRequired"),
                _ => {}
            },
            _ => {}
        }
    }
    reasons
}

/// The name of a reason.
pub(crate) fn reason(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::StreamNotAllowed => "StreamNotAllowed",
        SubmitError::PairTooLarge { .. } => "PairTooLarge",
        SubmitError::ParamsTooLarge { .. } => "ParamsTooLarge",
        SubmitError::InvalidLength { .. } => "InvalidLength",
        SubmitError::LengthMismatch { .. } => "LengthMismatch",
        SubmitError::LengthRequired => "LengthRequired",
        SubmitError::BodyTooLarge { .. } => "BodyTooLarge",
        SubmitError::QueueFull { .. } => "QueueFull",
        _ => "another",
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The length that a body has to have. `None`: any.
pub(crate) fn stated(
    asked: &Asked,
    name: &str,
    content: &Content,
    config: &Config,
) -> Option<usize> {
    let declared = asked.values(name).next().and_then(number);
    let is_buffered = matches!(config.unknown_length, UnknownLength::Buffer { .. });
    content
        .len
        .or(declared)
        .or_else(|| is_buffered.then_some(content.bytes.len()))
}

/// The bytes of a body that may leave, and whether they are not what was promised.
pub(crate) fn to_send<'a>(
    asked: &'a Asked,
    name: &str,
    content: &'a Content,
    config: &Config,
) -> (&'a [u8], bool) {
    let len = stated(asked, name, content, config).unwrap_or(content.bytes.len());
    (
        &content.bytes[..len.min(content.bytes.len())],
        len != content.bytes.len(),
    )
}

/// The parameters that an application may get: those of the request in order, then the lengths of its bodies, in any order.
///
/// RFC 3875, 4.1.2, leaves a length out where there is no body; the library may state 0. An Authorizer gets none
/// (FastCGI 1.0, 6.3).
pub(crate) fn params(asked: &Asked, config: &Config) -> Vec<Vec<Pair>> {
    let mut allowed = vec![asked.pairs.clone()];
    for (name, content, roles) in [
        ("CONTENT_LENGTH", &asked.body, [1, 3]),
        ("FCGI_DATA_LENGTH", &asked.data, [3, 3]),
    ] {
        let len = stated(asked, name, content, config);
        let Some(len) =
            len.filter(|_| roles.contains(&asked.role) && asked.values(name).next().is_none())
        else {
            continue;
        };
        let pair = (name.as_bytes().to_vec(), len.to_string().into_bytes());
        let place = |pairs: &Vec<Pair>, at| {
            [&pairs[..at], std::slice::from_ref(&pair), &pairs[at..]].concat()
        };
        let places = |pairs: &Vec<Pair>| {
            (asked.pairs.len()..=pairs.len())
                .map(|at| place(pairs, at))
                .collect::<Vec<_>>()
        };
        let stating: Vec<Vec<Pair>> = allowed.iter().flat_map(places).collect();
        if len > 0 {
            allowed.clear();
        }
        allowed.extend(stating);
    }
    allowed
}
