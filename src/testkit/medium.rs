//! Everything between the client and the applications: the connections, the clock, and the trace of what happened.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::agenda::{Agenda, Appointment};
use super::tally::Tally;
use super::trace::Trace;
use super::virtual_connection::VirtualConnection;
use crate::event::{ConnectionHandle, Event, EventKind};

/// All connections, by numbers that are never used twice.
pub(super) struct Medium {
    agenda: Agenda,
    trace: Trace,
    tally: Tally,
    links: Vec<Option<Box<VirtualConnection>>>,
    /// Numbers of the connections for which the client has a socket, by [`ConnectionHandle::index`].
    by_index: Vec<Option<usize>>,
    /// Numbers of the connections that wait for their turn.
    ready: VecDeque<usize>,
}

impl Medium {
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            agenda: Agenda::new(origin),
            trace: Trace::new(),
            tally: Tally::default(),
            links: Vec::new(),
            by_index: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.agenda.now()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.since_origin(self.now())
    }

    pub(super) fn since_origin(&self, at: Instant) -> Duration {
        self.agenda.since_origin(at)
    }

    pub(super) fn advance_to(&mut self, now: Instant) {
        self.agenda.advance_to(now);
    }

    /// Makes an appointment. Does nothing without an instant.
    pub(super) fn appoint(&mut self, at: Option<Instant>, what: Appointment) {
        if let Some(at) = at {
            self.agenda.appoint(at, what);
        }
    }

    pub(super) fn next_appointment(&self) -> Option<Instant> {
        self.agenda.next()
    }

    /// Takes the next appointment, if it is due at `until` or before.
    pub(super) fn take_appointment(&mut self, until: Instant) -> Option<(Instant, Appointment)> {
        self.agenda.take_until(until)
    }

    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(super) fn keep_trace(&mut self) {
        self.trace.keep_lines();
    }

    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.note(self.elapsed(), what);
    }

    pub(super) fn note_bytes(&mut self, bytes: &[u8]) {
        self.trace.bytes(bytes);
    }

    pub(super) fn note_event(&mut self, event: &Event<&[u8]>) {
        let request = event.request;
        match &event.kind {
            EventKind::Stdout(data) => {
                self.note_bytes(data);
                self.note(format_args!("{request:?}: {} of stdout", data.len()));
            }
            EventKind::Stderr(data) => {
                self.note_bytes(data);
                self.note(format_args!("{request:?}: {} of stderr", data.len()));
            }
            _ => self.note(format_args!("{event:?}")),
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    pub(super) fn connection(&self, number: usize) -> Option<&VirtualConnection> {
        self.links.get(number)?.as_deref()
    }

    pub(super) fn connection_mut(&mut self, number: usize) -> Option<&mut VirtualConnection> {
        self.links.get_mut(number)?.as_deref_mut()
    }

    /// The number of a connection for which the client has a socket.
    pub(super) fn number(&self, handle: ConnectionHandle) -> Option<usize> {
        let number = self.by_index.get(handle.index()).copied().flatten()?;
        let own = self.connection(number)?;
        (own.handle() == handle).then_some(number)
    }

    /// The numbers of the connections for which the client has a socket.
    pub(super) fn open_numbers(&self) -> impl Iterator<Item = usize> {
        self.by_index.iter().flatten().copied()
    }

    /// Whether the client has a socket for a connection.
    pub(super) fn is_open(&self, number: usize) -> bool {
        self.open_numbers().any(|it| it == number)
    }

    /// Whether the client has a socket for the connection with this index.
    pub(super) fn has_open_at(&self, index: usize) -> bool {
        self.by_index.get(index).is_some_and(Option::is_some)
    }

    /// The connections for which the client has a socket.
    pub(super) fn open_links(&self) -> impl Iterator<Item = &VirtualConnection> {
        self.open_numbers()
            .filter_map(|number| self.connection(number))
    }

    /// Adds a connection for which the client has a socket from now on. Returns its number.
    pub(super) fn add(&mut self, own: VirtualConnection) -> usize {
        let number = self.links.len();
        let index = own.handle().index();
        self.links.push(Some(Box::new(own)));
        if self.by_index.len() <= index {
            self.by_index.resize(index + 1, None);
        }
        self.by_index[index] = Some(number);
        number
    }

    /// The client closes a socket.
    pub(super) fn hang_up(&mut self, number: usize) {
        let now = self.now();
        let Some(own) = self.connection_mut(number) else {
            return;
        };
        let index = own.handle().index();
        let is_unread = own.has_unread_bytes();
        let arrival = own.hang_up(now);
        self.tally.closed(is_unread);
        if self.by_index[index] == Some(number) {
            self.by_index[index] = None;
        }
        self.appoint(arrival, Appointment::AtApplication(number));
        self.remove_if_over(number);
    }

    pub(super) fn remove_if_over(&mut self, number: usize) {
        if self
            .connection(number)
            .is_some_and(VirtualConnection::is_over)
        {
            self.links[number] = None;
        }
    }

    /// Gives a connection a turn.
    pub(super) fn enqueue(&mut self, number: usize) {
        if self
            .connection_mut(number)
            .is_some_and(VirtualConnection::queue)
        {
            self.ready.push_back(number);
        }
    }

    /// How many connections wait for their turn.
    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Takes the connection at a place among those that wait for their turn.
    pub(super) fn next_turn(&mut self, place: usize) -> Option<usize> {
        self.ready.remove(place)
    }
}
