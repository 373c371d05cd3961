//! Back-pressure: pause, hold, resume, and the events that wait in the engine.
//!
//! The rule: a request that is alone on its connection is paused by not reading the socket. One that
//! shares it has its output held, up to the budgets of [`Stall`](crate::Stall); at a budget's end either
//! the connection is not read, or the slow request fails.

use log::debug;
use std::time::Instant;

use super::exchange::{Input, Step};
use super::held::Taken;
use super::receive::Output;
use super::time::Time;
use super::{Engine, Received, Running};
use crate::config::AtLimit;
use crate::error::RequestError;
use crate::event::{Event, RequestHandle};

impl Engine {
    /// Stops the output events of a request until [`resume`](Self::resume). Its time limits for output stand
    /// still, the total one does not. A stale handle is ignored.
    ///
    /// Alone on its connection, the socket is not read. On a shared one its output is held, see
    /// [`Stall`](crate::Stall), and new requests go to other connections where there are any.
    pub fn pause(&mut self, now: Instant, request: RequestHandle) {
        self.tick(now);
        let Some(key) = self.exchange_key(request) else {
            return;
        };
        let exchange = &mut self.exchanges[key as usize];
        // A probe's only output is its end, which is never held.
        if exchange.is_probe || std::mem::replace(&mut exchange.paused, true) {
            return;
        }
        if let Some(connection) = exchange.life.connection()
            && let Some(connection_key) = self.connection_key(connection)
        {
            self.connections[connection_key].paused += 1;
            self.update_reads(connection_key as u32);
        }
    }

    /// Lets a paused request's events come again. A stale handle is ignored.
    pub fn resume(&mut self, now: Instant, request: RequestHandle) {
        let now = self.tick(now);
        let Some(key) = self.exchange_key(request) else {
            return;
        };
        let exchange = &mut self.exchanges[key as usize];
        if !std::mem::replace(&mut exchange.paused, false) {
            return;
        }
        exchange.clock.resumed = Some(now);
        if exchange.held.is_some() {
            self.drains.push_back(request);
        }
        if let Some(connection) = exchange.life.connection()
            && let Some(connection_key) = self.connection_key(connection)
        {
            self.connections[connection_key].paused -= 1;
            self.update_reads(connection_key as u32);
        }
        self.arm_exchange(key);
        self.settle(now);
    }

    /// Keeps a piece of output for later.
    pub(super) fn hold(&mut self, now: Time, key: u32, output: Output, data: &[u8]) {
        let exchange = &mut self.exchanges[key as usize];
        let held = exchange.held.get_or_insert_default();
        let before = held.len();
        match output {
            Output::Stdout => held.stdout(data),
            Output::Stderr => held.stderr(data),
        }
        let in_all = held.len();
        let more = in_all - before;
        self.held += more;
        let Some(connection_key) = exchange
            .life
            .connection()
            .and_then(|connection| self.connection_key(connection))
        else {
            return;
        };
        let stall = self.config.stall;
        let connection = &mut self.connections[connection_key];
        connection.held += more;
        let shared = connection.live > 1;
        let exchange = &mut self.exchanges[key as usize];
        if in_all >= stall.per_request && !exchange.is_full {
            exchange.is_full = true;
            connection.full += 1;
        }
        let over = in_all > stall.per_request
            || connection.held > stall.per_connection
            || self.held > stall.per_client;
        if over && shared && stall.at_limit == AtLimit::FailRequest {
            debug!("request {key}: {in_all} octets held while it was paused, given up");
            self.abandon(now, key, RequestError::Stalled { held: in_all });
            return;
        }
        self.update_reads(connection_key as u32);
    }

    /// The next event that does not come out of octets just read: ends, room for pushed bodies, and output
    /// that was held and is copied to the front of `scratch`, as much as fits.
    ///
    /// The content of `scratch` is overwritten.
    ///
    /// # Panics
    /// When `scratch` is empty while there is output to be copied to it.
    #[inline]
    #[must_use = "an event is not announced twice"]
    pub fn poll_event<'b>(&mut self, scratch: &'b mut [u8]) -> Option<Event<'b>> {
        let received = self.next_event(scratch)?;
        Some(received.lend_front(scratch))
    }

    /// As [`poll_event`](Self::poll_event); output is at the front of `scratch`.
    #[inline]
    pub(crate) fn next_event(&mut self, scratch: &mut [u8]) -> Option<Received> {
        if self.events.is_empty() && self.drains.is_empty() && self.running == Running::Yes {
            return None;
        }
        self.next_kept(scratch)
    }

    fn next_kept(&mut self, scratch: &mut [u8]) -> Option<Received> {
        while let Some(event) = self.events.pop_front() {
            let is_late = matches!(event, Event::StdinReady { request, .. }
                if self.exchange_key(request)
                    .is_none_or(|key| self.exchanges[key as usize].stdin.is_finished()));
            if !is_late {
                return Some(Received::Other(event));
            }
        }
        while let Some(request) = self.drains.pop_front() {
            let Some(key) = self.exchange_key(request) else {
                continue;
            };
            match self.take_held(key, scratch) {
                Drained::Output(Output::Stdout, len) => {
                    self.drains.push_back(request);
                    let tag = self.exchanges[key as usize].tag;
                    return Some(Received::Stdout { request, tag, len });
                }
                Drained::Output(Output::Stderr, len) => {
                    self.drains.push_back(request);
                    let tag = self.exchanges[key as usize].tag;
                    return Some(Received::Stderr { request, tag, len });
                }
                Drained::StdoutEnd => {
                    self.drains.push_back(request);
                    let tag = self.exchanges[key as usize].tag;
                    return Some(Received::Other(Event::StdoutEnd { request, tag }));
                }
                Drained::Dry => {
                    if let Some(event) = self.end_dry(key) {
                        return Some(Received::Other(event));
                    }
                }
                Drained::Paused => {}
            }
        }
        if self.is_stopped_now() {
            self.running = Running::Stopped;
            return Some(Received::Other(Event::ShutDown));
        }
        None
    }

    /// Whether the report that a shut-down is complete is due.
    pub(super) fn is_stopped_now(&self) -> bool {
        // Not before the driver has closed the sockets.
        matches!(self.running, Running::Stopping { .. })
            && self.is_idle()
            && self.events.is_empty()
            && self.actions.is_empty()
    }

    /// Takes the next piece of held output; accounts for the room made.
    fn take_held(&mut self, key: u32, scratch: &mut [u8]) -> Drained {
        let exchange = &mut self.exchanges[key as usize];
        if exchange.paused {
            return Drained::Paused;
        }
        let Some(held) = &mut exchange.held else {
            return Drained::Dry;
        };
        let before = held.len();
        assert!(
            !scratch.is_empty() || !held.needs_room(),
            "poll_event was given an empty scratch, and output is to be copied to it"
        );
        let drained = match held.take(scratch) {
            Taken::Stdout(len) => Drained::Output(Output::Stdout, len),
            Taken::Stderr(len) => Drained::Output(Output::Stderr, len),
            Taken::StdoutEnd => return Drained::StdoutEnd,
            Taken::Nothing => return Drained::Dry,
        };
        let in_all = held.len();
        let less = before - in_all;
        self.make_room(less);
        let exchange = &mut self.exchanges[key as usize];
        if let Some(connection) = exchange.life.connection()
            && let Some(connection_key) = self.connection_key(connection)
        {
            let connection = &mut self.connections[connection_key];
            connection.held -= less;
            let exchange = &mut self.exchanges[key as usize];
            if exchange.is_full && (in_all == 0 || in_all < self.config.stall.per_request) {
                exchange.is_full = false;
                connection.full -= 1;
            }
            self.update_reads(connection_key as u32);
        }
        drained
    }

    /// All held output was taken: output comes directly again, or the end that waited behind it.
    fn end_dry(&mut self, key: u32) -> Option<Event<'static>> {
        let exchange = &mut self.exchanges[key as usize];
        let outcome = exchange.held.take()?.outcome?;
        debug_assert_eq!(exchange.life.step(Input::Taken), Step::End);
        self.end_event(key, outcome)
    }

    /// Decides whether a connection is to be read, and tells the driver when that becomes true.
    #[inline]
    pub(super) fn update_reads(&mut self, key: u32) {
        // As a rule nothing is paused.
        let connection = self.connections.get(key as usize);
        if connection.is_some_and(|it| it.paused > 0 || it.held > 0 || it.read_blocked) {
            self.decide_on_reads(key);
        }
    }

    fn decide_on_reads(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        let stall = self.config.stall;
        let alone = connection.live == 1;
        let spent = connection.full > 0
            || (connection.held > 0
                && (connection.held >= stall.per_connection || self.held >= stall.per_client));
        let blocked = (alone && connection.paused == 1)
            || (spent && (alone || stall.at_limit == AtLimit::PauseConnection));
        let was_blocked = std::mem::replace(&mut connection.read_blocked, blocked);
        if blocked && connection.overdue.is_some() {
            self.stop_looking(key);
            return;
        }
        if was_blocked && !blocked {
            connection.unblocked = Some(self.timeline.now());
            let live: Vec<u32> = connection.ids.live().collect();
            self.ask_read(key);
            // Their time limits stood still and may have no entry.
            for exchange in live {
                self.arm_exchange(exchange);
            }
        }
    }

    /// Octets are held no longer: connections that wait for the client's budget may be read again.
    pub(super) fn make_room(&mut self, len: usize) {
        let was_over = self.held >= self.config.stall.per_client;
        self.held -= len;
        if was_over && self.held < self.config.stall.per_client {
            self.update_all_reads();
        }
    }

    fn update_all_reads(&mut self) {
        let keys: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
        for key in keys {
            self.update_reads(key);
        }
    }
}

/// What came out of an exchange's held output.
enum Drained {
    Output(Output, usize),
    StdoutEnd,
    Dry,
    Paused,
}
