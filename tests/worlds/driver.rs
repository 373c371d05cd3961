//! The driver of a world: it writes, reads, and carries out the engine's actions. Each byte and event is checked.

use mio_fcgi::{Action, ConnectionHandle, Event};

use crate::link::{Learned, Link, Stage};
use crate::world::{Check, World};

impl World {
    pub(crate) fn unsent(&self, connection: ConnectionHandle) -> Vec<u8> {
        let slices = self.engine.transmit(connection);
        slices.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    pub(crate) fn place(&self, connection: ConnectionHandle) -> Option<usize> {
        self.links.iter().position(|link| link.handle == connection)
    }

    /// Writes what there is, but for some bytes at its end.
    pub(crate) fn write(&mut self, place: usize, less: usize) -> Check {
        let handle = self.links[place].handle;
        if self.engine.reads_first(handle) {
            self.read(place)?;
        }
        let mut left = less;
        while let Some(place) = self.place(handle) {
            let bytes = self.unsent(handle);
            let len = bytes.len() - std::mem::take(&mut left).min(bytes.len());
            if len == 0 {
                self.links[place].flushes = false;
                return Ok(());
            }
            self.transmit(place, &bytes[..len])?;
            self.engine.handle_transmitted(self.now, handle, len);
            self.take_outputs()?;
            if less > 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    fn transmit(&mut self, place: usize, bytes: &[u8]) -> Check {
        let link = &mut self.links[place];
        if !link.is_open() {
            return Err(format!("bytes for connection {place}, which is not open"));
        }
        if link.end.is_some() {
            // They reach nobody.
            return Ok(());
        }
        let mut learned = Vec::new();
        link.receive(self.setup.shares, bytes, &mut learned)?;
        let is_looked_at = link.is_looked_at;
        for item in learned {
            match item {
                Learned::Request { request, is_reused } => {
                    let asked = &mut self.requests[request];
                    asked.attempt(is_reused)?;
                    if is_reused && asked.is_cautious() && !is_looked_at && self.setup.shares == 1 {
                        return Err(format!(
                            "request {request} may not be sent twice, and connection {place} was not read before"
                        ));
                    }
                }
                Learned::Whole(request) => self.requests[request].note_whole(self.now),
            }
        }
        Ok(())
    }

    /// Reads until nothing is left.
    pub(crate) fn read(&mut self, place: usize) -> Check {
        let link = &mut self.links[place];
        let (handle, bytes) = (link.handle, std::mem::take(&mut link.inbox));
        let end = link.end.take();
        link.has_news = false;
        let is_short = self.setup.short_reads && !bytes.is_empty() && end.is_none();
        if is_short {
            (link.is_unread, link.reads, link.is_looked_at) = (false, false, true);
            self.engine.handle_short_read(self.now, handle);
        }
        let mut input = &bytes[..];
        while let Some(event) = self.engine.poll_received(self.now, handle, &mut input) {
            self.note(&event)?;
            self.check_assignments()?;
        }
        self.take_outputs()?;
        let Some(place) = self.place(handle) else {
            return Ok(());
        };
        if let Some(why) = end {
            for asked in &mut self.requests {
                asked.note_cut(handle);
            }
            // One that served nobody counts as a failed connect.
            self.has_refused |= self.links.remove(place).begun == 0;
            self.engine.handle_closed(self.now, handle, why);
        } else if !is_short {
            let link = &mut self.links[place];
            (link.is_unread, link.reads, link.is_looked_at) = (false, false, true);
            self.engine.handle_drained(self.now, handle);
        }
        Ok(())
    }

    /// Takes all actions and events.
    pub(crate) fn take_outputs(&mut self) -> Check {
        let mut scratch = [0; 64];
        for _ in 0..1000 {
            if let Some(action) = self.engine.poll_action() {
                self.perform(action)?;
            } else if let Some(event) = self.engine.poll_pending(&mut scratch) {
                self.note(&event)?;
            } else {
                return self.check_assignments();
            }
        }
        Err("outputs without end".into())
    }

    fn perform(&mut self, action: Action) -> Check {
        let (Action::Connect { connection, .. }
        | Action::Close { connection, .. }
        | Action::Flush { connection }
        | Action::Read { connection }) = action
        else {
            return Err(format!("{action:?} is unknown"));
        };
        match (action, self.place(connection)) {
            (Action::Connect { .. }, Some(place)) => self.links[place].stage = Stage::Connecting,
            (Action::Connect { server, .. }, None) => {
                let server = server.number() as usize;
                self.links.push(Link::new(connection, server));
            }
            (Action::Close { .. }, Some(place)) => drop(self.links.remove(place)),
            (Action::Flush { .. }, Some(place)) => self.links[place].flushes = true,
            (Action::Read { .. }, Some(place)) => self.links[place].reads = true,
            (_, None) => return Err(format!("{action:?}, which is not there")),
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, event: &Event<&[u8]>) -> Check {
        let excuses = self.excuses();
        let number = event.tag.0 as usize;
        let Some(asked) = self.requests.get_mut(number) else {
            return Err(format!("an event of request {number}, which is not there"));
        };
        if asked.handle != event.request {
            return Err(format!("request {number} with the handle of another"));
        }
        let noted = asked.note(&event.kind, &excuses);
        noted.map_err(|what| format!("request {number}: {what}"))
    }
}

/// Whether the last record is the empty one that ends `FCGI_STDIN`, and not the first one.
pub(crate) fn ends_with_a_stream_end(bytes: &[u8]) -> bool {
    let rest = bytes.len().checked_sub(8).filter(|rest| *rest > 0);
    rest.is_some_and(|rest| bytes[rest..rest + 2] == [1, 5] && bytes[rest + 4..] == [0; 4])
}
