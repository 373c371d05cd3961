//! One connection of the bench: what its "socket" took, and what waits to be read from it.

use std::collections::VecDeque;
use std::io::IoSlice;

use mio_fcgi::wire::{Demux, Item};
use mio_fcgi::{CloseReason, ConnectionHandle, Disconnected};

/// One transport connection, from its first connect on. It stays in the list after it was closed.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) handle: ConnectionHandle,
    pub(crate) server: usize,
    /// Why the engine closed the connection.
    pub(crate) closed: Option<CloseReason>,
    /// How many bytes the "socket" still takes.
    pub(crate) window: usize,
    /// Every byte that the "socket" took.
    pub(crate) sent: Vec<u8>,
    pub(crate) shown: usize,
    pub(crate) demux: Demux,
    /// The request ID begun last (0 before the first), and the demultiplexer that finds it.
    pub(crate) begun: u16,
    pub(crate) begins: Demux,
    pub(crate) inbox: VecDeque<u8>,
    pub(crate) ending: Option<Disconnected>,
}

impl Peer {
    /// Writes to the "socket". Returns how many bytes it took, at most `write_len`.
    pub(crate) fn take(&mut self, slices: &[IoSlice<'_>], write_len: usize) -> usize {
        let mut room = self.window.min(write_len);
        let before = self.sent.len();
        for slice in slices {
            let len = slice.len().min(room);
            self.sent.extend_from_slice(&slice[..len]);
            room -= len;
        }
        let written = self.sent.len() - before;
        let mut input = &self.sent[before..];
        while let Some(item) = self.begins.next(&mut input).expect("FastCGI is sent") {
            if let Item::Begin { request_id, .. } = item {
                self.begun = request_id;
            }
        }
        self.window = self.window.saturating_sub(written);
        written
    }
}
