//! How a request is given up: by the embedder, after a time limit, or when its body failed.

use super::Engine;
use super::close_reason::CloseReason;
use super::connection;
use super::requests::{Input, State, Step};
use super::time::Time;
use crate::error::{Delivery, Failure, RequestError};
use crate::event::ConnectionHandle;

impl Engine {
    /// Ends a request that has not reported its `End`, for a reason on this side.
    pub(super) fn stop(&mut self, now: Time, key: u32, error: RequestError) {
        match self.requests[key].state() {
            state if state.step(Input::Abort) == Step::End => {
                if state == State::Queued {
                    self.requests.dequeue(key);
                }
                self.fail(now, key, error, 0);
            }
            State::Active { connection, id } => self.abandon(now, key, connection, id, error),
            _ => {}
        }
    }

    /// Gives an active request up: reports its `End`, then closes its connection or aborts the request on it.
    fn abandon(&mut self, now: Time, key: u32, on: ConnectionHandle, id: u16, error: RequestError) {
        if connection::get(&self.connections, on).is_none() {
            return;
        }
        let connection_key = on.index;
        let connection = &mut self.connections[connection_key as usize];
        let is_alone = connection.has_one_left();
        let request = &self.requests[key];
        let mut failure = request.failure(now, error, connection.transmitted());
        if !is_alone && !request.upload().is_head_framed() {
            self.withdraw(key, connection_key, id, failure);
            return;
        }
        if !is_alone && failure.delivery == Delivery::NotProcessed {
            // Its framed bytes are still sent, before its FCGI_ABORT_REQUEST.
            failure.delivery = Delivery::MaybeProcessed;
        }
        connection.remove_weight(request.output().weight());
        if request.is_probe() {
            connection.take_probe();
            self.end(key, Err(failure));
            self.close(now, connection_key, CloseReason::Aborted);
            return;
        }
        if !is_alone {
            connection.inline_bodies(key, &self.requests);
        }
        connection.begin_abort();
        let event = self.requests.abandon(now, key, failure);
        self.pending.event(event);
        if is_alone {
            self.close(now, connection_key, CloseReason::Aborted);
            return;
        }
        connection.frame_abort(now, connection_key, id, &mut self.buffers);
        self.ask_flush(connection_key);
        self.arm_request(key);
        self.update_reads(connection_key);
    }

    /// Takes a request of which nothing was framed off a connection that other requests share. The application has never
    /// heard of it.
    fn withdraw(&mut self, key: u32, connection_key: u32, id: u16, failure: Failure) {
        let connection = &mut self.connections[connection_key as usize];
        connection.remove_weight(self.requests[key].output().weight());
        connection.withdraw_request(id);
        self.slot_freed(connection_key);
        self.end(key, Err(failure));
        self.update_reads(connection_key);
    }

    /// An aborted request is over: its ID stays quarantined, its connection continues.
    pub(super) fn finish_abort(&mut self, now: Time, key: u32) {
        let State::Aborting { connection, id, .. } = self.requests[key].state() else {
            return;
        };
        if connection::get(&self.connections, connection).is_some() {
            self.connections[connection.index as usize].end_abort(id);
            self.requests.remove(key);
            self.release(now, connection.index);
        }
    }
}
