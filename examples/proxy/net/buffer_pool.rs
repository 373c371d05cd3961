//! Buffers that are reused from request to request, so that a steady load allocates nothing.

use mio_fcgi::cgi::{Reply, ReplyTo};

use super::lent::Lent;

/// Unused buffers and replies.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
    #[expect(
        clippy::vec_box,
        reason = "they go from here to an exchange as they are"
    )]
    replies: Vec<Box<Reply>>,
    /// What one client gets of the last read of an application. Each client's is written before the next one's.
    lent: Vec<Lent>,
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

    /// The parts of a read that are lent to a client's outbox.
    pub(crate) fn lent(&mut self) -> &mut Vec<Lent> {
        &mut self.lent
    }

    pub(crate) fn take_reply(&mut self, to: ReplyTo) -> Box<Reply> {
        let mut reply = self.replies.pop().unwrap_or_default();
        reply.begin(to);
        reply
    }

    pub(crate) fn give_back_reply(&mut self, reply: Box<Reply>) {
        if self.replies.len() < MAX_KEPT {
            self.replies.push(reply);
        }
    }
}

/// The most buffers that are kept, and the most replies.
const MAX_KEPT: usize = 64;
/// Longer buffers are freed.
const MAX_LEN: usize = 64 * 1024;
