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
    /// The lengths of the body and of a Filter's data, if known.
    pub(crate) lens: (Option<u64>, Option<u64>),
    /// The positions of their seekable readers.
    pub(crate) origins: (u64, u64),
    /// `Some` when the body is buffered before the request is queued; the longest body allowed.
    pub(crate) buffering: Option<usize>,
}

impl Length {
    #[inline]
    pub(crate) fn of(
        name: &'static str,
        declared: Declared,
        body: &mut Body,
        unknown: UnknownLength,
    ) -> Result<Self, SubmitError> {
        match (declared, &body.0) {
            (Declared::Absent | Declared::Bytes(0), Content::Empty) => Ok(Self {
                name,
                len: Some(0),
                is_unstated: false,
            }),
            _ => Self::of_some(name, declared, body, unknown),
        }
    }

    /// Like [`of`](Self::of), when there is a body or a length is declared.
    fn of_some(
        name: &'static str,
        declared: Declared,
        body: &mut Body,
        unknown: UnknownLength,
    ) -> Result<Self, SubmitError> {
        let declared = match declared {
            Declared::Absent => None,
            Declared::Bytes(bytes) => Some(bytes),
            Declared::Invalid => return Err(SubmitError::InvalidLength { name }),
        };
        if body.len().is_none() && declared.is_none() {
            match unknown {
                UnknownLength::Refuse => return Err(SubmitError::LengthRequired),
                UnknownLength::Buffer { limit } => buffer_reader(body, limit)?,
                UnknownLength::Stream => {}
            }
        }
        match (declared, body.len()) {
            (Some(declared), Some(actual)) if declared != actual => {
                Err(SubmitError::LengthMismatch {
                    name,
                    declared,
                    actual,
                })
            }
            (declared, actual) => Ok(Self {
                name,
                len: declared.or(actual),
                is_unstated: declared.is_none()
                    && actual.is_some()
                    && !matches!(body.0, Content::Empty),
            }),
        }
    }

    pub(crate) fn len(self) -> Option<u64> {
        self.len
    }

    /// The length of the pair that has to be added, in bytes.
    pub(crate) fn pair_len(self) -> usize {
        match self.len.filter(|_| self.is_unstated) {
            Some(len) => 2 + self.name.len() + 1 + len.checked_ilog10().unwrap_or(0) as usize,
            None => 0,
        }
    }

    /// Adds the parameter if it is missing.
    pub(crate) fn state(self, params: &mut Params) {
        if let Some(len) = self.len.filter(|_| self.is_unstated) {
            push_length(params, self.name, len);
        }
    }
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
