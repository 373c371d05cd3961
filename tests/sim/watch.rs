//! Checks each record that the client writes against what its embedder and its driver know.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mio_fcgi::testkit::internals::{Notice, Values};
use mio_fcgi::wire::{Demux, Item, RecordType};

use crate::far::{Far, byte, data_of, stdin_of};
use crate::plan::{BodyKind, Fault, ServerPlan};

/// Checks what the client writes to a server.
pub(crate) struct Tap {
    far: Rc<RefCell<Far>>,
    /// The number of the server.
    server: usize,
    /// The client may have several requests on a connection.
    shares: bool,
    /// The application refuses no role.
    all_roles: bool,
    dies_of_questions: bool,
    connections: BTreeMap<usize, Watch>,
}

#[derive(Default)]
struct Watch {
    demux: Demux,
    begun: u32,
    /// How many `FCGI_GET_VALUES` were sent, which are no requests.
    asked: u32,
    last_id: Option<u16>,
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
    /// The request's place among the requests and `FCGI_GET_VALUES` of its connection, from 1.
    place: u32,
    /// What the driver knew of the connection when the request was begun.
    known: Known,
}

/// What the driver knows of a connection. The numbers are steps of the run, not times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// Since when bytes or an end have been announced and not read.
    unread: Option<u64>,
    ended: Option<u64>,
    drained: Option<u64>,
    /// When the driver was last told of bytes, or read.
    heard: Option<u64>,
    /// When the last end of a request on this connection was read.
    answered: Option<u64>,
}

/// A request on a connection on which it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) connection: usize,
    /// The request's place among the requests and `FCGI_GET_VALUES` of its connection, from 1.
    pub(crate) place: u32,
    /// No other request is on the connection at the same time.
    pub(crate) is_plain: bool,
}

impl Known {
    pub(crate) fn is_unread(&self) -> bool {
        self.unread.is_some()
    }

    pub(crate) fn note_answered(&mut self, step: u64) {
        // The driver of `Client` reads in one step, and the events follow in later ones.
        self.answered = self.heard.or(Some(step));
    }

    pub(crate) fn note(&mut self, step: u64, notice: Notice) {
        self.heard = Some(step);
        match notice {
            Notice::Readable => {
                self.unread.get_or_insert(step);
            }
            Notice::ReadClosed => {
                self.unread.get_or_insert(step);
                self.ended.get_or_insert(step);
            }
            Notice::Drained => {
                self.unread = None;
                self.drained = Some(step);
            }
            _ => {}
        }
    }
}

impl Use {
    fn is_whole(&self) -> bool {
        self.has_params && self.stdin_ended && (self.data_ended || !self.is_filter)
    }
}

impl Tap {
    pub(crate) fn new(
        far: Rc<RefCell<Far>>,
        setup: &ServerPlan,
        shares: bool,
        server: usize,
    ) -> Self {
        Self {
            far,
            server,
            shares,
            all_roles: setup.quirks.details().all_roles,
            dies_of_questions: setup.quirks.details().values == Values::Close,
            connections: BTreeMap::new(),
        }
    }

    pub(crate) fn hear(&mut self, number: usize, mut bytes: &[u8]) {
        let mut watch = self.connections.remove(&number).unwrap_or_default();
        let far = Rc::clone(&self.far);
        let mut far = far.borrow_mut();
        let now = far.now;
        far.connection(number).last_write = now;
        loop {
            match watch.demux.next(&mut bytes) {
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
        far.connection(number).is_between = watch.demux.at_record_boundary();
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
                self.begin(watch, far, number, *request_id, body.role)
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
                receive(own, *record_type, data)?;
                if *record_type == RecordType::Stdin {
                    far.stdin.insert(own.tag, own.stdin);
                }
                Ok(())
            }
            Item::StreamEnd {
                record_type,
                request_id,
            } => {
                let own = watch.ids.get_mut(request_id);
                let own = own.ok_or_else(|| format!("{record_type:?} for ID {request_id}"))?;
                end_stream(own, *record_type, far, number)?;
                match record_type {
                    RecordType::Params => self.assigned(own, far, number),
                    _ => Ok(()),
                }
            }
            Item::Values {
                record_type: RecordType::GetValues,
                last: true,
                ..
            } => {
                far.questions += 1;
                far.connection(number).asked_at = Some(far.now);
                watch.asked += 1;
                if self.dies_of_questions {
                    *far.faults.entry(Fault::DiesOfQuestions).or_default() += 1;
                }
                Ok(())
            }
            Item::Values {
                record_type: RecordType::GetValues,
                ..
            } => Ok(()),
            other => Err(format!("the client sent {other:?}")),
        }
    }

    fn begin(
        &self,
        watch: &mut Watch,
        far: &mut Far,
        number: usize,
        id: u16,
        role: u16,
    ) -> Result<(), String> {
        watch.begun += 1;
        far.connection(number).begun = watch.begun;
        if far
            .most_per_connection
            .is_some_and(|most| watch.begun > most)
        {
            return Err(format!("request {} on connection {number}", watch.begun));
        }
        if id == 0 {
            return Err("a request with ID 0".into());
        }
        if let Some(former) = watch.ids.get(&id)
            && (!former.is_whole() || former.aborted)
        {
            return Err(format!(
                "ID {id} used again on connection {number} after an abort or in mid-request"
            ));
        }
        if !self.shares && watch.ids.values().any(|other| !other.is_whole()) {
            return Err(format!("a second request on plain connection {number}"));
        }
        let is_same = watch.last_id.replace(id) == Some(id);
        if is_same && !self.shares && !far.always_one {
            return Err(format!("ID {id} twice in a row on connection {number}"));
        }
        if !far.always_one {
            far.connection(number).ids.begin(id)?;
        }
        let own = Use {
            is_filter: role == 3,
            is_refused: role != 1 && !self.all_roles,
            place: watch.begun + watch.asked,
            known: far.connection(number).known,
            ..Use::default()
        };
        watch.ids.insert(id, own);
        Ok(())
    }

    /// The parameters of a request were sent completely. Now its tag is known, and whether the engine was right to give
    /// the request this connection.
    fn assigned(&self, own: &Use, far: &mut Far, number: usize) -> Result<(), String> {
        let carried = Carried {
            connection: number,
            place: own.place,
            is_plain: !self.shares,
        };
        far.carried.entry(own.tag).or_default().push(carried);
        far.connection(number).written.remove(&own.tag);
        let submitted = far.submitted_at.get(&own.tag).copied();
        let submitted = submitted.ok_or("a request that was not accepted")?;
        let before = |step: Option<u64>| step.is_some_and(|step| step < submitted);
        let tag = own.tag;
        far.servers
            .check_sent(tag, self.server, submitted, far.refused.is_empty())?;
        if before(own.known.ended) {
            return Err(format!(
                "tag {tag}: on connection {number}, whose end had been announced before"
            ));
        }
        if own.place == 1 || self.shares {
            return Ok(());
        }
        if before(own.known.unread) {
            return Err(format!(
                "tag {tag}: on connection {number}, whose socket was not found empty"
            ));
        }
        if own.known.answered > own.known.drained {
            return Err(format!(
                "tag {tag}: on connection {number}, not found empty since its last answer"
            ));
        }
        let is_looked_at = own.known.drained.is_some_and(|step| step > submitted);
        if !far.submits[&tag].may_run_twice() && !is_looked_at {
            return Err(format!(
                "tag {tag}: may not be sent again, and connection {number} was not read before"
            ));
        }
        Ok(())
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
        return Err(format!("{record_type:?} after its end, tag {}", own.tag));
    }
    for byte_seen in data {
        if *byte_seen != byte(stream, *at) {
            return Err(format!(
                "byte {at} of {record_type:?} is not that of tag {}",
                own.tag
            ));
        }
        *at += 1;
    }
    Ok(())
}

fn end_stream(
    own: &mut Use,
    record_type: RecordType,
    far: &mut Far,
    number: usize,
) -> Result<(), String> {
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
            far.stdin.insert(own.tag, 0);
            Ok(())
        }
        RecordType::Stdin if own.stdin_ended => twice,
        RecordType::Stdin => {
            own.stdin_ended = true;
            let submit = &far.submits[&own.tag];
            let excuses = submit.answer.is_early
                || submit.answer.refusals > 0
                || submit.answer.fault != Fault::None
                || own.aborted
                || own.is_refused
                || far.refuses_to_share
                || far.sent[&own.tag] > 1;
            let is_pushed = submit.body == BodyKind::Pushed;
            if !excuses && !is_pushed && own.stdin != submit.body_len as u64 {
                return Err(format!(
                    "a body of {} bytes instead of {}, tag {}",
                    own.stdin, submit.body_len, own.tag
                ));
            }
            if !own.is_filter {
                far.written(own.tag, number);
            }
            Ok(())
        }
        RecordType::Data if own.data_ended => twice,
        RecordType::Data => {
            own.data_ended = true;
            far.written(own.tag, number);
            Ok(())
        }
        _ => Err(format!("the client ended {record_type:?}")),
    }
}
