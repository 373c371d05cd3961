//! The settings of virtual connections, and one direction of a connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::later::later;
use super::rng::Rng;

/// How the transport connections to a server behave.
///
/// By default a byte arrives at the instant at which it is sent, and each direction holds 64 KiB.
///
/// ```
/// use std::time::Duration;
/// use mio_fcgi::testkit::{Fragments, Link};
///
/// let far_away = Link::default().with_latency(Duration::from_millis(80)).with_bytes_per_second(100_000);
/// let in_pieces = Link::unix().with_reads(Fragments::UpTo(5)).with_writes(Fragments::Each(1));
/// let dies = Link::default().with_reset_after(1_000);
/// # drop((far_away, in_pieces, dies));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub(super) latency: Duration,
    /// `None`: no limit.
    pub(super) bytes_per_second: Option<u64>,
    pub(super) capacity: usize,
    pub(super) reads: Fragments,
    /// The driver reads until a read would block, because a read that brings less than its buffer proves nothing: so
    /// it is with selectors that are not edge-triggered.
    pub(super) reads_until_blocked: bool,
    pub(super) writes: Fragments,
    pub(super) after_close: AfterClose,
    pub(super) breaks: Option<Break>,
}

/// What becomes of a write to a connection that the application has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterClose {
    /// It succeeds, and what was written is lost, until a reset has come back. Then it fails. As TCP.
    Taken,
    /// It fails at once. As a Unix socket.
    Fails,
}

impl Link {
    /// A Unix socket: a write fails at once when the application has closed the connection.
    ///
    /// The default is TCP: such a write succeeds and is lost, until a reset has come back from the application.
    #[must_use]
    pub fn unix() -> Self {
        Self {
            after_close: AfterClose::Fails,
            ..Self::default()
        }
    }

    /// Changes the time that a byte takes from one side to the other. A connect takes it twice. Default: zero.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Changes how many bytes pass in a second, in each direction (0 counts as 1). Default: no limit.
    #[must_use]
    pub fn with_bytes_per_second(mut self, rate: u64) -> Self {
        self.bytes_per_second = Some(rate);
        self
    }

    /// Changes how many bytes one direction holds (0 counts as 1), in flight and unread together. When it is full, a
    /// write takes nothing more. Default: 64 KiB.
    #[must_use]
    pub fn with_capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// Changes how long the client's buffer is in one read. A read that brings less has emptied the socket; a read that
    /// fills its buffer exactly is followed by another. Default: 64 KiB, as [`Fragments::Whole`].
    #[must_use]
    pub fn with_reads(mut self, reads: Fragments) -> Self {
        self.reads = reads;
        self
    }

    /// Changes how many bytes one write of the client takes. Default: as many as there is room for.
    #[must_use]
    pub fn with_writes(mut self, writes: Fragments) -> Self {
        self.writes = writes;
        self
    }

    /// Closes each connection when the application has sent this many bytes, whatever its behavior, as the system does
    /// when the application's process dies. With 0, the connection is closed when it has been made.
    #[must_use]
    pub fn with_close_after(self, sent: u64) -> Self {
        self.with_break(Break {
            counts: Towards::Client,
            after: sent,
            end: CloseKind::Fin,
        })
    }

    /// Resets each connection when the application has sent this many bytes. The client loses what it has not read.
    #[must_use]
    pub fn with_reset_after(self, sent: u64) -> Self {
        self.with_break(Break {
            counts: Towards::Client,
            after: sent,
            end: CloseKind::Reset,
        })
    }
}

// Not covered by semantic versioning: see `internals`.
#[doc(hidden)]
impl Link {
    #[must_use]
    pub fn with_break(mut self, breaks: Break) -> Self {
        self.breaks = Some(breaks);
        self
    }

    #[must_use]
    pub fn with_reads_until_blocked(mut self, reads_until_blocked: bool) -> Self {
        self.reads_until_blocked = reads_until_blocked;
        self
    }

    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    #[must_use]
    pub fn reads(&self) -> Fragments {
        self.reads
    }

    #[must_use]
    pub fn writes(&self) -> Fragments {
        self.writes
    }
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            bytes_per_second: None,
            capacity: 64 * 1024,
            reads: Fragments::Whole,
            reads_until_blocked: false,
            writes: Fragments::Whole,
            after_close: AfterClose::Taken,
            breaks: None,
        }
    }
}

/// Where a run of bytes is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragments {
    /// Nowhere: all bytes in one piece.
    #[default]
    Whole,
    /// After every N bytes (0 counts as 1).
    Each(usize),
    /// After 1 to N bytes, drawn from the seed each time.
    UpTo(usize),
}

impl Fragments {
    /// The length of the next buffer, at most `whole`.
    pub(super) fn buffer_len(self, whole: usize, rng: &mut Rng) -> usize {
        self.cut(whole, rng)
    }

    /// The length of the next piece of `available` bytes. At least 1.
    pub(super) fn cut(self, available: usize, rng: &mut Rng) -> usize {
        match self {
            Self::Whole => available,
            Self::Each(len) => available.min(len.max(1)),
            Self::UpTo(most) => available.min(1 + rng.below(most.max(1) as u64) as usize),
        }
    }
}

/// An end that no behavior asks for, as when the application's process or its machine dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// The direction whose bytes are counted.
    pub counts: Towards,
    /// How many bytes pass before the end. 0 ends the connection when it has been made.
    pub after: u64,
    /// How the connection ends.
    pub end: CloseKind,
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// From the application to the client.
    Client,
    /// From the client to the application. A byte counts when the application reads it.
    Application,
}

/// One direction of a connection. A byte is outside while the pipe is full, then in flight, then unread.
#[derive(Debug)]
pub(super) struct Pipe {
    link: Link,
    outside: VecDeque<Segment>,
    flying: VecDeque<(Instant, Segment)>,
    unread: VecDeque<u8>,
    /// When the unread bytes arrived, and how many each time.
    arrivals: VecDeque<(Instant, usize)>,
    /// The end, which is after the unread bytes, and when it arrived.
    end: Option<(Instant, CloseKind)>,
    /// When bytes were read last.
    read_at: Option<Instant>,
    in_flight: usize,
    busy_until: Instant,
}

#[derive(Debug)]
enum Segment {
    Bytes(Vec<u8>),
    End(CloseKind),
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseKind {
    /// In order, after the bytes.
    Fin,
    /// At once. What was not read is lost.
    Reset,
}

impl Pipe {
    pub(super) fn new(link: Link, now: Instant) -> Self {
        Self {
            link,
            outside: VecDeque::new(),
            flying: VecDeque::new(),
            unread: VecDeque::new(),
            arrivals: VecDeque::new(),
            end: None,
            read_at: None,
            in_flight: 0,
            busy_until: now,
        }
    }

    /// How many bytes a write can add.
    pub(super) fn room(&self) -> usize {
        let taken = self.in_flight + self.unread.len();
        self.link.capacity.max(1).saturating_sub(taken)
    }

    /// Sends bytes, which wait outside until there is room. Returns when the last of those that are now in flight
    /// arrives.
    pub(super) fn send(&mut self, now: Instant, bytes: Vec<u8>) -> Option<Instant> {
        if bytes.is_empty() {
            return None;
        }
        self.outside.push_back(Segment::Bytes(bytes));
        self.take_off(now)
    }

    pub(super) fn finish(&mut self, now: Instant, end: CloseKind) -> Option<Instant> {
        if end == CloseKind::Reset {
            self.outside.clear();
            let at = later(now, self.link.latency);
            self.flying.retain(|(arrival, _)| *arrival <= at);
            self.flying.push_back((at, Segment::End(end)));
            self.count_flying();
            return Some(at);
        }
        self.outside.push_back(Segment::End(end));
        self.take_off(now)
    }

    /// Moves what there is room for from outside into flight. Returns the last arrival.
    fn take_off(&mut self, now: Instant) -> Option<Instant> {
        let mut last = None;
        loop {
            let room = self.room();
            let segment = match self.outside.front_mut() {
                Some(Segment::Bytes(_)) if room == 0 => return last,
                Some(Segment::Bytes(bytes)) if bytes.len() > room => {
                    let rest = bytes.split_off(room);
                    Segment::Bytes(std::mem::replace(bytes, rest))
                }
                Some(_) => match self.outside.pop_front() {
                    Some(segment) => segment,
                    None => return last,
                },
                None => return last,
            };
            let len = match &segment {
                Segment::Bytes(bytes) => bytes.len(),
                Segment::End(_) => 0,
            };
            self.in_flight += len;
            let passing = self.link.bytes_per_second.map_or(Duration::ZERO, |rate| {
                Duration::from_nanos((len as u64).saturating_mul(1_000_000_000) / rate.max(1))
            });
            self.busy_until = later(self.busy_until.max(now), passing);
            let at = later(self.busy_until, self.link.latency);
            self.flying.push_back((at, segment));
            last = Some(at);
        }
    }

    /// Makes unread what has arrived by now. True when there was anything.
    pub(super) fn arrive(&mut self, now: Instant) -> bool {
        let mut any = false;
        while self.flying.front().is_some_and(|(at, _)| *at <= now) {
            let Some((at, segment)) = self.flying.pop_front() else {
                break;
            };
            any = true;
            match segment {
                Segment::Bytes(bytes) => {
                    self.in_flight -= bytes.len();
                    self.arrivals.push_back((at, bytes.len()));
                    self.unread.extend(bytes);
                }
                Segment::End(CloseKind::Fin) => self.end = Some((at, CloseKind::Fin)),
                Segment::End(CloseKind::Reset) => {
                    self.unread.clear();
                    self.arrivals.clear();
                    self.end = Some((at, CloseKind::Reset));
                }
            }
        }
        any
    }

    /// Moves up to `len` unread bytes to `out`. Returns when the bytes arrive for which there is room now.
    pub(super) fn read(&mut self, now: Instant, len: usize, out: &mut Vec<u8>) -> Option<Instant> {
        let len = len.min(self.unread.len());
        out.extend(self.unread.drain(..len));
        if len > 0 {
            self.read_at = Some(now);
        }
        self.drop_arrivals(len);
        self.take_off(now)
    }

    /// Puts bytes back in front of the unread ones.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().rev() {
            self.unread.push_front(*byte);
        }
    }

    fn drop_arrivals(&mut self, mut len: usize) {
        while let Some((_, arrived)) = self.arrivals.front_mut() {
            if *arrived > len {
                *arrived -= len;
                return;
            }
            len -= *arrived;
            self.arrivals.pop_front();
        }
    }

    /// Drops the unread bytes. Returns when the bytes arrive for which there is room now.
    pub(super) fn discard(&mut self, now: Instant) -> Option<Instant> {
        self.unread.clear();
        self.arrivals.clear();
        self.take_off(now)
    }

    /// Since when there have been bytes to read, or the end, whether that was announced or not. The end does not count
    /// at the instant at which the bytes before it were read: they do not show it.
    pub(super) fn waits_since(&self, now: Instant) -> Option<Instant> {
        let read = self.arrivals.front().map(|(at, _)| *at);
        let flying = self.flying.front().map(|(at, _)| *at);
        let end = self.end.map(|(at, _)| at);
        let end = end.filter(|_| self.read_at != Some(now));
        let arrived = flying.filter(|at| *at <= now);
        read.or(end).or(arrived)
    }

    /// Whether the end has arrived. There may be unread bytes before it.
    pub(super) fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// Whether a reset has arrived.
    pub(super) fn was_reset(&self) -> bool {
        matches!(self.end, Some((_, CloseKind::Reset)))
    }

    pub(super) fn unread_len(&self) -> usize {
        self.unread.len()
    }

    /// How the direction has ended, when all bytes are read.
    pub(super) fn ended(&self) -> Option<CloseKind> {
        let (_, end) = self.end.filter(|_| self.unread.is_empty())?;
        Some(end)
    }

    fn count_flying(&mut self) {
        let len = |segment: &Segment| match segment {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::End(_) => 0,
        };
        self.in_flight = self.flying.iter().map(|(_, segment)| len(segment)).sum();
    }
}
