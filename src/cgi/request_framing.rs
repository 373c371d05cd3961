//! What the fields of an HTTP request declare about its body (RFC 9112, 6) and its connection (9.3).

use super::bytes::{is_token, trim_blanks};
use super::request_body_error::RequestBodyError;

/// What the fields declare about the body.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) content_length: Option<u64>,
    pub(super) is_chunked: bool,
    pub(super) expects_continue: bool,
}

impl Declared {
    pub(super) fn by<'f>(
        http11: bool,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<Self, RequestBodyError> {
        let mut declared = Self::default();
        let mut codings = None;
        let mut has_unknown_expectation = false;
        for (name, value) in fields {
            // A parser that lets blanks around a name pass must not hide the field: others may see it.
            let bare = name.trim_ascii();
            // Most fields have another length.
            match bare.len() {
                6 if bare.eq_ignore_ascii_case(b"expect") => {
                    for expectation in elements(value).filter(|it| !it.is_empty()) {
                        let is_continue = expectation.eq_ignore_ascii_case(b"100-continue");
                        declared.expects_continue |= is_continue;
                        has_unknown_expectation |= !is_continue;
                    }
                }
                14 if bare.eq_ignore_ascii_case(b"content-length") => {
                    if name.len() != bare.len() {
                        return Err(RequestBodyError::ContentLength);
                    }
                    declared.note_lengths(value)?;
                }
                17 if bare.eq_ignore_ascii_case(b"transfer-encoding") => {
                    let codings = codings.get_or_insert_with(Codings::default);
                    codings.is_malformed |= name.len() != bare.len();
                    elements(value).for_each(|coding| codings.note(coding));
                }
                _ => {}
            }
        }
        if let Some(codings) = codings {
            if declared.content_length.is_some() {
                return Err(RequestBodyError::LengthAndCoding);
            }
            if !http11 {
                return Err(RequestBodyError::TransferEncodingInHttp10);
            }
            codings.check()?;
            declared.is_chunked = true;
        }
        if has_unknown_expectation {
            return Err(RequestBodyError::Expectation);
        }
        Ok(declared)
    }

    /// RFC 9110, 8.6: a list of equal lengths, or the field repeated, counts as one.
    fn note_lengths(&mut self, value: &[u8]) -> Result<(), RequestBodyError> {
        for element in elements(value) {
            let second = number(element).ok_or(RequestBodyError::ContentLength)?;
            match self.content_length.replace(second) {
                Some(first) if first != second => {
                    return Err(RequestBodyError::ContentLengths { first, second });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The transfer codings of all fields, in order.
#[derive(Debug, Default)]
struct Codings {
    chunked_count: u32,
    /// The last coding is `chunked`.
    ends_chunked: bool,
    has_other: bool,
    is_malformed: bool,
}

impl Codings {
    fn note(&mut self, coding: &[u8]) {
        let name = coding.split(|byte| *byte == b';').next();
        let name = trim_blanks(name.unwrap_or_default());
        let is_chunked = name.eq_ignore_ascii_case(b"chunked");
        self.chunked_count += u32::from(is_chunked);
        self.ends_chunked = is_chunked;
        self.has_other |= !is_chunked;
        // RFC 9112, 7.1: `chunked` has no parameters. An empty element would be allowed (RFC 9110, 5.6.1.2), but some
        // programs do not take `, chunked` for `chunked`.
        self.is_malformed |= !is_token(name) || (is_chunked && coding.len() > name.len());
    }

    fn check(&self) -> Result<(), RequestBodyError> {
        if self.is_malformed || self.chunked_count != 1 || !self.ends_chunked {
            return Err(RequestBodyError::TransferEncoding);
        }
        if self.has_other {
            return Err(RequestBodyError::UnsupportedCoding);
        }
        Ok(())
    }
}

/// Whether the client lets its connection be used for another request, after the one with these fields (RFC 9112, 9.3):
/// always with HTTP/1.1 unless `Connection` has the option `close`, and with HTTP/1.0 only if it has `keep-alive`
/// instead.
///
/// For [`ReplyTo::keep_alive`](super::ReplyTo::keep_alive).
///
/// ```
/// use mio_fcgi::cgi::wants_keep_alive;
///
/// let with = |option: &'static str| [(&b"Connection"[..], option.as_bytes())];
/// assert!(wants_keep_alive(true, []) && !wants_keep_alive(false, []));
/// assert!(!wants_keep_alive(true, with("TE, Close")));
/// assert!(wants_keep_alive(false, with("Keep-Alive")));
/// ```
pub fn wants_keep_alive<'f>(
    http11: bool,
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
) -> bool {
    let fields = fields.into_iter();
    let fields = fields.filter(|field| field.0.eq_ignore_ascii_case(b"connection"));
    let mut keeps_alive = http11;
    for option in fields.flat_map(|field| elements(field.1)) {
        if option.eq_ignore_ascii_case(b"close") {
            return false;
        }
        keeps_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    keeps_alive
}

/// The elements of a list (RFC 9110, 5.6.1), without the blanks around them. The value of a field has at least one.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim_blanks)
}

/// A number of digits only: no sign, and not nothing.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_as_long_as_another_is_not_taken_for_it() {
        let fields: [(&[u8], &[u8]); 4] = [
            (b"Accept", b"100-continue"),
            (b"Cookie", b"x"),
            (b"X-Fourteen-Lon", b"x"),
            (b"X-Seventeen-Long1", b"chunked"),
        ];
        let declared = Declared::by(true, fields.into_iter()).expect("no body");
        assert!(!declared.expects_continue && !declared.is_chunked);
        assert_eq!(declared.content_length, None);
    }
}
