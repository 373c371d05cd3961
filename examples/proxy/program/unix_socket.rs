//! A Unix socket to listen at, and its file.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::net::listener::BACKLOG;

/// The file of a socket. Dropping it removes the file, unless another process has put its own there.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// Listens at a path. A socket at which nobody listens any more is replaced.
///
/// # Errors
/// The system's error; what to do if something else is there.
pub(crate) fn listen(path: &Path, mode: Option<u32>) -> io::Result<(Socket, File)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_stale(path)?;
        socket.bind(&address)?;
    }
    let file = File {
        path: path.to_owned(),
        identity: identity(&fs::symlink_metadata(path)?),
    };
    if let Some(mode) = mode {
        // Before anyone can connect.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

/// Removes a socket at which nobody listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let why = "there is a file that is no socket: remove it, or choose another path";
        return Err(io::Error::new(ErrorKind::AlreadyExists, why));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => {
            let why = "another process listens there: stop it, or choose another path";
            Err(io::Error::new(ErrorKind::AddrInUse, why))
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Drop for File {
    fn drop(&mut self) {
        let now = fs::symlink_metadata(&self.path);
        if now.is_ok_and(|now| identity(&now) == self.identity) {
            // A directory that does not permit it: the next start replaces the socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}
