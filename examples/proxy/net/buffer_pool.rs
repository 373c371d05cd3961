//! Buffers that are reused from request to request, so that a steady load allocates nothing.

use mio_fcgi::cgi::HeadParser;

/// Unused buffers and head parsers.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
    #[expect(
        clippy::vec_box,
        reason = "they go from here to an exchange as they are"
    )]
    parsers: Vec<Box<HeadParser>>,
}

impl BufferPool {
    /// An empty buffer that has memory, if there is one.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.buffers.pop()
    }

    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < MAX_KEPT && (1..=MAX_LEN).contains(&buffer.capacity()) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    pub(crate) fn take_parser(&mut self) -> Box<HeadParser> {
        self.parsers.pop().unwrap_or_default()
    }

    pub(crate) fn give_back_parser(&mut self, mut parser: Box<HeadParser>) {
        if self.parsers.len() < MAX_KEPT {
            parser.clear();
            self.parsers.push(parser);
        }
    }
}

/// The most buffers that are kept, and the most parsers.
const MAX_KEPT: usize = 64;
/// Longer buffers are freed.
const MAX_LEN: usize = 64 * 1024;
