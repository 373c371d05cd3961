//! How exchanges and connections end, and what follows: the one place that decides it.

use std::net::Shutdown;

use super::connection::{Answer, SKIP_LEN, Stage, Upload};
use super::log::access_log::Served;
use super::worker::{Running, Worker};

impl Worker {
    /// The client has gone: nobody wants the answer.
    pub(crate) fn lose_client(&mut self, key: usize) {
        self.end_client(key, CLIENT_GONE);
    }

    /// Ends a connection as it is; `status` is for the log, where the request has got none.
    pub(crate) fn end_client(&mut self, key: usize, status: u16) {
        let now = self.clock.now;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if let Some(exchange) = connection.exchange() {
            if let Some(request) = exchange.request.take() {
                self.fcgi.abort(now, request);
            }
            if !matches!(exchange.answer, Answer::Complete | Answer::Cut) && exchange.status == 0 {
                exchange.status = status;
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
                if *left == 0 || connection.socket.shutdown(Shutdown::Write).is_err() {
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
        let now = self.clock.now;
        connection.since = now;
        self.answered += 1;
        if let Some(request) = exchange.request
            && !matches!(exchange.upload, Upload::Done)
        {
            // The rest of its body will not come, and no time-out runs for an application that waits for it.
            self.fcgi.abort(now, request);
        }
        // Who was not waited for to the end took until now.
        let until_now = || exchange.submitted.map(|at| now.duration_since(at));
        let served = Served {
            status: exchange.status,
            body_len: exchange.body_len,
            application_time: exchange.application_time.or_else(until_now),
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
}

/// In the log only, as nginx has it: the client did not wait for an answer.
const CLIENT_GONE: u16 = 499;
/// In the log only, as nginx has it: the connection was closed without an answer.
pub(crate) const NOT_ANSWERED: u16 = 444;
