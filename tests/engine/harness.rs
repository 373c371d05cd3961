//! A bench for the engine: it plays the driver and the application, with its own time.
//!
//! Copy it for tests of your own. A test says what the application does and looks at what came of it:
//!
//! ```text
//! let mut bench = Bench::plain();                    // one request per connection
//! bench.submit(request());                           // tags count from 1; it is connected, sent, flushed
//! bench.feed(0, records().stdout(1, "hi").end(1, 0)); // connection 0: the first that was opened
//! bench.answer(0, |id| records().stdout(id, "hi").end(id, 0)); // the same, whatever its request ID
//! assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
//! bench.finish();                                    // nothing may be left
//! ```
//!
//! Reading is edge-triggered, as with mio: bytes fed while the engine does not want to read stay in the "socket" until
//! `Action::Read`, and nobody announces them again. As a rule the driver reads at once and tells the engine nothing of
//! its sockets, as drivers may; with [`Bench::tells_reads`] it is one on readiness, and what has
//! [arrived](Bench::arrive) can be read later. Each bench checks, in every test, that no event follows a
//! request's `End`, that each accepted request gets one, and that the caps on connections hold after every step.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use mio_fcgi::wire::Demux;
use mio_fcgi::{
    Action, Config, ConnectionHandle, Disconnected, Engine, EventKind, Multiplex, OwnedEvent,
    Request, RequestHandle, ServerId, Stats, SubmitError, Tag,
};

use crate::peer::Peer;
use crate::script::{Records, Seen, Sent, config, records};

/// How the application's listener answers a connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Accept,
    Refuse,
    BacklogFull,
    /// The listener is not asked: this side has no descriptor left for a socket.
    Shortage,
    /// The connect hangs until [`Bench::accept`].
    Hang,
}

/// An engine with a driver and an application around it.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    /// Connections in the order of their first connect.
    pub(crate) peers: Vec<Peer>,
    /// Answers to the next connects; they take precedence over `servers`.
    pub(crate) answers: VecDeque<Answer>,
    /// How each server answers a connect by default.
    pub(crate) servers: Vec<Answer>,
    /// The most bytes of one read, and of one write.
    pub(crate) read_len: usize,
    pub(crate) write_len: usize,
    /// The driver reports what it knows about its sockets (what was announced, what a read found), and reads first
    /// where the engine wants that.
    pub(crate) tells_reads: bool,
    /// Set by tests that lower the limit while connections are busy.
    pub(crate) most_connections: usize,
    /// Accepted requests in the order of submission.
    pub(crate) handles: Vec<RequestHandle>,
    events: Vec<OwnedEvent>,
    /// Whether `seen` has reported the shutdown.
    is_stopped: bool,
    /// Accepted requests, and whether their `End` has come.
    requests: BTreeMap<RequestHandle, bool>,
    pub(crate) next_tag: u64,
    /// How many requests were queued when the limits were last checked.
    pub(crate) queued_before: usize,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Self {
        let servers = vec![Answer::Accept; config.servers.len()];
        Self {
            engine: Engine::new(config).expect("a test's config is valid"),
            // The only use of a clock: an origin to count from.
            now: Instant::now(),
            peers: Vec::new(),
            answers: VecDeque::new(),
            servers,
            read_len: usize::MAX,
            write_len: usize::MAX,
            tells_reads: false,
            most_connections: 0,
            handles: Vec::new(),
            events: Vec::new(),
            is_stopped: false,
            requests: BTreeMap::new(),
            next_tag: 1,
            queued_before: 0,
        }
    }

    /// One request per connection.
    pub(crate) fn plain() -> Self {
        Self::new(config(Multiplex::Off))
    }

    /// Up to `max` requests on one connection.
    pub(crate) fn shared(max: u32) -> Self {
        let mut config = config(Multiplex::On { max });
        config.limits.max_connections_per_server = 1;
        Self::new(config)
    }

    /// Submits a request under the next tag (1, 2, ...) and lets everything happen that follows.
    pub(crate) fn submit(&mut self, request: Request) -> RequestHandle {
        self.try_submit(request).expect("the request is accepted")
    }

    pub(crate) fn try_submit(&mut self, request: Request) -> Result<RequestHandle, SubmitError> {
        let handle = self.engine.submit(self.now, request, Tag(self.next_tag))?;
        self.accepted(handle);
        Ok(handle)
    }

    pub(crate) fn get_values(&mut self, server: usize) -> RequestHandle {
        let (server, tag) = (ServerId::new(server as u32), Tag(self.next_tag));
        let handle = self.engine.get_values(self.now, server, tag);
        let handle = handle.expect("not shutting down");
        self.accepted(handle);
        handle
    }

    fn accepted(&mut self, handle: RequestHandle) {
        self.note_accepted(handle);
        self.run();
    }

    pub(crate) fn note_accepted(&mut self, handle: RequestHandle) {
        self.next_tag += 1;
        assert_eq!(self.requests.insert(handle, false), None, "a new handle");
        self.handles.push(handle);
    }

    /// Calls a command of the engine, then lets everything happen that follows.
    pub(crate) fn command<T>(&mut self, command: impl FnOnce(&mut Engine, Instant) -> T) -> T {
        let result = command(&mut self.engine, self.now);
        self.run();
        result
    }

    /// Bytes arrive on a connection.
    pub(crate) fn feed(&mut self, peer: usize, bytes: impl AsRef<[u8]>) {
        self.arrive(peer, bytes);
        self.catch_up(peer);
    }

    /// The request ID of a connection's last `FCGI_BEGIN_REQUEST`: on a plain connection the ID of the request in
    /// flight, or of the last one.
    pub(crate) fn id(&self, peer: usize) -> u16 {
        let id = self.peers[peer].begun;
        assert_ne!(id, 0, "no request was begun on connection {peer}");
        id
    }

    /// The application answers the request that was begun last on a connection.
    pub(crate) fn answer(&mut self, peer: usize, answer: impl FnOnce(u16) -> Records) {
        let records = answer(self.id(peer));
        self.feed(peer, records);
    }

    /// The application completes that request without output.
    pub(crate) fn end(&mut self, peer: usize) {
        self.answer(peer, |id| records().end(id, 0));
    }

    /// Bytes arrive and are announced. They are read by [`catch_up`](Self::catch_up), or when the engine asks for a
    /// read.
    pub(crate) fn arrive(&mut self, peer: usize, bytes: impl AsRef<[u8]>) {
        self.peers[peer].inbox.extend(bytes.as_ref());
        let handle = self.peers[peer].handle;
        if self.tells_reads {
            self.engine.handle_readable(self.now, handle);
        }
    }

    /// The end of the application's stream arrives, and is announced as in [`arrive`](Self::arrive).
    pub(crate) fn arrive_end(&mut self, peer: usize) {
        self.peers[peer].ending = Some(Disconnected::Eof);
        let handle = self.peers[peer].handle;
        if self.tells_reads {
            self.engine.handle_read_closed(self.now, handle);
        }
    }

    /// The driver reads what has arrived.
    pub(crate) fn catch_up(&mut self, peer: usize) {
        self.read(peer);
        self.run();
    }

    /// The application closes a connection after what it has sent.
    pub(crate) fn eof(&mut self, peer: usize) {
        self.lose(peer, Disconnected::Eof);
    }

    /// The application resets a connection. What arrived before the reset can still be read.
    pub(crate) fn reset(&mut self, peer: usize) {
        self.lose(peer, Disconnected::Failed(io::ErrorKind::ConnectionReset));
    }

    fn lose(&mut self, peer: usize, why: Disconnected) {
        self.arrive_end(peer);
        self.peers[peer].ending = Some(why);
        self.catch_up(peer);
    }

    /// A connect that hung succeeds.
    pub(crate) fn accept(&mut self, peer: usize) {
        let handle = self.peers[peer].handle;
        self.engine.handle_connected(self.now, handle);
        self.run();
    }

    /// The "socket" takes `len` more bytes.
    pub(crate) fn open_window(&mut self, peer: usize, len: usize) {
        self.peers[peer].window = self.peers[peer].window.saturating_add(len);
        self.write(peer);
        self.run();
    }

    /// Lets time pass, stopping at each deadline on the way.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            let due = self.engine.deadline(self.now);
            match due.filter(|at| *at <= end) {
                Some(at) => self.wake(at),
                None => return self.wake(end),
            }
        }
        panic!("deadlines that never go away: {:?}", self.engine);
    }

    /// Lets time pass up to the next deadline; false when there is none.
    pub(crate) fn advance_to_timeout(&mut self) -> bool {
        let next = self.engine.deadline(self.now);
        if let Some(at) = next {
            self.wake(at);
        }
        next.is_some()
    }

    fn wake(&mut self, now: Instant) {
        self.now = now;
        self.engine.handle_timeout(now);
        self.run();
    }

    /// What the engine has sent on a connection since the last call, record by record.
    pub(crate) fn sent(&mut self, peer: usize) -> Vec<Sent> {
        let peer = &mut self.peers[peer];
        let mut input = &peer.sent[peer.shown..];
        let mut items = Vec::new();
        while let Some(item) = peer.demux.next(&mut input).expect("FastCGI is sent") {
            items.push(Sent::from(item));
        }
        peer.shown = peer.sent.len();
        items
    }

    /// The connections on which something was sent since their last `sent` call.
    pub(crate) fn talked_to(&self) -> Vec<usize> {
        let peers = self.peers.iter().enumerate();
        let talked = peers.filter(|(_, peer)| peer.sent.len() > peer.shown);
        talked.map(|(index, _)| index).collect()
    }

    /// Every event since the last call.
    pub(crate) fn events(&mut self) -> Vec<OwnedEvent> {
        std::mem::take(&mut self.events)
    }

    /// The events since the last call, shortened and independent of how bytes were cut.
    pub(crate) fn seen(&mut self) -> Vec<Seen> {
        let mut seen = Seen::all(&self.events());
        if self.engine.is_shut_down() && !std::mem::replace(&mut self.is_stopped, true) {
            seen.push(Seen::ShutDown);
        }
        seen
    }

    pub(crate) fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Shuts down without a deadline and checks that no request and no connection is left.
    pub(crate) fn finish(mut self) {
        self.engine.shutdown(self.now, None);
        self.run();
        // Aborts have grace times, and backoff has pauses.
        self.advance(Duration::from_secs(60));
        let all_ended = self.requests.values().all(|ended| *ended);
        assert!(all_ended, "requests without an End: {:?}", self.requests);
        assert!(
            self.engine.is_idle(),
            "something is left: {:?}",
            self.engine
        );
        let (stats, nothing) = (self.stats(), Stats::default());
        let counters = stats.counters;
        assert_eq!(stats.connections, nothing.connections);
        assert_eq!(stats.requests, nothing.requests);
        assert_eq!(stats.bytes_buffered, 0);
        assert_eq!(counters.submitted, self.requests.len() as u64);
        assert_eq!(counters.completed + counters.failed, counters.submitted);
        assert!(self.engine.is_shut_down());
        assert_eq!(
            self.engine.deadline(self.now),
            None,
            "nobody is left to be woken"
        );
    }

    /// Performs actions and takes events until there are none.
    pub(crate) fn run(&mut self) {
        let mut scratch = [0; 4096];
        for _ in 0..1_000_000 {
            self.check_caps();
            if let Some(action) = self.engine.poll_action() {
                self.perform(action);
            } else if let Some(event) = self.engine.poll_pending(&mut scratch) {
                let event = event.into_owned();
                self.note(event);
            } else {
                return;
            }
        }
        panic!("the engine never comes to rest: {:?}", self.engine);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Connect { connection, server } => self.dial(connection, server),
            Action::Close { connection, reason } => {
                if let Some(peer) = self.peer_of(connection) {
                    let before = self.peers[peer].closed.replace(reason);
                    assert_eq!(before, None, "connection {peer} is closed once");
                }
            }
            Action::Flush { connection } => {
                let peer = self.peer_of(connection).expect("connected before flushed");
                self.write(peer);
            }
            Action::Read { connection } => {
                let peer = self.peer_of(connection).expect("connected before read");
                self.read(peer);
            }
            other => panic!("an action unknown to the bench: {other:?}"),
        }
    }

    fn dial(&mut self, handle: ConnectionHandle, server: ServerId) {
        let server = server.number() as usize;
        if self.peer_of(handle).is_none() {
            self.peers.push(Peer {
                handle,
                server,
                closed: None,
                window: usize::MAX,
                sent: Vec::new(),
                shown: 0,
                demux: Demux::default(),
                begun: 0,
                begins: Demux::default(),
                inbox: VecDeque::new(),
                ending: None,
            });
        }
        let why = match self.answers.pop_front().unwrap_or(self.servers[server]) {
            Answer::Accept => return self.engine.handle_connected(self.now, handle),
            Answer::Refuse => Disconnected::ConnectFailed(io::ErrorKind::ConnectionRefused),
            Answer::BacklogFull => Disconnected::BacklogFull,
            Answer::Shortage => Disconnected::Shortage(io::ErrorKind::Other),
            Answer::Hang => return,
        };
        self.engine.handle_closed(self.now, handle, why);
    }

    fn peer_of(&self, handle: ConnectionHandle) -> Option<usize> {
        self.peers.iter().rposition(|peer| peer.handle == handle)
    }

    /// Writes until the engine has nothing to send, or the "socket" is full.
    fn write(&mut self, peer: usize) {
        if self.tells_reads && self.engine.reads_first(self.peers[peer].handle) {
            self.read(peer);
        }
        let peer = &mut self.peers[peer];
        loop {
            let written = peer.take(&self.engine.transmit(peer.handle), self.write_len);
            if written == 0 {
                return;
            }
            self.engine
                .handle_transmitted(self.now, peer.handle, written);
        }
    }

    /// Reads until the "socket" is empty, or the engine does not want more. If the end was announced or the read was
    /// full, only the next read shows what follows.
    fn read(&mut self, peer: usize) {
        let handle = self.peers[peer].handle;
        while self.engine.wants_read(handle) {
            let len = self.peers[peer].inbox.len().min(self.read_len);
            if len == 0 {
                match self.peers[peer].ending.take() {
                    Some(why) => self.engine.handle_closed(self.now, handle, why),
                    None if self.tells_reads => self.engine.handle_drained(self.now, handle),
                    None => {}
                }
                return;
            }
            let is_last = len < self.read_len && self.peers[peer].ending.is_none();
            if self.tells_reads && is_last {
                self.engine.handle_short_read(self.now, handle);
            } else if self.tells_reads {
                self.engine.handle_readable(self.now, handle);
            }
            let bytes: Vec<u8> = self.peers[peer].inbox.drain(..len).collect();
            let mut input = &bytes[..];
            while let Some(event) = self.engine.poll_received(self.now, handle, &mut input) {
                let event = event.into_owned();
                self.note(event);
            }
            assert!(input.is_empty(), "None leaves nothing behind");
            if self.tells_reads && is_last {
                return;
            }
        }
    }

    pub(crate) fn note(&mut self, event: OwnedEvent) {
        if let EventKind::Stdout(data) | EventKind::Stderr(data) = &event.kind {
            assert!(!data.is_empty(), "output is never empty");
        }
        // An `End` may come out before `submit` has returned the handle.
        let ended = self.requests.entry(event.request).or_insert(false);
        assert!(!*ended, "an event after End: {event:?}");
        *ended = matches!(event.kind, EventKind::End(_));
        self.events.push(event);
    }

    fn check_caps(&mut self) {
        let config = self.engine.config();
        let stats = self.stats();
        let gauges = stats.connections;
        let servers = config.servers.len();
        let limit = config.limits.max_connections_per_server;
        let most = self.most_connections.max(limit);
        let most = most.saturating_mul(servers);
        let all = gauges.connecting + gauges.probing + gauges.idle + gauges.busy + gauges.draining;
        assert!(all <= most, "{gauges:?}, but {most} are allowed");
        let most = config.limits.max_idle_per_server.saturating_mul(servers);
        assert!(gauges.idle <= most, "{gauges:?}, but {most} idle ones");
        // Requests queued above a lowered limit stay queued, and no further one is queued.
        let most = config.limits.max_queued_requests.max(self.queued_before);
        self.queued_before = stats.requests.queued + stats.requests.buffering;
        assert!(self.queued_before <= most, "{:?}", stats.requests);
    }
}
