//! A server and a FastCGI client in one mio loop: the pattern to copy.
//!
//! Each line that a guest sends is a URI. The reply is the response's status and length on a line, then its body.
//!
//! `cargo run --example embed 127.0.0.1:7000`, then `printf '/tag?tag=hello\n/form\n' | nc -N 127.0.0.1 7000`

use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use mio_fcgi::cgi::{Collector, Env, Script};
use mio_fcgi::{Client, Config, Event, ReadBuf, Tag};
use slab::Slab;

#[path = "responder/app.rs"]
mod app;

// One poll, three kinds of tokens. The client has a range of its own: one for each connection it may open.
const LISTENER: Token = Token(0);
const GUESTS: Range<usize> = 1..257;
const FASTCGI: Range<Token> = Token(GUESTS.end)..Token(GUESTS.end + 1024);

fn serve(mut listener: TcpListener, config: Config, script: Script) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let fcgi = Client::new(poll.registry(), FASTCGI, config)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let guests = Slab::new();
    let mut server = Server {
        fcgi,
        guests,
        script,
    };
    let (mut events, mut buf) = (Events::with_capacity(256), ReadBuf::default());
    loop {
        // 1. Wait as long as the client allows: not at all while it has work, without end when nothing is due.
        server.fcgi.wait(Instant::now(), &mut poll, &mut events)?;
        // The clock is read once a turn. The client never reads it.
        let now = Instant::now();
        // 2. The client takes note of the events that are its own, and leaves the others alone.
        for event in &events {
            server.fcgi.handle_event(event);
        }
        // 3. Time limits pass.
        server.fcgi.handle_timeout(now);
        // 4. The client connects, reads and writes in here, each connection in its turn.
        while let Some(event) = server.fcgi.poll_event(now, &mut buf) {
            server.on_fastcgi(now, event);
        }
        // 5. Our own sockets, last: by now the client knows which of its connections are free, and which have ended.
        for event in &events {
            match event.token() {
                LISTENER => server.welcome(now, &listener, poll.registry()),
                Token(guest) if GUESTS.contains(&guest) => {
                    server.attend(now, guest - GUESTS.start);
                }
                _ => {}
            }
        }
    }
}

struct Server {
    fcgi: Client,
    guests: Slab<Guest>,
    script: Script,
}

/// What a guest may cost is bounded: a line, a piece that was read with it, and a response.
struct Guest {
    socket: TcpStream,
    input: Vec<u8>,
    /// While its request is out.
    asked: Option<Collector>,
    output: Vec<u8>,
}

const MAX_LINE: usize = 4 * 1024;
const MAX_BODY: usize = 1024 * 1024;

impl Server {
    fn welcome(&mut self, now: Instant, listener: &TcpListener, registry: &Registry) {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Nothing is wrong with those behind, and mio does not announce them again.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                // As a rule too many open files: those who wait are let in with the next to come.
                Err(error) => return log::warn!("no guest can be let in: {error}"),
            };
            let key = self.guests.vacant_key();
            let token = Token(GUESTS.start + key);
            let both = Interest::READABLE | Interest::WRITABLE;
            if !GUESTS.contains(&token.0) || registry.register(&mut socket, token, both).is_err() {
                continue; // The house is full: the socket is dropped, and so closed.
            }
            self.guests.insert(Guest {
                socket,
                input: vec![],
                asked: None,
                output: vec![],
            });
            self.attend(now, key);
        }
    }

    /// At each event of a guest's socket, and when its request has ended.
    fn attend(&mut self, now: Instant, key: usize) {
        if let Err(error) = self.advance(now, key)
            && error.kind() != ErrorKind::WouldBlock
        {
            log::info!("guest {key} leaves: {error}");
            self.guests.remove(key);
        }
    }

    /// Goes on until it is the application's turn (`Ok`) or the guest's (`WouldBlock`): mio announces a change only
    /// once. With another error the guest has to leave; never while its request is out.
    fn advance(&mut self, now: Instant, key: usize) -> io::Result<()> {
        let Some(guest) = self.guests.get_mut(key) else {
            return Ok(());
        };
        while guest.asked.is_none() {
            if !guest.output.is_empty() {
                let written = guest.socket.write(&guest.output)?;
                guest.output.drain(..written);
            } else if let Some(end) = guest.input.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = guest.input.drain(..=end).collect();
                let mut request = self.fcgi.new_request();
                Env::new(b"GET", line.trim_ascii_end(), [].into_iter(), &self.script)
                    .write_to(&mut request.params)
                    .map_err(io::Error::other)?;
                match self.fcgi.submit(now, request, Tag(key as u64)) {
                    Ok(_) => guest.asked = Some(Collector::default().with_max_body(MAX_BODY)),
                    // No `End` follows, and nothing was sent.
                    Err(error) => guest.output.extend(format!("failed: {error}\n").bytes()),
                }
            } else if guest.input.len() > MAX_LINE {
                return Err(io::Error::other("a line without end"));
            } else {
                let mut piece = [0; 1024];
                let read = guest.socket.read(&mut piece)?;
                if read == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                guest.input.extend(&piece[..read]);
            }
        }
        Ok(())
    }

    fn on_fastcgi(&mut self, now: Instant, event: Event<'_>) {
        // The tag is our own number, here the guest's: it went out with the request and comes back with each event.
        let key = event.tag().map_or(usize::MAX, |Tag(tag)| tag as usize);
        let Some(guest) = self.guests.get_mut(key) else {
            return;
        };
        if let Event::End { outcome, .. } = event {
            let collector = guest.asked.take().unwrap_or_default();
            match collector.finish(outcome) {
                Ok(response) => {
                    let line = format!("{} {}\n", response.status, response.body.len());
                    guest.output = [line.as_bytes(), &response.body].concat();
                }
                Err(incomplete) => guest.output = format!("failed: {incomplete}\n").into(),
            }
            self.attend(now, key);
        } else if let Some(collector) = &mut guest.asked
            && collector.on_event(&event).is_err()
            && let Some(request) = event.request()
        {
            // Not a response, or too long for us. The collector keeps the reason for `End`, which comes next.
            // An event's data lies in `buf`, not in the client: commands may be given while it is looked at.
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
