//! How far a response has come, and what becomes of its body.

use super::ResponseError;
use super::reply::{ReplyTo, Verdict};
use super::reply_framing::{Body, Framing, LAST_CHUNK, write_chunk_size};

/// A part of a body, as [`Reply::body`](super::Reply::body) returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyPart<'d> {
    /// The bytes, borrowed from the piece of output. Never empty.
    pub data: &'d [u8],
    /// What to send after them: the end of a chunk, or nothing.
    pub suffix: &'static [u8],
}

/// Everything about a reply but its parser, whose head is lent while this changes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) to: ReplyTo,
    pub(super) state: State,
    /// 0: no final head was written.
    pub(super) status: u16,
    pub(super) body_len: u64,
    pub(super) discarded: u64,
    pub(super) error: Option<ResponseError>,
}

#[derive(Debug, Default)]
pub(super) enum State {
    /// The final head is awaited.
    #[default]
    Head,
    /// The final head was lent to the embedder, who has not written it.
    Withheld,
    Body(Body),
    Over(Verdict),
}

impl Progress {
    /// Takes the next part of the body from a piece that is not empty.
    pub(super) fn take<'d>(
        &mut self,
        piece: &mut &'d [u8],
        out: &mut Vec<u8>,
    ) -> Option<BodyPart<'d>> {
        let body = match &mut self.state {
            State::Body(body) if !body.is_complete() => body,
            _ => {
                self.discarded += std::mem::take(piece).len() as u64;
                return None;
            }
        };
        let content = match &mut body.decoder {
            None => std::mem::take(piece),
            Some(decoder) => match decoder.decode(piece) {
                Ok(decoded) => {
                    *piece = &piece[decoded.used..];
                    decoded.content
                }
                Err(error) => {
                    self.fail(error.into());
                    return None;
                }
            },
        };
        let (mut data, mut suffix) = (content, &b""[..]);
        match &mut body.framing {
            Framing::Counted { left, .. } => {
                let len =
                    usize::try_from(*left).map_or(content.len(), |left| left.min(content.len()));
                *left -= len as u64;
                self.discarded += (content.len() - len) as u64;
                data = &content[..len];
            }
            Framing::Chunked if !content.is_empty() => {
                write_chunk_size(out, content.len());
                suffix = b"\r\n";
            }
            Framing::Chunked | Framing::Close | Framing::None => {}
        }
        self.body_len += data.len() as u64;
        (!data.is_empty()).then_some(BodyPart { data, suffix })
    }

    /// The application ends its output. Has no effect outside of a body.
    pub(super) fn complete(&mut self, out: &mut Vec<u8>) -> Option<Verdict> {
        let State::Body(body) = &self.state else {
            return None;
        };
        if let Err(error) = body.end() {
            return Some(self.fail(error));
        }
        if body.framing == Framing::Chunked {
            out.extend_from_slice(LAST_CHUNK);
        }
        Some(self.finish())
    }

    pub(super) fn finish(&mut self) -> Verdict {
        let verdict = match self.to.keep_alive {
            true => Verdict::Keep,
            false => Verdict::Close,
        };
        self.state = State::Over(verdict);
        verdict
    }

    /// Ends the response with an error.
    pub(super) fn fail(&mut self, error: ResponseError) -> Verdict {
        let status = error.http_status();
        self.error = Some(error);
        if matches!(self.state, State::Body(_)) {
            return self.cut();
        }
        let verdict = Verdict::NothingSent { status };
        self.state = State::Over(verdict);
        verdict
    }

    pub(super) fn cut(&mut self) -> Verdict {
        let needs_reset =
            matches!(&self.state, State::Body(body) if body.framing == Framing::Close);
        let verdict = Verdict::Cut { needs_reset };
        self.state = State::Over(verdict);
        verdict
    }
}
