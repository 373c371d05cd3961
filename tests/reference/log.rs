//! What happened in a world: the bytes of each connection, both ways and in order, and what each request was told.

use std::ops::Range;
use std::time::Duration;

use mio_fcgi::{CloseReason, Disconnected, EventKind, RequestHandle, Retry, ServerId, SubmitError};

use crate::wire::Pair;

/// A place in the order of everything that happens in a world.
pub(crate) type Tick = u64;

/// A connection.
pub(crate) struct Log {
    pub(crate) server: ServerId,
    /// What the engine handed to the transport.
    pub(crate) out: Vec<u8>,
    /// What the engine took of the application's bytes.
    pub(crate) input: Vec<u8>,
    pub(crate) marks: Vec<Mark>,
    /// When the engine was told that the connection is lost, and why.
    pub(crate) lost: Option<(Tick, Disconnected, Duration)>,
    /// When the engine closed the connection.
    pub(crate) closed: Option<(Tick, CloseReason)>,
}

/// How long both directions were at a tick.
pub(crate) struct Mark {
    pub(crate) tick: Tick,
    pub(crate) time: Duration,
    out_len: usize,
    input_len: usize,
}

impl Log {
    pub(crate) fn new(server: ServerId) -> Self {
        Self {
            server,
            out: Vec::new(),
            input: Vec::new(),
            marks: Vec::new(),
            lost: None,
            closed: None,
        }
    }

    pub(crate) fn mark(&mut self, tick: Tick, time: Duration) {
        self.marks.push(Mark {
            tick,
            time,
            out_len: self.out.len(),
            input_len: self.input.len(),
        });
    }

    /// The mark at which the byte at a position had left.
    pub(crate) fn sent(&self, at: usize) -> &Mark {
        &self.marks[self.marks.partition_point(|mark| mark.out_len <= at)]
    }

    /// The tick at which all bytes before a position had arrived.
    pub(crate) fn received(&self, end: usize) -> Tick {
        self.marks[self.marks.partition_point(|mark| mark.input_len < end)].tick
    }

    /// The pieces in which a part of the input arrived, with their ticks.
    pub(crate) fn pieces(&self, part: Range<usize>) -> Vec<(Tick, Range<usize>)> {
        let (mut pieces, mut at) = (Vec::new(), part.start);
        while at < part.end {
            let mark = &self.marks[self.marks.partition_point(|mark| mark.input_len <= at)];
            let end = mark.input_len.min(part.end);
            pieces.push((mark.tick, at..end));
            at = end;
        }
        pieces
    }

    /// How many bytes had left at a tick.
    pub(crate) fn out_len(&self, tick: Tick) -> usize {
        let next = self.marks.partition_point(|mark| mark.tick <= tick);
        next.checked_sub(1)
            .map_or(0, |last| self.marks[last].out_len)
    }
}

/// Where a body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    None,
    Bytes,
    Shared,
    Reader,
    Seekable,
    Pushed,
}

/// A body: what its source has, and the length that was given with it.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) source: Source,
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: Option<usize>,
}

impl Content {
    pub(crate) const NONE: Self = Self {
        source: Source::None,
        bytes: Vec::new(),
        len: Some(0),
    };

    /// Whether the source can be read again from its start after bytes of it have left.
    pub(crate) fn rewinds(&self) -> bool {
        !matches!(self.source, Source::Reader | Source::Pushed)
    }
}

/// A request: what was asked, and what came of it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) tag: u64,
    pub(crate) role: u16,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) body: Content,
    pub(crate) data: Content,
    pub(crate) retry: Retry,
    pub(crate) refused: Option<SubmitError>,
    pub(crate) handle: Option<RequestHandle>,
    pub(crate) submitted: Tick,
    /// How much of a pushed body was taken, and whether it was finished.
    pub(crate) pushed: usize,
    pub(crate) finished: bool,
    pub(crate) aborted: Option<Tick>,
    pub(crate) was_paused: bool,
    pub(crate) is_paused: bool,
    pub(crate) events: Vec<(Tick, EventKind<Vec<u8>>)>,
}

impl Asked {
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.events.last(), Some((_, EventKind::End(_))))
    }

    /// Whether it was accepted and has not ended.
    pub(crate) fn is_pending(&self) -> bool {
        self.handle.is_some() && !self.has_ended()
    }

    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |pair: &&Pair| pair.0 == name.as_bytes();
        self.pairs.iter().filter(is_named).map(|pair| &pair.1[..])
    }
}
