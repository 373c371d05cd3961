//! A bench driven by hand: one call of the engine at a time, in any order, and nothing happens by itself.

use std::time::Duration;

use mio_fcgi::{
    Action, Config, ConnectionHandle, Disconnected, Multiplex, Request, RequestHandle, Tag,
    Timeouts,
};

use crate::harness::Bench;
use crate::script::{Records, Seen, config, done, out, records, request};

impl Bench {
    /// A bench without time limits, except those that `change` sets.
    pub(crate) fn without_timeouts(multiplex: Multiplex, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(multiplex);
        config.timeouts = Timeouts::NONE;
        change(&mut config);
        Self::new(config)
    }

    /// Submits a request under the next tag and does nothing else.
    pub(crate) fn ask(&mut self, request: Request) -> RequestHandle {
        let tag = Tag(self.next_tag);
        let handle = self.engine.submit(self.now, request, tag);
        let handle = handle.expect("the request is accepted");
        self.note_accepted(handle);
        handle
    }

    /// Takes every action except those that announce bytes to send.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        let actions = std::iter::from_fn(|| self.engine.poll_action());
        actions
            .filter(|action| !matches!(action, Action::Flush { .. }))
            .collect()
    }

    /// The connections that the engine wants to open now.
    pub(crate) fn dialled(&mut self) -> Vec<ConnectionHandle> {
        let connects = self
            .actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Connect { connection, .. } => Some(connection),
                _ => None,
            });
        connects.collect()
    }

    /// Opens the one connection that the engine wants, and sends what it has for it.
    pub(crate) fn connect(&mut self) -> ConnectionHandle {
        let dialled = self.dialled();
        let [connection] = dialled[..] else {
            panic!("one connection: {dialled:?}");
        };
        self.engine.handle_connected(self.now, connection);
        self.send(connection);
        connection
    }

    pub(crate) fn send(&mut self, connection: ConnectionHandle) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.engine.poll_transmit(self.now, connection, &mut bytes) > 0 {}
        bytes
    }

    /// How many bytes the engine offers to send.
    pub(crate) fn unsent(&mut self, connection: ConnectionHandle) -> usize {
        let slices = self.engine.transmit(connection);
        slices.iter().map(|slice| slice.len()).sum()
    }

    /// Feeds received bytes and returns the events.
    pub(crate) fn receive(
        &mut self,
        connection: ConnectionHandle,
        bytes: impl AsRef<[u8]>,
    ) -> Vec<Seen> {
        let mut input = bytes.as_ref();
        while let Some(event) = self.engine.poll_received(self.now, connection, &mut input) {
            let event = event.into_owned();
            self.note(event);
        }
        self.seen()
    }

    /// A read that found these bytes and nothing after them.
    pub(crate) fn short_read(
        &mut self,
        connection: ConnectionHandle,
        bytes: impl AsRef<[u8]>,
    ) -> Vec<Seen> {
        self.engine.handle_short_read(self.now, connection);
        self.receive(connection, bytes)
    }

    /// A read that found nothing.
    pub(crate) fn drained(&mut self, connection: ConnectionHandle) {
        self.engine.handle_drained(self.now, connection);
    }

    pub(crate) fn closed(&mut self, connection: ConnectionHandle, why: Disconnected) {
        self.engine.handle_closed(self.now, connection, why);
    }

    /// The events that the engine has without received bytes.
    pub(crate) fn polled(&mut self) -> Vec<Seen> {
        let mut scratch = [0; 1024];
        while let Some(event) = self.engine.poll_pending(&mut scratch) {
            let event = event.into_owned();
            self.note(event);
        }
        self.seen()
    }

    /// Lets time pass and reports it once, however many deadlines have passed.
    pub(crate) fn tick(&mut self, by: Duration) {
        self.now += by;
        self.engine.handle_timeout(self.now);
    }
}

pub(crate) fn get() -> Request {
    request().param("REQUEST_METHOD", "GET")
}

pub(crate) fn post() -> Request {
    request().param("REQUEST_METHOD", "POST")
}

pub(crate) fn answer(id: u16, text: &str) -> Records {
    records().stdout(id, text).end(id, 0)
}

/// One connection that has served one GET and is idle.
pub(crate) fn used(hand: &mut Bench) -> ConnectionHandle {
    hand.ask(get());
    let connection = hand.connect();
    let seen = hand.short_read(connection, answer(1, "x"));
    assert_eq!(seen, [out(1, "x"), done(1)]);
    connection
}
