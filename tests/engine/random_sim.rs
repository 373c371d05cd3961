//! A driver with random windows, reads and delays around an engine, for `random.rs`.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio_fcgi::{
    Action, AtLimit, Body, Config, ConnectionHandle, Disconnected, Engine, Multiplex,
    RequestHandle, Retry, Stats, Tag, Timeouts, UnknownLength,
};

use crate::random::{Random, Submitted, note};
use crate::random_app::{App, Kind, request_octet};

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Connecting,
    /// Its backlog was full; the engine asks again.
    Pausing,
    Open,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Connection {
    handle: ConnectionHandle,
    server: usize,
    state: State,
    window: usize,
    pub(crate) app: App,
    pub(crate) ending: Option<Disconnected>,
    /// Edge-triggered: octets have come, or the engine said `Action::Read`, since the last read found nothing or
    /// was not wanted.
    pub(crate) ready: bool,
}

#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) requests: Vec<Submitted>,
    pub(crate) connections: Vec<Connection>,
    /// Requests that shared a connection when they began.
    pub(crate) multiplexed: usize,
    /// The driver reports what is announced to it and what its reads find, and reads first where it should.
    tells_reads: bool,
    kinds: Vec<Kind>,
    next_tag: u64,
    shut_downs: usize,
    /// Connections by server, and the highest cap since they were counted.
    before: Vec<usize>,
    most_connections: usize,
    most_requests: Option<u32>,
    /// Requests that waited after the last step.
    queued_before: usize,
}

impl Sim {
    pub(crate) fn new(random: &mut Random) -> Self {
        let servers = 1 + random.below(3);
        let address = |n| {
            format!("127.0.0.1:{}", 9000 + n)
                .parse()
                .expect("an address")
        };
        let mut config = Config::with_servers((0..servers).map(address).collect());
        config.multiplex = match random.below(3) {
            0 => Multiplex::Off,
            1 => Multiplex::On {
                max: 1 + random.below(4) as u32,
            },
            _ => Multiplex::Auto,
        };
        config.limits.max_connections = 1 + random.below(3) as usize;
        config.limits.max_idle = random.below(3) as usize;
        let most = config.limits.max_idle.min(config.limits.max_connections);
        config.limits.min_idle = random.below(most as u64 + 1) as usize;
        config.limits.idle_timeout = Duration::from_millis(500 + random.below(5_000));
        if random.chance(3) {
            config.limits.max_age = Some(Duration::from_millis(random.below(4_000)));
        }
        if random.chance(3) {
            config.limits.max_requests_per_connection = Some(1 + random.below(4) as u32);
        }
        config.limits.max_queue = random.below(8) as usize;
        config.keep_connections = !random.chance(4);
        config.connect_patience = Duration::from_secs(random.below(2));
        config.abort_grace = Duration::from_millis(random.below(2_000));
        config.stall.per_request = 1 + random.below(200) as usize;
        config.stall.per_connection = 1 + random.below(300) as usize;
        config.stall.per_client = 1 + random.below(400) as usize;
        if random.chance(2) {
            config.stall.at_limit = AtLimit::FailRequest;
        }
        config.stdin_high_water = 1 + random.below(30_000) as usize;
        config.unknown_length = match random.below(3) {
            0 => UnknownLength::Refuse,
            1 => UnknownLength::Buffer { limit: 5_000 },
            _ => UnknownLength::Stream,
        };
        if random.chance(3) {
            config.yield_after = None;
        }
        let most_requests = config.limits.max_requests_per_connection;
        let most_connections = config.limits.max_connections;
        Self {
            engine: Engine::new(config).expect("valid"),
            now: Instant::now(),
            requests: Vec::new(),
            connections: Vec::new(),
            multiplexed: 0,
            tells_reads: random.chance(2),
            kinds: (0..servers).map(|_| Kind::any(random)).collect(),
            next_tag: 1,
            shut_downs: 0,
            before: vec![0; servers as usize],
            most_connections,
            most_requests,
            queued_before: 0,
        }
    }

    pub(crate) fn submit(&mut self, random: &mut Random) {
        let tag = self.next_tag;
        let len = match random.below(4) {
            0 | 1 => 0,
            2 => random.below(300),
            _ => random.below(30_000),
        };
        let octets: Vec<u8> = (0..len).map(|at| request_octet(tag, at)).collect();
        // Some bodies are shorter or longer than they say.
        let declared = match random.below(12) {
            0 => Some(len + 1),
            1 => Some(len.saturating_sub(1)),
            2 => None,
            _ => Some(len),
        };
        let mut pushed = None;
        let body = match random.below(5) {
            0 => Body::empty(),
            1 => Body::bytes(octets),
            2 => Body::reader(io::Cursor::new(octets), declared),
            3 => Body::seekable(io::Cursor::new(octets), declared),
            _ => {
                pushed = Some((0, len));
                Body::pushed(declared)
            }
        };
        let limit = |random: &mut Random| Some(Duration::from_millis(200 + random.below(5_000)));
        let mut timeouts = Timeouts::NONE;
        timeouts.queue = limit(random);
        timeouts.write = limit(random);
        timeouts.first_octet = limit(random);
        timeouts.silence = limit(random);
        timeouts.total = limit(random).filter(|_| random.chance(3));
        let retry = [
            Retry::Never,
            Retry::IfNotSent,
            Retry::ByMethod,
            Retry::IfStale,
            Retry::IfUnanswered,
        ][random.below(5) as usize];
        let mut request = self.engine.new_request().with_body(body);
        request.params.push("T", tag.to_be_bytes());
        request = request.with_timeouts(timeouts).with_retry(retry);
        if let Ok(handle) = self.engine.submit(self.now, request, Tag(tag)) {
            self.accepted(handle, pushed);
        }
    }

    pub(crate) fn get_values(&mut self, random: &mut Random) {
        let server = random.below(self.kinds.len() as u64) as usize;
        if let Ok(handle) = self.engine.get_values(self.now, server, Tag(self.next_tag)) {
            self.accepted(handle, None);
        }
    }

    fn accepted(&mut self, handle: RequestHandle, pushed: Option<(u64, u64)>) {
        self.next_tag += 1;
        self.requests.push(Submitted {
            handle,
            pushed,
            received: 0,
            stdout_ended: false,
            outcome: None,
        });
    }

    /// More of a pushed body, or its end.
    pub(crate) fn push(&mut self, random: &mut Random) {
        let open: Vec<usize> = (0..self.requests.len())
            .filter(|index| self.requests[*index].pushed.is_some())
            .collect();
        if open.is_empty() {
            return;
        }
        let index = open[random.below(open.len() as u64) as usize];
        let Submitted { handle, pushed, .. } = self.requests[index];
        let (at, len) = pushed.unwrap_or_default();
        if at == len || random.chance(20) {
            let _ = self.engine.finish_stdin(self.now, handle);
            self.requests[index].pushed = None;
            return;
        }
        let tag = index as u64 + 1;
        let piece = 1 + random.below(len - at);
        let octets: Vec<u8> = (at..at + piece).map(|at| request_octet(tag, at)).collect();
        match self.engine.write_stdin(self.now, handle, &octets) {
            Ok(taken) => self.requests[index].pushed = Some((at + taken as u64, len)),
            Err(_) => {
                let _ = self.engine.finish_stdin(self.now, handle);
                self.requests[index].pushed = None;
            }
        }
    }

    pub(crate) fn limits(&mut self, random: &mut Random) {
        let mut limits = self.engine.config().limits;
        limits.max_connections = 1 + random.below(4) as usize;
        limits.max_idle = random.below(4) as usize;
        limits.min_idle = 0;
        limits.max_queue = random.below(8) as usize;
        self.most_connections = self.most_connections.max(limits.max_connections);
        self.engine.set_limits(self.now, limits).expect("valid");
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.engine.handle_timeout(self.now);
        // A clock that goes back does no harm.
        self.engine
            .handle_timeout(self.now - Duration::from_millis(ms / 2));
    }

    pub(crate) fn advance_to_timeout(&mut self) {
        if let Some(at) = self.engine.poll_timeout() {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            assert!(
                self.engine
                    .poll_timeout()
                    .is_none_or(|next| next > self.now),
                "a deadline that was handled is due again"
            );
        }
    }

    /// A connect succeeds or fails.
    pub(crate) fn connect(&mut self, random: &mut Random) {
        let waiting = self.indices(State::Connecting);
        if waiting.is_empty() {
            return;
        }
        let index = waiting[random.below(waiting.len() as u64) as usize];
        let refused = Disconnected::ConnectFailed(io::ErrorKind::ConnectionRefused);
        let why = match random.below(10) {
            0 | 1 => refused,
            2 => Disconnected::BacklogFull,
            _ => return self.connected(index),
        };
        self.connections[index].state = match why {
            Disconnected::BacklogFull => State::Pausing,
            _ => State::Closed,
        };
        let handle = self.connections[index].handle;
        self.engine.handle_closed(self.now, handle, why);
    }

    fn connected(&mut self, index: usize) {
        self.connections[index].state = State::Open;
        let handle = self.connections[index].handle;
        self.engine.handle_connected(self.now, handle);
    }

    fn indices(&self, state: State) -> Vec<usize> {
        (0..self.connections.len())
            .filter(|index| self.connections[*index].state == state)
            .collect()
    }

    pub(crate) fn open_connection(&self, random: &mut Random) -> Option<usize> {
        let open = self.indices(State::Open);
        open.get(random.below(open.len() as u64) as usize).copied()
    }

    pub(crate) fn open_window(&mut self, random: &mut Random) {
        if let Some(index) = self.open_connection(random) {
            self.connections[index].window += random.below(15_000) as usize;
            self.write(index);
        }
    }

    /// The selector says that a connection has something to read, or its end.
    pub(crate) fn announce(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.ready = true;
        let handle = connection.handle;
        match connection.ending {
            _ if !self.tells_reads => {}
            Some(_) => self.engine.handle_read_closed(self.now, handle),
            None => self.engine.handle_readable(self.now, handle),
        }
    }

    /// Writes what the window lets through, in pieces; the application sees it at once.
    fn write(&mut self, index: usize) {
        if self.tells_reads && self.engine.reads_first(self.connections[index].handle) {
            self.connections[index].ready = true;
            while self.connections[index].state == State::Open && self.read_from(index, 600) {}
        }
        let connection = &mut self.connections[index];
        loop {
            let mut piece = Vec::new();
            let mut room = connection.window.min(5_000);
            for slice in self.engine.transmit(connection.handle).iter() {
                let len = slice.len().min(room);
                piece.extend_from_slice(&slice[..len]);
                room -= len;
            }
            if piece.is_empty() || connection.state != State::Open {
                return;
            }
            connection.window -= piece.len();
            self.engine
                .handle_transmitted(self.now, connection.handle, piece.len());
            let together = connection.app.receive(&piece);
            self.multiplexed += together;
            if let Some(most) = self.most_requests {
                let begun = connection.app.begun;
                assert!(begun <= most, "{begun} requests on a connection");
            }
        }
    }

    pub(crate) fn read(&mut self, random: &mut Random) {
        if let Some(index) = self.open_connection(random) {
            let most = 1 + random.below(600) as usize;
            self.read_from(index, most);
        }
    }

    /// One read of at most `most` octets, when the engine wants it; false when there was nothing to do.
    fn read_from(&mut self, index: usize, most: usize) -> bool {
        let handle = self.connections[index].handle;
        if !self.connections[index].ready || !self.engine.wants_read(handle) {
            self.connections[index].ready = false;
            return false;
        }
        let inbox: &mut VecDeque<u8> = &mut self.connections[index].app.outbox;
        let len = inbox.len().min(most);
        let octets: Vec<u8> = inbox.drain(..len).collect();
        if octets.is_empty() {
            self.connections[index].ready = false;
            let Some(why) = self.connections[index].ending else {
                if self.tells_reads {
                    self.engine.handle_drained(self.now, handle);
                }
                return false;
            };
            self.connections[index].state = State::Closed;
            self.engine.handle_closed(self.now, handle, why);
            return true;
        }
        // With an edge-triggered selector a short read has emptied the socket; the end is not read yet.
        let is_short = len < most && self.connections[index].ending.is_none();
        if self.tells_reads && is_short {
            self.connections[index].ready = false;
            self.engine.handle_short_read(self.now, handle);
        }
        let mut input = &octets[..];
        while let Some(event) = self.engine.poll_received(self.now, handle, &mut input) {
            note(&mut self.requests, &mut self.shut_downs, event);
        }
        assert!(input.is_empty());
        true
    }

    /// Performs actions and takes events, at most so many.
    pub(crate) fn drain(&mut self, most: usize) {
        let mut scratch = [0; 97];
        for _ in 0..most {
            if let Some(action) = self.engine.poll_action() {
                self.perform(action);
            } else if let Some(event) = self.engine.poll_event(&mut scratch) {
                note(&mut self.requests, &mut self.shut_downs, event);
            } else {
                return self.check_servers();
            }
        }
        assert!(most < 10_000, "no rest: {:?}", self.engine);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Connect { connection, server } => {
                self.connections
                    .retain(|it| it.state != State::Closed && it.handle != connection);
                let may_share = !matches!(self.engine.config().multiplex, Multiplex::Off);
                self.connections.push(Connection {
                    handle: connection,
                    server,
                    state: State::Connecting,
                    window: 0,
                    app: App::new(self.kinds[server], may_share),
                    ending: None,
                    ready: true,
                });
            }
            Action::Close { connection, .. } => {
                for it in &mut self.connections {
                    if it.handle == connection {
                        it.state = State::Closed;
                    }
                }
            }
            Action::Flush { connection } => {
                let is_it = |it: &Connection| it.handle == connection;
                if let Some(index) = self.connections.iter().position(is_it) {
                    self.write(index);
                }
            }
            Action::Read { connection } => {
                for it in &mut self.connections {
                    it.ready |= it.handle == connection;
                }
            }
            other => panic!("an action unknown to the simulation: {other:?}"),
        }
    }

    /// For the end of a run: sockets take and give what they can; applications answer, or are silent.
    pub(crate) fn settle(&mut self, answers: bool) {
        for index in self.indices(State::Connecting) {
            self.connected(index);
        }
        for index in self.indices(State::Open) {
            self.connections[index].window = usize::MAX;
            self.write(index);
            let app = &mut self.connections[index].app;
            let before = app.outbox.len();
            if answers {
                app.answer_all();
            }
            if app.outbox.len() > before {
                self.announce(index);
            }
            while self.connections[index].state == State::Open && self.read_from(index, 8_192) {}
        }
    }

    /// What must hold after each step.
    pub(crate) fn check(&mut self) {
        // Counts what it can twice, and fails where that differs.
        let requests = self.engine.stats().requests;
        let queued = requests.waiting + requests.collecting;
        let limit = self.engine.config().limits.max_queue;
        // What waits above a limit that was lowered may wait on, and nothing joins it.
        let most = limit.max(std::mem::replace(&mut self.queued_before, queued));
        assert!(queued <= most, "{most} may wait: {:?}", self.engine);
        if !self.engine.has_output() {
            assert_eq!(self.engine.poll_action(), None);
            assert_eq!(self.engine.poll_event(&mut [0; 8]), None);
        }
    }

    /// The cap holds for each server, unless it was lowered; looked at when the driver has closed what it was
    /// told to.
    fn check_servers(&mut self) {
        for server in 0..self.kinds.len() {
            let is_open = |it: &&Connection| it.state != State::Closed && it.server == server;
            let count = self.connections.iter().filter(is_open).count();
            let most = self.most_connections.max(self.before[server]);
            assert!(count <= most, "{count} connections to server {server}");
            self.before[server] = count;
        }
        self.most_connections = self.engine.config().limits.max_connections;
    }

    /// What must hold when everything is over.
    pub(crate) fn finish(&self) {
        assert!(self.engine.is_idle(), "{:?}", self.engine);
        assert_eq!(self.shut_downs, 1, "ShutDown is reported once");
        let stats = self.engine.stats();
        let nothing = Stats::default();
        assert_eq!(stats.connections, nothing.connections);
        assert_eq!((stats.requests, stats.octets_held), (nothing.requests, 0));
        let counters = stats.counters;
        assert_eq!(counters.submitted, self.requests.len() as u64);
        assert_eq!(counters.submitted, counters.completed + counters.failed);
        for request in &self.requests {
            assert!(request.outcome.is_some(), "no End: {request:?}");
        }
    }
}
