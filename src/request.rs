//! One request: its role, its parameters, its body, and how it may be timed and retried.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;

use crate::config::Timeouts;
use crate::error::SubmitError;
use crate::params::{Declared, Params};
use crate::wire::Role;

/// A request as the embedder states it, before it is submitted.
///
/// ```
/// use mio_fcgi::Request;
/// let mut request = Request::responder();
/// request
///     .params
///     .push("REQUEST_METHOD", "POST")
///     .push("SCRIPT_FILENAME", "/srv/www/hello.php");
/// request.body = "name=world".into(); // CONTENT_LENGTH is added when it is missing
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// What is asked of the application (FastCGI 1.0, section 6).
    pub role: Role,
    /// The name-value pairs, sent in this order.
    pub params: Params,
    /// The `FCGI_STDIN` stream. An Authorizer has none: its body is empty.
    pub body: Body,
    /// The `FCGI_DATA` stream, for a Filter only; [`Body::pushed`] is not possible here.
    pub data: Body,
    /// When the request may be sent a second time.
    pub retry: Retry,
    /// This request's own time limits instead of those of [`Config`](crate::Config).
    pub timeouts: Option<Timeouts>,
}

impl Request {
    /// Whether it has no body and no data, and declares none.
    #[inline]
    pub(crate) fn is_without_streams(&self) -> bool {
        let none = |declared| matches!(declared, Declared::Absent | Declared::Bytes(0));
        matches!(
            (&self.body.0, &self.data.0),
            (Content::Empty, Content::Empty)
        ) && none(self.params.content_length())
            && none(self.params.data_length())
    }

    /// When it may be sent again, the method looked at.
    pub(crate) fn effective_retry(&self) -> Retry {
        match self.retry {
            Retry::ByMethod if self.params.is_idempotent() => Retry::IfStale,
            Retry::ByMethod => Retry::IfNotProcessed,
            other => other,
        }
    }

    /// Whether it may not be sent a second time once some of it was sent.
    pub(crate) fn runs_once(&self) -> bool {
        let is_read_once =
            |body: &Body| matches!(body.0, Content::Reader { .. } | Content::Pushed { .. });
        self.effective_retry() < Retry::IfStale
            || is_read_once(&self.body)
            || is_read_once(&self.data)
    }

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

    /// Sets the body, from a [`Body`] or from whatever [converts](Body#conversions) into one; for chains.
    ///
    /// ```
    /// # use mio_fcgi::{Body, Request};
    /// let posted = Request::responder().with_body("name=world");
    /// assert_eq!(posted.body.len(), Some(10));
    /// let pushed = Request::responder().with_body(Body::pushed(None));
    /// assert_eq!(pushed.body.len(), None);
    /// ```
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the choice of retry; for chains.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the time limits, or with `None` those of [`Config`](crate::Config); for chains.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: impl Into<Option<Timeouts>>) -> Self {
        self.timeouts = timeouts.into();
        self
    }

    /// Sets the role; for chains.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Sets the parameters, instead of those that were there; for chains. [`param`](Self::param) adds one.
    #[must_use]
    pub fn with_params(mut self, params: Params) -> Self {
        self.params = params;
        self
    }

    /// Sets the data for a Filter; for chains.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Body>) -> Self {
        self.data = data.into();
        self
    }

    /// Checks the streams against the role. One that is known to be empty is none, whatever it was made from; only a
    /// pushed body stays what it is, since its `finish_stdin` comes.
    ///
    /// # Errors
    /// [`SubmitError::StreamNotAllowed`].
    pub(crate) fn check_streams(&mut self) -> Result<(), SubmitError> {
        if self.data.is_empty() {
            self.data = Body::empty();
        }
        let is_pushed = |body: &Body| matches!(body.0, Content::Pushed { .. });
        let allowed = match self.role {
            Role::Responder => self.data.is_empty(),
            Role::Authorizer => self.body.is_empty() && self.data.is_empty(),
            Role::Filter => !is_pushed(&self.data),
        };
        if !allowed {
            return Err(SubmitError::StreamNotAllowed);
        }
        // FastCGI 1.0, 6.3: an Authorizer is told no CONTENT_LENGTH.
        if self.role == Role::Authorizer && !is_pushed(&self.body) {
            self.body = Body::empty();
        }
        Ok(())
    }
}

/// When a request may be sent again by itself. A response that has begun is never retried.
///
/// Each further choice includes the former ones; how often is bounded by
/// [`Config::max_retries`](crate::Config::max_retries). A body that cannot be
/// [rewound](Body#rewinding) limits every choice to what was not sent.
///
/// A connect that fails is no attempt: the request waits for another server, or for
/// [`Config::connect_retry_timeout`](crate::Config::connect_retry_timeout), whatever is chosen here.
///
/// Before a request that may not be sent a second time leaves on a reused connection, its socket is read once: a
/// connection that the application has closed by then costs it nothing. The guide has
/// [all cases](crate::guide::failure#what-the-client-sends-again).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Retry {
    /// Never: the first failure is reported.
    Never,
    /// When the application cannot have acted on it: no byte was handed to the transport, or it was refused
    /// (`FCGI_CANT_MPX_CONN`, `FCGI_OVERLOADED`). Right for requests that must not run twice.
    IfNotProcessed,
    /// As [`IfStale`](Self::IfStale) when `REQUEST_METHOD` is idempotent (RFC 9110, 9.2.2: GET, HEAD, OPTIONS, TRACE,
    /// PUT, DELETE), and as [`IfNotProcessed`](Self::IfNotProcessed) otherwise.
    #[default]
    ByMethod,
    /// Also when a *reused* connection was lost without a byte of a response, sooner than
    /// [`Config::stale_window`](crate::Config::stale_window) after the last byte of the request was sent; once, and on a
    /// fresh connection. As a rule the application had closed the connection while it was idle, but nothing proves that:
    /// the request may run twice.
    IfStale,
    /// Also when a *fresh* connection was lost in that way, or a shared one on which others were answered; once in all.
    /// For requests that may run twice.
    IfUnanswered,
}

/// What goes to the application on a stream. It is dropped no later than the request's `End` comes.
///
/// # Conversions
/// A body is made from static strings and bytes and from `Arc<[u8]>`, none of which are copied, and from `String`,
/// `Vec<u8>` and [`File`]. Borrowed bytes that are not static are copied by [`Body::bytes`].
///
/// # Rewinding
/// A retry needs the body from its start. Bytes and seekable readers can be rewound; a plain reader and a pushed body
/// only as long as no byte of the request has left: until then, all that was taken from them is in memory.
pub struct Body(pub(crate) Content);

pub(crate) enum Content {
    Empty,
    Static(&'static [u8]),
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

    /// Bytes owned by the request. Large ones leave by vectored writes, uncopied.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Content::Bytes(bytes.into()))
    }

    /// Bytes shared with others, never copied as a whole.
    #[must_use]
    pub fn shared(bytes: Arc<[u8]>) -> Self {
        Self(Content::Shared(bytes))
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

    /// Where a seekable reader stands; 0 for all others.
    pub(crate) fn position(&mut self) -> io::Result<u64> {
        match &mut self.0 {
            Content::Seekable { reader, .. } => reader.stream_position(),
            _ => Ok(0),
        }
    }

    /// The number of bytes, where it is known beforehand.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Content::Empty => Some(0),
            Content::Static(bytes) => Some(bytes.len() as u64),
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::Shared(bytes) => Some(bytes.len() as u64),
            Content::Reader { len, .. }
            | Content::Seekable { len, .. }
            | Content::Pushed { len } => *len,
        }
    }

    /// True when it is known that there is no byte.
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
            Content::Static(_) => "Static",
            Content::Bytes(_) => "Bytes",
            Content::Shared(_) => "Shared",
            Content::Reader { .. } => "Reader",
            Content::Seekable { .. } => "Seekable",
            Content::Pushed { .. } => "Pushed",
        };
        f.debug_struct(kind).field("len", &self.len()).finish()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Content::Static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::bytes(text)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

impl From<Arc<[u8]>> for Body {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::shared(bytes)
    }
}

/// The body is what follows the file's position. Of a regular file the length is known, and a retry seeks back to that
/// position. Anything else (a pipe, a device, a file whose metadata cannot be read) is a [reader](Body::reader) of
/// unknown length.
///
/// The client reads the file inside its calls, in pieces of at most 64 KiB. A file that shrinks or grows meanwhile fails
/// the request. Files that state a length of 0 and have content, as below `/proc`, need [`Body::reader`].
impl From<File> for Body {
    fn from(mut file: File) -> Self {
        let metadata = file.metadata().ok().filter(|it| it.is_file());
        let position = file.stream_position().ok();
        match metadata.zip(position) {
            Some((metadata, position)) => {
                let len = metadata.len().saturating_sub(position);
                Self::seekable(file, Some(len))
            }
            None => Self::reader(file, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Make = fn(&'static [u8]) -> Body;

    /// Each kind of body of these bytes.
    const KINDS: [Make; 6] = [
        |bytes| bytes.into(),
        |bytes| Body::bytes(bytes),
        |bytes| Body::shared(bytes.into()),
        |bytes| Body::reader(bytes, Some(bytes.len() as u64)),
        |bytes| Body::seekable(std::io::Cursor::new(bytes), Some(bytes.len() as u64)),
        |bytes| Body::pushed(Some(bytes.len() as u64)),
    ];

    fn request(role: Role, body: Body, data: Body) -> Request {
        let mut request = Request::new(role).with_body(body);
        request.data = data;
        request
    }

    #[test]
    fn an_empty_stream_is_none_whatever_its_kind() {
        for make in KINDS {
            for role in [Role::Responder, Role::Authorizer, Role::Filter] {
                let mut request = request(role, make(b""), make(b""));
                assert_eq!(request.check_streams(), Ok(()), "{request:?}");
                assert!(matches!(request.data.0, Content::Empty), "{request:?}");
                let is_left = matches!(request.body.0, Content::Empty | Content::Pushed { .. });
                assert!(is_left || role != Role::Authorizer, "{request:?}");
            }
        }
    }

    #[test]
    fn a_stream_that_a_role_has_not_is_refused() {
        let refused = Err(SubmitError::StreamNotAllowed);
        for make in KINDS {
            let with_body = |role| request(role, make(b"x"), Body::empty()).check_streams();
            assert_eq!(with_body(Role::Authorizer), refused);
            assert_eq!(with_body(Role::Responder), Ok(()));
            assert_eq!(with_body(Role::Filter), Ok(()));
            let mut with_data = request(Role::Responder, Body::empty(), make(b"x"));
            assert_eq!(with_data.check_streams(), refused);
            with_data.role = Role::Authorizer;
            assert_eq!(with_data.check_streams(), refused);
            with_data.role = Role::Filter;
            let is_pushed = matches!(with_data.data.0, Content::Pushed { .. });
            assert_eq!(with_data.check_streams().is_err(), is_pushed);
        }
        let unknown = Body::reader(&b""[..], None);
        let mut unknown = request(Role::Authorizer, unknown, Body::empty());
        assert_eq!(unknown.check_streams(), refused);
    }

    #[test]
    fn static_and_shared_bytes_become_a_body_without_a_copy() {
        static BYTES: [u8; 4] = *b"body";
        let shared: Arc<[u8]> = BYTES[..].into();
        for (body, at) in [
            (Body::from(&BYTES), BYTES.as_ptr()),
            (Body::from(&BYTES[..]), BYTES.as_ptr()),
            (Body::from(Arc::clone(&shared)), shared.as_ptr()),
        ] {
            assert_eq!(body.len(), Some(4));
            let bytes = match &body.0 {
                Content::Static(bytes) => bytes,
                Content::Shared(bytes) => &bytes[..],
                _ => panic!("{body:?}"),
            };
            assert_eq!(bytes.as_ptr(), at);
        }
        for body in [
            "body".into(),
            String::from("body").into(),
            Body::from(b"body".to_vec()),
        ] {
            assert_eq!(body.len(), Some(4));
        }
    }

    #[test]
    fn a_regular_file_is_a_body_from_its_position_on() {
        let mut file = tempfile::tempfile().expect("a directory for temporary files");
        io::Write::write_all(&mut file, b"skipped,body").expect("space for 12 bytes");
        for (position, left) in [(0, 12), (8, 4), (12, 0), (100, 0)] {
            file.seek(io::SeekFrom::Start(position)).expect("a file");
            let handle = file.try_clone().expect("a descriptor");
            let mut body = Body::from(handle);
            assert_eq!(
                (body.len(), body.position().ok()),
                (Some(left), Some(position))
            );
            assert!(matches!(body.0, Content::Seekable { .. }), "{body:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_a_reader_of_unknown_length() {
        let (reader, _writer) = io::pipe().expect("a pipe");
        let body = Body::from(File::from(std::os::fd::OwnedFd::from(reader)));
        assert!(
            matches!(body.0, Content::Reader { len: None, .. }),
            "{body:?}"
        );
    }
}
