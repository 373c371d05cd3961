//! How a scripted application takes the steps of a behavior.

use super::application::Replies;
use super::behavior::Step;
use super::connections::Connections;
use super::details::{AppStatus, NotKept, Outputs};
use super::exchange::Next;
use super::records::Records;
use crate::wire::{self, EndRequest, ProtocolStatus};

/// The most bytes of a stream that [`Outputs::Buffered`] holds back.
const HELD_LEN: usize = 8192;

/// Takes the steps of all behaviors. Owns the connections.
#[derive(Default)]
pub(super) struct Respond {
    connections: Connections,
    last_status: u32,
}

impl Respond {
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(super) fn connections_mut(&mut self) -> &mut Connections {
        &mut self.connections
    }

    /// Takes the steps of a behavior that can be taken now.
    pub(super) fn run(&mut self, key: u64, replies: &mut Replies) {
        while let Some(exchange) = self.connections.exchange_mut(key) {
            let connection = exchange.connection();
            let step = match exchange.next() {
                Next::Step(step) => step,
                Next::Later => return,
                Next::Over => {
                    self.connections.remove_exchange(key);
                    return;
                }
            };
            match step {
                Step::AwaitStdin => {}
                Step::Wait(time) => {
                    exchange.wait();
                    replies.wake(connection, time, key);
                }
                Step::Stdout(content) => {
                    exchange.stdout().add(&content);
                    self.write(key, false, replies);
                }
                Step::Echo => {
                    let content = exchange.received().stdin.clone();
                    exchange.stdout().add(&content);
                    self.write(key, false, replies);
                }
                Step::Stderr(content) => {
                    exchange.stderr().add(&content);
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
                    replies.send(connection, records.into_bytes());
                }
                Step::Then(make) => {
                    let behavior = make(exchange.received());
                    exchange.replace(behavior);
                }
                Step::HalfClose => replies.half_close(connection),
                Step::TakeNothing => replies.take_nothing(connection),
                Step::Close => self.connections.close(connection, replies),
                Step::Reset => self.connections.reset(connection, replies),
                Step::Read(reads) => replies.read(connection, reads),
            }
        }
    }

    /// Ends a request: sends output that was held back, and `FCGI_END_REQUEST`.
    pub(super) fn end(
        &mut self,
        key: u64,
        app_status: u32,
        status: ProtocolStatus,
        replies: &mut Replies,
    ) {
        self.end_outputs(key, status, replies);
        let Some(exchange) = self.connections.exchange(key) else {
            return;
        };
        let app_status = match self.connections.quirks().app_status {
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
        wire::write_end_request(&mut out, exchange.id(), body);
        replies.send(exchange.connection(), out);
        self.finish(key, replies);
    }

    /// Sends output, unless it is held back. `is_over`: nothing is held back any more.
    fn write(&mut self, key: u64, is_over: bool, replies: &mut Replies) {
        let quirks = self.connections.quirks();
        let most = match quirks.outputs {
            Outputs::Buffered if !is_over => HELD_LEN,
            _ => 0,
        };
        let record_len = quirks.record_len.max(1);
        let Some(exchange) = self.connections.exchange_mut(key) else {
            return;
        };
        let (connection, id) = (exchange.connection(), exchange.id());
        for piece in exchange.stderr().take(most).chunks(record_len) {
            replies.send(connection, Records::new().stderr(id, piece).into_bytes());
        }
        for piece in exchange.stdout().take(most).chunks(record_len) {
            replies.send(connection, Records::new().stdout(id, piece).into_bytes());
        }
    }

    /// Sends the empty `FCGI_STDOUT` if the quirks have it, and before it the empty `FCGI_STDERR` if the quirks have
    /// that.
    fn end_stdout(&mut self, key: u64, replies: &mut Replies) {
        let outputs = self.connections.quirks().outputs;
        let Some(exchange) = self.connections.exchange_mut(key) else {
            return;
        };
        let id = exchange.id();
        let mut ends = Records::new();
        let stderr = exchange.stderr();
        if outputs == Outputs::Buffered && stderr.is_used() && stderr.end() {
            ends = ends.stderr_end(id);
        }
        let stdout = exchange.stdout();
        let is_ended = match outputs {
            Outputs::NeverEnded => false,
            Outputs::StdoutEnded | Outputs::Buffered => true,
            Outputs::EndedIfUsed => stdout.is_used(),
        };
        if stdout.end() && is_ended {
            ends = ends.stdout_end(id);
        }
        replies.send(exchange.connection(), ends.into_bytes());
    }

    fn end_outputs(&mut self, key: u64, status: ProtocolStatus, replies: &mut Replies) {
        let outputs = self.connections.quirks().outputs;
        if outputs == Outputs::Buffered
            && let Some(exchange) = self.connections.exchange_mut(key)
        {
            // libfcgi closes the error stream first.
            let (connection, id) = (exchange.connection(), exchange.id());
            let stderr = exchange.stderr();
            let held = stderr.take(0);
            replies.send(connection, Records::new().stderr(id, &held).into_bytes());
            if stderr.is_used() && stderr.end() {
                replies.send(connection, Records::new().stderr_end(id).into_bytes());
            }
        }
        self.write(key, true, replies);
        if status == ProtocolStatus::RequestComplete {
            self.end_stdout(key, replies);
        }
        if outputs == Outputs::EndedIfUsed
            && let Some(exchange) = self.connections.exchange_mut(key)
            && exchange.stderr().is_used()
        {
            let end = Records::new().stderr_end(exchange.id());
            replies.send(exchange.connection(), end.into_bytes());
        }
    }

    /// A request has ended. Closes the connection if that is due.
    fn finish(&mut self, key: u64, replies: &mut Replies) {
        let quirks = self.connections.quirks();
        let (holds_ids, not_kept) = (quirks.holds_ids, quirks.not_kept);
        let loses_what_follows = quirks.loses_what_follows;
        let Some(exchange) = self.connections.exchange_mut(key) else {
            return;
        };
        exchange.finish();
        let (connection, id) = (exchange.connection(), exchange.id());
        let keeps = exchange.keeps();
        let Some(own) = self.connections.get_mut(connection) else {
            return;
        };
        own.end(id, key, !holds_ids);
        if loses_what_follows {
            replies.discard(connection);
        }
        if own.closes_after_answer() {
            self.connections.close(connection, replies);
        } else if !keeps {
            match not_kept {
                NotKept::Closes => self.connections.close(connection, replies),
                NotKept::HalfClosesAtLast if own.first().is_some() => {}
                NotKept::HalfCloses | NotKept::HalfClosesAtLast => {
                    own.stop_listening();
                    replies.half_close(connection);
                }
            }
        }
    }
}
