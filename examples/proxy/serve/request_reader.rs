//! From a client to the application: reads, finds heads, and starts exchanges.

use std::mem::MaybeUninit;

use super::connection::{Answer, Exchange, LINGER_STEP, Stage, Upload};
use super::http::head::{self, FieldSpace, MAX_FIELDS, MAX_LINE, Refusal};
use super::http::response_head::Asked;
use super::worker::Worker;

impl Worker {
    /// What a connection can do now: send, read once, and go on with what it read.
    pub(crate) fn serve(&mut self, key: usize) {
        let now = self.clock.now;
        self.send(key);
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.is_ended && connection.exchange().is_some_and(|it| it.waits()) {
            // As nginx and Go see it: who ends the stream while being served has gone. A file goes on: it costs nobody
            // else anything, and the socket says when there is no one to take it.
            self.lose_client(key);
            return;
        }
        if !connection.wants_input() {
            return;
        }
        if !connection.input.is_empty() && self.use_held(key) {
            return;
        }
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if !connection.is_readable {
            return;
        }
        let held = connection.input.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch[..held].copy_from_slice(&connection.input);
        match connection.read(&mut scratch[held..]) {
            None => {}
            Some(Ok(0)) => self.end_of_stream(key),
            Some(Err(_)) => self.lose_client(key),
            Some(Ok(len)) => {
                connection.input.clear();
                // Neither a head nor the end of a connection is put off by octets that trickle in.
                let is_progress = match connection.stage {
                    Stage::Head => held == 0,
                    Stage::Exchange(_) => true,
                    Stage::Lingering { .. } | Stage::Gone => false,
                };
                if is_progress {
                    connection.since = now;
                }
                let len = held + len;
                let used = self.consume(key, &scratch[..len]);
                self.hold(key, &scratch[used..len]);
                self.go_on(key);
            }
        }
        self.scratch = scratch;
    }

    /// Uses what was held; true when that is all that can be done now.
    fn use_held(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return true;
        };
        let mut input = std::mem::take(&mut connection.input);
        let used = self.consume(key, &input);
        input.drain(..used);
        let Some(connection) = self.connections.get_mut(key) else {
            return true;
        };
        connection.input = input;
        if used > 0 && matches!(connection.stage, Stage::Head) {
            // A head that was behind another request begins now.
            connection.since = self.clock.now;
        }
        !connection.wants_input() || connection.input.len() >= self.scratch.len()
    }

    /// Keeps what was not used.
    fn hold(&mut self, key: usize, rest: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if rest.is_empty() {
            return;
        }
        if connection.input.capacity() == 0
            && let Some(spare) = self.spares.buffers.pop()
        {
            connection.input = spare;
        }
        connection.input.extend_from_slice(rest);
    }

    /// One read in a turn: whoever has more goes to the back of the queue.
    fn go_on(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key)
            && connection.is_readable
            && connection.wants_input()
        {
            self.enqueue(key);
        }
    }

    fn end_of_stream(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.is_ended = true;
            connection.is_readable = false;
            match connection.stage {
                Stage::Exchange(_) => self.lose_client(key),
                Stage::Head if !connection.out.is_empty() => {
                    // Answers to earlier requests are on their way.
                    connection.linger(false);
                }
                Stage::Head | Stage::Lingering { .. } | Stage::Gone => {
                    connection.stage = Stage::Gone;
                }
            }
        }
    }

    /// Uses octets from a client as far as possible; returns how many.
    fn consume(&mut self, key: usize, octets: &[u8]) -> usize {
        let now = self.clock.now;
        let mut used = 0;
        loop {
            let rest = &octets[used..];
            let Some(connection) = self.connections.get_mut(key) else {
                return octets.len();
            };
            if !connection.wants_input() || rest.is_empty() {
                return used;
            }
            match &mut connection.stage {
                Stage::Head => match self.take_head(key, rest) {
                    0 => return used,
                    len => used += len,
                },
                Stage::Exchange(_) => used += self.take_body(key, rest),
                Stage::Lingering { left, .. } => {
                    let before = *left;
                    *left = left.saturating_sub(rest.len());
                    if before / LINGER_STEP > *left / LINGER_STEP {
                        connection.since = now;
                    }
                    if *left == 0 {
                        connection.stage = Stage::Gone;
                    }
                    return octets.len();
                }
                Stage::Gone => return octets.len(),
            }
            self.conclude(key);
        }
    }

    /// Starts an exchange if there is a whole head; returns the octets used.
    fn take_head(&mut self, key: usize, octets: &[u8]) -> usize {
        let Some(connection) = self.connections.get_mut(key) else {
            return octets.len();
        };
        // RFC 9112, 2.2: an empty line before a request is let pass. Not any number of them, nor by any number of
        // reads: each would count as progress.
        let blank = head::empty_lines(octets);
        connection.blank += blank;
        if connection.blank > MAX_BLANK {
            let why = "empty lines, and no request";
            self.refuse(key, octets, Refusal { status: 400, why });
            return octets.len();
        }
        let octets = &octets[blank..];
        if octets.is_empty() {
            return blank;
        }
        match head::find_end(octets, &mut connection.seen) {
            Ok(None) => blank,
            Ok(Some(end)) => {
                connection.seen = 0;
                connection.blank = 0;
                let (octets, following) = octets.split_at(end);
                let mut space: FieldSpace<'_> = [MaybeUninit::uninit(); MAX_FIELDS];
                let taken = match head::parse(octets, &mut space) {
                    Ok(head) => self.start(key, &head, octets, following),
                    Err(refusal) => {
                        self.refuse(key, octets, refusal);
                        0
                    }
                };
                blank + end + taken
            }
            Err(refusal) => {
                self.refuse(key, octets, refusal);
                blank + octets.len()
            }
        }
    }

    /// Answers octets that are no request.
    fn refuse(&mut self, key: usize, octets: &[u8], refusal: Refusal) {
        let asked = Asked {
            is_http11: true,
            is_head: octets.starts_with(b"HEAD "),
            keeps_alive: false,
        };
        // Where it ends is not known, and more of it may be on its way.
        let left = u64::MAX;
        self.open_exchange(key, asked, Upload::Skipped { left }, line_of(octets));
        self.answer_error(key, refusal.status, refusal.why);
    }

    /// Answers a head that does not come to its end.
    pub(crate) fn refuse_slow_head(&mut self, key: usize) {
        let input = match self.connections.get_mut(key) {
            Some(connection) => std::mem::take(&mut connection.input),
            None => return,
        };
        let why = "the head of the request did not come in time";
        self.refuse(key, &input, Refusal { status: 408, why });
    }

    /// Puts a connection into an exchange that has no answer yet.
    pub(crate) fn open_exchange(&mut self, key: usize, asked: Asked, upload: Upload, line: &[u8]) {
        let mut entry = self.spares.entries.pop().unwrap_or_default();
        if self.log.is_on() {
            entry.start(line);
        }
        if let Some(connection) = self.connections.get_mut(key) {
            let spares = &mut self.spares.buffers;
            connection.out.lend(|| spares.pop());
            // An end that came along with the request is not announced again.
            let is_ended = connection.is_ended;
            connection.stage = Stage::Exchange(Exchange {
                request: None,
                upload,
                answer: Answer::Unasked,
                asked,
                is_paused: false,
                entry,
                status: 0,
                body_len: 0,
                submitted: None,
                application_time: None,
            });
            if is_ended {
                self.enqueue(key);
            }
        }
    }

    pub(crate) fn exchange(&mut self, key: usize) -> Option<&mut Exchange> {
        self.connections.get_mut(key)?.exchange()
    }
}

/// The request line, for the log.
pub(crate) fn line_of(octets: &[u8]) -> &[u8] {
    let within = &octets[..octets.len().min(MAX_LINE)];
    let end = within
        .iter()
        .position(|octet| matches!(octet, b'\r' | b'\n'));
    &within[..end.unwrap_or(within.len())]
}

/// Octets of empty lines before a request.
const MAX_BLANK: usize = 8;
