//! The other side: what an application is told and what it can do.

use std::time::Duration;

use crate::wire::{DecodeError, HEADER_LEN, Header, Item};

/// An application behind a virtual server; [`Scripted`](super::Scripted) is one.
///
/// Connections are named by a number that is never used twice. What the application does goes into
/// [`Replies`] and happens when the call returns, in that order.
pub trait Application {
    /// A connection was made. It is read from now on.
    fn accepted(&mut self, connection: usize, replies: &mut Replies) {
        let _ = (connection, replies);
    }

    /// A record begins, with this header. False refuses it: nothing more of the connection is read, and what
    /// becomes of it the application says with `replies`. By default, version 1 is accepted and any other is
    /// [`broken`](Self::broken).
    fn begins(
        &mut self,
        connection: usize,
        header: [u8; HEADER_LEN],
        replies: &mut Replies,
    ) -> bool {
        let decoded = Header::decode(&header);
        if let Err(error) = &decoded {
            self.broken(connection, *error, replies);
        }
        decoded.is_ok()
    }

    /// Something has come from the Web server: a record, or a piece of one.
    fn received(&mut self, connection: usize, item: Item<'_>, replies: &mut Replies);

    /// What came cannot be decoded. By default the connection is reset. Nothing more of it is read.
    fn broken(&mut self, connection: usize, error: DecodeError, replies: &mut Replies) {
        let _ = error;
        replies.reset(connection);
    }

    /// The Web server has closed the connection; what is still sent is lost.
    fn closed(&mut self, connection: usize, replies: &mut Replies) {
        let _ = (connection, replies);
    }

    /// A time asked for with [`Replies::wake`] has come, whatever became of the connection since.
    fn woken(&mut self, connection: usize, token: u64, replies: &mut Replies) {
        let _ = (connection, token, replies);
    }
}

/// What an application does, collected.
#[derive(Debug, Default)]
pub struct Replies {
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
    pub fn send(&mut self, connection: usize, bytes: impl Into<Vec<u8>>) {
        self.list.push((connection, Reply::Send(bytes.into())));
    }

    /// Ends its own direction (`SHUT_WR`) behind what was sent; goes on reading.
    pub fn half_close(&mut self, connection: usize) {
        self.list.push((connection, Reply::HalfClose));
    }

    /// Ends the other direction (`SHUT_RD` on a Unix socket): the client's writes fail, and nothing comes back for
    /// that. Goes on sending.
    pub fn take_nothing(&mut self, connection: usize) {
        self.list.push((connection, Reply::TakeNothing));
    }

    /// Closes behind what was sent; reads no more.
    pub fn close(&mut self, connection: usize) {
        self.list.push((connection, Reply::Close));
    }

    /// Resets: what the Web server has not read when the reset arrives is lost.
    pub fn reset(&mut self, connection: usize) {
        self.list.push((connection, Reply::Reset));
    }

    /// Stops or goes on reading. Unread bytes fill the link until nothing more can be written.
    pub fn read(&mut self, connection: usize, reads: bool) {
        self.list.push((connection, Reply::Read(reads)));
    }

    /// Throws away what came together with the last bytes that were read and was not used, as libfcgi does
    /// between requests: whatever comes next is read as the header of a record.
    pub fn discard(&mut self, connection: usize) {
        self.list.push((connection, Reply::Discard));
    }

    /// Asks for [`Application::woken`] after a time.
    pub fn wake(&mut self, connection: usize, after: Duration, token: u64) {
        self.list.push((connection, Reply::Wake(after, token)));
    }

    /// What is to be done, in that order, each with its connection.
    pub(super) fn into_list(self) -> Vec<(usize, Reply)> {
        self.list
    }
}
