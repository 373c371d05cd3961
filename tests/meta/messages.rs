//! Errors read aloud: the text of each one, and what every text has in common.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use mio_fcgi::cgi::{EnvError, Forbidden, HeadError, Invalid, ResponseError};
use mio_fcgi::wire::{DecodeError, EncodeError, RecordType};
use mio_fcgi::{
    AddressError, BodyError, CloseReason, Config, ConfigError, ConnectError, Delivery, Engine,
    Failure, LostReason, Phase, ProtocolError, Refused, Report, Request, RequestError, StdinError,
    SubmitError, Tag, TimeoutKind,
};

/// An error, and the words in its text that tell what to do, where something can be done.
type Sample = (Box<dyn Error>, &'static str);

/// One error of each kind.
fn errors() -> Vec<Sample> {
    fn boxed<E: Error + 'static>(samples: Vec<(E, &'static str)>) -> impl Iterator<Item = Sample> {
        let boxed = |(error, hint)| (Box::new(error) as Box<dyn Error>, hint);
        samples.into_iter().map(boxed)
    }
    let lost = vec![
        (LostReason::Closed, ""),
        (LostReason::Io(ErrorKind::ConnectionReset), ""),
    ];
    let encodings = vec![
        (EncodeError::ContentTooLong { len: 70_000 }, "at most"),
        (EncodeError::LengthTooLong { len: 1 << 31 }, "at most"),
    ];
    boxed(addresses())
        .chain(boxed(configurations()))
        .chain(boxed(submissions()))
        .chain(boxed(pushes()))
        .chain(boxed(requests()))
        .chain(boxed(connects()))
        .chain(boxed(lost))
        .chain(boxed(protocols()))
        .chain(boxed(bodies()))
        .chain(boxed(decodings()))
        .chain(boxed(encodings))
        .chain(boxed(environments()))
        .chain(boxed(heads()))
        .chain(boxed(responses()))
        .chain(boxed(vec![(failure(), "safe to send again")]))
        .chain(boxed(vec![(refused(), "takes no further request")]))
        .collect()
}

fn failure() -> Failure {
    let error = RequestError::TimedOut(TimeoutKind::Queue);
    Failure::new(error, Phase::Waiting, Delivery::NotSent, Report::default())
}

fn refused() -> Refused {
    let address = "127.0.0.1:9000".parse().expect("an address");
    let mut engine = Engine::new(Config::new(address)).expect("a valid configuration");
    let now = Instant::now();
    engine.shutdown(now, None);
    let refused = engine.submit(now, Request::responder(), Tag(1));
    *refused.expect_err("it is shutting down")
}

fn addresses() -> Vec<(AddressError, &'static str)> {
    let (len, limit) = (120, 107);
    let (text, port, name) = ("localhost".into(), "http".into(), "::1".into());
    vec![
        (AddressError::Empty, "unix:/path"),
        (AddressError::Nul, "must not"),
        (AddressError::PathTooLong { len, limit }, "at most 107"),
        (AddressError::MissingPort { text }, "host:port"),
        (AddressError::Port { port }, "between 0 and 65535"),
        (AddressError::Host { name }, "in brackets"),
    ]
}

fn configurations() -> Vec<(ConfigError, &'static str)> {
    let (count, limit) = (2000, 1024);
    let (server, error) = (1, AddressError::Nul);
    let name = "php.local".into();
    vec![
        (ConfigError::NoServer, "at least one address"),
        (ConfigError::TooManyServers { count, limit }, "at most 1024"),
        (ConfigError::Address { server, error }, "server 1"),
        (ConfigError::UnresolvedHost { name }, "Address::resolve"),
        (ConfigError::MaxConnectionsZero, "max_connections"),
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
            "lower max_connections",
        ),
    ]
}

fn submissions() -> Vec<(SubmitError, &'static str)> {
    let name = "CONTENT_LENGTH";
    vec![
        (SubmitError::QueueFull { limit: 1024 }, "raise max_queue"),
        (SubmitError::ShuttingDown, ""),
        (
            SubmitError::ParamTooLarge {
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
    ]
}

fn pushes() -> Vec<(StdinError, &'static str)> {
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

fn requests() -> Vec<(RequestError, &'static str)> {
    vec![
        (RequestError::Connect(ConnectError::Busy), "no connection"),
        (
            RequestError::Lost(LostReason::Closed),
            "closed by the application; its log",
        ),
        (RequestError::Protocol(ProtocolError::OutOfTurn), ""),
        (RequestError::TimedOut(TimeoutKind::Total), "timeouts.total"),
        (RequestError::Aborted, "by this program"),
        (RequestError::Overloaded, "lower max_connections"),
        (RequestError::CantMultiplex, "use Multiplex::Off"),
        (RequestError::UnknownRole, ""),
        (RequestError::UnknownStatus(9), "9"),
        (RequestError::Stalled { held: 65_537 }, "Stall"),
        (RequestError::QueueFull { limit: 8 }, "raise max_queue"),
        (RequestError::Body(BodyError::TooLong { declared: 3 }), ""),
        (RequestError::ShutDown, ""),
    ]
}

fn connects() -> Vec<(ConnectError, &'static str)> {
    vec![
        (
            ConnectError::Failed(ErrorKind::ConnectionRefused),
            "nobody listens",
        ),
        (ConnectError::TimedOut, "connect_timeout"),
        (ConnectError::Busy, "processes"),
    ]
}

fn protocols() -> Vec<(ProtocolError, &'static str)> {
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
        (ProtocolError::Direction { record_type }, "Web server"),
        (ProtocolError::OutOfTurn, ""),
    ]
}

fn bodies() -> Vec<(BodyError, &'static str)> {
    let (declared, sent) = (4, 3);
    vec![
        (BodyError::TooShort { declared, sent }, "3 of 4"),
        (BodyError::TooLong { declared }, "4"),
        (BodyError::Read(ErrorKind::BrokenPipe), "broken pipe"),
    ]
}

fn decodings() -> Vec<(DecodeError, &'static str)> {
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

fn environments() -> Vec<(EnvError, &'static str)> {
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

fn heads() -> Vec<(HeadError, &'static str)> {
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

fn responses() -> Vec<(ResponseError, &'static str)> {
    vec![
        (ResponseError::Empty, "stderr"),
        (ResponseError::Cut, "cut short"),
        (
            ResponseError::Inconsistent {
                declared: 5,
                received: 3,
            },
            "5",
        ),
        (
            ResponseError::BodyTooLarge { limit: 65_536 },
            "raise max_body",
        ),
        (ResponseError::Failed, ""),
    ]
}

/// What every text has in common, so that it can stand behind a colon and before another one.
fn check(text: &str) {
    let longest = 220;
    assert!(
        !text.is_empty() && text.len() <= longest,
        "length: {text:?}"
    );
    assert!(!text.ends_with(['.', '!', ' ', ':']), "its end: {text}");
    assert!(
        !text.contains(['{', '}', '\n', '"']),
        "not for reading: {text}"
    );
    assert!(
        !text.contains("  ") && !text.contains("Some("),
        "not for reading: {text}"
    );
    let word = text.split(' ').next().unwrap_or_default();
    let is_name = word.chars().skip(1).any(char::is_uppercase);
    let begins_low = !text.starts_with(char::is_uppercase);
    assert!(begins_low || is_name, "begins with a capital: {text}");
}

#[test]
fn every_text_reads_well_and_says_what_to_do() {
    for (error, hint) in errors() {
        let text = error.to_string();
        check(&text);
        assert!(text.contains(hint), "no '{hint}' in: {text}");
    }
}

#[test]
fn no_two_errors_of_a_type_have_the_same_text() {
    let mut seen = BTreeMap::new();
    for (error, _) in errors() {
        let debug = format!("{error:?}");
        if let Some(other) = seen.insert(error.to_string(), debug.clone()) {
            // The limit of a buffered body is met at two calls; a wrapper may repeat what is in it.
            let both = debug.contains("BodyTooLarge") && other.contains("BodyTooLarge");
            let wraps = debug.contains(&other) || other.contains(&debug);
            assert!(both || wraps, "{debug} and {other} say the same");
        }
    }
}

/// For reporters that print the chain: either a text holds that of its cause, or the cause is a source.
#[test]
fn a_chain_of_sources_says_nothing_twice() {
    for (error, _) in errors() {
        let text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            assert!(!text.contains(&cause.to_string()), "{text}; {cause}");
            source = cause.source();
        }
    }
}

/// A variant that is added without a sample above fails here.
#[test]
fn every_error_attribute_in_the_sources_has_a_sample() {
    fn count(dir: &Path) -> usize {
        let entries = fs::read_dir(dir).expect("the sources lie beside the tests");
        entries
            .map(|entry| entry.expect("a directory that can be read").path())
            .map(|path| match path.is_dir() {
                true => count(&path),
                false => fs::read_to_string(&path)
                    .expect("a source that is UTF-8")
                    .lines()
                    .map(str::trim_start)
                    .filter(|line| line.starts_with("#[error("))
                    .filter(|line| !line.contains("transparent"))
                    .count(),
            })
            .sum()
    }
    let attributes = count(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert_eq!(
        errors().len(),
        attributes,
        "an error has no sample in this test"
    );
}

#[test]
fn the_guide_has_a_row_for_each_error_that_a_call_or_a_request_can_have() {
    fn have_rows<E: Error>(owner: &str, samples: Vec<(E, &'static str)>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/failure.rs");
        let guide = fs::read_to_string(path).expect("the guide");
        for (error, _) in samples {
            let shown = format!("{error:?}");
            let name = shown.split([' ', '(']).next().unwrap_or_default();
            let link = format!("({owner}::{name})");
            let mut rows = guide.lines().filter(|line| line.starts_with("//! | ["));
            assert!(rows.any(|row| row.contains(&link)), "no row for {link}");
        }
    }
    have_rows("SubmitError", submissions());
    have_rows("StdinError", pushes());
    have_rows("RequestError", requests());
    have_rows("ConnectError", connects());
    have_rows("BodyError", bodies());
    have_rows("ResponseError", responses());
}

#[test]
fn each_time_limit_names_its_setting() {
    for (kind, setting) in [
        (TimeoutKind::Queue, "timeouts.queue"),
        (TimeoutKind::Write, "timeouts.write"),
        (TimeoutKind::FirstByte, "timeouts.first_byte"),
        (TimeoutKind::Silence, "timeouts.silence"),
        (TimeoutKind::Total, "timeouts.total"),
        (TimeoutKind::Probe, "probe_timeout"),
    ] {
        let text = RequestError::TimedOut(kind).to_string();
        check(&text);
        assert!(text.ends_with(setting), "{text}");
    }
}

#[test]
fn a_refused_connect_says_what_to_look_at() {
    let text = |kind| RequestError::Connect(ConnectError::Failed(kind)).to_string();
    for (kind, hint) in [
        (ErrorKind::ConnectionRefused, "nobody listens there"),
        (ErrorKind::NotFound, "is the application running"),
        (ErrorKind::PermissionDenied, "may not write to the socket"),
        (ErrorKind::HostUnreachable, "check the address"),
        (ErrorKind::Unsupported, "this system"),
        (ErrorKind::Other, "the log says more"),
    ] {
        let text = text(kind);
        check(&text);
        assert!(text.contains(hint), "{text}");
    }
}

#[test]
fn what_is_no_error_type_but_is_shown_reads_well_too() {
    for forbidden in [
        Forbidden::OutsideRoot,
        Forbidden::DotFile,
        Forbidden::NoIndex,
    ] {
        check(&forbidden.to_string());
    }
    for invalid in [Invalid::NoSlash, Invalid::Encoding, Invalid::Control] {
        check(&invalid.to_string());
    }
    for phase in [
        Phase::Collecting,
        Phase::Waiting,
        Phase::Sending,
        Phase::Sent,
        Phase::Receiving,
    ] {
        check(&phase.to_string());
    }
    for delivery in [Delivery::NotSent, Delivery::MaybeSent, Delivery::Responded] {
        check(&delivery.to_string());
    }
    let reasons: Vec<String> = CloseReason::ALL.iter().map(ToString::to_string).collect();
    reasons.iter().for_each(|reason| check(reason));
    let unlike: BTreeSet<&String> = reasons.iter().collect();
    assert_eq!(unlike.len(), reasons.len(), "{reasons:?}");
    assert_eq!(
        failure().to_string(),
        "timed out: no connection became free within timeouts.queue (not sent: safe to send again)"
    );
}
