//! A request body of unknown length: collected in memory while it is short, then in a temporary file.
//!
//! An application such as php-fpm needs CONTENT_LENGTH before the body, so a chunked body has to be complete first. The
//! event loop writes the file itself. That can block on the disk, but usually the data ends up in the page cache.

use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Seek, Write};

use mio_fcgi::Body;

#[derive(Debug, Default)]
pub(crate) struct Spool {
    memory: Vec<u8>,
    /// Buffered: otherwise each chunk of a few bytes would cost a system call.
    file: Option<BufWriter<File>>,
    len: u64,
}

impl Spool {
    /// # Errors
    /// The file system's error.
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

    /// The whole body. It can be sent more than once.
    ///
    /// # Errors
    /// The file system's error.
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

/// The most bytes per body that are kept in memory.
const IN_MEMORY: usize = 64 * 1024;
