//! The application's side: scripts that follow a plan, and a watch on what the client sends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use mio_fcgi::testkit::{Received, Script, records};
use mio_fcgi::wire::{Demux, Item, ProtocolStatus, RecordType};

use crate::plan::{Behaviour, Fault, Submit};

/// Octet `index` of the stream `stream`.
pub(crate) fn octet(stream: u64, index: u64) -> u8 {
    let mut mixed = (stream << 32 ^ index >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> (8 * (index & 7))) as u8
}

pub(crate) fn pattern(stream: u64, range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|index| octet(stream, index as u64)).collect()
}

/// The streams of a request.
pub(crate) const fn stdout_of(tag: u64) -> u64 {
    4 * tag
}
pub(crate) const fn stderr_of(tag: u64) -> u64 {
    4 * tag + 1
}
pub(crate) const fn stdin_of(tag: u64) -> u64 {
    4 * tag + 2
}
pub(crate) const fn data_of(tag: u64) -> u64 {
    4 * tag + 3
}

/// What the applications know, shared with the model.
#[derive(Debug, Default)]
pub(crate) struct Far {
    pub(crate) now: Duration,
    pub(crate) submits: BTreeMap<u64, Submit>,
    /// Times that each request's parameters were sent whole.
    pub(crate) sent: BTreeMap<u64, usize>,
    /// Times that an application turned to each request.
    pub(crate) attempts: BTreeMap<u64, usize>,
    pub(crate) refused: BTreeMap<u64, usize>,
    /// How often each fault was played.
    pub(crate) faults: BTreeMap<Fault, u64>,
    /// When the whole of a request had been sent.
    pub(crate) written: BTreeMap<u64, Duration>,
    /// An application refuses what the client was told it may send; then bodies are cut short.
    pub(crate) refuses_to_share: bool,
    pub(crate) most_per_connection: Option<u32>,
    /// The first thing the client did wrong.
    pub(crate) violation: Option<String>,
}

impl Far {
    fn accuse(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }
}

/// Watches what the client writes to a server.
pub(crate) struct Tap {
    far: Rc<RefCell<Far>>,
    shares: bool,
    all_roles: bool,
    connections: BTreeMap<usize, Watch>,
}

#[derive(Default)]
struct Watch {
    demux: Demux,
    begun: u32,
    ids: BTreeMap<u16, Use>,
}

#[derive(Default)]
struct Use {
    tag: u64,
    params: Vec<u8>,
    has_params: bool,
    stdin: u64,
    stdin_ended: bool,
    data: u64,
    data_ended: bool,
    aborted: bool,
    is_filter: bool,
    is_refused: bool,
}

impl Use {
    fn is_whole(&self) -> bool {
        self.has_params && self.stdin_ended && (self.data_ended || !self.is_filter)
    }
}

impl Tap {
    /// `shares`: the client may have several requests on a connection. `all_roles`: none is refused.
    pub(crate) fn new(far: Rc<RefCell<Far>>, shares: bool, all_roles: bool) -> Self {
        Self {
            far,
            shares,
            all_roles,
            connections: BTreeMap::new(),
        }
    }

    pub(crate) fn hear(&mut self, number: usize, mut octets: &[u8]) {
        let mut watch = self.connections.remove(&number).unwrap_or_default();
        let far = Rc::clone(&self.far);
        let mut far = far.borrow_mut();
        loop {
            match watch.demux.next(&mut octets) {
                Ok(None) => break,
                Ok(Some(item)) => {
                    if let Err(what) = self.watch(&mut watch, &mut far, number, &item) {
                        far.accuse(what);
                    }
                }
                Err(error) => {
                    far.accuse(format!("the client sent {error}"));
                    break;
                }
            }
        }
        self.connections.insert(number, watch);
    }

    fn watch(
        &self,
        watch: &mut Watch,
        far: &mut Far,
        number: usize,
        item: &Item<'_>,
    ) -> Result<(), String> {
        match item {
            Item::Begin { request_id, body } => {
                watch.begun += 1;
                if far
                    .most_per_connection
                    .is_some_and(|most| watch.begun > most)
                {
                    return Err(format!("request {} on connection {number}", watch.begun));
                }
                if *request_id == 0 {
                    return Err("a request with ID 0".into());
                }
                if let Some(former) = watch.ids.get(request_id)
                    && (!former.is_whole() || former.aborted)
                {
                    return Err(format!(
                        "ID {request_id} used again on connection {number} after an abort or in mid-request"
                    ));
                }
                if !self.shares && watch.ids.values().any(|other| !other.is_whole()) {
                    return Err(format!("a second request on plain connection {number}"));
                }
                let own = Use {
                    is_filter: body.role == 3,
                    is_refused: body.role != 1 && !self.all_roles,
                    ..Use::default()
                };
                watch.ids.insert(*request_id, own);
                Ok(())
            }
            Item::Abort { request_id } => match watch.ids.get_mut(request_id) {
                Some(own) if !own.aborted => {
                    own.aborted = true;
                    Ok(())
                }
                _ => Err(format!("abort of ID {request_id} on connection {number}")),
            },
            Item::Stream {
                record_type,
                request_id,
                data,
            } => {
                let own = watch.ids.get_mut(request_id);
                let own = own.ok_or_else(|| format!("{record_type:?} for ID {request_id}"))?;
                receive(own, *record_type, data)
            }
            Item::StreamEnd {
                record_type,
                request_id,
            } => {
                let own = watch.ids.get_mut(request_id);
                let own = own.ok_or_else(|| format!("{record_type:?} for ID {request_id}"))?;
                end_stream(own, *record_type, far)
            }
            Item::Values {
                record_type: RecordType::GetValues,
                ..
            } => Ok(()),
            other => Err(format!("the client sent {other:?}")),
        }
    }
}

fn receive(own: &mut Use, record_type: RecordType, data: &[u8]) -> Result<(), String> {
    let (stream, at, ended) = match record_type {
        RecordType::Params if !own.has_params => {
            own.params.extend_from_slice(data);
            return Ok(());
        }
        RecordType::Stdin if own.has_params => (stdin_of(own.tag), &mut own.stdin, own.stdin_ended),
        RecordType::Data if own.stdin_ended => (data_of(own.tag), &mut own.data, own.data_ended),
        _ => return Err(format!("{record_type:?} out of turn, tag {}", own.tag)),
    };
    if ended {
        return Err(format!("{record_type:?} behind its end, tag {}", own.tag));
    }
    for octet_seen in data {
        if *octet_seen != octet(stream, *at) {
            return Err(format!(
                "octet {at} of {record_type:?} is not that of tag {}",
                own.tag
            ));
        }
        *at += 1;
    }
    Ok(())
}

fn end_stream(own: &mut Use, record_type: RecordType, far: &mut Far) -> Result<(), String> {
    let twice = Err(format!("{record_type:?} ended twice, tag {}", own.tag));
    match record_type {
        RecordType::Params if own.has_params => twice,
        RecordType::Params => {
            own.has_params = true;
            let mut pairs = mio_fcgi::wire::Pairs::new(&own.params).filter_map(Result::ok);
            let tag = pairs.find(|(name, _)| *name == b"TAG").map(|pair| pair.1);
            let tag = tag.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            own.tag = tag.ok_or("a request without its tag")?;
            *far.sent.entry(own.tag).or_default() += 1;
            Ok(())
        }
        RecordType::Stdin if own.stdin_ended => twice,
        RecordType::Stdin => {
            own.stdin_ended = true;
            let submit = &far.submits[&own.tag];
            let excuses = submit.behaviour.is_early
                || submit.behaviour.refusals > 0
                || submit.behaviour.fault != Fault::None
                || own.aborted
                || own.is_refused
                || far.refuses_to_share
                || far.sent[&own.tag] > 1;
            let is_pushed = submit.body == crate::plan::BodyKind::Pushed;
            if !excuses && !is_pushed && own.stdin != submit.body_len as u64 {
                return Err(format!(
                    "a body of {} octets instead of {}, tag {}",
                    own.stdin, submit.body_len, own.tag
                ));
            }
            if !own.is_filter {
                far.written.insert(own.tag, far.now);
            }
            Ok(())
        }
        RecordType::Data if own.data_ended => twice,
        RecordType::Data => {
            own.data_ended = true;
            far.written.insert(own.tag, far.now);
            Ok(())
        }
        _ => Err(format!("the client ended {record_type:?}")),
    }
}

/// The script that a plan has for a request.
pub(crate) fn answer(far: &Rc<RefCell<Far>>, request: &Received) -> Script {
    let mut far = far.borrow_mut();
    let tag = request.param("TAG");
    let tag = tag.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let Some((tag, submit)) = tag.and_then(|tag| Some((tag, far.submits.get(&tag)?.clone())))
    else {
        return Script::new().reset();
    };
    let attempts = far.attempts.entry(tag).or_default();
    *attempts += 1;
    let behaviour = &submit.behaviour;
    if *attempts <= behaviour.refusals {
        *far.refused.entry(tag).or_default() += 1;
        let script = Script::new();
        let script = if behaviour.is_early {
            script
        } else {
            script.await_stdin()
        };
        return script.refuse(behaviour.refusal);
    }
    if behaviour.fault != Fault::None {
        *far.faults.entry(behaviour.fault).or_default() += 1;
    }
    script_of(tag, request.request_id, behaviour)
}

fn script_of(tag: u64, id: u16, behaviour: &Behaviour) -> Script {
    let fault = behaviour.fault;
    let mut script = Script::new();
    if fault == Fault::StopsReading {
        script = script.stop_reading();
    }
    if !behaviour.is_early {
        script = script.await_stdin();
    }
    let marker = [0xEE; 20];
    script = match fault {
        Fault::UnaskedValues => script.send(records::values(&[("FCGI_MPXS_CONNS", "1")])),
        Fault::UnknownType => script.send(records::new().unknown_type(99)),
        Fault::Unassigned => {
            let padded = records::new().record(RecordType::Unassigned(77), id, &marker, 9);
            script.send(padded)
        }
        Fault::ForeignId => script.send(records::stdout(id.wrapping_add(900), &marker)),
        Fault::ManagementId => script.send(records::stdout(0, &marker)),
        Fault::ServerRecord => {
            script.send(records::new().record(RecordType::Stdin, id, &marker, 0))
        }
        Fault::EmptyStderr => script.send(records::new().stderr_end(id)),
        Fault::Http => script.send(records::raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        _ => script,
    };
    let piece_len = behaviour.stdout.div_ceil(behaviour.pieces).max(1);
    let mut sent = 0;
    while sent < behaviour.stdout {
        let until = behaviour.stdout.min(sent + piece_len);
        let content = pattern(stdout_of(tag), sent..until);
        let is_last = until == behaviour.stdout;
        match fault {
            Fault::Hangs if is_last => return script,
            Fault::ClosesInTheMiddle if is_last => return script.close(),
            Fault::ResetsInTheMiddle if is_last => return script.reset(),
            _ => {}
        }
        script = script.wait(behaviour.wait);
        script = if fault == Fault::BigPadding {
            let mut padded = records::new();
            for part in content.chunks(60_000) {
                padded = padded.record(RecordType::Stdout, id, part, 255);
            }
            script.send(padded)
        } else {
            script.stdout(content)
        };
        sent = until;
    }
    script = script.stderr(pattern(stderr_of(tag), 0..behaviour.stderr));
    if behaviour.ends_stdout_first {
        script = script.stdout_end().wait(behaviour.wait);
    }
    let late = match fault {
        Fault::LateOutput => records::new().stdout_end(id).end(id, 0).stdout(id, &marker),
        Fault::SecondEnd => records::end(id, 0).end(id, 0),
        Fault::OutputAfterItsEnd => records::new().stdout_end(id).stdout(id, &marker).end(id, 3),
        Fault::LongEnd => {
            let body = [0, 0, 0, 5, 0, 9, 9, 9, 1, 2, 3, 4];
            records::new().record(RecordType::EndRequest, id, &body, 4)
        }
        Fault::ShortEnd => records::new().record(RecordType::EndRequest, id, &[0; 7], 1),
        Fault::UnknownStatus => records::refuse(id, ProtocolStatus::Unassigned(9)),
        Fault::ClosesAfterEnd => return script.end(0).close(),
        Fault::ResetsAfterEnd => return script.end(0).reset(),
        _ => return script.end(0),
    };
    script.send(late).ended()
}
