//! A request: its role, parameters and body, its time limits, and when it may be sent again.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;

use crate::error::SubmitError;
use crate::params::{Declared, Params};
use crate::retry::Retry;
use crate::server::ServerId;
use crate::timeouts::Timeouts;
use crate::wire::Role;

/// A request for an application, to be passed to `submit`.
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
    /// The role of the application in this request (FastCGI 1.0, section 6). Most applications are only Responders.
    pub role: Role,
    /// The name-value pairs (CGI parameters). They are sent in this order.
    pub params: Params,
    /// The request body (`FCGI_STDIN`). Must be empty for an Authorizer.
    pub body: Body,
    /// The file data of a Filter (`FCGI_DATA`). Must be empty for other roles, and cannot be [`Body::pushed`].
    pub data: Body,
    /// When the client may send the request again without a call by the embedder. Default: [`Retry::ByMethod`].
    pub retry: Retry,
    /// The only server that may serve this request: one of [`Engine::servers`](crate::Engine::servers). Default: `None`,
    /// the client chooses.
    ///
    /// For what each server has to be told or asked by itself, such as to reset its cache or to report its status. The
    /// request goes before the requests that may go elsewhere, waits for its server only, and is never sent to another
    /// one. It also reaches a server in another mode than [`Active`](crate::ServerMode::Active).
    pub server: Option<ServerId>,
    /// Time limits of this request. Default: `None`, those of [`Config::timeouts`](crate::Config::timeouts).
    pub timeouts: Option<Timeouts>,
}

impl Request {
    /// Whether the request has no body and no data, and declares none.
    #[inline]
    pub(crate) fn is_without_streams(&self) -> bool {
        let none = |declared| matches!(declared, Declared::Absent | Declared::Bytes(0));
        matches!(
            (&self.body.0, &self.data.0),
            (Content::Empty, Content::Empty)
        ) && none(self.params.content_length())
            && none(self.params.data_length())
    }

    /// When the request may be sent again, with [`Retry::ByMethod`] resolved.
    pub(crate) fn effective_retry(&self) -> Retry {
        match self.retry {
            Retry::ByMethod if self.params.is_idempotent() => Retry::IfStale,
            Retry::ByMethod => Retry::IfNotProcessed,
            other => other,
        }
    }

    /// Whether the request must not be sent again after a byte of it was sent.
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

    /// An empty request for a role, without parameters and body.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            params: Params::default(),
            body: Body::empty(),
            data: Body::empty(),
            retry: Retry::default(),
            server: None,
            timeouts: None,
        }
    }

    /// Adds a parameter, as `params.push` does; for chains.
    #[must_use]
    pub fn param(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.params.push(name, value);
        self
    }

    /// Sets the body from a [`Body`] or a type that [converts](Body#conversions) into one; for chains.
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

    /// Sets when the request may be sent again; for chains.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the only server that may serve the request. `None` lets the client choose; for chains.
    #[must_use]
    pub fn with_server(mut self, server: impl Into<Option<ServerId>>) -> Self {
        self.server = server.into();
        self
    }

    /// Sets the time limits. `None` selects those of [`Config`](crate::Config); for chains.
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

    /// Replaces all parameters; for chains. [`param`](Self::param) adds one.
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

    /// Checks the streams against the role. A stream that is known to be empty counts as absent. Only a pushed body is
    /// kept, because `finish_stdin` is called for it.
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
        // FastCGI 1.0, 6.3: an Authorizer receives no CONTENT_LENGTH.
        if self.role == Role::Authorizer && !is_pushed(&self.body) {
            self.body = Body::empty();
        }
        Ok(())
    }
}

/// A request body: bytes in memory, a reader or file, or bytes that the embedder pushes as they arrive.
///
/// The client drops the body no later than it reports the request's `End`.
///
/// # Conversions
/// Static strings and bytes, `Arc<[u8]>`, `String`, `Vec<u8>` and [`File`] convert into a body. The static ones and
/// `Arc<[u8]>` are not copied. [`Body::bytes`] copies borrowed bytes that are not static.
///
/// # Rewinding
/// To send a request again, the client needs its body from the start. Bytes and seekable readers can always be rewound.
/// A plain reader and a pushed body can be rewound until a byte of the request was sent: until then, all bytes taken
/// from them are in memory.
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
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Content::Empty)
    }

    /// Bytes owned by the request. Large bodies are sent by vectored writes, without a copy.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Content::Bytes(bytes.into()))
    }

    /// Bytes shared with other owners, never copied as a whole.
    #[must_use]
    pub fn shared(bytes: Arc<[u8]>) -> Self {
        Self(Content::Shared(bytes))
    }

    /// A reader. It must not block for long, because it is read inside the calls of the client, in pieces of at most
    /// 64 KiB: a file or a cursor, not a socket.
    ///
    /// If `len` is `None`, [`Config::unknown_length`](crate::Config::unknown_length) applies. If the reader has fewer
    /// or more bytes than `len`, the request fails.
    pub fn reader(reader: impl Read + Send + 'static, len: Option<u64>) -> Self {
        Self(Content::Reader {
            reader: Box::new(reader),
            len,
        })
    }

    /// A [reader](Self::reader) that can be rewound to its position at the time of `submit`.
    pub fn seekable(reader: impl Read + Seek + Send + 'static, len: Option<u64>) -> Self {
        Self(Content::Seekable {
            reader: Box::new(reader),
            len,
        })
    }

    /// A body that the embedder writes with `write_stdin` and ends with `finish_stdin`. `len` is its length, if known.
    #[must_use]
    pub const fn pushed(len: Option<u64>) -> Self {
        Self(Content::Pushed { len })
    }

    /// The position of a seekable reader; 0 for other bodies.
    pub(crate) fn position(&mut self) -> io::Result<u64> {
        match &mut self.0 {
            Content::Seekable { reader, .. } => reader.stream_position(),
            _ => Ok(0),
        }
    }

    /// The length in bytes. `None`: the length is not known beforehand.
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

    /// Whether the length is known to be 0.
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

/// The body is the file from its current position on. A regular file has a known length, and a retry seeks back to that
/// position. Any other file (a pipe, a device, a file without readable metadata) becomes a [reader](Body::reader) of
/// unknown length.
///
/// The client reads the file inside its calls, in pieces of at most 64 KiB. If the file shrinks or grows meanwhile, the
/// request fails. A file with a stated length of 0 and content, such as in `/proc`, needs [`Body::reader`].
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
