//! The application's end of a connection in `random.rs`: knows its requests, and misbehaves when asked to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mio_fcgi::wire::{Demux, Item, Pairs, ProtocolStatus, RecordType};

use crate::random::Random;
use crate::script::{Records, records};

/// What a request's body has at a place.
pub(crate) fn request_octet(tag: u64, at: u64) -> u8 {
    (tag.wrapping_mul(37) ^ at.wrapping_mul(11) ^ (at >> 8)) as u8
}

/// What a response has at a place; never 0xff, which is what late output is made of.
pub(crate) fn response_octet(tag: u64, at: u64) -> u8 {
    (tag.wrapping_mul(101)
        .wrapping_add(at.wrapping_mul(7))
        .wrapping_add(at >> 8)
        % 255) as u8
}

/// How a server answers `FCGI_GET_VALUES`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Multiplexes,
    Plain,
    Silent,
    Unknown,
    Twice,
}

impl Kind {
    pub(crate) fn any(random: &mut Random) -> Self {
        [
            Self::Multiplexes,
            Self::Plain,
            Self::Silent,
            Self::Unknown,
            Self::Twice,
        ][random.below(5) as usize]
    }
}

#[derive(Debug, Default)]
struct Exchange {
    tag: Option<u64>,
    params: Vec<u8>,
    stdin: u64,
    declared: Option<u64>,
    stdin_ended: bool,
    aborted: bool,
    sent: u64,
    stdout_ended: bool,
}

#[derive(Debug)]
pub(crate) struct App {
    kind: Kind,
    may_share: bool,
    demux: Demux,
    live: BTreeMap<u16, Exchange>,
    /// Aborted by the engine: late output may follow at any time.
    loose: BTreeSet<u16>,
    /// Ended before their body had: the end of the body is still to come.
    owed: BTreeSet<u16>,
    asked: bool,
    pub(crate) begun: u32,
    /// Octets on their way to the engine.
    pub(crate) outbox: VecDeque<u8>,
}

impl App {
    pub(crate) fn new(kind: Kind, may_share: bool) -> Self {
        Self {
            kind,
            may_share,
            demux: Demux::default(),
            live: BTreeMap::new(),
            loose: BTreeSet::new(),
            owed: BTreeSet::new(),
            asked: false,
            begun: 0,
            outbox: VecDeque::new(),
        }
    }

    fn send(&mut self, records: Records) {
        self.outbox.extend(records.as_ref());
    }

    /// Takes octets of the engine and checks them; how many requests began beside another.
    pub(crate) fn receive(&mut self, octets: &[u8]) -> usize {
        let mut input = octets;
        let mut together = 0;
        loop {
            let mut demux = self.demux.clone();
            let item = demux.next(&mut input).expect("the engine sends FastCGI");
            let item = item.map(|item| self.take(item, &mut together));
            self.demux = demux;
            if item.is_none() {
                return together;
            }
        }
    }

    fn take(&mut self, item: Item<'_>, together: &mut usize) {
        match item {
            Item::Begin { request_id, body } => {
                assert!(
                    !self.live.contains_key(&request_id),
                    "id {request_id} twice"
                );
                let is_quarantined = self.is_over(request_id);
                assert!(!is_quarantined, "a quarantined id");
                let others = self.live.values().filter(|it| !it.aborted).count();
                if others > 0 {
                    assert!(self.may_share && body.keep_conn(), "not to be shared");
                    *together += 1;
                }
                self.begun += 1;
                self.live.insert(request_id, Exchange::default());
            }
            Item::Abort { request_id } => {
                self.loose.insert(request_id);
                if let Some(exchange) = self.live.get_mut(&request_id) {
                    exchange.aborted = true;
                }
            }
            Item::Stream {
                record_type,
                request_id,
                data,
            } => {
                let is_over = self.is_over(request_id);
                let Some(exchange) = self.live.get_mut(&request_id) else {
                    assert!(is_over, "for nobody");
                    return;
                };
                if record_type == RecordType::Params {
                    exchange.params.extend_from_slice(data);
                    return;
                }
                assert_eq!(record_type, RecordType::Stdin);
                let tag = exchange.tag.expect("params come before stdin");
                for octet in data {
                    assert_eq!(*octet, request_octet(tag, exchange.stdin), "body of {tag}");
                    exchange.stdin += 1;
                }
            }
            Item::StreamEnd {
                record_type,
                request_id,
            } => self.stream_end(record_type, request_id),
            Item::Values { last: true, .. } => {
                let is_whole = |it: &Exchange| it.stdin_ended || it.aborted;
                let are_whole = self.live.values().all(is_whole);
                assert!(are_whole, "GET_VALUES within a request");
                self.asked = true;
            }
            Item::Values { .. } => {}
            other => panic!("from the engine: {other:?}"),
        }
    }

    fn stream_end(&mut self, record_type: RecordType, request_id: u16) {
        let is_over = self.is_over(request_id);
        if record_type == RecordType::Stdin {
            self.owed.remove(&request_id);
        }
        let Some(exchange) = self.live.get_mut(&request_id) else {
            assert!(is_over, "for nobody");
            return;
        };
        if record_type == RecordType::Params {
            for (name, value) in Pairs::new(&exchange.params).map_while(Result::ok) {
                let number = || std::str::from_utf8(value).ok()?.parse().ok();
                match name {
                    b"T" => exchange.tag = value.try_into().ok().map(u64::from_be_bytes),
                    b"CONTENT_LENGTH" => exchange.declared = number(),
                    _ => {}
                }
            }
            return;
        }
        assert!(!exchange.stdin_ended, "the stream's end comes once");
        exchange.stdin_ended = true;
        if let Some(declared) = exchange.declared.filter(|_| !exchange.aborted) {
            assert_eq!(exchange.stdin, declared, "the whole body");
        }
    }

    fn is_over(&self, id: u16) -> bool {
        self.loose.contains(&id) || self.owed.contains(&id)
    }

    fn pick(&self, random: &mut Random) -> Option<u16> {
        let ids: Vec<u16> = self.live.keys().copied().collect();
        ids.get(random.below(ids.len() as u64) as usize).copied()
    }

    pub(crate) fn output(&mut self, random: &mut Random) {
        let Some(id) = self.pick(random) else { return };
        let Some(exchange) = self.live.get_mut(&id) else {
            return;
        };
        let Some(tag) = exchange.tag else { return };
        let mut to = records().padded(random.below(9) as u8);
        if random.chance(4) {
            to = to.stderr(id, "some error");
        }
        if !exchange.stdout_ended {
            let len = random.below(200);
            let data: Vec<u8> = (0..len)
                .map(|at| response_octet(tag, exchange.sent + at))
                .collect();
            exchange.sent += len;
            if !data.is_empty() {
                to = to.stdout(id, data);
            }
        }
        self.send(to);
    }

    pub(crate) fn stdout_end(&mut self, random: &mut Random) {
        let Some(id) = self.pick(random) else { return };
        let Some(exchange) = self.live.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut exchange.stdout_ended, true) {
            self.send(records().stdout_end(id));
        }
    }

    /// Ends a request, perhaps before it was sent; late output may stand in the same octets.
    pub(crate) fn end(&mut self, random: &mut Random, status: ProtocolStatus) {
        let Some(id) = self.pick(random) else { return };
        let Some(exchange) = self.live.remove(&id) else {
            return;
        };
        if !exchange.stdin_ended {
            self.owed.insert(id);
        }
        let app_status = exchange.sent as u32;
        let mut to = records().padded(random.below(9) as u8);
        to = to.end_as(id, app_status, status);
        if exchange.aborted && random.chance(3) {
            to = to.stdout(id, [0xff; 5]).end(id, 9);
        }
        self.send(to);
    }

    /// Late output for a request that was aborted.
    pub(crate) fn stray(&mut self, random: &mut Random) {
        let loose: Vec<u16> = self.loose.iter().copied().collect();
        let Some(id) = loose.get(random.below(loose.len() as u64) as usize) else {
            return;
        };
        if !self.live.contains_key(id) {
            self.send(records().stdout(*id, [0xff; 9]));
        }
    }

    pub(crate) fn garbage(&mut self, random: &mut Random) {
        let to = match random.below(4) {
            0 => records().raw("HTTP/1.1 400 Bad Request\r\n\r\n"),
            1 => records().stdout(60_000, "never used"),
            2 => records().record(5, 1, b"stdin from the application"),
            _ => records().record(3, 1, b"short"),
        };
        self.send(to);
    }

    pub(crate) fn answer_values(&mut self, random: &mut Random) {
        if !self.asked && !random.chance(10) {
            return;
        }
        self.asked = false;
        self.values();
    }

    fn values(&mut self) {
        let to = match self.kind {
            Kind::Multiplexes => records().values(&[("FCGI_MPXS_CONNS", "1")]),
            Kind::Plain => records().values(&[("FCGI_MPXS_CONNS", "0")]),
            Kind::Silent => records(),
            Kind::Unknown => records().unknown_type(9),
            Kind::Twice => records()
                .values(&[("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_REQS", "3")])
                .values(&[]),
        };
        self.send(to);
    }

    /// Answers everything there is, well.
    pub(crate) fn answer_all(&mut self) {
        if std::mem::take(&mut self.asked) {
            self.values();
        }
        let ids: Vec<u16> = self.live.keys().copied().collect();
        for id in ids {
            let is_whole = self
                .live
                .get(&id)
                .is_some_and(|it| it.stdin_ended || it.aborted);
            if is_whole && let Some(exchange) = self.live.remove(&id) {
                if !exchange.stdin_ended {
                    self.owed.insert(id);
                }
                self.send(records().end(id, exchange.sent as u32));
            }
        }
    }
}
