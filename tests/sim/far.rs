//! The application side: behaviors that follow a plan, and what is known of requests and connections.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use mio_fcgi::Retry;
use mio_fcgi::testkit::internals::Notice;
use mio_fcgi::testkit::{Behavior, ReceivedRequest, Records};
use mio_fcgi::wire::{ProtocolStatus, RecordType};

use crate::ids::Ids;
use crate::plan::{AnswerPlan, Fault, ServerPlan, Submit};
use crate::servers::Servers;
use crate::watch::{Carried, Known};

/// Byte `index` of the stream `stream`.
pub(crate) fn byte(stream: u64, index: u64) -> u8 {
    let mut mixed = (stream << 32 ^ index >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> (8 * (index & 7))) as u8
}

pub(crate) fn pattern(stream: u64, range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|index| byte(stream, index as u64)).collect()
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
    /// Counts the steps of the embedder and the network.
    pub(crate) step: u64,
    pub(crate) always_one: bool,
    pub(crate) stale_window: Duration,
    pub(crate) is_punctual: bool,
    pub(crate) submits: BTreeMap<u64, Submit>,
    /// The step in which each request was accepted.
    pub(crate) submitted_at: BTreeMap<u64, u64>,
    /// How often the parameters of each request were sent completely.
    pub(crate) sent: BTreeMap<u64, usize>,
    /// How many bytes of each body were sent.
    pub(crate) stdin: BTreeMap<u64, u64>,
    /// The connections on which each request was sent, in order.
    pub(crate) carried: BTreeMap<u64, Vec<Carried>>,
    /// How often an application has started to work on each request.
    pub(crate) attempts: BTreeMap<u64, usize>,
    pub(crate) refused: BTreeMap<u64, usize>,
    /// The connection on which an application worked on each request first.
    done_on: BTreeMap<u64, usize>,
    /// How often each fault was played.
    pub(crate) faults: BTreeMap<Fault, u64>,
    /// When each request was sent completely.
    pub(crate) written: BTreeMap<u64, Duration>,
    /// How many `FCGI_GET_VALUES` the client has sent.
    pub(crate) questions: usize,
    /// An application refuses shared connections although the client is configured to share them. Bodies are cut short
    /// then.
    pub(crate) refuses_to_share: bool,
    pub(crate) most_per_connection: Option<u32>,
    pub(crate) servers: Servers,
    connections: BTreeMap<usize, Connection>,
    /// The first violation of a promise by the client.
    pub(crate) violation: Option<String>,
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) known: Known,
    pub(crate) ids: Ids,
    pub(crate) last_write: Duration,
    /// The last write ends a record, padding included.
    pub(crate) is_between: bool,
    /// When each of its requests was sent completely.
    pub(crate) written: BTreeMap<u64, Duration>,
    closed_at: Option<Duration>,
    /// When an `FCGI_GET_VALUES` was sent.
    pub(crate) asked_at: Option<Duration>,
    /// How many requests the client has begun.
    pub(crate) begun: u32,
    /// How many requests the application has started to work on.
    turned: u32,
    /// Records that the application sends when it starts to work on the request with this number.
    owed: Option<(u32, Records)>,
}

impl Connection {
    /// When an `FCGI_GET_VALUES`, or its first bytes, were written after a request.
    fn asked_behind(&self, tag: u64) -> Option<Duration> {
        let is_begun = !self.is_between && self.written.contains_key(&tag);
        self.asked_at
            .or_else(|| is_begun.then_some(self.last_write))
    }
}

impl Far {
    pub(crate) fn accuse(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) fn connection(&mut self, number: usize) -> &mut Connection {
        self.connections.entry(number).or_default()
    }

    /// Whether all `given` bytes of a body are written, and no other request has bytes to write on the connection.
    pub(crate) fn is_written(&mut self, tag: u64, given: u64) -> bool {
        let carried = self.carried.get(&tag).and_then(|all| all.last());
        let Some(carried) = carried.filter(|it| it.is_plain).cloned() else {
            return false;
        };
        self.stdin.get(&tag) == Some(&given) && self.connection(carried.connection).is_between
    }

    /// How many connections have bytes or an end that the driver knows of and has not read.
    pub(crate) fn unread(&self) -> usize {
        let open = self
            .connections
            .values()
            .filter(|it| it.closed_at.is_none());
        open.filter(|it| it.known.is_unread()).count()
    }

    /// The driver has learned something of a connection.
    pub(crate) fn note(&mut self, number: usize, notice: Notice) {
        let (step, now) = (self.step, self.now);
        let connection = self.connection(number);
        connection.known.note(step, notice);
        if notice == Notice::Closed {
            connection.closed_at = Some(now);
        }
    }

    /// The end of a request has arrived.
    pub(crate) fn note_answered(&mut self, tag: u64) {
        let carried = self.carried.get(&tag).and_then(|all| all.last());
        if let Some(number) = carried.map(|it| it.connection) {
            let step = self.step;
            self.connection(number).known.note_answered(step);
        }
    }

    /// A request was sent completely on a connection.
    pub(crate) fn written(&mut self, tag: u64, number: usize) {
        let now = self.now;
        self.written.insert(tag, now);
        self.connection(number).written.insert(tag, now);
    }

    /// Whether an application may work on a request once more. A request that may not run twice does not. Any other
    /// does only if a kept connection was lost soon after the request had been sent.
    fn may_be_done(&mut self, tag: u64, number: usize) -> Result<(), String> {
        let done = self.attempts.get(&tag).copied().unwrap_or_default();
        let done = done - self.refused.get(&tag).copied().unwrap_or_default();
        let submit = &self.submits[&tag];
        if done == 0 {
            self.done_on.insert(tag, number);
            return Ok(());
        }
        if done > 1 || !submit.may_run_twice() {
            return Err(format!("tag {tag}: done {} times", done + 1));
        }
        let retry = submit.retry;
        // On a slow link the former attempt may arrive at its application after the later one.
        let carried = self.carried.get(&tag).map_or(&[][..], |all| all);
        let over = |number| carried.iter().rposition(|it| Some(it.connection) == number);
        let former = over(self.done_on.get(&tag).copied()).min(over(Some(number)));
        let former = former.map(|index| &carried[index]);
        let former = former.ok_or_else(|| format!("tag {tag}: done twice, not sent"))?;
        let (number, place) = (former.connection, former.place);
        let (window, is_late) = (self.stale_window, !self.is_punctual);
        let connection = self.connection(number);
        let closed = connection.closed_at;
        let is_soon = |at: Duration| closed.is_some_and(|closed| closed < at + window || is_late);
        if connection.asked_behind(tag).is_some_and(is_soon) {
            // The application may have died of the client's own FCGI_GET_VALUES, and not of the request.
            return Ok(());
        }
        if place == 1 && retry != Retry::IfUnanswered {
            return Err(format!(
                "tag {tag}: done twice, and fresh was connection {number}"
            ));
        }
        let last_byte = connection.written.get(&tag).copied();
        let last_byte = last_byte.unwrap_or(connection.last_write);
        // The engine may have closed the connection before the process was stopped; the socket is closed after that.
        match is_soon(last_byte) {
            true => Ok(()),
            false => Err(format!(
                "tag {tag}: done twice; sent at {last_byte:?}, lost at {closed:?}"
            )),
        }
    }
}

/// The behavior that a plan has for a request.
pub(crate) fn answer(
    shared: &Rc<RefCell<Far>>,
    request: &ReceivedRequest,
    setup: &ServerPlan,
    is_plain: bool,
) -> Behavior {
    let mut far = shared.borrow_mut();
    let far = &mut *far;
    let tag = request.param("TAG");
    let tag = tag.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let Some((tag, submit)) = tag.and_then(|tag| Some((tag, far.submits.get(&tag)?.clone())))
    else {
        return Behavior::new().reset();
    };
    let number = request.connection;
    let connection = far.connection(number);
    connection.turned += 1;
    let (turned, begun) = (connection.turned, connection.begun);
    let owed = connection.owed.take();
    let plan = &submit.answer;
    let attempts = far.attempts.get(&tag).copied().unwrap_or_default();
    if attempts < plan.refusals {
        far.attempts.insert(tag, attempts + 1);
        *far.refused.entry(tag).or_default() += 1;
        let behavior = Behavior::new();
        let behavior = if plan.is_early {
            behavior
        } else {
            behavior.await_stdin()
        };
        return behavior.refuse(plan.refusal);
    }
    if let Err(what) = far.may_be_done(tag, number) {
        far.accuse(what);
    }
    far.attempts.insert(tag, attempts + 1);
    let may_be_late = is_plain && !far.always_one && !setup.quirks.details().knows_only_id_one;
    let mut fault = plan.fault;
    if matches!(fault, Fault::LateRecords | Fault::LateIntoNext) && !may_be_late {
        fault = Fault::None;
    }
    if fault != Fault::None {
        *far.faults.entry(fault).or_default() += 1;
    }
    let id = request.request_id;
    let multiplexes = if setup.quirks.details().multiplexes {
        "1"
    } else {
        "0"
    };
    let mut behavior = Behavior::new();
    if let Some((_, owed)) = owed.filter(|(number, _)| *number == begun) {
        behavior = behavior.send(owed);
    }
    behavior = behavior_of(behavior, tag, id, plan, fault, multiplexes);
    let late = Records::new().stdout(id, &MARKER).end(id, status_of(tag));
    if fault == Fault::LateIntoNext {
        far.connection(number).owed = Some((begun + 1, late));
    } else if fault == Fault::LateRecords {
        let shared = Rc::clone(shared);
        behavior = behavior.wait(plan.wait).then(move |_| {
            // Not when the next request has begun: its end could come first, and the ID could be used again.
            match shared.borrow_mut().connection(number).begun == begun {
                true => Behavior::new().send(late),
                false => Behavior::new(),
            }
        });
    }
    if setup.quirks.details().knows_only_id_one && turned > 1 {
        *far.faults.entry(Fault::OnlyIdOne).or_default() += 1;
    }
    if setup.max_requests.is_some_and(|most| turned >= most) {
        *far.faults.entry(Fault::ClosesAtMaxRequests).or_default() += 1;
        if tag % 2 == 0 {
            behavior = behavior.wait(plan.wait);
        }
        behavior = behavior.close();
    }
    behavior
}

/// The status that a request ends with. It shows which request an end belongs to.
pub(crate) fn status_of(tag: u64) -> u32 {
    tag as u32
}

const MARKER: [u8; 20] = [0xEE; 20];

fn behavior_of(
    mut behavior: Behavior,
    tag: u64,
    id: u16,
    plan: &AnswerPlan,
    fault: Fault,
    multiplexes: &'static str,
) -> Behavior {
    if fault == Fault::StopsReading {
        behavior = behavior.stop_reading();
    }
    if fault == Fault::TakesNothing {
        behavior = behavior.take_nothing();
    }
    if !plan.is_early {
        behavior = behavior.await_stdin();
    }
    if fault == Fault::Killed {
        let behavior = behavior.wait(plan.wait);
        return match tag % 2 {
            0 => behavior.close(),
            _ => behavior.reset(),
        };
    }
    behavior = match fault {
        // The client may have asked by now. Then this is the answer, which must be true.
        Fault::UnaskedValues => {
            behavior.send(Records::new().values(&[("FCGI_MPXS_CONNS", multiplexes)]))
        }
        Fault::UnknownType => behavior.send(Records::new().unknown_type(99)),
        Fault::Unassigned => {
            let padded = Records::new().record(RecordType::Unassigned(77), id, &MARKER, 9);
            behavior.send(padded)
        }
        Fault::ForeignId => behavior.send(Records::new().stdout(id.wrapping_add(900), &MARKER)),
        Fault::ManagementId => behavior.send(Records::new().stdout(0, &MARKER)),
        Fault::ServerRecord => {
            behavior.send(Records::new().record(RecordType::Stdin, id, &MARKER, 0))
        }
        Fault::EmptyStderr => behavior.send(Records::new().stderr_end(id)),
        Fault::Http => behavior.send(Records::new().raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        _ => behavior,
    };
    let piece_len = plan.stdout.div_ceil(plan.pieces).max(1);
    let mut sent = 0;
    while sent < plan.stdout {
        let until = plan.stdout.min(sent + piece_len);
        let content = pattern(stdout_of(tag), sent..until);
        let is_last = until == plan.stdout;
        match fault {
            Fault::Hangs if is_last => return behavior,
            Fault::ClosesInTheMiddle if is_last => return behavior.close(),
            Fault::ResetsInTheMiddle if is_last => return behavior.reset(),
            _ => {}
        }
        behavior = behavior.wait(plan.wait);
        behavior = if fault == Fault::BigPadding {
            let mut padded = Records::new();
            for part in content.chunks(60_000) {
                padded = padded.record(RecordType::Stdout, id, part, 255);
            }
            behavior.send(padded)
        } else {
            behavior.stdout(content)
        };
        sent = until;
    }
    behavior = behavior.stderr(pattern(stderr_of(tag), 0..plan.stderr));
    if plan.ends_stdout_first {
        behavior = behavior.stdout_end().wait(plan.wait);
    }
    let status = status_of(tag);
    let late = match fault {
        Fault::LateOutput => {
            let ended = Records::new().stdout_end(id).end(id, status);
            ended.stdout(id, &MARKER)
        }
        Fault::SecondEnd => Records::new().end(id, status).end(id, status),
        Fault::OutputAfterItsEnd => {
            let ended = Records::new().stdout_end(id).stdout(id, &MARKER);
            ended.end(id, status)
        }
        Fault::LongEnd => {
            let [a, b, c, d] = status.to_be_bytes();
            let body = [a, b, c, d, 0, 9, 9, 9, 1, 2, 3, 4];
            Records::new().record(RecordType::EndRequest, id, &body, 4)
        }
        Fault::ShortEnd => Records::new().record(RecordType::EndRequest, id, &[0; 7], 1),
        Fault::UnknownStatus => Records::new().refuse(id, ProtocolStatus::Unassigned(9)),
        Fault::ClosesAfterEnd => return behavior.end(status).wait(plan.wait).close(),
        Fault::ResetsAfterEnd => return behavior.end(status).reset(),
        _ => return behavior.end(status),
    };
    behavior.send(late).ended()
}
