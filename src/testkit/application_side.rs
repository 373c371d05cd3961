//! The application side of the virtual network: what arrives at applications, and what they do.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use super::agenda::Appointment;
use super::application::{Application, Replies, Reply};
use super::later::later;
use super::medium::Medium;
use super::results::Offer;
use super::server::{Connect, Notice, Server};
use super::virtual_connection::VirtualConnection;
use crate::event::ConnectionHandle;

/// The servers, and the connections that lead to them.
pub(super) struct ApplicationSide {
    servers: Vec<Server>,
    medium: Medium,
}

/// The most servers that a simulated client can have in its life.
const MAX_SERVERS: usize = 1 << 16;

impl ApplicationSide {
    pub(super) fn new(servers: usize, origin: Instant) -> Self {
        Self {
            servers: (0..servers).map(|_| Server::nowhere()).collect(),
            medium: Medium::new(origin),
        }
    }

    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// A server, which is added if there is none with this index.
    pub(super) fn server_mut(&mut self, index: usize) -> &mut Server {
        assert!(index < MAX_SERVERS, "server {index}: no client has so many");
        if self.servers.len() <= index {
            self.servers.resize_with(index + 1, Server::nowhere);
        }
        &mut self.servers[index]
    }

    pub(super) fn medium(&self) -> &Medium {
        &self.medium
    }

    pub(super) fn medium_mut(&mut self) -> &mut Medium {
        &mut self.medium
    }

    /// The client begins to connect. Returns the number of the connection, or why there is none.
    pub(super) fn connect(
        &mut self,
        handle: ConnectionHandle,
        server: usize,
        max_sockets: Option<usize>,
    ) -> Result<usize, Connect> {
        let (attempt, mut decision) = self.server_mut(server).decide();
        let now = self.medium.now();
        if max_sockets.is_some_and(|most| self.medium.open_links().count() >= most) {
            decision = Connect::Shortage(io::ErrorKind::OutOfMemory);
        }
        self.medium
            .note(format_args!("connect to server {server}: {decision:?}"));
        self.medium.tally_mut().connect(decision);
        if matches!(decision, Connect::BacklogFull | Connect::Shortage(_)) {
            return Err(decision);
        }
        let link = self.server_mut(server).link_of(attempt);
        let after = later(now, link.latency.saturating_mul(2));
        let decided = match decision {
            Connect::Accept => Some((after, None)),
            Connect::AcceptAfter(more) => Some((later(after, more), None)),
            Connect::Refuse(kind) => Some((after, Some(kind))),
            Connect::Hang | Connect::BacklogFull | Connect::Shortage(_) => None,
        };
        let own = VirtualConnection::new(server, handle, &link, now, decided);
        let number = self.medium.add(own);
        self.medium
            .appoint(decided.map(|(at, _)| at), Appointment::Decided(number));
        Ok(number)
    }

    /// The client writes as many bytes as were taken. Returns how many.
    pub(super) fn write(&mut self, number: usize, offer: Offer, slices: &[IoSlice<'_>]) -> usize {
        let medium = &mut self.medium;
        let (len, is_lost) = match offer {
            Offer::Takes { len, is_lost } => (len, is_lost),
            Offer::Nothing => return 0,
            Offer::Failed => {
                medium.tally_mut().failed_write();
                medium.note(format_args!("connection {number} takes nothing any more"));
                return 0;
            }
            Offer::Full => {
                medium.tally_mut().full_link();
                return 0;
            }
        };
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let mut bytes = Vec::with_capacity(len);
        for slice in slices {
            let missing = len - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(missing)]);
        }
        let Some(server) = medium.connection(number).map(VirtualConnection::server) else {
            return 0;
        };
        self.servers[server].show_written(number, &bytes);
        medium.tally_mut().write(len, offered, is_lost);
        medium.note_bytes(&bytes);
        let now = medium.now();
        let own = medium.connection_mut(number);
        let arrival = own.and_then(|own| own.write(now, bytes));
        medium.note(format_args!(
            "connection {number} takes {len} of {offered} bytes"
        ));
        medium.appoint(arrival, Appointment::AtApplication(number));
        len
    }

    /// The client closes a socket.
    pub(super) fn hang_up(&mut self, number: usize) {
        self.show(number, Notice::Closed);
        self.medium.hang_up(number);
    }

    /// Stops the client for a time. Applications and links go on; what was due at the client is due at the end of that
    /// time.
    pub(super) fn hold_up(&mut self, time: Duration) {
        let medium = &mut self.medium;
        let until = later(medium.now(), time);
        medium.tally_mut().hold_up();
        medium.note(format_args!("the client is held up for {time:?}"));
        let mut late = Vec::new();
        while let Some((at, what)) = self.medium.take_appointment(until) {
            match what {
                Appointment::Decided(_)
                | Appointment::AtClient(_)
                | Appointment::ResetAtClient(_) => late.push(what),
                Appointment::AtApplication(number) => {
                    self.medium.advance_to(at);
                    self.deliver(number);
                }
                Appointment::Wake(server, connection, token) => {
                    self.medium.advance_to(at);
                    self.wake(server, connection, token);
                }
            }
        }
        let medium = &mut self.medium;
        medium.advance_to(until);
        for what in late {
            medium.appoint(Some(until), what);
        }
    }

    /// The client has read bytes.
    pub(super) fn show_read(&mut self, number: usize, bytes: &[u8]) {
        if let Some(own) = self.medium.connection(number) {
            self.servers[own.server()].show_read(number, bytes);
        }
    }

    /// Reports what the driver has learned of a connection.
    pub(super) fn show(&mut self, number: usize, notice: Notice) {
        if let Some(own) = self.medium.connection(number) {
            self.servers[own.server()].show(number, notice);
        }
    }

    /// A connection was made. Without an application it stays in the backlog: it is never read.
    pub(super) fn accept(&mut self, server: usize, number: usize) {
        if self.servers[server].application().is_none() {
            let now = self.medium.now();
            if let Some(own) = self.medium.connection_mut(number) {
                own.apply(now, Reply::Read(false));
            }
        }
        self.tell(server, |application, replies| {
            application.accepted(number, replies);
        });
        self.break_if_due(number);
    }

    /// A time that an application has asked for has passed.
    pub(super) fn wake(&mut self, server: usize, connection: usize, token: u64) {
        self.medium.note(format_args!(
            "application {server} wakes, {connection} {token}"
        ));
        self.tell(server, |application, replies| {
            application.woken(connection, token, replies);
        });
    }

    /// Bytes, or the end of them, have arrived at the application. It reads all of them, unless it stops reading in
    /// between.
    pub(super) fn deliver(&mut self, number: usize) {
        let now = self.medium.now();
        let Some(own) = self.medium.connection_mut(number) else {
            return;
        };
        own.arrive_at_application(now);
        let server = own.server();
        if own.is_application_deaf() {
            let reset = own.send_reset_back(now);
            self.medium
                .appoint(reset, Appointment::ResetAtClient(number));
            self.discard(server, number);
            return;
        }
        let mut bytes = Vec::new();
        let arrival = own.read_at_application(now, &mut bytes);
        self.medium
            .appoint(arrival, Appointment::AtApplication(number));
        let mut input = &bytes[..];
        let is_reading = |medium: &Medium| {
            let own = medium.connection(number);
            own.is_some_and(VirtualConnection::is_application_reading)
        };
        while is_reading(&self.medium) && !input.is_empty() {
            self.read_item(server, number, &mut input);
        }
        if let Some(own) = self.medium.connection_mut(number) {
            own.end_read(bytes.len() - input.len(), input);
            self.break_if_due(number);
            self.flush_if_possible(number);
            self.show_end(server, number);
        }
    }

    /// Discards what has arrived, because the application takes nothing any more.
    fn discard(&mut self, server: usize, number: usize) {
        let now = self.medium.now();
        let Some(own) = self.medium.connection_mut(number) else {
            return;
        };
        let arrival = own.discard(now);
        let has_closed = own.has_application_closed();
        self.medium
            .appoint(arrival, Appointment::AtApplication(number));
        self.flush_if_possible(number);
        if !has_closed {
            self.show_end(server, number);
        }
    }

    fn read_item(&mut self, server: usize, number: usize, input: &mut &[u8]) {
        let mut replies = Replies::default();
        if let Some(own) = self.medium.connection_mut(number)
            && let Some(application) = self.servers[server].application()
        {
            own.hand_over(number, input, application, &mut replies);
        }
        self.apply(server, replies);
        if let Some(own) = self.medium.connection_mut(number)
            && own.takes_no_rest()
        {
            *input = &[];
        }
    }

    fn flush_if_possible(&mut self, number: usize) {
        if self
            .medium
            .connection(number)
            .is_some_and(VirtualConnection::can_flush)
        {
            self.medium.enqueue(number);
        }
    }

    /// Tells the application that the client has closed the connection, if it can see that now.
    fn show_end(&mut self, server: usize, number: usize) {
        if !self
            .medium
            .connection_mut(number)
            .is_some_and(VirtualConnection::show_end)
        {
            return;
        }
        self.medium.note(format_args!(
            "application {server} sees the end of {number}"
        ));
        self.tell(server, |application, replies| {
            application.closed(number, replies);
        });
        self.medium.remove_if_over(number);
    }

    /// Calls an application and carries out its replies.
    fn tell(&mut self, server: usize, what: impl FnOnce(&mut dyn Application, &mut Replies)) {
        let mut replies = Replies::default();
        if let Some(application) = self.servers[server].application() {
            what(application, &mut replies);
        }
        self.apply(server, replies);
    }

    fn apply(&mut self, server: usize, replies: Replies) {
        let now = self.medium.now();
        for (number, reply) in replies.into_list() {
            if let Reply::Wake(after, token) = reply {
                let wake = Appointment::Wake(server, number, token);
                self.medium.appoint(Some(later(now, after)), wake);
                continue;
            }
            let Some(own) = self.medium.connection_mut(number) else {
                continue;
            };
            if own.has_application_closed() {
                continue;
            }
            let (at_client, at_application) = own.apply(now, reply);
            self.medium
                .appoint(at_client, Appointment::AtClient(number));
            self.medium
                .appoint(at_application, Appointment::AtApplication(number));
            // What was discarded has made room.
            self.flush_if_possible(number);
            self.break_if_due(number);
            self.medium.remove_if_over(number);
        }
    }

    /// Ends a connection whose link breaks at this byte. The application sees it closed, as by the Web server.
    fn break_if_due(&mut self, number: usize) {
        let now = self.medium.now();
        let Some(own) = self.medium.connection_mut(number) else {
            return;
        };
        let server = own.server();
        let Some((end, at_client)) = own.break_if_due(now) else {
            return;
        };
        self.medium.tally_mut().broken();
        self.medium
            .note(format_args!("connection {number} breaks: {end:?}"));
        self.medium
            .appoint(at_client, Appointment::AtClient(number));
        self.medium
            .appoint(Some(now), Appointment::AtApplication(number));
        self.tell(server, |application, replies| {
            application.closed(number, replies);
        });
    }
}
