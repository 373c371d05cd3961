//! The requests: a slab of state machines, from `submit` to `End`, and the queue of those that wait.
//!
//! This room knows neither the pool nor a connection. It owns what a request is made of ([`request`]): its body
//! ([`upload`], [`source`]), its output ([`output`]), its attempts ([`attempts`]) and its clock ([`clock`]). A request
//! leaves by one of three verbs: [`finish`](Requests::finish) makes its `End`, [`abandon`](Requests::abandon) does so
//! and leaves the request on its connection until the application has ended it, [`remove`](Requests::remove) takes
//! away one whose `End` is out.

mod attempts;
mod clock;
mod length;
mod output;
mod output_buffer;
mod queue;
mod request;
mod source;
mod upload;

pub(super) use attempts::LossCause;
pub(super) use clock::{Due, DueKind, Progress};
pub(super) use length::Length;
pub(super) use output::{OutputKind, OutputWeight};
pub(super) use queue::Line;
pub(super) use request::{Assignment, Input, Request, State, Step};
pub(super) use source::{Ready, Source};
pub(super) use upload::BodySlice;
#[cfg(test)]
pub(super) use upload::Stream;

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use log::debug;
use slab::Slab;

use super::time::Time;
use crate::config::Timeouts;
use crate::error::{BodyError, ConnectError, Failure, StdinError};
use crate::event::{Event, Outcome, RequestHandle, Tag};
use crate::params::Params;
use crate::request::{Request as Submitted, Retry};
use crate::wire::Role;
use output_buffer::Taken;
use queue::Queue;
use request::Parts;
use upload::Upload;

pub(super) struct Requests {
    slab: Slab<Request>,
    queue: Queue,
    /// What embedders are to be told of requests, beside what comes out of bytes that were read.
    notices: VecDeque<Notice>,
    /// Parameter buffers for the next requests.
    params_pool: Vec<Params>,
    next_generation: u32,
    /// Requests whose body is being collected: they will be in the queue.
    buffering: usize,
    /// The most requests that may wait: the limit, or as many as waited when it was lowered.
    queue_ceiling: usize,
    /// Bytes of output kept for paused requests.
    buffered: usize,
    /// Above this, connections with such output are not read.
    max_buffered: usize,
    /// `buffered` has fallen below the limit since that was last asked.
    has_fallen_below: bool,
    counts: Counts,
}

/// Requests since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) submitted: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) retries: u64,
    pub(super) reused: u64,
}

/// Parameter buffers that are kept, and the largest that is: 16 MiB at most.
const MAX_PARAMS_KEPT: usize = 1024;
const MAX_PARAMS_KEPT_LEN: usize = 16 * 1024;

/// What the embedder is to be told of a request.
#[derive(Clone, Copy, Debug)]
enum Notice {
    /// There is room for more of its pushed body.
    Room(RequestHandle),
    /// It is no longer paused, and output was kept for it.
    Output(RequestHandle),
}

/// What has come of asking for what was kept or is to be told.
#[derive(Debug)]
pub(super) enum Kept {
    /// Bytes of output, at the front of the buffer.
    Output {
        key: u32,
        kind: OutputKind,
        len: usize,
        /// Bytes that are kept less, and still kept.
        less: usize,
        left: usize,
    },
    StdoutEnd(u32),
    /// All output was taken, and the outcome waited behind it.
    Outcome(u32, Outcome),
    /// There is room for more of a pushed body.
    Room(u32),
}

impl Kept {
    /// The request that it is about.
    pub(super) fn key(&self) -> u32 {
        match self {
            Self::Output { key, .. }
            | Self::StdoutEnd(key)
            | Self::Outcome(key, _)
            | Self::Room(key) => *key,
        }
    }
}

impl Requests {
    pub(super) fn new(max_queue: usize, max_buffered: usize) -> Self {
        Self {
            slab: Slab::new(),
            queue: Queue::default(),
            notices: VecDeque::new(),
            params_pool: Vec::new(),
            next_generation: 0,
            buffering: 0,
            queue_ceiling: max_queue,
            buffered: 0,
            max_buffered,
            has_fallen_below: false,
            counts: Counts::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Request)> + Clone + '_ {
        self.slab.iter().map(|(key, request)| (key as u32, request))
    }

    pub(super) fn contains(&self, key: u32) -> bool {
        self.slab.contains(key as usize)
    }

    #[inline]
    pub(super) fn get(&self, key: u32) -> Option<&Request> {
        self.slab.get(key as usize)
    }

    /// The request that a handle names, on whatever way it is.
    #[inline]
    pub(super) fn of_mut(&mut self, handle: RequestHandle) -> Option<&mut Request> {
        self.slab
            .get_mut(handle.index as usize)
            .filter(|it| it.is(handle))
    }

    /// The key of a request whose `End` is not out.
    #[inline]
    pub(super) fn key(&self, handle: RequestHandle) -> Option<u32> {
        let request = self.slab.get(handle.index as usize)?;
        (request.is(handle) && !request.is_aborting()).then_some(handle.index)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    // --- they come ---

    /// Memory for the parameters of the next request, where there is some.
    pub(super) fn spare_params(&mut self) -> Option<Params> {
        self.params_pool.pop()
    }

    /// Adds a request that was checked. It is queued, but not in the queue, or its body is to be collected.
    #[inline]
    pub(super) fn add(
        &mut self,
        now: Time,
        tag: Tag,
        request: Submitted,
        checked: Checked,
        timeouts: Timeouts,
    ) -> u32 {
        let retry = request.effective_retry();
        let (stdin_origin, data_origin) = checked.origins;
        let stdin = Source::new(request.body, checked.lens.0, stdin_origin);
        let data = (request.role == Role::Filter)
            .then(|| Box::new(Source::new(request.data, checked.lens.1, data_origin)));
        let generation = self.generation();
        self.buffering += usize::from(checked.buffering.is_some());
        self.insert(
            now,
            Parts {
                generation,
                tag,
                role: request.role,
                params: request.params,
                upload: Upload::new(stdin, data),
                retry,
                timeouts: request.timeouts.unwrap_or(timeouts),
                probed: None,
                buffering: checked.buffering,
            },
        )
    }

    /// Adds a question to a server.
    pub(super) fn add_probe(
        &mut self,
        now: Time,
        tag: Tag,
        server: u16,
        timeouts: Timeouts,
    ) -> u32 {
        let generation = self.generation();
        let params = self.spare_params().unwrap_or_default();
        self.insert(
            now,
            Parts {
                generation,
                tag,
                role: Role::Responder,
                params,
                upload: Upload::new(Source::empty(), None),
                retry: Retry::Never,
                timeouts,
                probed: Some(server),
                buffering: None,
            },
        )
    }

    #[inline]
    fn insert(&mut self, now: Time, parts: Parts) -> u32 {
        self.counts.submitted += 1;
        self.slab.insert(Request::new(now, parts)) as u32
    }

    fn generation(&mut self) -> u32 {
        self.next_generation = self.next_generation.wrapping_add(1);
        self.next_generation
    }

    // --- they wait ---

    #[inline]
    pub(super) fn is_queue_empty(&self) -> bool {
        self.queue.is_empty()
    }

    #[inline]
    pub(super) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    #[inline]
    pub(super) fn queue_len_of(&self, line: Line) -> usize {
        self.queue.len_of(line)
    }

    /// The first request in the queue.
    pub(super) fn first_queued(&self) -> Option<u32> {
        self.queue.first()
    }

    /// The request in the queue after another one that is in it.
    pub(super) fn next_queued(&self, key: u32) -> Option<u32> {
        self.queue.after(key)
    }

    #[inline]
    pub(super) fn first_in_line(&self, line: Line) -> Option<u32> {
        self.queue.first_of(line)
    }

    pub(super) fn next_in_line(&self, key: u32) -> Option<u32> {
        self.queue.after_in_line(key)
    }

    pub(super) fn last_queued(&self) -> Option<u32> {
        self.queue.last()
    }

    /// Appends a request to the queue.
    pub(super) fn enqueue(&mut self, key: u32) {
        self.queue.push_back(key);
    }

    /// Puts a request in front of the queue.
    pub(super) fn enqueue_first(&mut self, key: u32) {
        self.queue.push_front(key);
    }

    /// Takes a request out of the queue that is in it.
    #[inline]
    pub(super) fn dequeue(&mut self, key: u32) {
        self.queue.remove(key);
    }

    /// Requests that wait: those in the queue for which nothing is expected, and those whose body is being collected.
    #[inline]
    pub(super) fn waiting(&self, expected: usize) -> usize {
        self.queue.len().saturating_sub(expected) + self.buffering
    }

    /// The same with one more request in the queue.
    #[inline]
    pub(super) fn waiting_with_one_more(&self, expected: usize) -> usize {
        (self.queue.len() + 1).saturating_sub(expected) + self.buffering
    }

    /// What waits above a limit that was lowered may wait on.
    pub(super) fn keep_waiting(&mut self, expected: usize, limit: usize) {
        self.queue_ceiling = limit.max(self.waiting(expected));
    }

    /// Whether more requests wait than may. What waited above a lowered limit may have left: then it was lowered for good.
    pub(super) fn exceeds_ceiling(&mut self, expected: usize, limit: usize) -> bool {
        let waiting = self.waiting(expected);
        self.queue_ceiling = self.queue_ceiling.min(waiting).max(limit);
        waiting > self.queue_ceiling
    }

    /// Puts a request back that is to be sent again. It takes no more the place of one that waited above a lowered limit.
    pub(super) fn requeue(&mut self, key: u32, failed: Failure, expected: usize, limit: usize) {
        self.exceeds_ceiling(expected, limit);
        let request = &mut self.slab[key as usize];
        request.attempts_mut().note_retry(failed);
        let retry = request.attempts().retries();
        self.counts.retries += 1;
        self.queue.push_front(key);
        debug!("request {key}: to be sent again, retry {retry}");
    }

    /// How the attempt before has ended of a request that is not sent again after all.
    pub(super) fn take_failed(&mut self, key: u32) -> Option<Box<Failure>> {
        self.slab[key as usize].attempts_mut().take_failed()
    }

    // --- they are sent ---

    /// A request gets its connection.
    #[inline]
    pub(super) fn assign(&mut self, now: Time, key: u32, to: Assignment) {
        self.counts.reused += u64::from(to.is_reused);
        self.slab[key as usize].assign(now, to);
    }

    /// Forgets the attempt of a request whose connection was lost, or that was rejected; false when its body cannot be
    /// rewound. From `next_serial` on a connection is good enough, where this one was lost.
    pub(super) fn retry(
        &mut self,
        now: Time,
        key: u32,
        transmitted: u64,
        next_serial: Option<u64>,
    ) -> bool {
        let request = &mut self.slab[key as usize];
        let delivery = request.delivery_of_attempt(transmitted);
        if !request.retry(now) {
            return false;
        }
        if let Some(next_serial) = next_serial {
            request.attempts_mut().note_lost(delivery, next_serial);
        }
        true
    }

    /// The bytes that stand in an outbox.
    #[inline]
    pub(super) fn body(&self, slice: BodySlice) -> &[u8] {
        // A slice is copied before its request goes, so the key is never another's.
        match self.slab.get(slice.request as usize) {
            Some(request) => request.upload().bytes(slice),
            None => &[],
        }
    }

    /// Bytes that stood in an outbox have left.
    #[inline]
    pub(super) fn release_body(&mut self, slice: BodySlice, half: usize) {
        if let Some(request) = self.slab.get_mut(slice.request as usize) {
            if let Some(source) = request.upload_mut().source(slice.stream) {
                source.release(slice.len);
            }
            self.notify_room(slice.request, half);
        }
    }

    /// Tells the embedder, once, that its pushed body has room again, if at most `half` bytes are left of it.
    #[inline]
    pub(super) fn notify_room(&mut self, key: u32, half: usize) {
        let request = &mut self.slab[key as usize];
        if request.upload_mut().take_room(half) {
            self.notices.push_back(Notice::Room(request.handle(key)));
        }
    }

    /// Takes bytes of a pushed body.
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`], [`StdinError::TooLong`],
    /// [`StdinError::BodyTooLarge`].
    pub(super) fn push(
        &mut self,
        key: u32,
        bytes: &[u8],
        high_water: usize,
    ) -> Result<usize, StdinError> {
        let request = &mut self.slab[key as usize];
        let (high_water, max_len) = match request.state() {
            State::Buffering { limit } => (limit, Some(limit)),
            // Everything was checked that says more than this.
            State::Draining => {
                request.upload().check_open()?;
                return Err(StdinError::Gone);
            }
            State::Queued | State::Active { .. } | State::Aborting { .. } => (high_water, None),
        };
        request.upload_mut().push(bytes, high_water, max_len)
    }

    /// The embedder has pushed a whole body. `Ok` with what is missing of the declared length, if something is: then
    /// nothing has changed.
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`].
    pub(super) fn finish_body(
        &mut self,
        now: Time,
        key: u32,
    ) -> Result<Option<BodyError>, StdinError> {
        let request = &mut self.slab[key as usize];
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
            self.buffering -= 1;
            self.queue.push_back(key);
        }
        Ok(None)
    }

    // --- their output ---

    /// Bytes of output kept for paused requests.
    #[inline]
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Output has come. `None` when it was kept (see [`keep`](Self::keep)); else whether it is the first of anything.
    #[inline]
    pub(super) fn note_output(&mut self, now: Time, key: u32, len: usize) -> Option<bool> {
        let request = &mut self.slab[key as usize];
        request.output_mut().note(len);
        let is_first = request.clock_mut().note_output(now);
        (!request.output().is_buffering()).then_some(is_first)
    }

    /// The end of output has come. `None` when it was kept; else whether it is the first of anything.
    #[inline]
    pub(super) fn note_output_end(&mut self, now: Time, key: u32) -> Option<bool> {
        let request = &mut self.slab[key as usize];
        request.output_mut().end();
        let is_first = request.clock_mut().note_received(now);
        if request.output().is_buffering() {
            request.output_mut().keep_end();
            return None;
        }
        Some(is_first)
    }

    /// The answer to a question has come.
    pub(super) fn note_answer(&mut self, now: Time, key: u32) {
        self.slab[key as usize].clock_mut().note_received(now);
    }

    /// Keeps a piece of output; the bytes that are kept more, and in all, for this request.
    pub(super) fn keep(&mut self, key: u32, kind: OutputKind, data: &[u8]) -> (usize, usize) {
        let (more, in_all) = self.slab[key as usize].output_mut().keep(kind, data);
        self.buffered += more;
        (more, in_all)
    }

    /// As much is kept for a request as may be; whether that is new.
    pub(super) fn fill_output(&mut self, key: u32) -> bool {
        self.slab[key as usize].output_mut().fill()
    }

    /// Less is kept for a request than may be, or it has left its connection; whether that is new.
    #[inline]
    pub(super) fn unfill_output(&mut self, key: u32) -> bool {
        self.slab[key as usize].output_mut().unfill()
    }

    /// Whether that is a change.
    pub(super) fn pause(&mut self, key: u32) -> bool {
        self.slab[key as usize].output_mut().set_paused(true)
    }

    /// Whether that is a change.
    pub(super) fn resume(&mut self, now: Time, key: u32) -> bool {
        let request = &mut self.slab[key as usize];
        if !request.output_mut().set_paused(false) {
            return false;
        }
        request.clock_mut().note_resumed(now);
        if request.output().has_buffer() {
            self.notices.push_back(Notice::Output(request.handle(key)));
        }
        true
    }

    /// Whether the embedder is to be told something.
    #[inline]
    pub(super) fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// What the embedder is to be told next. Output goes to the front of `scratch`.
    ///
    /// # Panics
    /// When `scratch` is empty and a piece of output is next.
    pub(super) fn take_notice(&mut self, scratch: &mut [u8]) -> Option<Kept> {
        while let Some(notice) = self.notices.pop_front() {
            let (Notice::Room(handle) | Notice::Output(handle)) = notice;
            let Some(key) = self.key(handle) else {
                continue;
            };
            let request = &mut self.slab[key as usize];
            if let Notice::Room(_) = notice {
                if request.upload().is_finished() {
                    continue;
                }
                return Some(Kept::Room(key));
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
                    self.notices.push_back(notice);
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
            self.notices.push_back(notice);
            self.release_buffered(less);
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

    /// Bytes are no longer kept.
    fn release_buffered(&mut self, len: usize) {
        let was_over = self.buffered >= self.max_buffered;
        self.buffered -= len;
        self.has_fallen_below |= was_over && self.buffered < self.max_buffered;
    }

    #[inline]
    pub(super) fn has_fallen_below(&self) -> bool {
        self.has_fallen_below
    }

    /// Whether fewer bytes are kept than may be, after there were more; forgotten after this.
    #[inline]
    pub(super) fn take_fallen_below(&mut self) -> bool {
        std::mem::take(&mut self.has_fallen_below)
    }

    // --- they end ---

    /// Ends a request that is on no connection any more. `None` while output that was kept has to be taken first: its
    /// `End` comes after that. A request that is ended again meanwhile ends at once.
    #[inline]
    pub(super) fn finish(&mut self, key: u32, outcome: Outcome) -> Option<Event<'static>> {
        let request = &mut self.slab[key as usize];
        if request.output().is_unread() && request.state() != State::Draining {
            request.drain();
            request.output_mut().keep_outcome(outcome);
            return None;
        }
        let event = self.end(key, outcome);
        self.remove(key);
        Some(event)
    }

    /// Ends a request at once that stays on its connection until the application has ended it.
    pub(super) fn abandon(&mut self, now: Time, key: u32, failure: Failure) -> Event<'static> {
        let event = self.end(key, Err(failure));
        let request = &mut self.slab[key as usize];
        let buffered = request.output().buffered();
        request.output_mut().discard();
        request.abandon(now);
        self.release_buffered(buffered);
        event
    }

    /// The only maker of `End`.
    #[inline]
    fn end(&mut self, key: u32, outcome: Outcome) -> Event<'static> {
        let request = &self.slab[key as usize];
        let tag = request.tag();
        match &outcome {
            Ok(completion) => {
                self.counts.completed += 1;
                debug!(
                    "request {key}, tag {}: complete; {}",
                    tag.0, completion.report
                );
            }
            Err(failure) => {
                self.counts.failed += 1;
                debug!(
                    "request {key}, tag {}: {failure}; {}",
                    tag.0, failure.report
                );
            }
        }
        Event::End {
            request: request.handle(key),
            tag,
            outcome,
        }
    }

    /// Takes a request away whose `End` is out, and keeps its memory for the next.
    pub(super) fn remove(&mut self, key: u32) {
        let request = &mut self.slab[key as usize];
        let is_buffering = matches!(request.state(), State::Buffering { .. });
        self.buffering -= usize::from(is_buffering);
        let buffered = request.output().buffered();
        let params = request.params_mut();
        if self.params_pool.len() < MAX_PARAMS_KEPT && params.capacity() <= MAX_PARAMS_KEPT_LEN {
            params.clear();
            self.params_pool.push(std::mem::take(params));
        }
        self.slab.remove(key as usize);
        if buffered > 0 {
            self.release_buffered(buffered);
        }
    }

    /// A request has waited while no server could be connected to.
    pub(super) fn set_refused(&mut self, key: u32, refused: Option<ConnectError>) {
        self.slab[key as usize].set_refused(refused);
    }
}

/// What the check of a request has found out.
#[derive(Debug)]
pub(super) struct Checked {
    /// The lengths of the body and of a Filter's data, where they are known.
    pub(super) lens: (Option<u64>, Option<u64>),
    /// Where their readers stand.
    pub(super) origins: (u64, u64),
    /// The body is to be collected first, up to this length.
    pub(super) buffering: Option<usize>,
}

impl Index<u32> for Requests {
    type Output = Request;

    #[inline]
    fn index(&self, key: u32) -> &Request {
        &self.slab[key as usize]
    }
}

impl IndexMut<u32> for Requests {
    #[inline]
    fn index_mut(&mut self, key: u32) -> &mut Request {
        &mut self.slab[key as usize]
    }
}

/// The counts against what they count. For builds with debug assertions.
#[cfg(debug_assertions)]
impl Requests {
    /// # Panics
    /// When a count is wrong, which is a defect of this library.
    pub(super) fn check(&self) {
        let count = |is_it: fn(&Request) -> bool| self.iter().filter(|(_, it)| is_it(it)).count();
        let queued = count(Request::is_queued);
        assert_eq!(self.queue.len(), queued, "requests in the queue");
        let buffering = count(|it| matches!(it.state(), State::Buffering { .. }));
        assert_eq!(self.buffering, buffering, "bodies being collected");
        let buffered: usize = self.iter().map(|(_, it)| it.output().buffered()).sum();
        assert_eq!(self.buffered, buffered, "bytes kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::{Config, Request, Tag};
    use std::time::Instant;

    fn ended(requests: impl IntoIterator<Item = Request>) -> Engine {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.limits.max_queue = 2 * MAX_PARAMS_KEPT;
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        let submit = |request| engine.submit(now, request, Tag(0)).expect("accepted");
        let handles: Vec<_> = requests.into_iter().map(submit).collect();
        for handle in handles {
            engine.abort(now, handle);
        }
        engine
    }

    #[test]
    fn the_parameter_buffers_that_are_kept_are_bounded_in_number() {
        for (requests, kept) in [(3, 3), (MAX_PARAMS_KEPT + 1, MAX_PARAMS_KEPT)] {
            let engine = ended((0..requests).map(|_| Request::responder().param("A", "1")));
            assert_eq!(engine.requests.params_pool.len(), kept);
        }
    }

    #[test]
    fn the_parameter_buffers_that_are_kept_are_bounded_in_length() {
        for (len, kept) in [(MAX_PARAMS_KEPT_LEN, 1), (MAX_PARAMS_KEPT_LEN + 1, 0)] {
            // Its name, and lengths of one byte and four.
            let request = Request::responder().param("A", "x".repeat(len - 6));
            assert_eq!(request.params.capacity(), len);
            assert_eq!(ended([request]).requests.params_pool.len(), kept, "{len}");
        }
    }

    #[test]
    fn a_wrong_count_is_found() {
        let wrong: [fn(&mut Requests); 3] = [
            |requests| requests.buffering += 1,
            |requests| requests.buffered += 1,
            |requests| requests.queue.push_back(0),
        ];
        for change in wrong {
            let mut requests = Requests::new(1, 1);
            requests.check();
            change(&mut requests);
            let checked =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| requests.check()));
            assert!(checked.is_err());
        }
    }
}
