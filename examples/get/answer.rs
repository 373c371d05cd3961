//! What comes back: the head is read, the body passed on as it comes, and at the end it is known whether that was all.

use std::io::{self, Write};

use mio_fcgi::cgi::{Head, HeadError, HeadParser, has_body};
use mio_fcgi::{Outcome, RequestError};

use crate::arguments::Arguments;
use crate::failure::{Failure, Status};
use crate::shown::{self, Escaper, Output};

/// One response on its way to stdout. Holds no more of it than a head.
#[derive(Debug)]
pub(crate) struct Answer<'a, W> {
    arguments: &'a Arguments,
    out: Output<W>,
    parser: HeadParser,
    head: Option<Final>,
    stderr: Escaper,
    /// The application's stderr ended inside a line.
    in_line: bool,
    stdout_ended: bool,
    body_len: u64,
}

/// What is kept of the head.
#[derive(Debug)]
struct Final {
    status: u16,
    reason: String,
    content_length: Option<u64>,
    /// The body is passed on.
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

    /// Takes a piece of output.
    ///
    /// # Errors
    /// When it does not begin with a head, and when stdout cannot be written.
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

    /// Notes that the output is complete.
    pub(crate) fn stdout_end(&mut self) {
        self.stdout_ended = true;
    }

    /// Passes on a piece of the application's stderr. That nobody reads ours is no reason to stop.
    pub(crate) fn stderr(&mut self, piece: &[u8]) {
        let shown = self.stderr.push(piece);
        let _ = io::stderr().write_all(shown.as_bytes());
        self.in_line = piece.last() != Some(&b'\n');
    }

    /// Has the body written as far as it came, for a reader that watches.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::stdout(&error))
    }

    /// The request is over: was that the whole response?
    ///
    /// # Errors
    /// When it was not, and when it has an error status.
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
    /// Begins a line of our own on stderr.
    fn end_line(&mut self) {
        let rest = self.stderr.finish();
        if std::mem::take(&mut self.in_line) {
            let _ = writeln!(io::stderr(), "{rest}");
        }
    }
}

/// Whatever ended it: a line of our own follows, as a rule.
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

/// Writes a head as CGI has it, its status always stated.
fn show(head: &Head<'_>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "Status: {}", head.status())?;
    if !head.reason().is_empty() {
        out.write_all(b" ")?;
        out.write_all(head.reason())?;
    }
    for (name, value) in head.fields() {
        out.write_all(b"\r\n")?;
        out.write_all(name)?;
        out.write_all(b": ")?;
        out.write_all(value)?;
    }
    out.write_all(b"\r\n\r\n")
}
