//! The client's side of the virtual network: what is announced, and how connections take turns at writing and reading.
//! It does what [`Client`](crate::Client) does.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use super::agenda::Appointment;
use super::application_side::ApplicationSide;
use super::link::CloseKind;
use super::results::{BUFFER_LEN, Found, Offer};
use super::rng::Rng;
use super::server::{Connect, Notice};
use crate::engine::{Action, Disconnected, Engine};
use crate::error::StdinError;
use crate::event::{ConnectionHandle, Event, RequestHandle};

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

    pub(super) fn set_rng(&mut self, rng: Rng) {
        self.rng = rng;
    }

    /// What a driver of another kind needs.
    pub(super) fn into_parts(self) -> (ApplicationSide, Rng, Option<usize>) {
        (self.side, self.rng, self.max_sockets)
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

    /// Does one thing that can be done now. False when there is none.
    pub(super) fn step(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        let first = self.place(4);
        (0..4).any(|kind| match (first + kind) % 4 {
            0 => self.keep_appointment(engine),
            1 => self.take_output(engine, on_event),
            2 => self.take_turn(engine, on_event),
            _ => {
                let now = self.side.medium().now();
                let is_due = engine.timeout(now) == Some(Duration::ZERO);
                if is_due {
                    self.finish_connects(engine);
                    engine.handle_timeout(now);
                }
                is_due
            }
        })
    }

    /// A connection that the engine wants to use without having asked the driver to.
    pub(super) fn forgotten(&self, engine: &Engine) -> Option<ConnectionHandle> {
        let forgotten = self.side.medium().open_links().find(|own| {
            let wants_write = !engine.transmit(own.handle()).is_empty();
            own.is_forgotten(wants_write, engine.wants_read(own.handle()))
        });
        forgotten.map(|own| own.handle())
    }

    /// A place below `count`: 0, or any of them when the order is shuffled.
    fn place(&mut self, count: u64) -> u64 {
        match self.is_shuffled {
            true => self.rng.below(count),
            false => 0,
        }
    }

    /// Carries out the next appointment that is due. False when there is none.
    fn keep_appointment(&mut self, engine: &mut Engine) -> bool {
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

    /// Takes an event or an action from the engine. False when there is none.
    fn take_output(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
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
                    self.side.hang_up(number);
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
    fn take_turn(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
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
    fn finish_connects(&mut self, engine: &mut Engine) {
        let numbers: Vec<usize> = self.side.medium().open_numbers().collect();
        for number in numbers {
            self.finish_connect(engine, number);
        }
    }

    fn connect(&mut self, engine: &mut Engine, handle: ConnectionHandle, index: usize) {
        let why = match self.side.connect(handle, index, self.max_sockets) {
            Err(Connect::BacklogFull) => Disconnected::BacklogFull,
            Err(Connect::Shortage(kind)) => Disconnected::Shortage(kind),
            Ok(_) | Err(_) => return,
        };
        let now = self.side.medium().now();
        engine.handle_closed(now, handle, why);
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
                self.side.hang_up(number);
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

    /// Writes bytes of a pushed body: those that the socket takes at once are not copied. When the order is drawn, every
    /// second call copies all.
    pub(super) fn write_stdin(
        &mut self,
        engine: &mut Engine,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError> {
        let now = self.side.medium().now();
        if self.place(2) == 1 {
            return engine.write_stdin(now, request, bytes);
        }
        engine.write_stdin_with(now, request, bytes, |connection, slices| {
            let number = self.side.medium().number(connection);
            number.map_or(0, |number| self.offer(number, slices))
        })
    }

    /// Offers bytes to a socket. Returns how many it takes.
    fn offer(&mut self, number: usize, slices: &[IoSlice<'_>]) -> usize {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let Some(own) = self.side.medium_mut().connection_mut(number) else {
            return 0;
        };
        let offer = own.offer(offered, &mut self.rng);
        if offer == Offer::Failed {
            self.side.medium_mut().enqueue(number);
        }
        self.side.write(number, offer, slices)
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
                medium.tally_mut().empty_read(is_over);
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
                self.side.show_read(number, &self.input);
                let medium = self.side.medium_mut();
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
        self.side.hang_up(number);
        engine.handle_closed(now, handle, why);
    }
}
