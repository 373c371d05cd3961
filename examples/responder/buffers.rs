//! Buffers: output on its way to the socket, and memory that connections reuse.

/// The output of one connection, and how much of it the socket has taken.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// The bytes that the socket has not taken yet.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn unsent_len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Records that the socket took the first `taken` bytes of [`unsent`](Self::unsent).
    pub(super) fn advance(&mut self, taken: usize) {
        self.sent += taken;
        if self.sent >= self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// The buffer, to append to.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        // Moving the unsent bytes costs no more than what was sent since the last move.
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.bytes
    }

    /// Takes memory from the pool, if the outbox has none.
    pub(super) fn borrow_from(&mut self, pool: &mut Pool) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
        }
    }

    /// Gives the memory back once everything is sent.
    pub(super) fn return_to(&mut self, pool: &mut Pool) {
        if self.bytes.is_empty() {
            pool.give(std::mem::take(&mut self.bytes));
        }
    }
}

/// Empty vectors that keep their memory. An idle connection owns none.
#[derive(Debug, Default)]
pub(super) struct Pool {
    spare: Vec<Vec<u8>>,
}

impl Pool {
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn give(&mut self, mut bytes: Vec<u8>) {
        let fits = (1..=MAX_SPARE_CAPACITY).contains(&bytes.capacity());
        if fits && self.spare.len() < MAX_SPARE {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

/// Together with the next constant: a pool keeps 16 MiB at most.
const MAX_SPARE: usize = 64;
const MAX_SPARE_CAPACITY: usize = 256 * 1024;
