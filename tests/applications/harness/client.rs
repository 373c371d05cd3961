//! The library's client on a real mio loop: submits requests, collects their events by tag, and checks every event
//! against the promises of the library. Nothing here waits longer than [`LIMIT`], so that a lost wake-up fails a test.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::cgi::{Collector, Incomplete, Response};
use mio_fcgi::{
    Address, Body, Client, Completion, Config, ConnectionGauges, Event, EventKind, Failure,
    Outcome, ReadBuf, Request, RequestGauges, RequestHandle, ServerId, ServerValues, Stats,
    StdinError, Tag, Timeouts,
};

use super::{Listen, TIME_LIMIT};

/// A client, its poll, and the exchanges that were not taken yet.
pub(crate) struct Loop {
    pub(crate) client: Client,
    poll: Poll,
    events: Events,
    buf: ReadBuf,
    exchanges: HashMap<Tag, Exchange>,
    next_tag: u64,
    unended: usize,
    began: Instant,
    peak: Peak,
}

/// The largest figures seen at the end of a turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    pub(crate) connections: usize,
    /// Requests on connections.
    pub(crate) active: usize,
    pub(crate) bytes_buffered: usize,
}

/// What has arrived for one request so far.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) handle: RequestHandle,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) stdout_ended: bool,
    pub(crate) values: Option<ServerValues>,
    pub(crate) outcome: Option<Outcome>,
    has_room: bool,
    is_paused: bool,
}

/// A configuration whose time limits are not what a busy machine runs into.
pub(crate) fn patient(listen: &Listen) -> Config {
    Config::new(listen.address())
        .with_timeouts(Timeouts::NONE)
        .with_connect_timeout(TIME_LIMIT)
}

impl Loop {
    /// A client with as many tokens as its servers may have connections.
    pub(crate) fn new(config: Config) -> Self {
        let tokens = config.limits.max_connections_per_server * config.servers.len();
        Self::with_tokens(config, tokens)
    }

    pub(crate) fn with_tokens(config: Config, tokens: usize) -> Self {
        let poll = Poll::new().expect("a poll");
        let tokens = Token(0)..Token(tokens);
        let client = Client::new(poll.registry(), tokens, config).expect("a valid configuration");
        Self {
            client,
            poll,
            events: Events::with_capacity(64),
            buf: ReadBuf::default(),
            exchanges: HashMap::new(),
            next_tag: 0,
            unended: 0,
            began: Instant::now(),
            peak: Peak::default(),
        }
    }

    /// A client of one server, with the configuration by default.
    pub(crate) fn to(listen: &Listen) -> Self {
        Self::new(patient(listen))
    }

    pub(crate) fn submit(&mut self, request: Request) -> Tag {
        let tag = Tag(self.next_tag);
        let handle = self
            .client
            .submit(Instant::now(), request, tag)
            .expect("a request that is accepted");
        self.note(tag, handle)
    }

    pub(crate) fn get_values(&mut self) -> Tag {
        let tag = Tag(self.next_tag);
        let handle = self
            .client
            .get_values(Instant::now(), ServerId::new(0), tag)
            .expect("a running client");
        self.note(tag, handle)
    }

    fn note(&mut self, tag: Tag, handle: RequestHandle) -> Tag {
        let exchange = Exchange {
            handle,
            stdout: Vec::new(),
            stderr: Vec::new(),
            stdout_ended: false,
            values: None,
            outcome: None,
            has_room: false,
            is_paused: false,
        };
        self.exchanges.insert(tag, exchange);
        self.next_tag += 1;
        self.unended += 1;
        tag
    }

    /// One request, alone: waits for its end.
    pub(crate) fn call(&mut self, request: Request) -> Exchange {
        let tag = self.submit(request);
        self.finish(tag)
    }

    /// Waits for the end of a request.
    pub(crate) fn finish(&mut self, tag: Tag) -> Exchange {
        self.run_until("the request's end", |it| it.exchange(tag).outcome.is_some());
        self.exchanges.remove(&tag).expect("it was looked at")
    }

    /// Waits for the end of every request; returns the exchanges in the order of submission.
    pub(crate) fn finish_all(&mut self) -> Vec<(Tag, Exchange)> {
        self.run_until("the end of every request", |it| it.unended == 0);
        let mut all: Vec<_> = self.exchanges.drain().collect();
        all.sort_by_key(|(tag, _)| *tag);
        all
    }

    /// What has arrived for a request that was not taken yet.
    pub(crate) fn exchange(&self, tag: Tag) -> &Exchange {
        &self.exchanges[&tag]
    }

    /// Requests whose end has not come.
    pub(crate) fn unended(&self) -> usize {
        self.unended
    }

    pub(crate) fn peak(&self) -> Peak {
        self.peak
    }

    pub(crate) fn abort(&mut self, tag: Tag) {
        let handle = self.exchange(tag).handle;
        self.client.abort(Instant::now(), handle);
    }

    pub(crate) fn pause(&mut self, tag: Tag) {
        let exchange = self.exchanges.get_mut(&tag).expect("not taken yet");
        exchange.is_paused = true;
        self.client.pause(Instant::now(), exchange.handle);
    }

    pub(crate) fn resume(&mut self, tag: Tag) {
        let exchange = self.exchanges.get_mut(&tag).expect("not taken yet");
        exchange.is_paused = false;
        self.client.resume(Instant::now(), exchange.handle);
    }

    /// Pushes bytes of a body; waits while the client takes none.
    pub(crate) fn push(&mut self, tag: Tag, bytes: &[u8]) -> Result<(), StdinError> {
        let handle = self.exchange(tag).handle;
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.client.write_stdin(Instant::now(), handle, rest)?;
            rest = &rest[taken..];
            if !rest.is_empty() {
                self.run_until("room for the body", |it| {
                    let exchange = it.exchanges.get_mut(&tag).expect("not taken yet");
                    std::mem::take(&mut exchange.has_room) || exchange.outcome.is_some()
                });
            }
        }
        Ok(())
    }

    pub(crate) fn finish_stdin(&mut self, tag: Tag) -> Result<(), StdinError> {
        let handle = self.exchange(tag).handle;
        self.client.finish_stdin(Instant::now(), handle)
    }

    /// Turns until `done`, which is called after each turn; a failure names `what` as what it waited for.
    pub(crate) fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "{what} did not come within {LIMIT:?}: {:#?}",
                self.client.stats()
            );
            self.turn(deadline);
        }
    }

    /// Turns for a time: at least once, however late it is.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            self.turn(deadline);
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Shuts the client down and checks that nothing is left of it; returns its last figures.
    pub(crate) fn shut_down(mut self) -> Stats {
        self.client.shutdown(Instant::now(), None);
        self.run_until("the end of the shutdown", |it| it.client.is_shut_down());
        let stats = self.client.stats();
        assert!(self.client.is_idle());
        assert_eq!(stats.connections, ConnectionGauges::default());
        assert_eq!(stats.requests, RequestGauges::default());
        assert_eq!((stats.bytes_buffered, self.unended), (0, 0));
        let counters = &stats.counters;
        assert_eq!(counters.submitted, self.next_tag);
        assert_eq!(counters.submitted, counters.completed + counters.failed);
        println!(
            "{} requests, {} failed, {} retries, {} connections, {} at once, {} requests on them at once, {:.2} s",
            counters.submitted,
            counters.failed,
            counters.retries,
            counters.connected,
            self.peak.connections,
            self.peak.active,
            self.began.elapsed().as_secs_f64(),
        );
        stats
    }

    /// One turn, as an embedder writes it.
    fn turn(&mut self, deadline: Instant) {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let timeout = self.client.timeout(now).map_or(left, |due| due.min(left));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            other => other.expect("a poll that works"),
        }
        let now = Instant::now();
        for event in &self.events {
            assert!(self.client.handle_event(event), "there is no other source");
        }
        self.client.handle_timeout(now);
        while let Some(event) = self.client.poll_event(now, &mut self.buf) {
            let exchange = self
                .exchanges
                .get_mut(&event.tag)
                .unwrap_or_else(|| panic!("{event:?} after its request's end was taken"));
            exchange.on_event(&event);
            self.unended -= usize::from(exchange.outcome.is_some());
        }
        self.check_limits();
    }

    fn check_limits(&mut self) {
        let stats = self.client.stats();
        let config = self.client.config();
        let gauges = stats.connections;
        let open = gauges.connecting + gauges.probing + gauges.idle + gauges.busy + gauges.draining;
        let servers = self.client.servers(Instant::now()).count();
        assert!(open <= config.limits.max_connections_per_server * servers);
        assert!(gauges.idle <= config.limits.max_idle_per_server * servers);
        assert!(stats.requests.queued <= config.limits.max_queued_requests);
        self.peak = Peak {
            connections: self.peak.connections.max(open),
            active: self.peak.active.max(stats.requests.active),
            bytes_buffered: self.peak.bytes_buffered.max(stats.bytes_buffered),
        };
    }
}

impl Exchange {
    /// The whole response.
    pub(crate) fn response(self) -> Response {
        let shown = format!("{:?}", self.outcome);
        self.collect()
            .unwrap_or_else(|error| panic!("no whole response: {error:?}; {shown}"))
    }

    /// The response, or the part of it that there is.
    pub(crate) fn collect(self) -> Result<Response, Box<Incomplete>> {
        let mut collector = Collector::default();
        // The collector returns the same error again with the response.
        let _ = collector.stdout(&self.stdout);
        collector.stderr(&self.stderr);
        if self.stdout_ended {
            collector.stdout_end();
        }
        collector.finish(self.outcome.expect("an exchange that has ended"))
    }

    pub(crate) fn completion(&self) -> &Completion {
        match &self.outcome {
            Some(Ok(completion)) => completion,
            other => panic!("not completed: {other:?}, {} bytes", self.stdout.len()),
        }
    }

    pub(crate) fn failure(&self) -> &Failure {
        match &self.outcome {
            Some(Err(failure)) => failure,
            other => panic!("not failed: {other:?}, {} bytes", self.stdout.len()),
        }
    }

    pub(crate) fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    fn on_event(&mut self, event: &Event<&[u8]>) {
        assert!(self.outcome.is_none(), "{event:?} after the end");
        assert_eq!(event.request, self.handle);
        match &event.kind {
            EventKind::Stdout(data) => {
                assert!(!data.is_empty() && !self.is_paused && !self.stdout_ended);
                self.stdout.extend_from_slice(data);
            }
            EventKind::Stderr(data) => {
                assert!(!data.is_empty() && !self.is_paused);
                self.stderr.extend_from_slice(data);
            }
            EventKind::StdoutEnd => {
                assert!(!self.is_paused && !self.stdout_ended);
                self.stdout_ended = true;
            }
            EventKind::StdinReady => self.has_room = true,
            EventKind::Values(values) => self.values = Some(*values),
            EventKind::End(outcome) => self.outcome = Some(outcome.clone()),
            other => panic!("an event that no request has: {other:?}"),
        }
    }
}

impl Listen {
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Unix(path) => Address::Unix(path.clone()),
            Self::Tcp(address) => Address::Tcp(*address),
        }
    }
}

/// A GET of `uri`, path and query.
pub(crate) fn get(uri: &str) -> Request {
    with_method("GET", uri)
}

/// A POST of `body` to `uri`.
pub(crate) fn post(uri: &str, body: impl Into<Vec<u8>>) -> Request {
    post_with(uri, Body::bytes(body))
}

/// A POST of any body to `uri`.
pub(crate) fn post_with(uri: &str, body: Body) -> Request {
    with_method("POST", uri)
        .param("CONTENT_TYPE", "application/octet-stream")
        .with_body(body)
}

fn with_method(method: &str, uri: &str) -> Request {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    Request::responder()
        .param("REQUEST_METHOD", method)
        .param("REQUEST_URI", uri)
        .param("SCRIPT_NAME", path)
        .param("QUERY_STRING", query)
        .param("SERVER_PROTOCOL", "HTTP/1.1")
        .param("SERVER_NAME", "localhost")
        .param("SERVER_PORT", "80")
        .param("HTTP_HOST", "localhost")
}

/// Whether `bytes` are [`pattern(seed, …)`](super::pattern), found out faster than by making it.
pub(crate) fn is_pattern(seed: usize, bytes: &[u8]) -> bool {
    let period = super::pattern(seed, 251 * 256);
    bytes
        .chunks(period.len())
        .all(|piece| piece == &period[..piece.len()])
}

/// The longest time that a loop waits for anything.
const LIMIT: Duration = Duration::from_secs(120);
