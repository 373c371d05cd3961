//! The reference: a client that reads a connection after it is over. It decodes all that left and all that arrived, and
//! says what each request on the connection was, what it was answered, and how it ended.
//!
//! It knows FastCGI 1.0 and the promises of the library, and nothing of the engine.

use mio_fcgi::wire::{DecodeError, RecordType};
use mio_fcgi::{CloseReason, Disconnected, ProtocolError};

use crate::log::{Log, Tick};
use crate::wire::{self, Record, Rest, decode, decode_pairs};

/// The name of the first parameter of each request, whose value is the request's tag.
pub(crate) const TAG: &[u8] = b"TAG";

/// One attempt at a request: what an application was sent for it, and what it answered.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) log: usize,
    /// `None`: too little of it left.
    pub(crate) id: Option<u16>,
    pub(crate) tag: Option<u64>,
    /// When its first byte left, and where that is.
    pub(crate) begun: Tick,
    pub(crate) begun_at: usize,
    pub(crate) role: Option<u16>,
    pub(crate) keeps: bool,
    pub(crate) params: Incoming,
    pub(crate) stdin: Incoming,
    pub(crate) data: Incoming,
    pub(crate) aborted: Option<Tick>,
    /// Each piece of output, with the type of its record. Empty: the end of `FCGI_STDOUT`.
    pub(crate) output: Vec<(Tick, u8, Vec<u8>)>,
    pub(crate) stdout_ended: Option<Tick>,
    pub(crate) ending: Ending,
    /// When a record for ID 1 arrived, which was not in use, before any answer to this one: the application may know no
    /// other.
    pub(crate) only_one: Option<Tick>,
}

/// A stream to the application.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) content: Vec<u8>,
    /// Where its records end.
    pub(crate) cuts: Vec<usize>,
    pub(crate) ended: Option<Tick>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    None,
    /// `FCGI_END_REQUEST`.
    End {
        tick: Tick,
        app_status: u32,
        status: u8,
    },
    /// The application broke the protocol, in one of these ways. If the connection was lost before the record was whole, it
    /// may not have been noticed.
    Violation {
        tick: Tick,
        allowed: Vec<ProtocolError>,
        or_lost: Option<Disconnected>,
    },
    Lost {
        tick: Tick,
        why: Disconnected,
    },
}

impl Ending {
    pub(crate) fn tick(&self) -> Option<Tick> {
        match self {
            Self::None => None,
            Self::End { tick, .. } | Self::Violation { tick, .. } | Self::Lost { tick, .. } => {
                Some(*tick)
            }
        }
    }
}

impl Attempt {
    fn new(log: usize, id: Option<u16>, begun: Tick, begun_at: usize) -> Self {
        Self {
            log,
            id,
            tag: None,
            begun,
            begun_at,
            role: None,
            keeps: false,
            params: Incoming::default(),
            stdin: Incoming::default(),
            data: Incoming::default(),
            aborted: None,
            output: Vec::new(),
            stdout_ended: None,
            ending: Ending::None,
            only_one: None,
        }
    }

    /// Whether it was in flight at a tick.
    pub(crate) fn is_active(&self, tick: Tick) -> bool {
        self.begun < tick && self.ending.tick().is_none_or(|end| end > tick)
    }

    /// Whether the application was sent all of it.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent_at().is_some()
    }

    /// When the last byte of the request left.
    pub(crate) fn sent_at(&self) -> Option<Tick> {
        if self.role == Some(3) {
            self.data.ended
        } else {
            self.stdin.ended
        }
    }

    /// How many bytes of output had arrived at a tick.
    pub(crate) fn output_len(&self, until: Tick) -> usize {
        self.output
            .iter()
            .filter(|piece| piece.0 <= until)
            .map(|piece| piece.2.len())
            .sum()
    }
}

/// All that can be said about a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) attempts: Vec<Attempt>,
    /// When the application was asked for its values.
    pub(crate) questions: Vec<Tick>,
    /// When the application has said that it multiplexes.
    pub(crate) multiplexes: Option<Tick>,
    /// When bytes arrived that belong to no request in flight.
    pub(crate) unsolicited: Vec<Tick>,
    /// How the application broke the protocol, and when the record that did was whole.
    pub(crate) violation: Vec<ProtocolError>,
    pub(crate) broken: Option<Tick>,
}

impl Connection {
    /// Whether it cannot be told if the application broke the protocol.
    pub(crate) fn is_ambiguous(&self) -> bool {
        let is_unknown = |it: &ProtocolError| matches!(it, ProtocolError::UnknownRequest { .. });
        self.attempts.iter().any(|it| it.id.is_none()) && self.violation.iter().any(is_unknown)
    }

    /// The last request that had begun with an ID.
    fn latest(&mut self, id: u16, tick: Tick) -> Option<&mut Attempt> {
        let is_it = |it: &&mut Attempt| it.id == Some(id) && it.begun < tick;
        self.attempts.iter_mut().rfind(is_it)
    }
}

/// Reads a connection.
///
/// A record that is late for one request is premature for another, if that one was given the same ID and no byte of it has
/// left. Only the engine knows: `premature` are the types and IDs that it names.
///
/// # Errors
/// What the client did that FastCGI does not allow.
pub(crate) fn read(
    index: usize,
    log: &Log,
    premature: &[ProtocolError],
) -> Result<Connection, String> {
    let mut connection = sent(index, log)?;
    received(log, premature, &mut connection);
    Ok(connection)
}

/// What left: the rules of 3.3, 5 and 6 for a Web server.
fn sent(index: usize, log: &Log) -> Result<Connection, String> {
    let (records, rest) = decode(&log.out);
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut questions = Vec::new();
    for record in &records {
        let tick = log.sent(record.at).tick;
        let fault = |what: &str| {
            Err(format!(
                "connection {index}, byte {}: {what}: {}",
                record.at,
                show(record)
            ))
        };
        if record.content_len + record.padding_len > 65_535 {
            return fault("content and padding beyond 65,535 bytes");
        }
        if record.kind == wire::GET_VALUES {
            if record.id != 0 {
                return fault("a management record with a request ID");
            }
            let (pairs, len) = decode_pairs(&record.content);
            if record.has_content() && (pairs.is_empty() || len != record.content_len) {
                return fault("values that are no pairs");
            }
            if record.padding_len == 0 {
                return fault("a question without padding, which libfcgi does not answer");
            }
            questions.push(tick);
            continue;
        }
        if record.id == 0 {
            return fault("an application record without a request ID");
        }
        if record.kind == wire::BEGIN {
            let mut attempt = Attempt::new(index, Some(record.id), tick, record.at);
            if record.content_len != 8 {
                return fault("a BEGIN of another length");
            }
            if let [role_high, role_low, flags, reserved @ ..] = &record.content[..] {
                if record.has_content() && (*flags > 1 || *reserved != [0; 5]) {
                    return fault("flags or reserved bytes that 5.1 does not define");
                }
                attempt.role = Some(u16::from(*role_high) * 256 + u16::from(*role_low));
                attempt.keeps = *flags == 1;
            }
            attempts.push(attempt);
            continue;
        }
        let Some(attempt) = attempts.iter_mut().rfind(|it| it.id == Some(record.id)) else {
            return fault("a record for a request that was not begun");
        };
        let Attempt {
            params,
            stdin,
            data,
            role,
            aborted,
            ..
        } = attempt;
        let stream = match record.kind {
            wire::ABORT if record.content_len > 0 => return fault("an ABORT with content"),
            wire::ABORT if aborted.is_some() => return fault("a second ABORT"),
            wire::ABORT => {
                *aborted = Some(tick);
                continue;
            }
            wire::PARAMS => params,
            wire::STDIN if params.ended.is_none() => {
                return fault("STDIN before the end of PARAMS");
            }
            wire::STDIN => stdin,
            wire::DATA if *role != Some(3) => return fault("DATA for another role than Filter"),
            wire::DATA if stdin.ended.is_none() => return fault("DATA before the end of STDIN"),
            wire::DATA => data,
            _ => return fault("a type that only applications send, or none"),
        };
        if stream.ended.is_some() {
            return fault("a record after the end of its stream");
        }
        if aborted.is_some() && record.content_len > 0 {
            return fault("content after ABORT");
        }
        if record.content_len == 0 {
            stream.ended = record.is_whole.then(|| log.sent(record.at + 7).tick);
        }
        stream.content.extend(&record.content);
        if record.has_content() {
            stream.cuts.push(stream.content.len());
        }
    }
    match rest {
        Rest::Version { at } => {
            return Err(format!(
                "connection {index}, byte {at}: no record of version 1"
            ));
        }
        // A header that was cut may be the begin of a request.
        Rest::Header { at }
            if at < log.out.len()
                && log.out.get(at + 1).is_none_or(|kind| *kind == wire::BEGIN) =>
        {
            let id = log
                .out
                .get(at + 2..at + 4)
                .map(|id| u16::from(id[0]) * 256 + u16::from(id[1]));
            attempts.push(Attempt::new(index, id, log.sent(at).tick, at));
        }
        Rest::Header { .. } => {}
    }
    for attempt in &mut attempts {
        attempt.tag = tag(&attempt.params);
    }
    Ok(Connection {
        attempts,
        questions,
        multiplexes: None,
        unsolicited: Vec::new(),
        violation: Vec::new(),
        broken: None,
    })
}

/// The tag of a request: 0 for the one request that has no parameters at all.
fn tag(params: &Incoming) -> Option<u64> {
    match decode_pairs(&params.content).0.first() {
        Some((name, value)) if name == TAG => std::str::from_utf8(value).ok()?.parse().ok(),
        Some(_) => None,
        None => (params.ended.is_some() && params.content.is_empty()).then_some(0),
    }
}

/// What arrived: the rules of 3.3, 4 and 5 for an application, and the library's promises about records that break them.
fn received(log: &Log, premature: &[ProtocolError], connection: &mut Connection) {
    let (records, rest) = decode(&log.input);
    for record in &records {
        // A record counts from its first byte of content, one with a fixed body from its last.
        let needed = if record.kind == wire::END { 8 } else { 1 };
        let tick = log.received(record.content_at() + record.content.len().min(needed));
        if let Some(allowed) = violation(record, tick, connection) {
            // It may be noticed at the header or when the record is whole.
            let end = record.content_at() + record.content_len + record.padding_len;
            let whole = record.is_whole.then(|| log.received(end));
            return break_off(log, tick, whole, &allowed, connection);
        }
        let error = ProtocolError::Premature {
            record_type: record.kind.into(),
            request_id: record.id,
        };
        let is_last = log.closed.is_some_and(|it| it.1 == CloseReason::Protocol)
            && log.received(log.input.len()) == tick;
        let of_id = connection.latest(record.id, tick);
        let is_late = of_id.is_some_and(|it| it.ending != Ending::None);
        if is_late && is_last && premature.contains(&error) {
            return break_off(log, tick, Some(tick), &[error], connection);
        }
        accept(log, record, tick, connection);
    }
    if let Rest::Version { at } = rest {
        let found = log.input[at];
        let is_http = b"HTTP/".starts_with(&log.input[at..log.input.len().min(at + 5)]);
        // HTTP is named as such when the whole word is there.
        let is_named = is_http && log.input.len() >= at + 5;
        let mut allowed = vec![ProtocolError::Decode(DecodeError::Http)];
        if !is_named {
            allowed = vec![ProtocolError::Decode(DecodeError::Version { found })];
        }
        // At the first byte or when the header is whole.
        let whole = (log.input.len() >= at + 8).then(|| log.received(at + 8));
        return break_off(log, log.received(at + 1), whole, &allowed, connection);
    }
    if let Some((tick, why, _)) = log.lost {
        for attempt in connection
            .attempts
            .iter_mut()
            .filter(|it| it.ending == Ending::None)
        {
            attempt.ending = Ending::Lost { tick, why };
        }
    }
}

fn break_off(
    log: &Log,
    tick: Tick,
    whole: Option<Tick>,
    allowed: &[ProtocolError],
    connection: &mut Connection,
) {
    connection.violation = allowed.to_vec();
    connection.broken = whole;
    let or_lost = log.lost.filter(|_| whole.is_none()).map(|lost| lost.1);
    for attempt in connection
        .attempts
        .iter_mut()
        .filter(|it| it.is_active(whole.unwrap_or(Tick::MAX)))
    {
        attempt.ending = Ending::Violation {
            tick,
            allowed: allowed.to_vec(),
            or_lost,
        };
    }
}

/// How a record breaks the protocol: in any of these ways, if it breaks several rules at once.
fn violation(record: &Record, tick: Tick, connection: &Connection) -> Option<Vec<ProtocolError>> {
    let (record_type, request_id) = (RecordType::from(record.kind), record.id);
    let is_answer = matches!(record.kind, wire::END | wire::STDOUT | wire::STDERR);
    let mut ways = Vec::new();
    if matches!(
        record.kind,
        wire::BEGIN | wire::ABORT | wire::PARAMS | wire::STDIN | wire::DATA | wire::GET_VALUES
    ) {
        ways.push(ProtocolError::UnexpectedRecord { record_type });
    }
    if matches!(record.kind, wire::BEGIN | wire::END | wire::UNKNOWN_TYPE) && record.content_len < 8
    {
        let len = record.content_len as u16;
        ways.push(ProtocolError::Decode(DecodeError::ShortBody {
            record_type,
            len,
        }));
    }
    let of_id = |it: &&Attempt| it.id == Some(request_id);
    let begun = connection
        .attempts
        .iter()
        .filter(of_id)
        .any(|it| it.begun < tick);
    if !begun && (is_answer || !ways.is_empty()) {
        let unknown = ProtocolError::UnknownRequest {
            record_type,
            request_id,
        };
        let premature = ProtocolError::Premature {
            record_type,
            request_id,
        };
        if is_answer || record.id != 0 {
            ways.extend([unknown, premature]);
        }
    }
    (!ways.is_empty()).then_some(ways)
}

/// Takes a record that breaks no rule, although it may come at the wrong time.
fn accept(log: &Log, record: &Record, tick: Tick, connection: &mut Connection) {
    // 4.1: an answer follows its question.
    let is_asked = connection.questions.iter().any(|asked| *asked < tick);
    if record.kind == wire::GET_VALUES_RESULT && record.has_content() && is_asked {
        let (pairs, _) = decode_pairs(&record.content);
        if pairs
            .iter()
            .any(|pair| pair.0 == b"FCGI_MPXS_CONNS" && pair.1 == b"1")
        {
            connection.multiplexes.get_or_insert(tick);
        }
    }
    let is_in_flight = |it: &Attempt| it.is_active(tick);
    // 4.2: a management record that nobody asked for is ignored.
    if !connection.attempts.iter().any(is_in_flight) && record.id != 0 {
        connection.unsolicited.push(tick);
        return;
    }
    if !matches!(record.kind, wire::END | wire::STDOUT | wire::STDERR) {
        return; // 4.2 and 8: of no request, or of a type that is not known.
    }
    let Some(attempt) = connection.latest(record.id, tick) else {
        return;
    };
    if attempt.ending != Ending::None {
        // It is over: whatever this is, it reaches nobody.
        connection.unsolicited.push(tick);
        if record.id == 1 {
            let unanswered = |it: &&mut Attempt| it.is_active(tick) && it.output.is_empty();
            connection
                .attempts
                .iter_mut()
                .filter(unanswered)
                .for_each(|it| it.only_one = Some(tick));
        }
        return;
    }
    match record.kind {
        wire::END => {
            if record.content.len() >= 8 {
                let body = &record.content;
                let app_status = body[..4]
                    .iter()
                    .fold(0, |sum, byte| sum * 256 + u32::from(*byte));
                attempt.ending = Ending::End {
                    tick,
                    app_status,
                    status: body[4],
                };
            }
        }
        wire::STDOUT if attempt.stdout_ended.is_some() => {}
        wire::STDOUT if record.content_len == 0 => {
            attempt.stdout_ended = Some(tick);
            attempt.output.push((tick, wire::STDOUT, Vec::new()));
        }
        kind => {
            let start = record.content_at();
            for (tick, part) in log.pieces(start..start + record.content.len()) {
                attempt.output.push((tick, kind, log.input[part].to_vec()));
            }
        }
    }
}

pub(crate) fn show(record: &Record) -> String {
    let Record {
        kind,
        id,
        content_len,
        padding_len,
        ..
    } = record;
    format!("type {kind}, ID {id}, {content_len} bytes, {padding_len} of padding")
}
