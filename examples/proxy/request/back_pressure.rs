//! The rule of back-pressure: whoever is faster waits for whoever is slower, and what waits between them is bounded.
//!
//! **To the client.** Output up to [`SMALL`] octets waits for the end of the loop's turn, so that a head, its body and the
//! end of the body leave in one write. Beyond that it is written at once, out of the buffer it was read into. What the
//! socket does not take is kept, and from then on the request is paused: nothing more is read for it until the socket took
//! all of that. So a client that does not read costs what one read of the application brought, and no more. A file is read
//! on when the socket took what was read of it.
//!
//! **To the application.** A body is handed on as far as the FastCGI client takes it. When it takes no more, the
//! connection is not read ([`wants_input`](super::serve::connection::Connection::wants_input)) until `StdinReady` comes: the rest
//! stays in the system's buffers, and the client waits. Nor is the next request read before the answer to this one is
//! complete.

use super::net::outbox::SMALL;
use super::serve::connection::Answer;
use super::serve::worker::Worker;

impl Worker {
    /// Sends to a client by the rule, and pauses who brings more than it takes.
    pub(crate) fn put(&mut self, key: usize, parts: [&[u8]; 3]) {
        let now = self.clock.now;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if connection.out.is_empty() {
            // Before that, the client was not waited for.
            connection.since = now;
        }
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
            // Behind its end nothing comes that could be more, and nobody stays who would resume it.
            && !matches!(exchange.answer, Answer::Complete)
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
}
