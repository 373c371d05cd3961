//! Outputs that wait to be taken: events for the embedder, actions for the driver.

use std::collections::VecDeque;

use super::action::Action;
use super::close_reason::CloseReason;
use super::raw_event::RawEvent;
use crate::event::ConnectionHandle;
use crate::server::ServerId;

#[derive(Debug, Default)]
pub(super) struct Pending {
    events: VecDeque<RawEvent>,
    actions: VecDeque<Action>,
}

impl Pending {
    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    pub(super) fn event(&mut self, event: RawEvent) {
        self.events.push_back(event);
    }

    pub(super) fn take_event(&mut self) -> Option<RawEvent> {
        self.events.pop_front()
    }

    pub(super) fn take_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn connect(&mut self, connection: ConnectionHandle, server: ServerId) {
        self.actions
            .push_back(Action::Connect { connection, server });
    }

    pub(super) fn close(&mut self, connection: ConnectionHandle, reason: CloseReason) {
        self.actions.push_back(Action::Close { connection, reason });
    }

    #[inline]
    pub(super) fn flush(&mut self, connection: ConnectionHandle) {
        self.actions.push_back(Action::Flush { connection });
    }

    pub(super) fn read(&mut self, connection: ConnectionHandle) {
        self.actions.push_back(Action::Read { connection });
    }
}
