//! Memory that goes from one request to the next, so that a steady state allocates little.

use mio_fcgi::cgi::HeadParser;

use super::log::access_log::LogEntry;
use super::serve::connection::{Answer, Exchange};

/// Memory that served one request and serves the next.
#[derive(Default)]
pub(crate) struct Spares {
    pub(crate) buffers: Vec<Vec<u8>>,
    pub(crate) entries: Vec<LogEntry>,
    #[expect(
        clippy::vec_box,
        reason = "they go from here to an exchange as they are"
    )]
    pub(crate) parsers: Vec<Box<HeadParser>>,
}

impl Spares {
    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < MAX_SPARES && (1..=MAX_LEN).contains(&buffer.capacity()) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    pub(crate) fn recycle_parser(&mut self, answer: Answer) {
        if let Answer::Awaited(mut parser) = answer
            && self.parsers.len() < MAX_SPARES
        {
            parser.clear();
            self.parsers.push(parser);
        }
    }

    pub(crate) fn recycle_exchange(&mut self, exchange: Exchange) {
        self.recycle_parser(exchange.answer);
        if self.entries.len() < MAX_SPARES {
            self.entries.push(exchange.entry);
        }
    }
}

/// So many of each are kept.
const MAX_SPARES: usize = 64;
/// Longer buffers are given back to the system.
const MAX_LEN: usize = 64 * 1024;
