//! The head of a response, on its way to the client.

use std::ops::Range;

use super::bytes::is_named;
use super::head::{Head, Span};
use super::reason::reason_phrase;
use super::reply::ReplyTo;
use super::reply_framing::{Body, Framing, RESET_CONTENT};
use super::reply_progress::{Progress, State};
use super::{has_body, is_for_server, is_hop_by_hop};
use crate::params::Names;

/// The application's head, before it is written: see [`Reply::head`](super::Reply::head).
///
/// If it is dropped, nothing of the response is written: the embedder answers in another way, with
/// [`Reply::answer`](super::Reply::answer) for instance, and output that follows is dropped. The embedder may abort the
/// request.
#[derive(Debug)]
#[must_use = "nothing of the response is written without `write`"]
pub struct ReplyHead<'r> {
    head: Head<'r>,
    progress: &'r mut Progress,
    is_chunked: bool,
    defaults: &'r [(&'r str, &'r str)],
    removed: &'r [&'r str],
}

impl<'r> ReplyHead<'r> {
    pub(super) fn new(head: Head<'r>, progress: &'r mut Progress, is_chunked: bool) -> Self {
        Self {
            head,
            progress,
            is_chunked,
            defaults: &[],
            removed: &[],
        }
    }

    /// The head as the application sent it: its status, its fields, a
    /// [local redirect](super::Head::local_redirect).
    #[must_use]
    pub fn head(&self) -> Head<'_> {
        self.head
    }

    /// Adds fields, each only if the application did not send a field of that name: `Date` and `Server`, for instance.
    /// The values are written as they are.
    pub fn with_defaults(mut self, fields: &'r [(&'r str, &'r str)]) -> Self {
        self.defaults = fields;
        self
    }

    /// Removes the fields of these names. Names are compared without case. A default of such a name replaces the
    /// application's field. `Content-Length` is not removed: it frames the body.
    pub fn without(mut self, names: &'r [&'r str]) -> Self {
        self.removed = names;
        self
    }

    /// Appends the status line and the fields to `out`, and the blank line after them.
    pub fn write(self, out: &mut Vec<u8>) {
        let (head, status) = (&self.head, self.head.status());
        let mut to = self.progress.to;
        let body = Body::new(head, to.head_only, to.http11, self.is_chunked);
        to.keep_alive &= body.framing != Framing::Close;
        // RFC 9110, 8.6: a 204 has no length. With 205 it is 0. A body that was chunked has another one.
        let is_length_removed = matches!(status, 204 | RESET_CONTENT) || self.is_chunked;
        let mut names = Names::EMPTY;
        for span in head.spans {
            names.insert(&head.bytes[span.name.clone()]);
        }
        let has = |name: &[u8]| names.may_have(name) && head.get(name).is_some();
        let has_options = has(b"connection");
        write_status(out, status, head.reason());
        let mut kept = Kept::of(head);
        for span in head.spans {
            let name = &head.bytes[span.name.clone()];
            let is_removed = match name.len() {
                14 if is_named(name, b"content-length") => is_length_removed,
                _ if is_hop_by_hop(name)
                    || is_for_server(name)
                    || (has_options && is_connection_option(head, name)) =>
                {
                    true
                }
                _ => self.is_unwanted(name),
            };
            if !is_removed {
                kept.write(span, out);
            }
        }
        kept.end(out);
        for (name, value) in self.defaults {
            let name = name.as_bytes();
            if self.is_unwanted(name) || !has(name) {
                write_field(out, name, value.as_bytes());
            }
        }
        if status == RESET_CONTENT {
            out.extend_from_slice(b"Content-Length: 0\r\n");
        }
        if body.framing == Framing::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        write_connection(out, to);
        self.progress.to = to;
        self.progress.status = status;
        self.progress.state = State::Body(body);
    }

    fn is_unwanted(&self, name: &[u8]) -> bool {
        let is = |removed: &&str| removed.as_bytes().eq_ignore_ascii_case(name);
        self.removed.iter().any(is)
    }
}

/// Fields that are passed on. Their lines are copied as they are, as many as possible at a time.
struct Kept<'h> {
    bytes: &'h [u8],
    /// Lines that are not copied yet.
    lines: Range<usize>,
}

impl<'h> Kept<'h> {
    fn of(head: &Head<'h>) -> Self {
        Self {
            bytes: head.bytes,
            lines: 0..0,
        }
    }

    fn write(&mut self, span: &Span, out: &mut Vec<u8>) {
        let end = span.value.end + 2;
        let is_plain = self.bytes.get(span.name.end..span.value.start) == Some(b": ")
            && self.bytes.get(span.value.end..end) == Some(b"\r\n");
        if is_plain && self.lines.end == span.name.start {
            self.lines.end = end;
            return;
        }
        self.end(out);
        if is_plain {
            self.lines = span.name.start..end;
        } else {
            let [name, value] = [&span.name, &span.value].map(|it| &self.bytes[it.clone()]);
            write_field(out, name, value);
        }
    }

    /// Copies what is left.
    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[std::mem::take(&mut self.lines)]);
    }
}

/// Passes an interim head on (RFC 9110, 15.2).
pub(super) fn write_interim(out: &mut Vec<u8>, head: &Head<'_>) {
    write_status(out, head.status(), head.reason());
    for (name, value) in head.fields() {
        let is_removed = is_hop_by_hop(name)
            || is_for_server(name)
            || name.eq_ignore_ascii_case(b"content-length")
            || is_connection_option(head, name);
        if !is_removed {
            write_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a response that is not an application's.
pub(super) fn write_own(
    out: &mut Vec<u8>,
    to: ReplyTo,
    status: u16,
    fields: &[(&str, &str)],
    body: &[u8],
) -> usize {
    write_status(out, status, b"");
    for (name, value) in fields {
        write_field(out, name.as_bytes(), value.as_bytes());
    }
    let body = if has_body("", status) && status != RESET_CONTENT {
        body
    } else {
        &[]
    };
    if has_body("", status) {
        out.extend_from_slice(b"Content-Length: ");
        write_decimal(out, body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    write_connection(out, to);
    let body = if to.head_only { &[] } else { body };
    out.extend_from_slice(body);
    body.len()
}

/// Ends a head.
fn write_connection(out: &mut Vec<u8>, to: ReplyTo) {
    match (to.keep_alive, to.http11) {
        (true, true) => out.extend_from_slice(b"\r\n"),
        (true, false) => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
        (false, _) => out.extend_from_slice(b"Connection: close\r\n\r\n"),
    }
}

fn write_status(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    if status == 200 && reason.is_empty() {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, status.into());
    out.push(b' ');
    if reason.is_empty() {
        out.extend_from_slice(reason_phrase(status).as_bytes());
    } else {
        out.extend_from_slice(reason);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_decimal(out: &mut Vec<u8>, value: u64) {
    let mut text = [b'0'; 20];
    let mut start = text.len() - 1;
    let mut left = value;
    while left > 9 {
        text[start] = b"0123456789"[(left % 10) as usize];
        start -= 1;
        left /= 10;
    }
    text[start] = b"0123456789"[left as usize];
    out.extend_from_slice(&text[start..]);
}

/// Whether `Connection` lists the field, which then concerns the connection, too (RFC 9110, 7.6.1).
fn is_connection_option(head: &Head<'_>, name: &[u8]) -> bool {
    let mut fields = head.fields();
    fields.any(|(other, value)| {
        let mut options = value.split(|byte| *byte == b',').take(MAX_OPTIONS);
        other.eq_ignore_ascii_case(b"connection")
            && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(name))
    })
}

/// The most options of a `Connection` field that are looked at: each is compared with each field.
const MAX_OPTIONS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_leading_zeros() {
        for value in [0, 1, 9, 10, 99, 100, 204, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }
}
