//! The phases of the client: running, stopping, stopped.

use super::time::Time;

#[derive(Debug)]
pub(super) struct Lifecycle {
    phase: Phase,
    /// Whether `settle` always runs: while the client stops, and when connections are opened in advance.
    always_settles: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping { deadline: Option<Time> },
    Stopped,
}

impl Lifecycle {
    pub(super) fn new(opens_in_advance: bool) -> Self {
        Self {
            phase: Phase::Running,
            always_settles: opens_in_advance,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether the client is stopping and has not stopped yet.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. })
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// When the remaining requests fail.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Stopping { deadline } => deadline,
            Phase::Running | Phase::Stopped => None,
        }
    }

    pub(super) fn always_settles(&self) -> bool {
        self.always_settles
    }

    pub(super) fn set_opens_in_advance(&mut self, opens_in_advance: bool) {
        self.always_settles = opens_in_advance || !self.is_running();
    }

    /// Begins to stop. A later call changes the deadline.
    pub(super) fn stop(&mut self, deadline: Option<Time>) {
        self.phase = Phase::Stopping { deadline };
        self.always_settles = true;
    }

    /// The client has stopped, and that was reported.
    pub(super) fn stopped(&mut self) {
        self.phase = Phase::Stopped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_looks_at_the_pool_where_connections_are_opened_beforehand_or_it_stops() {
        assert!(Lifecycle::new(true).always_settles());
        let mut lifecycle = Lifecycle::new(false);
        assert!(!lifecycle.always_settles());
        lifecycle.set_opens_in_advance(true);
        assert!(lifecycle.always_settles());
        lifecycle.set_opens_in_advance(false);
        assert!(!lifecycle.always_settles());
        lifecycle.stop(None);
        lifecycle.set_opens_in_advance(false);
        assert!(lifecycle.always_settles());
    }
}
