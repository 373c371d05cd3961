//! One request: its role, its parameters, its body, and how it may be timed and retried.

use std::fmt;
use std::io::{Read, Seek};
use std::sync::Arc;

use crate::config::Timeouts;
use crate::wire::{self, Pairs, Role};

/// A request as the embedder states it, before it is submitted.
///
/// ```
/// use mio_fcgi::{Body, Request};
/// let mut request = Request::responder();
/// request
///     .params
///     .push("REQUEST_METHOD", "POST")
///     .push("SCRIPT_FILENAME", "/srv/www/hello.php");
/// request.body = Body::bytes("name=world"); // CONTENT_LENGTH is added when it is missing
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// What is asked of the application (FastCGI 1.0, section 6).
    pub role: Role,
    /// The name-value pairs, sent in this order.
    pub params: Params,
    /// The `FCGI_STDIN` stream. An Authorizer has none.
    pub body: Body,
    /// The `FCGI_DATA` stream, for a Filter only; [`Body::pushed`] is not possible here.
    pub data: Body,
    /// When the request may be sent a second time.
    pub retry: Retry,
    /// This request's own time limits instead of those of [`Config`](crate::Config).
    pub timeouts: Option<Timeouts>,
}

impl Request {
    /// An empty Responder request (FastCGI 1.0, 6.2).
    #[must_use]
    pub fn responder() -> Self {
        Self::new(Role::Responder)
    }

    /// An empty request for a role.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            params: Params::default(),
            body: Body::empty(),
            data: Body::empty(),
            retry: Retry::default(),
            timeouts: None,
        }
    }

    /// Adds a parameter; the same as `params.push`, for chains.
    #[must_use]
    pub fn param(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.params.push(name, value);
        self
    }

    /// Sets the body; for chains.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sets the choice of retry; for chains.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the time limits; for chains.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }
}

/// When a request may be sent again by itself. A response that has begun is never retried.
///
/// Each further choice includes the former ones; how often is bounded by
/// [`Config::max_retries`](crate::Config::max_retries). A body that cannot be
/// [rewound](Body#rewinding) limits every choice to what was not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Retry {
    /// Never: the first failure is reported.
    Never,
    /// When the application cannot have seen it: no octet left, or it was refused
    /// (`FCGI_CANT_MPX_CONN`, `FCGI_OVERLOADED`). Right for requests that must not run twice.
    IfNotSent,
    /// Also when a *reused* connection closed before the first octet of a response, once and on a
    /// fresh connection: as a rule the application had closed it while it was idle.
    #[default]
    IfStale,
    /// Also when a fresh connection closed before the first octet of a response. The application
    /// may run the request twice: for idempotent ones.
    IfUnanswered,
}

/// Name-value pairs, encoded as they are pushed (FastCGI 1.0, 3.4).
///
/// Order and duplicates are kept; PHP lets the last of a name win. Octets need not be UTF-8.
/// `Debug` shows names and lengths, no values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params {
    shared: Option<SharedParams>,
    encoded: Vec<u8>,
    longest_pair: usize,
    content_length: Declared,
    data_length: Declared,
}

impl Params {
    /// Pairs that begin with those of a shared block, which is not copied.
    #[must_use]
    pub fn with_shared(shared: &SharedParams) -> Self {
        let mut params = Self::default();
        params.set_shared(shared);
        params
    }

    /// Puts a shared block in front of the pairs, in the place of an earlier one.
    pub fn set_shared(&mut self, shared: &SharedParams) -> &mut Self {
        self.shared = Some(shared.clone());
        self
    }

    /// Appends a pair.
    ///
    /// `CONTENT_LENGTH` (and `FCGI_DATA_LENGTH`) is noted and held against the body. A pair that no
    /// record can carry is refused by `submit`, not here.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        match name {
            b"CONTENT_LENGTH" => self.content_length.note(value),
            b"FCGI_DATA_LENGTH" => self.data_length.note(value),
            _ => {}
        }
        let before = self.encoded.len();
        let pair_len = match wire::write_pair(&mut self.encoded, name, value) {
            Ok(()) => self.encoded.len() - before,
            // Only lengths above 2^31 - 1 fail; `longest_pair` keeps them from being sent.
            Err(_) => wire::pair_len(name.len(), value.len()),
        };
        self.longest_pair = self.longest_pair.max(pair_len);
        self
    }

    /// Appends a pair whose name and value `write` appends, one after the other, in the lengths stated.
    /// If it appends any other number of octets there is no pair: the next ones would be misread.
    pub(crate) fn push_with(
        &mut self,
        name_len: usize,
        value_len: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let pair_len = wire::pair_len(name_len, value_len);
        let start = self.encoded.len();
        self.longest_pair = self.longest_pair.max(pair_len);
        if wire::write_pair_lens(&mut self.encoded, name_len, value_len).is_err() {
            return;
        }
        write(&mut self.encoded);
        if self.encoded.len() != start + pair_len {
            self.encoded.truncate(start);
        }
    }

    /// The pairs, those of the shared block first.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.encoded_parts()
            .into_iter()
            .flat_map(|part| Pairs::new(part).filter_map(Result::ok))
    }

    /// The last value given for a name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.iter()
            .filter(|pair| pair.0 == name)
            .last()
            .map(|pair| pair.1)
    }

    /// Encoded octets, the shared block included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.encoded_parts().iter().map(|part| part.len()).sum()
    }

    /// True when there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.encoded_len() == 0
    }

    /// Removes all pairs, the shared block too; the memory stays for the next.
    pub fn clear(&mut self) {
        self.shared = None;
        self.encoded.clear();
        self.longest_pair = 0;
        self.content_length = Declared::Absent;
        self.data_length = Declared::Absent;
    }

    /// Encodes once what many requests have in common, such as a site's constants.
    #[must_use]
    pub fn into_shared(mut self) -> SharedParams {
        if let Some(inner) = self.shared.take() {
            let mut encoded = inner.0.encoded.clone();
            encoded.append(&mut self.encoded);
            self.encoded = encoded;
            self.longest_pair = self.longest_pair.max(inner.0.longest_pair);
            self.content_length = inner.0.content_length.joined(self.content_length);
            self.data_length = inner.0.data_length.joined(self.data_length);
        }
        SharedParams(Arc::new(self))
    }

    pub(crate) fn encoded_parts(&self) -> [&[u8]; 2] {
        let shared = match &self.shared {
            // Never nested: `into_shared` flattens.
            Some(shared) => shared.0.encoded.as_slice(),
            None => &[],
        };
        [shared, &self.encoded]
    }

    pub(crate) fn longest_pair(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |s| s.0.longest_pair);
        self.longest_pair.max(shared)
    }

    pub(crate) fn content_length(&self) -> Declared {
        let shared = self.shared.as_ref();
        shared
            .map_or(Declared::Absent, |s| s.0.content_length)
            .joined(self.content_length)
    }

    pub(crate) fn data_length(&self) -> Declared {
        let shared = self.shared.as_ref();
        shared
            .map_or(Declared::Absent, |s| s.0.data_length)
            .joined(self.data_length)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.encoded.capacity()
    }
}

/// Pushes each pair, in order.
impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Extend<(N, V)> for Params {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.push(name, value);
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut params = Self::default();
        params.extend(pairs);
        params
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                (
                    String::from_utf8_lossy(name).into_owned(),
                    format!("{} octets", value.len()),
                )
            }))
            .finish()
    }
}

/// Pairs encoded once and shared by many requests; cloning copies a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedParams(Arc<Params>);

/// A length that a parameter promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Declared {
    #[default]
    Absent,
    Octets(u64),
    Invalid,
}

impl Declared {
    fn note(&mut self, value: &[u8]) {
        *self = self.joined(Self::parse(value));
    }

    fn parse(value: &[u8]) -> Self {
        // RFC 3875, 4.1.2: an empty CONTENT_LENGTH says that there is no body.
        if value.is_empty() {
            return Self::Octets(0);
        }
        let digits = std::str::from_utf8(value)
            .ok()
            .filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
        match digits.and_then(|text| text.parse().ok()) {
            Some(octets) => Self::Octets(octets),
            None => Self::Invalid,
        }
    }

    /// Two statements about one length: they must agree.
    fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, other) => other,
            (known, Self::Absent) => known,
            (Self::Octets(one), Self::Octets(two)) if one == two => self,
            (Self::Octets(_) | Self::Invalid, Self::Octets(_) | Self::Invalid) => Self::Invalid,
        }
    }
}

/// What goes to the application on a stream.
///
/// # Rewinding
/// A retry needs the body from its start. Octets and seekable readers can be rewound; a plain
/// reader and a pushed body only as long as nothing was taken from them, and that begins when the
/// request gets its connection, before an octet has left.
pub struct Body(pub(crate) Content);

pub(crate) enum Content {
    Empty,
    Bytes(Vec<u8>),
    Shared(Arc<[u8]>),
    Reader {
        reader: Box<dyn Read + Send>,
        len: Option<u64>,
    },
    Seekable {
        reader: Box<dyn ReadSeek + Send>,
        len: Option<u64>,
    },
    Pushed {
        len: Option<u64>,
    },
}

pub(crate) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl Body {
    /// No content; the stream is ended at once.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Content::Empty)
    }

    /// Octets owned by the request. Large ones leave by vectored writes, uncopied.
    pub fn bytes(octets: impl Into<Vec<u8>>) -> Self {
        Self(Content::Bytes(octets.into()))
    }

    /// Octets shared with others, never copied as a whole.
    #[must_use]
    pub fn shared(octets: Arc<[u8]>) -> Self {
        Self(Content::Shared(octets))
    }

    /// A reader, read in pieces of at most 64 KiB as the connection takes them, inside the calls
    /// of the client: it must not block for long (a file, a cursor; not a socket).
    ///
    /// Without a length, [`Config::unknown_length`](crate::Config::unknown_length) decides. A reader
    /// that ends before its length or goes on after it fails the request.
    pub fn reader(reader: impl Read + Send + 'static, len: Option<u64>) -> Self {
        Self(Content::Reader {
            reader: Box::new(reader),
            len,
        })
    }

    /// A reader that can be rewound to where it stands when the request is submitted.
    pub fn seekable(reader: impl Read + Seek + Send + 'static, len: Option<u64>) -> Self {
        Self(Content::Seekable {
            reader: Box::new(reader),
            len,
        })
    }

    /// A body that the embedder hands over with `write_stdin` and ends with `finish_stdin`.
    #[must_use]
    pub const fn pushed(len: Option<u64>) -> Self {
        Self(Content::Pushed { len })
    }

    /// The number of octets, where it is known beforehand.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Content::Empty => Some(0),
            Content::Bytes(octets) => Some(octets.len() as u64),
            Content::Shared(octets) => Some(octets.len() as u64),
            Content::Reader { len, .. }
            | Content::Seekable { len, .. }
            | Content::Pushed { len } => *len,
        }
    }

    /// True when it is known that there is no octet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Content::Empty => "Empty",
            Content::Bytes(_) => "Bytes",
            Content::Shared(_) => "Shared",
            Content::Reader { .. } => "Reader",
            Content::Seekable { .. } => "Seekable",
            Content::Pushed { .. } => "Pushed",
        };
        f.debug_struct(kind).field("len", &self.len()).finish()
    }
}

impl From<Vec<u8>> for Body {
    fn from(octets: Vec<u8>) -> Self {
        Self::bytes(octets)
    }
}

impl From<Arc<[u8]>> for Body {
    fn from(octets: Arc<[u8]>) -> Self {
        Self::shared(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_and_lengths_but_no_value() {
        let mut params = Params::default();
        params.push("HTTP_AUTHORIZATION", "Basic secret");
        let shown = format!("{params:?}");
        assert!(shown.contains("HTTP_AUTHORIZATION") && shown.contains("12 octets"));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn content_length_is_noted_and_conflicts_are_invalid() {
        let declared = |values: &[&str]| {
            let mut params = Params::default();
            for value in values {
                params.push("CONTENT_LENGTH", value);
            }
            params.content_length()
        };
        assert_eq!(declared(&[]), Declared::Absent);
        assert_eq!(declared(&[""]), Declared::Octets(0));
        assert_eq!(declared(&["12"]), Declared::Octets(12));
        assert_eq!(declared(&["12", "12"]), Declared::Octets(12));
        assert_eq!(declared(&["12", "13"]), Declared::Invalid);
        assert_eq!(declared(&["+12"]), Declared::Invalid);
        assert_eq!(declared(&["99999999999999999999"]), Declared::Invalid);
    }

    #[test]
    fn a_pair_that_is_not_as_long_as_stated_is_left_out() {
        let mut params = Params::default();
        params.push("A", "1");
        for value in ["", "2", "222"] {
            params.push_with(1, 2, |out| {
                out.push(b'B');
                out.extend_from_slice(value.as_bytes());
            });
        }
        params.push_with(1, 200, |out| out.extend_from_slice(&[b'C'; 201]));
        let lens: Vec<usize> = params.iter().map(|pair| pair.1.len()).collect();
        assert_eq!(lens, [1, 200]);
    }

    #[test]
    fn shared_pairs_come_first_and_the_last_of_a_name_is_found() {
        let mut constants = Params::default();
        constants.push("SERVER_SOFTWARE", "x").push("A", "1");
        let mut params = Params::with_shared(&constants.into_shared());
        params.push("A", "2");
        let names: Vec<&[u8]> = params.iter().map(|pair| pair.0).collect();
        assert_eq!(names, [&b"SERVER_SOFTWARE"[..], b"A", b"A"]);
        assert_eq!(params.get("A"), Some(&b"2"[..]));
        params.extend([("A", "3"), ("CONTENT_LENGTH", "4")]);
        assert_eq!(params.get("A"), Some(&b"3"[..]));
        assert_eq!(params.content_length(), Declared::Octets(4));
        let copy: Params = params.iter().collect();
        assert!(copy.iter().eq(params.iter()));
    }
}
