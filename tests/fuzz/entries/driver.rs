//! Drives an engine as a program would, and checks its events and actions against the promises.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mio_fcgi::{
    Action, Config, ConnectionHandle, Disconnected, Engine, Event, EventKind, Limits, Multiplex,
    Request, RequestHandle, Server, ServerId, SubmitError, Tag,
};

use super::asked::{Asked, note};
use super::ceilings::Ceilings;
use super::far::{Far, Manners};

pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) now: Instant,
    pub(super) links: Vec<Link>,
    pub(super) requests: BTreeMap<u64, Asked>,
    /// What is done when output comes.
    pub(super) reaction: u8,
    /// The application's bytes are random, so nothing is known about their meaning.
    pub(super) is_wild: bool,
    /// New connections have an application that reads bytes and ignores them.
    pub(super) is_deaf: bool,
    next_tag: u64,
    manners: Manners,
    /// The numbers of servers, with the tags of requests that they got.
    pub(super) seen: Vec<(usize, u64)>,
    pub(super) refused: Vec<u64>,
    /// Servers that said that requests may share a connection.
    sharing: Vec<usize>,
    ceilings: Ceilings,
    is_stopping: bool,
}

/// One connection: a socket that is open or being opened, and the application's side.
pub(super) struct Link {
    connection: ConnectionHandle,
    pub(super) server: usize,
    pub(super) is_open: bool,
    is_deaf: bool,
    pub(super) far: Far,
}

impl Driver {
    pub(super) fn new(config: Config) -> Self {
        let sharing = match config.multiplex {
            Multiplex::Off => Some(1),
            Multiplex::On { max } => Some(max),
            _ => None,
        };
        let manners = Manners {
            sharing,
            keeps: config.keep_connections,
        };
        let engine = Engine::new(config).expect("the configuration is valid");
        let now = Instant::now();
        Self {
            ceilings: Ceilings::new(&engine, now),
            engine,
            now,
            links: Vec::new(),
            requests: BTreeMap::new(),
            reaction: 0,
            is_wild: false,
            is_deaf: false,
            next_tag: 1,
            manners,
            seen: Vec::new(),
            refused: Vec::new(),
            sharing: Vec::new(),
            is_stopping: false,
        }
    }

    /// Tags count from 1.
    pub(super) fn next_tag(&self) -> u64 {
        self.next_tag
    }

    pub(super) fn submit(&mut self, mut request: Request) {
        let tag = self.next_tag;
        request.params.push("TAG", tag.to_string());
        let (timeouts, named) = (request.timeouts, request.server);
        let timeouts = timeouts.unwrap_or_else(|| self.engine.config().timeouts);
        match self.engine.submit(self.now, request, Tag(tag)) {
            Ok(handle) => {
                assert!(!self.is_stopping, "accepted after shutdown");
                self.add(handle, timeouts.total, named);
            }
            Err(refused) => {
                if let SubmitError::QueueFull { limit } = refused.error {
                    let gauges = self.engine.stats().requests;
                    let waiting = gauges.queued + gauges.buffering;
                    assert!(waiting >= limit, "{waiting} of {limit} are no full queue");
                }
            }
        }
    }

    pub(super) fn get_values(&mut self, server: usize) {
        let (tag, server) = (Tag(self.next_tag), ServerId::new(server as u32));
        if let Ok(handle) = self.engine.get_values(self.now, server, tag) {
            self.add(handle, None, Some(server));
        }
    }

    fn add(&mut self, handle: RequestHandle, total: Option<Duration>, named: Option<ServerId>) {
        let asked = Asked {
            handle,
            submitted: self.now,
            named,
            total,
            pushed: 0,
            is_paused: false,
            stdout: 0,
            stderr: 0,
            stdout_ended: false,
            outcome: None,
        };
        self.requests.insert(self.next_tag, asked);
        self.next_tag += 1;
    }

    /// One of the requests, the last ones first.
    pub(super) fn tag(&self, place: u8) -> Option<u64> {
        let place = usize::from(place) % self.requests.len().max(1);
        self.requests.keys().rev().nth(place).copied()
    }

    pub(super) fn pause(&mut self, tag: u64) {
        let asked = self.requests.get_mut(&tag).expect("it was submitted");
        // A probe has no output but its end.
        asked.is_paused = asked.outcome.is_none();
        self.engine.pause(self.now, asked.handle);
    }

    pub(super) fn resume(&mut self, tag: u64) {
        let asked = self.requests.get_mut(&tag).expect("it was submitted");
        asked.is_paused = false;
        self.engine.resume(self.now, asked.handle);
    }

    /// Sets limits, which may be invalid: then nothing changes.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        let before = self.engine.config().limits;
        let changed = self.engine.set_limits(self.now, limits);
        assert_eq!(changed, limits.validate());
        let now = self.engine.config().limits;
        assert_eq!(now, if changed.is_ok() { limits } else { before });
        self.ceilings.set(&self.engine);
    }

    /// Sets the list of servers. Returns false if it is invalid: then nothing changes.
    pub(super) fn set_servers(&mut self, list: Vec<Server>) -> bool {
        let is_set = self.engine.set_servers(self.now, list).is_ok();
        self.ceilings.set(&self.engine);
        is_set
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn time_out(&mut self) {
        self.engine.handle_timeout(self.now);
        let wait = self.engine.timeout(self.now);
        assert_ne!(wait, Some(Duration::ZERO), "due again at once");
        self.take_events();
        for (tag, asked) in &self.requests {
            let is_due = asked
                .total
                .is_some_and(|total| self.now >= asked.submitted + total);
            assert!(
                !is_due || asked.outcome.is_some(),
                "the total limit of {tag} was missed"
            );
        }
    }

    pub(super) fn shutdown(&mut self, deadline: Option<Instant>) {
        self.is_stopping = true;
        self.engine.shutdown(self.now, deadline);
    }

    pub(super) fn take_events(&mut self) {
        let mut scratch = [0; 300];
        let mut left = 100_000;
        while let Some(event) = self.engine.poll_pending(&mut scratch) {
            note(&mut self.requests, self.is_wild, &event);
            self.react(&event);
            left -= 1;
            assert!(left > 0, "events without end");
        }
    }

    /// Commands in the middle of events.
    fn react(&mut self, event: &Event<&[u8]>) {
        let EventKind::Stdout(_) = event.kind else {
            return;
        };
        let tag = event.tag;
        match std::mem::take(&mut self.reaction) % 4 {
            1 => self.pause(tag.0),
            2 => self.engine.abort(self.now, self.requests[&tag.0].handle),
            3 => {
                self.pause(tag.0);
                self.resume(tag.0);
            }
            _ => {}
        }
    }

    /// Takes one action; what it asks for is done if `does` says so.
    pub(super) fn take_action(&mut self, does: bool) -> bool {
        let Some(action) = self.engine.poll_action() else {
            return false;
        };
        match action {
            Action::Connect { connection, server } => {
                let is_new = self.place(connection).is_none();
                if is_new {
                    let far = Far::new(self.manners);
                    let (is_open, is_deaf) = (false, self.is_deaf);
                    self.links.push(Link {
                        connection,
                        server: server.number() as usize,
                        is_open,
                        is_deaf,
                        far,
                    });
                }
                if does && let Some(place) = self.place(connection) {
                    self.connected(place);
                }
            }
            Action::Close { connection, .. } => {
                if let Some(place) = self.place(connection) {
                    self.remove(place);
                }
            }
            Action::Flush { connection } => {
                if does && let Some(place) = self.place(connection) {
                    self.transmit(place, usize::MAX);
                }
            }
            _ => {}
        }
        true
    }

    /// Takes every action and does what it asks for.
    pub(super) fn act(&mut self) {
        let mut left = 100_000;
        while self.take_action(true) {
            self.take_events();
            left -= 1;
            assert!(left > 0, "actions without end");
        }
        self.take_events();
    }

    fn place(&self, connection: ConnectionHandle) -> Option<usize> {
        self.links
            .iter()
            .position(|link| link.connection == connection)
    }

    pub(super) fn link(&self, choice: u8) -> Option<usize> {
        (!self.links.is_empty()).then(|| usize::from(choice) % self.links.len())
    }

    pub(super) fn remove(&mut self, place: usize) {
        let link = self.links.remove(place);
        let seen = link.far.seen.into_iter();
        self.seen.extend(seen.map(|tag| (link.server, tag)));
        self.refused.extend(link.far.refused);
        if link.far.says_yes {
            self.sharing.push(link.server);
        }
    }

    pub(super) fn connected(&mut self, place: usize) {
        let link = &mut self.links[place];
        if !std::mem::replace(&mut link.is_open, true) {
            self.engine.handle_connected(self.now, link.connection);
        }
    }

    /// The connection is lost, or its connect fails.
    pub(super) fn lose(&mut self, place: usize, how: u8) {
        let link = &self.links[place];
        let (connection, kind) = (link.connection, std::io::ErrorKind::ConnectionRefused);
        let why = match (link.is_open, how % 2) {
            (false, 0) => Disconnected::ConnectFailed(kind),
            // The engine asks for the connect again.
            (false, _) => {
                return self
                    .engine
                    .handle_closed(self.now, connection, Disconnected::BacklogFull);
            }
            (true, 0) => Disconnected::Eof,
            (true, _) => Disconnected::Failed(std::io::ErrorKind::ConnectionReset),
        };
        self.remove(place);
        self.engine.handle_closed(self.now, connection, why);
    }

    /// Writes at most `most` bytes to the application.
    pub(super) fn transmit(&mut self, place: usize, most: usize) -> bool {
        let link = &mut self.links[place];
        let mut left = most;
        while left > 0 {
            let mut taken = Vec::new();
            for slice in self.engine.transmit(link.connection).iter() {
                let len = slice.len().min(left - taken.len());
                taken.extend_from_slice(&slice[..len]);
            }
            assert_eq!(taken.is_empty(), !self.engine.wants_write(link.connection));
            if taken.is_empty() {
                break;
            }
            assert!(link.is_open, "bytes for a connection that is not open");
            if !link.is_deaf {
                link.far.receive(&taken);
            }
            left -= taken.len();
            self.engine
                .handle_transmitted(self.now, link.connection, taken.len());
        }
        left < most
    }

    /// Reads what the application has sent.
    pub(super) fn read(&mut self, place: usize, most: usize) -> bool {
        let outbox = &mut self.links[place].far.outbox;
        let len = outbox.len().min(most).min(LONGEST_READ);
        let bytes: Vec<u8> = outbox.drain(..len).collect();
        self.feed(place, &bytes) || self.put_back(place, bytes)
    }

    fn put_back(&mut self, place: usize, bytes: Vec<u8>) -> bool {
        if let Some(link) = self.links.get_mut(place) {
            link.far.outbox.splice(..0, bytes);
        }
        false
    }

    /// Feeds bytes to the engine. Does nothing and returns false if the engine does not want to read.
    pub(super) fn feed(&mut self, place: usize, bytes: &[u8]) -> bool {
        let connection = self.links[place].connection;
        if bytes.is_empty() || !self.engine.wants_read(connection) {
            return false;
        }
        assert!(self.links[place].is_open, "wants to read before it is open");
        let mut input = bytes;
        while let Some(event) = self.engine.poll_received(self.now, connection, &mut input) {
            note(&mut self.requests, self.is_wild, &event);
            self.react(&event);
        }
        assert!(input.is_empty());
        true
    }

    /// Checks what holds at every moment.
    pub(super) fn check(&mut self) {
        self.ceilings.check(&self.engine, self.now);
        let stats = self.engine.stats();
        if !self.engine.has_output() {
            let connections = self.engine.servers(self.now).map(|it| it.connections);
            assert_eq!(connections.sum::<usize>(), self.links.len());
            for info in self.engine.servers(self.now) {
                let number = info.server.number() as usize;
                let links = self.links.iter().filter(|it| it.server == number);
                assert_eq!(links.count(), info.connections, "{info}");
            }
        }
        let requests = stats.requests;
        let counters = &stats.counters;
        let waiting = requests.queued + requests.connecting;
        let unended = requests.buffering + waiting + requests.active + requests.draining;
        assert_eq!(counters.submitted, self.next_tag - 1);
        assert_eq!(
            counters.submitted - counters.completed - counters.failed,
            unended as u64
        );
        let rests = 2 * LONGEST_READ * (self.links.len() + requests.draining + 1);
        let held = stats.bytes_buffered;
        assert!(
            held <= self.engine.config().pause_buffer.per_client + rests,
            "{held} held"
        );
        for link in &self.links {
            let server = link.server;
            let said_yes = |other: &Link| other.server == server && other.far.says_yes;
            assert!(
                !link.far.is_shared
                    || self.manners.sharing.is_some()
                    || self.sharing.contains(&server)
                    || self.links.iter().any(said_yes),
                "shared without a yes"
            );
            self.ceilings.check_connection(link.far.begun);
        }
    }
}

/// The caller's buffer.
const LONGEST_READ: usize = 4096;
