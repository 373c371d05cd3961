//! One error of each kind, with the words of its text that say what to do.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Instant;

use mio_fcgi::cgi::{ChunkedError, EnvError, HeadError, RequestBodyError, ResponseError};
use mio_fcgi::wire::{DecodeError, EncodeError, RecordType};
use mio_fcgi::{
    AddressError, BodyError, Config, ConfigError, ConnectError, ConnectionLostReason, Delivery,
    Engine, Failure, GetValuesError, Phase, ProtocolError, Refused, Report, Request, RequestError,
    ServerId, StdinError, SubmitError, Tag, TimeoutKind,
};

/// An error, and the words in its text that say what to do, if something can be done.
pub(crate) type Sample = (Box<dyn Error>, &'static str);

/// One error of each kind.
pub(crate) fn errors() -> Vec<Sample> {
    fn boxed<E: Error + 'static>(samples: Vec<(E, &'static str)>) -> impl Iterator<Item = Sample> {
        let boxed = |(error, hint)| (Box::new(error) as Box<dyn Error>, hint);
        samples.into_iter().map(boxed)
    }
    let lost = vec![
        (ConnectionLostReason::Closed, ""),
        (ConnectionLostReason::Io(ErrorKind::ConnectionReset), ""),
    ];
    let encodings = vec![
        (EncodeError::ContentTooLong { len: 70_000 }, "at most"),
        (EncodeError::LengthTooLong { len: 1 << 31 }, "at most"),
    ];
    boxed(addresses())
        .chain(boxed(configurations()))
        .chain(boxed(submissions()))
        .chain(boxed(pushes()))
        .chain(boxed(questions()))
        .chain(boxed(requests()))
        .chain(boxed(connects()))
        .chain(boxed(lost))
        .chain(boxed(protocols()))
        .chain(boxed(bodies()))
        .chain(boxed(decodings()))
        .chain(boxed(encodings))
        .chain(boxed(environments()))
        .chain(boxed(heads()))
        .chain(boxed(chunks()))
        .chain(boxed(request_bodies()))
        .chain(boxed(responses()))
        .chain(boxed(vec![(failure(), "safe to send again")]))
        .chain(boxed(vec![(refused(), "takes no further request")]))
        .collect()
}

pub(crate) fn failure() -> Failure {
    let error = RequestError::TimedOut(TimeoutKind::Queue);
    Failure::new(
        error,
        Phase::Queued,
        Delivery::NotProcessed,
        Report::default(),
    )
}

pub(crate) fn refused() -> Refused {
    let address = "127.0.0.1:9000".parse().expect("an address");
    let mut engine = Engine::new(Config::new(address)).expect("a valid configuration");
    let now = Instant::now();
    engine.shutdown(now, None);
    let refused = engine.submit(now, Request::responder(), Tag(1));
    *refused.expect_err("it is shutting down")
}

pub(crate) fn addresses() -> Vec<(AddressError, &'static str)> {
    let (len, limit) = (120, 107);
    let (text, port, name) = ("localhost".into(), "http".into(), "::1".into());
    vec![
        (AddressError::Empty, "unix:/path"),
        (AddressError::Nul, "must not"),
        (AddressError::PathTooLong { len, limit }, "at most 107"),
        (AddressError::Unnamed, "bind it"),
        (AddressError::NotUtf8, "text"),
        (AddressError::MissingPort { text }, "host:port"),
        (AddressError::Port { port }, "between 0 and 65535"),
        (AddressError::Host { name }, "in brackets"),
    ]
}

pub(crate) fn configurations() -> Vec<(ConfigError, &'static str)> {
    let (count, limit) = (2000, 1024);
    let (index, error) = (1, AddressError::Nul);
    let name = "php.local".into();
    vec![
        (ConfigError::NoServer, "at least one address"),
        (ConfigError::TooManyServers { count, limit }, "at most 1024"),
        (ConfigError::Address { index, error }, "server 1"),
        (ConfigError::ReservedOnly, "at least 2 connections"),
        (ConfigError::WeightZero { index }, "at least 1"),
        (ConfigError::UnresolvedHost { name }, "Address::resolve"),
        (
            ConfigError::MaxConnectionsZero,
            "max_connections_per_server",
        ),
        (ConfigError::MaxRequestsZero, "use None"),
        (ConfigError::MinIdle { min_idle: 9 }, "lower it"),
        (ConfigError::MultiplexZero, "use Multiplex::Off"),
        (ConfigError::StdinHighWaterZero, "stdin_high_water"),
        (ConfigError::Backoff, "must be"),
        (
            ConfigError::TooFewTokens {
                tokens: 4,
                connections: 8,
            },
            "lower max_connections_per_server",
        ),
        (ConfigError::TooManyClients { limit: 64 }, "widen it"),
    ]
}

pub(crate) fn submissions() -> Vec<(SubmitError, &'static str)> {
    let name = "CONTENT_LENGTH";
    vec![
        (
            SubmitError::QueueFull { limit: 1024 },
            "raise max_queued_requests",
        ),
        (SubmitError::ShuttingDown, ""),
        (
            SubmitError::PairTooLarge {
                len: 70_000,
                limit: 65_535,
            },
            "split_long_pairs",
        ),
        (
            SubmitError::ParamsTooLarge {
                len: 70_000,
                limit: 65_536,
            },
            "raise max_params_len",
        ),
        (SubmitError::ParamLengthTooLong, "shorten it"),
        (SubmitError::InvalidLength { name }, name),
        (
            SubmitError::LengthMismatch {
                name,
                declared: 3,
                actual: 4,
            },
            "leave it out",
        ),
        (SubmitError::LengthRequired, "declare CONTENT_LENGTH"),
        (
            SubmitError::BodyTooLarge { limit: 65_536 },
            "UnknownLength::Buffer",
        ),
        (SubmitError::BodyRead(ErrorKind::BrokenPipe), "broken pipe"),
        (SubmitError::StreamNotAllowed, "only a Filter"),
        (
            SubmitError::NoSuchServer {
                server: ServerId::new(3),
            },
            "no server 3",
        ),
    ]
}

pub(crate) fn pushes() -> Vec<(StdinError, &'static str)> {
    vec![
        (StdinError::Finished, ""),
        (StdinError::Gone, "End event"),
        (StdinError::NotPushed, "Body::pushed"),
        (
            StdinError::TooLong {
                declared: 3,
                offered: 4,
            },
            "or abort",
        ),
        (
            StdinError::TooShort {
                declared: 4,
                written: 3,
            },
            "fails",
        ),
        (
            StdinError::BodyTooLarge { limit: 65_536 },
            "UnknownLength::Buffer",
        ),
    ]
}

pub(crate) fn questions() -> Vec<(GetValuesError, &'static str)> {
    let server = ServerId::new(3);
    vec![
        (GetValuesError::NoSuchServer { server }, "server 3"),
        (GetValuesError::InProgress { server }, "wait for the End"),
        (
            GetValuesError::QueueFull { limit: 8 },
            "raise max_queued_requests",
        ),
        (GetValuesError::ShuttingDown, ""),
    ]
}

pub(crate) fn requests() -> Vec<(RequestError, &'static str)> {
    vec![
        (
            RequestError::Connect(ConnectError::BacklogFull),
            "no connection",
        ),
        (
            RequestError::ConnectionLost(ConnectionLostReason::Closed),
            "closed by the application; its log",
        ),
        (RequestError::Protocol(ProtocolError::OnlyIdOne), ""),
        (RequestError::TimedOut(TimeoutKind::Total), "timeouts.total"),
        (RequestError::Aborted, "by this program"),
        (RequestError::Overloaded, "lower max_connections_per_server"),
        (RequestError::CantMultiplex, "use Multiplex::Off"),
        (RequestError::UnknownRole, ""),
        (RequestError::UnknownStatus(9), "9"),
        (
            RequestError::PauseBufferFull { buffered: 65_537 },
            "pause_buffer",
        ),
        (
            RequestError::QueueFull { limit: 8 },
            "raise max_queued_requests",
        ),
        (RequestError::Body(BodyError::TooLong { declared: 3 }), ""),
        (RequestError::ShutDown, ""),
        (RequestError::ServerRemoved, "name another one"),
    ]
}

pub(crate) fn connects() -> Vec<(ConnectError, &'static str)> {
    vec![
        (
            ConnectError::Failed(ErrorKind::ConnectionRefused),
            "nobody listens",
        ),
        (ConnectError::TimedOut, "connect_timeout"),
        (ConnectError::BacklogFull, "processes"),
    ]
}

pub(crate) fn protocols() -> Vec<(ProtocolError, &'static str)> {
    let record_type = RecordType::Stdin;
    let request_id = 7;
    let unknown = ProtocolError::UnknownRequest {
        record_type,
        request_id,
    };
    let premature = ProtocolError::Premature {
        record_type,
        request_id,
    };
    vec![
        (unknown, "request ID 7"),
        (premature, "request ID 7, before"),
        (ProtocolError::OnlyIdOne, "RequestIds::AlwaysOne"),
        (
            ProtocolError::UnexpectedRecord { record_type },
            "Web server",
        ),
    ]
}

pub(crate) fn bodies() -> Vec<(BodyError, &'static str)> {
    let (declared, sent) = (4, 3);
    vec![
        (BodyError::TooShort { declared, sent }, "3 of 4"),
        (BodyError::TooLong { declared }, "4"),
        (BodyError::Read(ErrorKind::BrokenPipe), "broken pipe"),
    ]
}

pub(crate) fn decodings() -> Vec<(DecodeError, &'static str)> {
    let record_type = RecordType::EndRequest;
    vec![
        (DecodeError::Version { found: 72 }, "does not speak FastCGI"),
        (DecodeError::Http, "HTTP server"),
        (
            DecodeError::ShortBody {
                record_type,
                len: 3,
            },
            "FCGI_END_REQUEST",
        ),
        (
            DecodeError::TruncatedPair {
                needed: 9,
                available: 3,
            },
            "cut short",
        ),
    ]
}

pub(crate) fn environments() -> Vec<(EnvError, &'static str)> {
    vec![
        (EnvError::Method, ""),
        (EnvError::Protocol, ""),
        (EnvError::TargetForm, "take scheme and authority off"),
        (EnvError::Target { byte: 13 }, "0x0d"),
        (EnvError::Script { byte: 0 }, "0x00"),
        (EnvError::ServerName { byte: 10 }, "0x0a"),
        (EnvError::FieldName { index: 3 }, "3"),
        (EnvError::FieldValue { index: 3, byte: 10 }, "0x0a"),
        (EnvError::Repeated { name: "Host" }, "Host"),
        (EnvError::Host, "Host"),
        (EnvError::TooManyFields { limit: 100 }, "raise max_fields"),
        (EnvError::ConnectionOptions { limit: 16 }, "Connection"),
    ]
}

pub(crate) fn heads() -> Vec<(HeadError, &'static str)> {
    vec![
        (HeadError::Missing, ""),
        (HeadError::Truncated { len: 3 }, ""),
        (HeadError::Empty, ""),
        (HeadError::NoColon { line: 1 }, "printed something"),
        (HeadError::FieldName { line: 2 }, "line 2"),
        (HeadError::FieldValue { line: 2, byte: 0 }, "0x00"),
        (HeadError::Folded { line: 2 }, "continuation"),
        (HeadError::Status { line: 1 }, "100 to 999"),
        (
            HeadError::Statuses {
                first: 200,
                second: 404,
            },
            "404",
        ),
        (HeadError::StatusLine, "Status field"),
        (HeadError::Interim(101), "101"),
        (HeadError::ContentLength { line: 3 }, "line 3"),
        (
            HeadError::ContentLengths {
                first: 3,
                second: 4,
            },
            "3 and 4",
        ),
        (HeadError::TooLarge { limit: 65_536 }, "raise max_len"),
        (HeadError::TooManyFields { limit: 256 }, "raise max_fields"),
    ]
}

pub(crate) fn chunks() -> Vec<(ChunkedError, &'static str)> {
    vec![
        (ChunkedError::NoSize, ""),
        (ChunkedError::SizeTooLarge, ""),
        (ChunkedError::LineTooLong, ""),
        (ChunkedError::ExtensionsTooLong, ""),
        (ChunkedError::Malformed, ""),
    ]
}

pub(crate) fn request_bodies() -> Vec<(RequestBodyError, &'static str)> {
    vec![
        (RequestBodyError::LengthAndCoding, "both"),
        (RequestBodyError::ContentLength, "2^64"),
        (
            RequestBodyError::ContentLengths {
                first: 3,
                second: 4,
            },
            "3 and 4",
        ),
        (RequestBodyError::TransferEncoding, "does not end in"),
        (RequestBodyError::TransferEncodingInHttp10, "HTTP/1.0"),
        (RequestBodyError::UnsupportedCoding, "chunked"),
        (RequestBodyError::Expectation, "100-continue"),
        (
            RequestBodyError::TooLarge { limit: 65_536 },
            "raise max_len",
        ),
        (
            RequestBodyError::Chunked(ChunkedError::NoSize),
            "a chunk has no size",
        ),
        (RequestBodyError::Truncated { received: 3 }, "3 bytes"),
    ]
}

pub(crate) fn responses() -> Vec<(ResponseError, &'static str)> {
    vec![
        (ResponseError::Empty, "stderr"),
        (ResponseError::Truncated, "cut short"),
        (
            ResponseError::LengthMismatch {
                declared: 5,
                received: 3,
            },
            "5",
        ),
        (
            ResponseError::BodyTooLarge { limit: 65_536 },
            "raise max_body",
        ),
        (ResponseError::TransferEncoding, "leave that field"),
        (
            ResponseError::Chunked(ChunkedError::NoSize),
            "a chunk has no size",
        ),
        (ResponseError::Failed(failure()), "safe to send again"),
    ]
}
