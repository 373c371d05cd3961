//! A probe with `FCGI_GET_VALUES` (FastCGI 1.0, 4.1) on one connection, and its reply as it arrives.

use super::{Connection, State};
use crate::engine::time::Time;
use crate::event::{RequestHandle, ServerValues};
use crate::wire::{self, Pairs};

/// The embedder's probe.
#[derive(Debug)]
pub(crate) struct Probe {
    since: Time,
    /// Where the probe begins in the connection's stream of sent bytes.
    offset: u64,
    request: RequestHandle,
    answer: Answer,
}

/// The client's own probe.
#[derive(Debug)]
pub(crate) struct OwnProbe {
    since: Time,
    /// Where the probe begins in the connection's stream of sent bytes.
    offset: u64,
    answer: Answer,
}

/// The content of `FCGI_GET_VALUES_RESULT` received so far.
#[derive(Debug, Default)]
pub(super) struct Answer(Vec<u8>);

/// The most bytes of a reply that are used. Three short pairs need less than 64.
const MAX_ANSWER: usize = 1024;

impl Probe {
    pub(super) fn new(since: Time, offset: u64, request: RequestHandle) -> Self {
        Self {
            since,
            offset,
            request,
            answer: Answer::default(),
        }
    }

    /// When the probe was sent.
    pub(crate) fn since(&self) -> Time {
        self.since
    }

    pub(super) fn request(&self) -> RequestHandle {
        self.request
    }

    pub(super) fn answer(&mut self) -> &mut Answer {
        &mut self.answer
    }

    pub(super) fn heap_len(&self) -> usize {
        size_of::<Self>() + self.answer.0.capacity()
    }
}

impl OwnProbe {
    pub(super) fn answer(&mut self) -> &mut Answer {
        &mut self.answer
    }

    pub(super) fn heap_len(&self) -> usize {
        size_of::<Self>() + self.answer.0.capacity()
    }
}

impl Answer {
    fn push(&mut self, data: &[u8]) {
        let room = MAX_ANSWER - self.0.len();
        self.0.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// The values of the known names. A value that is not a number counts as missing.
    fn values(&self) -> ServerValues {
        let mut values = ServerValues::default();
        for (name, value) in Pairs::new(&self.0).map_while(Result::ok) {
            let number = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<u32>().ok());
            if name == wire::MAX_CONNS.as_bytes() {
                values.max_conns = number;
            } else if name == wire::MAX_REQS.as_bytes() {
                values.max_reqs = number;
            } else if name == wire::MPXS_CONNS.as_bytes() {
                values.multiplexes = match number {
                    Some(0) => Some(false),
                    Some(1) => Some(true),
                    _ => None,
                };
            }
        }
        values
    }
}

impl Connection {
    /// Notes that the client's own probe is sent after the framed bytes.
    pub(crate) fn note_own_probe(&mut self, now: Time) {
        self.set_own_probe(Some(Box::new(OwnProbe {
            since: now,
            offset: self.end_offset(),
            answer: Answer::default(),
        })));
    }

    /// The connection is opened to check its server.
    pub(crate) fn begin_check(&mut self) {
        self.is_check = true;
    }

    /// Whether the connection was opened to check its server. From now on it was not.
    pub(crate) fn take_check(&mut self) -> bool {
        std::mem::take(&mut self.is_check)
    }

    pub(crate) fn has_own_probe(&self) -> bool {
        self.own_probe.is_some()
    }

    /// When the client's own probe was sent, and whether a byte of it has left.
    pub(crate) fn own_probe_sent(&self) -> Option<(Time, bool)> {
        let own_probe = self.own_probe.as_ref()?;
        Some((own_probe.since, self.transmitted() > own_probe.offset))
    }

    /// Whether a byte of a probe was given to the transport, and the probe is not answered. What comes before that is
    /// no answer to it.
    pub(super) fn is_asked(&self) -> bool {
        let offset = match (&self.state, &self.own_probe) {
            (State::Probing(probe), _) => probe.offset,
            (_, Some(own_probe)) => own_probe.offset,
            _ => return false,
        };
        self.transmitted() > offset
    }

    /// Adds a piece of the reply. `None` when no probe was sent; the values once the reply is complete.
    pub(super) fn collect_answer(
        &mut self,
        data: &[u8],
        is_last: bool,
    ) -> Option<Option<ServerValues>> {
        let answer = self.answer()?;
        answer.push(data);
        Some(is_last.then(|| answer.values()))
    }
}
