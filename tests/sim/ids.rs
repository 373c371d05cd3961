//! The order in which a connection's request IDs are used again.

use std::collections::BTreeSet;

use mio_fcgi::wire::{Demux, Item};

/// The IDs of one connection, from what the client has written and read.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    demux: Demux,
    /// What the application sends is no FastCGI.
    is_broken: bool,
    /// IDs of requests that have begun, and of which the client has read no end.
    live: BTreeSet<u16>,
    /// The ID whose end was read last.
    last_ended: Option<u16>,
}

impl Ids {
    /// The client has read bytes.
    pub(crate) fn hear(&mut self, mut bytes: &[u8]) {
        while !self.is_broken {
            match self.demux.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(Item::End { request_id, .. })) => {
                    if self.live.remove(&request_id) {
                        self.last_ended = Some(request_id);
                    }
                }
                Ok(Some(_)) => {}
                Err(_) => self.is_broken = true,
            }
        }
    }

    /// The client begins a request. The ID that was freed last is the most likely to have late records, and so it is not
    /// the next one.
    pub(crate) fn begin(&mut self, id: u16) -> Result<(), String> {
        self.live.insert(id);
        match self.last_ended == Some(id) {
            true => Err(format!("ID {id} begins, and its end was the last one read")),
            false => Ok(()),
        }
    }
}
