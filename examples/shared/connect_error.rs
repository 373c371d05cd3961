//! What a failed connect means to an engine.

use std::io::{self, ErrorKind};

use mio_fcgi::{Address, Disconnected};

/// What a driver reports when it could not connect to `address`, that of a server.
pub(crate) fn why(error: &io::Error, address: Option<&Address>) -> Disconnected {
    let (kind, is_tcp) = (error.kind(), matches!(address, Some(Address::Tcp(_))));
    if kind == ErrorKind::WouldBlock && !is_tcp {
        Disconnected::BacklogFull
    } else if is_shortage(error) {
        Disconnected::Shortage(kind)
    } else {
        Disconnected::ConnectFailed(kind)
    }
}

/// Whether this side has no descriptor, port or memory for a socket.
fn is_shortage(error: &io::Error) -> bool {
    #[cfg(unix)]
    let codes = {
        use rustix::io::Errno;
        let codes = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::ADDRNOTAVAIL,
            Errno::NOMEM,
        ];
        codes.map(Errno::raw_os_error)
    };
    #[cfg(not(unix))]
    let codes = [10024, 10049, 10055]; // WSAEMFILE, WSAEADDRNOTAVAIL, WSAENOBUFS
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}
