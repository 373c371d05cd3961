//! What the proxy says by itself: errors, and short pages.

use mio_fcgi::cgi::HeadError;
use mio_fcgi::{ConnectError, RequestError, TimeoutKind};

use super::http::response_head;
use super::serve::connection::{Answer, Stage, Upload};
use super::serve::worker::Worker;

impl Worker {
    pub(crate) fn answer_bad_head(&mut self, key: usize, error: HeadError) {
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
        // Who sends one thing that cannot be read may have sent another behind it.
        exchange.asked.keeps_alive &= status != 400;
        exchange.application_time = exchange.submitted.map(|at| now.duration_since(at));
        if !matches!(exchange.upload, Upload::Done | Upload::Skipped { .. }) {
            // Where a body that nobody wants ends is known, but not when.
            exchange.upload = Upload::Skipped { left: u64::MAX };
        }
        if let Some(request) = request {
            self.fcgi.abort(now, request);
        }
        let body = format!("{status} {}: {why}\n", response_head::reason(status));
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
        response_head::start_own(out, status, self.clock.http());
        for (name, value) in fields {
            response_head::write_field(out, name, value);
        }
        if status != 204 && status != 304 {
            response_head::write_field(out, b"Content-Type", content_type.as_bytes());
            response_head::write_number(out, b"Content-Length", body.len() as u64);
        }
        response_head::write_connection(out, asked.keeps_alive, asked.is_http11);
        if !asked.is_head {
            out.extend_from_slice(body.as_bytes());
            exchange.body_len = body.len() as u64;
        }
        exchange.status = status;
        let before = std::mem::replace(&mut exchange.answer, Answer::Complete);
        self.spares.recycle_parser(before);
    }
}

/// What the client is told of a failure.
pub(crate) fn status_of(error: &RequestError) -> u16 {
    match error {
        RequestError::Connect(ConnectError::Busy)
        | RequestError::TimedOut(TimeoutKind::Queue)
        | RequestError::QueueFull { .. }
        | RequestError::Overloaded
        | RequestError::ShutDown => 503,
        RequestError::Connect(ConnectError::TimedOut) | RequestError::TimedOut(_) => 504,
        RequestError::Body(_) => 500,
        _ => 502,
    }
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
