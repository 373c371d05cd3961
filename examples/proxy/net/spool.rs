//! A request body that is collected before an application is asked: in memory while it is short or much memory is left,
//! then in a temporary file that has no name.
//!
//! The event loop writes the file itself. That can block on the disk, but usually the data ends up in the page cache.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use mio_fcgi::Body;

use super::site::budget::{Budget, Held, max_file_size};

#[derive(Debug)]
pub(crate) struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    /// The bytes that are kept. A file may have more, if a write failed.
    len: u64,
    held: Held,
}

/// Why bytes are not kept.
#[derive(Debug)]
pub(crate) enum NotKept {
    /// Other bodies and responses take what there is. The option that limits it.
    Budget(&'static str),
    File(io::Error),
}

impl Spool {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self {
            memory: Vec::new(),
            file: None,
            len: 0,
            held: Held::none_of(budget),
        }
    }

    /// Whether a body of this length could be kept if no other one were.
    pub(crate) fn is_possible(budget: &Budget, len: u64) -> bool {
        let limits = budget.limits();
        let short = limits.memory.min(SHORT as u64);
        let long = (limits.memory / 2).min(IN_MEMORY as u64);
        len <= short.max(long) || (len <= limits.disk && limits.files > 0)
    }

    /// Keeps bytes of a body that is `total` bytes long, if that is known.
    ///
    /// # Errors
    /// Why none of these bytes are kept. Those that were kept before still are; more cannot be added.
    pub(crate) fn write(&mut self, bytes: &[u8], total: Option<u64>) -> Result<(), NotKept> {
        if self.file.is_some() {
            self.write_to_file(bytes)?;
        } else if self.reserve(bytes.len(), total) {
            self.memory.extend_from_slice(bytes);
        } else {
            self.open_file()?;
            self.write_to_file(bytes)?;
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The memory with the kept bytes, and with room for more of a body that is `total` bytes long. `None`: it is in a file,
    /// or will be.
    pub(crate) fn space(&mut self, total: u64) -> Option<&mut Vec<u8>> {
        let left = usize::try_from(total.saturating_sub(self.len)).ok()?;
        // No more than has arrived: the client may never send the rest.
        let more = left.min(self.memory.len().max(MIN_SPACE));
        let has_room = self.file.is_none() && more > 0 && self.reserve(more, Some(total));
        has_room.then_some(&mut self.memory)
    }

    /// The last `len` bytes of the [space](Self::space).
    pub(crate) fn last(&self, len: usize) -> &[u8] {
        &self.memory[self.memory.len() - len..]
    }

    /// Keeps `len` of the bytes that were read into the [space](Self::space), and removes the others, which follow the
    /// body.
    pub(crate) fn keep_read(&mut self, len: usize) {
        self.len += len as u64;
        self.memory.truncate(self.len as usize);
    }

    /// Makes room in memory. False: the body would be too long for that, or memory is not left.
    fn reserve(&mut self, more: usize, total: Option<u64>) -> bool {
        let (before, len) = (self.memory.capacity(), self.memory.len() + more);
        if len <= before {
            return true;
        }
        let total = total.and_then(|total| usize::try_from(total).ok());
        let capacity = match total {
            _ if len <= SHORT => len.max((2 * before).min(SHORT)),
            Some(total) => len.max((2 * before).min(total)),
            None => len.max((2 * before).min(IN_MEMORY)),
        };
        let more = capacity.saturating_sub(before);
        let is_taken = if capacity <= SHORT {
            self.held.take_memory(more)
        } else {
            capacity <= IN_MEMORY && self.held.take_spare_memory(more)
        };
        if is_taken {
            self.memory.reserve_exact(capacity - self.memory.len());
        }
        is_taken
    }

    /// Moves what is in memory to a new file.
    fn open_file(&mut self) -> Result<(), NotKept> {
        if !self.held.take_disk(self.memory.len() as u64) {
            return Err(NotKept::Budget("--max-on-disk"));
        }
        let Some(mut file) = self.held.create_file()? else {
            return Err(NotKept::Budget("open files"));
        };
        file.write_all(&self.memory)?;
        self.file = Some(file);
        self.memory = Vec::new();
        self.held.give_memory();
        Ok(())
    }

    fn write_to_file(&mut self, bytes: &[u8]) -> Result<(), NotKept> {
        let len = bytes.len() as u64;
        if !self.held.take_disk(len) {
            return Err(NotKept::Budget("--max-on-disk"));
        }
        if self.len + len > max_file_size() {
            return Err(NotKept::File(io::ErrorKind::FileTooLarge.into()));
        }
        match &mut self.file {
            Some(file) => Ok(file.write_all(bytes)?),
            None => Ok(()),
        }
    }

    /// The whole body, which can be sent more than once, and what it holds until then.
    ///
    /// # Errors
    /// The file system's error.
    pub(crate) fn into_body(self) -> io::Result<(Body, Held)> {
        let body = match self.file {
            Some(mut file) => {
                file.rewind()?;
                Body::seekable(file, Some(self.len))
            }
            None => Body::bytes(self.memory),
        };
        Ok((body, self.held))
    }

    /// The bytes that are kept.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends some of the kept bytes, those from `start` on, to an empty buffer.
    ///
    /// # Errors
    /// The file system's error.
    pub(crate) fn read(&mut self, start: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        let left = self.len.saturating_sub(start).min(SHORT as u64);
        match &mut self.file {
            Some(file) => {
                file.seek(SeekFrom::Start(start))?;
                if file.take(left).read_to_end(buffer)? as u64 != left {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            None => {
                let kept = usize::try_from(start)
                    .ok()
                    .and_then(|at| self.memory.get(at..at + left as usize));
                buffer.extend_from_slice(kept.unwrap_or_default());
            }
        }
        Ok(())
    }
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(limit) => write!(f, "what other clients send takes all of {limit}"),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for NotKept {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// The most bytes of a body that are kept in memory while any is left. A longer one goes to a file sooner than shorter
/// ones: half of the memory is left to those.
const SHORT: usize = 64 * 1024;
/// The room for a read of a body that has just begun.
const MIN_SPACE: usize = 16 * 1024;
/// The most bytes of a body that are kept in memory.
const IN_MEMORY: usize = 1024 * 1024;
