//! One connection: a state machine that parses records incrementally. The engine holds a slab of connections.
//!
//! A connection owns its state ([`state`]), its request IDs ([`ids`]), the bytes it sends ([`heads`], [`fill`] and
//! [`send`], with their [`outbox`]), the bytes it receives ([`receive`]), the count of its buffered output ([`budget`]) and
//! the probe sent on it ([`probe`]). It borrows the requests and knows nothing else of the engine: consequences for the
//! pool or for a request are returned as values.

mod budget;
mod fill;
mod heads;
mod ids;
mod listing;
mod outbox;
mod probe;
mod receive;
mod received;
mod send;
mod state;
mod used_up;

pub(super) use budget::Reads;
pub(super) use fill::Filled;
pub(super) use outbox::BufferPool;
pub use outbox::Transmit;
pub(super) use received::{FirstReply, Look, Received};
pub(super) use state::{Expected, Input, State, Step};

use slab::Slab;

use super::close_reason::CloseReason;
use super::requests::{OutputWeight, Progress, Request, Requests};
use super::time::Time;
use crate::event::{ConnectionHandle, RequestHandle};
use budget::Budget;
use heads::Heads;
use ids::IdTable;
use probe::{Answer, OwnProbe, Probe};
use receive::Receiving;
use send::Sending;

#[derive(Debug)]
pub(super) struct Connection {
    /// The serial number of this connection, in the order of opening.
    serial: u64,
    server: u16,
    state: State,
    /// What the connection is [expected](Expected) to provide once it is open. As one field it would take more.
    expected_slots: u32,
    is_late: bool,
    /// When the client began to open the connection.
    opened: Time,
    /// How long the connect took, in microseconds. `u32` holds more than an hour.
    took_us: u32,
    /// Connects that found the backlog full.
    redials: u8,
    /// The most requests at a time. Above 1 only if the server reported it or the embedder configured it.
    max_requests: u32,
    /// Requests on the connection, those being aborted included. At most the number of IDs.
    live: u16,
    /// Requests on the connection that are being aborted. Their `End` was reported.
    aborting: u16,
    /// Requests that have ended on the connection.
    served: u32,
    /// Whether the connection is in its server's list of idle connections and may be used.
    is_available: bool,
    /// Whether the connection is opened to check its server.
    is_check: bool,
    /// Why the connection must not serve another request: late records, an early end, a limit.
    retire_reason: Option<CloseReason>,
    /// Whether an action that asks the driver to write is queued and not yet taken.
    is_flush_asked: bool,
    /// Whether the socket must be read once before anything is written: a request must not be sent twice.
    reads_first: bool,
    ids: IdTable,
    heads: Heads,
    sending: Sending,
    receiving: Receiving,
    /// Whether the current `FCGI_GET_VALUES_RESULT` began before a byte of a probe had left. Inside `receiving` it would cost
    /// eight bytes.
    is_unsolicited: bool,
    /// Bytes received since the connection was opened. Inside `receiving` the number would cost twice its size.
    received: u64,
    budget: Budget,
    /// The client's own probe of the server's values, sent after a request.
    own_probe: Option<Box<OwnProbe>>,
}

/// The number of requests for which an idle connection keeps memory in its lists.
const KEPT: usize = 4;

/// The connection with a handle; `None` when the handle is stale.
#[inline]
pub(super) fn get(connections: &Slab<Connection>, handle: ConnectionHandle) -> Option<&Connection> {
    let connection = connections.get(handle.index as usize)?;
    connection.is(handle).then_some(connection)
}

impl Connection {
    pub(super) fn new(now: Time, serial: u64, server: u16, expected: Expected) -> Self {
        Self {
            serial,
            server,
            state: State::Connecting,
            expected_slots: expected.slots,
            is_late: expected.is_late,
            opened: now,
            took_us: 0,
            redials: 0,
            max_requests: 1,
            live: 0,
            aborting: 0,
            served: 0,
            is_available: false,
            is_check: false,
            retire_reason: None,
            is_flush_asked: false,
            reads_first: false,
            ids: IdTable::default(),
            heads: Heads::default(),
            sending: Sending::new(now),
            receiving: Receiving::default(),
            is_unsolicited: false,
            received: 0,
            budget: Budget::default(),
            own_probe: None,
        }
    }

    // --- getters ---

    #[inline]
    pub(super) fn handle(&self, key: u32) -> ConnectionHandle {
        ConnectionHandle {
            index: key,
            generation: self.serial as u32,
        }
    }

    #[inline]
    pub(super) fn is(&self, handle: ConnectionHandle) -> bool {
        self.serial as u32 == handle.generation
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn server(&self) -> u16 {
        self.server
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn expected(&self) -> Expected {
        Expected {
            slots: self.expected_slots,
            is_late: self.is_late,
        }
    }

    pub(super) fn opened(&self) -> Time {
        self.opened
    }

    pub(super) fn max_requests(&self) -> u32 {
        self.max_requests
    }

    #[inline]
    pub(super) fn live(&self) -> u32 {
        u32::from(self.live)
    }

    pub(super) fn served(&self) -> u32 {
        self.served
    }

    /// Whether exactly one request on the connection has not reported its `End`.
    pub(super) fn has_one_left(&self) -> bool {
        self.live - self.aborting == 1
    }

    pub(super) fn is_available(&self) -> bool {
        self.is_available
    }

    pub(super) fn retire_reason(&self) -> Option<CloseReason> {
        self.retire_reason
    }

    /// Whether the connection is open and without a request.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Open) && self.live == 0
    }

    #[inline]
    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting | State::Redialing { .. })
    }

    /// Whether the connection is shared by requests and below its `max_requests`.
    #[inline]
    pub(super) fn is_shareable(&self) -> bool {
        matches!(self.state, State::Open) && (1..self.max_requests).contains(&self.live())
    }

    /// Whether a shareable connection may take one more request. Checked only when it is about to be used.
    #[inline]
    pub(super) fn has_free_slot(&self) -> bool {
        self.retire_reason.is_none() && !self.is_ending() && self.ids.has_free_id()
    }

    /// Whether nothing is left of the requests that have ended on the connection: no unparsed byte, no padding, nothing
    /// in the socket as far as the driver has reported, and no open probe.
    #[inline]
    pub(super) fn is_clean(&self) -> bool {
        self.is_drained() && self.own_probe.is_none()
    }

    /// Whether the connection is available, and nothing keeps it from being used.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.is_available && self.retire_reason.is_none() && self.is_clean()
    }

    /// When the connection became idle, when bytes last left it, or when its outbox was last empty.
    pub(super) fn last_activity(&self) -> Time {
        self.sending.last_activity()
    }

    /// Whether the connection is waiting for the first byte of its first request.
    pub(super) fn waits_for_first_byte(&self) -> bool {
        self.has_no_reply_yet() && self.served == 0
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            last_activity: self.sending.last_activity(),
            transmitted: self.transmitted(),
            read_blocked: self.is_read_blocked(),
            unblocked: self.budget.unblocked(),
        }
    }

    /// The requests on the connection.
    pub(super) fn requests(&self) -> impl Iterator<Item = u32> + '_ {
        self.ids.live()
    }

    /// Bytes on the heap.
    pub(super) fn heap_len(&self) -> usize {
        let probe = match &self.state {
            State::Probing(probe) => probe.heap_len(),
            State::Connecting | State::Redialing { .. } | State::Open | State::Draining => 0,
        };
        let own_probe = self.own_probe.as_ref().map_or(0, |it| it.heap_len());
        self.sending.heap_len() + self.heads.heap_len() + self.ids.heap_len() + probe + own_probe
    }

    // --- state ---

    /// Input *connected*.
    pub(super) fn connected(&mut self, now: Time, max_requests: u32, is_always_one: bool) {
        debug_assert_eq!(self.state.step(Input::Connected), Step::Open);
        self.state = State::Open;
        self.max_requests = max_requests;
        if max_requests == 1 {
            // Most connections never have a second request at a time.
            self.ids.reserve_one();
            self.sending.reserve_one();
            self.ids.set_always_one(is_always_one);
        }
        let took = now.saturating_duration_since(self.opened);
        self.took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.touch(now);
    }

    /// Input *backlog full*. `until` gets the number of pauses including this one.
    pub(super) fn redial(&mut self, until: impl FnOnce(u32) -> Time) {
        debug_assert_eq!(self.state.step(Input::BacklogFull), Step::Redial);
        self.redials = self.redials.saturating_add(1);
        let until = until(u32::from(self.redials));
        self.state = State::Redialing { until };
    }

    /// Input *deadline* at the end of a pause: the connection is opened again.
    pub(super) fn dial_again(&mut self) {
        debug_assert_eq!(self.state.step(Input::Deadline), Step::Dial);
        self.state = State::Connecting;
    }

    /// The connection has been opening for too long. Returns what was expected of it before.
    pub(super) fn set_late(&mut self) -> Expected {
        let before = self.take_expected();
        self.is_late = true;
        before
    }

    /// The connection is no longer being opened. Returns what was expected of it.
    pub(super) fn take_expected(&mut self) -> Expected {
        let before = self.expected();
        (self.expected_slots, self.is_late) = (0, false);
        before
    }

    /// Input *retire*: the connection closes for this reason, even if it was retired for another one before.
    pub(super) fn drain(&mut self, reason: CloseReason) {
        self.retire_reason = Some(reason);
        self.is_available = false;
        self.state = State::Draining;
    }

    /// Input *ask*.
    pub(super) fn probe(&mut self, now: Time, request: RequestHandle) {
        debug_assert_eq!(self.state.step(Input::Ask), Step::Probe);
        let probe = Probe::new(now, self.end_offset(), request);
        self.state = State::Probing(Box::new(probe));
    }

    /// Input *answered*, or the probe was given up. Returns the embedder's probe request, in state Probing.
    pub(super) fn take_probe(&mut self) -> Option<RequestHandle> {
        let State::Probing(probe) = &self.state else {
            return None;
        };
        debug_assert_eq!(self.state.step(Input::Answered), Step::Open);
        let request = probe.request();
        self.state = State::Open;
        Some(request)
    }

    /// The connection must not serve another request. The first reason is kept.
    pub(super) fn retire(&mut self, reason: CloseReason) {
        self.retire_reason.get_or_insert(reason);
    }

    /// Makes the connection available. Returns whether that is a change.
    #[inline]
    pub(super) fn set_available(&mut self) -> bool {
        !std::mem::replace(&mut self.is_available, true)
    }

    /// Makes the connection unavailable. Returns whether that is a change.
    #[inline]
    pub(super) fn take_available(&mut self) -> bool {
        std::mem::take(&mut self.is_available)
    }

    /// The partial reply to the probe that was sent on the connection.
    fn answer(&mut self) -> Option<&mut Answer> {
        match (&mut self.state, &mut self.own_probe) {
            (State::Probing(probe), _) => Some(probe.answer()),
            (_, Some(own_probe)) => Some(own_probe.answer()),
            _ => None,
        }
    }

    /// Sets or clears the client's own probe.
    pub(super) fn set_own_probe(&mut self, own_probe: Option<Box<OwnProbe>>) {
        self.own_probe = own_probe;
    }

    /// Sets how many requests the connection may have.
    pub(super) fn set_max_requests(&mut self, max_requests: u32) {
        self.max_requests = max_requests;
        if max_requests > 1 {
            self.ids.set_always_one(false);
        }
    }

    // --- requests ---

    /// A request was put on the connection.
    #[inline]
    pub(super) fn add_request(&mut self, weight: OutputWeight) {
        self.live += 1;
        self.add_weight(weight);
    }

    /// A request has ended on the connection. Its `End` was reported or will be.
    #[inline]
    pub(super) fn remove_request(&mut self) {
        self.live -= 1;
        self.served = self.served.saturating_add(1);
    }

    /// A request is given up of which nothing was framed: it was never here, and its ID is as it was.
    pub(super) fn withdraw_request(&mut self, id: u16) {
        self.live -= 1;
        self.ids.withdraw(id);
    }

    /// Frees the ID of a request that was sent as a whole and has ended.
    #[inline]
    pub(super) fn release_id(&mut self, id: u16) {
        self.ids.release(id);
        if !self.has_unparsed_input() {
            self.ids.make_reusable();
        }
    }

    /// Keeps an ID from being used again on this connection.
    pub(super) fn quarantine_id(&mut self, id: u16) {
        self.ids.quarantine(id);
    }

    /// The abort of a request begins.
    pub(super) fn begin_abort(&mut self) {
        self.aborting += 1;
    }

    /// The abort of a request is over.
    pub(super) fn end_abort(&mut self, id: u16) {
        self.ids.quarantine(id);
        self.aborting -= 1;
    }

    /// Whether a burst of requests has made the lists large and their memory can be freed.
    pub(super) fn is_large(&self) -> bool {
        self.ids.is_large() || self.heads.is_large() || self.sending.is_large()
    }

    /// Frees the memory of lists that a burst made large. Only while the connection is idle.
    pub(super) fn shrink_idle(&mut self) {
        if self.ids.is_large() {
            self.ids.shrink_idle();
        }
        self.heads.shrink_idle();
        self.sending.shrink_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An open connection without a request.
    fn opened(max_requests: u32) -> Connection {
        let mut connection = Connection::new(Time::START, 0, 0, Expected::default());
        connection.connected(Time::START, max_requests, false);
        connection
    }

    const REQUEST: RequestHandle = RequestHandle {
        index: 0,
        generation: 0,
    };

    #[test]
    fn memory_on_the_heap_is_all_that_it_holds() {
        let mut connection = opened(1);
        let parts = connection.sending.heap_len() + connection.ids.heap_len();
        assert!(connection.sending.heap_len() > 0 && connection.ids.heap_len() > 0);
        assert_eq!(connection.heap_len(), parts);
        connection.probe(Time::START, REQUEST);
        connection.collect_answer(&[0; 100], false);
        let probe = size_of::<Probe>() + 100;
        assert_eq!(connection.heap_len(), parts + probe);
        connection.take_probe();
        connection.note_own_probe(Time::START);
        connection.collect_answer(&[0; 100], false);
        let own_probe = size_of::<OwnProbe>() + 100;
        assert_eq!(connection.heap_len(), parts + own_probe);
        connection.set_own_probe(None);
        connection.heads.add(REQUEST, 1, |_| true);
        let heads = connection.heads.heap_len();
        assert_eq!(connection.heap_len(), parts + heads);
    }

    #[test]
    fn what_a_burst_made_large_is_given_back() {
        let mut connection = opened(9);
        for request in 0..KEPT as u32 {
            connection.ids.allocate(request);
        }
        assert!(!connection.is_large());
        connection.ids.allocate(9);
        assert!(connection.is_large());
        connection.shrink_idle();
        assert!(!connection.is_large());
    }
}
