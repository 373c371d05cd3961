//! The private loop: one client on a poll of its own.

use std::io;
use std::ops::ControlFlow;
use std::time::Instant;

use mio::{Events, Poll, Token};

use crate::config::Config;
use crate::event::Event;
use crate::net::{Client, ReadBuf};

#[derive(Debug)]
pub(super) struct Turns {
    pub(super) client: Client,
    poll: Poll,
    events: Events,
    buf: ReadBuf,
}

impl Turns {
    /// A client of one connection to each server.
    pub(super) fn new(config: Config) -> io::Result<Self> {
        let poll = Poll::new()?;
        let tokens = config.limits.max_connections_per_server * config.servers.len();
        Ok(Self {
            client: Client::new(poll.registry(), Token(0)..Token(tokens), config)?,
            poll,
            events: Events::with_capacity(8),
            buf: ReadBuf::default(),
        })
    }

    /// Waits until there is work, at most until `until`, and does it. Passes each event to `on_event` until that
    /// breaks; the next turn continues there.
    pub(super) fn turn(
        &mut self,
        until: Option<Instant>,
        mut on_event: impl FnMut(&mut Client, Instant, Event<&[u8]>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let now = Instant::now();
        let waits = [
            self.client.timeout(now),
            until.map(|until| until.saturating_duration_since(now)),
        ];
        match self
            .poll
            .poll(&mut self.events, waits.into_iter().flatten().min())
        {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        let now = Instant::now();
        for event in &self.events {
            self.client.handle_event(event);
        }
        self.client.handle_timeout(now);
        while let Some(event) = self.client.poll_event(now, &mut self.buf) {
            if on_event(&mut self.client, now, event).is_break() {
                break;
            }
        }
        Ok(())
    }
}
