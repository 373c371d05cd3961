//! Files that are sent as they are. `http::conditional` finds out which part of a file a client asks for.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::slice::EscapeAscii;

use mio_fcgi::cgi::Resolution;

use super::beneath::{self, NotOpened};
use super::elsewhere::GivenFields;
use super::error_page::READ_ONLY;
use super::exchange::Exchange;
use super::http::conditional::{Version, Wanted};
use super::http::head::RequestHead;
use super::net::socket::Socket;
use super::response::{IN_MEMORY, OwnBody};
use super::site::budget::Held;
use super::site::context::Context;

/// A file that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundFile<'a> {
    /// Its name tells the type.
    path: &'a Path,
    directory: &'a Path,
    relative: &'a Path,
}

impl<'a> FoundFile<'a> {
    /// `None`: what was found is no file.
    pub(crate) fn of(found: &'a Resolution) -> Option<Self> {
        match found {
            Resolution::StaticFile {
                path,
                directory,
                relative,
            } => Some(Self {
                path,
                directory,
                relative,
            }),
            _ => None,
        }
    }
}

/// Responds with a file. Opening and reading it can block on the disk. `given`: what an application says about the file.
/// False: the file is gone, and there is no response yet.
pub(crate) fn answer(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    found: FoundFile<'_>,
    given: &GivenFields,
) -> bool {
    if !matches!(head.method, "GET" | "HEAD") {
        exchange.refuse_method(cx, socket, READ_ONLY);
        return true;
    }
    let refused = "access to this path is denied";
    match beneath::open(found.directory, found.relative) {
        Ok(opened) => send(exchange, cx, socket, head, found.path, opened, given),
        Err(NotOpened::Gone) => return false,
        Err(NotOpened::Denied) => {
            let path = shown(found.path.as_os_str().as_encoded_bytes());
            exchange.report(cx, socket, format_args!(
                "answered with 403: the user of this proxy may not read a file: permit it, or run the proxy as its owner: {path}"
            ));
            exchange.fail(cx, socket, 403, refused);
        }
        Err(NotOpened::OnlyForRoot) => {
            let path = shown(found.path.as_os_str().as_encoded_bytes());
            exchange.report(cx, socket, format_args!(
                "a file that only root may read is not sent: make it readable for all, or run the proxy as its owner: {path}"
            ));
            exchange.fail(cx, socket, 403, refused);
        }
        Err(NotOpened::Failed(error)) => {
            exchange.report(cx, socket, format_args!("a file cannot be opened: {error}"));
            exchange.fail(cx, socket, 503, SHORTAGE);
        }
    }
    true
}

/// Sends what the request asks for of an open file.
fn send(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    path: &Path,
    (mut file, metadata): (File, Metadata),
    given: &GivenFields,
) {
    let version = Version::of(&metadata, cx.second())
        .with_given(given.get("ETag"), given.get("Last-Modified"));
    let validators: [(&[u8], &[u8]); 2] = [
        (b"Last-Modified", version.modified.as_bytes()),
        (b"ETag", version.etag.as_bytes()),
    ];
    let given_fields = given.without(&["ETag", "Last-Modified", "Content-Type"]);
    let mut fields: Vec<(&[u8], &[u8])> = given_fields.chain(validators).collect();
    let len = metadata.len();
    let part = match version.wanted(head, len) {
        Wanted::Part { from, to } => Some((from, to)),
        Wanted::Whole => None,
        Wanted::NotModified => {
            return exchange.answer(cx, socket, 304, &fields, OwnBody::None);
        }
        Wanted::PreconditionFailed => {
            return exchange.fail(cx, socket, 412, "the file has changed");
        }
        Wanted::NotSatisfiable => {
            let range = format!("bytes */{len}");
            let fields: &[(&[u8], &[u8])] = &[(b"Content-Range", range.as_bytes())];
            let (content_type, text) = ("text/plain", "");
            let body = OwnBody::Text { content_type, text };
            return exchange.answer(cx, socket, 416, fields, body);
        }
    };
    let (from, to) = part.unwrap_or((0, len));
    if from > 0 && file.seek(SeekFrom::Start(from)).is_err() {
        return exchange.fail(cx, socket, 500, "the file cannot be read");
    }
    let mut held = Held::none_of(cx.budget());
    let stays_open = head.method == "GET" && to - from > IN_MEMORY;
    if stays_open && !held.take_file() {
        let what = format_args!(
            "answered with 503: as many files are open as the limit of descriptors (ulimit -n) leaves for them"
        );
        exchange.report(cx, socket, what);
        return exchange.fail(cx, socket, 503, SHORTAGE);
    }
    // Empty: how a PHP script leaves the type to the server.
    let given_type = given.get("Content-Type").filter(|it| !it.is_empty());
    let content_type = match given_type.map(std::str::from_utf8) {
        Some(Ok(given)) => Cow::Borrowed(given),
        Some(Err(_)) | None => Cow::Owned(content_type(path)),
    };
    let body = OwnBody::File {
        content_type: &content_type,
        file,
        len: to - from,
        held,
    };
    fields.push((b"Accept-Ranges", b"bytes"));
    if given.get(NOSNIFF.0).is_none() {
        fields.push((NOSNIFF.0.as_bytes(), NOSNIFF.1));
    }
    let range = part.map(|(from, to)| format!("bytes {from}-{}/{len}", to - 1));
    if let Some(range) = &range {
        fields.push((b"Content-Range", range.as_bytes()));
    }
    let status = if range.is_some() { 206 } else { 200 };
    exchange.answer(cx, socket, status, &fields, body);
}

/// A path for the log, cut off if it is long.
pub(crate) fn shown(path: &[u8]) -> EscapeAscii<'_> {
    path[..path.len().min(MAX_SHOWN)].escape_ascii()
}

const MAX_SHOWN: usize = 256;
/// A browser shows a file as what its type says, not as what its content looks like.
const NOSNIFF: (&str, &[u8]) = ("X-Content-Type-Options", b"nosniff");
const SHORTAGE: &str = "the file cannot be opened now";

fn content_type(path: &Path) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let charset = if kind.type_() == "text" {
        "; charset=utf-8"
    } else {
        ""
    };
    format!("{}{charset}", kind.essence_str())
}
