//! From the application to a client: heads, bodies, ends; and what the client is told when there is none.

use mio_fcgi::cgi::HeadError;
use mio_fcgi::{Outcome, RequestHandle};

use super::error_page::status_of;
use super::http::response_head::{self, ChunkSize, Framing, LAST_CHUNK};
use super::serve::connection::{Answer, Exchange, Stage};
use super::serve::worker::Worker;

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
        let keeps_clients = self.keeps_clients();
        let Some(connection) = self.connections.get_mut(key) else {
            return Ok(&[]);
        };
        let Stage::Exchange(exchange) = &mut connection.stage else {
            return Ok(&[]);
        };
        let Answer::Awaited(parser) = &mut exchange.answer else {
            return Ok(data);
        };
        if connection.out.is_empty() {
            connection.since = self.clock.now;
        }
        let spares = &mut self.spares.buffers;
        connection.out.lend(|| spares.pop());
        let out = connection.out.tail();
        while let Some((head, rest)) = parser.push(data)? {
            data = rest;
            if head.is_interim() {
                // The client was told to continue by the proxy, if it had to be.
                if exchange.asked.is_http11 && head.status() != 100 {
                    response_head::write_interim(out, &head);
                }
                continue;
            }
            exchange.asked.keeps_alive &= keeps_clients;
            exchange.status = head.status();
            let written = response_head::write_head(out, &head, exchange.asked, self.clock.http());
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

    /// The exchange that a request belongs to, unless the client has gone or was answered otherwise.
    fn exchange_of(&mut self, key: usize, request: RequestHandle) -> Option<&mut Exchange> {
        self.exchange(key)
            .filter(|exchange| exchange.request == Some(request))
    }
}
