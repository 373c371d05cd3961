//! One virtual transport connection: both its ends.

use std::io;
use std::time::Instant;

use super::application::{Application, Replies, Reply};
use super::framing::Framing;
use super::later::later;
use super::link::{AfterClose, CloseKind, Link, Pipe, Towards};
use super::results::{BUFFER_LEN, Found, Offer};
use super::rng::Rng;
use super::server::Notice;
use crate::event::ConnectionHandle;
use crate::net::Readiness;

/// Both ends of a connection.
#[derive(Debug)]
pub(super) struct VirtualConnection {
    server: usize,
    handle: ConnectionHandle,
    /// When its connect began.
    since: Instant,
    to_application: Pipe,
    to_client: Pipe,
    decided: Option<Decision>,
    is_open: bool,
    client_closed: bool,
    /// As far as the driver knows, bytes or the end were announced and are not read.
    readable: bool,
    /// The end was announced, so a short read is not the last one.
    end_announced: bool,
    /// The engine has asked for a flush, and not everything was taken.
    flushing: bool,
    /// A write has failed. Bytes that the application had sent before are still read.
    write_failed: bool,
    /// The connection waits for its turn.
    queued: bool,
    link: Link,
    framing: Framing,
    /// How many bytes have passed in the direction that the link's `Break` counts.
    passed: u64,
    application_reads: bool,
    application_closed: bool,
    /// The application has ended the client's direction: writes fail.
    takes_nothing: bool,
    /// A reset is on its way to the client, which has written after the application had closed.
    reset_is_due: bool,
    /// That reset has arrived: writes fail.
    was_reset: bool,
    /// The application has asked to discard the rest of what it was reading.
    discard_rest: bool,
    /// How many bytes were read and put back.
    put_back: usize,
    /// The application knows that the client has closed.
    told_closed: bool,
}

/// When a connect succeeds or fails, and the error if it fails. The client learns it later.
pub(super) type Decision = (Instant, Option<io::ErrorKind>);

/// The client's end.
impl VirtualConnection {
    pub(super) fn new(
        server: usize,
        handle: ConnectionHandle,
        link: &Link,
        now: Instant,
        decided: Option<Decision>,
    ) -> Self {
        Self {
            server,
            handle,
            since: now,
            to_application: Pipe::new(link.clone(), now),
            to_client: Pipe::new(link.clone(), now),
            decided,
            is_open: false,
            client_closed: false,
            readable: false,
            end_announced: false,
            flushing: false,
            write_failed: false,
            queued: false,
            link: link.clone(),
            framing: Framing::default(),
            passed: 0,
            application_reads: true,
            application_closed: false,
            takes_nothing: false,
            reset_is_due: false,
            was_reset: false,
            discard_rest: false,
            put_back: 0,
            told_closed: false,
        }
    }

    pub(super) fn server(&self) -> usize {
        self.server
    }

    pub(super) fn handle(&self) -> ConnectionHandle {
        self.handle
    }

    /// When the connect began, if it is not over.
    pub(super) fn connecting_since(&self) -> Option<Instant> {
        (!self.is_open).then_some(self.since)
    }

    /// How the connect has ended, if the client does not know yet.
    pub(super) fn decision(&self, now: Instant) -> Option<Result<(), io::ErrorKind>> {
        let is_new = !self.client_closed && !self.is_open;
        let (_, error) = self.decided.filter(|(at, _)| is_new && *at <= now)?;
        Some(error.map_or(Ok(()), Err))
    }

    /// The client knows that it is connected.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    /// Whether the client can read and write.
    pub(super) fn is_in_use(&self) -> bool {
        self.is_open && !self.client_closed
    }

    /// Since when bytes, or the end, have been unread in the client's socket.
    pub(super) fn unread_since(&self, now: Instant) -> Option<Instant> {
        let since = self.to_client.waits_since(now);
        since.filter(|_| !self.client_closed)
    }

    pub(super) fn has_unread_bytes(&self) -> bool {
        self.to_client.unread_len() > 0
    }

    fn has_input(&self) -> bool {
        self.has_unread_bytes() || self.to_client.has_end()
    }

    /// Whether the engine wants to use the connection and has not asked the driver to.
    pub(super) fn is_forgotten(&self, wants_write: bool, wants_read: bool) -> bool {
        let unsent = !self.flushing && !self.write_failed && wants_write;
        let unread = self.has_input() && wants_read && !self.queued;
        self.is_open && (unsent || unread)
    }

    /// Queues the connection for a turn. False if it is queued already.
    pub(super) fn queue(&mut self) -> bool {
        !std::mem::replace(&mut self.queued, true)
    }

    /// The connection's turn has come.
    pub(super) fn begin_turn(&mut self) {
        self.queued = false;
    }

    /// Makes unread what has arrived for the client. False if nothing is unread, because it was read before it could be
    /// announced.
    pub(super) fn arrive_at_client(&mut self, now: Instant) -> bool {
        self.to_client.arrive(now);
        self.has_input()
    }

    /// A reset has arrived, for bytes that were written to a closed connection.
    pub(super) fn reset(&mut self, now: Instant) {
        self.was_reset = true;
        self.to_client.arrive(now);
    }

    /// Announces bytes or the end to the driver. `None` if the client has no socket that is connected.
    pub(super) fn announce(&mut self) -> Option<Notice> {
        if !self.is_in_use() {
            return None;
        }
        self.readable = true;
        let has_end = self.to_client.has_end() || self.was_reset;
        self.end_announced |= has_end;
        match has_end {
            true => Some(Notice::ReadClosed),
            false => Some(Notice::Readable),
        }
    }

    /// How the socket is, as an event reports it. `None` when there is nothing to report.
    pub(super) fn readiness(&self, now: Instant) -> Option<Readiness> {
        let has_failed = matches!(self.decision(now), Some(Err(_)));
        if self.client_closed || !(self.is_open || has_failed) {
            return None;
        }
        let is_error = has_failed || self.was_reset || self.to_client.was_reset();
        let is_write_closed = has_failed || self.refuses_writes();
        Some(Readiness {
            is_readable: self.has_input() || is_error,
            is_read_closed: self.to_client.has_end() || is_error,
            is_writable: self.to_application.room() > 0 || is_write_closed,
            is_write_closed,
            is_error,
            ..Readiness::default()
        })
    }

    /// The driver was told that there is something to read.
    pub(super) fn note_announced(&mut self, is_end: bool) {
        self.readable = true;
        self.end_announced |= is_end;
    }

    pub(super) fn is_drained_by_short_reads(&self) -> bool {
        !self.link.reads_until_blocked
    }

    /// Whether the engine waits for something that is there.
    pub(super) fn is_stuck(&self, wants_write: bool, wants_read: bool) -> bool {
        let can_write = !self.write_failed && self.to_application.room() > 0;
        let can_read = self.has_input() || self.write_failed;
        self.is_in_use() && (can_write && wants_write || wants_read && can_read)
    }

    /// The engine wants to read. `is_unread`: the engine takes the socket for unread, whether bytes were announced or
    /// not.
    pub(super) fn ask_to_read(&mut self, is_unread: bool) {
        self.readable |= is_unread;
    }

    pub(super) fn may_read(&self) -> bool {
        self.readable && !self.client_closed
    }

    /// The engine wants to write.
    pub(super) fn ask_to_flush(&mut self) {
        self.flushing = true;
    }

    pub(super) fn is_flushing(&self) -> bool {
        self.flushing
    }

    pub(super) fn has_write_failed(&self) -> bool {
        self.write_failed
    }

    /// How many of the `offered` bytes a write takes.
    pub(super) fn offer(&mut self, offered: usize, rng: &mut Rng) -> Offer {
        if offered == 0 || self.write_failed {
            self.flushing = false;
            return Offer::Nothing;
        }
        if self.refuses_writes() {
            // The application may have answered before it closed. The answer is read first.
            self.flushing = false;
            self.write_failed = true;
            self.readable = true;
            self.end_announced = true;
            return Offer::Failed;
        }
        let room = self.to_application.room().min(offered);
        if room == 0 {
            return Offer::Full;
        }
        Offer::Takes {
            len: self.link.writes.cut(room, rng),
            is_lost: self.application_closed,
        }
    }

    /// Writes bytes. Returns when the last of those that are now in flight arrives.
    pub(super) fn write(&mut self, now: Instant, bytes: Vec<u8>) -> Option<Instant> {
        self.to_application.send(now, bytes)
    }

    /// Whether a write fails, instead of taking bytes or waiting for room.
    fn refuses_writes(&self) -> bool {
        let is_unix = self.link.after_close == AfterClose::Fails;
        self.takes_nothing
            || self.was_reset
            || self.to_client.was_reset()
            || (self.application_closed && is_unix)
    }

    /// Reads once to `out`, whether bytes were announced or not.
    pub(super) fn read(&mut self, now: Instant, rng: &mut Rng, out: &mut Vec<u8>) -> Found {
        let buffer_len = self.link.reads.buffer_len(BUFFER_LEN, rng);
        self.read_some(now, buffer_len, buffer_len, out)
    }

    /// Reads once, as [`read`](Self::read), to a buffer of the driver's. A read brings less than there is only on a link
    /// where that proves nothing.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        buffer_len: usize,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Found {
        let most = match self.link.reads_until_blocked {
            true => self.link.reads.buffer_len(buffer_len, rng),
            false => buffer_len,
        };
        self.read_some(now, buffer_len, most, out)
    }

    fn read_some(
        &mut self,
        now: Instant,
        buffer_len: usize,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Found {
        self.to_client.arrive(now);
        if let Some(end) = self.to_client.ended() {
            return Found::End(end);
        }
        let available = self.to_client.unread_len();
        if available == 0 {
            self.readable = false;
            let is_over = self.write_failed;
            return Found::Nothing { is_over };
        }
        let len = available.min(most);
        let is_cut = self.end_announced || self.link.reads_until_blocked;
        let is_drained = len < buffer_len && !is_cut;
        self.readable = !is_drained;
        let arrival = self.to_client.read(now, len, out);
        Found::Some {
            len,
            available,
            buffer_len,
            is_drained,
            arrival,
        }
    }

    /// The client closes its socket. The application learns it after the bytes that were sent.
    pub(super) fn hang_up(&mut self, now: Instant) -> Option<Instant> {
        self.client_closed = true;
        self.flushing = false;
        self.to_application.finish(now, CloseKind::Fin)
    }

    /// Whether both ends are done with the connection.
    pub(super) fn is_over(&self) -> bool {
        self.client_closed && (self.application_closed || self.told_closed || !self.is_open)
    }
}

/// The application's end.
impl VirtualConnection {
    /// Makes unread what has arrived. The application starts to read.
    pub(super) fn arrive_at_application(&mut self, now: Instant) {
        self.to_application.arrive(now);
        self.discard_rest = false;
        self.put_back = 0;
    }

    /// Whether the application takes anything at all.
    pub(super) fn is_application_deaf(&self) -> bool {
        self.application_closed || self.takes_nothing
    }

    pub(super) fn is_application_reading(&self) -> bool {
        self.application_reads && !self.application_closed
    }

    /// Reads all that the application may read to `out`. Returns when the bytes arrive for which there is room now.
    pub(super) fn read_at_application(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Instant> {
        if !self.application_reads {
            return None;
        }
        let most = self.before_break(Towards::Application);
        self.to_application.read(now, most, out)
    }

    /// Hands the application one item of what was read. `input` moves past it.
    pub(super) fn hand_over(
        &mut self,
        number: usize,
        input: &mut &[u8],
        application: &mut dyn Application,
        replies: &mut Replies,
    ) {
        self.framing.read_item(number, input, application, replies);
    }

    /// Whether the application has asked to discard the rest of what it was reading. True once each time.
    pub(super) fn takes_no_rest(&mut self) -> bool {
        std::mem::take(&mut self.discard_rest)
    }

    /// The application has read this many bytes, and leaves the rest.
    pub(super) fn end_read(&mut self, read: usize, rest: &[u8]) {
        self.to_application.put_back(rest);
        self.put_back = rest.len();
        self.count(Towards::Application, read);
    }

    /// Drops what has arrived. Returns when the bytes arrive for which there is room now.
    pub(super) fn discard(&mut self, now: Instant) -> Option<Instant> {
        self.to_application.discard(now)
    }

    /// When a reset arrives at the client, because bytes have arrived at a socket that is closed.
    pub(super) fn send_reset_back(&mut self, now: Instant) -> Option<Instant> {
        let is_due = self.application_closed
            && self.to_application.unread_len() > 0
            && !self.client_closed
            && !std::mem::replace(&mut self.reset_is_due, true);
        is_due.then(|| later(now, self.link.latency))
    }

    /// Whether the client has waited for room to write, and there is room now.
    pub(super) fn can_flush(&self) -> bool {
        self.flushing && self.to_application.room() > 0
    }

    pub(super) fn has_application_closed(&self) -> bool {
        self.application_closed
    }

    /// Whether the application sees now that the client has closed. Not true twice.
    pub(super) fn show_end(&mut self) -> bool {
        let is_seen = self.application_reads && self.to_application.ended().is_some();
        is_seen && !std::mem::replace(&mut self.told_closed, true)
    }

    /// Carries out a reply. Returns when its effect arrives at the client, and when something arrives at the
    /// application.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        reply: Reply,
    ) -> (Option<Instant>, Option<Instant>) {
        match reply {
            Reply::Send(mut bytes) => {
                bytes.truncate(self.before_break(Towards::Client));
                self.count(Towards::Client, bytes.len());
                (self.to_client.send(now, bytes), None)
            }
            Reply::HalfClose => (self.to_client.finish(now, CloseKind::Fin), None),
            Reply::TakeNothing => {
                self.takes_nothing = true;
                (None, Some(now))
            }
            Reply::Close => {
                self.application_closed = true;
                (self.to_client.finish(now, CloseKind::Fin), Some(now))
            }
            Reply::Reset => {
                self.application_closed = true;
                (self.to_client.finish(now, CloseKind::Reset), Some(now))
            }
            Reply::Read(reads) => {
                let resumes = reads && !self.application_reads;
                self.application_reads = reads;
                (None, resumes.then_some(now))
            }
            Reply::Discard => {
                self.discard_rest = true;
                self.framing = Framing::default();
                let len = std::mem::take(&mut self.put_back);
                let arrival = self.to_application.read(now, len, &mut Vec::new());
                (None, arrival)
            }
            Reply::Wake(..) => (None, None),
        }
    }

    /// Ends the connection, if its link breaks at this byte. Returns how, and when the end arrives at the client.
    pub(super) fn break_if_due(&mut self, now: Instant) -> Option<(CloseKind, Option<Instant>)> {
        let own = self.link.breaks?;
        if !self.is_open || self.application_closed || self.passed < own.after {
            return None;
        }
        self.application_closed = true;
        self.told_closed = true;
        Some((own.end, self.to_client.finish(now, own.end)))
    }

    /// How many bytes can still pass before the link breaks.
    fn before_break(&self, towards: Towards) -> usize {
        match self.link.breaks {
            Some(own) if own.counts == towards => {
                usize::try_from(own.after.saturating_sub(self.passed)).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        }
    }

    fn count(&mut self, towards: Towards, len: usize) {
        if self.link.breaks.is_some_and(|own| own.counts == towards) {
            self.passed += len as u64;
        }
    }
}
