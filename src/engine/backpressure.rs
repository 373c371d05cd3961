//! Back-pressure: whether a connection is read, and which actions follow when that changes.
//!
//! A request that is alone on its connection is paused by not reading the socket. The output of a paused request that
//! shares its connection is buffered, up to the limits of [`PauseBuffer`](crate::PauseBuffer). When a limit is reached,
//! either the connection is not read, or the paused request fails.

use super::Engine;
use super::connection::Reads;

impl Engine {
    /// Decides whether a connection is read, and asks the driver to read when that becomes true.
    #[inline]
    pub(super) fn update_reads(&mut self, key: u32) {
        let connection = self.connections.get(key as usize);
        if connection.is_some_and(|it| it.may_be_blocked()) {
            self.decide_on_reads(key);
        }
    }

    fn decide_on_reads(&mut self, key: u32) {
        let now = self.timeline.now();
        let connection = &mut self.connections[key as usize];
        let kept = self.requests.kept();
        match connection.decide_on_reads(now, kept, &self.config.pause_buffer) {
            Reads::Unchanged => return,
            Reads::Blocked => {}
            Reads::Reopened => self.ask_read(key),
        }
        // The time limits of its requests were suspended and may have no timer entry, or waited for a read.
        self.arm_requests(key);
    }

    /// Arms a timer for the next deadline of each request on a connection.
    fn arm_requests(&mut self, key: u32) {
        let requests: Vec<u32> = self.connections[key as usize].requests().collect();
        for request in requests {
            self.arm_request(request);
        }
    }

    /// Lets blocked connections be read again after the buffered output has fallen below the client's limit.
    pub(super) fn reopen_reads(&mut self) {
        if self.requests.take_fallen_below() {
            let keys: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
            for key in keys {
                self.update_reads(key);
            }
        }
    }

    /// Asks the driver to write, once, if there are bytes.
    #[inline]
    pub(super) fn ask_flush(&mut self, key: u32) {
        if let Some(connection) = self.connections.get_mut(key as usize)
            && connection.ask_flush()
        {
            self.pending.flush(connection.handle(key));
        }
    }

    /// Asks the driver to read, once.
    pub(super) fn ask_read(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if connection.ask_read() {
            self.pending.read(connection.handle(key));
        }
    }
}
