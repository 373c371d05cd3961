//! One transport connection: from the wish to connect to its close.
//!
//! # States
//!
//! | state      | connected | backlog full | shortage | closed | deadline | retire | last request off |
//! |------------|-----------|--------------|----------|--------|----------|--------|------------------|
//! | Connecting | Open      | Redial       | Postpone | Failed | Failed   | Failed | -                |
//! | Redialing  | -         | -            | -        | Failed | Dial     | Failed | -                |
//! | Probing    | -         | -            | -        | Gone   | Close    | none   | -                |
//! | Open       | -         | -            | -        | Gone   | Close    | Drain  | Pool             |
//! | Draining   | -         | -            | -        | Gone   | none     | none   | Close            |
//!
//! *Redialing*: the listener's backlog was full (`EAGAIN` on a Unix socket), a new socket is tried
//! when the pause is over. *Probing*: the embedder's `FCGI_GET_VALUES` was sent and nothing else. *Open*: idle or with
//! requests. *Draining*: takes no further request.
//!
//! Inputs: facts from the driver (*connected*, *backlog full*, *shortage*, *closed*), its own *deadline* (connect
//! time-out or end of a pause; idle or age limit, lists to be given back; probe time-out), *retire*
//! (this client is done with it: shut down, limits lowered, an abort not answered) and *last request
//! off*.
//!
//! Steps: `Open` makes it usable; `Redial` waits; `Postpone` takes it away, without a word on the server; `Dial` connects again, or `Failed` when the connect
//! time-out has passed; `Gone` loses its requests; `Close` closes it; `Drain` closes it once no request
//! is left; `Pool` makes it idle, or closes it where a limit says so.

use std::collections::VecDeque;

use super::clock::Progress;
use super::close_reason::CloseReason;
use super::ids::IdTable;
use super::outbox::Outbox;
use super::time::Time;
use crate::config::Limits;
use crate::event::{ConnectionHandle, RequestHandle};
use crate::wire::Demux;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) generation: u32,
    pub(super) server: u16,
    pub(super) state: State,
    /// What it adds to the engine's `prospects` while it connects.
    pub(super) promised: u32,
    /// It has been connecting for so long that its promise counts no more.
    pub(super) is_late: bool,
    /// The client's own question for the server's values, sent behind a request.
    pub(super) question: Option<Box<Question>>,
    /// Most requests at a time; above 1 only by proof or the embedder's word.
    pub(super) max_requests: u32,
    /// Requests on it whose `End` is not out, or whose abort is not over.
    pub(super) live: u32,
    /// Of these, with their abort not over.
    pub(super) aborting: u32,
    /// Of these, paused by the embedder.
    pub(super) paused: u32,
    /// Of these, with their stall budget used up.
    pub(super) full: u32,
    /// Requests that have ended on it.
    pub(super) served: u32,
    /// Octets held for its requests.
    pub(super) held: usize,
    /// Connects that found the backlog full.
    pub(super) redials: u8,
    pub(super) flush_asked: bool,
    /// The driver has been asked to read, and has not taken note of it.
    pub(super) read_asked: bool,
    /// The driver was told, by `wants_read`, not to read.
    pub(super) read_blocked: bool,
    /// When the driver was last told to read again.
    pub(super) unblocked: Option<Time>,
    /// The read being taken apart has octets behind the record being dealt with.
    pub(super) more_read: bool,
    /// It is among its server's idle connections: it may be handed out.
    pub(super) is_available: bool,
    /// The driver has announced bytes or an end that it has not read yet.
    pub(super) unread: bool,
    /// What was announced is the end of the application's stream.
    pub(super) is_ending: bool,
    /// The socket is to be read once before anything is written: the request that was begun last may not be sent a
    /// second time.
    pub(super) reads_first: bool,
    /// What was read is being fed, and the socket is empty behind it.
    pub(super) is_feeding: bool,
    /// Position behind the last byte that was queued before it was last idle.
    pub(super) idle_offset: u64,
    /// A time limit is over and waits for the socket to be found empty, or for so many reads.
    pub(super) overdue: Option<u8>,
    /// No octet has come since it was last idle.
    pub(super) quiet: bool,
    /// It must not serve another request: stray records, an early end, a limit.
    pub(super) spent: Option<CloseReason>,
    /// Number of this connection in the order of opening.
    pub(super) serial: u64,
    pub(super) opened: Time,
    /// How long the connect took, in microseconds: an hour fits.
    pub(super) took_us: u32,
    /// When it became idle; when octets last left it, or its outbox was last empty.
    pub(super) moved: Time,
    pub(super) demux: Demux,
    pub(super) outbox: Outbox,
    pub(super) ids: IdTable,
    /// Requests with more body to send, in turn.
    pub(super) round: VecDeque<RequestHandle>,
    /// Requests put into the outbox as a whole, with the position behind their last octet.
    pub(super) unsent: VecDeque<(u64, RequestHandle)>,
}

#[derive(Debug)]
pub(super) enum State {
    Connecting { since: Time },
    Redialing { since: Time, until: Time },
    Probing(Box<Probe>),
    Open,
    Draining,
}

/// The embedder's `get_values`.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) since: Time,
    pub(super) asked_by: RequestHandle,
    pub(super) answer: Answer,
}

/// Content of `FCGI_GET_VALUES_RESULT` so far.
#[derive(Debug, Default)]
pub(super) struct Answer(pub(super) Vec<u8>);

/// The client's own question.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) since: Time,
    /// Where it begins in the connection's stream of bytes.
    pub(super) offset: u64,
    pub(super) answer: Answer,
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Connected,
    BacklogFull,
    Shortage,
    Closed,
    Deadline,
    Retire,
    LastRequestOff,
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    Redial,
    Postpone,
    Dial,
    Failed,
    Gone,
    Close,
    Drain,
    Pool,
    None,
    Impossible,
}

impl State {
    /// The table. What follows from a step is the engine's.
    pub(super) fn step(&self, input: Input) -> Step {
        use Input as I;
        match (self, input) {
            (Self::Connecting { .. }, I::Connected) => Step::Open,
            (Self::Connecting { .. }, I::BacklogFull) => Step::Redial,
            (Self::Connecting { .. }, I::Shortage) => Step::Postpone,
            (Self::Connecting { .. }, I::Closed | I::Deadline | I::Retire) => Step::Failed,
            (Self::Connecting { .. }, I::LastRequestOff) => Step::Impossible,
            (Self::Redialing { .. }, I::Deadline) => Step::Dial,
            (Self::Redialing { .. }, I::Closed | I::Retire) => Step::Failed,
            (
                Self::Redialing { .. },
                I::Connected | I::BacklogFull | I::Shortage | I::LastRequestOff,
            ) => Step::Impossible,
            (Self::Probing(_), I::Closed) => Step::Gone,
            (Self::Probing(_), I::Deadline) => Step::Close,
            (Self::Probing(_), I::Retire) => Step::None,
            (Self::Probing(_), I::Connected | I::BacklogFull | I::Shortage | I::LastRequestOff) => {
                Step::Impossible
            }
            (Self::Open, I::Closed) => Step::Gone,
            (Self::Open, I::Deadline) => Step::Close,
            (Self::Open, I::Retire) => Step::Drain,
            (Self::Open, I::LastRequestOff) => Step::Pool,
            (Self::Open, I::Connected | I::BacklogFull | I::Shortage) => Step::Impossible,
            (Self::Draining, I::Closed) => Step::Gone,
            (Self::Draining, I::Deadline | I::Retire) => Step::None,
            (Self::Draining, I::LastRequestOff) => Step::Close,
            (Self::Draining, I::Connected | I::BacklogFull | I::Shortage) => Step::Impossible,
        }
    }
}

/// Requests for which an idle connection keeps room in its lists.
pub(super) const KEPT: usize = 4;

impl Connection {
    pub(super) fn handle(&self, index: u32) -> ConnectionHandle {
        ConnectionHandle {
            index,
            generation: self.generation,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            moved: self.moved,
            transmitted: self.outbox.transmitted(),
            read_blocked: self.read_blocked,
            unblocked: self.unblocked,
        }
    }

    /// Whether it is among those that requests share, with room for one more.
    #[inline]
    pub(super) fn is_roomy(&self) -> bool {
        matches!(self.state, State::Open) && (1..self.max_requests).contains(&self.live)
    }

    /// Whether the rest of a record is missing, and not in the socket.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.demux.at_record_boundary() && !self.unread
    }

    /// Something is to be framed: the time without anything to send is nobody's lack of progress.
    #[inline]
    pub(super) fn begin_framing(&mut self, now: Time) {
        if self.outbox.unsent() == 0 {
            self.moved = now;
        }
    }

    /// Whether nothing is left of the requests that have ended on it: no byte of a read, no padding, and nothing in
    /// the socket that the driver knows of.
    #[inline]
    pub(super) fn is_clean(&self) -> bool {
        self.demux.at_record_boundary()
            && !self.more_read
            && !self.unread
            && self.question.is_none()
    }

    /// Whether one with room may have one more request. What keeps it from that is rare, and looked at when it is its
    /// turn.
    #[inline]
    pub(super) fn takes_more(&self) -> bool {
        self.spent.is_none() && !self.is_ending && self.ids.has_room()
    }

    /// Whether it has served, or serves, as many requests as it may.
    pub(super) fn has_served_most(&self, limits: &Limits) -> bool {
        limits
            .max_requests_per_connection
            .is_some_and(|most| self.served.saturating_add(self.live) >= most)
    }

    /// Whether it has its age. One that has not served yet may, however long it took to connect: the next
    /// would be no younger.
    pub(super) fn is_old(&self, now: Time, limits: &Limits) -> bool {
        (self.served > 0 || self.live > 0)
            && limits
                .max_age
                .is_some_and(|age| now.saturating_duration_since(self.opened) >= age)
    }

    /// Whether a limit keeps it from taking one more request.
    pub(super) fn is_used_up(&self, now: Time, limits: &Limits) -> bool {
        self.has_served_most(limits) || self.is_old(now, limits)
    }

    /// Whether it is open and without a request.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Open) && self.live == 0
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(
            self.state,
            State::Connecting { .. } | State::Redialing { .. }
        )
    }

    /// Octets on the heap.
    pub(super) fn heap_len(&self) -> usize {
        let probe = match &self.state {
            State::Probing(probe) => size_of::<Probe>() + probe.answer.0.capacity(),
            State::Connecting { .. } | State::Redialing { .. } | State::Open | State::Draining => 0,
        };
        let question = self.question.as_ref();
        let question = question.map_or(0, |it| size_of::<Question>() + it.answer.0.capacity());
        self.outbox.heap_len()
            + self.ids.heap_len()
            + self.round.capacity() * size_of::<RequestHandle>()
            + self.unsent.capacity() * size_of::<(u64, RequestHandle)>()
            + probe
            + question
    }

    /// Makes room for one request, and no more: most connections never have a second one at a time, and by
    /// default the first would make room for four.
    pub(super) fn make_room_for_one(&mut self) {
        self.ids.make_room_for_one();
        self.round.reserve_exact(1);
        self.unsent.reserve_exact(1);
    }

    /// Whether a burst of requests has made its lists large, and they can be given back.
    pub(super) fn is_large(&self) -> bool {
        self.ids.is_large() || self.round.capacity() > KEPT || self.unsent.capacity() > KEPT
    }

    /// Gives back what a burst made large; only while it is idle.
    pub(super) fn shrink_idle(&mut self) {
        if self.ids.is_large() {
            self.ids.shrink_idle();
        }
        if self.round.capacity() > KEPT {
            self.round = VecDeque::new();
        }
        if self.unsent.capacity() > KEPT {
            self.unsent = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Table, cell};
    use super::*;
    use crate::{Action, Config, Engine, Multiplex, Request, Tag};
    use std::time::Instant;

    /// With its only connection open and the first request on it.
    fn opened(multiplex: Multiplex) -> Engine {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.multiplex = multiplex;
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        let submitted = engine.submit(now, Request::responder(), Tag(0));
        submitted.expect("accepted");
        let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
            panic!("a request needs a connection");
        };
        engine.handle_connected(now, connection);
        engine
    }

    #[test]
    fn memory_on_the_heap_is_all_that_it_holds() {
        let mut engine = opened(Multiplex::Off);
        let connection = &mut engine.connections[0];
        connection.round = VecDeque::with_capacity(3);
        connection.unsent = VecDeque::with_capacity(5);
        let parts = connection.outbox.heap_len() + connection.ids.heap_len() + 3 * 8 + 5 * 16;
        assert!(connection.outbox.heap_len() > 0 && connection.ids.heap_len() > 0);
        assert_eq!(connection.heap_len(), parts);
        connection.state = State::Probing(Box::new(Probe {
            since: Time::START,
            asked_by: crate::RequestHandle {
                index: 0,
                generation: 0,
            },
            answer: Answer(Vec::with_capacity(100)),
        }));
        let probe = size_of::<Probe>() + 100;
        assert_eq!(connection.heap_len(), parts + probe);
    }

    #[test]
    fn one_that_is_not_shared_makes_room_for_one_request() {
        let engine = opened(Multiplex::Off);
        let connection = &engine.connections[0];
        let room = [connection.round.capacity(), connection.unsent.capacity()];
        assert_eq!(room, [1, 1]);
        let engine = opened(Multiplex::On { max: 9 });
        assert!(
            engine.connections[0].unsent.capacity() > 1,
            "it is to have more"
        );
    }

    #[test]
    fn what_a_burst_made_large_is_given_back() {
        let mut engine = opened(Multiplex::Off);
        let connection = &mut engine.connections[0];
        for (round, unsent) in [(4, 4), (5, 4), (4, 5), (5, 5)] {
            connection.round = VecDeque::with_capacity(round);
            connection.unsent = VecDeque::with_capacity(unsent);
            assert_eq!(connection.is_large(), round + unsent > 8);
            connection.shrink_idle();
            let left = [connection.round.capacity(), connection.unsent.capacity()];
            assert_eq!(left, [round, unsent].map(|it| if it > 4 { 0 } else { it }));
            assert!(!connection.is_large());
        }
        for exchange in 0..5 {
            connection.ids.allocate(exchange);
        }
        assert!(connection.is_large());
    }

    #[test]
    fn every_cell_of_the_table_above_is_what_the_code_does() {
        let since = Time::START;
        let probe = Probe {
            since,
            asked_by: crate::RequestHandle {
                index: 0,
                generation: 0,
            },
            answer: Answer::default(),
        };
        let states = [
            State::Connecting { since },
            State::Redialing {
                since,
                until: since,
            },
            State::Probing(Box::new(probe)),
            State::Open,
            State::Draining,
        ];
        // Without a wildcard, so that a new state or input asks for its place in the table.
        let states = states.map(|state| match state {
            State::Connecting { .. } => ("Connecting", state),
            State::Redialing { .. } => ("Redialing", state),
            State::Probing(_) => ("Probing", state),
            State::Open => ("Open", state),
            State::Draining => ("Draining", state),
        });
        let inputs = [
            Input::Connected,
            Input::BacklogFull,
            Input::Shortage,
            Input::Closed,
            Input::Deadline,
            Input::Retire,
            Input::LastRequestOff,
        ];
        let inputs = inputs.map(|input| match input {
            Input::Connected => ("connected", input),
            Input::BacklogFull => ("backlog full", input),
            Input::Shortage => ("shortage", input),
            Input::Closed => ("closed", input),
            Input::Deadline => ("deadline", input),
            Input::Retire => ("retire", input),
            Input::LastRequestOff => ("last request off", input),
        });
        let table = Table::parse(include_str!("connection.rs"));
        table.check(&states, &inputs, |state, input| cell(state.step(input)));
    }
}
