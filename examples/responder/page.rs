//! The pages: which page a request asks for, and the values in its query.

use std::borrow::Cow;
use std::time::Duration;

use mio_fcgi::wire::{DecodeError, Pairs, Role};

/// The pages of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Index,
    Bench,
    Echo,
    Form,
    Upload,
    Stream,
    Slow,
    Big,
    Tag,
    Status,
    Stderr,
    Headers,
    Early,
    Exit,
    /// The response of an Authorizer (6.3).
    Authorize,
    NotFound,
}

impl Page {
    fn at(path: &[u8]) -> Option<Self> {
        Some(match path {
            b"/bench" => Self::Bench,
            b"/" => Self::Index,
            b"/echo" => Self::Echo,
            b"/form" => Self::Form,
            b"/upload" => Self::Upload,
            b"/stream" => Self::Stream,
            b"/slow" => Self::Slow,
            b"/big" => Self::Big,
            b"/tag" => Self::Tag,
            b"/status" => Self::Status,
            b"/stderr" => Self::Stderr,
            b"/headers" => Self::Headers,
            b"/early" => Self::Early,
            b"/exit" => Self::Exit,
            _ => return None,
        })
    }
}

/// A page, and the delay of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) page: Page,
    pub(super) delay: Duration,
}

impl Route {
    /// Finds the page by the path of REQUEST_URI, or by SCRIPT_NAME, or by PATH_INFO.
    ///
    /// # Errors
    /// [`DecodeError::TruncatedPair`] if the parameters end in the middle of a pair.
    pub(super) fn find(role: Role, params: &[u8]) -> Result<Self, DecodeError> {
        let (mut uri, mut script, mut path_info) = (&b""[..], &b""[..], &b""[..]);
        let mut query = None;
        for pair in Pairs::new(params) {
            match pair? {
                (b"REQUEST_URI", value) => uri = value,
                (b"SCRIPT_NAME", value) => script = value,
                (b"PATH_INFO", value) => path_info = value,
                (b"QUERY_STRING", value) => query = Some(value),
                _ => {}
            }
        }
        let (path, uri_query) = split_uri(uri);
        let page = match role {
            Role::Responder => Page::at(path)
                .or_else(|| Page::at(script))
                .or_else(|| Page::at(path_info)),
            Role::Authorizer => Some(Page::Authorize),
            Role::Filter => Some(Page::Echo),
        };
        let page = page.unwrap_or(Page::NotFound);
        let query = Query(query.unwrap_or(uri_query));
        // An invalid number is reported later, when the page is rendered.
        let delay = match page {
            Page::Slow => query.milliseconds("ms", SLOW_MS).unwrap_or_default(),
            Page::Tag => query.milliseconds("delay", 0).unwrap_or_default(),
            _ => Duration::ZERO,
        };
        Ok(Self { page, delay })
    }
}

/// The last parameter of this name, as in php-fpm.
pub(super) fn param<'a>(params: &'a [u8], name: &str) -> Option<&'a [u8]> {
    Pairs::new(params)
        .map_while(Result::ok)
        .filter(|(found, _)| *found == name.as_bytes())
        .last()
        .map(|(_, value)| value)
}

/// The query of a request: `name=value` pairs, percent-encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a>(&'a [u8]);

impl<'a> Query<'a> {
    /// QUERY_STRING, or without it the part of REQUEST_URI after the question mark.
    pub(super) fn of(params: &'a [u8]) -> Self {
        Self(
            param(params, "QUERY_STRING")
                .or_else(|| Some(split_uri(param(params, "REQUEST_URI")?).1))
                .unwrap_or_default(),
        )
    }

    pub(super) fn text(self, name: &str) -> Option<Cow<'a, str>> {
        form_urlencoded::parse(self.0)
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// # Errors
    /// [`NotANumber`] if the value is present but not a number in its range.
    pub(super) fn number(self, name: &'static str, default: u64) -> Result<u64, NotANumber> {
        match self.text(name) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| NotANumber { name }),
        }
    }

    /// A time of a minute at most.
    pub(super) fn milliseconds(
        self,
        name: &'static str,
        default: u64,
    ) -> Result<Duration, NotANumber> {
        let milliseconds = self.number(name, default)?;
        Ok(Duration::from_millis(milliseconds.min(MAX_MS)))
    }
}

/// A value of the query that is not a number, or not one in its range.
#[derive(Debug, thiserror::Error)]
#[error("{name} has to be a number in its range")]
pub(super) struct NotANumber {
    pub(super) name: &'static str,
}

/// Splits a URI into path and query.
fn split_uri(uri: &[u8]) -> (&[u8], &[u8]) {
    match uri.iter().position(|byte| *byte == b'?') {
        Some(at) => (&uri[..at], &uri[at + 1..]),
        None => (uri, b""),
    }
}

/// How long `/slow` takes by default.
pub(super) const SLOW_MS: u64 = 1000;

const MAX_MS: u64 = 60_000;
