//! A server and a FastCGI client in one mio loop: the pattern to copy.
//!
//! Each line that a client sends is a URI. The reply is a line with the response's status and length, then the body.
//!
//! `cargo run --example embed 127.0.0.1:7000`, then `printf '/tag?tag=hello\n/form\n' | nc -N 127.0.0.1 7000`

use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use mio_fcgi::cgi::{Collector, Env, Script};
use mio_fcgi::{Client, Config, Event, EventKind, ReadBuf, Tag};
use slab::Slab;

// The application to use if the command line names none. Your program does not need it.
#[path = "responder/app.rs"]
mod app;

// One poll, three kinds of tokens. The FastCGI client has a range of its own: one token for each connection it may
// open.
const LISTENER: Token = Token(0);
const SESSIONS: Range<usize> = 1..257;
const FASTCGI: Range<Token> = Token(SESSIONS.end)..Token(SESSIONS.end + 1024);

fn serve(listener: TcpListener, config: Config, script: Script) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut server = Server::new(poll.registry(), listener, config, script)?;
    let (mut events, mut buf) = (Events::with_capacity(256), ReadBuf::default());
    loop {
        // 1. Wait as long as the FastCGI client allows: not at all while it has work, without limit if it has no time
        //    limit.
        server.fcgi.wait(Instant::now(), &mut poll, &mut events)?;
        // Read the clock once per turn. The FastCGI client never reads it.
        let now = Instant::now();
        // 2. The FastCGI client records its own events and ignores the others.
        for event in &events {
            server.fcgi.handle_event(event);
        }
        // 3. The FastCGI client handles time limits that have passed.
        server.fcgi.handle_timeout(now);
        // 4. In this loop the FastCGI client connects, reads and writes, one connection after the other.
        while let Some(event) = server.fcgi.poll_event(now, &mut buf) {
            server.handle_fastcgi(now, event);
        }
        // 5. Your own sockets come last: by now it is known which FastCGI connections are idle, and which have ended.
        for event in &events {
            match event.token() {
                LISTENER => server.accept(now, poll.registry()),
                Token(token) if SESSIONS.contains(&token) => {
                    server.advance(now, token - SESSIONS.start);
                }
                _ => {}
            }
        }
    }
}

struct Server {
    fcgi: Client,
    listener: TcpListener,
    sessions: Slab<Session>,
    script: Script,
}

/// One client of this server. Its memory is bounded: a line, what was read together with it, and a response.
struct Session {
    socket: TcpStream,
    input: Vec<u8>,
    /// The response, while its request is in flight.
    response: Option<Collector>,
    output: Vec<u8>,
}

const MAX_LINE: usize = 4 * 1024;
const MAX_BODY: usize = 1024 * 1024;

impl Server {
    fn new(
        registry: &Registry,
        mut listener: TcpListener,
        config: Config,
        script: Script,
    ) -> io::Result<Self> {
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            fcgi: Client::new(registry, FASTCGI, config)?,
            listener,
            sessions: Slab::new(),
            script,
        })
    }

    fn accept(&mut self, now: Instant, registry: &Registry) {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Only this connection failed. Go on: mio does not report the connections that wait after it again.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                // Usually too many open files. The waiting connections are accepted when the next one arrives.
                Err(error) => return log::warn!("cannot accept: {error}"),
            };
            // Small writes leave at once, and do not wait for the acknowledgement of the one before.
            let _ = socket.set_nodelay(true);
            let key = self.sessions.vacant_key();
            let token = SESSIONS.start + key;
            let both = Interest::READABLE | Interest::WRITABLE;
            if !SESSIONS.contains(&token)
                || registry.register(&mut socket, Token(token), both).is_err()
            {
                continue; // Too many clients: the socket is dropped, and so closed.
            }
            self.sessions.insert(Session {
                socket,
                input: vec![],
                response: None,
                output: vec![],
            });
            self.advance(now, key);
        }
    }

    /// Called for each event of a session's socket, and when its request has ended.
    fn advance(&mut self, now: Instant, key: usize) {
        if let Err(error) = self.try_advance(now, key)
            && error.kind() != ErrorKind::WouldBlock
        {
            log::info!("session {key} ends: {error}");
            self.sessions.remove(key);
        }
    }

    /// Works until the application has to act (`Ok`) or the client has to (`WouldBlock`): mio reports a change only
    /// once. Any other error ends the session; while its request is in flight there is no other error.
    fn try_advance(&mut self, now: Instant, key: usize) -> io::Result<()> {
        let Some(session) = self.sessions.get_mut(key) else {
            return Ok(());
        };
        while session.response.is_none() {
            if !session.output.is_empty() {
                let written = session.socket.write(&session.output)?;
                session.output.drain(..written);
            } else if let Some(end) = session.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = session.input.drain(..=end).collect();
                let mut request = self.fcgi.new_request();
                Env::new(b"GET", line.trim_ascii_end(), [].into_iter(), &self.script)
                    .write_to(&mut request.params)
                    .map_err(io::Error::other)?;
                // The tag is a number of your choice: each event of this request carries it.
                match self.fcgi.submit(now, request, Tag(key as u64)) {
                    Ok(_) => session.response = Some(Collector::default().with_max_body(MAX_BODY)),
                    // Nothing was sent, and no `End` event follows.
                    Err(error) => session.output.extend(format!("failed: {error}\n").bytes()),
                }
            } else if session.input.len() > MAX_LINE {
                return Err(io::Error::other("the line is too long"));
            } else {
                let mut piece = [0; 1024];
                let len = session.socket.read(&mut piece)?;
                if len == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                session.input.extend(&piece[..len]);
            }
        }
        Ok(())
    }

    fn handle_fastcgi(&mut self, now: Instant, event: Event<&[u8]>) {
        let (request, key) = (event.request, event.tag.0 as usize);
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if let EventKind::End(outcome) = event.kind {
            let response = session.response.take().unwrap_or_default();
            match response.finish(outcome) {
                Ok(response) => {
                    let line = format!("{} {}\n", response.status, response.body.len());
                    session.output = [line.as_bytes(), &response.body].concat();
                }
                Err(incomplete) => session.output = format!("failed: {incomplete}\n").into(),
            }
            self.advance(now, key);
        } else if let Some(response) = &mut session.response
            && response.on_event(&event).is_err()
        {
            // Not a valid response, or too long. The collector keeps the reason for the `End` event, which follows. The
            // data of an event is in `buf`, not in the FastCGI client, so methods of the client can be called while the
            // data is in use.
            self.fcgi.abort(now, request);
        }
    }
}

fn main() -> ExitCode {
    env_logger::init();
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [listen, application @ ..] = arguments else {
        return Err("usage: embed IP:PORT [ADDRESS SCRIPT]".into());
    };
    let listener = TcpListener::bind(listen.parse()?)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    if let [address, script] = application {
        let script = Script::new("", script, "");
        return Ok(serve(listener, Config::new(address.parse()?), script)?);
    }
    let demo = app::spawn(app::Options::default())?;
    let config = Config::new(demo.address().clone());
    Ok(serve(listener, config, Script::default())?)
}
