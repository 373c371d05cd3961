//! The application's end of one connection: checks what the engine sends, and answers.

use std::collections::{BTreeMap, BTreeSet};

use mio_fcgi::wire::{
    self, Demux, EndRequest, Item, MPXS_CONNS, Pairs, ProtocolStatus, RecordType, Role,
};

/// The byte of a request's stream at a position.
pub(super) fn byte(tag: u64, stream: Stream, at: u64) -> u8 {
    let start = tag.wrapping_mul(101).wrapping_add(stream as u64 * 53);
    start.wrapping_add(at.wrapping_mul(7)).wrapping_add(at >> 8) as u8
}

pub(super) fn bytes(tag: u64, stream: Stream, from: u64, len: usize) -> Vec<u8> {
    let places = from..from + len as u64;
    places.map(|at| byte(tag, stream, at)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdin,
    Data,
    Stdout,
    Stderr,
}

/// How the engine may use its connections.
#[derive(Clone, Copy)]
pub(super) struct Manners {
    /// How many requests may share a connection; `None` if the application's answer decides that.
    pub(super) sharing: Option<u32>,
    pub(super) keeps: bool,
}

/// A request as the application sees it.
#[derive(Debug, Default)]
struct Exchange {
    is_filter: bool,
    params: Vec<u8>,
    params_ended: bool,
    tag: u64,
    declared: Option<u64>,
    stdin: u64,
    stdin_ended: bool,
    data: u64,
    data_ended: bool,
    stdout: u64,
    stderr: u64,
    stdout_ended: bool,
}

pub(super) struct Far {
    manners: Manners,
    demux: Demux,
    live: BTreeMap<u16, Exchange>,
    /// Requests that the application ended before their streams had ended. The ends of the streams may still come, and
    /// must come before the ID is used again.
    early: BTreeMap<u16, Exchange>,
    /// IDs of requests that the engine aborted. They are not used again.
    aborted: BTreeSet<u16>,
    /// Whether the application was asked for its values and has not answered.
    is_asked: bool,
    /// Whether the application said that requests may share a connection, and whether they did.
    pub(super) says_yes: bool,
    pub(super) is_shared: bool,
    pub(super) begun: u32,
    /// Tags whose parameters arrived, and those that were refused.
    pub(super) seen: Vec<u64>,
    pub(super) refused: Vec<u64>,
    /// Bytes on their way to the engine.
    pub(super) outbox: Vec<u8>,
}

impl Far {
    pub(super) fn new(manners: Manners) -> Self {
        Self {
            manners,
            demux: Demux::default(),
            live: BTreeMap::new(),
            early: BTreeMap::new(),
            aborted: BTreeSet::new(),
            is_asked: false,
            says_yes: false,
            is_shared: false,
            begun: 0,
            seen: Vec::new(),
            refused: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Takes bytes from the engine.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) {
        let mut demux = self.demux.clone();
        while let Some(item) = demux.next(&mut bytes).expect("the engine sends FastCGI") {
            self.take(item);
        }
        self.demux = demux;
    }

    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Begin {
                request_id: id,
                body,
            } => {
                let is_free = !self.live.contains_key(&id) && !self.early.contains_key(&id);
                assert!(is_free && id != 0, "id {id} is in use");
                assert!(!self.aborted.contains(&id), "id {id} was aborted");
                let others = self.live.len() as u32;
                if let Some(most) = self.manners.sharing {
                    assert!(others < most, "{others} others, at most {most} share");
                    let keeps = body.keep_conn();
                    assert!(keeps || !self.manners.keeps);
                    // A shared connection may have been lowered to one request at a time.
                    assert!(!keeps || self.manners.keeps || most > 1);
                }
                self.is_shared |= others > 0;
                self.begun += 1;
                assert!(others == 0 || body.keep_conn(), "shared, but not kept");
                let is_filter = body.role == Role::Filter.to_wire();
                let exchange = Exchange {
                    is_filter,
                    ..Exchange::default()
                };
                self.live.insert(id, exchange);
            }
            Item::Stream {
                record_type,
                request_id,
                data,
            } => {
                assert!(!data.is_empty());
                self.stream(record_type, request_id, data);
            }
            Item::StreamEnd {
                record_type,
                request_id,
            } => {
                self.stream_end(record_type, request_id);
            }
            Item::Abort { request_id } => {
                // The end of the request may be on its way.
                let was_there = self.live.remove(&request_id).is_some();
                assert!(
                    was_there || !self.aborted.contains(&request_id),
                    "aborted twice"
                );
                self.early.remove(&request_id);
                self.aborted.insert(request_id);
            }
            Item::Values {
                record_type, last, ..
            } => {
                assert_eq!(record_type, RecordType::GetValues);
                let are_whole = self.live.values().all(Exchange::is_over);
                assert!(are_whole, "asked in the middle of a request");
                self.is_asked |= last;
            }
            other => panic!("{other:?} from the engine"),
        }
    }

    fn exchange(&mut self, id: u16) -> &mut Exchange {
        let known = self.live.get_mut(&id).or_else(|| self.early.get_mut(&id));
        known.expect("a record for a request that was begun and not aborted")
    }

    fn stream(&mut self, record_type: RecordType, id: u16, data: &[u8]) {
        let exchange = self.exchange(id);
        let (stream, at) = match record_type {
            RecordType::Params => {
                assert!(!exchange.params_ended);
                exchange.params.extend_from_slice(data);
                return;
            }
            RecordType::Stdin => {
                assert!(exchange.params_ended && !exchange.stdin_ended);
                (Stream::Stdin, &mut exchange.stdin)
            }
            RecordType::Data => {
                assert!(exchange.stdin_ended && !exchange.data_ended);
                (Stream::Data, &mut exchange.data)
            }
            other => panic!("{other:?} from the engine"),
        };
        for seen in data {
            assert_eq!(*seen, byte(exchange.tag, stream, *at), "{stream:?} at {at}");
            *at += 1;
        }
        let declared = exchange.declared.unwrap_or(u64::MAX);
        assert!(exchange.stdin <= declared, "more than {declared} of stdin");
    }

    fn stream_end(&mut self, record_type: RecordType, id: u16) {
        let exchange = self.exchange(id);
        let ended = match record_type {
            RecordType::Params => &mut exchange.params_ended,
            RecordType::Stdin => &mut exchange.stdin_ended,
            RecordType::Data => &mut exchange.data_ended,
            other => panic!("{other:?} from the engine"),
        };
        assert!(
            !std::mem::replace(ended, true),
            "{record_type:?} ended twice"
        );
        if record_type == RecordType::Params {
            let number = |name: &[u8]| {
                let pairs = Pairs::new(&exchange.params).map(|pair| pair.expect("whole pairs"));
                let value = pairs.filter(|pair| pair.0 == name).last()?.1;
                String::from_utf8_lossy(value).parse().ok()
            };
            let (tag, declared) = (number(b"TAG"), number(b"CONTENT_LENGTH"));
            exchange.tag = tag.expect("each has one");
            exchange.declared = declared;
            let tag = exchange.tag;
            self.seen.push(tag);
        }
        if self.early.get(&id).is_some_and(Exchange::is_over) {
            self.early.remove(&id);
        }
    }

    /// One of the requests that are whole enough to be answered.
    fn pick(&self, place: u8) -> Option<u16> {
        let ready = self
            .live
            .iter()
            .filter(|(_, exchange)| exchange.params_ended);
        let ready: Vec<u16> = ready.map(|(id, _)| *id).collect();
        ready.get(usize::from(place) % ready.len().max(1)).copied()
    }

    pub(super) fn output(&mut self, place: u8, is_stderr: bool, len: usize) {
        let Some(id) = self.pick(place) else {
            return;
        };
        let exchange = self.live.get_mut(&id).expect("it was picked");
        let (record_type, stream, at) = match is_stderr {
            true => (RecordType::Stderr, Stream::Stderr, &mut exchange.stderr),
            false if exchange.stdout_ended => return,
            false => (RecordType::Stdout, Stream::Stdout, &mut exchange.stdout),
        };
        let data = bytes(exchange.tag, stream, *at, len);
        *at += len as u64;
        wire::write_stream(&mut self.outbox, record_type, id, &data);
    }

    pub(super) fn stdout_end(&mut self, place: u8) {
        let Some(id) = self.pick(place) else {
            return;
        };
        let exchange = self.live.get_mut(&id).expect("it was picked");
        if !std::mem::replace(&mut exchange.stdout_ended, true) {
            wire::write_stream_end(&mut self.outbox, RecordType::Stdout, id);
        }
    }

    /// Ends a request; its status tells how much output it had.
    pub(super) fn end(&mut self, place: u8, protocol_status: ProtocolStatus) {
        let Some(id) = self.pick(place) else {
            return;
        };
        let exchange = self.live.remove(&id).expect("it was picked");
        let body = EndRequest {
            app_status: exchange.stdout as u32,
            protocol_status,
        };
        wire::write_end_request(&mut self.outbox, id, body);
        let is_refusal = [ProtocolStatus::CantMultiplex, ProtocolStatus::Overloaded];
        if is_refusal.contains(&protocol_status) || protocol_status == ProtocolStatus::UnknownRole {
            self.refused.push(exchange.tag);
        }
        if !exchange.is_over() {
            self.early.insert(id, exchange);
        }
    }

    pub(super) fn answer_values(&mut self, how: u8) {
        if !std::mem::take(&mut self.is_asked) {
            return;
        }
        let mut content = Vec::new();
        match how % 5 {
            0 | 1 => {
                let yes = how.is_multiple_of(5);
                let number: &[u8] = if yes { b"1" } else { b"0" };
                wire::write_pair(&mut content, MPXS_CONNS.as_bytes(), number).expect("short");
                self.says_yes |= yes;
            }
            2 => content.extend_from_slice(&[9, 9, how]),
            3 => return wire::write_unknown_type(&mut self.outbox, 9),
            _ => {}
        }
        let record_type = RecordType::GetValuesResult;
        wire::write_record(&mut self.outbox, record_type, 0, &content).expect("short");
    }

    /// Sends something that no application should send, but not for a live request.
    pub(super) fn misbehave(&mut self, how: u8) {
        let late = self.aborted.iter().chain(self.early.keys()).next().copied();
        let id = late.unwrap_or(700);
        let out = &mut self.outbox;
        match how % 8 {
            0 => wire::write_stream(out, RecordType::Stdout, id, b"late"),
            1 => wire::write_stream(out, RecordType::Stderr, id, b"late"),
            2 => {
                let protocol_status = ProtocolStatus::RequestComplete;
                let body = EndRequest {
                    app_status: 77,
                    protocol_status,
                };
                wire::write_end_request(out, id, body);
            }
            3 => wire::write_stream_end(out, RecordType::Stdout, id),
            4 => out.extend_from_slice(&[1, 77, 0, 0, 0, 2, 3, 0, 1, 2, 3, 4, 5]),
            5 => wire::write_unknown_type(out, how),
            6 => wire::write_abort_request(out, id),
            _ => out.extend_from_slice(&[how, 6, 0, 1, 0, 1, 0, 0, b'x']),
        }
    }
}

impl Exchange {
    /// Whether no further record of this request can come.
    fn is_over(&self) -> bool {
        self.stdin_ended && (self.data_ended || !self.is_filter)
    }
}
