//! Puts request bodies into the outbox of a connection, and decides how much each request may frame.
//!
//! Requests with more to send are in their connection's send queue and frame one record each in turn: at most 16 KiB of
//! content while others wait, 65,528 bytes when alone. The outbox is filled up to 64 KiB, or 256 KiB for a body in
//! memory on a connection that is not shared. Only the 8 bytes that end a stream do not wait for room.
//!
//! The heads of new requests ([`super::heads`]) go before bodies: at least 16 KiB of them, then one record of a body.
//! Those that fit into 16 KiB therefore wait for at most 128 KiB of other requests' bodies, headers and padding aside.

use log::trace;

use super::outbox::BufferPool;
use super::{Connection, Requests};
use crate::engine::requests::{BodySlice, Ready, Request, State};
use crate::error::BodyError;
use crate::wire::{self, HEADER_LEN, Header, MAX_ALIGNED_CONTENT_LEN};

/// The most content in a record while other requests on the connection have something to send.
const FAIR_RECORD: usize = 16 * 1024;
/// The unsent bytes up to which an outbox is filled.
const FULL: usize = 64 * 1024;
/// The unsent bytes up to which an outbox is filled from a body in memory, on a connection with one request at a time.
const FULL_ALONE: usize = 256 * 1024;
/// Content up to this length is copied after its header, which is cheaper than a slice of its own.
const COPIED: usize = 4 * 1024;
/// The most bytes requested from a reader at a time.
const READ: usize = 32 * 1024;

/// The result of filling an outbox.
#[derive(Debug)]
#[must_use]
pub(crate) enum Filled {
    Done,
    /// The body of a request could not be read. Other requests may still have something to send.
    BodyFailed {
        request: u32,
        error: BodyError,
    },
}

/// The result of one request's turn.
enum Framed {
    More,
    /// The embedder has to push more bytes.
    Starved,
    Done,
}

impl Connection {
    /// Whether a head can be framed, or a body waits for its turn.
    #[inline]
    pub(crate) fn wants_fill(&self) -> bool {
        self.can_frame_head() || self.sending.next_sender().is_some()
    }

    /// Frames heads, and lets the requests in the send queue frame records, until the outbox is full. The embedder of a
    /// pushed body is notified once at most `half` bytes of it are unsent.
    pub(crate) fn fill(
        &mut self,
        key: u32,
        requests: &mut Requests,
        keep: bool,
        half: usize,
        pool: &mut BufferPool,
    ) -> Filled {
        if self.can_frame_head() {
            self.frame_heads(key, requests, keep, pool);
        }
        while let Some((sender, is_alone)) = self.sending.next_sender() {
            let (own, request_key) = (self.handle(key), sender.request_key);
            let is_own = |it: &&mut Request| {
                it.connection() == Some(own)
                    && it.id() == Some(sender.id)
                    && it.upload().is_queued()
            };
            let Some(request) = requests.get_mut(request_key).filter(is_own) else {
                self.sending.remove_sender();
                if self.can_frame_head() {
                    // The heads may have waited for its turn.
                    self.frame_heads(key, requests, keep, pool);
                }
                continue;
            };
            let full = match request.upload().ready() {
                Ready::Memory(_) if is_alone && self.max_requests == 1 => FULL_ALONE,
                Ready::Memory(_) | Ready::Reader | Ready::Starved => FULL,
                // The end of a stream is not worth a write of its own: it leaves with what is unsent.
                Ready::ReaderEnd | Ready::End => usize::MAX,
            };
            if self.unsent() >= full {
                break;
            }
            self.sending.remove_sender();
            request.upload_mut().set_queued(false);
            let quantum = if is_alone && self.heads.is_empty() {
                MAX_ALIGNED_CONTENT_LEN
            } else {
                FAIR_RECORD
            };
            let framed = self.frame_record(key, request_key, request, quantum, pool);
            requests.notify_stdin_ready(request_key, half);
            self.heads.end_turn();
            match framed {
                Ok(Framed::More) => {
                    requests[request_key].upload_mut().set_queued(true);
                    self.sending.add_sender(sender);
                }
                Ok(Framed::Starved | Framed::Done) => {}
                Err(error) => {
                    return Filled::BodyFailed {
                        request: request_key,
                        error,
                    };
                }
            }
            if self.can_frame_head() {
                self.frame_heads(key, requests, keep, pool);
            }
        }
        Filled::Done
    }

    /// Frames one record of a request's body, or the end of a stream.
    fn frame_record(
        &mut self,
        key: u32,
        request_key: u32,
        request: &mut Request,
        quantum: usize,
        pool: &mut BufferPool,
    ) -> Result<Framed, BodyError> {
        let State::Active { id, .. } = request.state() else {
            return Ok(Framed::Done);
        };
        let handle = request.handle(request_key);
        let upload = request.upload_mut();
        let Some((stream, record_type)) = upload.stream() else {
            return Ok(Framed::Done);
        };
        let ready = upload.ready();
        let outbox = self.sending.outbox();
        let start = outbox.end_offset();
        let Some(source) = upload.source(stream) else {
            debug_assert!(false, "only a Filter sends data");
            return Ok(Framed::Done);
        };
        let len = match ready {
            Ready::Starved => return Ok(Framed::Starved),
            Ready::End => 0,
            Ready::Memory(left) => {
                let len = left.min(quantum as u64) as usize;
                let header = Header::padded(record_type, id, len as u16);
                let padding = usize::from(header.padding_len);
                let is_copied = len <= COPIED && source.releases_next();
                let offset = source.take(len as u64);
                if is_copied {
                    outbox.frame(pool, |buffer| {
                        buffer.extend_from_slice(&header.encode());
                        buffer.extend_from_slice(source.bytes(offset, len));
                        buffer.resize(buffer.len() + padding, 0);
                    });
                    source.release(len);
                } else {
                    outbox.frame(pool, |buffer| buffer.extend_from_slice(&header.encode()));
                    let slice = BodySlice {
                        request: request_key,
                        stream,
                        offset,
                        len,
                    };
                    outbox.push_body(slice, pool);
                    outbox.frame(pool, |buffer| buffer.resize(buffer.len() + padding, 0));
                }
                len
            }
            Ready::Reader | Ready::ReaderEnd => outbox.frame(pool, |buffer| {
                let before = buffer.len();
                buffer.extend_from_slice(&[0; HEADER_LEN]);
                match source.read(buffer, quantum.min(READ)) {
                    Ok(len) if len > 0 => {
                        let header = Header::padded(record_type, id, len as u16);
                        buffer[before..before + HEADER_LEN].copy_from_slice(&header.encode());
                        buffer.resize(buffer.len() + usize::from(header.padding_len), 0);
                        Ok(len)
                    }
                    ended_or_failed => {
                        buffer.truncate(before);
                        ended_or_failed
                    }
                }
            })?,
        };
        let is_done = if len == 0 {
            outbox.frame(pool, |buffer| {
                wire::write_stream_end(buffer, record_type, id)
            });
            upload.end_stream()
        } else {
            trace!("connection {key}: {record_type} {len} bytes for id {id}");
            false
        };
        let end = outbox.end_offset();
        upload.note_framed(end - start, end);
        if is_done {
            self.sending.add_mark(handle);
            return Ok(Framed::Done);
        }
        Ok(Framed::More)
    }
}
