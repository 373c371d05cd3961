//! How connections of the virtual network come about.

use std::io;

use super::later::later;
use super::link::{Connect, Link};
use super::network::{Appointment, Network};
use crate::engine::{Disconnected, Engine};
use crate::event::ConnectionHandle;

impl Network {
    pub(super) fn connect(&mut self, engine: &mut Engine, handle: ConnectionHandle, index: usize) {
        let server = &mut self.servers[index];
        let decision = (server.connects)(server.attempts);
        server.attempts += 1;
        let attempt = server.attempts - 1;
        self.note(format_args!("connect to server {index}: {decision:?}"));
        self.tally.connect(decision);
        if decision == Connect::BacklogFull {
            engine.handle_closed(self.now, handle, Disconnected::BacklogFull);
            return;
        }
        let wire = (self.servers[index].wires)(attempt);
        let number = self.links.len();
        let link = Link::new(index, handle, &wire, self.now);
        self.links.push(Some(Box::new(link)));
        if self.by_index.len() <= handle.index() {
            self.by_index.resize(handle.index() + 1, None);
        }
        self.by_index[handle.index()] = Some(number);
        let after = later(self.now, wire.latency.saturating_mul(2));
        match decision {
            Connect::Accept => self.appoint(Some(after), Appointment::Connected(number)),
            Connect::AcceptAfter(more) => {
                self.appoint(Some(later(after, more)), Appointment::Connected(number));
            }
            Connect::Refuse(kind) => {
                self.appoint(Some(after), Appointment::Refused(number, kind));
            }
            Connect::Hang | Connect::BacklogFull => {}
        }
    }

    pub(super) fn connected(&mut self, engine: &mut Engine, number: usize) {
        let Some(link) = self.links[number].as_mut().filter(|it| !it.client_closed) else {
            return;
        };
        link.is_open = true;
        let (handle, server) = (link.handle, link.server);
        self.note(format_args!(
            "connection {number} to server {server} is open"
        ));
        engine.handle_connected(self.now, handle);
        self.tell(server, |application, replies| {
            application.accepted(number, replies);
        });
        self.break_if_due(number);
    }

    pub(super) fn refused(&mut self, engine: &mut Engine, number: usize, kind: io::ErrorKind) {
        let Some(link) = self.links[number].as_ref().filter(|it| !it.client_closed) else {
            return;
        };
        let handle = link.handle;
        self.note(format_args!("connection {number} is refused"));
        self.hang_up(number);
        engine.handle_closed(self.now, handle, Disconnected::ConnectFailed(kind));
    }
}
