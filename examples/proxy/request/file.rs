//! Files that are sent as they are. `http::conditional` finds out which part of a file a client asks for.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error_page::READ_ONLY;
use super::exchange::Exchange;
use super::http::conditional::{Version, Wanted};
use super::http::head::RequestHead;
use super::net::socket::Socket;
use super::response::OwnBody;
use super::site::context::Context;

/// Responds with a file. Opening and reading it can block on the disk. False: the file is gone, and there is no response
/// yet.
pub(crate) fn answer(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    path: &Path,
) -> bool {
    if !matches!(head.method, "GET" | "HEAD") {
        exchange.refuse_method(cx, socket, READ_ONLY);
        return true;
    }
    match open(path) {
        Ok((file, metadata)) if metadata.is_file() => {
            send(exchange, cx, socket, head, path, file, &metadata);
        }
        Ok(_) => return false,
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => return false,
            ErrorKind::PermissionDenied => {
                exchange.fail(cx, socket, 403, "access to this path is denied");
            }
            // For example: no descriptor left.
            _ => {
                exchange.report(cx, socket, format_args!("a file cannot be opened: {error}"));
                exchange.fail(cx, socket, 503, "the file cannot be opened now");
            }
        },
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
    mut file: File,
    metadata: &Metadata,
) {
    let version = Version::of(metadata, cx.second());
    let (etag, modified) = (version.etag.as_bytes(), version.modified.as_bytes());
    let len = metadata.len();
    let range = match version.wanted(head, len) {
        Wanted::Part { from, to } => Some((from, to)),
        Wanted::Whole => None,
        Wanted::NotModified => {
            let fields: &[(&[u8], &[u8])] = &[(b"ETag", etag), (b"Last-Modified", modified)];
            return exchange.answer(cx, socket, 304, fields, OwnBody::None);
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
    let (start, len_sent) = range.map_or((0, len), |(from, to)| (from, to - from));
    if start > 0 && file.seek(SeekFrom::Start(start)).is_err() {
        return exchange.fail(cx, socket, 500, "the file cannot be read");
    }
    let body = OwnBody::File {
        content_type: &content_type(path),
        file,
        len: len_sent,
    };
    let fields: &[(&[u8], &[u8])] = &[
        (b"Last-Modified", modified),
        (b"ETag", etag),
        (b"Accept-Ranges", b"bytes"),
        // A browser shows a file as what its name says, not as what its content looks like.
        (b"X-Content-Type-Options", b"nosniff"),
    ];
    match range {
        None => exchange.answer(cx, socket, 200, fields, body),
        Some((from, to)) => {
            let range = format!("bytes {from}-{}/{len}", to - 1);
            let part: (&[u8], &[u8]) = (b"Content-Range", range.as_bytes());
            exchange.answer(cx, socket, 206, &[fields, &[part]].concat(), body);
        }
    }
}

/// Opens a file for reading. Without blocking: if a FIFO has replaced the file since the lookup, the loop does not wait
/// for a writer.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

fn content_type(path: &Path) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let charset = if kind.type_() == "text" {
        "; charset=utf-8"
    } else {
        ""
    };
    format!("{}{charset}", kind.essence_str())
}
