//! What a scripted application makes of the records that come.

use super::application::Replies;
use super::exchange::Exchange;
use super::habits::{
    Abort, OutOfTurn, SecondBegin, SplitPairs, Starts, UnknownRole, UnknownType, Values, Versions,
};
use super::records::{self, Records};
use super::scripted::Scripted;
use crate::wire::{BeginRequest, HEADER_LEN, Pairs, ProtocolStatus, RecordType, Role};

impl Scripted {
    /// A record begins; false when it costs the connection.
    pub(super) fn header(
        &mut self,
        connection: usize,
        header: [u8; HEADER_LEN],
        replies: &mut Replies,
    ) -> bool {
        let Some(own) = self.connections.get_mut(&connection) else {
            return false;
        };
        let [version, _, _, _, len1, len0, padding_len, _] = header;
        own.content_len = usize::from(u16::from_be_bytes([len1, len0]));
        own.content_left = own.content_len;
        own.is_padded = padding_len > 0;
        own.is_judged = false;
        if let Some(answer) = own.unsent.take() {
            replies.send(connection, answer);
        }
        let is_accepted = match self.habits.versions {
            Versions::One => version == 1,
            Versions::Positive => version >= 1,
            Versions::All => true,
        };
        let record_len = own.content_len + usize::from(padding_len);
        let is_too_long = record_len > self.habits.max_record_len;
        if own.is_doomed || !is_accepted || is_too_long {
            self.refuse(connection, replies);
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
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        let is_taken = self.habits.holds_ids && own.live.contains_key(&id);
        if is_taken || (id == 0 && !self.habits.serves_id_zero) {
            self.refuse(connection, replies);
            return;
        }
        let first = own.live.values().next().copied();
        if let Some(first) = first.filter(|_| !self.habits.multiplexes) {
            if self.habits.second_begin == SecondBegin::OutOfTurn {
                self.out_of_turn(connection, id, replies);
                return;
            }
            let refusal = records::refuse(id, ProtocolStatus::CantMultiplex);
            replies.send(connection, refusal.into_octets());
            if self.habits.second_begin == SecondBegin::CantMultiplexCutsBody
                && let Some(exchange) = self.exchanges.get_mut(&first)
            {
                exchange.is_cut = true;
            }
            return;
        }
        let role = Role::from_wire(body.role)
            .filter(|role| *role == Role::Responder || self.habits.all_roles);
        let Some(role) = role else {
            match self.habits.unknown_role {
                UnknownRole::Refused => {
                    let refusal = records::refuse(id, ProtocolStatus::UnknownRole);
                    replies.send(connection, refusal.into_octets());
                }
                UnknownRole::Closed => self.refuse(connection, replies),
            }
            return;
        };
        let key = self.next_exchange;
        self.next_exchange += 1;
        own.live.insert(id, key);
        let exchange = Exchange::new(connection, id, role, body.keep_conn());
        self.exchanges.insert(key, exchange);
    }

    /// A piece of a stream, or with no octet its end.
    pub(super) fn stream(
        &mut self,
        connection: usize,
        record_type: RecordType,
        id: u16,
        data: &[u8],
        replies: &mut Replies,
    ) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        own.content_left = own.content_left.saturating_sub(data.len());
        let ends = data.is_empty();
        let has_place = match (record_type, self.live(connection, id)) {
            (RecordType::Params | RecordType::Stdin | RecordType::Data, Some(key)) => {
                match self.exchanges.get(&key) {
                    Some(exchange) => self.has_place(exchange, record_type),
                    // It has ended; its ID is still in use.
                    None => true,
                }
            }
            // Behind its request, the end of a body is no news.
            (RecordType::Stdin, None) => ends && !self.habits.compares_ids,
            _ => false,
        };
        if !has_place {
            self.misplaced(connection, record_type, id, replies);
            return;
        }
        if let Some(key) = self.live(connection, id) {
            match record_type {
                RecordType::Params => self.params(key, connection, data, replies),
                RecordType::Data => self.data(key, data, replies),
                _ => self.stdin(key, connection, id, data, replies),
            }
        }
    }

    fn has_place(&self, exchange: &Exchange, record_type: RecordType) -> bool {
        match record_type {
            RecordType::Params => !exchange.has_params,
            _ => exchange.has_params || self.habits.out_of_turn == OutOfTurn::Ignored,
        }
    }

    fn params(&mut self, key: u64, connection: usize, data: &[u8], replies: &mut Replies) {
        let own = self.connections.get(&connection);
        let ends_record = own.is_none_or(|own| own.content_left == 0);
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let split = self.habits.split_pairs;
        if data.is_empty() {
            exchange.end_params(split);
            self.go_on(key, false, replies);
            return;
        }
        let is_whole = exchange.add_params(data, ends_record, split);
        if !is_whole && split == SplitPairs::Refused {
            self.refuse(connection, replies);
        }
    }

    fn data(&mut self, key: u64, data: &[u8], replies: &mut Replies) {
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.received.data.extend_from_slice(data);
            exchange.has_data |= data.is_empty();
            self.go_on(key, false, replies);
        }
    }

    fn stdin(&mut self, key: u64, connection: usize, id: u16, data: &[u8], replies: &mut Replies) {
        let ends = data.is_empty();
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        if ends && self.habits.holds_ids {
            own.live.remove(&id);
        }
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        own.closes_after_answer |= !exchange.add_stdin(data, self.habits.starts);
        if ends {
            exchange.ended_len = exchange.received.stdin.len();
            exchange.has_stdin |= self.habits.starts != Starts::WithBody;
        }
        self.go_on(key, true, replies);
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            let is_used = ends || exchange.awaits_stdin() || exchange.has_ended;
            exchange.has_unused = exchange.has_started && !is_used;
        }
    }

    /// Starts a request whose time has come; takes what steps can be taken.
    fn go_on(&mut self, key: u64, with_stdin: bool, replies: &mut Replies) {
        if let Some(exchange) = self.exchanges.get_mut(&key)
            && exchange.can_start(self.habits.starts, with_stdin)
        {
            exchange.start((self.answer)(&exchange.received));
        }
        self.run(key, replies);
    }

    pub(super) fn abort(&mut self, connection: usize, id: u16, replies: &mut Replies) {
        if self.habits.abort == Abort::OutOfTurn {
            self.out_of_turn(connection, id, replies);
            return;
        }
        let Some(key) = self.live(connection, id) else {
            return;
        };
        match self.habits.abort {
            Abort::Ends => {
                if let Some(exchange) = self.exchanges.get_mut(&key) {
                    exchange.steps.clear();
                    self.end(key, 0, ProtocolStatus::RequestComplete, replies);
                }
            }
            Abort::EndsAndRunsOn => {
                replies.send(connection, records::end(id, 0).into_octets());
                if let Some(own) = self.connections.get_mut(&connection) {
                    own.live.remove(&id);
                }
                let Some(exchange) = self.exchanges.get_mut(&key) else {
                    return;
                };
                let keeps = exchange.received.keep;
                exchange.received.is_aborted = true;
                exchange.cut_body();
                if exchange.has_started {
                    self.run(key, replies);
                } else {
                    self.exchanges.remove(&key);
                }
                if !keeps {
                    self.hang_up(connection, replies);
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
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        // php-fpm looks for a question between requests only.
        if !own.live.is_empty() && self.habits.out_of_turn == OutOfTurn::EmptiesBody {
            self.out_of_turn(connection, 0, replies);
            return;
        }
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
            Values::Pairs(pairs) | Values::PairsAndClose(pairs) => asked(pairs),
            Values::PairsAndEmpty(pairs) => records::values(pairs).values(&[]),
            Values::UnknownType => Records::default().unknown_type(RecordType::GetValues.into()),
            Values::Close => {
                self.hang_up(connection, replies);
                return;
            }
        };
        if self.habits.values_need_an_octet && !own.is_padded {
            own.unsent = Some(answer.into_octets());
            return;
        }
        replies.send(connection, answer.into_octets());
        if matches!(self.habits.values, Values::PairsAndClose(_)) {
            self.hang_up(connection, replies);
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
        let is_answered = match self.habits.unknown_type {
            UnknownType::Answered => true,
            UnknownType::AnsweredToManagement | UnknownType::AnsweredWithoutContent => id == 0,
            UnknownType::AnsweredToRequests => self.live(connection, id).is_some(),
            UnknownType::OutOfTurn => false,
        };
        if !is_answered {
            self.out_of_turn(connection, id, replies);
            return;
        }
        let answer = Records::default().unknown_type(record_type);
        replies.send(connection, answer.into_octets());
        if self.habits.unknown_type == UnknownType::AnsweredWithoutContent
            && let Some(own) = self.connections.get(&connection)
            && own.content_len > 0
        {
            self.hang_up(connection, replies);
        }
    }

    /// A record of a known type that has no place here; judged once, though it may come in pieces.
    pub(super) fn misplaced(
        &mut self,
        connection: usize,
        record_type: RecordType,
        id: u16,
        replies: &mut Replies,
    ) {
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        if std::mem::replace(&mut own.is_judged, true) {
            return;
        }
        let is_input = matches!(
            record_type,
            RecordType::Params | RecordType::Stdin | RecordType::Data
        );
        if self.habits.unknown_type == UnknownType::AnsweredToRequests && !is_input {
            self.unknown(connection, record_type.into(), id, replies);
        } else {
            self.out_of_turn(connection, id, replies);
        }
    }

    /// Does what a record out of turn does by habit.
    fn out_of_turn(&mut self, connection: usize, id: u16, replies: &mut Replies) {
        let empties = self.habits.out_of_turn == OutOfTurn::EmptiesBody;
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        if self.habits.out_of_turn == OutOfTurn::Ignored {
            return;
        }
        let own_key = match self.habits.compares_ids {
            true => own.live.get(&id).copied(),
            false => own.live.values().next().copied(),
        };
        let Some(key) = own_key else {
            if !own.live.is_empty() {
                // Another request's: nothing.
            } else if empties || own.last_id == Some(id) {
                self.refuse(connection, replies);
            } else {
                own.is_doomed = true;
            }
            return;
        };
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        if empties && !exchange.has_params {
            exchange.end_params(self.habits.split_pairs);
        } else {
            own.closes_after_answer = true;
            if !exchange.has_params {
                exchange.end_params(self.habits.split_pairs);
            }
            if empties {
                exchange.received.stdin.truncate(exchange.ended_len);
            }
            exchange.cut_body();
        }
        self.go_on(key, true, replies);
    }
}
