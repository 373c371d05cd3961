//! What a scripted application does with a request: the steps of its script.

use super::application::Replies;
use super::exchange::Output;
use super::habits::{AppStatus, NotKept, Outputs};
use super::records;
use super::script::Step;
use super::scripted::Scripted;
use crate::wire::{EndRequest, ProtocolStatus};

/// Octets of an output that [`Outputs::Buffered`] holds back at most.
const HELD_LEN: usize = 8192;

impl Scripted {
    /// Takes the steps of a script that can be taken.
    pub(super) fn run(&mut self, key: u64, replies: &mut Replies) {
        while let Some(exchange) = self.exchanges.get_mut(&key) {
            if exchange.is_waiting || !exchange.has_started {
                return;
            }
            let connection = exchange.received.connection;
            if exchange.awaits_stdin() {
                exchange.has_unused = false;
                return;
            }
            let Some(step) = exchange.steps.pop_front() else {
                if exchange.has_ended {
                    self.exchanges.remove(&key);
                }
                return;
            };
            match step {
                Step::AwaitStdin => {}
                Step::Wait(time) => {
                    exchange.is_waiting = true;
                    replies.wake(connection, time, key);
                }
                Step::Stdout(content) => self.stdout(key, &content, replies),
                Step::Echo => {
                    let content = exchange.received.stdin.clone();
                    self.stdout(key, &content, replies);
                }
                Step::Stderr(content) => {
                    exchange.stderr.is_used |= !content.is_empty();
                    exchange.stderr.held.extend(content);
                    self.write(key, false, replies);
                }
                Step::StdoutEnd => {
                    self.write(key, true, replies);
                    self.end_stdout(key, replies);
                }
                Step::End(app_status, status) => self.end(key, app_status, status, replies),
                Step::Ended => self.finish(key, replies),
                Step::Send(records) => {
                    self.write(key, true, replies);
                    replies.send(connection, records.into_octets());
                }
                Step::Then(make) => exchange.steps = make(&exchange.received).into_steps(),
                Step::HalfClose => replies.half_close(connection),
                Step::TakeNothing => replies.take_nothing(connection),
                Step::Close => self.hang_up(connection, replies),
                Step::Reset => {
                    replies.reset(connection);
                    self.forget(connection, replies);
                }
                Step::Read(reads) => replies.read(connection, reads),
            }
        }
    }

    fn stdout(&mut self, key: u64, content: &[u8], replies: &mut Replies) {
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.stdout.is_used |= !content.is_empty();
            exchange.stdout.held.extend_from_slice(content);
            self.write(key, false, replies);
        }
    }

    /// Sends output, unless it is held back and that is not over.
    fn write(&mut self, key: u64, is_over: bool, replies: &mut Replies) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let connection = exchange.received.connection;
        let id = exchange.received.request_id;
        let most = match self.habits.outputs {
            Outputs::Buffered if !is_over => HELD_LEN,
            _ => 0,
        };
        let due = |output: &mut Output| match output.held.len() > most {
            true => std::mem::take(&mut output.held),
            false => Vec::new(),
        };
        for piece in due(&mut exchange.stderr).chunks(self.habits.record_len.max(1)) {
            replies.send(connection, records::stderr(id, piece).into_octets());
        }
        for piece in due(&mut exchange.stdout).chunks(self.habits.record_len.max(1)) {
            replies.send(connection, records::stdout(id, piece).into_octets());
        }
    }

    /// Sends the empty `FCGI_STDOUT` where it is sent at all, and where it comes before it, the empty `FCGI_STDERR`.
    fn end_stdout(&mut self, key: u64, replies: &mut Replies) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let id = exchange.received.request_id;
        let mut ends = records::new();
        let has_stderr = exchange.stderr.is_used && !exchange.stderr.has_ended;
        if self.habits.outputs == Outputs::Buffered && has_stderr {
            exchange.stderr.has_ended = true;
            ends = ends.stderr_end(id);
        }
        let is_ended = match self.habits.outputs {
            Outputs::NeverEnded => false,
            Outputs::StdoutEnded | Outputs::Buffered => true,
            Outputs::EndedIfUsed => exchange.stdout.is_used,
        };
        if is_ended && !exchange.stdout.has_ended {
            ends = ends.stdout_end(id);
        }
        exchange.stdout.has_ended = true;
        replies.send(exchange.received.connection, ends.into_octets());
    }

    /// Sends `FCGI_END_REQUEST`.
    pub(super) fn end(
        &mut self,
        key: u64,
        app_status: u32,
        status: ProtocolStatus,
        replies: &mut Replies,
    ) {
        self.end_outputs(key, status, replies);
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let app_status = match self.habits.app_status {
            AppStatus::AsSet => app_status,
            AppStatus::Zero => 0,
            AppStatus::Sticky if app_status == 0 => self.last_status,
            AppStatus::Sticky => app_status,
        };
        self.last_status = app_status;
        let body = EndRequest {
            app_status,
            protocol_status: status,
        };
        let mut out = Vec::new();
        crate::wire::write_end_request(&mut out, exchange.received.request_id, body);
        replies.send(exchange.received.connection, out);
        self.finish(key, replies);
    }

    fn end_outputs(&mut self, key: u64, status: ProtocolStatus, replies: &mut Replies) {
        if self.habits.outputs == Outputs::Buffered
            && let Some(exchange) = self.exchanges.get_mut(&key)
        {
            // Its library closes the error stream first.
            let (connection, id) = (exchange.received.connection, exchange.received.request_id);
            let held = std::mem::take(&mut exchange.stderr.held);
            replies.send(connection, records::stderr(id, &held).into_octets());
            if exchange.stderr.is_used && !std::mem::replace(&mut exchange.stderr.has_ended, true) {
                replies.send(connection, records::new().stderr_end(id).into_octets());
            }
        }
        self.write(key, true, replies);
        if status == ProtocolStatus::RequestComplete {
            self.end_stdout(key, replies);
        }
        if self.habits.outputs == Outputs::EndedIfUsed
            && let Some(exchange) = self.exchanges.get_mut(&key)
            && exchange.stderr.is_used
        {
            let end = records::new().stderr_end(exchange.received.request_id);
            replies.send(exchange.received.connection, end.into_octets());
        }
    }

    /// A request is over: closes where that is due.
    fn finish(&mut self, key: u64, replies: &mut Replies) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let connection = exchange.received.connection;
        let id = exchange.received.request_id;
        let keeps = exchange.received.keep;
        exchange.has_ended = true;
        exchange.has_unused = false;
        let Some(own) = self.connections.get_mut(&connection) else {
            return;
        };
        if own.live.get(&id) == Some(&key) && !self.habits.holds_ids {
            own.live.remove(&id);
        }
        own.last_id = Some(id);
        if self.habits.loses_what_follows {
            replies.discard(connection);
        }
        if own.closes_after_answer {
            self.hang_up(connection, replies);
        } else if !keeps {
            match self.habits.not_kept {
                NotKept::Closes => self.hang_up(connection, replies),
                NotKept::HalfClosesAtLast if !own.live.is_empty() => {}
                NotKept::HalfCloses | NotKept::HalfClosesAtLast => {
                    own.is_deaf = true;
                    replies.half_close(connection);
                }
            }
        }
    }
}
