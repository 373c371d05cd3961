//! What a client has not taken of a response, so that the application need not wait for the client: a little of it in
//! memory, more in a temporary file.
//!
//! The event loop writes and reads the file itself, one read of the application or of the file at a time. That can block
//! on the disk, but usually the data goes to the page cache and comes from there.

use std::io;

use super::file_queue::FileQueue;
use super::outbox::{MAX_BATCHED, Outbox};
use super::site::budget::{Budget, Held, max_file_size};

/// What the outbox of a slow client takes of the budget, and the file with the bytes that are older than the outbox.
/// Dropping it gives the budget back and frees the file, which has no name.
#[derive(Debug)]
pub(crate) struct Spill {
    /// Holds the memory of the outbox.
    memory: Held,
    /// Bytes that `memory` holds.
    taken: usize,
    file: Option<SpillFile>,
}

impl Spill {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self {
            memory: Held::none_of(budget),
            taken: 0,
            file: None,
        }
    }

    /// Number of bytes that are older than those in the outbox.
    pub(crate) fn len(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.queue.len())
    }

    /// Makes room in the outbox for one more read of the application. False: all that this response may keep, or all
    /// responses together, is in use.
    ///
    /// # Errors
    /// The file system's error. The outbox keeps its bytes.
    pub(crate) fn make_room(
        &mut self,
        out: &mut Outbox,
        limit: u64,
        budget: &Budget,
    ) -> io::Result<bool> {
        let is_short = out.len() as u64 <= limit.min(IN_MEMORY);
        if self.file.is_none() && is_short && self.take_memory(out.capacity()) {
            return Ok(true);
        }
        if out.len() <= MAX_BATCHED {
            return Ok(true);
        }
        if limit > IN_MEMORY {
            self.store(out, limit, budget)?;
        }
        Ok(out.len() <= MAX_BATCHED)
    }

    fn take_memory(&mut self, len: usize) -> bool {
        let more = len.saturating_sub(self.taken);
        let is_taken = self.memory.take_memory(more);
        self.taken += if is_taken { more } else { 0 };
        is_taken
    }

    /// Moves as many bytes as possible from the outbox to the file.
    fn store(&mut self, out: &mut Outbox, limit: u64, budget: &Budget) -> io::Result<()> {
        if self.file.is_none() {
            self.file = SpillFile::create(out.len() as u64, limit, budget)?;
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let stored = file.store(out, limit);
        if file.queue.len() == 0 {
            self.file = None;
        } else {
            // Beside a file, the outbox is kept short.
            self.memory.give_memory();
            self.taken = 0;
        }
        stored
    }

    /// Copies bytes that are older than those in the outbox into `space`, and returns how many.
    ///
    /// # Errors
    /// The file system's error: the rest of the response is lost.
    pub(crate) fn peek(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.queue.peek(space),
            None => Ok(0),
        }
    }

    /// Removes bytes that [`peek`](Self::peek) returned.
    pub(crate) fn remove(&mut self, len: usize) {
        if let Some(file) = &mut self.file {
            file.queue.remove(len);
            if file.queue.len() == 0 {
                self.file = None;
            }
        }
    }
}

/// A file that is never empty.
#[derive(Debug)]
struct SpillFile {
    queue: FileQueue,
    /// How far the file may grow without taking more of the budget.
    size: u64,
    held: Held,
}

impl SpillFile {
    /// `None`: the budget has no room for it.
    ///
    /// # Errors
    /// The file system's error.
    fn create(len: u64, limit: u64, budget: &Budget) -> io::Result<Option<Self>> {
        let size = len.min(limit).min(max_file_size());
        let mut held = Held::none_of(budget);
        if size == 0 || !held.take_disk(size) {
            return Ok(None);
        }
        let Some(file) = held.create_file()? else {
            return Ok(None);
        };
        let queue = FileQueue::new(file);
        Ok(Some(Self { queue, size, held }))
    }

    fn store(&mut self, out: &mut Outbox, limit: u64) -> io::Result<()> {
        if let Some(size) = self.queue.wanted_size(out.len()) {
            let size = size.min(limit).min(max_file_size());
            if size > self.size && self.held.take_disk(size - self.size) {
                self.size = size;
            }
        }
        let written = self.queue.write(out.bytes(), self.size)?;
        out.remove(written);
        Ok(())
    }
}

/// The most bytes per response that are kept in memory without a file.
const IN_MEMORY: u64 = 64 * 1024;
