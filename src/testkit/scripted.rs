//! An application that follows scripts.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::application::{Application, Replies};
use super::exchange::Exchange;
use super::habits::{Habits, Reads};
use super::script::{Received, Script};
use super::wire::End;
use crate::wire::{DecodeError, HEADER_LEN, Item, RecordType};

/// An application that asks a closure what to do with each request when it turns to it.
///
/// It behaves by its [`Habits`], [`Habits::ideal`] unless others are given. Two requests of one connection with the same ID
/// at a time, which no client may send, are served as they come.
///
/// ```
/// use mio_fcgi::testkit::{Habits, Script, Scripted};
///
/// let application = Scripted::new(|request| match request.param("SCRIPT_NAME") {
///     Some(b"/slow.php") => Script::new(), // never answers
///     _ => Script::answer("Content-Type: text/plain\r\n\r\nhello"),
/// })
/// .with_habits(Habits::php_fpm(4));
/// # drop(application);
/// ```
pub struct Scripted {
    pub(super) answer: Box<dyn FnMut(&Received) -> Script>,
    pub(super) habits: Habits,
    pub(super) connections: BTreeMap<usize, Connection>,
    pub(super) exchanges: BTreeMap<u64, Exchange>,
    pub(super) next_exchange: u64,
    /// Connections that no worker has turned to.
    waiting: VecDeque<usize>,
    busy_workers: usize,
    pub(super) last_status: u32,
}

#[derive(Debug, Default)]
pub(super) struct Connection {
    /// IDs in use.
    pub(super) live: BTreeMap<u16, u64>,
    /// The request that has ended last.
    pub(super) last_id: Option<u16>,
    pub(super) question: Vec<u8>,
    /// An answer to `FCGI_GET_VALUES` that waits for another octet.
    pub(super) unsent: Option<Vec<u8>>,
    /// Of the record being read: octets of content to come, whether there is padding, whether it was judged.
    pub(super) content_left: usize,
    pub(super) content_len: usize,
    pub(super) is_padded: bool,
    pub(super) is_judged: bool,
    has_worker: bool,
    reads: bool,
    pub(super) closes_after_answer: bool,
    /// The next octet costs the connection.
    pub(super) is_doomed: bool,
    /// Its direction is over: what comes is thrown away.
    pub(super) is_deaf: bool,
}

impl Scripted {
    /// An application that answers each request with the script that `answer` makes.
    pub fn new(answer: impl FnMut(&Received) -> Script + 'static) -> Self {
        Self {
            answer: Box::new(answer),
            habits: Habits::ideal(),
            connections: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            waiting: VecDeque::new(),
            busy_workers: 0,
            last_status: 0,
        }
    }

    /// Gives it other habits.
    #[must_use]
    pub fn with_habits(mut self, habits: Habits) -> Self {
        self.habits = habits;
        self
    }

    /// The request that a record belongs to.
    pub(super) fn live(&self, connection: usize, id: u16) -> Option<u64> {
        let live = &self.connections.get(&connection)?.live;
        match self.habits.compares_ids {
            true => live.get(&id).copied(),
            false => live.values().next().copied(),
        }
    }

    /// Ends a connection that is broken.
    pub(super) fn refuse(&mut self, connection: usize, replies: &mut Replies) {
        match self.habits.refuses_with {
            End::Fin => replies.close(connection),
            End::Reset => replies.reset(connection),
        }
        self.forget(connection, replies);
    }

    pub(super) fn hang_up(&mut self, connection: usize, replies: &mut Replies) {
        replies.close(connection);
        self.forget(connection, replies);
    }

    pub(super) fn forget(&mut self, connection: usize, replies: &mut Replies) {
        self.exchanges
            .retain(|_, exchange| exchange.received.connection != connection);
        if let Some(own) = self.connections.remove(&connection)
            && own.has_worker
        {
            self.busy_workers -= 1;
            self.employ(replies);
        }
    }

    /// Lets free workers turn to connections that wait.
    fn employ(&mut self, replies: &mut Replies) {
        let most = self.habits.workers.unwrap_or(usize::MAX);
        while self.busy_workers < most
            && let Some(connection) = self.waiting.pop_front()
        {
            if let Some(own) = self.connections.get_mut(&connection) {
                own.has_worker = true;
                self.busy_workers += 1;
                self.turn(connection, replies);
            }
        }
    }

    /// Requests that have not ended, or whose scripts run on.
    fn exchanges_of(&self, connection: usize) -> impl Iterator<Item = &Exchange> {
        let all = self.exchanges.values();
        all.filter(move |exchange| exchange.received.connection == connection)
    }

    /// Reads, or stops reading, as it does by habit.
    pub(super) fn turn(&mut self, connection: usize, replies: &mut Replies) {
        let Some(own) = self.connections.get(&connection) else {
            return;
        };
        let reads = (own.has_worker || self.habits.workers.is_none())
            && match self.habits.reads {
                Reads::Always => true,
                Reads::OnDemand => self
                    .exchanges_of(connection)
                    .all(|exchange| !exchange.has_started || exchange.awaits_stdin()),
                Reads::UntilUnused => !self
                    .exchanges_of(connection)
                    .any(|exchange| exchange.has_unused),
            };
        if let Some(own) = self.connections.get_mut(&connection)
            && std::mem::replace(&mut own.reads, reads) != reads
        {
            replies.read(connection, reads);
        }
    }
}

impl Application for Scripted {
    fn accepted(&mut self, connection: usize, replies: &mut Replies) {
        let own = Connection {
            reads: true,
            ..Connection::default()
        };
        self.connections.insert(connection, own);
        if self.habits.workers.is_some() {
            self.waiting.push_back(connection);
            self.employ(replies);
            self.turn(connection, replies);
        }
    }

    fn begins(
        &mut self,
        connection: usize,
        header: [u8; HEADER_LEN],
        replies: &mut Replies,
    ) -> bool {
        self.header(connection, header, replies)
    }

    fn received(&mut self, connection: usize, item: Item<'_>, replies: &mut Replies) {
        let is_deaf = |own: &Connection| own.is_deaf;
        if self.connections.get(&connection).is_none_or(is_deaf) {
            return;
        }
        let knows_only_one = self.habits.knows_only_id_one;
        let known = |id: u16| if knows_only_one { 1 } else { id };
        match item {
            Item::Begin { request_id, body } => {
                self.begin(connection, known(request_id), body, replies);
            }
            Item::Abort { request_id } => self.abort(connection, known(request_id), replies),
            Item::Stream {
                record_type,
                request_id,
                data,
            } => self.stream(connection, record_type, known(request_id), data, replies),
            Item::StreamEnd {
                record_type,
                request_id,
            } => self.stream(connection, record_type, known(request_id), &[], replies),
            Item::Values {
                record_type: RecordType::GetValues,
                data,
                last,
                ..
            } => self.question(connection, data, last, replies),
            Item::Unassigned {
                record_type,
                request_id,
            } => self.unknown(connection, record_type, request_id, replies),
            Item::End { request_id, .. } => {
                let record_type = RecordType::EndRequest;
                self.misplaced(connection, record_type, request_id, replies);
            }
            Item::UnknownType { request_id, .. } => {
                let record_type = RecordType::UnknownType;
                self.misplaced(connection, record_type, request_id, replies);
            }
            Item::Values {
                record_type,
                request_id,
                ..
            } => self.misplaced(connection, record_type, request_id, replies),
        }
        self.turn(connection, replies);
    }

    fn broken(&mut self, connection: usize, _error: DecodeError, replies: &mut Replies) {
        self.refuse(connection, replies);
    }

    fn closed(&mut self, connection: usize, replies: &mut Replies) {
        replies.close(connection);
        self.forget(connection, replies);
    }

    fn woken(&mut self, connection: usize, token: u64, replies: &mut Replies) {
        if let Some(exchange) = self.exchanges.get_mut(&token) {
            exchange.is_waiting = false;
            self.run(token, replies);
            self.turn(connection, replies);
        }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("habits", &self.habits)
            .field("connections", &self.connections.len())
            .field("requests", &self.exchanges.len())
            .finish_non_exhaustive()
    }
}
