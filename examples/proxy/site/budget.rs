//! How much of its clients' bodies and responses a loop keeps: bytes in memory, bytes on disk, open files.
//!
//! One client is bounded by other limits. This one bounds the sum over all clients. What is taken of it belongs to a
//! [`Held`], and dropping that gives it back, however a request ends.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::options::Options;

/// The limits of one loop and what is used of them. A clone shares both.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    memory: Account,
    disk: Account,
    files: Account,
    /// The directory of temporary files. `None`: that of the system.
    dir: Option<PathBuf>,
}

/// What is used of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Bytes in memory.
    pub(crate) memory: u64,
    /// Bytes in temporary files.
    pub(crate) disk: u64,
    /// Temporary files that are open.
    pub(crate) files: u64,
}

impl Budget {
    /// The share of the loop with this number.
    pub(crate) fn new(options: &Options, index: usize) -> Self {
        let share = |whole: u64| {
            let whole = usize::try_from(whole).unwrap_or(usize::MAX);
            Account::new(options.share(whole, index) as u64)
        };
        Self(Arc::new(Shared {
            memory: share(options.max_buffered),
            disk: share(options.max_on_disk),
            files: share(options.max_files),
            dir: options.body_dir.clone(),
        }))
    }

    /// Takes bytes of memory. False: they are not left, and nothing was taken.
    pub(crate) fn take_memory(&self, bytes: usize) -> bool {
        self.0.memory.take(bytes as u64)
    }

    /// As [`take_memory`](Self::take_memory), if half of all memory is left then.
    pub(crate) fn take_spare_memory(&self, bytes: usize) -> bool {
        let memory = &self.0.memory;
        memory.take_below(bytes as u64, memory.limit / 2)
    }

    pub(crate) fn give_memory(&self, bytes: usize) {
        self.0.memory.give(bytes as u64);
    }

    /// Takes bytes on disk. False: they are not left, and nothing was taken.
    pub(crate) fn take_disk(&self, bytes: u64) -> bool {
        self.0.disk.take(bytes)
    }

    pub(crate) fn give_disk(&self, bytes: u64) {
        self.0.disk.give(bytes);
    }

    /// Takes a temporary file. False: none is left.
    pub(crate) fn take_file(&self) -> bool {
        self.0.files.take(1)
    }

    pub(crate) fn give_file(&self) {
        self.0.files.give(1);
    }

    pub(crate) fn used(&self) -> Used {
        let Shared {
            memory,
            disk,
            files,
            ..
        } = &*self.0;
        Used {
            memory: memory.used(),
            disk: disk.used(),
            files: files.used(),
        }
    }

    /// The most that can be used.
    pub(crate) fn limits(&self) -> Used {
        Used {
            memory: self.0.memory.limit,
            disk: self.0.disk.limit,
            files: self.0.files.limit,
        }
    }
}

/// What one body or response holds of a budget. Dropping it gives all of it back.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    memory: usize,
    disk: u64,
    files: usize,
}

impl Held {
    pub(crate) fn none_of(budget: &Budget) -> Self {
        Self {
            budget: budget.clone(),
            memory: 0,
            disk: 0,
            files: 0,
        }
    }

    /// Takes more bytes of memory. False: they are not left.
    pub(crate) fn take_memory(&mut self, bytes: usize) -> bool {
        let is_taken = self.budget.take_memory(bytes);
        self.memory += if is_taken { bytes } else { 0 };
        is_taken
    }

    /// Takes more bytes of memory, if half of all memory is left then. False: it is not.
    pub(crate) fn take_spare_memory(&mut self, bytes: usize) -> bool {
        let is_taken = self.budget.take_spare_memory(bytes);
        self.memory += if is_taken { bytes } else { 0 };
        is_taken
    }

    /// Gives the memory back, and keeps the rest.
    pub(crate) fn give_memory(&mut self) {
        self.budget.give_memory(std::mem::take(&mut self.memory));
    }

    /// Takes more bytes on disk. False: they are not left.
    pub(crate) fn take_disk(&mut self, bytes: u64) -> bool {
        let is_taken = self.budget.take_disk(bytes);
        self.disk += if is_taken { bytes } else { 0 };
        is_taken
    }

    /// Takes one more open file. False: none is left.
    pub(crate) fn take_file(&mut self) -> bool {
        let is_taken = self.budget.take_file();
        self.files += usize::from(is_taken);
        is_taken
    }

    /// Makes one more temporary file, without a name. `None`: none is left.
    ///
    /// # Errors
    /// The file system's error.
    pub(crate) fn create_file(&mut self) -> io::Result<Option<File>> {
        if !self.take_file() {
            return Ok(None);
        }
        match &self.budget.0.dir {
            Some(dir) => tempfile::tempfile_in(dir),
            None => tempfile::tempfile(),
        }
        .map(Some)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_memory();
        self.budget.give_disk(self.disk);
        for _ in 0..self.files {
            self.budget.give_file();
        }
    }
}

/// An amount and its limit. Atomic because a loop moves to its thread before it runs; one thread at a time uses it.
#[derive(Debug)]
struct Account {
    used: AtomicU64,
    limit: u64,
}

impl Account {
    fn new(limit: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit,
        }
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, more: u64) -> bool {
        self.take_below(more, self.limit)
    }

    fn take_below(&self, more: u64, limit: u64) -> bool {
        let within = |used: u64| used.checked_add(more).filter(|total| *total <= limit);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.used.fetch_update(set, fetch, within).is_ok()
    }

    fn give(&self, less: u64) {
        let before = self.used.fetch_sub(less, Ordering::Relaxed);
        debug_assert!(before >= less, "more is given back than was taken");
    }
}

/// The longest file that the system lets this process write. A write beyond it would end the process (SIGXFSZ).
#[cfg(unix)]
pub(crate) fn max_file_size() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
pub(crate) fn max_file_size() -> u64 {
    u64::MAX
}
