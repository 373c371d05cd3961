//! The engine without the bench of the other tests: one call at a time, in any order.

use std::time::{Duration, Instant};

use mio_fcgi::{
    Action, Config, ConnectionHandle, Engine, Event, Multiplex, Request, RequestHandle, Tag,
    Timeouts,
};

use crate::script::{Records, config, records, request};

/// The engine, and the instant that its calls are given.
pub(crate) struct Hand {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    tags: u64,
}

impl Hand {
    pub(crate) fn new(multiplex: Multiplex, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(multiplex);
        config.timeouts = Timeouts::NONE;
        change(&mut config);
        Self {
            engine: Engine::new(config).expect("a test's config is valid"),
            now: Instant::now(),
            tags: 0,
        }
    }

    pub(crate) fn submit(&mut self, request: Request) -> RequestHandle {
        self.tags += 1;
        let tag = Tag(self.tags);
        self.engine
            .submit(self.now, request, tag)
            .expect("accepted")
    }

    /// Everything but that there is something to send.
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

    /// The events that come of received bytes, in words.
    pub(crate) fn feed(
        &mut self,
        connection: ConnectionHandle,
        bytes: impl AsRef<[u8]>,
    ) -> Vec<String> {
        let mut input = bytes.as_ref();
        let mut seen = Vec::new();
        while let Some(event) = self.engine.poll_received(self.now, connection, &mut input) {
            seen.push(words(&event));
        }
        seen
    }

    /// A read that found these bytes and nothing behind them.
    pub(crate) fn read(
        &mut self,
        connection: ConnectionHandle,
        bytes: impl AsRef<[u8]>,
    ) -> Vec<String> {
        self.engine.handle_short_read(self.now, connection);
        self.feed(connection, bytes)
    }

    pub(crate) fn seen(&mut self) -> Vec<String> {
        let mut scratch = [0; 1024];
        let mut seen = Vec::new();
        while let Some(event) = self.engine.poll_event(&mut scratch) {
            seen.push(words(&event));
        }
        seen
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now += by;
        self.engine.handle_timeout(self.now);
    }

    pub(crate) fn retries(&self) -> u64 {
        self.engine.stats().counters.retries
    }
}

/// `1 out hi`, `1 done`, `1 lost: Closed`.
pub(crate) fn words(event: &Event<'_>) -> String {
    match event {
        Event::Stdout { tag, data, .. } => {
            format!("{} out {}", tag.0, String::from_utf8_lossy(data))
        }
        Event::End { tag, outcome, .. } => match outcome {
            Ok(_) => format!("{} done", tag.0),
            Err(failure) => format!("{} {:?} {:?}", tag.0, failure.error, failure.delivery),
        },
        other => format!("{other:?}"),
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
pub(crate) fn used(hand: &mut Hand) -> ConnectionHandle {
    hand.submit(get());
    let connection = hand.connect();
    assert_eq!(hand.read(connection, answer(1, "x")), ["1 out x", "1 done"]);
    connection
}
