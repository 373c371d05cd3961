//! What a scripted application does with the records that arrive.

use super::application::Replies;
use super::behavior::{Behavior, ReceivedRequest};
use super::connections::Connections;
use super::details::{
    Abort, Details, OutOfTurn, SecondBegin, SplitPairs, UnknownRole, UnknownType, Values, Versions,
};
use super::exchange::Exchange;
use super::records::Records;
use super::respond::Respond;
use crate::wire::{BeginRequest, HEADER_LEN, Pairs, ProtocolStatus, RecordType, Role};

/// Takes the records of all connections, and starts the behaviors that answer them.
pub(super) struct Receive {
    answer: Box<dyn FnMut(&ReceivedRequest) -> Behavior>,
    respond: Respond,
}

impl Receive {
    pub(super) fn new(answer: Box<dyn FnMut(&ReceivedRequest) -> Behavior>) -> Self {
        Self {
            answer,
            respond: Respond::default(),
        }
    }

    pub(super) fn connections(&self) -> &Connections {
        self.respond.connections()
    }

    pub(super) fn connections_mut(&mut self) -> &mut Connections {
        self.respond.connections_mut()
    }

    fn quirks(&self) -> &Details {
        self.connections().quirks()
    }

    /// A time for which a behavior has waited has passed.
    pub(super) fn wake(&mut self, connection: usize, key: u64, replies: &mut Replies) {
        if let Some(exchange) = self.connections_mut().exchange_mut(key) {
            exchange.wake();
            self.respond.run(key, replies);
            self.connections_mut().turn(connection, replies);
        }
    }

    /// A record begins. False if it ends the connection.
    pub(super) fn header(
        &mut self,
        connection: usize,
        header: [u8; HEADER_LEN],
        replies: &mut Replies,
    ) -> bool {
        let Some(own) = self.connections_mut().get_mut(connection) else {
            return false;
        };
        let [version, _, _, _, len1, len0, padding_len, _] = header;
        if let Some(answer) = own.begin_record(header) {
            replies.send(connection, answer);
        }
        let is_doomed = own.is_doomed();
        let is_accepted = match self.quirks().versions {
            Versions::One => version == 1,
            Versions::Positive => version >= 1,
            Versions::All => true,
        };
        let content_len = usize::from(u16::from_be_bytes([len1, len0]));
        let record_len = content_len + usize::from(padding_len);
        let is_too_long = record_len > self.quirks().max_record_len;
        if is_doomed || !is_accepted || is_too_long {
            self.connections_mut().refuse(connection, replies);
            return false;
        }
        true
    }

    pub(super) fn begin(
        &mut self,
        connection: usize,
        id: u16,
        body: BeginRequest,
        replies: &mut Replies,
    ) {
        let Some(own) = self.connections().get(connection) else {
            return;
        };
        let is_taken = self.quirks().holds_ids && own.live(id).is_some();
        let first = own.first();
        if is_taken || (id == 0 && !self.quirks().serves_id_zero) {
            self.connections_mut().refuse(connection, replies);
            return;
        }
        if let Some(first) = first.filter(|_| !self.quirks().multiplexes) {
            let quirk = self.quirks().second_begin;
            if quirk == SecondBegin::OutOfTurn {
                self.out_of_turn(connection, id, replies);
                return;
            }
            let refusal = Records::new().refuse(id, ProtocolStatus::CantMultiplex);
            replies.send(connection, refusal.into_bytes());
            if quirk == SecondBegin::CantMultiplexCutsBody
                && let Some(exchange) = self.connections_mut().exchange_mut(first)
            {
                exchange.ignore_body();
            }
            return;
        }
        let role = Role::from_wire(body.role)
            .filter(|role| *role == Role::Responder || self.quirks().all_roles);
        let Some(role) = role else {
            match self.quirks().unknown_role {
                UnknownRole::Refused => {
                    let refusal = Records::new().refuse(id, ProtocolStatus::UnknownRole);
                    replies.send(connection, refusal.into_bytes());
                }
                UnknownRole::Closed => self.connections_mut().refuse(connection, replies),
            }
            return;
        };
        self.connections_mut()
            .begin(connection, id, role, body.keep_conn());
    }

    /// Takes a piece of a stream; no bytes are its end.
    pub(super) fn stream(
        &mut self,
        connection: usize,
        record_type: RecordType,
        id: u16,
        data: &[u8],
        replies: &mut Replies,
    ) {
        let Some(own) = self.connections_mut().get_mut(connection) else {
            return;
        };
        let ends_record = own.take_content(data.len());
        let key = self.connections().live(connection, id);
        let has_place = match (record_type, key) {
            (RecordType::Params | RecordType::Stdin | RecordType::Data, Some(key)) => {
                match self.connections().exchange(key) {
                    Some(exchange) => self.has_place(exchange, record_type),
                    // The request has ended, and its ID is still in use.
                    None => true,
                }
            }
            // The end of a body may arrive after its request has ended.
            (RecordType::Stdin, None) => data.is_empty() && !self.quirks().compares_ids,
            _ => false,
        };
        if !has_place {
            self.misplaced(connection, record_type, id, replies);
            return;
        }
        if let Some(key) = key {
            match record_type {
                RecordType::Params => self.params(key, connection, data, ends_record, replies),
                RecordType::Data => self.data(key, data, replies),
                _ => self.stdin(key, connection, id, data, replies),
            }
        }
    }

    fn has_place(&self, exchange: &Exchange, record_type: RecordType) -> bool {
        match record_type {
            RecordType::Params => !exchange.has_params(),
            _ => exchange.has_params() || self.quirks().out_of_turn == OutOfTurn::Ignored,
        }
    }

    fn params(
        &mut self,
        key: u64,
        connection: usize,
        data: &[u8],
        ends_record: bool,
        replies: &mut Replies,
    ) {
        let split = self.quirks().split_pairs;
        let Some(exchange) = self.connections_mut().exchange_mut(key) else {
            return;
        };
        if data.is_empty() {
            exchange.end_params(split);
            self.go_on(key, false, replies);
            return;
        }
        let is_whole = exchange.add_params(data, ends_record, split);
        if !is_whole && split == SplitPairs::Refused {
            self.connections_mut().refuse(connection, replies);
        }
    }

    fn data(&mut self, key: u64, data: &[u8], replies: &mut Replies) {
        if let Some(exchange) = self.connections_mut().exchange_mut(key) {
            exchange.add_data(data);
            self.go_on(key, false, replies);
        }
    }

    fn stdin(&mut self, key: u64, connection: usize, id: u16, data: &[u8], replies: &mut Replies) {
        let (holds_ids, starts) = (self.quirks().holds_ids, self.quirks().starts);
        if data.is_empty()
            && holds_ids
            && let Some(own) = self.connections_mut().get_mut(connection)
        {
            own.release(id);
        }
        let Some(exchange) = self.connections_mut().exchange_mut(key) else {
            return;
        };
        if !exchange.add_stdin(data, starts)
            && let Some(own) = self.connections_mut().get_mut(connection)
        {
            own.close_after_answer();
        }
        self.go_on(key, true, replies);
        if let Some(exchange) = self.connections_mut().exchange_mut(key) {
            exchange.note_use(data);
        }
    }

    /// Starts the behavior of a request if it is time, and takes the steps that can be taken.
    fn go_on(&mut self, key: u64, with_stdin: bool, replies: &mut Replies) {
        let connections = self.respond.connections_mut();
        let starts = connections.quirks().starts;
        if let Some(exchange) = connections.exchange_mut(key)
            && exchange.can_start(starts, with_stdin)
        {
            exchange.start((self.answer)(exchange.received()));
        }
        self.respond.run(key, replies);
    }

    pub(super) fn abort(&mut self, connection: usize, id: u16, replies: &mut Replies) {
        let quirk = self.quirks().abort;
        if quirk == Abort::OutOfTurn {
            self.out_of_turn(connection, id, replies);
            return;
        }
        let Some(key) = self.connections().live(connection, id) else {
            return;
        };
        match quirk {
            Abort::Ends => {
                if let Some(exchange) = self.connections_mut().exchange_mut(key) {
                    exchange.drop_steps();
                    let status = ProtocolStatus::RequestComplete;
                    self.respond.end(key, 0, status, replies);
                }
            }
            Abort::EndsAndRunsOn => {
                replies.send(connection, Records::new().end(id, 0).into_bytes());
                if let Some(own) = self.connections_mut().get_mut(connection) {
                    own.release(id);
                }
                let Some(exchange) = self.connections_mut().exchange_mut(key) else {
                    return;
                };
                exchange.abort();
                let keeps = exchange.keeps();
                if exchange.has_started() {
                    self.respond.run(key, replies);
                } else {
                    self.connections_mut().remove_exchange(key);
                }
                if !keeps {
                    self.connections_mut().close(connection, replies);
                }
            }
            Abort::Ignored | Abort::OutOfTurn => {}
        }
    }

    pub(super) fn question(
        &mut self,
        connection: usize,
        data: &[u8],
        last: bool,
        replies: &mut Replies,
    ) {
        let empties = self.quirks().out_of_turn == OutOfTurn::EmptiesBody;
        let Some(own) = self.connections_mut().get_mut(connection) else {
            return;
        };
        // php-fpm expects FCGI_GET_VALUES between requests only.
        if own.first().is_some() && empties {
            self.out_of_turn(connection, 0, replies);
            return;
        }
        let Some(question) = own.add_question(data, last) else {
            return;
        };
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
            Records::new().values(&known)
        };
        let values = &self.quirks().values;
        let answer = match values {
            Values::Silent => return,
            Values::Pairs(pairs) | Values::PairsAndClose(pairs) => asked(pairs),
            Values::PairsAndEmpty(pairs) => Records::new().values(pairs).values(&[]),
            Values::UnknownType => Records::new().unknown_type(RecordType::GetValues.into()),
            Values::Close => {
                self.connections_mut().close(connection, replies);
                return;
            }
        };
        let closes = matches!(values, Values::PairsAndClose(_));
        if self.quirks().values_need_a_byte
            && let Some(own) = self.connections_mut().get_mut(connection)
            && !own.is_padded()
        {
            own.hold_back(answer.into_bytes());
            return;
        }
        replies.send(connection, answer.into_bytes());
        if closes {
            self.connections_mut().close(connection, replies);
        }
    }

    /// A record of an unknown type.
    pub(super) fn unknown(
        &mut self,
        connection: usize,
        record_type: u8,
        id: u16,
        replies: &mut Replies,
    ) {
        let quirk = self.quirks().unknown_type;
        let is_answered = match quirk {
            UnknownType::Answered => true,
            UnknownType::AnsweredToManagement | UnknownType::AnsweredWithoutContent => id == 0,
            UnknownType::AnsweredToRequests => self.connections().live(connection, id).is_some(),
            UnknownType::OutOfTurn => false,
        };
        if !is_answered {
            self.out_of_turn(connection, id, replies);
            return;
        }
        let answer = Records::new().unknown_type(record_type);
        replies.send(connection, answer.into_bytes());
        if quirk == UnknownType::AnsweredWithoutContent
            && let Some(own) = self.connections().get(connection)
            && own.has_content()
        {
            self.connections_mut().close(connection, replies);
        }
    }

    /// A record of a known type that has no place here. It may arrive in pieces, and counts once.
    pub(super) fn misplaced(
        &mut self,
        connection: usize,
        record_type: RecordType,
        id: u16,
        replies: &mut Replies,
    ) {
        let Some(own) = self.connections_mut().get_mut(connection) else {
            return;
        };
        if !own.judge() {
            return;
        }
        let is_input = matches!(
            record_type,
            RecordType::Params | RecordType::Stdin | RecordType::Data
        );
        if self.quirks().unknown_type == UnknownType::AnsweredToRequests && !is_input {
            self.unknown(connection, record_type.into(), id, replies);
        } else {
            self.out_of_turn(connection, id, replies);
        }
    }

    /// Does what the quirk for a record out of turn is.
    fn out_of_turn(&mut self, connection: usize, id: u16, replies: &mut Replies) {
        let quirk = self.quirks().out_of_turn;
        if quirk == OutOfTurn::Ignored {
            return;
        }
        let empties = quirk == OutOfTurn::EmptiesBody;
        let split = self.quirks().split_pairs;
        let key = self.connections().live(connection, id);
        let Some(own) = self.connections_mut().get_mut(connection) else {
            return;
        };
        let Some(key) = key else {
            if own.first().is_some() {
                // Another request has the connection: nothing happens.
            } else if empties || own.has_ended_last(id) {
                self.connections_mut().refuse(connection, replies);
            } else {
                own.doom();
            }
            return;
        };
        let Some(exchange) = self.connections_mut().exchange_mut(key) else {
            return;
        };
        let has_params = exchange.has_params();
        if !has_params {
            exchange.end_params(split);
        }
        if has_params || !empties {
            if empties {
                exchange.drop_unended();
            }
            exchange.cut_body();
            if let Some(own) = self.connections_mut().get_mut(connection) {
                own.close_after_answer();
            }
        }
        self.go_on(key, true, replies);
    }
}
