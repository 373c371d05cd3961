//! The driver's half of the virtual network: what is announced, and how connections take turns at writing and reading,
//! all as [`Client`](crate::Client) does it.

use std::io;
use std::time::Duration;

use super::later::later;
use super::link::Notice;
use super::network::{Appointment, BUFFER_LEN, Network, OnEvent, note_event};
use super::wire::End;
use crate::engine::{Disconnected, Engine};

/// What a read was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// It brought something, which was fed.
    Some,
    /// It would have blocked.
    Nothing,
    /// It brought the end, or an error.
    End,
}

/// What a connection's turn at writing has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Nothing,
    /// Something, and more may be taken.
    Some,
    /// It had to be read first, and that has brought something.
    ReadFirst,
}

impl Network {
    /// Bytes or an end have come to the client's socket: the driver is told, and reads later.
    pub(super) fn announce(&mut self, engine: &mut Engine, number: usize) {
        let now = self.now;
        if let Some(link) = &mut self.links[number] {
            link.to_client.arrive(now);
            // It may have been read before it could be announced.
            if link.has_input() {
                self.announce_again(engine, number);
            }
        }
    }

    /// A reset has come back for what was written to a closed connection.
    pub(super) fn reset_at_client(&mut self, engine: &mut Engine, number: usize) {
        if let Some(link) = &mut self.links[number] {
            link.was_reset = true;
            link.to_client.arrive(self.now);
            self.announce_again(engine, number);
        }
    }

    fn announce_again(&mut self, engine: &mut Engine, number: usize) {
        let Some(link) = &mut self.links[number] else {
            return;
        };
        if link.client_closed || !link.is_open {
            return;
        }
        link.readable = true;
        let has_end = link.to_client.has_end() || link.was_reset;
        link.end_announced |= has_end;
        let handle = link.handle;
        if has_end {
            self.note(format_args!("connection {number} has ended, unread"));
            self.show(number, Notice::ReadClosed);
            engine.handle_read_closed(self.now, handle);
        } else {
            self.note(format_args!("connection {number} is readable"));
            self.show(number, Notice::Readable);
            engine.handle_readable(self.now, handle);
        }
        self.enqueue(number);
    }

    /// The next connection in turn writes, or reads once.
    pub(super) fn take_turn(&mut self, engine: &mut Engine, on_event: &mut OnEvent<'_>) -> bool {
        let Some(number) = self.next_turn() else {
            return false;
        };
        let Some(link) = &mut self.links[number] else {
            return true;
        };
        link.queued = false;
        if link.client_closed || !link.is_open {
            return true;
        }
        let written = match link.flushing {
            true => self.write(engine, number, on_event),
            false => Written::Nothing,
        };
        let Some(link) = &self.links[number] else {
            return true;
        };
        let may_read = link.readable && !link.client_closed && engine.wants_read(link.handle);
        match written {
            Written::Some | Written::ReadFirst => self.enqueue(number),
            Written::Nothing if may_read => {
                self.read(engine, number, on_event);
            }
            Written::Nothing => {}
        }
        true
    }

    fn write(&mut self, engine: &mut Engine, number: usize, on_event: &mut OnEvent<'_>) -> Written {
        let Some(link) = &self.links[number] else {
            return Written::Nothing;
        };
        let handle = link.handle;
        if engine.reads_first(handle) && !link.write_failed {
            let read = self.read(engine, number, on_event);
            if read == Read::Some || engine.reads_first(handle) {
                return Written::ReadFirst;
            }
        }
        let Some(link) = &mut self.links[number] else {
            return Written::Nothing;
        };
        let slices = engine.transmit(handle);
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if offered == 0 || link.write_failed {
            link.flushing = false;
            return Written::Nothing;
        }
        if link.refuses_writes() {
            // The application may have answered before it closed: that is read first.
            link.flushing = false;
            link.write_failed = true;
            link.readable = true;
            link.end_announced = true;
            self.tally.failed_writes += 1;
            self.note(format_args!("connection {number} takes nothing any more"));
            self.enqueue(number);
            return Written::Nothing;
        }
        let room = link.to_application.room().min(offered);
        if room == 0 {
            self.tally.full_wires += 1;
            return Written::Nothing;
        }
        let len = link.wire.writes.cut(room, &mut self.rng);
        self.tally.short_writes += u64::from(len < offered);
        self.tally.lost_writes += u64::from(link.application_closed);
        let mut octets = Vec::with_capacity(len);
        for slice in slices.iter() {
            let missing = len - octets.len();
            octets.extend_from_slice(&slice[..slice.len().min(missing)]);
        }
        self.trace.octets(&octets);
        if let Some(tap) = &mut self.servers[link.server].tap {
            tap(number, &octets);
        }
        let arrival = link.to_application.send(self.now, octets);
        self.note(format_args!(
            "connection {number} takes {len} of {offered} octets"
        ));
        self.appoint(arrival, Appointment::AtApplication(number));
        engine.handle_transmitted(self.now, handle, len);
        Written::Some
    }

    fn read(&mut self, engine: &mut Engine, number: usize, on_event: &mut OnEvent<'_>) -> Read {
        let Some(link) = &mut self.links[number] else {
            return Read::End;
        };
        // What has come is there, whether it was announced or not.
        link.to_client.arrive(self.now);
        let handle = link.handle;
        if let Some(end) = link.to_client.ended() {
            self.tally.ends += 1;
            self.tally.resets += u64::from(end == End::Reset);
            let why = match end {
                End::Fin => Disconnected::Eof,
                End::Reset => Disconnected::Failed(io::ErrorKind::ConnectionReset),
            };
            self.lose(engine, number, why);
            return Read::End;
        }
        let available = link.to_client.unread_len();
        if available == 0 {
            link.readable = false;
            self.tally.empty_reads += 1;
            if link.write_failed {
                self.lose(
                    engine,
                    number,
                    Disconnected::Failed(io::ErrorKind::BrokenPipe),
                );
                return Read::End;
            }
            self.note(format_args!("connection {number} is empty"));
            self.show(number, Notice::Drained);
            engine.handle_drained(self.now, handle);
            return Read::Nothing;
        }
        let buffer_len = link.wire.reads.buffer_len(BUFFER_LEN, &mut self.rng);
        let len = available.min(buffer_len);
        self.tally.short_reads += u64::from(len < available);
        self.tally.exact_reads += u64::from(len == available && len == buffer_len);
        let is_cut = link.end_announced || link.wire.reads_until_blocked;
        let is_drained = len < buffer_len && !is_cut;
        link.readable = !is_drained;
        let mut octets = std::mem::take(&mut self.octets);
        octets.clear();
        let arrival = link.to_client.read(self.now, len, &mut octets);
        self.appoint(arrival, Appointment::AtClient(number));
        self.trace.octets(&octets);
        self.note(format_args!("connection {number} brings {len} octets"));
        if is_drained {
            self.show(number, Notice::Drained);
            engine.note_drained(handle);
        } else {
            self.show(number, Notice::Readable);
            engine.note_readable(handle);
            self.enqueue(number);
        }
        let elapsed = self.elapsed();
        let mut input = &octets[..];
        while let Some(event) = engine.poll_received(self.now, handle, &mut input) {
            note_event(&mut self.trace, elapsed, &event);
            on_event(engine, self.now, event);
        }
        self.octets = octets;
        Read::Some
    }

    /// A connection ended on its own.
    fn lose(&mut self, engine: &mut Engine, number: usize, why: Disconnected) {
        let Some(link) = &self.links[number] else {
            return;
        };
        let handle = link.handle;
        self.note(format_args!("connection {number} has ended, {why:?}"));
        self.hang_up(number);
        engine.handle_closed(self.now, handle, why);
    }

    /// Stops the client's process for so long: applications and the wire go on. What comes for the client meanwhile lies
    /// in its sockets, and is announced, late, together with the time limits that are over.
    pub fn hold_up(&mut self, time: Duration) {
        let until = later(self.now, time);
        self.tally.hold_ups += 1;
        self.note(format_args!("the client is held up for {time:?}"));
        let mut late = Vec::new();
        while let Some((at, what)) = self.next_appointment_until(until) {
            match what {
                Appointment::Decided(_)
                | Appointment::AtClient(_)
                | Appointment::ResetAtClient(_) => late.push(what),
                Appointment::AtApplication(number) => {
                    self.advance_to(at);
                    self.deliver(number);
                }
                Appointment::Wake(server, connection, token) => {
                    self.advance_to(at);
                    self.wake(server, connection, token);
                }
            }
        }
        self.advance_to(until);
        for what in late {
            self.appoint(Some(until), what);
        }
    }

    pub(super) fn show(&mut self, number: usize, notice: Notice) {
        if let Some(link) = &self.links[number]
            && let Some(show) = &mut self.servers[link.server].on_notice
        {
            show(number, notice);
        }
    }
}
