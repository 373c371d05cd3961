//! The open requests of one transport connection: scheduled, answered, ended.

use std::mem;
use std::time::Instant;

use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};

use super::answer::{Site, Source};
use super::buffers::{Outbox, Pool};
use super::event_loop::Context;
use super::exchange::{Body, Exchange, Stage};
use super::page::Page;
use super::render::{self, Reply};

/// The open requests, in no order. An index is valid until the next request ends.
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    open: Vec<Exchange>,
    /// The index of the last record's request. The next record is usually for the same request.
    recent: usize,
    /// Total number of bytes that the open requests keep.
    held_len: usize,
    /// The connection ends after the last open request.
    closing: bool,
    /// The earliest deadline, or an earlier time.
    due: Option<Instant>,
    /// Number of requests with output that waits only for space in the outbox.
    sending: usize,
    /// Where to look for the next request with output.
    next_sender: usize,
    /// Where to look for the next request that is due.
    next_due: usize,
}

impl OpenRequests {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn held_len(&self) -> usize {
        self.held_len
    }

    /// The earliest deadline, or an earlier time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn get_mut(&mut self, at: usize) -> &mut Exchange {
        &mut self.open[at]
    }

    pub(super) fn find(&mut self, id: u16) -> Option<usize> {
        let is_it = |exchange: &Exchange| exchange.id == id;
        if !self.open.get(self.recent).is_some_and(is_it) {
            self.recent = self.open.iter().position(is_it)?;
        }
        Some(self.recent)
    }

    pub(super) fn push(&mut self, exchange: Exchange) {
        self.recent = self.open.len();
        self.open.push(exchange);
    }

    /// Makes the connection end after the last open request.
    pub(super) fn close_after(&mut self) {
        self.closing = true;
    }

    /// Whether the connection has to end and no request is open.
    pub(super) fn is_finished(&self) -> bool {
        self.closing && self.open.is_empty()
    }

    /// Whether a request has output or is due.
    pub(super) fn has_output(&self, now: Instant) -> bool {
        self.sending > 0 || self.is_due(now)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Whether there is more output as soon as there is space for it.
    pub(super) fn is_sending(&self) -> bool {
        self.sending > 0
    }

    /// The peer sends nothing more: requests that are incomplete now will never be complete.
    pub(super) fn finish_input(&mut self, cx: &mut Context<'_>) {
        self.closing = true;
        let mut at = 0;
        while let Some(exchange) = self.open.get(at) {
            match exchange.stage {
                Stage::Params | Stage::Body { .. } => self.remove(cx, at),
                Stage::Waiting { .. } | Stage::Sending(_) | Stage::Streaming(_) => at += 1,
            }
        }
    }

    /// Handles deadlines that have passed, and produces output while there is space for it: in rounds, so that a request
    /// with output without end leaves space to the others.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>, out: &mut Outbox) {
        let (now, limit) = (cx.now, fill_len(cx.site));
        while out.unsent_len() < limit && self.has_output(now) {
            if self.is_due(now) {
                self.handle_due(cx, out, limit);
            }
            if self.sending > 0 {
                self.send_piece(cx, out);
            }
        }
    }

    /// The request has all the input that it needs: responds now, or when it is due.
    pub(super) fn schedule(&mut self, cx: &mut Context<'_>, out: &mut Outbox, at: usize) {
        let exchange = &mut self.open[at];
        let Stage::Body { route, body } = mem::replace(&mut exchange.stage, Stage::Params) else {
            return;
        };
        let delay = route.delay + cx.site.options.delay;
        if delay.is_zero() {
            return self.answer(cx, out, at, route.page, body);
        }
        let due = cx.now + delay;
        exchange.stage = Stage::Waiting {
            page: route.page,
            body,
            due,
        };
        self.due = self.due.into_iter().chain([due]).min();
    }

    /// Counts input that request `at` keeps from now on. A request that exceeds the limit is rejected.
    pub(super) fn hold(&mut self, cx: &mut Context<'_>, out: &mut Outbox, at: usize, len: usize) {
        self.held_len += len;
        if self.held_len > cx.site.options.input_limit {
            self.refuse(cx, out, at, ProtocolStatus::Overloaded);
        }
    }

    /// Ends a request without a response.
    pub(super) fn refuse(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outbox,
        at: usize,
        protocol_status: ProtocolStatus,
    ) {
        let end = EndRequest {
            app_status: 0,
            protocol_status,
        };
        wire::write_end_request(out.bytes(), self.open[at].id, end);
        self.remove(cx, at);
    }

    /// Gives the memory of the open requests back.
    pub(super) fn give_back(&mut self, pool: &mut Pool) {
        for exchange in self.open.drain(..) {
            exchange.give_back(pool);
        }
    }

    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outbox,
        at: usize,
        page: Page,
        body: Body,
    ) {
        let exchange = &mut self.open[at];
        if page == Page::Bench {
            match cx.site.write_bench(out.bytes(), exchange.id) {
                None => self.remove(cx, at),
                Some(cycle) => {
                    exchange.stage = Stage::Sending(cycle);
                    self.sending += 1;
                }
            }
            return;
        }
        let mut reply = Reply::new(cx.pool.take());
        if !matches!(body, Body::Echoed) {
            render::render(&mut reply, page, &exchange.params, &body, cx.now);
        }
        let bytes = out.bytes();
        if !reply.stderr.is_empty() {
            wire::write_stream(bytes, RecordType::Stderr, exchange.id, &reply.stderr);
            wire::write_stream_end(bytes, RecordType::Stderr, exchange.id);
        }
        wire::write_stream(bytes, RecordType::Stdout, exchange.id, &reply.stdout);
        cx.pool.give(reply.stdout);
        if let Body::Kept { bytes, .. } = body {
            self.held_len -= bytes.len();
            cx.pool.give(bytes);
        }
        match reply.source {
            None => self.end(cx, out, at, reply.app_status),
            Some(Source::Cycle(cycle)) => {
                exchange.stage = Stage::Sending(cycle);
                self.sending += 1;
            }
            Some(Source::Lines(lines)) => {
                self.due = self.due.into_iter().chain([lines.due]).min();
                exchange.stage = Stage::Streaming(lines);
            }
        }
    }

    /// Lets each request that is due do one thing, while there is space for output. The next round begins where this one
    /// ends.
    fn handle_due(&mut self, cx: &mut Context<'_>, out: &mut Outbox, limit: usize) {
        for _ in 0..self.open.len() {
            if out.unsent_len() >= limit {
                return;
            }
            let at = if self.next_due < self.open.len() {
                self.next_due
            } else {
                0
            };
            self.next_due = at + 1;
            // The last one may have ended, and another one taken its place.
            let Some(exchange) = self.open.get_mut(at) else {
                break;
            };
            if exchange.due().is_none_or(|due| due > cx.now) {
                continue;
            }
            let id = exchange.id;
            match mem::replace(&mut exchange.stage, Stage::Params) {
                Stage::Waiting { page, body, .. } => self.answer(cx, out, at, page, body),
                Stage::Streaming(mut lines) => {
                    if lines.write_line(out.bytes(), id) {
                        exchange.stage = Stage::Streaming(lines);
                    } else {
                        self.end(cx, out, at, 0);
                    }
                }
                stage => exchange.stage = stage,
            }
        }
        self.due = self.open.iter().filter_map(Exchange::due).min();
    }

    /// Appends one record of the next request that has output.
    fn send_piece(&mut self, cx: &mut Context<'_>, out: &mut Outbox) {
        for _ in 0..self.open.len() {
            let at = if self.next_sender < self.open.len() {
                self.next_sender
            } else {
                0
            };
            self.next_sender = at + 1;
            let exchange = &mut self.open[at];
            if let Stage::Sending(cycle) = &mut exchange.stage {
                if !cycle.write_piece(out.bytes(), exchange.id) {
                    self.end(cx, out, at, 0);
                }
                return;
            }
        }
        // No request has output: the count was wrong. Correct it, so that the caller does not loop forever.
        self.sending = 0;
    }

    fn end(&mut self, cx: &mut Context<'_>, out: &mut Outbox, at: usize, app_status: u32) {
        let id = self.open[at].id;
        wire::write_stream_end(out.bytes(), RecordType::Stdout, id);
        let end = EndRequest {
            app_status,
            protocol_status: ProtocolStatus::RequestComplete,
        };
        wire::write_end_request(out.bytes(), id, end);
        self.remove(cx, at);
    }

    /// Removes a request after its `FCGI_END_REQUEST` was written.
    fn remove(&mut self, cx: &mut Context<'_>, at: usize) {
        let exchange = self.open.swap_remove(at);
        self.closing |= !exchange.keep_conn;
        self.held_len -= exchange.held_len();
        if matches!(exchange.stage, Stage::Sending(_)) {
            self.sending -= 1;
        }
        cx.counters.requests += 1;
        exchange.give_back(cx.pool);
    }
}

/// How many bytes of output are produced ahead of the socket.
pub(super) fn fill_len(site: &Site) -> usize {
    site.options.output_limit.min(FILL_LEN)
}

const FILL_LEN: usize = 128 * 1024;
