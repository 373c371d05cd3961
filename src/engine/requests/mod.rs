//! The requests: state machines in their places, from `submit` to `End`, and the queue of waiting requests.
//!
//! This module knows neither the pool nor connections. It owns the parts of a request ([`request`]): its body
//! ([`upload`], [`source`]), its output ([`output`]), its attempts ([`attempts`]) and its clock ([`clock`]). A request ends
//! through [`finish`](Requests::finish), which makes its `End` and removes it, or through [`abandon`](Requests::abandon),
//! which leaves it on its connection until the application has ended it, and then [`remove`](Requests::remove).

mod assignment;
mod attempts;
mod clock;
#[cfg(feature = "testkit")]
mod inside;
#[cfg(debug_assertions)]
mod invariants;
mod kept;
mod length;
mod limits;
mod listing;
mod output;
mod output_buffer;
mod params_pool;
mod places;
mod pushed;
mod queue;
mod reports;
mod request;
mod source;
mod state;
mod upload;

pub(super) use assignment::Assignment;
pub(super) use attempts::LossCause;
pub(super) use clock::{Due, DueKind, Progress};
pub(super) use kept::Kept;
pub(super) use length::{Checked, Length};
pub(super) use output::{OutputKind, OutputWeight};
pub(super) use queue::Line;
pub(super) use request::Request;
pub(super) use source::Ready;
pub(super) use state::{Input, State, Step};
pub(super) use upload::BodySlice;
#[cfg(test)]
pub(super) use upload::Stream;

use log::debug;
use std::ops::{Index, IndexMut};

use super::stats::Counts;
use super::time::Time;
use crate::engine::RawEvent;
use crate::error::{BodyError, Failure, StdinError};
use crate::event::{Event, EventKind, Outcome, RequestHandle, Tag};
use crate::params::Params;
use crate::request::Request as Submitted;
use crate::server::ServerId;
use crate::timeouts::Timeouts;
use kept::{KeptBytes, Notice, Notices};
use limits::LimitsTable;
use output_buffer::Taken;
use params_pool::ParamsPool;
use places::Places;
use queue::Queue;

pub(super) struct Requests {
    places: Places,
    queue: Queue,
    /// Notices for embedders, apart from the events that are parsed from bytes.
    notices: Notices,
    time_limits: LimitsTable,
    params_pool: ParamsPool,
    next_generation: u32,
    /// The output buffered for paused requests.
    kept: KeptBytes,
    counts: Counts,
}

impl Requests {
    pub(super) fn new(max_queued: usize, max_kept: usize, timeouts: Timeouts) -> Self {
        Self {
            places: Places::default(),
            queue: Queue::new(max_queued),
            notices: Notices::default(),
            time_limits: LimitsTable::new(timeouts),
            params_pool: ParamsPool::default(),
            next_generation: 0,
            kept: KeptBytes::new(max_kept),
            counts: Counts::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Request)> + Clone + '_ {
        self.places.iter()
    }

    pub(super) fn get(&self, key: u32) -> Option<&Request> {
        self.places.get(key)
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut Request> {
        self.places.get_mut(key)
    }

    /// Like [`of`](Self::of), to change it.
    pub(super) fn of_mut(&mut self, handle: RequestHandle) -> Option<&mut Request> {
        let request = self.places.get_mut(handle.index);
        request.filter(|it| it.is(handle))
    }

    /// The request with a handle, in any state. `None` when the handle is stale.
    pub(super) fn of(&self, handle: RequestHandle) -> Option<&Request> {
        let request = self.places.get(handle.index);
        request.filter(|it| it.is(handle))
    }

    /// The key of a request that has not reported its `End`.
    #[inline]
    pub(super) fn key(&self, handle: RequestHandle) -> Option<u32> {
        let request = self.places.get(handle.index)?;
        (request.is(handle) && !request.is_aborting()).then_some(handle.index)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    // --- adding ---

    /// Takes memory for the parameters of a new request from the pool, if there is some.
    pub(super) fn spare_params(&mut self) -> Option<Params> {
        self.params_pool.take()
    }

    /// Adds a checked request. Its state is Buffering or Queued, but it is not in the queue yet.
    #[inline]
    pub(super) fn add(
        &mut self,
        now: Time,
        tag: Tag,
        request: &mut Submitted,
        checked: Checked,
    ) -> u32 {
        if checked.buffering.is_some() {
            self.queue.expect_one();
        }
        let generation = self.generation();
        self.params_pool.note(request.params.own_len());
        let limits = self.time_limits.add(request.timeouts);
        let (key, place) = self.places.vacancy();
        place.fill(now, generation, tag, request, checked, limits);
        key
    }

    /// Adds a probe of a server, given by its slot and its ID.
    pub(super) fn add_probe(
        &mut self,
        now: Time,
        tag: Tag,
        server: (u16, ServerId),
        timeouts: Timeouts,
    ) -> u32 {
        let generation = self.generation();
        let limits = self.time_limits.add(Some(timeouts));
        let (key, place) = self.places.vacancy();
        place.fill_with_probe(now, generation, tag, server, limits);
        key
    }

    /// Counts a request and returns the generation of its handle, which is not 0: that is a vacant place.
    fn generation(&mut self) -> u32 {
        self.counts.submitted += 1;
        self.next_generation = self.next_generation.wrapping_add(1).max(1);
        self.next_generation
    }

    /// The number of requests that have ended with a failure.
    pub(super) fn failed(&self) -> u64 {
        self.counts.failed
    }

    // --- queueing ---

    /// The queue, in the order in which it is served.
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Appends a request to its line of the queue.
    pub(super) fn enqueue(&mut self, key: u32) {
        let line = self[key].pinned().map_or(Line::Usual, Line::Pinned);
        self.queue.push_back(key, line);
    }

    /// Puts a probe in front of the requests that name its server, which is in this slot.
    pub(super) fn enqueue_first(&mut self, key: u32, slot: u16) {
        self.queue.push_front(key, Line::Pinned(slot));
    }

    /// Removes a request that is in the queue.
    #[inline]
    pub(super) fn dequeue(&mut self, key: u32) {
        self.queue.remove(key);
    }

    /// Lets the requests that exceed a lowered limit stay in the queue.
    pub(super) fn keep_waiting(&mut self, expected: usize, limit: usize) {
        self.queue.set_ceiling(expected, limit);
    }

    /// Whether more requests wait than allowed. If requests above a lowered limit have left, they may not be replaced.
    pub(super) fn exceeds_ceiling(&mut self, expected: usize, limit: usize) -> bool {
        self.queue.exceeds_ceiling(expected, limit)
    }

    /// Puts a request that will be sent again back into the queue. It may not replace one that waited above a lowered
    /// limit.
    pub(super) fn requeue(&mut self, key: u32, failed: Failure, expected: usize, limit: usize) {
        self.queue.exceeds_ceiling(expected, limit);
        let request = self.places.at_mut(key);
        request.attempts_mut().note_retry(failed);
        let retry = request.attempts().retries();
        self.counts.retries += 1;
        let line = self[key].pinned().map_or(Line::Urgent, Line::Pinned);
        self.queue.push_ahead(key, line);
        debug!("request {key}: to be sent again, retry {retry}");
    }

    // --- sending ---

    /// A request begins on a connection; `is_reused` is whether the connection had served before.
    #[inline]
    pub(super) fn begin(&mut self, key: u32, is_reused: bool) -> &mut Request {
        self.counts.reused += u64::from(is_reused);
        self.places.at_mut(key)
    }

    /// Resets a request whose connection was lost, or that was rejected, for another attempt. False when its body
    /// cannot be rewound. `next_serial` is set after a loss: the next connection must have this serial number or a
    /// higher one.
    pub(super) fn retry(
        &mut self,
        now: Time,
        key: u32,
        transmitted: u64,
        next_serial: Option<u64>,
    ) -> bool {
        let request = self.places.at_mut(key);
        let delivery = request.delivery_of_attempt(transmitted);
        if !request.retry(now) {
            return false;
        }
        if let Some(next_serial) = next_serial {
            request.attempts_mut().note_lost(delivery, next_serial);
        }
        true
    }

    /// The bytes of a body slice in an outbox.
    #[inline]
    pub(super) fn body(&self, slice: BodySlice) -> &[u8] {
        // A slice is copied before its request is removed, so the key is never that of another request.
        match self.places.get(slice.request) {
            Some(request) => request.upload().bytes(slice),
            None => &[],
        }
    }

    /// Bytes of a body slice were sent.
    #[inline]
    pub(super) fn release_body(&mut self, slice: BodySlice, half: usize) {
        if let Some(request) = self.places.get_mut(slice.request) {
            if let Some(source) = request.upload_mut().source(slice.stream) {
                source.release(slice.len);
            }
            self.notify_stdin_ready(slice.request, half);
        }
    }

    /// Notifies the embedder, once, that a pushed body takes more bytes, if at most `half` bytes of it are unsent.
    #[inline]
    pub(super) fn notify_stdin_ready(&mut self, key: u32, half: usize) {
        let request = self.places.at_mut(key);
        if request.upload_mut().take_stdin_ready(half) {
            self.notices.add(Notice::StdinReady(request.handle(key)));
        }
    }

    /// The embedder has finished a pushed body. If bytes of the declared length are missing, returns them as an error
    /// in `Ok` and changes nothing.
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`].
    pub(super) fn finish_body(
        &mut self,
        now: Time,
        key: u32,
    ) -> Result<Option<BodyError>, StdinError> {
        let request = self.places.at_mut(key);
        request.upload().check_open()?;
        if request.state() == State::Draining {
            return Err(StdinError::Gone);
        }
        if let Some(shortfall) = request.upload().shortfall() {
            return Ok(Some(shortfall));
        }
        request.upload_mut().finish();
        if let State::Buffering { .. } = request.state() {
            let len = request.upload_mut().fix_length();
            length::push_length(request.params_mut(), "CONTENT_LENGTH", len);
            request.body_complete(now);
            self.queue.expect_one_less();
            self.enqueue(key);
        }
        Ok(None)
    }

    // --- output ---

    /// Bytes of output buffered for paused requests.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Buffers a piece of output. Returns the bytes added, and all bytes buffered for the request.
    pub(super) fn keep(&mut self, key: u32, kind: OutputKind, data: &[u8]) -> (usize, usize) {
        let (more, in_all) = self.places.at_mut(key).output_mut().keep(kind, data);
        self.kept.add(more);
        (more, in_all)
    }

    /// Ends the pause of a request. Returns false when it was not paused.
    pub(super) fn resume(&mut self, now: Time, key: u32) -> bool {
        let request = self.places.at_mut(key);
        if !request.output_mut().set_paused(false) {
            return false;
        }
        request.clock_mut().note_pause_changed(now);
        if request.output().has_buffer() {
            self.notices.add(Notice::Output(request.handle(key)));
        }
        true
    }

    /// Whether there are notices for the embedder.
    pub(super) fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// The next notice for the embedder. Output is copied to the front of `scratch`.
    ///
    /// # Panics
    /// When `scratch` is empty and a piece of output is next.
    pub(super) fn take_notice(&mut self, scratch: &mut [u8]) -> Option<Kept> {
        while let Some(notice) = self.notices.take() {
            let (Notice::StdinReady(handle) | Notice::Output(handle)) = notice;
            let Some(key) = self.key(handle) else {
                continue;
            };
            let request = self.places.at_mut(key);
            if let Notice::StdinReady(_) = notice {
                if request.upload().is_finished() {
                    continue;
                }
                return Some(Kept::StdinReady(key));
            }
            if request.output().is_paused() {
                continue;
            }
            let before = request.output().buffered();
            let taken = request.output_mut().take(scratch);
            let left = request.output().buffered();
            let less = before - left;
            let (kind, len) = match taken {
                Taken::Stdout(len) => (OutputKind::Stdout, len),
                Taken::Stderr(len) => (OutputKind::Stderr, len),
                Taken::StdoutEnd => {
                    self.notices.add(notice);
                    return Some(Kept::StdoutEnd(key));
                }
                Taken::Nothing => match request.output_mut().close_buffer() {
                    Some(outcome) => {
                        debug_assert_eq!(request.state().step(Input::Taken), Step::End);
                        return Some(Kept::Outcome(key, outcome));
                    }
                    None => continue,
                },
            };
            self.notices.add(notice);
            self.kept.remove(less);
            return Some(Kept::Output {
                key,
                kind,
                len,
                less,
                left,
            });
        }
        None
    }

    pub(super) fn has_fallen_below(&self) -> bool {
        self.kept.has_fallen_below()
    }

    /// Whether the buffered output has fallen below its limit since this was last taken.
    pub(super) fn take_fallen_below(&mut self) -> bool {
        self.kept.take_fallen_below()
    }

    /// Ends a request that is on no connection. Returns `None` while buffered output has to be taken first; its `End`
    /// follows after that. A request that is ended a second time meanwhile ends at once.
    #[inline(always)]
    pub(super) fn finish(&mut self, key: u32, outcome: Outcome) -> Option<RawEvent> {
        let request = self.places.at_mut(key);
        if request.output().is_unread() && request.state() != State::Draining {
            request.drain();
            request.output_mut().keep_outcome(outcome);
            return None;
        }
        let event = end(&mut self.counts, key, request, outcome);
        self.remove(key);
        Some(event)
    }

    /// Ends a request at once and leaves it on its connection until the application has ended it.
    pub(super) fn abandon(&mut self, now: Time, key: u32, failure: Failure) -> RawEvent {
        let request = self.places.at_mut(key);
        let event = end(&mut self.counts, key, request, Err(failure));
        let buffered = request.output().buffered();
        request.output_mut().discard();
        request.abandon(now);
        self.kept.remove(buffered);
        event
    }

    /// Removes a request that has reported its `End`, and keeps its memory for the next one.
    #[inline]
    pub(super) fn remove(&mut self, key: u32) {
        let request = self.places.at_mut(key);
        if let State::Buffering { .. } = request.state() {
            self.queue.expect_one_less();
        }
        let buffered = request.output().buffered();
        self.params_pool.give_back(request.params_mut());
        self.time_limits.remove(request.time_limits());
        self.places.vacate(key);
        self.kept.remove(buffered);
    }
}

/// The only function that makes an `End`.
#[inline]
fn end(counts: &mut Counts, key: u32, request: &Request, outcome: Outcome) -> RawEvent {
    let tag = request.tag();
    match &outcome {
        Ok(completion) => {
            counts.completed += 1;
            let report = &completion.report;
            debug!("request {key}, tag {}: complete; {report}", tag.0);
        }
        Err(failure) => {
            counts.failed += 1;
            let report = &failure.report;
            debug!("request {key}, tag {}: {failure}; {report}", tag.0);
        }
    }
    Event::new(request.handle(key), tag, EventKind::End(outcome))
}

impl Index<u32> for Requests {
    type Output = Request;

    #[inline]
    fn index(&self, key: u32) -> &Request {
        self.places.at(key)
    }
}

impl IndexMut<u32> for Requests {
    #[inline]
    fn index_mut(&mut self, key: u32) -> &mut Request {
        self.places.at_mut(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_not_fallen_below_its_limit_unless_it_was_above() {
        let mut requests = Requests::new(1, 1, Timeouts::NONE);
        assert!(!requests.has_fallen_below() && !requests.take_fallen_below());
    }
}
