//! Reads the head of a response from pieces of any size.

use std::ops::Range;

use super::bytes::{IN_TOKEN, ONES, control, is_named};
use super::head::{Facts, Head, HeadError, HeadRules, Span, trimmed};

/// Reads response heads incrementally. One parser serves any number of responses and keeps its memory.
///
/// A head that arrives in one piece is not copied: the [`Head`] borrows the piece. Otherwise the pieces are joined in a
/// buffer of at most [`HeadRules::max_len`] bytes. Each byte is examined a fixed number of times, wherever the output
/// is cut. Lines end in CRLF or LF, also mixed.
///
/// The parser refuses what must not reach an HTTP response: control bytes, invalid names, lengths that contradict each
/// other. It also refuses a line that begins with a blank: CGI has no continuation lines (6.3).
///
/// ```
/// use mio_fcgi::cgi::HeadParser;
///
/// let mut parser = HeadParser::default();
/// assert!(parser.push(b"Status: 404 Not Found\r\nContent-")?.is_none());
/// let (head, body) = parser.push(b"Type: text/plain\r\n\r\nno such page")?.expect("complete");
/// assert_eq!((head.status(), head.reason()), (404, &b"Not Found"[..]));
/// assert_eq!(head.get("content-type"), Some(&b"text/plain"[..]));
/// assert_eq!(body, b"no such page");
/// # Ok::<(), mio_fcgi::cgi::HeadError>(())
/// ```
#[derive(Debug, Default)]
pub struct HeadParser {
    rules: HeadRules,
    state: State,
    /// The pieces of an incomplete head. Empty while a head is read from the piece it arrived in.
    buffer: Vec<u8>,
    spans: Vec<Span>,
    facts: Facts,
    /// Bytes of the interim heads before this one.
    interim_len: usize,
    /// The start of the first line that is not parsed yet, counted from the start of the head.
    line_start: usize,
    line_count: usize,
}

impl HeadParser {
    /// A parser with these rules.
    #[must_use]
    pub fn new(rules: HeadRules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Takes the next piece of `FCGI_STDOUT`. Returns `None` while the head is incomplete. Otherwise returns the head,
    /// and the rest of the piece, which belongs to the body.
    ///
    /// After an [interim](Head::is_interim) head, push that rest: another head follows. After any other head, the next
    /// push begins a new response.
    ///
    /// # Errors
    /// [`HeadError`], as soon as the faulty line is complete. The same error is returned until [`clear`](Self::clear).
    pub fn push<'h, 'c: 'h>(
        &'h mut self,
        piece: &'c [u8],
    ) -> Result<Option<(Head<'h>, &'c [u8])>, HeadError> {
        let taken = self.read(piece)?;
        Ok(taken.map(|taken| (self.head(&piece[..taken]), &piece[taken..])))
    }

    /// As [`push`](Self::push). Returns how many bytes of the piece complete the head; [`head`](Self::head) returns it.
    pub(super) fn read(&mut self, piece: &[u8]) -> Result<Option<usize>, HeadError> {
        match self.state {
            State::Failed(error) => return Err(error),
            _ if piece.is_empty() => return Ok(None),
            State::Reading => {}
            State::Interim => self.next_head(),
            State::Done => self.clear(),
        }
        let taken = match self.advance(piece) {
            Ok(Some(taken)) => taken,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.state = State::Failed(error);
                return Err(error);
            }
        };
        let head = self.head(&piece[..taken]);
        if head.is_interim() {
            self.interim_len += head.encoded_len();
            self.state = State::Interim;
        } else {
            self.state = State::Done;
        }
        Ok(Some(taken))
    }

    /// The head that [`read`](Self::read) has completed with this part of a piece.
    pub(super) fn head<'h>(&'h self, part: &'h [u8]) -> Head<'h> {
        let bytes = if self.buffer.is_empty() {
            part
        } else {
            &self.buffer
        };
        Head {
            bytes,
            spans: &self.spans,
            facts: &self.facts,
        }
    }

    /// Checks that the output may end here, which is after a final head.
    ///
    /// # Errors
    /// [`HeadError::Missing`] when there was no output; [`HeadError::Truncated`] when it ended inside a head or after
    /// an interim one; an earlier error again.
    pub fn end(&self) -> Result<(), HeadError> {
        let len = match self.state {
            State::Done => return Ok(()),
            State::Failed(error) => return Err(error),
            State::Interim => self.interim_len,
            State::Reading => self.interim_len + self.buffer.len(),
        };
        Err(match len {
            0 => HeadError::Missing,
            len => HeadError::Truncated { len },
        })
    }

    /// Forgets the response and any error. Keeps the memory for the next response.
    pub fn clear(&mut self) {
        self.next_head();
        self.interim_len = 0;
    }

    /// The bytes of an incomplete head, or of a refused head that came in more than one piece.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    fn next_head(&mut self) {
        self.state = State::Reading;
        self.buffer.clear();
        self.spans.clear();
        self.facts = Facts::default();
        self.line_start = 0;
        self.line_count = 0;
    }

    /// Returns how many bytes of the piece complete the head; `None` while it is incomplete. The line ends are looked for in
    /// the piece alone, so that a long line that grows by a byte at a time is not searched again each time.
    fn advance(&mut self, piece: &[u8]) -> Result<Option<usize>, HeadError> {
        let room = self.rules.max_len - self.interim_len - self.buffer.len();
        let visible = &piece[..piece.len().min(room)];
        // A head that began and ends in this piece is not copied.
        let is_first = self.buffer.is_empty();
        let mut at = 0;
        while let Some(len) = find_lf(&visible[at..]) {
            let end = at + len;
            let is_blank = if is_first {
                self.take_line(visible, end)?
            } else {
                let mut buffer = std::mem::take(&mut self.buffer);
                buffer.extend_from_slice(&visible[at..=end]);
                let taken = self.take_line(&buffer, buffer.len() - 1);
                self.buffer = buffer;
                if taken.is_err() {
                    // Whoever looks for the fault wants all that came.
                    self.buffer.extend_from_slice(&visible[end + 1..]);
                }
                taken?
            };
            at = end + 1;
            if is_blank {
                self.facts.check(self.line_count, self.rules.strict)?;
                return Ok(Some(at));
            }
        }
        let kept = if is_first { 0 } else { at };
        self.buffer.extend_from_slice(&visible[kept..]);
        if piece.len() > room {
            return Err(HeadError::TooLarge {
                limit: self.rules.max_len,
            });
        }
        Ok(None)
    }

    /// Parses the next line, which ends before the LF at `end`. True: it is the blank one.
    fn take_line(&mut self, bytes: &[u8], end: usize) -> Result<bool, HeadError> {
        let start = std::mem::replace(&mut self.line_start, end + 1);
        let line = &bytes[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(true);
        }
        self.line_count += 1;
        self.parse_line(bytes, start..start + line.len())?;
        Ok(false)
    }

    fn parse_line(&mut self, bytes: &[u8], at: Range<usize>) -> Result<(), HeadError> {
        let line = self.line_count;
        let content = &bytes[at.clone()];
        if matches!(content, [b' ' | b'\t', ..]) {
            return Err(HeadError::Folded { line });
        }
        if line == 1 && content.starts_with(b"HTTP/") {
            return self.parse_status_line(bytes, at);
        }
        let mut name_len = 0;
        while content
            .get(name_len)
            .is_some_and(|byte| IN_TOKEN[usize::from(*byte)])
        {
            name_len += 1;
        }
        let colon = match content.get(name_len) {
            Some(b':') if name_len > 0 => name_len,
            _ if content.contains(&b':') => return Err(HeadError::FieldName { line }),
            _ => return Err(HeadError::NoColon { line }),
        };
        let value = trimmed(bytes, at.start + colon + 1..at.end);
        check_value(&bytes[value.clone()], line)?;
        let span = Span {
            name: at.start..at.start + colon,
            value,
        };
        self.keep(bytes, span)
    }

    /// Notes what a field states about the response, and keeps it unless it is `Status`, a repeated length or a repeated
    /// type.
    fn keep(&mut self, bytes: &[u8], span: Span) -> Result<(), HeadError> {
        let line = self.line_count;
        let name = &bytes[span.name.clone()];
        let value = &bytes[span.value.clone()];
        match name.len() {
            6 if is_named(name, b"status") => {
                let Some(status) = parse_status(value) else {
                    return Err(HeadError::Status { line });
                };
                return self.facts.note_status(bytes, status, span.value);
            }
            8 if is_named(name, b"location")
                && self.facts.location.is_none()
                && !value.is_empty() =>
            {
                self.facts.location = Some(span.value.clone());
            }
            12 if is_named(name, b"content-type") => match &self.facts.content_type {
                None => self.facts.content_type = Some(span.value.clone()),
                Some(_) if self.has_content_type(bytes, value) => return Ok(()),
                Some(_) => {}
            },
            14 if is_named(name, b"content-length") => {
                let Some(len) = parse_length(value) else {
                    return Err(HeadError::ContentLength { line });
                };
                match self.facts.content_length.replace(len) {
                    None => {}
                    Some(first) if first == len => return Ok(()),
                    Some(first) => return Err(HeadError::ContentLengths { first, second: len }),
                }
            }
            17 if is_named(name, b"transfer-encoding") => {
                self.facts.transfer_encoding = true;
            }
            _ => {}
        }
        if self.spans.len() == self.rules.max_fields {
            return Err(HeadError::TooManyFields {
                limit: self.rules.max_fields,
            });
        }
        self.spans.push(span);
        Ok(())
    }

    /// Whether a `Content-Type` with this value was kept.
    fn has_content_type(&self, bytes: &[u8], value: &[u8]) -> bool {
        let mut kept = self.spans.iter();
        kept.any(|it| {
            bytes[it.value.clone()] == *value && is_named(&bytes[it.name.clone()], b"content-type")
        })
    }

    fn parse_status_line(&mut self, bytes: &[u8], at: Range<usize>) -> Result<(), HeadError> {
        if self.rules.strict {
            return Err(HeadError::StatusLine);
        }
        let line = &bytes[at.clone()];
        check_value(line, 1)?;
        let blank = line.iter().position(|byte| *byte == b' ');
        let rest = trimmed(bytes, at.start + blank.unwrap_or(line.len())..at.end);
        let Some(status) = parse_status(&bytes[rest.clone()]) else {
            return Err(HeadError::Status { line: 1 });
        };
        self.facts.note_status(bytes, status, rest)
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Reading,
    /// An interim head was returned.
    Interim,
    /// A final head was returned.
    Done,
    Failed(HeadError),
}

fn find_lf(bytes: &[u8]) -> Option<usize> {
    // 8 bytes at a time as far as possible.
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        // A byte that is LF becomes zero, and the lowest of these gets its highest bit set.
        let zeros = u64::from_le_bytes(*word) ^ (ONES * b'\n' as u64);
        let found = zeros.wrapping_sub(ONES) & !zeros & (ONES << 7);
        if found != 0 {
            return Some(8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    let position = rest.iter().position(|byte| *byte == b'\n')?;
    Some(bytes.len() - rest.len() + position)
}

fn check_value(value: &[u8], line: usize) -> Result<(), HeadError> {
    match control(value) {
        Some(byte) => Err(HeadError::FieldValue { line, byte }),
        None => Ok(()),
    }
}

fn parse_status(value: &[u8]) -> Option<u16> {
    let (digits, rest) = value.split_first_chunk::<3>()?;
    let ended = matches!(rest, [] | [b' ' | b'\t', ..]);
    let valid = ended && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit);
    valid.then(|| {
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
    })
}

fn parse_length(value: &[u8]) -> Option<u64> {
    // `parse` would accept "+5".
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let len: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (len <= i64::MAX as u64).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_end_is_found_at_each_place_among_all_bytes() {
        let others = (0..=u8::MAX).filter(|byte| *byte != b'\n');
        let others: Vec<u8> = others.collect();
        for start in 0..others.len() - 40 {
            for len in 0..40 {
                let mut bytes = others[start..start + len].to_vec();
                assert_eq!(find_lf(&bytes), None);
                bytes.extend(b"\n.\n");
                assert_eq!(find_lf(&bytes), Some(len));
            }
        }
    }
}
