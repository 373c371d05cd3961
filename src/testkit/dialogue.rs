//! A Web server that sends bytes to an application, without a client.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::application::{Application, Replies, Reply};
use super::framing::Framing;
use super::link::CloseKind;
use super::scripted::Scripted;

/// A Web server that sends bytes as they are, legal or not, and collects what comes back.
///
/// Shows how an application with certain [`Quirks`](super::Quirks) answers what no correct client would send. There is
/// no link in between: bytes arrive at once and whole.
///
/// ```
/// use mio_fcgi::testkit::internals::Dialogue;
/// use mio_fcgi::testkit::{Behavior, Records, Scripted};
/// use mio_fcgi::wire::Role;
///
/// let mut dialogue = Dialogue::new(Scripted::new(|_| Behavior::answer("hello")));
/// let connection = dialogue.connect();
/// let request = Records::new().begin(1, Role::Responder, true).params_end(1).stdin_end(1);
/// dialogue.send(connection, request.bytes());
/// let answer = Records::new().stdout(1, b"hello").stdout_end(1).end(1, 0);
/// assert_eq!(dialogue.received(connection), answer.bytes());
/// assert_eq!(dialogue.end(connection), None, "it is kept");
/// ```
pub struct Dialogue {
    application: Box<dyn Application>,
    sides: Vec<Side>,
    /// Calls of [`Application::woken`] that are due later: connection and token, by time and order.
    wakes: BTreeMap<(Duration, u64), (usize, u64)>,
    next_wake: u64,
    now: Duration,
}

/// A connection, as the Web server sees it.
#[derive(Debug)]
struct Side {
    framing: Framing,
    /// Bytes that were sent, and that the application has not read.
    unread: Vec<u8>,
    /// How many of the unread bytes arrived together with the last bytes that were read.
    put_back: usize,
    reads: bool,
    received: Vec<u8>,
    end: Option<CloseKind>,
    is_closed: bool,
}

impl Dialogue {
    /// A Web server that has no connection to this application yet.
    #[must_use]
    pub fn new(application: Scripted) -> Self {
        Self {
            application: Box::new(application),
            sides: Vec::new(),
            wakes: BTreeMap::new(),
            next_wake: 0,
            now: Duration::ZERO,
        }
    }

    /// Makes a connection, and returns its number.
    pub fn connect(&mut self) -> usize {
        self.sides.push(Side {
            framing: Framing::default(),
            unread: Vec::new(),
            put_back: 0,
            reads: true,
            received: Vec::new(),
            end: None,
            is_closed: false,
        });
        let number = self.sides.len() - 1;
        self.tell(|application, replies| application.accepted(number, replies));
        number
    }

    /// Sends bytes, all in one piece.
    ///
    /// # Panics
    /// When there is no such connection.
    pub fn send(&mut self, connection: usize, bytes: &[u8]) {
        self.sides[connection].unread.extend_from_slice(bytes);
        self.feed(connection);
    }

    /// Closes a connection.
    ///
    /// # Panics
    /// When there is no such connection.
    pub fn close(&mut self, connection: usize) {
        if !std::mem::replace(&mut self.sides[connection].is_closed, true) {
            self.tell(|application, replies| application.closed(connection, replies));
        }
    }

    /// Lets this much time pass.
    pub fn advance(&mut self, time: Duration) {
        let until = self.now.saturating_add(time);
        while let Some(entry) = self.wakes.first_entry()
            && entry.key().0 <= until
        {
            self.now = entry.key().0;
            let (connection, token) = entry.remove();
            self.tell(|application, replies| application.woken(connection, token, replies));
        }
        self.now = until;
    }

    /// All bytes that have come back on a connection.
    ///
    /// # Panics
    /// When there is no such connection.
    #[must_use]
    pub fn received(&self, connection: usize) -> &[u8] {
        &self.sides[connection].received
    }

    /// How the application has ended its direction. `None` if it has not.
    ///
    /// # Panics
    /// When there is no such connection.
    #[must_use]
    pub fn end(&self, connection: usize) -> Option<CloseKind> {
        self.sides[connection].end
    }

    /// Lets the application read, until it stops or everything is read.
    fn feed(&mut self, number: usize) {
        while let Some(side) = self.sides.get_mut(number)
            && side.reads
            && !side.is_closed
            && !side.unread.is_empty()
        {
            let bytes = std::mem::take(&mut side.unread);
            let mut framing = std::mem::take(&mut side.framing);
            let mut input = &bytes[..];
            let mut replies = Replies::default();
            framing.read_item(number, &mut input, self.application.as_mut(), &mut replies);
            let side = &mut self.sides[number];
            side.framing = framing;
            side.unread = input.to_vec();
            side.put_back = input.len();
            self.apply(replies);
        }
    }

    fn tell(&mut self, what: impl FnOnce(&mut dyn Application, &mut Replies)) {
        let mut replies = Replies::default();
        what(self.application.as_mut(), &mut replies);
        self.apply(replies);
    }

    fn apply(&mut self, replies: Replies) {
        for (number, reply) in replies.into_list() {
            if let Reply::Wake(after, token) = reply {
                let at = (self.now.saturating_add(after), self.next_wake);
                self.next_wake += 1;
                self.wakes.insert(at, (number, token));
                continue;
            }
            let Some(side) = self.sides.get_mut(number).filter(|side| !side.is_closed) else {
                continue;
            };
            match reply {
                Reply::Send(bytes) if side.end.is_none() => side.received.extend(bytes),
                Reply::HalfClose => side.end = side.end.or(Some(CloseKind::Fin)),
                Reply::Close => {
                    side.end = side.end.or(Some(CloseKind::Fin));
                    side.is_closed = true;
                }
                Reply::Reset => {
                    side.end = Some(CloseKind::Reset);
                    side.is_closed = true;
                }
                Reply::Read(reads) => {
                    let has_read = std::mem::replace(&mut side.reads, reads);
                    if reads && !has_read {
                        self.feed(number);
                    }
                }
                Reply::Discard => {
                    side.framing = Framing::default();
                    side.unread.drain(..std::mem::take(&mut side.put_back));
                }
                Reply::TakeNothing => side.reads = false,
                Reply::Send(_) | Reply::Wake(..) => {}
            }
        }
    }
}

impl fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialogue")
            .field("now", &self.now)
            .field("connections", &self.sides)
            .finish_non_exhaustive()
    }
}
