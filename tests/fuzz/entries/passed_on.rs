//! Bodies of requests on their way to an application.

use std::time::Instant;

use mio_fcgi::cgi::{PassOnError, PassedOn, RequestBody};
use mio_fcgi::wire::{Demux, Item, RecordType};
use mio_fcgi::{Action, Commands, Config, ConnectionHandle, Engine, Request, Tag, UnknownLength};

use super::settings::address;

/// An application gets the body that was found, however much of it is taken at a time. `content` is all of it that was
/// sent, if it is no error.
pub(super) fn passed_on<'p>(
    mut body: RequestBody,
    step: usize,
    pieces: impl Iterator<Item = &'p [u8]>,
    content: Option<&[u8]>,
) {
    let mut config = Config::new(address(0));
    config.stdin_high_water = step.min(100);
    config.unknown_length = UnknownLength::Stream;
    let mut engine = Engine::new(config).expect("the configuration is valid");
    let now = Instant::now();
    let request = Request::responder().with_body(body.to_pushed());
    let request = engine.submit(now, request, Tag(0));
    let request = request.expect("any length is accepted");
    let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
        panic!("nothing is opened for the request");
    };
    engine.handle_connected(now, connection);
    let mut application = Application {
        connection,
        demux: Demux::default(),
        stdin: Vec::new(),
        has_ended: false,
    };
    let mut unread = Vec::new();
    for piece in pieces {
        unread.extend_from_slice(piece);
        let mut input = &unread[..];
        let passed = loop {
            let passed = engine.pass_on(now, request, &mut body, &mut input);
            if passed != Ok(PassedOn::Full) {
                break passed;
            }
            assert!(application.read(&mut engine, now), "full for ever");
        };
        match passed {
            Ok(PassedOn::NeedsInput) => assert!(input.is_empty() && !body.is_complete()),
            Ok(PassedOn::Complete) => assert!(body.is_complete()),
            Err(PassOnError::Body(error)) => assert_eq!(body.end(), Err(error)),
            other => panic!("{other:?}"),
        }
        if body.end().is_ok() || passed.is_err() {
            break;
        }
        unread.clear();
    }
    // Without input it ends, too.
    let passed = engine.pass_on(now, request, &mut body, &mut &[][..]);
    assert_eq!(passed == Ok(PassedOn::Complete), body.is_complete());
    while application.read(&mut engine, now) {}
    assert_eq!(application.stdin.len() as u64, body.received());
    assert_eq!(application.has_ended, body.is_complete());
    assert!(content.is_none_or(|content| content == application.stdin));
}

/// An application that reads and does not answer.
struct Application {
    connection: ConnectionHandle,
    demux: Demux,
    stdin: Vec<u8>,
    has_ended: bool,
}

impl Application {
    /// Reads what the engine has for it. Returns false if that is nothing.
    fn read(&mut self, engine: &mut Engine, now: Instant) -> bool {
        let sent = engine.transmit(self.connection);
        let sent: Vec<u8> = sent.iter().flat_map(|it| it.iter().copied()).collect();
        engine.handle_transmitted(now, self.connection, sent.len());
        let mut bytes = &sent[..];
        while let Some(item) = self
            .demux
            .next(&mut bytes)
            .expect("the engine sends FastCGI")
        {
            match item {
                Item::Stream {
                    record_type: RecordType::Stdin,
                    data,
                    ..
                } => {
                    assert!(!self.has_ended);
                    self.stdin.extend_from_slice(data);
                }
                Item::StreamEnd {
                    record_type: RecordType::Stdin,
                    ..
                } => self.has_ended = true,
                _ => {}
            }
        }
        !sent.is_empty()
    }
}
