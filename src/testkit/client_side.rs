//! The client's side of the virtual network: what is announced, and how connections take turns at writing and reading.
//! It does what [`Client`](crate::Client) does.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use super::agenda::Appointment;
use super::application_side::ApplicationSide;
use super::later::later;
use super::link::CloseKind;
use super::rng::Rng;
use super::server::{Connect, Notice};
use super::virtual_connection::{BUFFER_LEN, Found, Offer, VirtualConnection};
use crate::engine::{Action, Disconnected, Engine};
use crate::event::{ConnectionHandle, Event};

/// The driver of an engine, on top of the application side.
pub(super) struct ClientSide {
    side: ApplicationSide,
    rng: Rng,
    is_shuffled: bool,
    max_sockets: Option<usize>,
    /// The buffer for the engine's events.
    buffer: Vec<u8>,
    /// The bytes of the last read.
    input: Vec<u8>,
}

/// Called with each event. It may give commands to the engine.
pub(super) type OnEvent<'a> = dyn FnMut(&mut Engine, Instant, Event<&[u8]>) + 'a;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// It returned bytes, and the engine has them.
    Some,
    /// It would have blocked.
    Nothing,
    /// It returned the end, or an error.
    End,
}

/// The result of a connection's turn at writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Nothing,
    /// Bytes were written, and more may be.
    Some,
    /// The connection had to be read first, and the read returned bytes.
    ReadFirst,
}

impl ClientSide {
    pub(super) fn new(servers: usize, origin: Instant, seed: u64) -> Self {
        Self {
            side: ApplicationSide::new(servers, origin),
            rng: Rng::new(seed),
            is_shuffled: false,
            max_sockets: None,
            buffer: vec![0; BUFFER_LEN],
            input: Vec::new(),
        }
    }

    pub(super) fn side(&self) -> &ApplicationSide {
        &self.side
    }

    pub(super) fn side_mut(&mut self) -> &mut ApplicationSide {
        &mut self.side
    }

    pub(super) fn shuffle(&mut self) {
        self.is_shuffled = true;
    }

    pub(super) fn limit_sockets(&mut self, most: Option<usize>) {
        self.max_sockets = most;
    }

    /// A place below `count`: 0, or any of them when the order is shuffled.
    pub(super) fn place(&mut self, count: u64) -> u64 {
        match self.is_shuffled {
            true => self.rng.below(count),
            false => 0,
        }
    }

    /// Carries out the next appointment that is due. False when there is none.
    pub(super) fn keep_appointment(&mut self, engine: &mut Engine) -> bool {
        let medium = self.side.medium_mut();
        let now = medium.now();
        let Some((_, what)) = medium.take_appointment(now) else {
            return false;
        };
        match what {
            Appointment::Decided(number) => self.finish_connect(engine, number),
            Appointment::AtApplication(number) => self.side.deliver(number),
            Appointment::AtClient(number) => {
                let own = medium.connection_mut(number);
                if own.is_some_and(|own| own.arrive_at_client(now)) {
                    self.announce(engine, number);
                }
            }
            Appointment::ResetAtClient(number) => {
                if let Some(own) = medium.connection_mut(number) {
                    own.reset(now);
                    self.announce(engine, number);
                }
            }
            Appointment::Wake(server, connection, token) => {
                self.side.wake(server, connection, token);
            }
        }
        true
    }

    /// Stops the client for a time. Applications and links go on; what was due at the client is due at the end of that
    /// time.
    pub(super) fn hold_up(&mut self, time: Duration) {
        let medium = self.side.medium_mut();
        let until = later(medium.now(), time);
        medium.tally_mut().hold_up();
        medium.note(format_args!("the client is held up for {time:?}"));
        let mut late = Vec::new();
        while let Some((at, what)) = self.side.medium_mut().take_appointment(until) {
            match what {
                Appointment::Decided(_)
                | Appointment::AtClient(_)
                | Appointment::ResetAtClient(_) => late.push(what),
                Appointment::AtApplication(number) => {
                    self.side.medium_mut().advance_to(at);
                    self.side.deliver(number);
                }
                Appointment::Wake(server, connection, token) => {
                    self.side.medium_mut().advance_to(at);
                    self.side.wake(server, connection, token);
                }
            }
        }
        let medium = self.side.medium_mut();
        medium.advance_to(until);
        for what in late {
            medium.appoint(Some(until), what);
        }
    }

    /// Takes an event or an action from the engine. False when there is none.
    pub(super) fn take_output(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        if !engine.has_output() {
            return false;
        }
        let len = match self.is_shuffled {
            true => 1 + self.rng.below(BUFFER_LEN as u64) as usize,
            false => BUFFER_LEN,
        };
        let medium = self.side.medium_mut();
        if let Some(event) = engine.poll_pending(&mut self.buffer[..len]) {
            medium.note_event(&event);
            on_event(engine, medium.now(), event);
            return true;
        }
        let Some(action) = engine.poll_action() else {
            return engine.has_output();
        };
        medium.note(format_args!("{action:?}"));
        match action {
            Action::Connect { connection, server } => {
                self.connect(engine, connection, server.number() as usize);
            }
            Action::Close { connection, .. } => {
                if let Some(number) = medium.number(connection) {
                    self.hang_up(number);
                }
            }
            Action::Flush { connection } => {
                if let Some(number) = medium.number(connection)
                    && let Some(own) = medium.connection_mut(number)
                {
                    own.ask_to_flush();
                    medium.enqueue(number);
                }
            }
            Action::Read { connection } => {
                if let Some(number) = medium.number(connection)
                    && let Some(own) = medium.connection_mut(number)
                {
                    // Bytes may be in the socket although none were announced.
                    own.ask_to_read(engine.is_unread(connection));
                    medium.enqueue(number);
                }
            }
        }
        true
    }

    /// The next connection in turn writes, or reads once. False when there is none.
    pub(super) fn take_turn(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        let place = self.place(self.side.medium().ready_len() as u64);
        let medium = self.side.medium_mut();
        let Some(number) = medium.next_turn(place as usize) else {
            return false;
        };
        let Some(own) = medium.connection_mut(number) else {
            return true;
        };
        own.begin_turn();
        if !own.is_in_use() {
            return true;
        }
        let written = match own.is_flushing() {
            true => self.write(engine, number, on_event),
            false => Written::Nothing,
        };
        let medium = self.side.medium_mut();
        let Some(own) = medium.connection(number) else {
            return true;
        };
        let may_read = own.may_read() && engine.wants_read(own.handle());
        match written {
            Written::Some | Written::ReadFirst => medium.enqueue(number),
            Written::Nothing if may_read => {
                self.read(engine, number, on_event);
            }
            Written::Nothing => {}
        }
        true
    }

    /// Looks at all sockets that are connecting, before a time limit counts: a socket that is connected by now is in
    /// time, although that was not announced.
    pub(super) fn finish_connects(&mut self, engine: &mut Engine) {
        let numbers: Vec<usize> = self.side.medium().open_numbers().collect();
        for number in numbers {
            self.finish_connect(engine, number);
        }
    }

    fn connect(&mut self, engine: &mut Engine, handle: ConnectionHandle, index: usize) {
        let (attempt, mut decision) = self.side.server_mut(index).decide();
        let medium = self.side.medium_mut();
        let now = medium.now();
        if self
            .max_sockets
            .is_some_and(|most| medium.open_links().count() >= most)
        {
            decision = Connect::Shortage(io::ErrorKind::OutOfMemory);
        }
        medium.note(format_args!("connect to server {index}: {decision:?}"));
        medium.tally_mut().connect(decision);
        let why = match decision {
            Connect::BacklogFull => Some(Disconnected::BacklogFull),
            Connect::Shortage(kind) => Some(Disconnected::Shortage(kind)),
            Connect::Accept | Connect::AcceptAfter(_) | Connect::Refuse(_) | Connect::Hang => None,
        };
        if let Some(why) = why {
            engine.handle_closed(now, handle, why);
            return;
        }
        let link = self.side.server_mut(index).link_of(attempt);
        let after = later(now, link.latency.saturating_mul(2));
        let decided = match decision {
            Connect::Accept => Some((after, None)),
            Connect::AcceptAfter(more) => Some((later(after, more), None)),
            Connect::Refuse(kind) => Some((after, Some(kind))),
            Connect::Hang | Connect::BacklogFull | Connect::Shortage(_) => None,
        };
        let medium = self.side.medium_mut();
        let number = medium.add(VirtualConnection::new(index, handle, &link, now, decided));
        medium.appoint(decided.map(|(at, _)| at), Appointment::Decided(number));
    }

    /// The client looks whether a socket is connected.
    fn finish_connect(&mut self, engine: &mut Engine, number: usize) {
        let medium = self.side.medium_mut();
        let now = medium.now();
        let Some(own) = medium.connection_mut(number) else {
            return;
        };
        let (handle, server) = (own.handle(), own.server());
        match own.decision(now) {
            Some(Ok(())) => {
                own.open();
                medium.note(format_args!(
                    "connection {number} to server {server} is open"
                ));
                engine.handle_connected(now, handle);
                self.side.accept(server, number);
            }
            Some(Err(kind)) => {
                medium.note(format_args!("connection {number} is refused"));
                self.hang_up(number);
                engine.handle_closed(now, handle, Disconnected::ConnectFailed(kind));
            }
            None => {}
        }
    }

    /// Bytes, or the end of them, have arrived at the client's socket. The driver learns that now, and reads later.
    fn announce(&mut self, engine: &mut Engine, number: usize) {
        let medium = self.side.medium_mut();
        let now = medium.now();
        let Some(own) = medium.connection_mut(number) else {
            return;
        };
        let handle = own.handle();
        let Some(notice) = own.announce() else {
            return;
        };
        if notice == Notice::ReadClosed {
            medium.note(format_args!("connection {number} has ended, unread"));
            engine.handle_read_closed(now, handle);
        } else {
            medium.note(format_args!("connection {number} is readable"));
            engine.handle_readable(now, handle);
        }
        medium.enqueue(number);
        self.side.show(number, notice);
    }

    fn write(&mut self, engine: &mut Engine, number: usize, on_event: &mut OnEvent<'_>) -> Written {
        let Some(own) = self.side.medium().connection(number) else {
            return Written::Nothing;
        };
        let handle = own.handle();
        if engine.reads_first(handle) && !own.has_write_failed() {
            let read = self.read(engine, number, on_event);
            if read == Read::Some || engine.reads_first(handle) {
                return Written::ReadFirst;
            }
        }
        let slices = engine.transmit(handle);
        match self.offer(number, &slices) {
            0 => Written::Nothing,
            len => {
                engine.handle_transmitted(self.side.medium().now(), handle, len);
                Written::Some
            }
        }
    }

    /// Gives bytes of a pushed body, which the engine has not copied, to the socket.
    pub(super) fn write_now(
        &mut self,
        connection: ConnectionHandle,
        slices: &[IoSlice<'_>],
    ) -> usize {
        let number = self.side.medium().number(connection);
        number.map_or(0, |number| self.offer(number, slices))
    }

    /// Offers bytes to a socket. Returns how many it takes.
    fn offer(&mut self, number: usize, slices: &[IoSlice<'_>]) -> usize {
        let medium = self.side.medium_mut();
        let now = medium.now();
        let Some(own) = medium.connection_mut(number) else {
            return 0;
        };
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let (len, is_lost) = match own.offer(offered, &mut self.rng) {
            Offer::Takes { len, is_lost } => (len, is_lost),
            Offer::Nothing => return 0,
            Offer::Failed => {
                medium.tally_mut().failed_write();
                medium.note(format_args!("connection {number} takes nothing any more"));
                medium.enqueue(number);
                return 0;
            }
            Offer::Full => {
                medium.tally_mut().full_link();
                return 0;
            }
        };
        let mut bytes = Vec::with_capacity(len);
        for slice in slices.iter() {
            let missing = len - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(missing)]);
        }
        let server = own.server();
        self.side.server_mut(server).show_written(number, &bytes);
        let medium = self.side.medium_mut();
        medium.tally_mut().write(len, offered, is_lost);
        medium.note_bytes(&bytes);
        let own = medium.connection_mut(number);
        let arrival = own.and_then(|own| own.write(now, bytes));
        medium.note(format_args!(
            "connection {number} takes {len} of {offered} bytes"
        ));
        medium.appoint(arrival, Appointment::AtApplication(number));
        len
    }

    fn read(&mut self, engine: &mut Engine, number: usize, on_event: &mut OnEvent<'_>) -> Read {
        let medium = self.side.medium_mut();
        let now = medium.now();
        let Some(own) = medium.connection_mut(number) else {
            return Read::End;
        };
        let handle = own.handle();
        self.input.clear();
        match own.read(now, &mut self.rng, &mut self.input) {
            Found::End(end) => {
                medium.tally_mut().end(end);
                let why = match end {
                    CloseKind::Fin => Disconnected::Eof,
                    CloseKind::Reset => Disconnected::Failed(io::ErrorKind::ConnectionReset),
                };
                self.report_lost(engine, number, handle, why);
                Read::End
            }
            Found::Nothing { is_over } => {
                medium.tally_mut().empty_read();
                if is_over {
                    let why = Disconnected::Failed(io::ErrorKind::BrokenPipe);
                    self.report_lost(engine, number, handle, why);
                    return Read::End;
                }
                medium.note(format_args!("connection {number} is empty"));
                self.side.show(number, Notice::Drained);
                engine.handle_drained(now, handle);
                Read::Nothing
            }
            Found::Some {
                len,
                available,
                buffer_len,
                is_drained,
                arrival,
            } => {
                medium.tally_mut().read(len, available, buffer_len);
                medium.appoint(arrival, Appointment::AtClient(number));
                medium.note_bytes(&self.input);
                medium.note(format_args!("connection {number} brings {len} bytes"));
                if is_drained {
                    engine.note_drained(handle);
                    self.side.show(number, Notice::Drained);
                } else {
                    engine.note_readable(handle);
                    medium.enqueue(number);
                    self.side.show(number, Notice::Readable);
                }
                self.feed(engine, handle, on_event);
                Read::Some
            }
        }
    }

    /// Gives the engine the bytes that were read.
    fn feed(&mut self, engine: &mut Engine, handle: ConnectionHandle, on_event: &mut OnEvent<'_>) {
        let medium = self.side.medium_mut();
        let mut input = &self.input[..];
        while let Some(event) = engine.poll_received(medium.now(), handle, &mut input) {
            medium.note_event(&event);
            on_event(engine, medium.now(), event);
        }
    }

    /// Ends a connection that was lost.
    fn report_lost(
        &mut self,
        engine: &mut Engine,
        number: usize,
        handle: ConnectionHandle,
        why: Disconnected,
    ) {
        let medium = self.side.medium_mut();
        let now = medium.now();
        medium.note(format_args!("connection {number} has ended, {why:?}"));
        self.hang_up(number);
        engine.handle_closed(now, handle, why);
    }

    /// The client closes a socket.
    fn hang_up(&mut self, number: usize) {
        self.side.show(number, Notice::Closed);
        self.side.medium_mut().hang_up(number);
    }
}
