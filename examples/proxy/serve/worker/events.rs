//! What the applications do, passed to the clients that it concerns.

use std::time::Instant;

use mio_fcgi::{EventKind, ReadBuf};

use super::super::net::lent::Output;
use super::super::site::applications::Event;
use super::Worker;

impl Worker {
    /// Handles events of the applications, and returns how many: `most` and the others of the last read, at most. The rest
    /// are handled after sending.
    pub(super) fn take_events(&mut self, buf: &mut ReadBuf, most: usize) -> usize {
        let now = self.cx.now();
        let mut taken = 0;
        while taken < most {
            let mut next = self.cx.fcgi().poll_event(now, buf);
            if next.is_none() {
                break;
            }
            // What one read has brought for a client leaves in one write.
            let mut receiver = None;
            while let Some(event) = next {
                taken += 1;
                let key = event.tag.0 as usize;
                if receiver.is_some_and(|receiver| receiver != key) {
                    self.send_lent(receiver, buf);
                }
                receiver = Some(key);
                self.take_event(now, event, buf);
                next = self.cx.fcgi().poll_same_read(now, buf);
            }
            self.send_lent(receiver, buf);
        }
        taken
    }

    fn take_event(&mut self, now: Instant, event: Event, buf: &ReadBuf) {
        let (request, key) = (event.request, event.tag.0 as usize);
        match &event.kind {
            EventKind::Stderr(place) => {
                let slot = self.clients.get(key);
                let trace = slot.and_then(|slot| slot.connection.trace_of(request));
                let id = trace.map_or("-", |(trace, _)| trace.id());
                self.cx.log_stderr(id, &buf.bytes()[place.clone()]);
            }
            EventKind::End(outcome) => self.cx.note_end(request, outcome),
            _ => {}
        }
        let slot = self.clients.get_mut(key);
        match &event.kind {
            EventKind::Stdout(place)
                if !slot
                    .as_ref()
                    .is_some_and(|slot| slot.connection.wants(request)) =>
            {
                if self.leftovers.drop_output(now, request, place.len()) {
                    self.cx.fcgi().abort(now, request);
                }
                return;
            }
            EventKind::End(_) => self.leftovers.forget(request),
            _ => {}
        }
        let Some(slot) = slot else {
            return;
        };
        let (connection, cx) = (&mut slot.connection, &mut self.cx);
        match event.kind {
            EventKind::Stdout(place) => {
                let output = Output::new(&buf.bytes()[place.clone()], place.start);
                connection.take_stdout(cx, request, output);
            }
            EventKind::StdoutEnd => connection.end_output(cx, request),
            EventKind::StdinReady => connection.resume_upload(cx, request),
            EventKind::End(outcome) => connection.end_request(cx, request, outcome),
            _ => {}
        }
    }

    /// Sends a client what the last read has brought for it. It is settled once for all events of the read.
    fn send_lent(&mut self, receiver: Option<usize>, buf: &ReadBuf) {
        let Some(key) = receiver else {
            return;
        };
        match self.clients.get_mut(key) {
            Some(slot) => {
                slot.connection.send_lent(&mut self.cx, buf.bytes());
                self.settle(key);
            }
            // It has gone in the middle of its response.
            None => self.cx.buffers().lent().clear(),
        }
    }
}
