//! Shows text of the application on a terminal with its control characters escaped. Otherwise they could move the
//! cursor, overwrite earlier lines, or make the terminal send input as if the user had typed it.

use std::io::{self, Write};

/// Escapes text that arrives in pieces, cut anywhere. Line ends and tabs are not escaped.
#[derive(Debug, Default)]
pub(crate) struct Escaper {
    /// The end of the last piece, if it may be a part of a character or of a line end.
    cut: Vec<u8>,
}

impl Escaper {
    /// The escaped text of a piece, without an incomplete end.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        let mut text = std::mem::take(&mut self.cut);
        text.extend_from_slice(piece);
        let whole = text.len() - unfinished_len(&text);
        self.cut = text.split_off(whole);
        escape(&text, true)
    }

    /// The escaped rest, after the last piece.
    pub(crate) fn finish(&mut self) -> String {
        escape(&std::mem::take(&mut self.cut), true)
    }
}

/// A line of this program, which may quote the application: all control characters are escaped.
pub(crate) fn line(text: impl AsRef<[u8]>) -> String {
    escape(text.as_ref(), false)
}

/// The number of bytes at the end whose meaning depends on the bytes that follow.
fn unfinished_len(text: &[u8]) -> usize {
    if text.last() == Some(&b'\r') {
        return 1;
    }
    match text.utf8_chunks().last().map(|chunk| chunk.invalid()) {
        Some(invalid)
            if std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none()) =>
        {
            invalid.len()
        }
        _ => 0,
    }
}

fn escape(text: &[u8], passes_lines: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            let is_line_end = c == '\n' || (c == '\r' && chars.peek() == Some(&'\n'));
            if (passes_lines && (is_line_end || c == '\t')) || !is_dangerous(c) {
                shown.push(c);
            } else {
                match u8::try_from(c) {
                    Ok(byte) if byte.is_ascii() => push_byte(&mut shown, byte),
                    _ => shown.extend(c.escape_unicode()),
                }
            }
        }
        for byte in chunk.invalid() {
            push_byte(&mut shown, *byte);
        }
    }
    shown
}

/// Whether this is a control character, or one that changes the direction of writing.
fn is_dangerous(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_byte(shown: &mut String, byte: u8) {
    shown.extend(std::ascii::escape_default(byte).map(char::from));
}

/// Stdout. A terminal gets text with its control characters escaped; anything else gets every byte as it is.
#[derive(Debug)]
pub(crate) struct Output<W> {
    to: W,
    escaper: Option<Escaper>,
}

impl<W: Write> Output<W> {
    pub(crate) fn new(to: W, is_terminal: bool) -> Self {
        Self {
            to,
            escaper: is_terminal.then(Escaper::default),
        }
    }

    /// Writes the rest, after the last piece.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let Some(escaper) = &mut self.escaper {
            self.to.write_all(escaper.finish().as_bytes())?;
        }
        self.to.flush()
    }
}

/// On a terminal, a piece with a NUL is refused because it is not text, as curl does: [`io::ErrorKind::InvalidData`].
impl<W: Write> Write for Output<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let Some(escaper) = &mut self.escaper else {
            return self.to.write(piece);
        };
        if piece.contains(&0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the response is not text, and stdout is a terminal: send it to a file or through a pipe",
            ));
        }
        self.to.write_all(escaper.push(piece).as_bytes())?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut escaper = Escaper::default();
        let mut shown: String = pieces.iter().map(|piece| escaper.push(piece)).collect();
        shown.push_str(&escaper.finish());
        shown
    }

    #[test]
    fn wherever_it_is_cut_text_is_shown_alike() {
        let text = "caf\u{e9}\t\u{20ac}\r\n\rx\x1b[2J\u{9b}1m\u{202e}\x7f\n\r".as_bytes();
        let text = [text, b"\x80\xe2\x82 \xf0\x9f\xff\xe2\x82"].concat();
        let whole = "caf\u{e9}\t\u{20ac}\r\n\\rx\\x1b[2J\\u{9b}1m\\u{202e}\\x7f\n\\r\
                     \\x80\\xe2\\x82 \\xf0\\x9f\\xff\\xe2\\x82";
        assert_eq!(shown(&[&text]), whole);
        for cut in 0..=text.len() {
            assert_eq!(shown(&[&text[..cut], &text[cut..]]), whole, "{cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(shown(&bytes), whole);
    }

    #[test]
    fn a_line_of_this_program_stays_one() {
        assert_eq!(line("a\r\nb\tc\x1b]0;d\x07"), "a\\r\\nb\\tc\\x1b]0;d\\x07");
    }
}
