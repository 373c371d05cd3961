//! The responses: CGI heads and HTML pages.

use std::time::Instant;

use mio_fcgi::wire::{self, Pairs, RecordType};

use super::answer::{self, Cycle, Lines, Source};
use super::exchange::{Body, MAX_FORM_LEN};
use super::page::{NotANumber, Page, Query, SLOW_MS, param};

/// The response to a request, without `FCGI_END_REQUEST`.
#[derive(Debug)]
pub(super) struct Reply {
    /// The head, and a body that is short.
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// The body, or the rest of it, if it is long.
    pub(super) source: Option<Source>,
    pub(super) app_status: u32,
}

impl Reply {
    /// An empty response that appends to `stdout`.
    pub(super) fn new(stdout: Vec<u8>) -> Self {
        Self {
            stdout,
            stderr: Vec::new(),
            source: None,
            app_status: 0,
        }
    }

    fn plain(&mut self, text: &str) {
        self.content("200 OK", "text/plain; charset=utf-8", text);
    }

    fn html(&mut self, status: &str, title: &str, main: &str) {
        let page = FRAME
            .replace("{title}", &escape(title))
            .replace("{main}", main);
        self.content(status, "text/html; charset=utf-8", &page);
    }

    fn content(&mut self, status: &str, content_type: &str, body: &str) {
        self.head(format_args!(
            "Status: {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        self.stdout.extend_from_slice(body.as_bytes());
    }

    fn cycle(&mut self, content_type: &str, len: u64, cycle: Cycle) {
        self.head(format_args!(
            "Content-Type: {content_type}\r\nContent-Length: {len}\r\n\r\n"
        ));
        self.source = Some(Source::Cycle(cycle));
    }

    fn head(&mut self, head: std::fmt::Arguments<'_>) {
        self.stdout.extend_from_slice(head.to_string().as_bytes());
    }
}

/// Renders the response to a request. Its body is complete, or not needed.
pub(super) fn render(reply: &mut Reply, page: Page, params: &[u8], body: &Body, now: Instant) {
    if let Err(error) = try_render(reply, page, params, body, now) {
        reply.html(
            "400 Bad Request",
            "Bad request",
            &format!("<p>{}</p>", escape(&error.to_string())),
        );
    }
}

/// Appends the head of `/echo`. The body is sent back as it arrives.
pub(super) fn write_echo_head(out: &mut Vec<u8>, request_id: u16, params: &[u8]) {
    let mut head = b"Content-Type: ".to_vec();
    head.extend_from_slice(
        param(params, "CONTENT_TYPE")
            .filter(|value| is_field_value(value))
            .unwrap_or(b"application/octet-stream"),
    );
    let len = param(params, "CONTENT_LENGTH")
        .filter(|value| !value.is_empty() && value.iter().all(u8::is_ascii_digit));
    if let Some(len) = len {
        head.extend_from_slice(b"\r\nContent-Length: ");
        head.extend_from_slice(len);
    }
    head.extend_from_slice(b"\r\n\r\n");
    wire::write_stream(out, RecordType::Stdout, request_id, &head);
}

fn try_render(
    reply: &mut Reply,
    page: Page,
    params: &[u8],
    body: &Body,
    now: Instant,
) -> Result<(), NotANumber> {
    let query = Query::of(params);
    match page {
        // These two are not rendered here: one is prepared, the other is answered while its body arrives.
        Page::Bench | Page::Echo => {}
        Page::Index => {
            let method = lossy(param(params, "REQUEST_METHOD").unwrap_or(b"-"), MAX_CELL);
            let main = include_str!("index.html")
                .replace("{method}", &escape(&method))
                .replace("{params}", &params_table(params));
            reply.html("200 OK", "It works", &main);
        }
        Page::Form => form(reply, body),
        Page::Upload => upload(reply, body),
        Page::Stream => {
            let count = query.number("n", 10)?;
            let every = query.milliseconds("ms", 300)?;
            reply.head(format_args!("Content-Type: text/plain\r\n\r\n"));
            reply.source = Some(Source::Lines(Lines::new(count, every, now)));
        }
        Page::Slow => {
            let time = query.milliseconds("ms", SLOW_MS)?;
            reply.plain(&format!("answered after {} ms\n", time.as_millis()));
        }
        Page::Big => {
            let len = query.number("size", 1024 * 1024)?;
            reply.cycle("application/octet-stream", len, answer::pattern(len));
        }
        Page::Tag => {
            query.milliseconds("delay", 0)?;
            let tag = query.text("tag").unwrap_or_default();
            // The tag is part of the parameters, whose length is limited, so it is short.
            let tag = lossy(tag.as_bytes(), MAX_TAG).into_owned();
            let len = query.number("size", tag.len() as u64)?;
            let len = if tag.is_empty() { 0 } else { len };
            reply.cycle("text/plain", len, Cycle::new(tag.into_bytes(), len));
        }
        Page::Status => match query.number("code", 404)? {
            code @ (204 | 304) => reply.head(format_args!("Status: {code}\r\n\r\n")),
            code @ 200..600 => {
                reply.content(&code.to_string(), "text/plain", &format!("status {code}\n"));
            }
            _ => return Err(NotANumber { name: "code" }),
        },
        Page::Stderr => {
            let text = query
                .text("text")
                .unwrap_or_else(|| "something to log".into());
            reply.stderr = lossy(text.as_bytes(), MAX_CELL).into_owned().into_bytes();
            reply.plain("written to FCGI_STDERR\n");
        }
        Page::Headers => {
            reply.head(format_args!(
                "Set-Cookie: first=1; Path=/\r\nSet-Cookie: second=2; Path=/; HttpOnly\r\n\
                 X-Repeated: a\r\nX-Repeated: b\r\n"
            ));
            reply.plain("two cookies, and one more field twice\n");
        }
        Page::Early => reply.plain("answered before the body was read\n"),
        Page::Exit => {
            let status = query.number("status", 1)?;
            reply.app_status = u32::try_from(status).map_err(|_| NotANumber { name: "status" })?;
            reply.plain(&format!("application status {status}\n"));
        }
        // 6.3: status 200 permits the request. Fields named `Variable-…` are passed on to the application that responds
        // to it.
        Page::Authorize => reply.head(format_args!(
            "Status: 200\r\nVariable-AUTHORIZED_BY: responder\r\n\r\n"
        )),
        Page::NotFound => {
            let uri = param(params, "REQUEST_URI").or_else(|| param(params, "SCRIPT_NAME"));
            let uri = lossy(uri.unwrap_or_default(), MAX_CELL);
            let main = format!(
                "<p>There is nothing at <code>{}</code>.</p>\n<p><a href=\"/\">All pages</a></p>",
                escape(&uri)
            );
            reply.html("404 Not Found", "Not found", &main);
        }
    }
    Ok(())
}

fn form(reply: &mut Reply, body: &Body) {
    let Body::Kept { bytes, is_cut } = body else {
        return;
    };
    if *is_cut {
        let main = format!("<p>A form may have {MAX_FORM_LEN} bytes.</p>");
        return reply.html("413 Content Too Large", "Too long", &main);
    }
    let mut table = Table::default();
    for (name, value) in form_urlencoded::parse(bytes) {
        table.row(name.as_bytes(), value.as_bytes());
    }
    reply.html("200 OK", "The form", &(table.finish() + BACK));
}

fn upload(reply: &mut Reply, body: &Body) {
    let Body::Tallied(tally) = body else {
        return;
    };
    let main = format!(
        "<p><strong>{}</strong> bytes arrived; their 64-bit FNV-1a hash is <code>{:016x}</code>.</p>\n\
         <p>That is the body as it was sent, form boundaries included if there are any.</p>\n{BACK}",
        tally.len, tally.hash
    );
    reply.html("200 OK", "The upload", &main);
}

fn params_table(params: &[u8]) -> String {
    let mut table = Table::default();
    for (name, value) in Pairs::new(params).map_while(Result::ok) {
        let is_secret = SECRETS.iter().any(|secret| name == secret.as_bytes());
        table.row(name, if is_secret { b"(hidden)" } else { value });
    }
    table.finish()
}

/// An HTML table of names and values. Its length is bounded whatever a peer sends.
#[derive(Default)]
struct Table {
    rows: String,
    len: usize,
    left_out: usize,
}

impl Table {
    fn row(&mut self, name: &[u8], value: &[u8]) {
        if self.len >= MAX_ROWS || self.rows.len() >= MAX_TABLE_LEN {
            self.left_out += 1;
            return;
        }
        self.len += 1;
        self.rows.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
            escape(&lossy(name, MAX_CELL)),
            escape(&lossy(value, MAX_CELL))
        ));
    }

    fn finish(self) -> String {
        let mut table = format!("<table>\n<tbody>\n{}</tbody>\n</table>\n", self.rows);
        if self.len == 0 {
            table = "<p>Nothing.</p>\n".to_owned();
        }
        if self.left_out > 0 {
            table.push_str(&format!("<p>And {} more.</p>\n", self.left_out));
        }
        table
    }
}

/// The text of the first `max` bytes at most.
fn lossy(bytes: &[u8], max: usize) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(max)])
}

/// Escapes text for HTML, including attribute values.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // So that text from a peer cannot look like a placeholder of the templates.
            '{' => escaped.push_str("&#123;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

/// Whether a value from the peer can be used as the value of a field without adding further fields.
fn is_field_value(value: &[u8]) -> bool {
    !value.is_empty()
        && value.len() <= MAX_CELL
        && value.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

const FRAME: &str = include_str!("frame.html");

const BACK: &str = "<p><a href=\"/\">Back</a></p>";

/// Parameters whose values are not shown.
const SECRETS: [&str; 5] = [
    "HTTP_AUTHORIZATION",
    "HTTP_PROXY_AUTHORIZATION",
    "HTTP_COOKIE",
    "AUTH_PASSWORD",
    "PHP_AUTH_PW",
];

/// The longest text from a peer that is shown in one table cell, in bytes.
const MAX_CELL: usize = 1024;
const MAX_ROWS: usize = 200;
const MAX_TABLE_LEN: usize = 128 * 1024;
const MAX_TAG: usize = 256;
