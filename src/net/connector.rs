//! Where the socket of a new connection comes from: the client connects, or a function of the embedder's does.

use std::fmt;
use std::io;

use super::stream::Stream;
use crate::address::Address;
use crate::server::ServerId;

/// Makes sockets. Without a function it connects to the server's address.
#[derive(Default)]
pub(super) struct Connector {
    function: Option<Box<Function>>,
}

type Function = dyn FnMut(ServerId, &Address) -> io::Result<Stream> + Send;

impl Connector {
    /// Uses a function of the embedder's from now on.
    pub(super) fn set(&mut self, function: Box<Function>) {
        self.function = Some(function);
    }

    /// A socket that is connected to a server, or is being connected.
    ///
    /// Fails for a socket of the embedder's that can be seen to be of no use: its connect has failed, its peer has closed
    /// it, or it has bytes to read. Such bytes are older than any request, and would be taken for a response.
    pub(super) fn connect(&mut self, server: ServerId, address: &Address) -> io::Result<Stream> {
        let Some(function) = &mut self.function else {
            return Stream::connect(address);
        };
        let mut stream = function(server, address)?;
        if stream.is_connected()? {
            check_unused(&mut stream)?;
        }
        Ok(stream)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_set = self.function.is_some();
        f.debug_struct("Connector")
            .field("is_set", &is_set)
            .finish()
    }
}

/// Checks that a connected socket is open and empty.
fn check_unused(stream: &mut Stream) -> io::Result<()> {
    loop {
        return match stream.read(&mut [0]) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer of the connector's stream has closed it",
            )),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the connector's stream has bytes to read before the first request",
            )),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_says_whether_there_is_a_function() {
        let mut connector = Connector::default();
        assert_eq!(format!("{connector:?}"), "Connector { is_set: false }");
        connector.set(Box::new(|_, _| Err(io::ErrorKind::Unsupported.into())));
        assert_eq!(format!("{connector:?}"), "Connector { is_set: true }");
    }
}
