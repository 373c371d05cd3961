//! A request as an item of a list, for the embedder, and its figures until now.

use super::clock::Progress;
use super::request::Request;
use super::state::State;
use crate::engine::listing::{RequestInfo, RequestState};
use crate::engine::time::Time;
use crate::error::Phase;
use crate::report::Report;

impl Request {
    /// The item; `progress` is that of the request's connection, if it has one.
    // `inline` in this file keeps it out of the compiled library until it is used. Compiled beside the other methods of
    // a request, it changes what is inlined there, which costs each request 13 instructions.
    #[inline]
    pub(crate) fn info(&self, now: Time, key: u32, progress: Option<Progress>) -> RequestInfo {
        let transmitted = progress.map_or(0, |it| it.transmitted);
        let state = self.listed_state(transmitted);
        let is_unsent = self.upload().is_unsent(transmitted);
        let last_sent = progress.filter(|_| state == RequestState::Sending && is_unsent);
        let report = self.report_until(now, transmitted);
        let age = report.timings.total();
        let mut entered = self.clock().entered(state);
        if let State::Aborting { since, .. } = self.state() {
            entered = since;
        }
        let last = self.clock().last_event().max(entered);
        let last = last_sent.map_or(last, |it| last.max(it.last_activity));
        let mut time_in_state = now.saturating_duration_since(entered);
        let mut since_progress = now.saturating_duration_since(last);
        if let Some(ended) = self.output().ended_report() {
            time_in_state = age.saturating_sub(ended.timings.total());
            since_progress = since_progress.min(time_in_state);
        }
        RequestInfo {
            request: self.handle(key),
            tag: self.tag(),
            state,
            time_in_state,
            since_progress,
            connection: self.connection(),
            is_paused: self.output().is_paused(),
            bytes_buffered: self.output().buffered(),
            awaits_body: match state {
                RequestState::Buffering => true,
                RequestState::Sending => !is_unsent,
                _ => false,
            },
            is_probe: self.is_probe(),
            connect_error: self.attempts().refused(),
            report,
        }
    }

    /// The figures until now. If the request has ended and its output is left, all but the total time are those of its
    /// end.
    #[inline]
    pub(super) fn report_until(&self, now: Time, transmitted: u64) -> Report {
        let mut report = self.report(now, transmitted);
        if let Some(ended) = self.output().ended_report() {
            let total = report.timings.total;
            report = *ended;
            report.timings.total = total;
        }
        report
    }

    #[inline]
    fn listed_state(&self, transmitted: u64) -> RequestState {
        match self.state() {
            State::Buffering { .. } => RequestState::Buffering,
            State::Queued => RequestState::Queued,
            State::Draining => RequestState::Draining,
            State::Aborting { .. } => RequestState::Aborting,
            State::Active { .. } => match self.phase(transmitted) {
                Phase::Receiving => RequestState::Receiving,
                Phase::Sent => RequestState::Sent,
                _ => RequestState::Sending,
            },
        }
    }

    /// When the last record of the response arrived.
    #[inline]
    pub(crate) fn last_received(&self) -> Option<Time> {
        self.clock().last_byte()
    }
}
