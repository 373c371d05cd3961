//! The sockets of the client's driver, as an operating system with edge-triggered events has them.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, IoSlice};
use std::time::Instant;

use super::agenda::Appointment;
use super::application_side::ApplicationSide;
use super::link::CloseKind;
use super::manners::Manners;
use super::results::{Found, Offer};
use super::rng::Rng;
use super::server::{Connect, Notice};
use super::virtual_connection::VirtualConnection;
use crate::address::Address;
use crate::event::ConnectionHandle;
use crate::net::{Readiness, Transport};
use crate::server::ServerId;

/// The system under a driver. A stream is the number of its connection.
pub(super) struct Kernel {
    side: ApplicationSide,
    rng: Rng,
    /// Calls are interrupted, and events come without a cause.
    is_unkind: bool,
    max_sockets: Option<usize>,
    /// Connections whose sockets an urgent byte cuts reads of, as the driver knows.
    urgent: BTreeSet<usize>,
    /// Connections whose sockets have something new to report, each once.
    ready: VecDeque<usize>,
    manners: Manners,
}

/// An event, as it was taken from the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    number: usize,
    /// The index of the connection, which is what the driver is told.
    pub(super) index: usize,
    pub(super) readiness: Readiness,
}

impl Kernel {
    pub(super) fn new(side: ApplicationSide, rng: Rng, max_sockets: Option<usize>) -> Self {
        Self {
            side,
            rng,
            is_unkind: false,
            max_sockets,
            urgent: BTreeSet::new(),
            ready: VecDeque::new(),
            manners: Manners::default(),
        }
    }

    pub(super) fn manners(&self) -> &Manners {
        &self.manners
    }

    pub(super) fn manners_mut(&mut self) -> &mut Manners {
        &mut self.manners
    }

    pub(super) fn side(&self) -> &ApplicationSide {
        &self.side
    }

    pub(super) fn side_mut(&mut self) -> &mut ApplicationSide {
        &mut self.side
    }

    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub(super) fn be_unkind(&mut self) {
        self.is_unkind = true;
    }

    pub(super) fn is_unkind(&self) -> bool {
        self.is_unkind
    }

    pub(super) fn limit_sockets(&mut self, most: Option<usize>) {
        self.max_sockets = most;
    }

    fn now(&self) -> Instant {
        self.side.medium().now()
    }

    /// Carries out the next appointment that is due. False when there is none.
    pub(super) fn keep_appointment(&mut self) -> bool {
        let now = self.now();
        let Some((_, what)) = self.side.medium_mut().take_appointment(now) else {
            return false;
        };
        match what {
            Appointment::Decided(number) => {
                // Whether it has failed, the driver asks.
                let _ = self.look(number);
                self.report(number);
            }
            Appointment::AtApplication(number) => self.side.deliver(number),
            Appointment::AtClient(number) => {
                let own = self.side.medium_mut().connection_mut(number);
                if own.is_some_and(|own| own.arrive_at_client(now)) {
                    self.report(number);
                }
            }
            Appointment::ResetAtClient(number) => {
                if let Some(own) = self.side.medium_mut().connection_mut(number) {
                    own.reset(now);
                    self.report(number);
                }
            }
            Appointment::Wake(server, connection, token) => {
                self.side.wake(server, connection, token);
            }
        }
        true
    }

    /// A socket has something new to report.
    fn report(&mut self, number: usize) {
        if self.ready.contains(&number) {
            self.side.medium_mut().tally_mut().merged_event();
        } else {
            self.ready.push_back(number);
        }
    }

    /// Takes at most `most` events, which say how the sockets are now. `None` when there is nothing to report.
    pub(super) fn take_events(&mut self, most: usize) -> Option<Vec<Taken>> {
        while let Some(number) = self.side.medium_mut().next_turn(0) {
            // There is space again.
            if let Some(own) = self.side.medium_mut().connection_mut(number) {
                own.begin_turn();
                self.report(number);
            }
        }
        if self.ready.is_empty() {
            return None;
        }
        if self.is_unkind && self.rng.below(8) == 0 {
            let open: Vec<usize> = self.side.medium().open_numbers().collect();
            if !open.is_empty() {
                let place = self.rng.below(open.len() as u64) as usize;
                if !self.ready.contains(&open[place]) {
                    self.side.medium_mut().tally_mut().spurious_event();
                }
                self.report(open[place]);
            }
        }
        let most = most.min(self.ready.len());
        let left = self.ready.len() - most;
        self.side.medium_mut().tally_mut().events_left(left);
        let numbers: Vec<usize> = self.ready.drain(..most).collect();
        let taken = numbers
            .into_iter()
            .filter_map(|number| self.event_of(number));
        Some(taken.collect())
    }

    fn event_of(&mut self, number: usize) -> Option<Taken> {
        let is_urgent = self.is_unkind && self.rng.below(64) == 0;
        let medium = self.side.medium();
        let own = medium.connection(number)?;
        let mut readiness = match own.readiness(medium.now()) {
            Some(readiness) => readiness,
            // An event without a cause, before the socket is connected.
            None if own.connecting_since().is_some() && medium.is_open(number) => Readiness {
                is_writable: true,
                ..Readiness::default()
            },
            None => return None,
        };
        readiness.is_urgent = is_urgent && readiness.is_readable;
        Some(Taken {
            number,
            index: own.handle().index(),
            readiness,
        })
    }

    /// The embedder may handle its own sockets now.
    pub(super) fn note_pause(&mut self) {
        let sockets = self.side.medium().open_numbers().count();
        self.manners.note_pause(sockets);
    }

    /// The driver has read, or could have. `wants_read`: what the engine says of a connection.
    pub(super) fn note_waits(&mut self, wants_read: impl Fn(ConnectionHandle) -> bool) {
        let medium = self.side.medium();
        let sockets = medium.open_numbers().count();
        for number in medium.open_numbers() {
            let waits = medium.connection(number).is_some_and(|own| {
                own.may_read() && own.has_unread_bytes() && wants_read(own.handle())
            });
            match waits {
                true => self.manners.note_wait(number, sockets),
                false => self.manners.end_wait(number),
            }
        }
    }

    /// The driver is told of an event now.
    pub(super) fn tell(&mut self, event: Taken) {
        let medium = self.side.medium_mut();
        medium.note(format_args!("an event: {event:?}"));
        if !medium.is_open(event.number) {
            let is_other = medium.has_open_at(event.index);
            medium.tally_mut().late_event(is_other);
        } else if event.readiness.is_urgent {
            medium.tally_mut().urgent_byte();
            self.urgent.insert(event.number);
        }
        if let Some(own) = medium.connection_mut(event.number)
            && event.readiness.is_readable
            && own.is_in_use()
        {
            if !own.may_read() {
                self.manners.note_reason();
            }
            let notice = match event.readiness.is_read_closed {
                true => Notice::ReadClosed,
                false => Notice::Readable,
            };
            own.note_announced(event.readiness.is_read_closed);
            self.side.show(event.number, notice);
        }
    }

    /// Whether a socket is connected. The application gets the connection when that is seen first.
    fn look(&mut self, number: usize) -> io::Result<bool> {
        let now = self.now();
        let medium = self.side.medium_mut();
        let Some(own) = medium.connection_mut(number) else {
            return Ok(false);
        };
        let server = own.server();
        match own.decision(now) {
            Some(Ok(())) => {
                own.open();
                medium.note(format_args!(
                    "connection {number} to server {server} is open"
                ));
                self.side.accept(server, number);
                Ok(true)
            }
            Some(Err(kind)) => Err(kind.into()),
            None => Ok(own.is_in_use()),
        }
    }

    /// Whether a call is interrupted by a signal.
    fn is_interrupted(&mut self) -> bool {
        let is_so = self.is_unkind && self.rng.below(16) == 0;
        if is_so {
            self.side.medium_mut().tally_mut().interrupted_call();
        }
        is_so
    }

    /// Whether a socket may be read and written. The driver has to know that it is connected.
    fn is_usable(&mut self, number: usize) -> bool {
        let own = self.side.medium().connection(number);
        let is_so = own.is_some_and(VirtualConnection::is_in_use);
        if !is_so {
            self.manners.accuse(format_args!(
                "connection {number} is used while it is not connected"
            ));
        }
        is_so
    }
}

impl Transport for Kernel {
    type Stream = usize;

    fn connect(
        &mut self,
        connection: ConnectionHandle,
        server: ServerId,
        _: &Address,
    ) -> io::Result<usize> {
        let server = server.number() as usize;
        self.manners.note_reason();
        let connect = self.side.connect(connection, server, self.max_sockets);
        let number = connect.map_err(|why| match why {
            Connect::BacklogFull => io::ErrorKind::WouldBlock.into(),
            // No descriptor is left, for which there is no kind.
            Connect::Shortage(io::ErrorKind::OutOfMemory) => io::Error::from_raw_os_error(EMFILE),
            Connect::Shortage(kind) => kind.into(),
            _ => io::Error::from(io::ErrorKind::ConnectionRefused),
        })?;
        if self.is_unkind && self.rng.below(2) == 0 {
            // Known at once, as with a Unix socket.
            let now = self.now();
            let own = self.side.medium().connection(number);
            if let Some(Err(kind)) = own.and_then(|own| own.decision(now)) {
                self.side.medium_mut().tally_mut().refused_at_once();
                self.side.hang_up(number);
                return Err(kind.into());
            }
        }
        Ok(number)
    }

    fn is_connected(&mut self, stream: &usize) -> io::Result<bool> {
        self.look(*stream)
    }

    fn read(&mut self, stream: &mut usize, bytes: &mut [u8]) -> io::Result<usize> {
        if self.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let (number, now) = (*stream, self.now());
        if !self.is_usable(number) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let medium = self.side.medium_mut();
        let Some(own) = medium.connection_mut(number) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        self.manners.end_wait(number);
        let mut input = Vec::new();
        let mut most = bytes.len();
        if self.urgent.contains(&number) {
            most = 1 + self.rng.below(most as u64) as usize;
        }
        let is_after_failure = own.has_write_failed();
        match own.receive(now, most, &mut self.rng, &mut input) {
            Found::End(end) => {
                medium.tally_mut().end(end);
                medium.note(format_args!("connection {number} has ended, {end:?}"));
                match end {
                    CloseKind::Fin => Ok(0),
                    CloseKind::Reset => Err(io::ErrorKind::ConnectionReset.into()),
                }
            }
            Found::Nothing { is_over } => {
                medium.tally_mut().empty_read(is_over);
                medium.note(format_args!("connection {number} is empty"));
                self.side.show(number, Notice::Drained);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Found::Some {
                len,
                available,
                buffer_len,
                is_drained,
                arrival,
            } => {
                medium.tally_mut().read(len, available, buffer_len);
                if is_after_failure {
                    medium.tally_mut().answer_after_failure();
                }
                medium.appoint(arrival, Appointment::AtClient(number));
                medium.note_bytes(&input);
                medium.note(format_args!("connection {number} brings {len} bytes"));
                let notice = match is_drained {
                    true => Notice::Drained,
                    false => Notice::Readable,
                };
                self.side.show(number, notice);
                self.side.show_read(number, &input);
                bytes[..len].copy_from_slice(&input);
                self.manners.note_read(len);
                Ok(len)
            }
        }
    }

    fn write(&mut self, stream: &mut usize, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let number = *stream;
        if !self.is_usable(number) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let Some(own) = self.side.medium_mut().connection_mut(number) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if own.has_write_failed() {
            self.manners.accuse(format_args!(
                "connection {number} is written although a write has failed"
            ));
        }
        let offer = own.offer(offered, &mut self.rng);
        match offer {
            Offer::Takes { len, .. } if len == offered => {}
            // The driver waits for an event, which comes when there is space.
            Offer::Takes { .. } | Offer::Full => {
                own.ask_to_flush();
                if own.can_flush() {
                    self.report(number);
                }
            }
            Offer::Nothing | Offer::Failed => {}
        }
        match self.side.write(number, offer, slices) {
            0 if offer == Offer::Full => Err(io::ErrorKind::WouldBlock.into()),
            0 if self.is_unkind && self.rng.below(2) == 0 => {
                Err(io::ErrorKind::ConnectionReset.into())
            }
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            len => Ok(len),
        }
    }

    fn is_drained_by_short_reads(&self, stream: &usize) -> bool {
        let own = self.side.medium().connection(*stream);
        own.is_none_or(|own| own.is_drained_by_short_reads())
    }

    fn close(&mut self, stream: usize) {
        self.ready.retain(|number| *number != stream);
        self.manners.end_wait(stream);
        self.urgent.remove(&stream);
        self.side.hang_up(stream);
    }
}

/// The system's error for too many open files.
const EMFILE: i32 = if cfg!(windows) { 10024 } else { 24 };

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}
