//! What the fuzz targets do with their octets. `tests/fuzz_corpus.rs` runs the same over the corpus.

use std::time::{Duration, Instant};

use mio_fcgi::cgi::HeadParser;
use mio_fcgi::wire::{Demux, Pairs, write_pair};
use mio_fcgi::{
    Action, Body, Config, Disconnected, Engine, Event, Multiplex, Request, RequestHandle, Tag,
};

/// An application sends these octets, cut at places drawn from the first ones. Each request ends once.
pub(crate) fn received(input: &[u8]) {
    let Some((cuts, mut octets)) = input.split_at_checked(4) else {
        return;
    };
    let mut demux = Demux::default();
    let mut rest = octets;
    while let Ok(Some(_)) = demux.next(&mut rest) {}

    let mut driver = Driver::new(if cuts[0] % 2 == 0 {
        Multiplex::Off
    } else {
        Multiplex::On { max: 3 }
    });
    for tag in 0..1 + cuts[1] % 3 {
        driver.submit(
            u64::from(tag),
            Body::bytes(vec![b'b'; usize::from(cuts[2])]),
        );
    }
    driver.act();
    let piece = 1 + usize::from(cuts[3]);
    while !octets.is_empty() {
        let (now, later) = octets.split_at(piece.min(octets.len()));
        driver.feed(0, now);
        driver.act();
        octets = later;
    }
    driver.finish();
}

/// Parameters: what is decoded, encoded again, is the same.
pub(crate) fn params(input: &[u8]) {
    let mut encoded = Vec::new();
    for pair in Pairs::new(input) {
        let Ok((name, value)) = pair else {
            return;
        };
        let before = encoded.len();
        write_pair(&mut encoded, name, value).expect("lengths that were read can be written");
        let again = Pairs::new(&encoded[before..]).next();
        assert_eq!(again, Some(Ok((name, value))));
    }
}

/// A response head: the same in one piece and octet by octet.
pub(crate) fn head(input: &[u8]) {
    let mut whole = HeadParser::default();
    let mut pieces = HeadParser::default();
    let seen = |head: mio_fcgi::cgi::Head<'_>| format!("{head:?}");
    let first = whole
        .push(input)
        .map(|found| found.map(|(head, _)| seen(head)));
    let mut second = Ok(None);
    for octet in input.chunks(1) {
        second = pieces
            .push(octet)
            .map(|found| found.map(|(head, _)| seen(head)));
        if !matches!(second, Ok(None)) {
            break;
        }
    }
    assert_eq!(first, second);
}

/// Each octet is a call of the engine. Nothing panics, each request ends once, nothing is left.
pub(crate) fn calls(input: &[u8]) {
    let mut octets = input.iter().copied();
    let multiplex = match octets.next() {
        Some(first) if first % 2 == 1 => Multiplex::On { max: 2 },
        _ => Multiplex::Auto,
    };
    let mut driver = Driver::new(multiplex);
    let mut tag = 0;
    while let Some(call) = octets.next() {
        let argument = octets.next().unwrap_or_default();
        let handle = driver.handle(argument);
        let place = usize::from(argument);
        match (call % 16, handle) {
            (0, _) => {
                tag += 1;
                driver.submit(tag, Body::bytes(vec![b'b'; 100 * usize::from(argument)]));
            }
            (1, _) => {
                tag += 1;
                driver.submit(tag, Body::pushed(Some(u64::from(argument))));
            }
            (2, Some(handle)) => driver.engine.abort(driver.now, handle),
            (3, Some(handle)) => driver.engine.pause(driver.now, handle),
            (4, Some(handle)) => driver.engine.resume(driver.now, handle),
            (5, Some(handle)) => {
                let _ = driver.engine.write_stdin(driver.now, handle, &[b'b'; 9]);
            }
            (6, Some(handle)) => {
                let _ = driver.engine.finish_stdin(driver.now, handle);
            }
            (7, _) => driver.act(),
            (8, _) => driver.now += Duration::from_millis(u64::from(argument) * 50),
            (9, _) => driver.engine.handle_timeout(driver.now),
            (10, _) => driver.transmit(place, usize::from(argument) * 7),
            (11, _) => driver.lose(place, Disconnected::Eof),
            (12, _) => driver.lose(place, Disconnected::BacklogFull),
            (13, _) => driver.feed(place, &[1, 6, 0, 1, 0, 1, 0, 0, b'x']),
            (14, _) => driver.feed(place, &[1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            _ => {
                let _ = driver.engine.get_values(driver.now, 0, Tag(999));
            }
        }
        driver.take_events();
    }
    driver.finish();
}

struct Driver {
    engine: Engine,
    now: Instant,
    open: Vec<mio_fcgi::ConnectionHandle>,
    handles: Vec<RequestHandle>,
    ended: Vec<RequestHandle>,
}

impl Driver {
    fn new(multiplex: Multiplex) -> Self {
        let mut config = Config::new(std::net::SocketAddr::from(([127, 0, 0, 1], 9000)).into());
        config.multiplex = multiplex;
        config.limits.max_connections = 2;
        config.limits.max_queue = 8;
        Self {
            engine: Engine::new(config).expect("the configuration is valid"),
            now: Instant::now(),
            open: Vec::new(),
            handles: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn submit(&mut self, tag: u64, body: Body) {
        let request = Request::responder().param("A", "1").with_body(body);
        if let Ok(handle) = self.engine.submit(self.now, request, Tag(tag)) {
            self.handles.push(handle);
        }
    }

    fn handle(&self, place: u8) -> Option<RequestHandle> {
        let place = usize::from(place) % self.handles.len().max(1);
        self.handles.get(place).copied()
    }

    fn note(ended: &mut Vec<RequestHandle>, event: &Event<'_>) {
        let Some(request) = event.request() else {
            return;
        };
        assert!(!ended.contains(&request), "{event:?} after the end");
        if let Event::End { .. } = event {
            ended.push(request);
        }
    }

    fn take_events(&mut self) {
        let mut scratch = [0; 300];
        while let Some(event) = self.engine.poll_event(&mut scratch) {
            Self::note(&mut self.ended, &event);
        }
    }

    /// Does what is asked for: connects succeed, writes take everything.
    fn act(&mut self) {
        loop {
            self.take_events();
            let Some(action) = self.engine.poll_action() else {
                return;
            };
            match action {
                Action::Connect { connection, .. } => {
                    self.open.push(connection);
                    self.engine.handle_connected(self.now, connection);
                }
                Action::Close { connection, .. } => self.open.retain(|it| *it != connection),
                Action::Flush { connection } => {
                    if let Some(place) = self.open.iter().position(|it| *it == connection) {
                        self.transmit(place, usize::MAX);
                    }
                }
                _ => {}
            }
        }
    }

    fn transmit(&mut self, place: usize, most: usize) {
        let Some(connection) = self.open.get(place % self.open.len().max(1)).copied() else {
            return;
        };
        let mut left = most;
        while left > 0 {
            let slices = self.engine.transmit(connection);
            let len: usize = slices.iter().map(|slice| slice.len()).sum();
            if len == 0 {
                return;
            }
            let len = len.min(left);
            left -= len;
            self.engine.handle_transmitted(self.now, connection, len);
        }
    }

    fn feed(&mut self, place: usize, mut octets: &[u8]) {
        let Some(connection) = self.open.get(place % self.open.len().max(1)).copied() else {
            return;
        };
        while let Some(event) = self.engine.poll_received(self.now, connection, &mut octets) {
            Self::note(&mut self.ended, &event);
        }
    }

    fn lose(&mut self, place: usize, why: Disconnected) {
        if !self.open.is_empty() {
            let connection = self.open.remove(place % self.open.len());
            self.engine.handle_closed(self.now, connection, why);
        }
    }

    /// Shuts down at once: each request has ended then, and nothing is left.
    fn finish(&mut self) {
        self.engine.shutdown(self.now, Some(self.now));
        self.engine.handle_timeout(self.now);
        self.act();
        for handle in &self.handles {
            assert!(self.ended.contains(handle), "{handle:?} has not ended");
        }
        assert!(self.engine.is_idle(), "{:?}", self.engine);
    }
}
