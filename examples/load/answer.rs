//! Checks whether a response is the expected one.

use mio_fcgi::cgi::{HeadError, HeadParser};
use thiserror::Error;

/// How much of the response to a request has come. Small, because there is one for each request in flight.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    body_len: u64,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Nothing,
    /// Part of the head, or one that cannot be parsed.
    Head(Box<HeadParser>),
    /// The whole head, with this status.
    Body(u16),
}

/// What all responses are compared with.
#[derive(Debug)]
pub(crate) struct Wanted {
    body_len: Option<u64>,
    /// The bytes of an earlier head, and its status: the next head is most likely the same.
    known: Option<(Vec<u8>, u16)>,
    /// A parser that is not in use.
    spare: Option<Box<HeadParser>>,
}

/// What is wrong with a complete response.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Wrong {
    #[error("status {0}")]
    Status(u16),
    #[error("invalid response head: {0}")]
    Head(HeadError),
    #[error("the length of the body is not --body-expected")]
    BodyLen,
    #[error("application status {0}")]
    AppStatus(u32),
}

impl Wanted {
    /// `body_len`: the expected length of each body, in bytes.
    pub(crate) fn new(body_len: Option<u64>) -> Self {
        Self {
            body_len,
            known: None,
            spare: None,
        }
    }
}

impl Answer {
    /// Takes a piece of `FCGI_STDOUT`.
    pub(crate) fn push(&mut self, wanted: &mut Wanted, mut piece: &[u8]) {
        if !matches!(self.stage, Stage::Body(_)) {
            piece = self.push_head(wanted, piece);
        }
        self.body_len += piece.len() as u64;
    }

    /// Checks the complete response and prepares for the next one.
    ///
    /// # Errors
    /// What is wrong with the response.
    pub(crate) fn end(&mut self, wanted: &Wanted, app_status: u32) -> Result<(), Wrong> {
        let verdict = self.check(wanted, app_status);
        self.clear();
        verdict
    }

    /// Drops the current response.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn check(&self, wanted: &Wanted, app_status: u32) -> Result<(), Wrong> {
        match &self.stage {
            Stage::Nothing => return Err(Wrong::Head(HeadError::Missing)),
            Stage::Head(head) => head.end().map_err(Wrong::Head)?,
            Stage::Body(status) if *status >= 400 => return Err(Wrong::Status(*status)),
            Stage::Body(_) => {}
        }
        if app_status != 0 {
            return Err(Wrong::AppStatus(app_status));
        }
        match wanted.body_len {
            Some(len) if len != self.body_len => Err(Wrong::BodyLen),
            _ => Ok(()),
        }
    }

    /// Parses the bytes of the head. Returns the bytes after it.
    fn push_head<'a>(&mut self, wanted: &mut Wanted, piece: &'a [u8]) -> &'a [u8] {
        let mut parser = match std::mem::take(&mut self.stage) {
            Stage::Head(parser) => parser,
            Stage::Nothing | Stage::Body(_) => {
                if let Some((bytes, status)) = &wanted.known
                    && let Some(body) = piece.strip_prefix(bytes.as_slice())
                {
                    self.stage = Stage::Body(*status);
                    return body;
                }
                wanted.spare.take().unwrap_or_default()
            }
        };
        let mut rest = piece;
        let (status, body) = loop {
            match parser.push(rest) {
                Ok(Some((head, body))) if head.is_interim() => rest = body,
                Ok(Some((head, body))) => {
                    let status = head.status();
                    let head_len = piece.len() - body.len();
                    if rest.len() == piece.len() && head.encoded_len() == head_len {
                        wanted.known = Some((piece[..head_len].to_vec(), status));
                    }
                    break (status, body);
                }
                // The parser keeps an error.
                Ok(None) | Err(_) => {
                    self.stage = Stage::Head(parser);
                    return &[];
                }
            }
        };
        parser.clear();
        wanted.spare = Some(parser);
        self.stage = Stage::Body(status);
        body
    }
}
