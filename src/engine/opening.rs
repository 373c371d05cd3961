//! How connections are opened and removed: dialed, opened, postponed, failed, removed.

use std::io;

use log::debug;

use super::Engine;
use super::close_reason::CloseReason;
use super::connection::{Connection, Expected};
use super::pool::ConnectFailure;
use super::time::Time;
use crate::config::RequestIds;
use crate::error::ConnectError;
use crate::event::ConnectionHandle;

impl Engine {
    /// Opens a connection to a server.
    pub(super) fn dial(&mut self, now: Time, server: usize) {
        let (serial, expected) = self.pool.dial(server, self.config.keep_connections);
        self.connect(now, server, serial, expected);
    }

    /// Opens a connection to a server, to check it. No request waits for it.
    pub(super) fn dial_check(&mut self, now: Time, server: usize) -> ConnectionHandle {
        let (serial, expected) = self.pool.dial_unexpected(server);
        let key = self.connect(now, server, serial, expected);
        let connection = &mut self.connections[key as usize];
        connection.begin_check();
        connection.handle(key)
    }

    fn connect(&mut self, now: Time, server: usize, serial: u64, expected: Expected) -> u32 {
        let slot = server as u16;
        let id = self.pool.servers().id_of(slot);
        let connection = Connection::new(now, serial, slot, expected);
        let key = self.connections.insert(connection) as u32;
        let handle = self.connections[key as usize].handle(key);
        self.pending.connect(handle, id);
        self.arm_connection(key);
        let address = self.pool.servers().address(slot);
        debug!("connection {key}: connecting to server {id}, {address}");
        key
    }

    /// A connection has been opening for too long: requests that can use another server, or another connection, no
    /// longer wait for it (RFC 8305, 5).
    pub(super) fn stop_waiting_for(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        let before = connection.set_late();
        self.pool.note_late(connection.server(), before);
        debug!("connection {key}: still connecting, not waited for");
    }

    /// Step `Open`: the connection is established.
    pub(super) fn open(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        let server = connection.server();
        self.pool.dial_over(server, connection.take_expected());
        let max_requests = self.pool.connected(server, &self.config);
        let is_always_one = self.config.request_ids == RequestIds::AlwaysOne;
        connection.connected(now, max_requests, is_always_one);
        self.counters.note_connected();
        debug!("connection {key}: open");
    }

    /// Step `Postpone`: this side has no descriptor, port or memory for another connection. It is not a failure of the
    /// server: requests wait, and open connections continue. The next try follows when a socket of this client was
    /// closed, or after a pause.
    pub(super) fn postpone(&mut self, now: Time, key: u32, kind: io::ErrorKind) {
        let server = self.connections[key as usize].server();
        self.counters.note_shortage();
        self.remove(key, CloseReason::Shortage);
        let pause = self.pool.ran_short(now, server, self.config.backoff);
        self.arm_server(now, server);
        let server = self.pool.servers().id_of(server);
        debug!("server {server}: no socket to connect with, {kind}; again in {pause:?}");
    }

    /// Step `Failed`: the connect failed. The server backs off, unless only its backlog was full. Requests that can use
    /// no other server and have no time left to wait fail.
    pub(super) fn connect_failed(&mut self, now: Time, key: u32, error: ConnectError) {
        let connection = &self.connections[key as usize];
        let failure = ConnectFailure {
            server: connection.server(),
            opened: connection.opened(),
            error,
        };
        let serial = connection.serial();
        self.counters.note_connect_failure();
        self.remove(key, CloseReason::ConnectFailed);
        self.server_failed(now, serial, failure);
    }

    /// A connect failed, or a connection was of no use.
    pub(super) fn server_failed(&mut self, now: Time, serial: u64, failure: ConnectFailure) {
        self.pool
            .connect_failed(now, serial, failure, self.config.backoff);
        self.arm_server(now, failure.server);
    }

    /// Removes a connection. The caller handles its requests.
    pub(super) fn remove(&mut self, key: u32, reason: CloseReason) {
        let mut connection = self.connections.remove(key as usize);
        let server = connection.server();
        if connection.is_connecting() {
            self.pool.dial_over(server, connection.take_expected());
        }
        if reason != CloseReason::Shortage {
            self.pool.end_shortages();
        }
        self.pool.remove(server, key, connection.handle(key));
        connection.give_back(&mut self.buffers);
        self.counters.note_closed(reason);
        debug!("connection {key}: closed, {reason:?}");
        self.clear_timers_if_idle();
    }
}
