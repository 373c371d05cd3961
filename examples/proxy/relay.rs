//! From the application to a client: heads, bodies, ends; and what the client is told when there is none.

use std::net::Shutdown;

use mio_fcgi::cgi::HeadError;
use mio_fcgi::{ConnectError, Outcome, RequestError, RequestHandle, TimeoutKind};

use super::access_log::Served;
use super::connection::{Answer, Exchange, SKIP_LEN, Stage, Upload};
use super::head::RequestHead;
use super::intake::TEXT;
use super::outbox::SMALL;
use super::respond::{self, ChunkSize, Framing, LAST_CHUNK};
use super::worker::{MAX_SPARES, Running, Worker};

impl Worker {
    /// Output of an application: a head, or a part of one, or a body.
    pub(crate) fn take_stdout(&mut self, key: usize, request: RequestHandle, data: &[u8]) {
        let Some(exchange) = self.exchange_of(key, request) else {
            return;
        };
        match exchange.answer {
            Answer::Awaited(_) => match self.take_head_of_answer(key, data) {
                Ok(body) => self.relay(key, body),
                Err(error) => self.answer_bad_head(key, error),
            },
            Answer::Body(_) => self.relay(key, data),
            Answer::Unasked | Answer::File { .. } | Answer::Complete | Answer::Cut => {}
        }
    }

    /// Takes heads; returns what follows the final one.
    fn take_head_of_answer<'d>(
        &mut self,
        key: usize,
        mut data: &'d [u8],
    ) -> Result<&'d [u8], HeadError> {
        let is_running = self.running == Running::Yes;
        let Some(connection) = self.connections.get_mut(key) else {
            return Ok(&[]);
        };
        let Stage::Exchange(exchange) = &mut connection.stage else {
            return Ok(&[]);
        };
        let Answer::Awaited(parser) = &mut exchange.answer else {
            return Ok(data);
        };
        let spares = &mut self.spares.buffers;
        connection.out.lend(|| spares.pop());
        let out = connection.out.tail();
        while let Some((head, rest)) = parser.push(data)? {
            data = rest;
            if head.is_interim() {
                // The client was told to continue by the proxy, if it had to be.
                if exchange.asked.is_http11 && head.status() != 100 {
                    respond::write_interim(out, &head);
                }
                continue;
            }
            exchange.asked.keeps_alive &= is_running;
            exchange.status = head.status();
            let written = respond::write_head(out, &head, exchange.asked, self.clock.http());
            exchange.asked.keeps_alive = written.keeps_alive;
            let before = std::mem::replace(&mut exchange.answer, Answer::Body(written.framing));
            self.spares.recycle_parser(before);
            return Ok(data);
        }
        Ok(&[])
    }

    /// A part of a body, framed for the client.
    fn relay(&mut self, key: usize, data: &[u8]) {
        let Some(exchange) = self.exchange(key) else {
            return;
        };
        let Answer::Body(framing) = &mut exchange.answer else {
            return;
        };
        if data.is_empty() {
            return;
        }
        match framing {
            Framing::None => {}
            Framing::Counted { left } => {
                // More than was said is cut off: the client would take it for the next response.
                let len = usize::try_from(*left).map_or(data.len(), |left| left.min(data.len()));
                *left -= len as u64;
                exchange.body_len += len as u64;
                self.put(key, [&data[..len], b"", b""]);
            }
            Framing::Chunked => {
                exchange.body_len += data.len() as u64;
                self.put(key, [ChunkSize::new(data.len()).line(), data, b"\r\n"]);
            }
            Framing::Close => {
                exchange.body_len += data.len() as u64;
                self.put(key, [data, b"", b""]);
            }
        }
    }

    /// Sends to a client by the rule of `outbox`.
    pub(crate) fn put(&mut self, key: usize, parts: [&[u8]; 3]) {
        let now = self.clock.now;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let spares = &mut self.spares.buffers;
        if !connection.is_writable || connection.out.len() + len <= SMALL {
            connection.out.lend(|| spares.pop());
            connection.out.keep(&parts, 0);
        } else {
            let sent = connection.out.send(&mut connection.socket, &parts);
            connection.since = now;
            match sent {
                Ok(is_writable) => connection.is_writable = is_writable,
                Err(_) => return self.lose_client(key),
            }
        }
        if !connection.is_writable
            && !connection.out.is_empty()
            && let Some(exchange) = connection.exchange()
            && let Some(request) = exchange.request
            && !exchange.is_paused
        {
            exchange.is_paused = true;
            self.fcgi.pause(now, request);
        }
    }

    /// Sends what waits, and fetches more once all of that is sent.
    pub(crate) fn send(&mut self, key: usize) {
        let now = self.clock.now;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.flush(now).is_err() {
            return self.lose_client(key);
        }
        if !connection.out.is_empty() {
            return;
        }
        let Some(exchange) = connection.exchange() else {
            return;
        };
        if exchange.is_paused {
            exchange.is_paused = false;
            if let Some(request) = exchange.request {
                self.fcgi.resume(now, request);
            }
        }
        if let Answer::File { .. } = exchange.answer {
            self.send_file(key);
        }
    }

    /// The application's output is complete; what it does after that concerns no client.
    pub(crate) fn end_output(&mut self, key: usize, request: RequestHandle) {
        if let Some(exchange) = self.exchange_of(key, request)
            && matches!(exchange.answer, Answer::Body(_))
        {
            self.complete(key);
        }
    }

    /// An application's request is over.
    pub(crate) fn end_request(&mut self, key: usize, request: RequestHandle, outcome: Outcome) {
        let Some(exchange) = self.exchange_of(key, request) else {
            return;
        };
        exchange.request = None;
        match (outcome, &exchange.answer) {
            (Ok(_), Answer::Body(_)) => self.complete(key),
            (Ok(_), Answer::Awaited(parser)) => {
                let error = parser.end().err().unwrap_or(HeadError::Missing);
                self.answer_bad_head(key, error);
            }
            (Err(failure), Answer::Awaited(_)) => {
                let status = status_of(&failure.error);
                let date = self.clock.log();
                self.log
                    .problem(date, format_args!("answered with {status}: {failure}"));
                self.answer_error(key, status, "the application did not answer");
            }
            (Err(failure), Answer::Body(_)) => {
                let date = self.clock.log();
                self.log
                    .problem(date, format_args!("a response is cut short: {failure}"));
                self.cut(key);
            }
            (_, Answer::Unasked | Answer::File { .. } | Answer::Complete | Answer::Cut) => {}
        }
    }

    /// The end of a body that is whole.
    fn complete(&mut self, key: usize) {
        let now = self.clock.now;
        let Some(exchange) = self.exchange(key) else {
            return;
        };
        exchange.application_time = exchange.submitted.map(|at| now.duration_since(at));
        let Answer::Body(framing) = exchange.answer else {
            return;
        };
        match framing {
            Framing::Counted { left: 1.. } => {
                let date = self.clock.log();
                let what = format_args!("a response is shorter than its Content-Length");
                self.log.problem(date, what);
                self.cut(key);
            }
            Framing::Chunked => {
                exchange.answer = Answer::Complete;
                self.put(key, [LAST_CHUNK, b"", b""]);
            }
            Framing::None | Framing::Counted { left: 0 } | Framing::Close => {
                exchange.answer = Answer::Complete;
            }
        }
    }

    /// Ends a response in its middle, so that the client sees that it is not whole.
    pub(crate) fn cut(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Some(exchange) = connection.exchange() else {
            return;
        };
        let is_plain_end = matches!(exchange.answer, Answer::Body(Framing::Close));
        exchange.answer = Answer::Cut;
        if is_plain_end {
            // Only a reset tells that end of the connection from the end of the body.
            let _ = socket2::SockRef::from(&connection.socket)
                .set_linger(Some(std::time::Duration::ZERO));
        }
    }

    fn answer_bad_head(&mut self, key: usize, error: HeadError) {
        let date = self.clock.log();
        self.log
            .problem(date, format_args!("answered with 502: {error}"));
        self.answer_error(key, 502, "the application's answer cannot be read");
    }

    /// Answers a request that nothing was sent for, and ends the application's part in it.
    pub(crate) fn answer_error(&mut self, key: usize, status: u16, why: &str) {
        let now = self.clock.now;
        let Some(exchange) = self.exchange(key) else {
            return;
        };
        let request = exchange.request.take();
        exchange.application_time = exchange.submitted.map(|at| now.duration_since(at));
        if !matches!(exchange.upload, Upload::Done | Upload::Skipped { .. }) {
            // Where a body that nobody wants ends is known, but not when.
            exchange.upload = Upload::Skipped { left: u64::MAX };
        }
        if let Some(request) = request {
            self.fcgi.abort(now, request);
        }
        let body = format!("{status} {}: {why}\n", respond::reason(status));
        let fields: &[(&[u8], &[u8])] = match status {
            503 => &[(b"Retry-After", b"1")],
            405 => &[(b"Allow", b"GET, HEAD")],
            _ => &[],
        };
        self.answer_own(key, status, fields, TEXT, &body);
    }

    /// Answers by itself.
    pub(crate) fn answer_own(
        &mut self,
        key: usize,
        status: u16,
        fields: &[(&[u8], &[u8])],
        content_type: &str,
        body: &str,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Stage::Exchange(exchange) = &mut connection.stage else {
            return;
        };
        let spares = &mut self.spares.buffers;
        connection.out.lend(|| spares.pop());
        exchange.settle_keep_alive();
        let asked = exchange.asked;
        let out = connection.out.tail();
        respond::start_own(out, status, self.clock.http());
        for (name, value) in fields {
            respond::write_field(out, name, value);
        }
        if status != 204 && status != 304 {
            respond::write_field(out, b"Content-Type", content_type.as_bytes());
            respond::write_number(out, b"Content-Length", body.len() as u64);
        }
        respond::write_connection(out, asked.keeps_alive, asked.is_http11);
        if !asked.is_head {
            out.extend_from_slice(body.as_bytes());
            exchange.body_len = body.len() as u64;
        }
        exchange.status = status;
        let before = std::mem::replace(&mut exchange.answer, Answer::Complete);
        self.spares.recycle_parser(before);
    }

    /// The status page, for clients on this machine; true when that is what was asked for.
    pub(crate) fn answer_status(&mut self, key: usize, head: &RequestHead<'_, '_>) -> bool {
        let as_json = match head.target {
            "/-/status" => false,
            "/-/status.json" => true,
            _ => return false,
        };
        let is_near = self
            .connections
            .get(key)
            .is_some_and(|connection| connection.client().is_loopback());
        if !is_near {
            return false;
        }
        let text = self.status(as_json);
        let content_type = if as_json { "application/json" } else { TEXT };
        let fields: &[(&[u8], &[u8])] = &[(b"Cache-Control", b"no-store")];
        self.answer_own(key, 200, fields, content_type, &text);
        true
    }

    /// The client has gone: nobody wants the answer.
    pub(crate) fn lose_client(&mut self, key: usize) {
        let now = self.clock.now;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if let Some(exchange) = connection.exchange() {
            if let Some(request) = exchange.request.take() {
                self.fcgi.abort(now, request);
            }
            if !matches!(exchange.answer, Answer::Complete | Answer::Cut) && exchange.status == 0 {
                exchange.status = CLIENT_GONE;
            }
            self.finish(key);
        }
        if let Some(connection) = self.connections.get_mut(key) {
            connection.stage = Stage::Gone;
        }
    }

    /// A client did not do in time what it had to do.
    pub(crate) fn expire(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let is_stuck = !connection.out.is_empty();
        let is_in_head = !connection.input.is_empty();
        match &connection.stage {
            _ if is_stuck => self.lose_client(key),
            Stage::Head if is_in_head => self.refuse_slow_head(key),
            Stage::Exchange(exchange) => match exchange.answer {
                Answer::Awaited(_) | Answer::Unasked => {
                    self.answer_error(key, 408, "the body did not come in time");
                }
                Answer::Body(_) | Answer::File { .. } | Answer::Complete | Answer::Cut => {
                    self.lose_client(key);
                }
            },
            Stage::Head | Stage::Lingering { .. } | Stage::Gone => connection.stage = Stage::Gone,
        }
    }

    /// What follows when both halves of an exchange are done, or one cannot be.
    pub(crate) fn conclude(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let is_sent = connection.out.is_empty();
        match &mut connection.stage {
            Stage::Exchange(exchange) => {
                if let (None, Upload::Pushed { left, .. }) = (exchange.request, &exchange.upload) {
                    exchange.upload = Upload::Skipped { left: *left };
                }
                match (&exchange.answer, &exchange.upload) {
                    (Answer::Cut, _) if is_sent => {
                        self.finish(key);
                        if let Some(connection) = self.connections.get_mut(key) {
                            connection.stage = Stage::Gone;
                        }
                    }
                    (Answer::Complete, Upload::Done) => self.finish(key),
                    (Answer::Complete, Upload::Skipped { left })
                        if *left > SKIP_LEN || !exchange.asked.keeps_alive =>
                    {
                        exchange.asked.keeps_alive = false;
                        self.finish(key);
                    }
                    _ => {}
                }
            }
            Stage::Lingering { is_shut, left } if is_sent && !*is_shut => {
                let is_over = *left == 0 || connection.is_ended;
                if is_over || connection.socket.shutdown(Shutdown::Write).is_err() {
                    connection.stage = Stage::Gone;
                } else {
                    *is_shut = true;
                    connection.since = self.clock.now;
                    self.enqueue(key);
                }
            }
            Stage::Head | Stage::Lingering { .. } | Stage::Gone => {}
        }
    }

    /// Logs an exchange and lets its connection go on, or end.
    fn finish(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let Stage::Exchange(exchange) = std::mem::replace(&mut connection.stage, Stage::Head)
        else {
            return;
        };
        connection.since = self.clock.now;
        self.answered += 1;
        let served = Served {
            status: exchange.status,
            body_len: exchange.body_len,
            application_time: exchange.application_time,
        };
        let client = connection.client();
        self.log
            .request(client, self.clock.log(), &exchange.entry, served);
        if !exchange.asked.keeps_alive || self.running != Running::Yes {
            let is_unread = !matches!(exchange.upload, Upload::Done)
                || connection.is_readable
                || !connection.input.is_empty();
            connection.linger(is_unread);
        }
        self.spares.recycle_exchange(exchange);
        self.enqueue(key);
    }

    /// The exchange that a request belongs to, unless the client has gone or was answered otherwise.
    fn exchange_of(&mut self, key: usize, request: RequestHandle) -> Option<&mut Exchange> {
        self.exchange(key)
            .filter(|exchange| exchange.request == Some(request))
    }
}

impl super::worker::Spares {
    fn recycle_parser(&mut self, answer: Answer) {
        if let Answer::Awaited(mut parser) = answer
            && self.parsers.len() < MAX_SPARES
        {
            parser.clear();
            self.parsers.push(parser);
        }
    }

    fn recycle_exchange(&mut self, exchange: Exchange) {
        self.recycle_parser(exchange.answer);
        if self.entries.len() < MAX_SPARES {
            self.entries.push(exchange.entry);
        }
    }
}

/// What the client is told of a failure.
fn status_of(error: &RequestError) -> u16 {
    match error {
        RequestError::Connect(ConnectError::Busy)
        | RequestError::TimedOut(TimeoutKind::Queue)
        | RequestError::Overloaded
        | RequestError::ShutDown => 503,
        RequestError::Connect(ConnectError::TimedOut) | RequestError::TimedOut(_) => 504,
        RequestError::Body(_) => 500,
        _ => 502,
    }
}

/// In the log only, as nginx has it: the client did not wait for an answer.
const CLIENT_GONE: u16 = 499;
