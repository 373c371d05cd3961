//! What an application sends, and the events that follow, as values that a test can compare as a whole.

use std::io;

use mio_fcgi::wire::{self, EndRequest, Header, Item, ProtocolStatus, RecordType, Role};
use mio_fcgi::{
    Address, Config, ConnectError, Delivery, EventKind, Multiplex, OwnedEvent, Phase, Request,
    RequestError, Retry, ServerValues,
};

/// A configuration with one server.
pub(crate) fn config(multiplex: Multiplex) -> Config {
    let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    config.multiplex = multiplex;
    config
}

/// A configuration with `count` servers.
pub(crate) fn servers(count: u16, multiplex: Multiplex) -> Config {
    let address = |n| {
        format!("127.0.0.1:{}", 9000 + n)
            .parse::<Address>()
            .expect("address")
    };
    let mut config = Config::from_servers((0..count).map(address));
    config.multiplex = multiplex;
    config
}

/// A request without a body and without a method, which may not be sent twice.
pub(crate) fn request() -> Request {
    Request::responder().param("SCRIPT_NAME", "/x.php")
}

/// A request without a body that may be sent twice.
pub(crate) fn repeatable() -> Request {
    request().with_retry(Retry::IfStale)
}

/// Records that the application sends.
pub(crate) fn records() -> Records {
    Records::default()
}

/// Records to be fed; each method appends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    padding_len: u8,
}

impl Records {
    /// Every record appended from here on has `padding_len` bytes of padding.
    pub(crate) fn padded(mut self, padding_len: u8) -> Self {
        self.padding_len = padding_len;
        self
    }

    /// Any record; the content must fit one.
    pub(crate) fn record(mut self, record_type: u8, request_id: u16, content: &[u8]) -> Self {
        let header = Header {
            record_type: RecordType::from(record_type),
            request_id,
            content_len: u16::try_from(content.len()).expect("content for one record"),
            padding_len: self.padding_len,
        };
        self.bytes.extend(header.encode());
        self.bytes.extend(content);
        // Not zero, so that padding taken for content is noticed.
        let padding = std::iter::repeat_n(0xee, usize::from(self.padding_len));
        self.bytes.extend(padding);
        self
    }

    /// Output, in as many records as it needs.
    pub(crate) fn stdout(self, request_id: u16, data: impl AsRef<[u8]>) -> Self {
        self.stream(6, request_id, data.as_ref())
    }

    pub(crate) fn stderr(self, request_id: u16, data: impl AsRef<[u8]>) -> Self {
        self.stream(7, request_id, data.as_ref())
    }

    fn stream(self, record_type: u8, request_id: u16, data: &[u8]) -> Self {
        data.chunks(wire::MAX_CONTENT_LEN)
            .fold(self, |to, piece| to.record(record_type, request_id, piece))
    }

    pub(crate) fn stdout_end(self, request_id: u16) -> Self {
        self.record(6, request_id, &[])
    }

    pub(crate) fn stderr_end(self, request_id: u16) -> Self {
        self.record(7, request_id, &[])
    }

    /// `FCGI_END_REQUEST` with `FCGI_REQUEST_COMPLETE`.
    pub(crate) fn end(self, request_id: u16, app_status: u32) -> Self {
        self.end_as(request_id, app_status, ProtocolStatus::RequestComplete)
    }

    pub(crate) fn end_as(self, request_id: u16, app_status: u32, status: ProtocolStatus) -> Self {
        let body = EndRequest {
            app_status,
            protocol_status: status,
        };
        self.record(3, request_id, &body.encode())
    }

    /// `FCGI_GET_VALUES_RESULT`; names and values below 128 bytes.
    pub(crate) fn values(self, pairs: &[(&str, &str)]) -> Self {
        let mut content = Vec::new();
        for (name, value) in pairs {
            content.extend([name.len() as u8, value.len() as u8]);
            content.extend(name.bytes().chain(value.bytes()));
        }
        self.record(10, 0, &content)
    }

    /// `FCGI_UNKNOWN_TYPE`.
    pub(crate) fn unknown_type(self, record_type: u8) -> Self {
        self.record(11, 0, &[record_type, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Bytes of any kind.
    pub(crate) fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend(bytes.as_ref());
        self
    }
}

impl AsRef<[u8]> for Records {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A record that the engine has sent, or the part of it that was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    Begin { id: u16, role: Role, keep: bool },
    Abort(u16),
    Stream(RecordType, u16, Vec<u8>),
    StreamEnd(RecordType, u16),
    GetValues,
    Other(String),
}

impl From<Item<'_>> for Sent {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Begin { request_id, body } => Self::Begin {
                id: request_id,
                role: Role::from_wire(body.role).expect("a role of FastCGI 1.0"),
                keep: body.keep_conn(),
            },
            Item::Abort { request_id } => Self::Abort(request_id),
            Item::Stream {
                record_type,
                request_id,
                data,
            } => Self::Stream(record_type, request_id, data.to_vec()),
            Item::StreamEnd {
                record_type,
                request_id,
            } => Self::StreamEnd(record_type, request_id),
            Item::Values {
                record_type: RecordType::GetValues,
                request_id: 0,
                ..
            } => Self::GetValues,
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl Sent {
    /// What is sent for [`request`]: begin, parameters, and two empty records.
    pub(crate) fn whole(id: u16) -> [Self; 4] {
        let mut params = Vec::new();
        let fits = wire::write_pair(&mut params, b"SCRIPT_NAME", b"/x.php");
        fits.expect("a short pair");
        [
            Self::begin(id),
            Self::Stream(RecordType::Params, id, params),
            Self::StreamEnd(RecordType::Params, id),
            Self::StreamEnd(RecordType::Stdin, id),
        ]
    }

    /// `FCGI_BEGIN_REQUEST` for a Responder, with `FCGI_KEEP_CONN`.
    pub(crate) fn begin(id: u16) -> Self {
        Self::Begin {
            id,
            role: Role::Responder,
            keep: true,
        }
    }
}

/// The content of one stream of one request among what was sent.
pub(crate) fn content(sent: &[Sent], record_type: RecordType, id: u16) -> Vec<u8> {
    let pieces = sent.iter().filter_map(|item| match item {
        Sent::Stream(of, to, data) if (*of, *to) == (record_type, id) => Some(&data[..]),
        _ => None,
    });
    pieces.collect::<Vec<_>>().concat()
}

/// Every whole record in these bytes: its header and its content.
pub(crate) fn split(bytes: &[u8]) -> Vec<(Header, &[u8])> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some((header, after)) = rest.split_first_chunk() {
        let header = Header::decode(header).expect("a record's header");
        let content_len = usize::from(header.content_len);
        let len = content_len + usize::from(header.padding_len);
        let Some((record, after)) = after.split_at_checked(len) else {
            break;
        };
        all.push((header, &record[..content_len]));
        rest = after;
    }
    all
}

/// An event without handle and report; the number is the tag.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Stdout(u64, String),
    Stderr(u64, String),
    StdoutEnd(u64),
    StdinReady(u64),
    Values(u64, ServerValues),
    /// The request has completed, with this application status.
    Done(u64, u32),
    Failed(u64, RequestError, Phase, Delivery),
    ShutDown,
}

impl Seen {
    /// Events with the adjacent pieces of one stream joined: the same however bytes were cut.
    pub(crate) fn all(events: &[OwnedEvent]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let text = |data: &[u8]| data.iter().copied().map(char::from).collect::<String>();
        for event in events {
            let tag = event.tag;
            let seen = match &event.kind {
                EventKind::Stdout(data) => Self::Stdout(tag.0, text(data)),
                EventKind::Stderr(data) => Self::Stderr(tag.0, text(data)),
                EventKind::StdoutEnd => Self::StdoutEnd(tag.0),
                EventKind::StdinReady => Self::StdinReady(tag.0),
                EventKind::Values(values) => Self::Values(tag.0, *values),
                EventKind::End(outcome) => match outcome {
                    Ok(completion) => Self::Done(tag.0, completion.app_status),
                    Err(why) => Self::Failed(tag.0, why.error.clone(), why.phase, why.delivery),
                },
                other => panic!("an event unknown to the bench: {other:?}"),
            };
            match (all.last_mut(), &seen) {
                (Some(Self::Stdout(of, joined)), Self::Stdout(to, more)) if of == to => {
                    joined.push_str(more);
                }
                (Some(Self::Stderr(of, joined)), Self::Stderr(to, more)) if of == to => {
                    joined.push_str(more);
                }
                _ => all.push(seen),
            }
        }
        all
    }
}

/// Output of the request with this tag.
pub(crate) fn out(tag: u64, text: &str) -> Seen {
    Seen::Stdout(tag, text.to_owned())
}

/// Error output of the request with this tag.
pub(crate) fn err(tag: u64, text: &str) -> Seen {
    Seen::Stderr(tag, text.to_owned())
}

/// The request ended well, with application status 0.
pub(crate) fn done(tag: u64) -> Seen {
    Seen::Done(tag, 0)
}

/// The request failed.
pub(crate) fn failed(
    tag: u64,
    error: impl Into<RequestError>,
    phase: Phase,
    delivery: Delivery,
) -> Seen {
    Seen::Failed(tag, error.into(), phase, delivery)
}

/// The request failed because no connection could be opened for it.
pub(crate) fn not_connected(tag: u64, error: ConnectError) -> Seen {
    failed(tag, error, Phase::Queued, Delivery::NotProcessed)
}

/// The listener has refused the connect.
pub(crate) fn refused(tag: u64) -> Seen {
    let error = ConnectError::Failed(io::ErrorKind::ConnectionRefused);
    not_connected(tag, error)
}
