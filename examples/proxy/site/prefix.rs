//! A path in an option, and what is below it.

use std::fmt;

use mio_fcgi::cgi;

/// A path, and all paths below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    text: String,
    path: Vec<u8>,
}

impl Prefix {
    /// # Errors
    /// What is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "expects a path such as /blog, without a query";
        if text.contains(['?', '#']) {
            return Err(expected);
        }
        let mut path = cgi::normalized_path(text).map_err(|_| expected)?;
        if path.ends_with(b"/") {
            path.pop();
        }
        let text = text.to_owned();
        Ok(Self { text, path })
    }

    /// `/`
    pub(crate) fn root() -> Self {
        Self {
            text: "/".to_owned(),
            path: Vec::new(),
        }
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Decoded, without a slash at its end.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The rest of a normalised path after this one. `None`: it is not below, in whole segments.
    pub(crate) fn rest<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let rest = path.strip_prefix(&self.path[..])?;
        matches!(rest, [] | [b'/', ..]).then_some(rest)
    }

    /// Whether a path is this one or below it, on a file system that may not tell letters of different case apart.
    pub(crate) fn covers_in_any_case(&self, path: &[u8]) -> bool {
        let split = path.split_at_checked(self.path.len());
        split.is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(&self.path) && matches!(rest, [] | [b'/', ..])
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
