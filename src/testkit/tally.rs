//! How often each fault has happened.

use super::link::CloseKind;
use super::server::Connect;

/// How often each fault has happened on a [`Network`](super::Network).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Connects refused.
    pub refused_connects: u64,
    /// Connects that have neither succeeded nor failed.
    pub hanging_connects: u64,
    /// Connects that succeeded late.
    pub late_connects: u64,
    /// Connects that found the backlog full.
    pub full_backlogs: u64,
    /// Connects that failed for want of a descriptor, a port or memory on this side.
    pub shortages: u64,
    /// Reads that returned fewer bytes than there were.
    pub short_reads: u64,
    /// Reads that returned all bytes there were and filled their buffer exactly.
    pub exact_reads: u64,
    /// Reads that found no byte.
    pub empty_reads: u64,
    /// Writes that took fewer bytes than were offered.
    pub short_writes: u64,
    /// Writes that took no byte, because the link was full.
    pub full_links: u64,
    /// Writes that were taken and lost, because the application had closed the connection.
    pub lost_writes: u64,
    /// Connections on which a write failed, because the application had closed them.
    pub failed_writes: u64,
    /// Connections that were read, after a write had failed, until nothing was left.
    pub spent_after_failures: u64,
    /// Connections whose end the client has read, by a reset or not.
    pub ends: u64,
    /// Connections whose end the client has read as a reset.
    pub resets: u64,
    /// Connections ended by their link's `Break`.
    pub breaks: u64,
    /// Connections that the client has closed with bytes unread, announced or not.
    pub closed_unread: u64,
    /// How often the client's process was stopped.
    pub hold_ups: u64,
    /// Calls that a signal interrupted.
    pub interrupted_calls: u64,
    /// Events without a cause.
    pub spurious_events: u64,
    /// Events that were joined with one that the client had not taken yet.
    pub merged_events: u64,
    /// Events that the client did not take, because it took few at a time.
    pub events_left: u64,
    /// Events that the driver was told of after it had closed their socket.
    pub late_events: u64,
    /// Late events whose token was another socket's by then.
    pub misleading_events: u64,
    /// Urgent bytes, after which reads bring less than there is.
    pub urgent_bytes: u64,
    /// Connects that were refused at once.
    pub refused_at_once: u64,
    /// Reads that brought bytes after a write had failed.
    pub answers_after_failures: u64,
}

impl Tally {
    pub(super) fn connect(&mut self, decision: Connect) {
        let count = match decision {
            Connect::Accept => return,
            Connect::AcceptAfter(_) => &mut self.late_connects,
            Connect::Refuse(_) => &mut self.refused_connects,
            Connect::Hang => &mut self.hanging_connects,
            Connect::BacklogFull => &mut self.full_backlogs,
            Connect::Shortage(_) => &mut self.shortages,
        };
        *count += 1;
    }

    /// A read of `len` of the `available` bytes, to a buffer of `buffer_len`.
    pub(super) fn read(&mut self, len: usize, available: usize, buffer_len: usize) {
        self.short_reads += u64::from(len < available);
        self.exact_reads += u64::from(len == available && len == buffer_len);
    }

    /// A read that found no byte. `is_over`: none will come, because a write has failed.
    pub(super) fn empty_read(&mut self, is_over: bool) {
        self.empty_reads += 1;
        self.spent_after_failures += u64::from(is_over);
    }

    /// A write that took `len` of the bytes `offered`.
    pub(super) fn write(&mut self, len: usize, offered: usize, is_lost: bool) {
        self.short_writes += u64::from(len < offered);
        self.lost_writes += u64::from(is_lost);
    }

    pub(super) fn full_link(&mut self) {
        self.full_links += 1;
    }

    pub(super) fn failed_write(&mut self) {
        self.failed_writes += 1;
    }

    /// The client has seen the end of a connection.
    pub(super) fn end(&mut self, end: CloseKind) {
        self.ends += 1;
        self.resets += u64::from(end == CloseKind::Reset);
    }

    /// A link has broken.
    pub(super) fn broken(&mut self) {
        self.breaks += 1;
    }

    /// The client has closed a connection.
    pub(super) fn closed(&mut self, is_unread: bool) {
        self.closed_unread += u64::from(is_unread);
    }

    pub(super) fn interrupted_call(&mut self) {
        self.interrupted_calls += 1;
    }

    pub(super) fn spurious_event(&mut self) {
        self.spurious_events += 1;
    }

    pub(super) fn merged_event(&mut self) {
        self.merged_events += 1;
    }

    pub(super) fn events_left(&mut self, count: usize) {
        self.events_left += count as u64;
    }

    pub(super) fn urgent_byte(&mut self) {
        self.urgent_bytes += 1;
    }

    pub(super) fn refused_at_once(&mut self) {
        self.refused_at_once += 1;
    }

    pub(super) fn answer_after_failure(&mut self) {
        self.answers_after_failures += 1;
    }

    /// An event of a socket that is closed. `is_other`: another socket has its token now.
    pub(super) fn late_event(&mut self, is_other: bool) {
        self.late_events += 1;
        self.misleading_events += u64::from(is_other);
    }

    pub(super) fn hold_up(&mut self) {
        self.hold_ups += 1;
    }
}
