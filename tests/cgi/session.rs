//! The session of the guide's page on HTTP servers, with an engine and an application and without sockets.

use std::collections::BTreeMap;

use mio_fcgi::wire::{self, Demux, EndRequest, Item, ProtocolStatus, RecordType};
use mio_fcgi::{Action, Config, ConnectionHandle, Engine, UnknownLength};

include!("../../src/guide/http_server/session.rs");

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
/// An engine, and an application that sends back each piece of a body as it arrives; unless that is a command.
struct Loop {
    fcgi: Engine,
    now: Instant,
    connections: BTreeMap<ConnectionHandle, Application>,
}
#[derive(Default)]
struct Application {
    demux: Demux,
    output: Vec<u8>,
    has_begun: bool,
    has_ended: bool,
}
impl Application {
    fn send(&mut self, id: u16, bytes: &[u8]) {
        if !std::mem::replace(&mut self.has_begun, true) {
            wire::write_stream(
                &mut self.output,
                RecordType::Stdout,
                id,
                b"Content-Type: text/plain\n\n",
            );
        }
        wire::write_stream(&mut self.output, RecordType::Stdout, id, bytes);
    }
    fn end(&mut self, id: u16) {
        let end = EndRequest {
            app_status: 0,
            protocol_status: ProtocolStatus::RequestComplete,
        };
        if !std::mem::replace(&mut self.has_ended, true) {
            wire::write_end_request(&mut self.output, id, end);
        }
    }
    fn receive(&mut self, mut bytes: &[u8]) -> Outcome<()> {
        while let Some(item) = self.demux.next(&mut bytes)? {
            match item {
                Item::Begin { .. } => (self.has_begun, self.has_ended) = (false, false),
                Item::Stream {
                    record_type: RecordType::Stdin,
                    request_id,
                    data,
                } => match data {
                    b"nothing" => self.end(request_id),
                    b"endless" => {
                        self.send(request_id, data);
                        self.has_ended = true;
                    }
                    b"early" => {
                        self.send(request_id, data);
                        self.end(request_id);
                    }
                    _ => self.send(request_id, data),
                },
                Item::StreamEnd {
                    record_type: RecordType::Stdin,
                    request_id,
                } if !self.has_ended => {
                    self.send(request_id, b"");
                    self.end(request_id);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
impl Loop {
    fn new() -> Outcome<Self> {
        let config =
            Config::new("127.0.0.1:9000".parse()?).with_unknown_length(UnknownLength::Stream);
        let config = config.with_stdin_high_water(100);
        Ok(Self {
            fcgi: Engine::new(config)?,
            now: Instant::now(),
            connections: BTreeMap::new(),
        })
    }
    /// A kibibyte more of a response without end.
    fn go_on(&mut self, session: &mut Session) {
        let mut record = Vec::new();
        wire::write_stream(&mut record, RecordType::Stdout, 1, &[b'~'; 1024]);
        for connection in self.connections.keys().copied().collect::<Vec<_>>() {
            let mut output = &record[..];
            while let Some(event) = self.fcgi.poll_received(self.now, connection, &mut output) {
                session.on_event(&mut self.fcgi, self.now, &event);
            }
        }
        while let Some(event) = self.fcgi.poll_pending(&mut [0; 512]) {
            session.on_event(&mut self.fcgi, self.now, &event);
        }
    }
    fn turn(&mut self, session: &mut Session) -> Outcome<()> {
        let now = self.now;
        while self.fcgi.has_output() {
            while let Some(action) = self.fcgi.poll_action() {
                match action {
                    Action::Connect { connection, .. } => {
                        self.connections.insert(connection, Application::default());
                        self.fcgi.handle_connected(now, connection);
                    }
                    Action::Close { connection, .. } => {
                        self.connections.remove(&connection);
                    }
                    _ => {}
                }
            }
            for (connection, application) in &mut self.connections {
                let mut sent = Vec::new();
                self.fcgi.poll_transmit(now, *connection, &mut sent);
                application.receive(&sent)?;
                let output = std::mem::take(&mut application.output);
                let mut output = &output[..];
                while let Some(event) = self.fcgi.poll_received(now, *connection, &mut output) {
                    session.on_event(&mut self.fcgi, now, &event);
                }
                self.fcgi.handle_drained(now, *connection);
            }
            while let Some(event) = self.fcgi.poll_pending(&mut [0; 512]) {
                session.on_event(&mut self.fcgi, now, &event);
            }
        }
        Ok(())
    }
    /// Reads 16 bytes at once, or everything if it is much, and only what the session wants.
    fn exchange(&mut self, session: &mut Session, sent: &str) -> Outcome<String> {
        let max = if sent.len() < 1000 { 16 } else { sent.len() };
        let mut pieces = sent.as_bytes().chunks(max);
        let (mut out, mut before) = (String::new(), None);
        while before != Some((pieces.len(), out.len())) {
            before = Some((pieces.len(), out.len()));
            while session.wants_read() {
                let Some(piece) = pieces.next() else { break };
                session.on_read(&mut self.fcgi, self.now, piece);
                let is_in_body =
                    matches!(&session.state, State::Exchange(it) if !it.body.is_complete());
                assert!(!is_in_body || session.unread.len() <= max);
            }
            self.turn(session)?;
            out += std::str::from_utf8(&session.out)?;
            let len = session.out.len();
            assert!(len < 3 * MAX_OUT, "{len}");
            session.on_written(&mut self.fcgi, self.now, len);
            self.turn(session)?;
        }
        assert!(
            pieces.next().is_none() || matches!(session.state, State::Closing(_)),
            "{sent}"
        );
        Ok(out)
    }
}

fn accept(tag: u64) -> Session {
    Session::new(
        Tag(tag),
        ([192, 0, 2, 1], 49152).into(),
        ([192, 0, 2, 2], 8443).into(),
        true,
    )
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn pipelined_requests_are_answered_in_order_whatever_their_framing() -> Outcome<()> {
    let mut server = Loop::new()?;
    let mut session = accept(1);
    let mut exchange = |sent: &str| server.exchange(&mut session, sent);
    let out = exchange(
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    )?;
    assert_eq!(out, "HTTP/1.1 100 Continue\r\n\r\n");
    let out = exchange("he")?;
    assert!(out.starts_with("HTTP/1.1 200 OK\r\n") && out.ends_with("\r\n\r\n2\r\nhe\r\n"));
    assert_eq!(exchange("llo")?, "3\r\nllo\r\n0\r\n\r\n");

    // A chunked body and a pipelined request.
    let chunks = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let out = exchange(&format!(
        "PUT /b HTTP/1.1\r\nHost: a\r\n{chunks}GET /c HTTP/1.0\r\n\r\n"
    ))?;
    assert_eq!(out.matches("HTTP/1.1 200 OK\r\n").count(), 2);
    assert!(
        out.contains("\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
            && out.ends_with("\r\nConnection: close\r\n\r\n")
    );
    assert!(matches!(session.state, State::Closing(Verdict::Close)) && !session.wants_read());

    let mut session = accept(2);
    let mut exchange = |sent: &str| server.exchange(&mut session, sent);

    // On another connection: two programs could disagree about where this request ends.
    let out = exchange(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n{chunks}"
    ))?;
    assert!(
        out.starts_with("HTTP/1.1 400 Bad Request\r\n")
            && out.contains("\r\nConnection: close\r\n")
    );

    Ok(())
}

#[test]
fn an_application_may_take_a_body_slowly_or_not_at_all() -> Outcome<()> {
    let mut server = Loop::new()?;
    // An application that takes 100 bytes before the connection is open, one that says nothing, and one that does not want the whole body.
    let mut session = accept(3);
    let out = server.exchange(
        &mut session,
        &format!(
            "{POST} 300\r\n\r\n{}GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "~".repeat(300)
        ),
    )?;
    assert_eq!(
        (out.matches('~').count(), out.matches(" 200 OK").count()),
        (300, 2),
        "{out}"
    );
    let out = server.exchange(
        &mut session,
        &format!("{POST} 400000\r\n\r\n{}", "~".repeat(400_000)),
    )?;
    assert!(out.matches('~').count() == 400_000 && out.ends_with("\r\n0\r\n\r\n"));
    server.exchange(&mut session, &format!("{POST} 7\r\n\r\n"))?;
    let out = server.exchange(&mut session, "nothing")?;
    assert!(
        out.contains(" 502 ") && matches!(session.state, State::Head),
        "{out}"
    );
    let out = server.exchange(&mut session, &format!("{POST} 10\r\n\r\n"))?;
    assert_eq!(out, "");
    let out = server.exchange(&mut session, "early")?;
    assert!(
        out.contains("early")
            && out.ends_with("0\r\n\r\n")
            && matches!(session.state, State::Exchange(_)),
        "{out}"
    );
    let out = server.exchange(&mut session, "12345GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    assert!(out.starts_with("HTTP/1.1 200 OK\r\n"), "{out}");
    server.exchange(&mut session, &format!("{POST} 100000\r\n\r\n"))?;
    let out = server.exchange(&mut session, "early")?;
    assert!(
        out.contains("early") && matches!(session.state, State::Closing(Verdict::Close)),
        "{out}"
    );
    Ok(())
}

#[test]
fn a_body_that_turns_out_malformed_is_refused_or_cuts_the_response() -> Outcome<()> {
    let mut server = Loop::new()?;
    // A body that turns out malformed before the head of the response, and after it; and a client that goes away.
    let mut session = accept(4);
    let out = server.exchange(&mut session, &format!("{CHUNKED}-1\r\n"))?;
    assert!(
        out.contains("400 Bad Request") && matches!(session.state, State::Closing(_)),
        "{out}"
    );
    let mut session = accept(5);
    server.exchange(&mut session, &format!("{CHUNKED}3\r\nabc\r\n"))?;
    let out = server.exchange(&mut session, "-1\r\n")?;
    assert!(
        out.is_empty()
            && matches!(
                session.state,
                State::Closing(Verdict::Cut { needs_reset: false })
            ),
        "{out}"
    );
    Ok(())
}

#[test]
fn a_client_that_goes_away_takes_its_request_with_it() -> Outcome<()> {
    let mut server = Loop::new()?;
    let mut session = accept(6);
    server.exchange(&mut session, &format!("{POST} 9\r\n\r\nabc"))?;
    session.on_hang_up(&mut server.fcgi, server.now);
    server.turn(&mut session)?;
    assert_eq!(server.fcgi.requests(server.now).count(), 0);
    // A client that goes away while it waits for the response to a GET, and one that was served.
    let mut session = accept(7);
    session.on_read(&mut server.fcgi, server.now, GET.as_bytes());
    assert!(!session.wants_read() && server.fcgi.requests(server.now).count() == 1);
    for _ in 0..2 {
        session.on_hang_up(&mut server.fcgi, server.now);
        assert!(matches!(
            session.state,
            State::Closing(Verdict::Cut { needs_reset: false })
        ));
    }
    server.turn(&mut session)?;
    assert_eq!(server.fcgi.requests(server.now).count(), 0);
    let mut session = accept(8);
    server.exchange(&mut session, GET)?;
    session.on_hang_up(&mut server.fcgi, server.now);
    assert!(matches!(session.state, State::Closing(Verdict::Close)));
    Ok(())
}

#[test]
fn an_answer_that_is_complete_ends_an_endless_script_by_bytes_and_by_time() -> Outcome<()> {
    let mut server = Loop::new()?;
    // An answer that is complete, and a script that goes on: for bytes, and for time. HEAD, then another request.
    for (tag, late) in [(9, Duration::ZERO), (10, MAX_EXTRA_TIME)] {
        let mut session = accept(tag);
        server.exchange(
            &mut session,
            "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n",
        )?;
        server.exchange(&mut session, "endless")?;
        let rounds = (0..200).take_while(|_| {
            server.now += late / 4;
            server.go_on(&mut session);
            matches!(session.state, State::Exchange(_))
        });
        assert_eq!(rounds.count(), if late.is_zero() { 63 } else { 3 });
        assert!(matches!(session.state, State::Head));
        assert_eq!(server.fcgi.requests(server.now).count(), 0);
    }
    Ok(())
}

#[test]
fn a_chunked_body_beyond_the_buffer_is_refused_and_its_request_given_up() -> Outcome<()> {
    let mut server = Loop::new()?;
    // A chunked body beyond the client's buffer, and no room for a request.
    let config = Config::new("127.0.0.1:9000".parse()?)
        .with_unknown_length(UnknownLength::Buffer { limit: 1000 });
    server.fcgi = Engine::new(config)?;
    let mut session = accept(11);
    let out = server.exchange(
        &mut session,
        &format!("{CHUNKED}7d0\r\n{}\r\n0\r\n\r\n", "~".repeat(2000)),
    )?;
    assert!(
        out.contains(" 413 ") && out.contains("\r\nConnection: close\r\n"),
        "{out}"
    );
    assert!(matches!(session.state, State::Closing(Verdict::Close)));
    assert_eq!(server.fcgi.requests(server.now).count(), 0);
    Ok(())
}

#[test]
fn a_request_without_room_is_told_when_to_come_again() -> Outcome<()> {
    let mut server = Loop::new()?;
    server.fcgi.shutdown(server.now, None);
    let mut session = accept(12);
    let out = server.exchange(&mut session, GET)?;
    assert!(
        out.contains(" 503 ") && out.contains("\r\nRetry-After: 1\r\n"),
        "{out}"
    );
    Ok(())
}
