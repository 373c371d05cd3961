//! The sockets of a client.

use std::io;
use std::ops::Range;

use log::warn;

use super::socket::Socket;
use super::transport::Transport;
use crate::address::Address;
use crate::event::ConnectionHandle;
use crate::server::ServerId;

/// All sockets of a client, each under one of the client's tokens.
#[derive(Debug)]
pub(super) struct Sockets<T: Transport> {
    transport: T,
    tokens: Range<usize>,
    /// The sockets by [`ConnectionHandle::index`], which is also the offset in `tokens`.
    slots: Vec<Option<Socket<T::Stream>>>,
    /// The number of sockets that are being connected.
    connecting: usize,
    /// An event of somebody else's socket was logged, or cannot be told from a late one of a former client's.
    is_overlap_logged: bool,
}

impl<T: Transport> Sockets<T> {
    /// `are_used`: the tokens were those of another client.
    pub(super) fn new(transport: T, tokens: Range<usize>, are_used: bool) -> Self {
        Self {
            transport,
            tokens,
            slots: Vec::new(),
            connecting: 0,
            is_overlap_logged: are_used,
        }
    }

    pub(super) fn tokens(&self) -> &Range<usize> {
        &self.tokens
    }

    #[cfg(feature = "testkit")]
    pub(super) fn transport(&self) -> &T {
        &self.transport
    }

    pub(super) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The index of a token; `None` when the token is not the client's.
    #[inline]
    pub(super) fn index_of(&self, token: usize) -> Option<usize> {
        let is_own = self.tokens.contains(&token);
        is_own.then(|| token - self.tokens.start)
    }

    /// Logs, once, an event for a token that no socket of this client has ever had. Its socket is the embedder's. (An event
    /// for a token that was used before may be a late one of a socket that was closed.)
    #[cold]
    pub(super) fn log_overlap(&mut self, index: usize) {
        if index < self.slots.len() || std::mem::replace(&mut self.is_overlap_logged, true) {
            return;
        }
        let Range { start, end } = self.tokens;
        warn!(
            "an event for token {}, which no connection of this client ever had: tokens {start} to {} are the client's, and not for sockets of the embedder",
            start + index,
            end - 1
        );
    }

    /// The token that a connection's socket is registered under.
    pub(super) fn token(&self, handle: ConnectionHandle) -> usize {
        self.tokens.start + handle.index()
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Socket<T::Stream>> {
        self.slots.get(index)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Socket<T::Stream>> {
        self.slots.get_mut(index)?.as_mut()
    }

    /// A socket, and the transport that it reads and writes with.
    #[inline]
    pub(super) fn with_transport(
        &mut self,
        index: usize,
    ) -> Option<(&mut Socket<T::Stream>, &mut T)> {
        let socket = self.slots.get_mut(index)?.as_mut()?;
        Some((socket, &mut self.transport))
    }

    /// The socket of a connection; `None` when the slot is empty or belongs to another connection.
    #[inline]
    pub(super) fn of(&mut self, handle: ConnectionHandle) -> Option<&mut Socket<T::Stream>> {
        let socket = self.get_mut(handle.index())?;
        (socket.handle() == handle).then_some(socket)
    }

    /// Begins to connect a socket.
    pub(super) fn connect(
        &mut self,
        handle: ConnectionHandle,
        server: ServerId,
        address: &Address,
    ) -> io::Result<()> {
        let stream = self.transport.connect(handle, server, address)?;
        let index = handle.index();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(Socket::new(handle, stream));
        self.connecting += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn has_connects(&self) -> bool {
        self.connecting > 0
    }

    /// The index of the first socket, at `from` or later, that is being connected.
    pub(super) fn next_connecting(&self, from: usize) -> Option<usize> {
        (from..self.slots.len()).find(|index| self.get(*index).is_some_and(Socket::is_connecting))
    }

    /// Checks whether a socket is connected. Fails when its connect has failed.
    pub(super) fn finish_connect(&mut self, index: usize) -> io::Result<bool> {
        let Some((socket, transport)) = self.with_transport(index) else {
            return Ok(false);
        };
        let is_connected = socket.finish_connect(transport)?;
        self.connecting -= usize::from(is_connected);
        Ok(is_connected)
    }

    /// Closes the socket of a connection. Returns false when there is none.
    pub(super) fn close(&mut self, handle: ConnectionHandle) -> bool {
        if self.of(handle).is_none() {
            return false;
        }
        if let Some(socket) = self.slots[handle.index()].take() {
            self.connecting -= usize::from(socket.is_connecting());
            self.transport.close(socket.into_stream());
        }
        true
    }
}

impl<T: Transport> Drop for Sockets<T> {
    fn drop(&mut self) {
        for socket in self.slots.drain(..).flatten() {
            self.transport.close(socket.into_stream());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::{Scripted, handle};

    fn sockets(results: Vec<io::Result<usize>>, count: u32) -> Sockets<Scripted> {
        let mut sockets = Sockets::new(Scripted(results), 7..20, false);
        for index in 0..count {
            let address = "unix:@none".parse().expect("an address");
            let connected = sockets.connect(handle(index), ServerId::new(0), &address);
            connected.expect("no error");
        }
        sockets
    }

    #[test]
    fn sockets_are_counted_as_long_as_they_are_being_connected() {
        let refused = Err(io::ErrorKind::ConnectionRefused.into());
        let mut sockets = sockets(vec![refused, Ok(0), Ok(1)], 3);
        assert!(sockets.has_connects());
        assert!(sockets.finish_connect(0).expect("it is connected"));
        assert_eq!(sockets.next_connecting(0), Some(1));
        assert!(!sockets.finish_connect(1).expect("no error"));
        assert_eq!(sockets.next_connecting(1), Some(1));
        assert_eq!(sockets.next_connecting(2), Some(2));
        assert!(sockets.close(handle(1)));
        assert!(sockets.has_connects());
        sockets.finish_connect(2).expect_err("it is refused");
        assert!(sockets.close(handle(2)));
        assert_eq!(sockets.next_connecting(0), None);
        assert!(!sockets.has_connects());
        assert!(sockets.close(handle(0)));
        assert!(!sockets.close(handle(0)));
        assert!(!sockets.has_connects());
    }

    #[test]
    fn a_socket_is_found_by_its_token_and_by_its_handle_alone() {
        let mut sockets = sockets(Vec::new(), 2);
        assert_eq!(sockets.index_of(6), None);
        assert_eq!(sockets.index_of(7), Some(0));
        assert_eq!(sockets.index_of(8), Some(1));
        assert_eq!(sockets.index_of(20), None);
        assert_eq!(sockets.token(handle(1)), 8);
        assert_eq!(sockets.of(handle(1)).map(|it| it.handle()), Some(handle(1)));
        let mut earlier = handle(1);
        earlier.generation = 1;
        assert!(sockets.of(earlier).is_none());
        assert!(!sockets.close(earlier));
        assert!(sockets.get(2).is_none());
    }
}
