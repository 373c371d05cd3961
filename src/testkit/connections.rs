//! The connections of a scripted application, the requests on them, and the workers that serve them.

use std::collections::{BTreeMap, VecDeque};

use super::application::Replies;
use super::details::{Details, Reads};
use super::exchange::Exchange;
use super::link::CloseKind;
use crate::wire::{HEADER_LEN, Role};

/// All connections by their numbers, and all requests by keys. No key is used twice.
#[derive(Default)]
pub(super) struct Connections {
    quirks: Details,
    connections: BTreeMap<usize, Connection>,
    exchanges: BTreeMap<u64, Exchange>,
    next_exchange: u64,
    /// Connections that wait for a worker.
    waiting: VecDeque<usize>,
    busy_workers: usize,
}

/// One connection, as the application sees it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// The keys of requests, by the IDs that are in use.
    live: BTreeMap<u16, u64>,
    /// The ID of the last request that has ended.
    last_id: Option<u16>,
    /// The content of an `FCGI_GET_VALUES` record, as far as it has arrived.
    question: Vec<u8>,
    /// An answer to `FCGI_GET_VALUES` that waits for another byte.
    unsent: Option<Vec<u8>>,
    /// Bytes of content in the record that is being read.
    content_len: usize,
    /// Bytes of content that are still missing from the record that is being read.
    content_left: usize,
    /// The record that is being read has padding.
    is_padded: bool,
    /// The record that is being read has no place, and what follows from that was done.
    is_judged: bool,
    has_worker: bool,
    reads: bool,
    closes_after_answer: bool,
    /// The connection is ended when the next record begins.
    is_doomed: bool,
    /// The application has ended its direction: whatever arrives is discarded.
    is_deaf: bool,
}

impl Connections {
    pub(super) fn quirks(&self) -> &Details {
        &self.quirks
    }

    pub(super) fn set_quirks(&mut self, quirks: Details) {
        self.quirks = quirks;
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// The number of requests that have not ended, or whose behaviors go on after their end.
    pub(super) fn exchanges_len(&self) -> usize {
        self.exchanges.len()
    }

    pub(super) fn get(&self, connection: usize) -> Option<&Connection> {
        self.connections.get(&connection)
    }

    pub(super) fn get_mut(&mut self, connection: usize) -> Option<&mut Connection> {
        self.connections.get_mut(&connection)
    }

    pub(super) fn exchange(&self, key: u64) -> Option<&Exchange> {
        self.exchanges.get(&key)
    }

    pub(super) fn exchange_mut(&mut self, key: u64) -> Option<&mut Exchange> {
        self.exchanges.get_mut(&key)
    }

    /// The request that a record belongs to.
    pub(super) fn live(&self, connection: usize, id: u16) -> Option<u64> {
        let connection = self.get(connection)?;
        match self.quirks.compares_ids {
            true => connection.live(id),
            false => connection.first(),
        }
    }

    /// A connection was made.
    pub(super) fn accept(&mut self, connection: usize, replies: &mut Replies) {
        let own = Connection {
            reads: true,
            ..Connection::default()
        };
        self.connections.insert(connection, own);
        if self.quirks.workers.is_some() {
            self.waiting.push_back(connection);
            self.employ(replies);
            self.turn(connection, replies);
        }
    }

    /// A request begins.
    pub(super) fn begin(&mut self, connection: usize, id: u16, role: Role, keep: bool) {
        if let Some(own) = self.connections.get_mut(&connection) {
            let key = self.next_exchange;
            self.next_exchange += 1;
            own.live.insert(id, key);
            let exchange = Exchange::new(connection, id, role, keep);
            self.exchanges.insert(key, exchange);
        }
    }

    /// Forgets a request whose behavior is over.
    pub(super) fn remove_exchange(&mut self, key: u64) {
        self.exchanges.remove(&key);
    }

    /// Ends a connection on which the client has sent what is not accepted, by close or reset as the quirk is.
    pub(super) fn refuse(&mut self, connection: usize, replies: &mut Replies) {
        match self.quirks.refuses_with {
            CloseKind::Fin => self.close(connection, replies),
            CloseKind::Reset => self.reset(connection, replies),
        }
    }

    pub(super) fn close(&mut self, connection: usize, replies: &mut Replies) {
        replies.close(connection);
        self.remove(connection, replies);
    }

    pub(super) fn reset(&mut self, connection: usize, replies: &mut Replies) {
        replies.reset(connection);
        self.remove(connection, replies);
    }

    fn remove(&mut self, connection: usize, replies: &mut Replies) {
        self.exchanges
            .retain(|_, exchange| exchange.connection() != connection);
        if let Some(own) = self.connections.remove(&connection)
            && own.has_worker
        {
            self.busy_workers -= 1;
            self.employ(replies);
        }
    }

    /// Gives waiting connections to free workers.
    fn employ(&mut self, replies: &mut Replies) {
        let most = self.quirks.workers.unwrap_or(usize::MAX);
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

    /// Starts or stops reading a connection, as the quirks are.
    pub(super) fn turn(&mut self, connection: usize, replies: &mut Replies) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        let all = self.exchanges.values();
        let mut exchanges = all.filter(|exchange| exchange.connection() == connection);
        let reads = (own.has_worker || self.quirks.workers.is_none())
            && match self.quirks.reads {
                Reads::Always => true,
                Reads::OnDemand => exchanges.all(Exchange::is_demanding),
                Reads::UntilUnused => !exchanges.any(Exchange::has_unused),
            };
        if std::mem::replace(&mut own.reads, reads) != reads {
            replies.read(connection, reads);
        }
    }
}

impl Connection {
    /// A record begins. Returns an answer that was held back until now.
    pub(super) fn begin_record(&mut self, header: [u8; HEADER_LEN]) -> Option<Vec<u8>> {
        let [_, _, _, _, len1, len0, padding_len, _] = header;
        self.content_len = usize::from(u16::from_be_bytes([len1, len0]));
        self.content_left = self.content_len;
        self.is_padded = padding_len > 0;
        self.is_judged = false;
        self.unsent.take()
    }

    /// Bytes of content have arrived. True when they were the last of their record.
    pub(super) fn take_content(&mut self, len: usize) -> bool {
        self.content_left = self.content_left.saturating_sub(len);
        self.content_left == 0
    }

    pub(super) fn has_content(&self) -> bool {
        self.content_len > 0
    }

    /// Marks the record that is being read as one without a place. False when it was marked before.
    pub(super) fn judge(&mut self) -> bool {
        !std::mem::replace(&mut self.is_judged, true)
    }

    /// The request with an ID.
    pub(super) fn live(&self, id: u16) -> Option<u64> {
        self.live.get(&id).copied()
    }

    /// The request with the lowest ID.
    pub(super) fn first(&self) -> Option<u64> {
        self.live.values().next().copied()
    }

    /// An ID is not in use any more.
    pub(super) fn release(&mut self, id: u16) {
        self.live.remove(&id);
    }

    /// Whether the last request that has ended had this ID.
    pub(super) fn has_ended_last(&self, id: u16) -> bool {
        self.last_id == Some(id)
    }

    /// A request has ended. `releases`: its ID is not in use any more.
    pub(super) fn end(&mut self, id: u16, key: u64, releases: bool) {
        if releases && self.live(id) == Some(key) {
            self.release(id);
        }
        self.last_id = Some(id);
    }

    pub(super) fn close_after_answer(&mut self) {
        self.closes_after_answer = true;
    }

    pub(super) fn closes_after_answer(&self) -> bool {
        self.closes_after_answer
    }

    pub(super) fn doom(&mut self) {
        self.is_doomed = true;
    }

    pub(super) fn is_doomed(&self) -> bool {
        self.is_doomed
    }

    /// Discards whatever arrives from now on.
    pub(super) fn stop_listening(&mut self) {
        self.is_deaf = true;
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Takes content of `FCGI_GET_VALUES`. Returns the whole content with the last bytes.
    pub(super) fn add_question(&mut self, data: &[u8], last: bool) -> Option<Vec<u8>> {
        self.question.extend_from_slice(data);
        last.then(|| std::mem::take(&mut self.question))
    }

    /// Whether the record that is being read has padding.
    pub(super) fn is_padded(&self) -> bool {
        self.is_padded
    }

    /// Holds an answer back until another record begins.
    pub(super) fn hold_back(&mut self, answer: Vec<u8>) {
        self.unsent = Some(answer);
    }
}
