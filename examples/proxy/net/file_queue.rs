//! Bytes in a file: written at the tail, read at the head.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

/// Bytes in a file, first in, first out.
///
/// Once the file may not grow, what was read makes room for what is written: the tail goes on at the front of the file.
///
/// ```text
/// before:  |  read  | head: the queue :tail |
/// after:   | the newest :tail |  | head: the oldest :end |
/// ```
#[derive(Debug)]
pub(crate) struct FileQueue {
    file: File,
    /// Where the next byte is read.
    head: u64,
    /// Where the next byte is written.
    tail: u64,
    /// Where the oldest bytes end, if the tail is in front of them.
    end: Option<u64>,
}

impl FileQueue {
    /// A queue in an empty file.
    pub(crate) fn new(file: File) -> Self {
        Self {
            file,
            head: 0,
            tail: 0,
            end: None,
        }
    }

    /// Number of bytes in the queue.
    pub(crate) fn len(&self) -> u64 {
        let end = self.end.unwrap_or(self.tail);
        let newest = if self.end.is_some() { self.tail } else { 0 };
        end - self.head + newest
    }

    /// How long the file has to be, so that it has room for `more` bytes after the newest one. `None`: it may not grow
    /// now, since the oldest bytes are there.
    pub(crate) fn wanted_size(&self, more: usize) -> Option<u64> {
        match self.end {
            None => Some(self.tail.saturating_add(more as u64)),
            Some(_) => None,
        }
    }

    /// Writes as many of the bytes as there is room for in a file of `max_size` bytes, and returns how many. `max_size`
    /// must not become smaller.
    ///
    /// # Errors
    /// The file system's error. The queue is as it was before.
    pub(crate) fn write(&mut self, bytes: &[u8], max_size: u64) -> io::Result<usize> {
        let (tail, end) = (self.tail, self.end);
        let mut written = 0;
        while written < bytes.len() {
            let limit = match self.end {
                None => max_size,
                Some(_) => self.head,
            };
            let room = limit.saturating_sub(self.tail);
            if room == 0 {
                if self.end.is_some() || self.head == 0 {
                    break;
                }
                self.end = Some(self.tail);
                self.tail = 0;
                continue;
            }
            let left = &bytes[written..];
            let len = usize::try_from(room).map_or(left.len(), |room| room.min(left.len()));
            if let Err(error) = self.write_at_tail(&left[..len]) {
                (self.tail, self.end) = (tail, end);
                return Err(error);
            }
            written += len;
            self.tail += len as u64;
        }
        Ok(written)
    }

    fn write_at_tail(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.tail))?;
        self.file.write_all(bytes)
    }

    /// Copies bytes at the head into `space`, and returns how many: at least one if there is one. They stay in the
    /// queue.
    ///
    /// # Errors
    /// The file system's error.
    pub(crate) fn peek(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let end = self.end.unwrap_or(self.tail);
        let most = space.len();
        let len = usize::try_from(end - self.head).map_or(most, |len| len.min(most));
        self.file.seek(SeekFrom::Start(self.head))?;
        loop {
            match self.file.read(&mut space[..len]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) if len > 0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => return read,
            }
        }
    }

    /// Removes bytes that [`peek`](Self::peek) returned.
    pub(crate) fn remove(&mut self, len: usize) {
        self.head += len as u64;
        if self.end == Some(self.head) {
            self.head = 0;
            self.end = None;
        } else if self.end.is_none() && self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
    }
}
