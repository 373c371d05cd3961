//! A body whose length is only known at its end: kept in memory while it is short, then in a temporary file.
//!
//! An application such as php-fpm wants CONTENT_LENGTH before the body, so a body in chunks has to be complete first. The
//! file is written in the loop: that can wait for the disk, though as a rule it ends in the page cache.

use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Seek, Write};

use mio_fcgi::Body;

#[derive(Debug, Default)]
pub(crate) struct Spool {
    memory: Vec<u8>,
    /// Buffered, or each chunk of a few bytes would cost a system call.
    file: Option<BufWriter<File>>,
    len: u64,
}

impl Spool {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// # Errors
    /// The file system's.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() > IN_MEMORY {
            let mut file = BufWriter::new(tempfile::tempfile()?);
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The whole, to be sent and if need be to be sent again.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn into_body(self) -> io::Result<Body> {
        match self.file {
            Some(file) => {
                let mut file = file.into_inner().map_err(IntoInnerError::into_error)?;
                file.rewind()?;
                Ok(Body::seekable(file, Some(self.len)))
            }
            None => Ok(Body::bytes(self.memory)),
        }
    }
}

/// Bytes kept in memory, for each body.
const IN_MEMORY: usize = 64 * 1024;
