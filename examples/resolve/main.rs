//! Follows a name that moves, without blocking the loop: a thread resolves it, and the loop changes the servers.
//!
//! `cargo run --example resolve -- --connect php.local:9000 --script /var/www/hello.php`

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Instant;

use mio::{Events, Poll, Token, Waker};
use mio_fcgi::cgi::Collector;
use mio_fcgi::{Address, Client, Config, Event, EventKind, Outcome, ReadBuf, Request, Server, Tag};

use arguments::Arguments;
use source::Source;
use watch::{Answer, News};

mod arguments;
#[path = "../shared/command_line.rs"]
mod command_line;
mod source;
#[path = "../shared/watch.rs"]
mod watch;

const WAKER: Token = Token(0);
/// As many tokens as connections in all. The connections to old servers, while their requests end, are among them.
const FASTCGI: Range<Token> = Token(1)..Token(1 + CONNECTIONS);
const CONNECTIONS: usize = 32;

fn main() -> ExitCode {
    env_logger::init();
    let arguments = match <Arguments as clap::Parser>::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return command_line::report("resolve", &error),
    };
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("resolve: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many requests have failed.
fn run(arguments: &Arguments) -> io::Result<u64> {
    let source = arguments.source();
    // The loop does not run yet, so this lookup may block.
    let first = source.look_up();
    let first =
        first.map_err(|error| io::Error::new(error.kind(), format!("{source}: {error}")))?;

    let mut poll = Poll::new()?;
    let mut config = Config::from_servers(first.clone());
    config.limits.max_total_connections = CONNECTIONS;
    let waker = Waker::new(poll.registry(), WAKER)?;
    let mut sender = Sender {
        fcgi: Client::new(poll.registry(), FASTCGI, config)?,
        in_flight: HashMap::new(),
        sent: 0,
        failed: 0,
    };
    sender.show_servers(&source, &first)?;
    let for_thread = source.clone();
    let look_up = move || for_thread.look_up();
    let (tell, news) = mpsc::channel();
    let tell = move |answer| {
        let is_told = tell.send(answer).is_ok();
        if let Err(error) = waker.wake() {
            log::warn!("the loop learns of new addresses in its next turn: {error}");
        }
        is_told // else the loop has ended
    };
    let (_ends_with_this, asked) = mpsc::channel();
    let every = Some(arguments.every);
    watch::start(News::since(&first), every, asked, look_up, tell)?;

    let (mut events, mut buf) = (Events::with_capacity(256), ReadBuf::default());
    let mut next_request = Instant::now();
    loop {
        let is_last = arguments.count.is_some_and(|count| sender.sent >= count);
        if is_last && sender.in_flight.is_empty() {
            sender.say(format_args!(
                "{} requests, {} failed",
                sender.sent, sender.failed
            ))?;
            return Ok(sender.failed);
        }
        // 1. Wait for the client's deadline or for this program's own. The waker ends the wait.
        let now = Instant::now();
        let own = (!is_last).then_some(next_request);
        let next = own.into_iter().chain(sender.fcgi.deadline(now)).min();
        match poll.poll(
            &mut events,
            next.map(|at| at.saturating_duration_since(now)),
        ) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            polled => polled?,
        }
        // 2. to 4. as in every loop. The waker's event is not the client's.
        let now = Instant::now();
        for event in &events {
            sender.fcgi.handle_event(event);
        }
        sender.fcgi.handle_timeout(now);
        while let Some(event) = sender.fcgi.poll_event(now, &mut buf) {
            sender.handle(now, event)?;
        }
        // 5. What is this program's own: news from the thread, then the next request.
        while let Ok(answer) = news.try_recv() {
            sender.change_servers(now, &source, answer)?;
        }
        if !is_last && next_request <= now {
            sender.send(now, &arguments.script)?;
            next_request = now + arguments.interval;
        }
    }
}

struct Sender {
    fcgi: Client,
    in_flight: HashMap<Tag, Collector>,
    sent: u64,
    failed: u64,
}

impl Sender {
    /// Uses the new servers. Whatever is wrong with them, the old ones stay, and so do the requests.
    fn change_servers(&mut self, now: Instant, source: &Source, answer: Answer) -> io::Result<()> {
        let changed = answer.map_err(|error| error.to_string()).and_then(|found| {
            let servers = found.iter().cloned().map(Server::new).collect();
            let set = self.fcgi.set_servers(now, servers);
            set.map(|()| found).map_err(|error| error.to_string())
        });
        match changed {
            Ok(found) => self.show_servers(source, &found),
            Err(error) => {
                eprintln!("resolve: {source}: {error}; the servers stay as they are");
                Ok(())
            }
        }
    }

    fn show_servers(&self, source: &Source, addresses: &[Address]) -> io::Result<()> {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.say(format_args!("{source} is {}", addresses.join(", ")))?;
        for server in self.fcgi.servers(Instant::now()) {
            self.say(format_args!("  {server}"))?;
        }
        Ok(())
    }

    fn send(&mut self, now: Instant, script: &str) -> io::Result<()> {
        let request = Request::responder()
            .param("REQUEST_METHOD", "GET")
            .param("REQUEST_URI", script)
            .param("SCRIPT_NAME", script)
            .param("SCRIPT_FILENAME", script);
        let tag = Tag(self.sent);
        self.sent += 1;
        match self.fcgi.submit(now, request, tag) {
            Ok(_) => {
                self.in_flight.insert(tag, Collector::default());
                Ok(())
            }
            Err(refused) => {
                self.failed += 1;
                self.say(format_args!("request {}: {refused}", tag.0))
            }
        }
    }

    fn handle(&mut self, now: Instant, event: Event<&[u8]>) -> io::Result<()> {
        if let EventKind::End(outcome) = event.kind {
            self.end(event.tag, outcome)
        } else if let Some(response) = self.in_flight.get_mut(&event.tag)
            && response.on_event(&event).is_err()
        {
            self.fcgi.abort(now, event.request); // the collector keeps the reason for the end
            Ok(())
        } else {
            Ok(())
        }
    }

    fn end(&mut self, tag: Tag, outcome: Outcome) -> io::Result<()> {
        let report = match &outcome {
            Ok(completion) => completion.report,
            Err(failure) => failure.report,
        };
        let response = self.in_flight.remove(&tag).unwrap_or_default();
        let (is_good, result) = match response.finish(outcome) {
            Ok(response) => (response.status < 400, response.status.to_string()),
            Err(incomplete) => (false, incomplete.to_string()),
        };
        self.failed += u64::from(!is_good);
        let address = report.server.and_then(|it| self.fcgi.server_address(it));
        let server = match (report.server, address) {
            (Some(server), Some(address)) => format!("server {server}, {address}"),
            _ => "no server".to_owned(),
        };
        let time = report.timings.total();
        self.say(format_args!(
            "request {}: {result}, {server}, {time:.1?}",
            tag.0
        ))
    }

    fn say(&self, line: fmt::Arguments<'_>) -> io::Result<()> {
        writeln!(io::stdout(), "{line}")
    }
}
