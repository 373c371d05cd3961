//! The length of a body, and the parameter that declares it.

use std::io::Write;

use crate::config::UnknownLength;
use crate::error::SubmitError;
use crate::params::{Declared, Params};
use crate::request::{Body, Content};

/// The length of a body, reconciled with the parameter that declares it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    name: &'static str,
    /// `None` when the length is unknown.
    len: Option<u64>,
    /// Whether the parameter is missing although the length is known.
    is_unstated: bool,
}

/// The results of the check of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    /// The slot of the server that the request names.
    pub(crate) pinned: Option<u16>,
    /// The lengths of the body and of a Filter's data, if known.
    pub(crate) lens: (Option<u64>, Option<u64>),
    /// The positions of their seekable readers.
    pub(crate) origins: (u64, u64),
    /// `Some` when the body is buffered before the request is queued; the longest body allowed.
    pub(crate) buffering: Option<usize>,
}

impl Length {
    /// Checks the length of a body against the parameter that declares it. Reads nothing. Returns the most bytes that the
    /// pair to be added can have.
    #[inline]
    pub(crate) fn check(
        name: &'static str,
        declared: Declared,
        body: &Body,
        unknown: UnknownLength,
    ) -> Result<usize, SubmitError> {
        match (declared, body.len()) {
            (Declared::Invalid, _) => Err(SubmitError::InvalidLength { name }),
            (Declared::Bytes(declared), Some(actual)) if declared != actual => {
                Err(SubmitError::LengthMismatch {
                    name,
                    declared,
                    actual,
                })
            }
            (Declared::Bytes(_), _) => Ok(0),
            (Declared::Absent, Some(_)) if matches!(body.0, Content::Empty) => Ok(0),
            (Declared::Absent, Some(len)) => Ok(pair_len(name, len)),
            (Declared::Absent, None) => match unknown {
                UnknownLength::Refuse => Err(SubmitError::LengthRequired),
                UnknownLength::Buffer { limit } => Ok(pair_len(name, limit as u64)),
                UnknownLength::Stream => Ok(0),
            },
        }
    }

    /// The length of a body that was [checked](Self::check). A reader of unknown length is read if it is to be buffered.
    #[inline]
    pub(crate) fn of(
        name: &'static str,
        declared: Declared,
        body: &mut Body,
        unknown: UnknownLength,
    ) -> Result<Self, SubmitError> {
        if let Declared::Bytes(declared) = declared {
            return Ok(Self {
                name,
                len: Some(declared),
                is_unstated: false,
            });
        }
        if let (None, UnknownLength::Buffer { limit }) = (body.len(), unknown) {
            buffer_reader(body, limit)?;
        }
        let len = body.len();
        Ok(Self {
            name,
            len,
            is_unstated: len.is_some() && !matches!(body.0, Content::Empty),
        })
    }

    pub(crate) fn len(self) -> Option<u64> {
        self.len
    }

    /// Adds the parameter if it is missing.
    pub(crate) fn state(self, params: &mut Params) {
        if let Some(len) = self.len.filter(|_| self.is_unstated) {
            push_length(params, self.name, len);
        }
    }
}

/// The encoded length of a pair that declares a length.
fn pair_len(name: &str, len: u64) -> usize {
    2 + name.len() + 1 + len.checked_ilog10().unwrap_or(0) as usize
}

/// Reads a reader of unknown length into memory. A pushed body is buffered later.
fn buffer_reader(body: &mut Body, limit: usize) -> Result<(), SubmitError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let within = (limit as u64).saturating_add(1);
    let read = match &mut body.0 {
        Content::Reader { reader, .. } => reader.by_ref().take(within).read_to_end(&mut bytes),
        Content::Seekable { reader, .. } => reader.by_ref().take(within).read_to_end(&mut bytes),
        Content::Empty
        | Content::Static(_)
        | Content::Bytes(_)
        | Content::Shared(_)
        | Content::Pushed { .. } => return Ok(()),
    };
    read.map_err(|error| SubmitError::BodyRead(error.kind()))?;
    if bytes.len() > limit {
        return Err(SubmitError::BodyTooLarge { limit });
    }
    *body = Body::bytes(bytes);
    Ok(())
}

pub(super) fn push_length(params: &mut Params, name: &str, len: u64) {
    let mut digits = [0; 20];
    let mut rest = &mut digits[..];
    // 20 digits are enough for every u64.
    let _ = write!(rest, "{len}");
    let unused = rest.len();
    params.push(name, &digits[..20 - unused]);
}
