//! One body stream of a request: where its bytes come from, and how many were taken.

use std::fmt;
use std::io::{self, Read, SeekFrom};
use std::sync::Arc;

use super::pushed::Pushed;
use crate::error::BodyError;
use crate::request::{Body, Content, ReadSeek};

/// A [`Body`] being sent. Positions are offsets in the stream.
#[derive(Debug)]
pub(crate) struct Source {
    supply: Supply,
    /// The length declared to the application, if known.
    declared: Option<u64>,
    /// Bytes put into the outbox.
    taken: u64,
}

/// Where the bytes come from.
enum Supply {
    Empty,
    Static(&'static [u8]),
    Bytes(Vec<u8>),
    Shared(Arc<[u8]>),
    Reader(Box<dyn Read + Send>),
    Seekable {
        reader: Box<dyn ReadSeek + Send>,
        /// The reader's position when the request was submitted.
        origin: u64,
    },
    Pushed(Box<Pushed>),
    /// A pushed body that was finished before any byte of it was sent.
    Buffered(Vec<u8>),
}

/// Shows bytes only where they change while the request lives: those that are pushed.
impl fmt::Debug for Supply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Static(_) | Self::Bytes(_) | Self::Shared(_) => f.write_str("Memory"),
            Self::Reader(_) | Self::Seekable { .. } => f.write_str("Reader"),
            Self::Pushed(pushed) => pushed.fmt(f),
            Self::Buffered(bytes) => f.debug_tuple("Buffered").field(bytes).finish(),
        }
    }
}

/// What a stream can provide now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// This number of bytes in memory, at least one.
    Memory(u64),
    /// Bytes from a reader, which has to be called.
    Reader,
    /// The end of a reader that has given its declared length. It has to be called once more, for an excess.
    ReaderEnd,
    /// Nothing until the embedder pushes more.
    Starved,
    /// The end of the stream.
    End,
}

impl Source {
    /// `declared` is the length declared in the parameters; `None` to use the body's own length. `origin` is the
    /// position of a seekable reader.
    #[inline]
    pub(crate) fn new(body: Body, declared: Option<u64>, origin: u64) -> Self {
        let declared = declared.or(body.len());
        let supply = match body.0 {
            Content::Empty => Supply::Empty,
            Content::Static(bytes) => Supply::Static(bytes),
            Content::Bytes(bytes) => Supply::Bytes(bytes),
            Content::Shared(bytes) => Supply::Shared(bytes),
            Content::Reader { reader, .. } => Supply::Reader(reader),
            Content::Seekable { reader, .. } => Supply::Seekable { reader, origin },
            Content::Pushed { .. } => Supply::Pushed(Box::default()),
        };
        Self {
            supply,
            declared,
            taken: 0,
        }
    }

    pub(crate) fn empty() -> Self {
        Self {
            supply: Supply::Empty,
            declared: Some(0),
            taken: 0,
        }
    }

    pub(crate) fn declared(&self) -> Option<u64> {
        self.declared
    }

    #[inline]
    pub(crate) fn ready(&self) -> Ready {
        let left = match &self.supply {
            Supply::Empty => 0,
            Supply::Static(bytes) => bytes.len() as u64 - self.taken,
            Supply::Bytes(bytes) | Supply::Buffered(bytes) => bytes.len() as u64 - self.taken,
            Supply::Shared(bytes) => bytes.len() as u64 - self.taken,
            Supply::Reader(_) | Supply::Seekable { .. } if self.declared == Some(self.taken) => {
                return Ready::ReaderEnd;
            }
            Supply::Reader(_) | Supply::Seekable { .. } => return Ready::Reader,
            Supply::Pushed(pushed) => match pushed.contiguous(self.taken) {
                0 if pushed.ends_here() => return Ready::End,
                0 => return Ready::Starved,
                left => left as u64,
            },
        };
        if left == 0 {
            Ready::End
        } else {
            Ready::Memory(left)
        }
    }

    /// Counts bytes in memory as put into the outbox. Returns their offset.
    pub(crate) fn take(&mut self, len: u64) -> u64 {
        let offset = self.taken;
        self.taken += len;
        offset
    }

    /// Whether the next bytes may be copied, and released before bytes taken earlier are sent. Pushed bytes are released
    /// in order, and those that are lent are not here.
    pub(crate) fn releases_next(&self) -> bool {
        self.pushed()
            .is_none_or(|it| it.offset() == self.taken && it.kept() > 0)
    }

    /// Bytes in memory that were taken and are not yet [released](Self::release).
    #[inline(always)]
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> &[u8] {
        let (bytes, start) = match &self.supply {
            Supply::Static(bytes) => (*bytes, offset),
            Supply::Bytes(bytes) | Supply::Buffered(bytes) => (bytes.as_slice(), offset),
            Supply::Shared(bytes) => (&bytes[..], offset),
            Supply::Pushed(pushed) => return pushed.bytes(offset, len),
            Supply::Empty | Supply::Reader(_) | Supply::Seekable { .. } => (&[][..], 0),
        };
        bytes
            .get(start as usize..start as usize + len)
            .unwrap_or(&[])
    }

    /// Appends at most `max` bytes from the reader to `out`. Returns 0 at the end.
    ///
    /// # Errors
    /// Every variant of [`BodyError`]: the reader failed, ended early, or has more bytes than declared.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, max: usize) -> Result<usize, BodyError> {
        let reader: &mut dyn Read = match &mut self.supply {
            Supply::Reader(reader) => reader,
            Supply::Seekable { reader, .. } => reader,
            Supply::Empty
            | Supply::Static(_)
            | Supply::Bytes(_)
            | Supply::Shared(_)
            | Supply::Pushed(_)
            | Supply::Buffered(_) => {
                return Ok(0);
            }
        };
        let before = out.len();
        // One byte beyond the declared length is requested, to detect an excess.
        let allowed = self.declared.map_or(u64::MAX, |all| all - self.taken);
        let max = (max as u64).min(allowed.saturating_add(1)) as usize;
        out.resize(before + max, 0);
        let read = loop {
            match reader.read(&mut out[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read = match read {
            Ok(read) => read.min(max),
            Err(error) => {
                out.truncate(before);
                return Err(BodyError::Read(error.kind()));
            }
        };
        out.truncate(before + read);
        let excess = read as u64 > allowed;
        let short = read == 0 && self.declared.is_some_and(|all| self.taken < all);
        if excess {
            out.truncate(before);
            return Err(BodyError::TooLong {
                declared: self.declared.unwrap_or_default(),
            });
        }
        if short {
            return Err(BodyError::TooShort {
                declared: self.declared.unwrap_or_default(),
                sent: self.taken,
            });
        }
        self.taken += read as u64;
        if read == 0
            && let Supply::Reader(reader) = &mut self.supply
        {
            // The reader has ended and is not called again.
            *reader = Box::new(io::empty());
        }
        Ok(read)
    }

    /// Frees the memory of pushed bytes that were sent.
    pub(crate) fn release(&mut self, len: usize) {
        if let Some(pushed) = self.pushed_mut() {
            pushed.release(len);
        }
    }

    /// Takes pushed bytes, as many as fit below `high_water`.
    pub(crate) fn push(&mut self, bytes: &[u8], high_water: usize) -> usize {
        let Some(pushed) = self.pushed_mut() else {
            return 0;
        };
        let room = high_water.saturating_sub(pushed.len());
        let taken = bytes.len().min(room);
        pushed.keep(&bytes[..taken]);
        taken
    }

    /// Takes pushed bytes that are lent: as many as fit below `high_water`, and none if these are fewer than `least`.
    pub(super) fn lend(&mut self, len: usize, high_water: usize, least: usize) -> usize {
        let declared = self.declared;
        let Some(pushed) = self.pushed_mut() else {
            return 0;
        };
        let taken = len.min(high_water.saturating_sub(pushed.len()));
        if taken < least {
            return 0;
        }
        pushed.lend(taken);
        if declared == Some(pushed.total()) {
            pushed.set_whole();
        }
        taken
    }

    /// The bytes from an offset on, out of the bytes that were lent. `None` for bytes that are here.
    pub(super) fn lent<'a>(&self, offset: u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.pushed()?.lent(offset, bytes)
    }

    /// Keeps what was not sent of the bytes that were lent.
    pub(super) fn keep_lent(&mut self, bytes: &[u8]) {
        if let Some(pushed) = self.pushed_mut() {
            pushed.keep_lent(bytes);
        }
    }

    pub(crate) fn finish(&mut self) {
        if let Some(pushed) = self.pushed_mut() {
            pushed.finish();
        }
    }

    pub(crate) fn is_pushed(&self) -> bool {
        matches!(self.supply, Supply::Pushed(_) | Supply::Buffered(_))
    }

    pub(crate) fn is_finished(&self) -> bool {
        match &self.supply {
            Supply::Pushed(pushed) => pushed.is_finished(),
            Supply::Buffered(_) => true,
            _ => false,
        }
    }

    /// Pushed bytes in memory.
    pub(crate) fn pushed_len(&self) -> usize {
        self.pushed().map_or(0, Pushed::len)
    }

    /// Bytes pushed since the start.
    pub(crate) fn pushed_total(&self) -> u64 {
        self.pushed().map_or(0, Pushed::total)
    }

    /// Turns a finished pushed body into one of known length.
    pub(crate) fn fix_length(&mut self) {
        if let Some(pushed) = self.pushed_mut() {
            let bytes = pushed.take_all();
            self.declared = Some(bytes.len() as u64);
            self.supply = Supply::Buffered(bytes);
        }
    }

    /// Whether the body can be sent again after bytes of it were sent.
    pub(crate) fn is_repeatable(&self) -> bool {
        match &self.supply {
            Supply::Empty
            | Supply::Static(_)
            | Supply::Bytes(_)
            | Supply::Shared(_)
            | Supply::Buffered(_)
            | Supply::Seekable { .. } => true,
            Supply::Reader(_) | Supply::Pushed(_) => false,
        }
    }

    /// Takes all bytes back that were taken from the source. None of them was sent.
    pub(crate) fn take_back(&mut self, taken: Vec<u8>) {
        debug_assert_eq!(taken.len() as u64, self.taken);
        match &mut self.supply {
            Supply::Pushed(pushed) => pushed.take_back(taken, self.taken),
            Supply::Reader(reader) => {
                let rest = std::mem::replace(reader, Box::new(io::empty()));
                *reader = Box::new(io::Cursor::new(taken).chain(rest));
            }
            // These are read again from the start by `rewind`.
            Supply::Empty
            | Supply::Static(_)
            | Supply::Bytes(_)
            | Supply::Shared(_)
            | Supply::Buffered(_)
            | Supply::Seekable { .. } => return,
        }
        self.taken = 0;
    }

    /// Goes back to the start for a retry. False when that is not possible.
    pub(crate) fn rewind(&mut self) -> bool {
        let possible = match &mut self.supply {
            Supply::Empty
            | Supply::Static(_)
            | Supply::Bytes(_)
            | Supply::Shared(_)
            | Supply::Buffered(_) => true,
            Supply::Reader(_) => self.taken == 0,
            Supply::Pushed(pushed) => pushed.offset() == 0,
            Supply::Seekable { reader, origin } => {
                self.taken == 0 || reader.seek(SeekFrom::Start(*origin)).is_ok()
            }
        };
        if possible {
            self.taken = 0;
        }
        possible
    }

    #[inline]
    fn pushed(&self) -> Option<&Pushed> {
        match &self.supply {
            Supply::Pushed(pushed) => Some(pushed),
            _ => None,
        }
    }

    #[inline]
    fn pushed_mut(&mut self) -> Option<&mut Pushed> {
        match &mut self.supply {
            Supply::Pushed(pushed) => Some(pushed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn drain(source: &mut Source) -> Result<Vec<u8>, BodyError> {
        let mut out = Vec::new();
        while source.read(&mut out, 3)? > 0 {}
        Ok(out)
    }

    #[test]
    fn a_reader_is_held_against_its_declared_length() {
        let source = |len| Source::new(Body::reader(&b"12345678"[..], None), len, 0);
        assert_eq!(drain(&mut source(Some(8))), Ok(b"12345678".to_vec()));
        assert_eq!(drain(&mut source(None)), Ok(b"12345678".to_vec()));
        let long = BodyError::TooLong { declared: 7 };
        assert_eq!(drain(&mut source(Some(7))), Err(long));
        let (declared, sent) = (9, 8);
        let short = BodyError::TooShort { declared, sent };
        assert_eq!(drain(&mut source(Some(9))), Err(short));
    }

    #[test]
    fn a_seekable_reader_rewinds_to_where_it_stood() {
        let mut cursor = Cursor::new(b"skipped,body".to_vec());
        cursor.set_position(8);
        let mut source = Source::new(Body::seekable(cursor, None), None, 8);
        assert_eq!(drain(&mut source), Ok(b"body".to_vec()));
        assert!(source.rewind());
        assert_eq!(drain(&mut source), Ok(b"body".to_vec()));
    }

    #[test]
    fn pushed_bytes_are_bounded_released_and_then_not_rewindable() {
        let mut source = Source::new(Body::pushed(None), None, 0);
        assert_eq!(source.ready(), Ready::Starved);
        assert_eq!(source.push(b"0123456789", 8), 8);
        assert_eq!(source.ready(), Ready::Memory(8));
        assert_eq!(source.take(5), 0);
        assert!(source.rewind(), "nothing was released yet");
        assert_eq!(source.take(5), 0);
        source.release(5);
        assert_eq!(source.bytes(5, 3), b"567");
        assert!(!source.rewind());
        assert_eq!(source.push(b"89", 8), 2);
        assert_eq!(source.ready(), Ready::Memory(3), "next to each other");
        assert_eq!(source.take(3), 5);
        assert_eq!(source.ready(), Ready::Memory(2));
        assert_eq!(source.take(2), 8);
        assert_eq!(source.bytes(8, 2), b"89");
        source.finish();
        assert_eq!(source.ready(), Ready::End);
    }

    #[test]
    fn a_reader_that_is_interrupted_is_asked_again() {
        struct Once(bool);
        impl Read for Once {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                if !std::mem::replace(&mut self.0, true) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                b"x".as_slice().read(out)
            }
        }
        let mut source = Source::new(Body::reader(Once(false), None), None, 0);
        let mut out = Vec::new();
        assert_eq!(source.read(&mut out, 3), Ok(1));
        assert_eq!(out, b"x");
    }

    #[test]
    fn a_pushed_body_that_never_runs_dry_takes_no_more_memory_the_longer_it_gets() {
        let mut source = Source::new(Body::pushed(None), None, 0);
        assert_eq!(source.push(&[0; 64], 64), 64);
        for _ in 0..1_000 {
            source.take(32);
            source.release(32);
            assert_eq!(source.push(&[0; 64], 64), 32);
        }
        let memory = source.pushed().map(Pushed::capacity);
        assert!(memory <= Some(4 * 64), "{memory:?}");
    }

    #[test]
    fn debug_tells_where_the_bytes_come_from_and_shows_none_that_are_the_embedders() {
        let shown = |body: Body| format!("{:?}", Source::new(body, None, 0).supply);
        assert_eq!(shown(Body::bytes("secret")), "Memory");
        assert_eq!(shown(Body::reader(&b"secret"[..], None)), "Reader");
        assert_eq!(format!("{:?}", Source::empty().supply), "Empty");
    }

    #[test]
    fn only_pushed_bytes_that_are_here_and_next_are_released_before_others() {
        assert!(Source::empty().releases_next());
        let mut source = Source::new(Body::pushed(None), None, 0);
        assert!(!source.releases_next(), "nothing is here");
        source.push(b"0123456789", 10);
        assert!(source.releases_next());
        source.take(5);
        assert!(!source.releases_next(), "the first five come first");
        source.release(5);
        assert!(source.releases_next());
    }

    #[test]
    fn bytes_are_lent_from_the_least_number_on() {
        let mut source = Source::new(Body::pushed(None), None, 0);
        assert_eq!(source.lend(4, 100, 5), 0);
        assert_eq!(source.lend(5, 100, 5), 5);
    }
}
