//! A collector that gets the events of an engine, as in an embedder.

use std::time::Instant;

use mio_fcgi::cgi::{Collector, Completeness, HeadError, Response, ResponseError};
use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};
use mio_fcgi::{
    Action, Completion, Config, ConnectionLostReason, Delivery, Disconnected, Engine, Event,
    EventKind, Failure, Multiplex, Outcome, Phase, Report, Request, RequestError, Tag, TimeoutKind,
};

/// Streams with their content; an empty one ends its stream.
type Answer<'a> = &'a [(RecordType, &'a str)];

/// What follows the answer.
enum Last {
    EndRequest,
    EndOfFile,
}

/// What a collector makes of a request with this answer, and what it returns for each event.
fn exchange(
    answer: Answer<'_>,
    last: Last,
) -> (Result<Response, ResponseError>, Vec<ResponseError>) {
    let mut bytes = Vec::new();
    for (record_type, content) in answer {
        wire::write_record(&mut bytes, *record_type, 1, content.as_bytes()).expect("short");
    }
    if matches!(last, Last::EndRequest) {
        let protocol_status = ProtocolStatus::RequestComplete;
        let end = EndRequest {
            app_status: 0,
            protocol_status,
        };
        wire::write_end_request(&mut bytes, 1, end);
    }

    let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    config.multiplex = Multiplex::Off;
    let mut engine = Engine::new(config).expect("a valid configuration");
    let now = Instant::now();
    engine
        .submit(now, Request::responder(), Tag(0))
        .expect("accepted");
    let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
        panic!("no connect");
    };
    engine.handle_connected(now, connection);
    loop {
        let sent = engine.transmit(connection).iter().map(|it| it.len()).sum();
        if sent == 0 {
            break;
        }
        engine.handle_transmitted(now, connection, sent);
    }

    let (mut collector, mut outcome, mut errors) = (Collector::default(), None, Vec::new());
    let mut note = |event: Event<&[u8]>| {
        errors.extend(collector.on_event(&event).err());
        if let EventKind::End(end) = event.kind {
            outcome = Some(end);
        }
    };
    let mut input = &bytes[..];
    while let Some(event) = engine.poll_received(now, connection, &mut input) {
        note(event);
    }
    if matches!(last, Last::EndOfFile) {
        engine.handle_closed(now, connection, Disconnected::Eof);
    }
    while let Some(event) = engine.poll_pending(&mut [0; 64]) {
        note(event);
    }
    let response = collector.finish(outcome.expect("an End"));
    (response.map_err(ResponseError::from), errors)
}

#[test]
fn output_and_stderr_reach_the_response() {
    let answer = [
        (RecordType::Stdout, "Status: 404\n\nnot"),
        (RecordType::Stderr, "PHP Warning"),
        (RecordType::Stdout, " found"),
    ];
    let (response, errors) = exchange(&answer, Last::EndRequest);
    let response = response.expect("a whole response");
    assert_eq!(errors, []);
    assert_eq!(
        (response.status, &response.body[..]),
        (404, &b"not found"[..])
    );
    assert_eq!(response.stderr, b"PHP Warning");
}

#[test]
fn only_output_whose_end_was_reported_is_whole_when_the_connection_is_lost() {
    let answer = [
        (RecordType::Stdout, "A: b\n\nbody"),
        (RecordType::Stdout, ""),
    ];
    let (response, _) = exchange(&answer, Last::EndOfFile);
    let response = response.expect("all of it is there");
    assert_eq!(
        (&response.body[..], response.completeness),
        (&b"body"[..], Completeness::StdoutEnded)
    );
    let (response, _) = exchange(&answer[..1], Last::EndOfFile);
    assert_eq!(response, Err(ResponseError::Truncated));
}

#[test]
fn an_event_that_cannot_belong_to_a_response_is_an_error_at_once() {
    let answer = [
        (RecordType::Stdout, "no head\n"),
        (RecordType::Stderr, "PHP Warning"),
    ];
    let (response, errors) = exchange(&answer, Last::EndRequest);
    let no_head = ResponseError::Head(HeadError::NoColon { line: 1 });
    assert_eq!(errors, std::slice::from_ref(&no_head));
    assert_eq!(response, Err(no_head));
}

#[test]
fn the_reason_alone_is_one_step_from_all_that_was_received() {
    fn status(output: &[u8], outcome: Outcome) -> Result<u16, ResponseError> {
        let mut collector = Collector::default();
        collector.stdout(output)?;
        Ok(collector.finish(outcome)?.status)
    }
    let ended = || Ok(Completion::new(0, Report::default()));
    let failed = |error| {
        let (phase, delivery) = (Phase::Receiving, Delivery::Responded);
        Failure::new(error, phase, delivery, Report::default())
    };
    assert_eq!(status(b"A: b\n\n", ended()), Ok(200));
    assert_eq!(status(b"", ended()), Err(ResponseError::Empty));
    let lost = failed(RequestError::ConnectionLost(ConnectionLostReason::Closed));
    let cut = status(b"A: b\n\nbody", Err(lost));
    assert_eq!(cut, Err(ResponseError::Truncated));
    let late = failed(RequestError::TimedOut(TimeoutKind::Total));
    let error = status(b"A: b\n\nbody", Err(late.clone())).expect_err("cut short");
    assert_eq!(error, ResponseError::Failed(late));
    // Unboxed, too.
    let collector = Collector::default();
    let incomplete = collector.finish(ended()).expect_err("no output");
    assert_eq!(ResponseError::from(*incomplete), ResponseError::Empty);
}
