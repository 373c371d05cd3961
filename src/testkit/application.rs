//! The seam between the network and an application: what the application is told, and what it can do.

use std::time::Duration;

use crate::wire::{DecodeError, HEADER_LEN, Item};

/// What the network tells an application: [`Scripted`](super::Scripted).
///
/// A connection is named by a number that is never used twice. What the application does goes into [`Replies`] and
/// happens when the call returns, in the order of the replies.
pub(super) trait Application {
    /// A connection was made. It is read from now on.
    fn accepted(&mut self, connection: usize, replies: &mut Replies);

    /// A record with this header begins. False refuses it: nothing more of the connection is read, and `replies` says
    /// what becomes of it.
    fn begins(
        &mut self,
        connection: usize,
        header: [u8; HEADER_LEN],
        replies: &mut Replies,
    ) -> bool;

    /// The Web server has sent a record, or a piece of one.
    fn received(&mut self, connection: usize, item: Item<'_>, replies: &mut Replies);

    /// The Web server has sent bytes that cannot be decoded. Nothing more of the connection is read.
    fn broken(&mut self, connection: usize, error: DecodeError, replies: &mut Replies);

    /// The Web server has closed the connection. What is still sent is lost.
    fn closed(&mut self, connection: usize, replies: &mut Replies);

    /// A time asked for with [`Replies::wake`] has passed. The connection may be closed by now.
    fn woken(&mut self, connection: usize, token: u64, replies: &mut Replies);
}

/// What an application does, collected.
#[derive(Debug, Default)]
pub(super) struct Replies {
    list: Vec<(usize, Reply)>,
}

#[derive(Debug)]
pub(super) enum Reply {
    Send(Vec<u8>),
    HalfClose,
    TakeNothing,
    Close,
    Reset,
    Read(bool),
    Discard,
    Wake(Duration, u64),
}

impl Replies {
    /// Sends bytes.
    pub(super) fn send(&mut self, connection: usize, bytes: impl Into<Vec<u8>>) {
        self.list.push((connection, Reply::Send(bytes.into())));
    }

    /// Ends the application's direction (`SHUT_WR`) after what was sent. The application goes on reading.
    pub(super) fn half_close(&mut self, connection: usize) {
        self.list.push((connection, Reply::HalfClose));
    }

    /// Ends the client's direction (`SHUT_RD` on a Unix socket): the client's writes fail, and no reset comes back. The
    /// application goes on sending.
    pub(super) fn take_nothing(&mut self, connection: usize) {
        self.list.push((connection, Reply::TakeNothing));
    }

    /// Closes the connection after what was sent. The application reads no more of it.
    pub(super) fn close(&mut self, connection: usize) {
        self.list.push((connection, Reply::Close));
    }

    /// Resets the connection. What the Web server has not read when the reset arrives is lost.
    pub(super) fn reset(&mut self, connection: usize) {
        self.list.push((connection, Reply::Reset));
    }

    /// Stops reading, or goes on. Unread bytes fill the link until nothing more can be written.
    pub(super) fn read(&mut self, connection: usize, reads: bool) {
        self.list.push((connection, Reply::Read(reads)));
    }

    /// Discards bytes that arrived together with the last bytes that were read, and that were not used. libfcgi does
    /// this between requests. Whatever comes next is read as the header of a record.
    pub(super) fn discard(&mut self, connection: usize) {
        self.list.push((connection, Reply::Discard));
    }

    /// Asks for a call of [`Application::woken`] after a time.
    pub(super) fn wake(&mut self, connection: usize, after: Duration, token: u64) {
        self.list.push((connection, Reply::Wake(after, token)));
    }

    /// The replies in the order in which they happen, each with its connection.
    pub(super) fn into_list(self) -> Vec<(usize, Reply)> {
        self.list
    }
}
