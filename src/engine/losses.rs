//! A connection ends with requests on it: what its loss says, and what becomes of them.

use std::io;

use super::Engine;
use super::abandon::Lost;
use super::clock::Progress;
use super::close_reason::CloseReason;
use super::exchange::{Input, Life, Step};
use super::time::Time;
use crate::error::{ConnectError, LostReason, RequestError};
use crate::wire::{Demux, Item, RecordType};

impl Engine {
    /// Takes a connection away and deals with the requests that are still on it.
    pub(super) fn lose(&mut self, now: Time, key: u32, reason: CloseReason, error: RequestError) {
        let probe = self.take_probe(key);
        // It may have died of the question, and not of its request.
        let connection = &self.connections[key as usize];
        let transmitted = connection.outbox.transmitted();
        let question = connection.question.as_ref();
        let asked = question.map(|it| (it.since, transmitted > it.offset));
        let was_asked = asked.is_some_and(|(since, was_sent)| {
            was_sent && now.saturating_duration_since(since) < self.config.stale_window
        });
        if let Some((_, was_sent)) = asked {
            self.question_lost(key, reason, was_sent);
        }
        let mut live: Vec<u32> = self.connections[key as usize].ids.live().collect();
        live.sort_unstable_by_key(|it| self.exchanges[*it as usize].first_offset);
        let server = usize::from(self.connections[key as usize].server);
        let connection = &self.connections[key as usize];
        let (progress, is_quiet) = (connection.progress(), connection.quiet);
        let is_within_record = !connection.demux.at_record_boundary();
        // One that ends before anybody had it is no better than none.
        let is_no_use = connection.served == 0 && live.is_empty() && probe.is_none();
        let (started, serial) = (connection.opened, connection.serial);
        self.note_unanswered_id(key, reason);
        self.note_closed_behind_answer(now, key, reason);
        for exchange in &live {
            self.take_back_bodies(key, *exchange);
        }
        self.loads[server] -= self.connections[key as usize].live;
        let is_useless = matches!(
            reason,
            CloseReason::ClosedIdle | CloseReason::OutOfTurn | CloseReason::Protocol
        );
        let is_wanted = self.config.limits.min_idle > 0;
        if (is_useless || is_wanted) && self.connections[key as usize].served == 0 {
            self.pause_refill(now, server);
        }
        self.remove(key, reason);
        if is_useless && is_no_use && !self.queue.is_empty() {
            let kind = match error {
                RequestError::Lost(LostReason::Io(kind)) => kind,
                RequestError::Protocol(_) => io::ErrorKind::InvalidData,
                _ => io::ErrorKind::UnexpectedEof,
            };
            self.server_failed(now, server, (started, serial), ConnectError::Failed(kind));
        }
        let (again, over): (Vec<u32>, Vec<u32>) = live.into_iter().partition(|it| {
            let is_reused = self.exchanges[*it as usize].reused;
            let why = match (was_asked, is_quiet && is_reused) {
                _ if is_within_record => Lost::Answering,
                (true, _) => Lost::Asked,
                (false, true) => Lost::Stale,
                (false, false) => Lost::AtWork,
            };
            self.may_retry(now, *it, progress, why)
        });
        // Each that is sent again goes to the front of the queue: the last first.
        for exchange in over {
            self.lose_exchange(now, exchange, Input::Lost, &error, progress);
        }
        for exchange in again.into_iter().rev() {
            self.lose_exchange(now, exchange, Input::LostMayRetry, &error, progress);
        }
        if let Some(probe) = probe {
            self.end_probe(now, server, &probe, Err(error));
        }
    }

    /// The application has closed a connection between two requests, or before it took the second.
    fn note_closed_behind_answer(&mut self, now: Time, key: u32, reason: CloseReason) {
        let connection = &self.connections[key as usize];
        let idle = now.saturating_duration_since(connection.moved);
        let is_soon = idle < self.config.stale_window;
        let is_behind = match reason {
            CloseReason::ClosedIdle => connection.live == 0,
            CloseReason::Lost => connection.quiet && connection.max_requests == 1,
            _ => false,
        };
        if is_behind && is_soon && connection.served > 0 {
            let server = usize::from(connection.server);
            self.servers[server].note_closed_behind_answer(now, connection.served);
        }
    }

    /// Takes back what was put into the outbox of bodies that cannot be read again, if no byte of the request has left.
    fn take_back_bodies(&mut self, key: u32, exchange_key: u32) {
        let exchange = &self.exchanges[exchange_key as usize];
        let outbox = &self.connections[key as usize].outbox;
        let Life::Active { id, .. } = exchange.life else {
            return;
        };
        let is_repeatable = exchange.stdin.is_repeatable()
            && exchange.data.as_ref().is_none_or(|it| it.is_repeatable());
        if is_repeatable || exchange.is_probe || outbox.transmitted() > exchange.first_offset {
            return;
        }
        let (mut stdin, mut data) = (Vec::new(), Vec::new());
        let mut demux = Demux::default();
        outbox.pieces_from(exchange.first_offset, &self.exchanges, |mut bytes| {
            while let Ok(Some(item)) = demux.next(&mut bytes) {
                let Item::Stream {
                    record_type,
                    request_id,
                    data: content,
                } = item
                else {
                    continue;
                };
                match record_type {
                    RecordType::Stdin if request_id == id => stdin.extend_from_slice(content),
                    RecordType::Data if request_id == id => data.extend_from_slice(content),
                    _ => {}
                }
            }
        });
        let exchange = &mut self.exchanges[exchange_key as usize];
        exchange.stdin.take_back(stdin);
        if let Some(source) = &mut exchange.data {
            source.take_back(data);
        }
    }

    /// An application that knows ID 1 only may close a connection rather than answer another one.
    fn note_unanswered_id(&mut self, key: u32, reason: CloseReason) {
        let connection = &self.connections[key as usize];
        let mut live = connection.ids.live();
        let has_other_id = live.next().is_some_and(|it| {
            let life = self.exchanges[it as usize].life;
            matches!(life, Life::Active { id, .. } if id != 1)
        });
        if reason == CloseReason::Lost
            && connection.max_requests == 1
            && connection.quiet
            && has_other_id
        {
            let number = connection.server;
            self.servers[usize::from(number)].note_unanswered_id(number);
            self.is_untrimmed = true;
        }
    }

    fn lose_exchange(
        &mut self,
        now: Time,
        key: u32,
        input: Input,
        error: &RequestError,
        progress: Progress,
    ) {
        match self.exchanges[key as usize].life.step(input) {
            Step::Retry => self.retry(now, key, error, progress.transmitted),
            Step::End => self.end_with(now, key, error.clone(), progress.transmitted),
            Step::Gone => self.forget(key),
            Step::Begin | Step::Abandon | Step::Close | Step::None | Step::Impossible => {
                debug_assert!(false, "an exchange with an id is Active or Aborting");
            }
        }
    }
}
