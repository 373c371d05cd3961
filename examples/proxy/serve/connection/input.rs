//! How much is read of a client at once, and where to.

use super::super::site::context::Context;
use super::{Connection, Stage};

impl Connection {
    /// Reads once into the memory of a body that is collected there. False if there is none.
    pub(super) fn read_body(&mut self, cx: &mut Context) -> bool {
        let Stage::Exchange(exchange) = &mut self.stage else {
            return false;
        };
        let Some(space) = exchange.body_space() else {
            return false;
        };
        match self.socket.read_to(space) {
            None => {}
            Some(0) => self.end_of_stream(cx),
            Some(len) => {
                let mut following = Vec::new();
                self.socket.note_progress(cx.now());
                exchange.take_read(cx, &mut self.socket, len, &mut following);
                self.reader.hold(&following, cx.buffers());
                self.conclude(cx);
                self.wants_turn |= self.socket.is_readable() && self.wants_input();
            }
        }
        true
    }

    /// How many bytes may be read and not used. Only of a body these are many: a client can send any number of requests at
    /// once.
    pub(super) fn read_len(&self) -> usize {
        match &self.stage {
            Stage::Exchange(exchange) => exchange.body_left().map_or(READ_LEN, |left| {
                usize::try_from(left).map_or(usize::MAX, |left| left.max(READ_LEN))
            }),
            _ => READ_LEN,
        }
    }
}

/// The size of a read in which a head is expected: any allowed one fits, and usually 64 KiB of a body after it.
const READ_LEN: usize = 72 * 1024;
