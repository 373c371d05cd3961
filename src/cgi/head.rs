//! The head of a response: its content, the rules for it, and its errors (RFC 3875, 6).

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::settings::settings;

/// A complete response head. Borrows the piece it arrived in, or the parser.
///
/// `Debug` shows names and lengths, no values.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) spans: &'a [Span],
    pub(super) facts: &'a Facts,
}

impl<'a> Head<'a> {
    /// The status, 100 to 999. If the head states none, it is 302 with a `Location`, and 200 otherwise (RFC 3875,
    /// 6.3.3).
    #[must_use]
    pub fn status(&self) -> u16 {
        match (self.facts.status, &self.facts.location) {
            (Some(status), _) => status,
            (None, Some(_)) => 302,
            (None, None) => 200,
        }
    }

    /// The reason phrase; empty when there is none.
    #[must_use]
    pub fn reason(&self) -> &'a [u8] {
        &self.bytes[self.facts.reason.clone()]
    }

    /// The fields in order, repeated ones included, without the blanks around values. `Status` is left out. Equal
    /// `Content-Length` fields appear once, and so do equal `Content-Type` fields. A server leaves out further fields: see
    /// [`is_hop_by_hop`](super::is_hop_by_hop).
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        let bytes = self.bytes;
        self.spans
            .iter()
            .map(move |span| (&bytes[span.name.clone()], &bytes[span.value.clone()]))
    }

    /// The first value of a field. Names are compared without case.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        // Most names differ in their length, which is cheaper to compare than a slice is to make.
        let is = |span: &&Span| {
            span.name.len() == name.len()
                && self.bytes[span.name.clone()].eq_ignore_ascii_case(name)
        };
        let span = self.spans.iter().find(is)?;
        Some(&self.bytes[span.value.clone()])
    }

    /// The declared length of the body, in bytes. Always below 2^63.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.facts.content_length
    }

    /// True for status 1xx: the final head is still to come.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status() < 200
    }

    /// The path of a local redirect: a `Location` that begins with one slash, not two, in a head without `Status` (RFC
    /// 3875, 6.2.2). The embedder may run that path itself, or send the client there with [`status`](Self::status) 302.
    /// A `Location` with a fragment is not a local redirect: only the client can follow it (6.2.3).
    ///
    /// The specification allows no other field in such a head. PHP adds some, so other fields are ignored here.
    #[must_use]
    pub fn local_redirect(&self) -> Option<&'a [u8]> {
        let location = &self.bytes[self.facts.location.clone()?];
        let has_fragment = location.contains(&b'#');
        let local = location.starts_with(b"/") && !location.starts_with(b"//") && !has_fragment;
        (local && self.facts.status.is_none()).then_some(location)
    }

    /// Whether there is a `Transfer-Encoding` field. It is among [`fields`](Self::fields) unchanged, and the body is
    /// not decoded. Do not pass the field on together with framing of your own.
    #[must_use]
    pub fn has_transfer_encoding(&self) -> bool {
        self.facts.transfer_encoding
    }

    /// The length of the head in bytes, the blank line included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Head");
        shown.field("status", &self.status());
        for (name, value) in self.fields() {
            let len = format!("{} bytes", value.len());
            shown.field(&String::from_utf8_lossy(name), &len);
        }
        shown.finish()
    }
}

/// The rules for a head. The defaults are lenient, with 64 KiB and 256 fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeadRules {
    /// The most bytes of a head, line ends included. Interim heads count together with the final one. A parser's buffer
    /// never holds more.
    pub max_len: usize,
    /// The most fields of one head, not counting `Status`.
    pub max_fields: usize,
    /// Refuses two things that CGI does not define: interim (1xx) heads, and an HTTP status line
    /// (`HTTP/1.1 404 Not Found`) in place of a `Status` field. Default: false.
    pub strict: bool,
}

impl Default for HeadRules {
    fn default() -> Self {
        Self {
            max_len: 64 * 1024,
            max_fields: 256,
            strict: false,
        }
    }
}

settings! { HeadRules {
    with_max_len(max_len: usize),
    with_max_fields(max_fields: usize),
    with_strict(strict: bool),
} }

/// Why the application's output is not a valid head. Lines are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeadError {
    /// There was no output at all.
    #[error("the application sent nothing: no head, no body")]
    Missing,
    /// The output ended inside a head, or after an interim one.
    #[error("the application's output ended after {len} bytes, before its head was complete")]
    Truncated {
        /// The bytes of heads that were received.
        len: usize,
    },
    /// The head begins with a blank line.
    #[error("the application sent a blank line where its head should begin")]
    Empty,
    /// A line has no colon. As a rule the body, or a message, came before the head.
    #[error(
        "line {line} of the application's head has no colon: it printed something before its head, or no head at all"
    )]
    NoColon {
        /// The number of the line.
        line: usize,
    },
    /// The name of a field is empty, or holds a byte that an HTTP token may not contain, such as a blank (RFC 9110,
    /// 5.6.2).
    #[error("line {line} of the application's head has no valid field name before its colon")]
    FieldName {
        /// The number of the line.
        line: usize,
    },
    /// A value holds a control byte other than a tab: NUL, or CR without LF, for example.
    #[error("line {line} of the application's head holds the control byte {byte:#04x}")]
    FieldValue {
        /// The number of the line.
        line: usize,
        /// The first byte that is not allowed.
        byte: u8,
    },
    /// A line begins with a blank.
    #[error(
        "line {line} of the application's head begins with a blank: CGI has no continuation lines"
    )]
    Folded {
        /// The number of the line.
        line: usize,
    },
    /// A status is not three digits from 100 on, followed by a blank if there is a reason.
    #[error("line {line} of the application's head states a status that is not 100 to 999")]
    Status {
        /// The number of the line.
        line: usize,
    },
    /// The head states two different statuses.
    #[error("the application's head states two statuses: {first} and {second}")]
    Statuses {
        /// The first status.
        first: u16,
        /// The second status.
        second: u16,
    },
    /// The head begins with an HTTP status line, in strict mode.
    #[error(
        "the application's head begins with an HTTP status line, where CGI wants a Status field"
    )]
    StatusLine,
    /// The head is interim: any 1xx in strict mode, and 101 always, because no FastCGI connection can change its
    /// protocol.
    #[error("the application answered with the interim status {0}, which is not accepted")]
    Interim(u16),
    /// A `Content-Length` is not a number below 2^63.
    #[error(
        "line {line} of the application's head states a Content-Length that is not a number below 2^63"
    )]
    ContentLength {
        /// The number of the line.
        line: usize,
    },
    /// The head states two different values of `Content-Length`.
    #[error("the application's head states two lengths: {first} and {second}")]
    ContentLengths {
        /// The first length.
        first: u64,
        /// The second length.
        second: u64,
    },
    /// The head has more bytes than [`HeadRules::max_len`].
    #[error("the application's head exceeds {limit} bytes: raise max_len if that is right")]
    TooLarge {
        /// The value of `max_len`.
        limit: usize,
    },
    /// The head has more fields than [`HeadRules::max_fields`].
    #[error(
        "the application's head has more than {limit} fields: raise max_fields if that is right"
    )]
    TooManyFields {
        /// The value of `max_fields`.
        limit: usize,
    },
}

/// A field, as positions in the head.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// What the fields state about the response.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) status: Option<u16>,
    pub(super) reason: Range<usize>,
    /// The first `Location` that is not empty.
    pub(super) location: Option<Range<usize>>,
    /// The first `Content-Type`.
    pub(super) content_type: Option<Range<usize>>,
    pub(super) content_length: Option<u64>,
    pub(super) transfer_encoding: bool,
}

impl Facts {
    /// Notes a status that was parsed from `value`.
    pub(super) fn note_status(
        &mut self,
        bytes: &[u8],
        status: u16,
        value: Range<usize>,
    ) -> Result<(), HeadError> {
        match self.status.replace(status) {
            Some(first) if first != status => Err(HeadError::Statuses {
                first,
                second: status,
            }),
            Some(_) => Ok(()),
            None => {
                self.reason = trimmed(bytes, value.start + 3..value.end);
                Ok(())
            }
        }
    }

    /// Checks a complete head.
    pub(super) fn check(&self, line_count: usize, strict: bool) -> Result<(), HeadError> {
        match self.status {
            _ if line_count == 0 => Err(HeadError::Empty),
            Some(101) => Err(HeadError::Interim(101)),
            Some(status @ 100..=199) if strict => Err(HeadError::Interim(status)),
            _ => Ok(()),
        }
    }
}

/// The part of `range` without the blanks around it.
pub(super) fn trimmed(bytes: &[u8], mut range: Range<usize>) -> Range<usize> {
    let is_blank = |at: usize| matches!(bytes[at], b' ' | b'\t');
    while !range.is_empty() && is_blank(range.start) {
        range.start += 1;
    }
    while !range.is_empty() && is_blank(range.end - 1) {
        range.end -= 1;
    }
    range
}
