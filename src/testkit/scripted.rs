//! An application that follows scripts.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::application::{Application, Replies};
use super::habits::{Abort, AppStatus, Habits, SecondBegin, UnknownRole, Values};
use super::records::{self, Records};
use super::script::{Received, Script, Step};
use crate::wire::{BeginRequest, EndRequest, Item, Pairs, ProtocolStatus, RecordType, Role};

/// An application that asks a closure what to do with each request when its parameters are complete.
///
/// It behaves by its [`Habits`], [`Habits::ideal`] unless others are given. Two requests of one connection with the same ID
/// at a time, which no client may send, are served as they come.
///
/// ```
/// use mio_fcgi::testkit::{Habits, Script, Scripted};
///
/// let application = Scripted::new(|request| match request.param("SCRIPT_NAME") {
///     Some(b"/slow.php") => Script::new(), // never answers
///     _ => Script::answer("Content-Type: text/plain\r\n\r\nhello"),
/// })
/// .with_habits(Habits::php_fpm(4));
/// # drop(application);
/// ```
pub struct Scripted {
    answer: Box<dyn FnMut(&Received) -> Script>,
    habits: Habits,
    connections: BTreeMap<usize, Connection>,
    exchanges: BTreeMap<u64, Exchange>,
    next_exchange: u64,
    /// Connections that no worker has turned to.
    waiting: VecDeque<usize>,
    busy_workers: usize,
    last_status: u32,
}

#[derive(Debug, Default)]
struct Connection {
    /// Requests that have not ended, by ID.
    live: BTreeMap<u16, u64>,
    question: Vec<u8>,
    has_worker: bool,
    closes_after_answer: bool,
}

struct Exchange {
    received: Received,
    encoded_params: Vec<u8>,
    steps: VecDeque<Step>,
    has_params: bool,
    has_stdin: bool,
    has_data: bool,
    has_ended: bool,
    stdout_ended: bool,
    /// A [`Script::wait`] is running.
    is_waiting: bool,
}

impl Scripted {
    /// An application that answers each request with the script that `answer` makes.
    pub fn new(answer: impl FnMut(&Received) -> Script + 'static) -> Self {
        Self {
            answer: Box::new(answer),
            habits: Habits::ideal(),
            connections: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            waiting: VecDeque::new(),
            busy_workers: 0,
            last_status: 0,
        }
    }

    /// Gives it other habits.
    #[must_use]
    pub fn with_habits(mut self, habits: Habits) -> Self {
        self.habits = habits;
        self
    }

    fn begin(&mut self, connection: usize, id: u16, body: BeginRequest, replies: &mut Replies) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        let role = Role::from_wire(body.role)
            .filter(|role| *role == Role::Responder || self.habits.all_roles);
        let Some(role) = role else {
            match self.habits.unknown_role {
                UnknownRole::Refused => {
                    let refusal = records::refuse(id, ProtocolStatus::UnknownRole);
                    replies.send(connection, refusal.into_octets());
                }
                UnknownRole::Closed => replies.close(connection),
                UnknownRole::Reset => replies.reset(connection),
            }
            return;
        };
        let first = own.live.values().next().copied();
        if let Some(first) = first.filter(|_| !self.habits.multiplexes) {
            let cuts_body = match self.habits.second_begin {
                SecondBegin::CantMultiplex => false,
                SecondBegin::CantMultiplexCutsBody => true,
                SecondBegin::EndsBody => {
                    own.closes_after_answer = true;
                    true
                }
            };
            if self.habits.second_begin != SecondBegin::EndsBody {
                let refusal = records::refuse(id, ProtocolStatus::CantMultiplex);
                replies.send(connection, refusal.into_octets());
            }
            if cuts_body && let Some(exchange) = self.exchanges.get_mut(&first) {
                exchange.has_stdin = true;
                self.run(first, replies);
            }
            return;
        }
        let key = self.next_exchange;
        self.next_exchange += 1;
        own.live.insert(id, key);
        let received = Received {
            connection,
            request_id: id,
            role,
            keep: body.keep_conn(),
            params: Vec::new(),
            stdin: Vec::new(),
            data: Vec::new(),
        };
        let exchange = Exchange {
            received,
            encoded_params: Vec::new(),
            steps: VecDeque::new(),
            has_params: false,
            has_stdin: false,
            has_data: role != Role::Filter,
            has_ended: false,
            stdout_ended: false,
            is_waiting: false,
        };
        self.exchanges.insert(key, exchange);
    }

    /// A piece of a stream, or with no octet its end.
    fn stream(
        &mut self,
        connection: usize,
        record_type: RecordType,
        id: u16,
        data: &[u8],
        replies: &mut Replies,
    ) {
        let live = self.connections.get(&connection);
        let Some(key) = live.and_then(|own| own.live.get(&id)).copied() else {
            return;
        };
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let ends = data.is_empty();
        match record_type {
            RecordType::Params if ends => {
                let pairs = Pairs::new(&exchange.encoded_params).filter_map(Result::ok);
                let owned = pairs.map(|(name, value)| (name.to_vec(), value.to_vec()));
                exchange.received.params = owned.collect();
                exchange.has_params = true;
                exchange.steps = (self.answer)(&exchange.received).steps;
            }
            RecordType::Params => exchange.encoded_params.extend_from_slice(data),
            RecordType::Stdin => {
                exchange.received.stdin.extend_from_slice(data);
                exchange.has_stdin |= ends;
            }
            RecordType::Data => {
                exchange.received.data.extend_from_slice(data);
                exchange.has_data |= ends;
            }
            _ => return,
        }
        if self.habits.counts_stdin && exchange.has_params {
            let declared = exchange.received.param("CONTENT_LENGTH");
            let declared = declared.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            exchange.has_stdin |= exchange.received.stdin.len() >= declared.unwrap_or(0);
        }
        self.run(key, replies);
    }

    fn abort(&mut self, connection: usize, id: u16, replies: &mut Replies) {
        let live = self.connections.get(&connection);
        let Some(key) = live.and_then(|own| own.live.get(&id)).copied() else {
            return;
        };
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let has_stdin = exchange.has_stdin;
        match self.habits.abort {
            Abort::Ends => {
                exchange.steps.clear();
                self.end(key, 0, ProtocolStatus::RequestComplete, replies);
            }
            Abort::EndsAndCloses if !has_stdin => {
                exchange.steps.clear();
                self.end(key, 0, ProtocolStatus::RequestComplete, replies);
                replies.close(connection);
            }
            Abort::EndsAndRunsOn if !has_stdin => {
                let end = records::end(id, 0);
                replies.send(connection, end.into_octets());
                exchange.has_stdin = true;
                self.run(key, replies);
            }
            Abort::NeverEnds => exchange.steps.clear(),
            Abort::Ignored | Abort::EndsAndCloses | Abort::EndsAndRunsOn => {}
        }
    }

    fn question(&mut self, connection: usize, data: &[u8], last: bool, replies: &mut Replies) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        own.question.extend_from_slice(data);
        if !last {
            return;
        }
        let question = std::mem::take(&mut own.question);
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let is_asked = |name: &str| {
                let mut names = Pairs::new(&question).filter_map(Result::ok);
                names.any(|(asked, _)| asked == name.as_bytes())
            };
            let known: Vec<_> = pairs
                .iter()
                .filter(|(name, _)| is_asked(name))
                .copied()
                .collect();
            records::values(&known)
        };
        let answer = match &self.habits.values {
            Values::Silent => return,
            Values::Pairs(pairs) => asked(pairs),
            Values::PairsAndEmpty(pairs) => asked(pairs).values(&[]),
            Values::UnknownType => Records::default().unknown_type(RecordType::GetValues.into()),
            Values::Close => {
                replies.close(connection);
                return;
            }
        };
        replies.send(connection, answer.into_octets());
    }

    /// Takes the steps of a script that can be taken.
    fn run(&mut self, key: u64, replies: &mut Replies) {
        while let Some(exchange) = self.exchanges.get_mut(&key) {
            if exchange.is_waiting || !exchange.has_params {
                return;
            }
            let connection = exchange.received.connection;
            let id = exchange.received.request_id;
            let body_is_here = exchange.has_stdin && exchange.has_data;
            if matches!(exchange.steps.front(), Some(Step::AwaitStdin)) && !body_is_here {
                return;
            }
            let Some(step) = exchange.steps.pop_front() else {
                if exchange.has_ended {
                    self.exchanges.remove(&key);
                }
                return;
            };
            match step {
                Step::AwaitStdin => {}
                Step::Wait(time) => {
                    exchange.is_waiting = true;
                    replies.wake(connection, time, key);
                }
                Step::Stdout(content) => self.stdout(connection, id, &content, replies),
                Step::Echo => {
                    let content = exchange.received.stdin.clone();
                    self.stdout(connection, id, &content, replies);
                }
                Step::Stderr(content) => {
                    replies.send(connection, records::stderr(id, &content).into_octets());
                }
                Step::StdoutEnd => {
                    exchange.stdout_ended = true;
                    if self.habits.ends_stdout {
                        let end = Records::default().stdout_end(id);
                        replies.send(connection, end.into_octets());
                    }
                }
                Step::End(app_status, status) => self.end(key, app_status, status, replies),
                Step::Ended => self.finish(key, replies),
                Step::Send(records) => replies.send(connection, records.into_octets()),
                Step::Then(make) => exchange.steps = make(&exchange.received).steps,
                Step::HalfClose => replies.half_close(connection),
                Step::Close => replies.close(connection),
                Step::Reset => replies.reset(connection),
                Step::Read(reads) => replies.read(connection, reads),
            }
        }
    }

    fn stdout(&self, connection: usize, id: u16, content: &[u8], replies: &mut Replies) {
        for piece in content.chunks(self.habits.record_len.max(1)) {
            replies.send(connection, records::stdout(id, piece).into_octets());
        }
    }

    /// Sends `FCGI_END_REQUEST`.
    fn end(&mut self, key: u64, app_status: u32, status: ProtocolStatus, replies: &mut Replies) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let connection = exchange.received.connection;
        let id = exchange.received.request_id;
        let mut out = Vec::new();
        let is_complete = status == ProtocolStatus::RequestComplete;
        if is_complete && self.habits.ends_stdout && !exchange.stdout_ended {
            out = records::new().stdout_end(id).into_octets();
        }
        let app_status = match self.habits.app_status {
            AppStatus::AsSet => app_status,
            AppStatus::Zero => 0,
            AppStatus::Sticky if app_status == 0 => self.last_status,
            AppStatus::Sticky => app_status,
        };
        self.last_status = app_status;
        let body = EndRequest {
            app_status,
            protocol_status: status,
        };
        crate::wire::write_end_request(&mut out, id, body);
        replies.send(connection, out);
        self.finish(key, replies);
    }

    /// A request is over: closes where that is due.
    fn finish(&mut self, key: u64, replies: &mut Replies) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let connection = exchange.received.connection;
        let id = exchange.received.request_id;
        let was_early = !exchange.has_stdin;
        let keeps = exchange.received.keep;
        exchange.has_ended = true;
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        if own.live.get(&id) == Some(&key) {
            own.live.remove(&id);
        }
        let closes = own.closes_after_answer || (was_early && self.habits.closes_after_early_end);
        if closes {
            replies.close(connection);
        } else if !keeps {
            replies.half_close(connection);
        }
    }

    /// Lets free workers turn to connections that wait.
    fn employ(&mut self, replies: &mut Replies) {
        let most = self.habits.workers.unwrap_or(usize::MAX);
        while self.busy_workers < most
            && let Some(connection) = self.waiting.pop_front()
        {
            if let Some(own) = self.connections.get_mut(&connection) {
                own.has_worker = true;
                self.busy_workers += 1;
                replies.read(connection, true);
            }
        }
    }
}

impl Application for Scripted {
    fn accepted(&mut self, connection: usize, replies: &mut Replies) {
        self.connections.insert(connection, Connection::default());
        if self.habits.workers.is_some() {
            replies.read(connection, false);
            self.waiting.push_back(connection);
            self.employ(replies);
        }
    }

    fn received(&mut self, connection: usize, item: Item<'_>, replies: &mut Replies) {
        match item {
            Item::Begin { request_id, body } => self.begin(connection, request_id, body, replies),
            Item::Abort { request_id } => self.abort(connection, request_id, replies),
            Item::Stream {
                record_type,
                request_id,
                data,
            } => self.stream(connection, record_type, request_id, data, replies),
            Item::StreamEnd {
                record_type,
                request_id,
            } => self.stream(connection, record_type, request_id, &[], replies),
            Item::Values {
                record_type: RecordType::GetValues,
                data,
                last,
                ..
            } => self.question(connection, data, last, replies),
            Item::Unassigned { record_type, .. } => {
                if self.habits.answers_unknown_type {
                    let answer = Records::default().unknown_type(record_type);
                    replies.send(connection, answer.into_octets());
                }
            }
            Item::End { .. } | Item::UnknownType { .. } | Item::Values { .. } => {}
        }
    }

    fn closed(&mut self, connection: usize, replies: &mut Replies) {
        replies.close(connection);
        if let Some(own) = self.connections.remove(&connection)
            && own.has_worker
        {
            self.busy_workers -= 1;
            self.employ(replies);
        }
        self.exchanges
            .retain(|_, exchange| exchange.received.connection != connection);
    }

    fn woken(&mut self, _connection: usize, token: u64, replies: &mut Replies) {
        if let Some(exchange) = self.exchanges.get_mut(&token) {
            exchange.is_waiting = false;
            self.run(token, replies);
        }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("habits", &self.habits)
            .field("connections", &self.connections.len())
            .field("requests", &self.exchanges.len())
            .finish_non_exhaustive()
    }
}
