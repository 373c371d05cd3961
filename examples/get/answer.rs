//! The response: parses its head, passes its body on as it arrives, and checks at the end that it is complete.

use std::io::{self, Write};

use mio_fcgi::cgi::{Head, HeadError, HeadParser, has_body};
use mio_fcgi::{Outcome, RequestError};

use crate::arguments::Arguments;
use crate::failure::{Failure, Status};
use crate::shown::{self, Escaper, Output};

/// A response that is being written to stdout. No more of it than a head is kept in memory.
#[derive(Debug)]
pub(crate) struct Answer<'a, W> {
    arguments: &'a Arguments,
    out: Output<W>,
    parser: HeadParser,
    head: Option<Final>,
    stderr: Escaper,
    /// The application's stderr ended in the middle of a line.
    in_line: bool,
    stdout_ended: bool,
    body_len: u64,
}

/// The parts of the head that are needed later.
#[derive(Debug)]
struct Final {
    status: u16,
    reason: String,
    content_length: Option<u64>,
    /// The body is written to stdout.
    shown: bool,
}

impl<'a, W: Write> Answer<'a, W> {
    pub(crate) fn new(arguments: &'a Arguments, out: Output<W>) -> Self {
        Self {
            arguments,
            out,
            parser: HeadParser::default(),
            head: None,
            stderr: Escaper::default(),
            in_line: false,
            stdout_ended: false,
            body_len: 0,
        }
    }

    /// Handles a piece of output.
    ///
    /// # Errors
    /// If the output does not begin with a valid head, or stdout cannot be written.
    pub(crate) fn stdout(&mut self, mut piece: &[u8]) -> Result<(), Failure> {
        while self.head.is_none() {
            let pushed = self.parser.push(piece);
            let Some((head, body)) = pushed.map_err(|error| Failure::head(&error))? else {
                return Ok(());
            };
            if self.arguments.include {
                show(&head, &mut self.out).map_err(|error| Failure::stdout(&error))?;
            }
            if !head.is_interim() {
                self.head = Some(Final::new(&head, self.arguments));
            }
            piece = body;
        }
        if self.head.as_ref().is_some_and(|head| head.shown) {
            self.body_len += piece.len() as u64;
            let written = self.out.write_all(piece);
            written.map_err(|error| Failure::stdout(&error))?;
        }
        Ok(())
    }

    /// Records that the output is complete.
    pub(crate) fn stdout_end(&mut self) {
        self.stdout_ended = true;
    }

    /// Passes a piece of the application's stderr on. If this program's stderr is not read, it goes on all the same.
    pub(crate) fn stderr(&mut self, piece: &[u8]) {
        let shown = self.stderr.push(piece);
        let _ = io::stderr().write_all(shown.as_bytes());
        self.in_line = piece.last() != Some(&b'\n');
    }

    /// Writes the body as far as it has arrived, for a reader that watches.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::stdout(&error))
    }

    /// The request has ended: checks whether the response is complete.
    ///
    /// # Errors
    /// If it is not, or if it has an error status.
    pub(crate) fn finish(mut self, outcome: &Outcome) -> Result<(), Failure> {
        self.out.finish().map_err(|error| Failure::stdout(&error))?;
        self.end_line();
        let Some(head) = &self.head else {
            return Err(self.without_head(outcome));
        };
        let declared = head.content_length.filter(|_| head.shown);
        if let Err(failure) = outcome {
            let lost = matches!(failure.error, RequestError::ConnectionLost(_));
            let is_whole = self.stdout_ended || declared == Some(self.body_len);
            if !(lost && is_whole) {
                let delivery = failure.delivery;
                return Err(Failure::request(&failure.error, delivery, self.body_len));
            }
            let line = format!("the response is complete, but {}", failure.error);
            let _ = writeln!(io::stderr(), "get: {}", shown::line(&line));
        }
        if let Some(declared) = declared.filter(|declared| *declared != self.body_len) {
            let line = format!(
                "the head declares a body of {declared} bytes, but {} arrived",
                self.body_len
            );
            return Err(Failure::new(Status::CutShort, line));
        }
        if head.status >= 400 {
            return Err(Failure::new(Status::HttpError, self.complaint(head)));
        }
        Ok(())
    }

    fn without_head(&self, outcome: &Outcome) -> Failure {
        match (outcome, self.parser.end()) {
            (Err(failure), _) => Failure::request(&failure.error, failure.delivery, 0),
            (Ok(_), Err(HeadError::Missing) | Ok(())) => {
                Failure::new(Status::NoResponse, "the request ended without a response")
            }
            (Ok(_), Err(error)) => Failure::head(&error),
        }
    }

    fn complaint(&self, head: &Final) -> String {
        let script = self.arguments.script_filename();
        let said = format!("the application answered {} {}", head.status, head.reason);
        let said = said.trim_end();
        if head.status != 404 || self.arguments.connect.is_none() {
            return said.to_owned();
        }
        if script.is_empty() {
            return format!("{said}; no --script was given, and php-fpm needs one");
        }
        let script = String::from_utf8_lossy(&script);
        format!("{said}; it was asked to run {script}")
    }
}

impl<W> Answer<'_, W> {
    /// Ends the application's line on stderr, so that a message begins on a new line.
    fn end_line(&mut self) {
        let rest = self.stderr.finish();
        if std::mem::take(&mut self.in_line) {
            let _ = writeln!(io::stderr(), "{rest}");
        }
    }
}

/// Ends the line whatever ended the response: usually a message follows.
impl<W> Drop for Answer<'_, W> {
    fn drop(&mut self) {
        self.end_line();
    }
}

impl Final {
    fn new(head: &Head<'_>, arguments: &Arguments) -> Self {
        let status = head.status();
        let hidden = arguments.fail && status >= 400;
        Self {
            status,
            reason: String::from_utf8_lossy(head.reason()).into_owned(),
            content_length: head.content_length(),
            shown: has_body(arguments.method(), status) && !hidden,
        }
    }
}

/// Writes a head in CGI form, always with its status. Its control characters are escaped wherever it goes: they belong to no
/// head, and a terminal may show it later.
fn show(head: &Head<'_>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "Status: {}", head.status())?;
    if !head.reason().is_empty() {
        write!(out, " {}", shown::line(head.reason()))?;
    }
    for (name, value) in head.fields() {
        write!(out, "\r\n{}: {}", shown::line(name), shown::line(value))?;
    }
    out.write_all(b"\r\n\r\n")
}
