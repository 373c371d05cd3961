//! Where the addresses come from: a name, or a file that another program writes.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use mio_fcgi::Address;

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Name(Address),
    /// One address per line, names among them. Blank lines and those that begin with `#` are skipped.
    File(PathBuf),
}

impl Source {
    /// Looks the addresses up. Blocks, on the system's resolver or on the file.
    ///
    /// # Errors
    /// That of the resolver or the file; [`ErrorKind::InvalidData`] for a line that is no address, and for a file
    /// without any.
    pub(crate) fn look_up(&self) -> io::Result<Vec<Address>> {
        let path = match self {
            Self::Name(address) => return address.resolve(),
            Self::File(path) => path,
        };
        let invalid = |why: String| io::Error::new(ErrorKind::InvalidData, why);
        let mut found = Vec::new();
        for line in fs::read_to_string(path)?.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let address: Address = line
                .parse()
                .map_err(|it| invalid(format!("{line}: {it}")))?;
            found.extend(address.resolve()?);
        }
        if found.is_empty() {
            return Err(invalid("there is no address in it".to_owned()));
        }
        Ok(found)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(address) => address.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
