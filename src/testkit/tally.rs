//! What the network has made of its chances.

use super::link::Connect;

/// How often a [`Network`](super::Network) has refused, delayed, cut and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Connects refused.
    pub refused_connects: u64,
    /// Connects that nothing came back for.
    pub hanging_connects: u64,
    /// Connects that succeeded late.
    pub late_connects: u64,
    /// Connects that found the backlog full.
    pub full_backlogs: u64,
    /// Reads that brought less than there was.
    pub short_reads: u64,
    /// Writes that took less than was offered.
    pub short_writes: u64,
    /// Writes that could take nothing.
    pub full_wires: u64,
    /// Connections on which a write failed, for the application had closed.
    pub failed_writes: u64,
    /// Connections that the client saw end, by a reset or not.
    pub ends: u64,
    /// Those by a reset.
    pub resets: u64,
    /// Connections ended by their wire's [`Break`](super::Break).
    pub breaks: u64,
}

impl Tally {
    pub(super) fn connect(&mut self, decision: Connect) {
        let count = match decision {
            Connect::Accept => return,
            Connect::AcceptAfter(_) => &mut self.late_connects,
            Connect::Refuse(_) => &mut self.refused_connects,
            Connect::Hang => &mut self.hanging_connects,
            Connect::BacklogFull => &mut self.full_backlogs,
        };
        *count += 1;
    }
}
