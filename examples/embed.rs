//! A server and a FastCGI client in one mio loop: the pattern to copy.
//!
//! Each line that a guest sends is a URI. The reply is the response's status and length on a line, then its body.
//!
//! `cargo run --example embed`, then `printf '/tag?tag=hello\n/status?code=404\n' | nc -N 127.0.0.1 7000`

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use lexopt::prelude::*;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use mio_fcgi::cgi::{Collector, Env, ResponseLimits, Script};
use mio_fcgi::{Address, Client, Config, Event, ReadBuf, Tag};
use slab::Slab;

#[path = "responder/app.rs"]
mod app;

// One poll, three kinds of tokens. The client has a range of its own: one for each connection it may open.
const LISTENER: Token = Token(0);
const GUESTS: Range<usize> = 1..257;
const FASTCGI: Range<Token> = Token(GUESTS.end)..Token(GUESTS.end + 1024);

fn serve(mut listener: TcpListener, application: Address, script: Script) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        fcgi: Client::new(&registry, FASTCGI, Config::new(application))?,
        guests: Slab::new(),
        listener,
        registry,
        script,
    };
    let mut events = Events::with_capacity(256);
    let mut buf = ReadBuf::default();
    loop {
        // 1. Wait as long as the client allows: not at all while it has work, without end when nothing is due.
        // A signal is no reason to stop.
        match poll.poll(&mut events, server.fcgi.timeout(Instant::now())) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        // The clock is read once a turn. The client never reads it.
        let now = Instant::now();
        // 2. Sort the events. The client only takes note of its own here.
        for event in &events {
            match event.token() {
                _ if server.fcgi.handle_event(event) => {}
                LISTENER => server.welcome(now),
                Token(guest) => server.attend(now, guest - GUESTS.start),
            }
        }
        // 3. Time limits pass.
        server.fcgi.handle_timeout(now);
        // 4. The client connects, reads and writes in here, each connection in its turn. An event's data lies in
        // `buf`, not in the client: commands may be given while it is looked at.
        while let Some(event) = server.fcgi.poll_event(now, &mut buf) {
            server.on_fastcgi(now, event);
        }
    }
}

struct Server {
    fcgi: Client,
    guests: Slab<Guest>,
    listener: TcpListener,
    registry: Registry,
    script: Script,
}

/// One at the other end of a socket. What it may cost is bounded: `MAX_INPUT`, and one response.
struct Guest {
    socket: TcpStream,
    input: Vec<u8>,
    asked: Option<Collector>,
    output: Vec<u8>,
}

const MAX_INPUT: usize = 4 * 1024;
const MAX_BODY: usize = 1024 * 1024;

impl Server {
    fn welcome(&mut self, now: Instant) {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // As a rule too many open files: those who wait are let in with the next to come.
                Err(error) => return log::warn!("no guest can be let in: {error}"),
            };
            let key = self.guests.vacant_key();
            let token = Token(GUESTS.start + key);
            let both = Interest::READABLE | Interest::WRITABLE;
            if !GUESTS.contains(&token.0)
                || self.registry.register(&mut socket, token, both).is_err()
            {
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

    /// Goes on with a guest: at each event of its socket, and after each answer, since mio announces a change only once.
    fn attend(&mut self, now: Instant, key: usize) {
        let Some(guest) = self.guests.get_mut(key) else {
            return;
        };
        match guest.advance(now, key, &mut self.fcgi, &self.script) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                log::info!("guest {key} leaves: {error}");
                self.guests.remove(key);
            }
        }
    }

    fn on_fastcgi(&mut self, now: Instant, event: Event<'_>) {
        // The tag is our own number, here the guest's: it went out with the request and comes back with each event.
        let Some(Tag(tag)) = event.tag() else {
            return;
        };
        let key = tag as usize;
        let Some(guest) = self.guests.get_mut(key) else {
            return;
        };
        if let Event::End { outcome, .. } = event {
            if let Some(collector) = guest.asked.take() {
                match collector.finish(outcome) {
                    Ok(response) => {
                        guest.reply(format_args!("{} {}", response.status, response.body.len()));
                        guest.output.extend(response.body);
                    }
                    Err(incomplete) => guest.reply(format_args!("failed: {incomplete}")),
                }
            }
            self.attend(now, key);
        } else if let Some(collector) = &mut guest.asked
            && collector.on_event(&event).is_err()
            && let Some(request) = event.request()
        {
            // Not a response, or too long for us. The collector keeps the reason for `End`, which comes next.
            self.fcgi.abort(now, request);
        }
    }
}

impl Guest {
    /// Writes what is ready, asks the next line, reads more, until the application has to answer (`Ok`), or the
    /// guest has to go first (`WouldBlock`). With any other error the guest leaves; never while its request is out.
    fn advance(
        &mut self,
        now: Instant,
        key: usize,
        fcgi: &mut Client,
        script: &Script,
    ) -> io::Result<()> {
        while self.asked.is_none() {
            while !self.output.is_empty() {
                match self.socket.write(&self.output) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    written => drop(self.output.drain(..written?)),
                }
            }
            if let Some(end) = self.input.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                self.ask(now, key, line.trim_ascii_end(), fcgi, script)?;
                continue;
            }
            if self.input.len() >= MAX_INPUT {
                return Err(io::Error::other("a line without end"));
            }
            let mut piece = [0; MAX_INPUT];
            match self.socket.read(&mut piece[self.input.len()..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                read => self.input.extend(&piece[self.input.len()..][..read?]),
            }
        }
        Ok(())
    }

    /// Sends a request. Who does not write a URI is shown out, so that no guest keeps the loop busy by itself.
    fn ask(
        &mut self,
        now: Instant,
        key: usize,
        uri: &[u8],
        fcgi: &mut Client,
        script: &Script,
    ) -> io::Result<()> {
        let mut request = fcgi.new_request();
        Env::new(b"GET", uri, std::iter::empty(), script)
            .write_to(&mut request.params)
            .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        match fcgi.submit(now, request, Tag(key as u64)) {
            Ok(_) => {
                let limits = ResponseLimits {
                    max_body: MAX_BODY,
                    ..ResponseLimits::default()
                };
                self.asked = Some(Collector::new(limits));
            }
            // No `End` follows, and nothing was sent.
            Err(error) => self.reply(format_args!("failed: {error}")),
        }
        Ok(())
    }

    fn reply(&mut self, line: std::fmt::Arguments<'_>) {
        self.output.extend(format!("{line}\n").bytes());
    }
}

fn main() -> ExitCode {
    env_logger::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut listen: SocketAddr = ([127, 0, 0, 1], 7000).into();
    let mut application: Option<Address> = None;
    let mut script = Script::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => listen = parser.value()?.parse()?,
            Long("connect") => application = Some(parser.value()?.parse()?),
            Long("script") => script = Script::new("", parser.value()?.string()?, ""),
            Short('h') | Long("help") => {
                return Ok(writeln!(io::stdout(), "{USAGE}")?);
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    let listener = TcpListener::bind(listen)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    if let Some(application) = application {
        return Ok(serve(listener, application, script)?);
    }
    let demo = app::spawn(app::Options::default())?;
    Ok(serve(listener, demo.address().clone(), script)?)
}

const USAGE: &str = "\
usage: embed [--listen IP:PORT] [--connect ADDR --script PATH]

  --listen IP:PORT  where guests come (127.0.0.1:7000)
  --connect ADDR    the application: unix:/path, unix:@name or host:port; without it, a demo application
  --script PATH     what it runs for each line (SCRIPT_FILENAME)";
