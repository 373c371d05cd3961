//! `/-/status`: what all loops together are doing, as text and as JSON.
//!
//! Only for clients on this machine. Whoever comes through another proxy on this machine is taken for one: have that
//! proxy refuse the path.

use super::error_page::TEXT;
use super::http::head::RequestHead;
use super::serve::worker::Worker;
use super::site::metrics::Figures;

impl Worker {
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
        if !matches!(head.method, "GET" | "HEAD") {
            self.answer_error(key, 405, "the status can be read only");
            return true;
        }
        let text = self.status(as_json);
        let content_type = if as_json { "application/json" } else { TEXT };
        let fields: &[(&[u8], &[u8])] = &[(b"Cache-Control", b"no-store")];
        self.answer_own(key, 200, fields, content_type, &text);
        true
    }

    /// At the end of each turn.
    pub(crate) fn publish(&mut self) {
        let now = self.clock.now;
        if self.publisher.note_change(now) {
            self.publisher.put(now, self.figures());
        }
    }

    /// The figures of all loops, this one's as they are now.
    fn status(&mut self, as_json: bool) -> String {
        let now = self.clock.now;
        self.publisher.put(now, self.figures());
        self.publisher.board().render(as_json, now)
    }

    fn figures(&self) -> Figures {
        Figures {
            stats: self.fcgi.stats(),
            clients: self.connections.len(),
            answered: self.answered,
        }
    }
}
