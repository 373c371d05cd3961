//! Finds the body of an HTTP/1 request in what a client sends.

use super::chunked::ChunkedDecoder;
use super::request_body_error::RequestBodyError;
use super::request_framing::Declared;
use crate::request::Body;

/// Finds the body of an HTTP/1 request in the bytes that a client sends: its length, its content, and its end.
///
/// With a parser for heads, such as the crate `httparse`, a request body and a [`Reply`](super::Reply) are all that a
/// server needs for HTTP/1. The body is made from the fields of the request, and decides by RFC 9112, 6 how its end is
/// found. It neither reads nor holds bytes: the content is returned as slices of what the server has read. It allocates
/// nothing.
///
/// ```
/// use mio_fcgi::cgi::RequestBody;
///
/// // From the head of a request:
/// let fields = [(&b"Host"[..], &b"example.org"[..]), (b"Transfer-Encoding", b"chunked")];
/// let mut body = RequestBody::new(true, fields, 1024 * 1024)?;
/// assert_eq!(body.len(), None); // known at its end
///
/// // What the client sent after the head, in two reads:
/// let mut content = Vec::new();
/// for read in [&b"6\r\nhello \r\n5\r\nwo"[..], b"rld\r\n0\r\n\r\nGET /next"] {
///     let mut input = read;
///     while let Some(piece) = body.decode(&mut input)? {
///         content.extend_from_slice(piece);
///     }
///     if body.is_complete() {
///         assert_eq!(input, b"GET /next"); // the next request
///     }
/// }
/// assert_eq!(content, b"hello world");
/// assert!(body.is_complete());
/// # Ok::<(), mio_fcgi::cgi::RequestBodyError>(())
/// ```
///
/// # An application that takes a part
///
/// [`Commands::pass_on`](crate::Commands::pass_on) passes a body on as far as the application takes it. It is made of
/// [`peek`](Self::peek), which shows the next content and leaves it in the input, and [`consume`](Self::consume), which
/// removes what was taken. So what is left of the input is always what the client sent.
///
/// # What is refused
///
/// Anything that two programs could read differently: if they disagree about where a request ends, they disagree about
/// whose request comes next (request smuggling, RFC 9112, 11.2). [`RequestBodyError`] lists it. After an error, answer
/// with its [`http_status`](RequestBodyError::http_status) and close the connection: where the request ends is unknown.
///
/// The names of fields have to be tokens, as `httparse` makes sure. The method has no influence: a GET may have a body
/// (RFC 9112, 6.3). The content is not decompressed: `Content-Encoding` is for the application.
#[derive(Debug)]
pub struct RequestBody {
    state: State,
    content_length: Option<u64>,
    /// The most bytes of content.
    max_len: u64,
    /// The bytes of content that were consumed.
    received: u64,
    expects_continue: bool,
    /// The application was told of the end.
    has_passed_end: bool,
}

#[derive(Debug)]
enum State {
    Counted { left: u64 },
    Chunked(ChunkedDecoder),
    Failed(RequestBodyError),
}

impl RequestBody {
    /// The body of the request with these fields, which may be empty. `http11` is false for HTTP/1.0 and true for
    /// HTTP/1.1 and later versions of HTTP/1.
    ///
    /// `max_len` is the most bytes of content; `u64::MAX` means no limit. A longer `Content-Length` is refused here, and
    /// a longer chunked body while it is decoded, before any content of the chunk that exceeds the limit.
    ///
    /// # Errors
    /// Any [`RequestBodyError`] but `Truncated` and `Chunked`.
    pub fn new<'f>(
        http11: bool,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        max_len: u64,
    ) -> Result<Self, RequestBodyError> {
        let declared = Declared::by(http11, fields.into_iter())?;
        let content_length = declared.content_length;
        if content_length.is_some_and(|len| len > max_len) {
            return Err(RequestBodyError::TooLarge { limit: max_len });
        }
        let state = match declared.is_chunked {
            true => State::Chunked(ChunkedDecoder::default()),
            // RFC 9112, 6.3: a request without either field has no body.
            false => State::Counted {
                left: content_length.unwrap_or(0),
            },
        };
        Ok(Self {
            state,
            content_length,
            max_len,
            received: 0,
            expects_continue: http11 && declared.expects_continue,
            has_passed_end: false,
        })
    }

    /// The length of the content in bytes, if it is known from the head: 0 for a request without a body, `None` for a
    /// chunked body.
    ///
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match self.state {
            State::Counted { .. } => Some(self.content_length.unwrap_or(0)),
            State::Chunked(_) | State::Failed(_) => self.content_length,
        }
    }

    /// Whether the request has no body, or one that is declared to be empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The body to [submit](crate::Request::body) for [`Commands::pass_on`](crate::Commands::pass_on): none if it
    /// [is empty](Self::is_empty), otherwise [`Body::pushed`] with its length.
    ///
    /// Without a length, [`Config::unknown_length`](crate::Config::unknown_length) decides what becomes of the request: by
    /// default, `submit` refuses it with a status of 411.
    #[must_use]
    pub fn to_pushed(&self) -> Body {
        match self.len() {
            Some(0) => Body::empty(),
            len => Body::pushed(len),
        }
    }

    /// The `Content-Length` of the request, `None` if it has none. For
    /// [`Env::content_length`](super::Env::content_length): an application then sees a declared length of 0, too.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// The interim response `100 Continue`, if the client waits for it before it sends the body (RFC 9110, 10.1.1).
    /// Returns it once; `None` from then on.
    ///
    /// Call this when the body is wanted and all input was decoded, before waiting for more: a client that has begun to
    /// send the body gets none. Send it before any byte of the response. If the body is not wanted, do not call this, and
    /// send the response: it tells the client to keep its body, and [the connection has to
    /// end](Self::keeps_connection).
    ///
    /// ```
    /// use mio_fcgi::cgi::RequestBody;
    ///
    /// let fields = [(&b"Content-Length"[..], &b"4"[..]), (b"Expect", b"100-continue")];
    /// let mut body = RequestBody::new(true, fields, 1024)?;
    /// assert_eq!(body.take_continue(), Some(&b"HTTP/1.1 100 Continue\r\n\r\n"[..]));
    /// assert_eq!(body.take_continue(), None);
    /// # Ok::<(), mio_fcgi::cgi::RequestBodyError>(())
    /// ```
    pub fn take_continue(&mut self) -> Option<&'static [u8]> {
        let is_due = self.expects_continue && !self.is_complete();
        self.expects_continue = false;
        is_due.then_some(CONTINUE)
    }

    /// Returns the next content at the front of the input, after removing framing from there, such as the size of a
    /// chunk. The content stays in the input until it is [consumed](Self::consume). It is never empty.
    ///
    /// `None`: more input is needed, or the body [is complete](Self::is_complete). All of the input was used then, or
    /// what is left of it comes after the body.
    ///
    /// # Errors
    /// [`RequestBodyError::Chunked`] and [`RequestBodyError::TooLarge`]. Every later call returns the same error.
    pub fn peek<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RequestBodyError> {
        if !input.is_empty() {
            self.expects_continue = false;
        }
        let left = match &mut self.state {
            State::Counted { left } => *left,
            State::Chunked(decoder) => match decoder.skip_framing(input) {
                Ok(used) => {
                    *input = &input[used..];
                    decoder.chunk_left()
                }
                Err(error) => return self.fail(error.into()),
            },
            State::Failed(error) => return Err(*error),
        };
        if left > self.max_len - self.received {
            let limit = self.max_len;
            return self.fail(RequestBodyError::TooLarge { limit });
        }
        let content = &input[..within(left, input.len())];
        Ok((!content.is_empty()).then_some(content))
    }

    /// Removes content from the front of the input, which [`peek`](Self::peek) has shown there. A `len` beyond that
    /// content means all of it.
    pub fn consume(&mut self, input: &mut &[u8], len: usize) {
        let len = len.min(input.len());
        let len = match &mut self.state {
            State::Counted { left } => {
                let len = within(*left, len);
                *left -= len as u64;
                len
            }
            State::Chunked(decoder) => {
                let len = within(decoder.chunk_left(), len);
                decoder.skip_content(len as u64);
                len
            }
            State::Failed(_) => 0,
        };
        self.received += len as u64;
        *input = &input[len..];
    }

    /// Removes the next content from the front of the input and returns it, as [`peek`](Self::peek) and
    /// [`consume`](Self::consume) of all of it. For content that is collected.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    pub fn decode<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<&'a [u8]>, RequestBodyError> {
        let content = self.peek(input)?;
        if let Some(content) = content {
            self.consume(input, content.len());
        }
        Ok(content)
    }

    /// Removes what belongs to the body from the front of the input, for a body that nobody wants.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    pub fn discard(&mut self, input: &mut &[u8]) -> Result<(), RequestBodyError> {
        while self.decode(input)?.is_some() {}
        Ok(())
    }

    /// Whether the whole body was consumed, for a chunked one with its last chunk and its trailer section. The rest of
    /// the input belongs to the next request.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.state {
            State::Counted { left } => *left == 0,
            State::Chunked(decoder) => decoder.is_done(),
            State::Failed(_) => false,
        }
    }

    /// The bytes of content that were consumed so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The client ends its stream: is the body complete? If not, [`abort`](crate::Client::abort) the request. Do not
    /// call `finish_stdin`: the application would take a part of a body without a length for the whole.
    ///
    /// # Errors
    /// [`RequestBodyError::Truncated`], or the error that [`peek`](Self::peek) has returned.
    pub fn end(&self) -> Result<(), RequestBodyError> {
        match self.state {
            State::Failed(error) => Err(error),
            _ if self.is_complete() => Ok(()),
            _ => Err(RequestBodyError::Truncated {
                received: self.received,
            }),
        }
    }

    /// Whether the connection can take another request although nobody wants the rest of this body, because it is short:
    /// at most `max_discarded` bytes of known length. Then [`discard`](Self::discard) it, as it arrives, until the body
    /// [is complete](Self::is_complete).
    ///
    /// False means: close the connection after the response, with [`Reply::close_after`](super::Reply::close_after) while
    /// the head is not written. The rest is long, of unknown length, malformed, or may never come, because the client
    /// still waits for [`100 Continue`](Self::take_continue).
    ///
    /// A server that closes while the client still sends has to
    /// [linger](crate::guide::http_server#the-end-of-a-connection): a reset could destroy the response before the client
    /// has read it (RFC 9112, 9.6).
    ///
    /// ```
    /// use mio_fcgi::cgi::RequestBody;
    ///
    /// let mut body = RequestBody::new(true, [(&b"Content-Length"[..], &b"10"[..])], 1024)?;
    /// assert!(body.keeps_connection(10) && !body.keeps_connection(9));
    /// body.discard(&mut &b"0123"[..])?;
    /// assert!(body.keeps_connection(6) && !body.is_complete());
    /// # Ok::<(), mio_fcgi::cgi::RequestBodyError>(())
    /// ```
    #[must_use]
    pub fn keeps_connection(&self, max_discarded: u64) -> bool {
        match self.state {
            _ if self.is_complete() => true,
            State::Counted { left } => left <= max_discarded && !self.expects_continue,
            State::Chunked(_) | State::Failed(_) => false,
        }
    }

    /// Whether the application has to be told of the end now. True once.
    pub(crate) fn take_end(&mut self) -> bool {
        self.is_complete() && !std::mem::replace(&mut self.has_passed_end, true)
    }

    fn fail<T>(&mut self, error: RequestBodyError) -> Result<T, RequestBodyError> {
        self.state = State::Failed(error);
        Err(error)
    }
}

/// At most `left` of `len` bytes.
fn within(left: u64, len: usize) -> usize {
    usize::try_from(left).map_or(len, |left| left.min(len))
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
