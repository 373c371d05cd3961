//! How an exchange leaves: with its end, by an abort, for another attempt.

use log::debug;

use super::clock::Progress;
use super::close_reason::CloseReason;
use super::exchange::{Exchange, Input, Life, Sending, Step};
use super::server::Sharing;
use super::source::Source;
use super::time::Time;
use super::{Engine, Running};
use crate::error::{Delivery, Failure, RequestError};
use crate::event::{Event, Outcome};
use crate::request::Retry;
use crate::wire::{self, RecordType};

/// Parameter buffers kept for the next request, and the largest kept: 16 MiB at most.
const MAX_SPARE_PARAMS: usize = 1024;
const MAX_SPARE_PARAMS_LEN: usize = 16 * 1024;

/// What the loss of a connection without a byte of response may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The client's own question: the application may have died of it.
    Asked,
    /// It had served before, and nothing has come since: the application may have closed it before.
    Stale,
    /// The request.
    AtWork,
    /// A part of a record has come: the application had begun to answer.
    Answering,
}

impl Engine {
    /// Ends an exchange that is on no connection (any more) with an error.
    pub(super) fn end_with(&mut self, now: Time, key: u32, error: RequestError, transmitted: u64) {
        let failure = self.exchanges[key as usize].failure(now, error, transmitted);
        if let Some(event) = self.end_event(key, Err(failure)) {
            self.events.push_back(event);
        }
    }

    /// The `End` of an exchange, which is then gone; `None` while held output has to be taken first.
    pub(super) fn end_event(&mut self, key: u32, outcome: Outcome) -> Option<Event<'static>> {
        let exchange = &mut self.exchanges[key as usize];
        if exchange.life != Life::Holding
            && let Some(held) = &mut exchange.held
            && !held.is_empty()
        {
            held.outcome = Some(outcome);
            exchange.life = Life::Holding;
            self.arm_exchange(key);
            return None;
        }
        let handle = exchange.handle(key);
        let tag = exchange.tag;
        match &outcome {
            Ok(completion) => {
                self.counters.completed += 1;
                debug!(
                    "request {key}, tag {}: complete; {}",
                    tag.0, completion.report
                );
            }
            Err(failure) => {
                self.counters.failed += 1;
                debug!(
                    "request {key}, tag {}: {failure}; {}",
                    tag.0, failure.report
                );
            }
        }
        self.forget(key);
        Some(Event::End {
            request: handle,
            tag,
            outcome,
        })
    }

    /// Removes an exchange and keeps its memory for the next.
    pub(super) fn forget(&mut self, key: u32) {
        let exchange = &mut self.exchanges[key as usize];
        self.collecting -= usize::from(matches!(exchange.life, Life::Collecting { .. }));
        let params = &mut exchange.params;
        if self.spares.params.len() < MAX_SPARE_PARAMS && params.capacity() <= MAX_SPARE_PARAMS_LEN
        {
            params.clear();
            self.spares.params.push(std::mem::take(params));
        }
        let held = exchange.held.take();
        self.exchanges.remove(key as usize);
        if let Some(held) = held {
            self.make_room(held.len());
        }
        if self.connections.is_empty() && self.exchanges.is_empty() {
            self.deadlines.clear();
        }
    }

    /// Takes an exchange off its connection's books; [`leave`](Self::leave) follows.
    ///
    /// Where its request was not sent as a whole, a shared connection gets the ends of its streams and keeps
    /// the ID out of use; a plain one is not used again, since the application may take the rest for the
    /// next request.
    pub(super) fn detach(&mut self, now: Time, key: u32, exchange_key: u32) {
        let exchange = &mut self.exchanges[exchange_key as usize];
        let Life::Active { id, .. } = exchange.life else {
            return;
        };
        let connection = &mut self.connections[key as usize];
        if exchange.paused {
            connection.paused -= 1;
        }
        if exchange.is_full {
            exchange.is_full = false;
            connection.full -= 1;
        }
        if let Some(held) = &exchange.held {
            connection.held -= held.len();
        }
        if exchange.is_sent(connection.outbox.transmitted()) {
            connection.ids.release(id);
            if !connection.more_read {
                connection.ids.end_rest();
            }
            return;
        }
        connection.ids.quarantine(id);
        if connection.max_requests == 1 {
            connection.spent.get_or_insert(CloseReason::EarlyEnd);
        }
        // It may have others on it, though it was lowered to one request at a time.
        if connection.max_requests > 1 || connection.live > 1 {
            self.absorb(key, exchange_key);
            self.end_streams(now, key, exchange_key, id);
        }
    }

    /// Sends the ends of an exchange's streams that have not been sent.
    fn end_streams(&mut self, now: Time, key: u32, exchange_key: u32, id: u16) {
        let exchange = &mut self.exchanges[exchange_key as usize];
        let connection = &mut self.connections[key as usize];
        let ends: &[RecordType] = match (exchange.sending, exchange.role) {
            (Sending::Stdin, wire::Role::Filter) => &[RecordType::Stdin, RecordType::Data],
            (Sending::Stdin, wire::Role::Responder | wire::Role::Authorizer) => {
                &[RecordType::Stdin]
            }
            (Sending::Data, _) => &[RecordType::Data],
            (Sending::Done, _) => &[],
        };
        exchange.sending = Sending::Done;
        if ends.is_empty() {
            return;
        }
        connection.begin_framing(now);
        let buffer = connection.outbox.buffer(&mut self.spares.outbox);
        let before = buffer.len();
        for record_type in ends {
            wire::write_stream_end(buffer, *record_type, id);
        }
        connection.outbox.framed(before);
        self.ask_flush(key);
    }

    /// Copies body slices that stand in the outbox, before their exchange goes.
    fn absorb(&mut self, key: u32, exchange_key: u32) {
        self.connections[key as usize]
            .outbox
            .absorb(exchange_key, &self.exchanges);
    }

    /// Gives an active exchange up: `End` now, then the connection is closed, or the request aborted on it.
    pub(super) fn abandon(&mut self, now: Time, key: u32, error: RequestError) {
        let Life::Active { connection, id } = self.exchanges[key as usize].life else {
            return;
        };
        let Some(connection_key) = self.connection_key(connection) else {
            return;
        };
        let connection_key = connection_key as u32;
        let on = &self.connections[connection_key as usize];
        let transmitted = on.outbox.transmitted();
        let alone = on.live - on.aborting == 1;
        let mut failure = self.exchanges[key as usize].failure(now, error, transmitted);
        if !alone && failure.delivery == Delivery::NotSent {
            // What is framed for it still leaves, ahead of its FCGI_ABORT_REQUEST.
            failure.delivery = Delivery::MaybeSent;
        }
        self.drop_held(connection_key, key);
        let tag = self.exchanges[key as usize].tag;
        debug!(
            "request {key}, tag {}: {failure}; {}",
            tag.0, failure.report
        );
        self.events.push_back(Event::End {
            request: self.exchanges[key as usize].handle(key),
            tag,
            outcome: Err(failure),
        });
        self.counters.failed += 1;
        if self.exchanges[key as usize].is_probe {
            self.take_probe(connection_key);
            self.forget(key);
            self.close(now, connection_key, CloseReason::Aborted);
            return;
        }
        self.exchanges[key as usize].life = Life::Aborting {
            connection,
            id,
            since: now,
        };
        let on = &mut self.connections[connection_key as usize];
        on.aborting += 1;
        if alone {
            self.close(now, connection_key, CloseReason::Aborted);
            return;
        }
        self.absorb(connection_key, key);
        let exchange = &mut self.exchanges[key as usize];
        exchange.sending = Sending::Done;
        // Its End is out: what was to be sent goes back to whoever gave it.
        exchange.stdin = Source::empty();
        exchange.data = None;
        let on = &mut self.connections[connection_key as usize];
        on.begin_framing(now);
        let buffer = on.outbox.buffer(&mut self.spares.outbox);
        let before = buffer.len();
        wire::write_abort_request(buffer, id);
        on.outbox.framed(before);
        debug!(
            "connection {connection_key}: FCGI_ABORT_REQUEST for id {id}, which is out of use now"
        );
        self.ask_flush(connection_key);
        self.arm_exchange(key);
        self.update_reads(connection_key);
    }

    /// An aborted exchange is over: its ID stays out of use, its connection goes on.
    pub(super) fn finish_aborting(&mut self, now: Time, key: u32) {
        let Life::Aborting { connection, id, .. } = self.exchanges[key as usize].life else {
            return;
        };
        if let Some(connection_key) = self.connection_key(connection) {
            let on = &mut self.connections[connection_key];
            on.ids.quarantine(id);
            on.aborting -= 1;
            self.forget(key);
            self.leave(now, connection_key as u32);
        }
    }

    /// Forgets output held for an exchange that is given up.
    fn drop_held(&mut self, connection_key: u32, key: u32) {
        let exchange = &mut self.exchanges[key as usize];
        let connection = &mut self.connections[connection_key as usize];
        if std::mem::take(&mut exchange.paused) {
            connection.paused -= 1;
        }
        if std::mem::take(&mut exchange.is_full) {
            connection.full -= 1;
        }
        if let Some(held) = exchange.held.take() {
            connection.held -= held.len();
            self.make_room(held.len());
        }
    }

    /// Whether an exchange whose connection was lost may be sent again.
    pub(super) fn may_retry(&self, now: Time, key: u32, progress: Progress, why: Lost) -> bool {
        let exchange = &self.exchanges[key as usize];
        let allowed = match exchange.delivery_of_attempt(progress.transmitted) {
            Delivery::Responded => false,
            Delivery::NotSent => exchange.retry >= Retry::IfNotSent,
            Delivery::MaybeSent => {
                let last_byte = exchange.clock.sent.unwrap_or(progress.moved);
                let since = now.saturating_duration_since(last_byte);
                let is_soon = since < self.config.stale_window;
                let is_excused = match why {
                    Lost::Asked => true,
                    Lost::Stale => is_soon,
                    Lost::AtWork => is_soon && exchange.retry == Retry::IfUnanswered,
                    Lost::Answering => false,
                };
                is_excused && exchange.may_be_repeated()
            }
        };
        allowed && self.has_attempt_left(now, exchange)
    }

    fn has_attempt_left(&self, now: Time, exchange: &Exchange) -> bool {
        let total = exchange.timeouts.total;
        let in_time = total
            .is_none_or(|limit| now.saturating_duration_since(exchange.clock.submitted) < limit);
        in_time
            && !exchange.is_probe
            && exchange.retries < self.config.max_retries
            && !matches!(self.running, Running::Stopped)
    }

    /// Puts an exchange that was lost back to the front of the queue, for a connection opened from now on;
    /// ends it with `error` when its body cannot be rewound.
    pub(super) fn retry(&mut self, now: Time, key: u32, error: &RequestError, transmitted: u64) {
        let exchange = &mut self.exchanges[key as usize];
        let failure = exchange.failure(now, error.clone(), transmitted);
        let delivery = exchange.delivery_of_attempt(transmitted);
        if !exchange.rewind(now) {
            if let Some(event) = self.end_event(key, Err(failure)) {
                self.events.push_back(event);
            }
            return;
        }
        if delivery == Delivery::MaybeSent {
            exchange.maybe_acted = true;
            exchange.stale_once = true;
        }
        exchange.oldest_connection = self.next_serial;
        self.requeue(key, failure);
    }

    fn requeue(&mut self, key: u32, lost: Failure) {
        let exchange = &mut self.exchanges[key as usize];
        exchange.lost = Some(Box::new(lost));
        exchange.retries += 1;
        self.counters.retries += 1;
        debug!(
            "request {key}: to be sent again, retry {}",
            exchange.retries
        );
        // What waited above a lowered limit has left perhaps: what is put back takes its place no more.
        let waiting = self.queued() + self.collecting;
        let limit = self.config.limits.max_queue;
        self.queue_ceiling = self.queue_ceiling.min(waiting).max(limit);
        self.queue.push_front(&mut self.exchanges, key);
        self.arm_exchange(key);
    }

    /// The application rejected a request without having begun it. True when it was put back into the queue.
    pub(super) fn refused(
        &mut self,
        now: Time,
        key: u32,
        exchange_key: u32,
        failure: &Failure,
    ) -> bool {
        let server = usize::from(self.connections[key as usize].server);
        let retryable = match &failure.error {
            RequestError::CantMultiplex => {
                self.lower_to_plain(server);
                true
            }
            RequestError::Overloaded => {
                let overloads = self.servers[server].overloads.saturating_add(1);
                self.servers[server].overloads = overloads;
                let pause = self.config.backoff.after(overloads);
                self.set_aside(now, server, pause);
                true
            }
            _ => false,
        };
        let exchange = &self.exchanges[exchange_key as usize];
        if !retryable
            || exchange.retry == Retry::Never
            || !self.has_attempt_left(now, exchange)
            || exchange.life.step(Input::Refused) != Step::Retry
        {
            return false;
        }
        self.detach(now, key, exchange_key);
        if !self.exchanges[exchange_key as usize].rewind(now) {
            // The books are closed; the caller ends it as refused.
            self.exchanges[exchange_key as usize].life = Life::Holding;
            return false;
        }
        // The connection first: what waits then is not the request that has just left it.
        self.leave(now, key);
        self.requeue(exchange_key, failure.clone());
        true
    }

    /// The application does not multiplex after all: from now on one request per connection.
    fn lower_to_plain(&mut self, server: usize) {
        let before = std::mem::replace(&mut self.servers[server].sharing, Sharing::Plain);
        self.unasked -= usize::from(before == Sharing::Unknown);
        self.servers[server].roomy.clear();
        for (_, connection) in &mut self.connections {
            if usize::from(connection.server) == server {
                connection.max_requests = 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Request, Tag};
    use std::time::Instant;

    fn ended(requests: impl IntoIterator<Item = Request>) -> Engine {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.limits.max_queue = 2 * MAX_SPARE_PARAMS;
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        let submit = |request| engine.submit(now, request, Tag(0)).expect("accepted");
        let handles: Vec<_> = requests.into_iter().map(submit).collect();
        for handle in handles {
            engine.abort(now, handle);
        }
        engine
    }

    #[test]
    fn the_parameter_buffers_that_are_kept_are_bounded_in_number() {
        for (requests, kept) in [(3, 3), (MAX_SPARE_PARAMS + 1, MAX_SPARE_PARAMS)] {
            let engine = ended((0..requests).map(|_| Request::responder().param("A", "1")));
            assert_eq!(engine.spares.params.len(), kept);
        }
    }

    #[test]
    fn the_parameter_buffers_that_are_kept_are_bounded_in_length() {
        for (len, kept) in [(MAX_SPARE_PARAMS_LEN, 1), (MAX_SPARE_PARAMS_LEN + 1, 0)] {
            // Its name, and lengths of one octet and four.
            let request = Request::responder().param("A", "x".repeat(len - 6));
            assert_eq!(request.params.capacity(), len);
            assert_eq!(ended([request]).spares.params.len(), kept, "{len}");
        }
    }
}
