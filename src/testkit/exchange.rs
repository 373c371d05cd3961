//! One request of a scripted application.

use std::collections::VecDeque;

use super::behavior::{Behavior, ReceivedRequest, Step};
use super::details::{SplitPairs, StartsWith};
use super::output::Output;
use crate::wire::{Pairs, Role};

/// What was received of a request, the steps that its behavior has left, and output that was written and not sent.
pub(super) struct Exchange {
    received: ReceivedRequest,
    steps: VecDeque<Step>,
    /// Bytes of `FCGI_PARAMS` that are not decoded yet.
    encoded_params: Vec<u8>,
    has_params: bool,
    /// The application has been asked for the behavior.
    has_started: bool,
    has_stdin: bool,
    has_data: bool,
    has_ended: bool,
    stdout: Output,
    stderr: Output,
    /// A [`Behavior::wait`] is running.
    is_waiting: bool,
    /// The rest of the body is ignored.
    is_cut: bool,
    /// Bytes of the body have arrived that the behavior does not wait for.
    has_unused: bool,
    /// How many bytes of the body came before its last empty record.
    ended_len: usize,
}

/// What a behavior does next.
pub(super) enum Next {
    Step(Step),
    /// Nothing now: it waits for time or for the body, or its steps are over and the request has not ended.
    Later,
    /// Nothing any more: the behavior is over, and the request has ended.
    Over,
}

impl Exchange {
    pub(super) fn new(connection: usize, request_id: u16, role: Role, keep: bool) -> Self {
        Self {
            received: ReceivedRequest {
                connection,
                request_id,
                role,
                keep,
                params: Vec::new(),
                stdin: Vec::new(),
                data: Vec::new(),
                is_aborted: false,
            },
            steps: VecDeque::new(),
            encoded_params: Vec::new(),
            has_params: false,
            has_started: false,
            has_stdin: false,
            has_data: role != Role::Filter,
            has_ended: false,
            stdout: Output::default(),
            stderr: Output::default(),
            is_waiting: false,
            is_cut: false,
            has_unused: false,
            ended_len: 0,
        }
    }

    pub(super) fn received(&self) -> &ReceivedRequest {
        &self.received
    }

    pub(super) fn connection(&self) -> usize {
        self.received.connection
    }

    pub(super) fn id(&self) -> u16 {
        self.received.request_id
    }

    pub(super) fn keeps(&self) -> bool {
        self.received.keep
    }

    pub(super) fn stdout(&mut self) -> &mut Output {
        &mut self.stdout
    }

    pub(super) fn stderr(&mut self) -> &mut Output {
        &mut self.stderr
    }

    pub(super) fn has_params(&self) -> bool {
        self.has_params
    }

    pub(super) fn has_started(&self) -> bool {
        self.has_started
    }

    /// Whether bytes of the body have arrived that the behavior does not wait for.
    pub(super) fn has_unused(&self) -> bool {
        self.has_unused
    }

    /// Whether an application that reads on demand reads for this request.
    pub(super) fn is_demanding(&self) -> bool {
        !self.has_started || self.awaits_stdin()
    }

    /// Takes bytes of `FCGI_PARAMS`. False when a pair is cut where no pair may be. `ends_record`: they are the last of
    /// their record.
    pub(super) fn add_params(&mut self, data: &[u8], ends_record: bool, split: SplitPairs) -> bool {
        self.encoded_params.extend_from_slice(data);
        if !ends_record || split == SplitPairs::Joined {
            return true;
        }
        self.decode_params(split)
    }

    /// The parameters are complete.
    pub(super) fn end_params(&mut self, split: SplitPairs) {
        self.decode_params(split);
        self.has_params = true;
    }

    /// Decodes the bytes of `FCGI_PARAMS` to pairs. False when the last pair is not whole.
    fn decode_params(&mut self, split: SplitPairs) -> bool {
        let encoded = std::mem::take(&mut self.encoded_params);
        let params = &mut self.received.params;
        if split == SplitPairs::Misread {
            let mut rest = &encoded[..];
            params.extend(std::iter::from_fn(|| take_pair(&mut rest)));
            return true;
        }
        let mut is_whole = true;
        for pair in Pairs::new(&encoded) {
            match pair {
                Ok((name, value)) => params.push((name.to_vec(), value.to_vec())),
                Err(_) => is_whole = false,
            }
        }
        is_whole
    }

    /// The length of the body that the request declares.
    fn declared_len(&self) -> usize {
        let text = self.received.param("CONTENT_LENGTH");
        let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Takes bytes of the body; none are its end. False when they exceed the declared length, if that counts.
    pub(super) fn add_stdin(&mut self, data: &[u8], starts: StartsWith) -> bool {
        if data.is_empty() {
            self.ended_len = self.received.stdin.len();
            self.has_stdin |= starts != StartsWith::Body;
        }
        if self.is_cut {
            return true;
        }
        let most = match starts {
            StartsWith::Body => self
                .declared_len()
                .saturating_sub(self.received.stdin.len()),
            StartsWith::Params | StartsWith::Stdin => data.len(),
        };
        let stdin = &mut self.received.stdin;
        stdin.extend_from_slice(&data[..data.len().min(most)]);
        data.len() <= most
    }

    /// Notes whether the behavior has used bytes of the body; none are its end.
    pub(super) fn note_use(&mut self, data: &[u8]) {
        let is_used = data.is_empty() || self.awaits_stdin() || self.has_ended;
        self.has_unused = self.has_started && !is_used;
    }

    /// Takes bytes of `FCGI_DATA`; none are its end.
    pub(super) fn add_data(&mut self, data: &[u8]) {
        self.received.data.extend_from_slice(data);
        self.has_data |= data.is_empty();
    }

    /// Whether the behavior starts now. `with_stdin`: a record of `FCGI_STDIN` has just arrived.
    pub(super) fn can_start(&mut self, starts: StartsWith, with_stdin: bool) -> bool {
        if self.has_started || !self.has_params {
            return false;
        }
        match starts {
            StartsWith::Params => true,
            StartsWith::Stdin => with_stdin || self.has_stdin,
            StartsWith::Body => {
                let is_here = self.is_cut || self.received.stdin.len() >= self.declared_len();
                self.has_stdin |= is_here;
                self.has_data |= is_here;
                is_here
            }
        }
    }

    pub(super) fn start(&mut self, behavior: Behavior) {
        self.has_started = true;
        self.replace(behavior);
    }

    /// What its behavior does next.
    pub(super) fn next(&mut self) -> Next {
        if self.is_waiting || !self.has_started {
            return Next::Later;
        }
        if self.awaits_stdin() {
            self.has_unused = false;
            return Next::Later;
        }
        match self.steps.pop_front() {
            Some(step) => Next::Step(step),
            None if self.has_ended => Next::Over,
            None => Next::Later,
        }
    }

    /// Goes on with another behavior.
    pub(super) fn replace(&mut self, behavior: Behavior) {
        self.steps = behavior.into_steps();
    }

    /// Its behavior waits for time to pass.
    pub(super) fn wait(&mut self) {
        self.is_waiting = true;
    }

    /// The time has passed.
    pub(super) fn wake(&mut self) {
        self.is_waiting = false;
    }

    /// The request has ended. Its behavior may have steps left.
    pub(super) fn finish(&mut self) {
        self.has_ended = true;
        self.has_unused = false;
    }

    /// Drops the steps of its behavior.
    pub(super) fn drop_steps(&mut self) {
        self.steps.clear();
    }

    /// The Web server has aborted the request, and its behavior goes on.
    pub(super) fn abort(&mut self) {
        self.received.is_aborted = true;
        self.cut_body();
    }

    /// Ignores the rest of the body.
    pub(super) fn ignore_body(&mut self) {
        self.is_cut = true;
    }

    /// Forgets the bytes of the body since its last empty record.
    pub(super) fn drop_unended(&mut self) {
        self.received.stdin.truncate(self.ended_len);
    }

    /// Takes the body for complete, and ignores the rest of it.
    pub(super) fn cut_body(&mut self) {
        self.is_cut = true;
        self.has_stdin = true;
        self.has_data = true;
    }

    /// Its behavior waits for more of the body.
    fn awaits_stdin(&self) -> bool {
        let awaits = matches!(self.steps.front(), Some(Step::AwaitStdin));
        awaits && !self.is_waiting && !(self.has_stdin && self.has_data)
    }
}

/// Takes the next pair. If bytes are missing at the end, the pair is shorter than its lengths say.
fn take_pair(bytes: &mut &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let name_len = take_len(bytes)?;
    let value_len = take_len(bytes)?;
    let (name, rest) = bytes.split_at(bytes.len().min(name_len));
    let (value, rest) = rest.split_at(rest.len().min(value_len));
    *bytes = rest;
    Some((name.to_vec(), value.to_vec()))
}

fn take_len(bytes: &mut &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    if first < 0x80 {
        *bytes = &bytes[1..];
        return Some(usize::from(first));
    }
    let (four, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some((u32::from_be_bytes(*four) & 0x7fff_ffff) as usize)
}
