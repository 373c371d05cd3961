//! What the applications do, passed to the clients that it concerns.

use mio_fcgi::{EventKind, ReadBuf};

use super::Worker;

impl Worker {
    /// Handles events of the applications, `most` at most, and returns how many. The rest are handled after sending.
    pub(super) fn take_events(&mut self, buf: &mut ReadBuf, most: usize) -> usize {
        let now = self.cx.now();
        // The client of the last event. The events of a response come one after the other.
        let mut current = None;
        let mut taken = 0;
        while taken < most
            && let Some(event) = self.cx.fcgi().poll_event(now, buf)
        {
            taken += 1;
            let (request, key) = (event.request, event.tag.0 as usize);
            if let Some(last) = current.replace(key)
                && last != key
            {
                self.settle(last);
            }
            match &event.kind {
                EventKind::Stderr(data) => {
                    let slot = self.clients.get(key);
                    let trace = slot.and_then(|slot| slot.connection.trace_of(request));
                    let id = trace.map_or("-", |(trace, _)| trace.id());
                    self.cx.log_stderr(id, data);
                }
                EventKind::End(outcome) => self.cx.note_end(request, outcome),
                _ => {}
            }
            let slot = self.clients.get_mut(key);
            match event.kind {
                EventKind::Stdout(data)
                    if !slot
                        .as_ref()
                        .is_some_and(|slot| slot.connection.wants(request)) =>
                {
                    if self.leftovers.drop_output(now, request, data.len()) {
                        self.cx.fcgi().abort(now, request);
                    }
                    continue;
                }
                EventKind::End(_) => self.leftovers.forget(request),
                _ => {}
            }
            let Some(slot) = slot else {
                continue;
            };
            let (connection, cx) = (&mut slot.connection, &mut self.cx);
            match event.kind {
                EventKind::Stdout(data) => connection.take_stdout(cx, request, data),
                EventKind::StdoutEnd => connection.end_output(cx, request),
                EventKind::StdinReady => connection.resume_upload(cx, request),
                EventKind::End(outcome) => connection.end_request(cx, request, outcome),
                _ => {}
            }
        }
        current.into_iter().for_each(|last| self.settle(last));
        taken
    }
}
