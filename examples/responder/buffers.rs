//! Buffers: octets on their way out, and memory that connections take turns with.

/// Output of one connection, and how much of it the socket has taken.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    octets: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// What the socket has not taken yet.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.octets[self.sent..]
    }

    pub(super) fn unsent_len(&self) -> usize {
        self.octets.len() - self.sent
    }

    /// Notes that the socket took the first `taken` octets of [`unsent`](Self::unsent).
    pub(super) fn advance(&mut self, taken: usize) {
        self.sent += taken;
        if self.sent >= self.octets.len() {
            self.octets.clear();
            self.sent = 0;
        }
    }

    /// Where to append.
    pub(super) fn octets(&mut self) -> &mut Vec<u8> {
        // Moving what is unsent costs at most as much as was sent since the last move.
        if self.sent > self.octets.len() / 2 {
            self.octets.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.octets
    }

    /// Gets memory to write to from the pool, unless it has some.
    pub(super) fn borrow_from(&mut self, pool: &mut Pool) {
        if self.octets.capacity() == 0 {
            self.octets = pool.take();
        }
    }

    /// Gives the memory back once everything is sent.
    pub(super) fn return_to(&mut self, pool: &mut Pool) {
        if self.octets.is_empty() {
            pool.give(std::mem::take(&mut self.octets));
        }
    }
}

/// Empty vectors that keep their memory: an idle connection owns none.
#[derive(Debug, Default)]
pub(super) struct Pool {
    spare: Vec<Vec<u8>>,
}

impl Pool {
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn give(&mut self, mut octets: Vec<u8>) {
        let fits = (1..=MAX_SPARE_CAPACITY).contains(&octets.capacity());
        if fits && self.spare.len() < MAX_SPARE {
            octets.clear();
            self.spare.push(octets);
        }
    }
}

/// With the next one: what the pool of a loop keeps, 16 MiB at most.
const MAX_SPARE: usize = 64;
const MAX_SPARE_CAPACITY: usize = 256 * 1024;
