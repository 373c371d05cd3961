//! Pieces of a file, read into memory.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};

use super::net::socket::Socket;
use super::site::context::Context;

/// Reads a piece of a file, `left` bytes at most, and sends it. Returns how much of it is sent, or will be.
pub(crate) fn copy_piece(
    cx: &mut Context,
    socket: &mut Socket,
    file: &mut File,
    left: u64,
    scratch: &mut [u8],
) -> io::Result<usize> {
    let most = scratch.len();
    let wanted = usize::try_from(left).map_or(most, |left| left.min(most));
    let len = loop {
        match file.read(&mut scratch[..wanted]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it shrank")),
            read => break read?,
        }
    };
    socket.put(cx.now(), [&scratch[..len], b""], cx.buffers());
    if socket.is_writable() {
        return Ok(len);
    }
    // What the client does not take is read again later: until then it takes no memory.
    let back = socket.take_back(len, cx.buffers());
    if back > 0 {
        file.seek_relative(-(back as i64))?;
    }
    Ok(len - back)
}

/// Appends a file, from its current position. Returns how many bytes there were, `len` at most.
pub(crate) fn append(mut file: File, len: u64, out: &mut Vec<u8>) -> u64 {
    let start = out.len();
    let end = start + usize::try_from(len).unwrap_or_default();
    // `read_to_end` takes four reads for 64 KiB.
    out.resize(end, 0);
    let mut at = start;
    while at < end {
        match file.read(&mut out[at..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // What was read before an error is kept.
            Ok(0) | Err(_) => break,
            Ok(len) => at += len,
        }
    }
    out.truncate(at);
    (at - start) as u64
}
