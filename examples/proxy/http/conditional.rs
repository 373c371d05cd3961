//! Conditional requests and ranges for a file (RFC 9110, 13 and 14).

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::head::RequestHead;
use super::net::clock::http_date;

/// The validators of a file: what a client recognizes its content by.
pub(crate) struct Version {
    pub(crate) etag: String,
    /// The value of `Last-Modified`.
    pub(crate) modified: String,
    seconds: SystemTime,
}

/// The part of a file to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    /// From the first byte up to, and without, `to`.
    Part {
        from: u64,
        to: u64,
    },
    /// A range that begins at or after the end of the file: 416.
    NotSatisfiable,
    /// Nothing: the client has this version, 304.
    NotModified,
    /// Nothing: the request is for a different version, 412.
    PreconditionFailed,
}

impl Version {
    /// `now` is the time of the response.
    pub(crate) fn of(metadata: &Metadata, now: SystemTime) -> Self {
        let since = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .unwrap_or_default();
        let seconds = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        Self {
            etag: format!("\"{:x}-{:x}\"", since.as_nanos(), metadata.len()),
            // RFC 9110, 8.8.2.1: a time in the future would count as the date of this version until then.
            modified: http_date(seconds.min(now)),
            seconds,
        }
    }

    /// The validators that an application gave to the file, in place of the file's own. What is none is ignored.
    pub(crate) fn with_given(mut self, etag: Option<&[u8]>, modified: Option<&[u8]>) -> Self {
        let text = |value| std::str::from_utf8(value).ok();
        if let Some(etag) = etag.and_then(text).filter(|etag| is_tag(etag)) {
            etag.clone_into(&mut self.etag);
        }
        let date = modified
            .and_then(text)
            .and_then(|date| httpdate::parse_http_date(date).ok());
        if let Some(seconds) = date {
            (self.seconds, self.modified) = (seconds, http_date(seconds));
        }
        self
    }

    /// What to send for GET or HEAD of a file with `len` bytes. Conditions are evaluated in the order of RFC 9110,
    /// 13.2.2.
    pub(crate) fn wanted(&self, head: &RequestHead<'_, '_>, len: u64) -> Wanted {
        if !self.meets_precondition(head) {
            return Wanted::PreconditionFailed;
        }
        if self.is_not_modified(head) {
            return Wanted::NotModified;
        }
        match head.field("range") {
            Some(range) if head.method == "GET" && self.matches_if_range(head) => {
                let range = std::str::from_utf8(range).ok();
                let part = range.and_then(|range| parse_range(range.trim(), len));
                part.unwrap_or(Wanted::Whole)
            }
            _ => Wanted::Whole,
        }
    }

    /// Whether the request is for this version: If-Match, or without it If-Unmodified-Since.
    fn meets_precondition(&self, head: &RequestHead<'_, '_>) -> bool {
        match self.is_listed(head, "if-match", |tag, own| tag == own && is_strong(own)) {
            Some(is_listed) => is_listed,
            None => date_of(head, "if-unmodified-since").is_none_or(|since| self.seconds <= since),
        }
    }

    /// Whether the client has this version: If-None-Match, or without it If-Modified-Since.
    fn is_not_modified(&self, head: &RequestHead<'_, '_>) -> bool {
        match self.is_listed(head, "if-none-match", is_same_or_weak) {
            Some(is_listed) => is_listed,
            None => date_of(head, "if-modified-since").is_some_and(|since| self.seconds <= since),
        }
    }

    /// Whether a list of tags contains this version's tag or `*`. `None` if the field is absent.
    fn is_listed(
        &self,
        head: &RequestHead<'_, '_>,
        name: &str,
        is_same: fn(&[u8], &[u8]) -> bool,
    ) -> Option<bool> {
        head.field(name)?;
        let mut tags = head
            .values(name)
            .flat_map(|tags| tags.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii);
        Some(tags.any(|tag| tag == b"*" || is_same(tag, self.etag.as_bytes())))
    }

    /// Whether a part of this version matches the parts that the client has (If-Range).
    fn matches_if_range(&self, head: &RequestHead<'_, '_>) -> bool {
        head.field("if-range").is_none_or(|condition| {
            let etag = self.etag.as_bytes();
            (condition.trim_ascii() == etag && is_strong(etag))
                || date_of(head, "if-range").is_some_and(|date| date == self.seconds)
        })
    }
}

/// Whether a text is a tag (RFC 9110, 8.8.3).
fn is_tag(text: &str) -> bool {
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| {
        inner
            .bytes()
            .all(|byte| byte > b' ' && !b"\"\x7f".contains(&byte))
    })
}

fn is_strong(tag: &[u8]) -> bool {
    !tag.starts_with(b"W/")
}

fn is_same_or_weak(tag: &[u8], own: &[u8]) -> bool {
    without_weakness(tag) == without_weakness(own)
}

fn without_weakness(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Parses a single range. `None` for anything else, which is ignored (RFC 9110, 14.2).
fn parse_range(range: &str, len: u64) -> Option<Wanted> {
    let (unit, range) = range.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (from, to) = match range.trim().split_once('-')? {
        ("", last) => match position(last)? {
            // A suffix range of an empty file: the whole file is sent, as no Content-Range can describe it.
            1.. if len == 0 => return None,
            last => (len.saturating_sub(last), len),
        },
        (first, "") => (position(first)?, len),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            if first > last {
                return None;
            }
            (first, last.saturating_add(1).min(len))
        }
    };
    Some(if from < to {
        Wanted::Part { from, to }
    } else {
        Wanted::NotSatisfiable
    })
}

/// A number. If it does not fit 64 bits, it is after the end of any file.
fn position(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn date_of(head: &RequestHead<'_, '_>, name: &str) -> Option<SystemTime> {
    let value = std::str::from_utf8(head.field(name)?).ok()?;
    httpdate::parse_http_date(value.trim()).ok()
}
