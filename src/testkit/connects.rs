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
        let mut decision = (server.connects)(server.attempts);
        server.attempts += 1;
        let attempt = server.attempts - 1;
        if self
            .max_sockets
            .is_some_and(|most| self.open_links().count() >= most)
        {
            decision = Connect::Shortage(io::ErrorKind::OutOfMemory);
        }
        self.note(format_args!("connect to server {index}: {decision:?}"));
        self.tally.connect(decision);
        let why = match decision {
            Connect::BacklogFull => Some(Disconnected::BacklogFull),
            Connect::Shortage(kind) => Some(Disconnected::Shortage(kind)),
            Connect::Accept | Connect::AcceptAfter(_) | Connect::Refuse(_) | Connect::Hang => None,
        };
        if let Some(why) = why {
            engine.handle_closed(self.now, handle, why);
            return;
        }
        let wire = (self.servers[index].wires)(attempt);
        let number = self.links.len();
        let after = later(self.now, wire.latency.saturating_mul(2));
        let mut link = Link::new(index, handle, &wire, self.now);
        link.decided = match decision {
            Connect::Accept => Some((after, None)),
            Connect::AcceptAfter(more) => Some((later(after, more), None)),
            Connect::Refuse(kind) => Some((after, Some(kind))),
            Connect::Hang | Connect::BacklogFull | Connect::Shortage(_) => None,
        };
        let decided = link.decided.map(|(at, _)| at);
        self.links.push(Some(Box::new(link)));
        if self.by_index.len() <= handle.index() {
            self.by_index.resize(handle.index() + 1, None);
        }
        self.by_index[handle.index()] = Some(number);
        self.appoint(decided, Appointment::Decided(number));
    }

    /// The client looks at a socket that it is connecting; true when there is news.
    pub(super) fn finish_connect(&mut self, engine: &mut Engine, number: usize) -> bool {
        let Some(link) = self.links[number].as_ref() else {
            return false;
        };
        let is_new = !link.client_closed && !link.is_open;
        match link.decided.filter(|(at, _)| is_new && *at <= self.now) {
            Some((_, None)) => self.connected(engine, number),
            Some((_, Some(kind))) => self.refused(engine, number, kind),
            None => return false,
        }
        true
    }

    /// A time limit is over: sockets that are connected by now, and were not announced, are not late.
    pub(super) fn finish_connects(&mut self, engine: &mut Engine) {
        let numbers: Vec<usize> = self.by_index.iter().flatten().copied().collect();
        for number in numbers {
            self.finish_connect(engine, number);
        }
    }

    fn connected(&mut self, engine: &mut Engine, number: usize) {
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

    fn refused(&mut self, engine: &mut Engine, number: usize, kind: io::ErrorKind) {
        let Some(link) = self.links[number].as_ref().filter(|it| !it.client_closed) else {
            return;
        };
        let handle = link.handle;
        self.note(format_args!("connection {number} is refused"));
        self.hang_up(number);
        engine.handle_closed(self.now, handle, Disconnected::ConnectFailed(kind));
    }
}
