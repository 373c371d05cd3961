//! An application that follows behaviors.

use std::fmt;

use super::application::{Application, Replies};
use super::behavior::{Behavior, ReceivedRequest};
use super::connections::Connection;
use super::quirks::Quirks;
use super::receive::Receive;
use crate::wire::{DecodeError, HEADER_LEN, Item, RecordType};

/// An application whose closure chooses a [`Behavior`] for each request.
///
/// The closure is called when the application starts to work on a request: for most [`Quirks`] when the parameters are
/// complete. The body may not have arrived by then; see [`Behavior::await_stdin`] and [`Behavior::then`]. The quirks
/// are [`Quirks::ideal`] unless others are set.
///
/// Two requests of one connection with the same ID at a time, which no client may send, are both served.
///
/// ```
/// use mio_fcgi::testkit::{Quirks, Behavior, Scripted};
///
/// let application = Scripted::new(|request| match request.param("SCRIPT_NAME") {
///     Some(b"/slow.php") => Behavior::new(), // never answers
///     _ => Behavior::answer("Content-Type: text/plain\r\n\r\nhello"),
/// })
/// .with_quirks(Quirks::php_fpm(4));
/// # drop(application);
/// ```
pub struct Scripted {
    receive: Receive,
}

impl Scripted {
    /// An application that does with each request what `answer` returns for it.
    pub fn new(answer: impl FnMut(&ReceivedRequest) -> Behavior + 'static) -> Self {
        Self {
            receive: Receive::new(Box::new(answer)),
        }
    }

    /// Changes the quirks. Default: [`Quirks::ideal`].
    #[must_use]
    pub fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.receive
            .connections_mut()
            .set_quirks(quirks.into_details());
        self
    }
}

impl Application for Scripted {
    fn accepted(&mut self, connection: usize, replies: &mut Replies) {
        self.receive.connections_mut().accept(connection, replies);
    }

    fn begins(
        &mut self,
        connection: usize,
        header: [u8; HEADER_LEN],
        replies: &mut Replies,
    ) -> bool {
        self.receive.header(connection, header, replies)
    }

    fn received(&mut self, connection: usize, item: Item<'_>, replies: &mut Replies) {
        let connections = self.receive.connections();
        if connections.get(connection).is_none_or(Connection::is_deaf) {
            return;
        }
        let knows_only_one = connections.quirks().knows_only_id_one;
        let known = |id: u16| if knows_only_one { 1 } else { id };
        match item {
            Item::Begin { request_id, body } => {
                self.receive
                    .begin(connection, known(request_id), body, replies);
            }
            Item::Abort { request_id } => {
                self.receive.abort(connection, known(request_id), replies)
            }
            Item::Stream {
                record_type,
                request_id,
                data,
            } => self
                .receive
                .stream(connection, record_type, known(request_id), data, replies),
            Item::StreamEnd {
                record_type,
                request_id,
            } => self
                .receive
                .stream(connection, record_type, known(request_id), &[], replies),
            Item::Values {
                record_type: RecordType::GetValues,
                data,
                last,
                ..
            } => self.receive.question(connection, data, last, replies),
            Item::Unassigned {
                record_type,
                request_id,
            } => self
                .receive
                .unknown(connection, record_type, request_id, replies),
            Item::End { request_id, .. } => {
                let record_type = RecordType::EndRequest;
                self.receive
                    .misplaced(connection, record_type, request_id, replies);
            }
            Item::UnknownType { request_id, .. } => {
                let record_type = RecordType::UnknownType;
                self.receive
                    .misplaced(connection, record_type, request_id, replies);
            }
            Item::Values {
                record_type,
                request_id,
                ..
            } => self
                .receive
                .misplaced(connection, record_type, request_id, replies),
        }
        self.receive.connections_mut().turn(connection, replies);
    }

    fn broken(&mut self, connection: usize, _error: DecodeError, replies: &mut Replies) {
        self.receive.connections_mut().refuse(connection, replies);
    }

    fn closed(&mut self, connection: usize, replies: &mut Replies) {
        self.receive.connections_mut().close(connection, replies);
    }

    fn woken(&mut self, connection: usize, token: u64, replies: &mut Replies) {
        self.receive.wake(connection, token, replies);
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.receive.connections();
        f.debug_struct("Scripted")
            .field("quirks", connections.quirks())
            .field("connections", &connections.len())
            .field("requests", &connections.exchanges_len())
            .finish_non_exhaustive()
    }
}
