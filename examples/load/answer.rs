//! Checks whether a response is the expected one.

use mio_fcgi::cgi::{HeadError, HeadParser};
use thiserror::Error;

/// Parses the responses to one request after the other.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    head: HeadParser,
    /// The parser has bytes of the current response.
    parsing: bool,
    status: Option<u16>,
    body_len: u64,
    error: Option<HeadError>,
}

/// What all responses are compared with.
#[derive(Debug)]
pub(crate) struct Wanted {
    body_len: Option<u64>,
    /// The bytes of an earlier head, and its status: the next head is most likely the same.
    known: Option<(Vec<u8>, u16)>,
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
        }
    }
}

impl Answer {
    /// Takes a piece of `FCGI_STDOUT`.
    pub(crate) fn push(&mut self, wanted: &mut Wanted, mut piece: &[u8]) {
        if self.status.is_none() && self.error.is_none() {
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
        if std::mem::take(&mut self.parsing) {
            self.head.clear();
        }
        self.status = None;
        self.body_len = 0;
        self.error = None;
    }

    fn check(&self, wanted: &Wanted, app_status: u32) -> Result<(), Wrong> {
        match (self.status, self.error) {
            (_, Some(error)) => return Err(Wrong::Head(error)),
            (None, None) => self.head.end().map_err(Wrong::Head)?,
            (Some(status), None) if status >= 400 => return Err(Wrong::Status(status)),
            (Some(_), None) => {}
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
        if !self.parsing
            && let Some((bytes, status)) = &wanted.known
            && let Some(body) = piece.strip_prefix(bytes.as_slice())
        {
            self.status = Some(*status);
            return body;
        }
        self.parsing = true;
        let mut rest = piece;
        loop {
            match self.head.push(rest) {
                Ok(None) => return &[],
                Ok(Some((head, body))) if head.is_interim() => rest = body,
                Ok(Some((head, body))) => {
                    let status = head.status();
                    self.status = Some(status);
                    let head_len = piece.len() - body.len();
                    if rest.len() == piece.len() && head.encoded_len() == head_len {
                        wanted.known = Some((piece[..head_len].to_vec(), status));
                    }
                    return body;
                }
                Err(error) => {
                    self.error = Some(error);
                    return &[];
                }
            }
        }
    }
}
