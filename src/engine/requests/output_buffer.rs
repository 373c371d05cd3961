//! The output buffered for a paused request.

use std::collections::VecDeque;

use crate::event::Outcome;

/// Pieces of output and the end of output in the order of arrival, then the outcome.
#[derive(Debug, Default)]
pub(super) struct OutputBuffer {
    bytes: Vec<u8>,
    /// How many bytes at the start of `bytes` were taken.
    taken: usize,
    pieces: VecDeque<Piece>,
    /// The number of stdout and stderr pieces.
    runs: usize,
    /// The outcome, once the application has ended the request or the connection is lost.
    outcome: Option<Outcome>,
}

/// A run of output from one stream, or the end of stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Stdout(usize),
    Stderr(usize),
    StdoutEnd,
}

/// The number of runs whose bookkeeping is not counted. An ordinary response has fewer.
const FREE_RUNS: usize = 4;

/// The result of taking output from the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// This number of bytes of `FCGI_STDOUT` was copied.
    Stdout(usize),
    /// This number of bytes of `FCGI_STDERR` was copied.
    Stderr(usize),
    /// The end of `FCGI_STDOUT`.
    StdoutEnd,
    /// The buffer is empty.
    Nothing,
}

impl OutputBuffer {
    pub(super) fn stdout(&mut self, data: &[u8]) {
        self.append(data);
        match self.pieces.back_mut() {
            Some(Piece::Stdout(len)) => *len += data.len(),
            _ => self.begin_run(Piece::Stdout(data.len())),
        }
    }

    pub(super) fn stderr(&mut self, data: &[u8]) {
        self.append(data);
        match self.pieces.back_mut() {
            Some(Piece::Stderr(len)) => *len += data.len(),
            _ => self.begin_run(Piece::Stderr(data.len())),
        }
    }

    pub(super) fn stdout_end(&mut self) {
        self.pieces.push_back(Piece::StdoutEnd);
    }

    fn append(&mut self, data: &[u8]) {
        if self.taken * 2 > self.bytes.len() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(data);
    }

    fn begin_run(&mut self, piece: Piece) {
        self.pieces.push_back(piece);
        self.runs += 1;
    }

    /// The bytes buffered. Small pieces that alternate between stdout and stderr count with their bookkeeping.
    pub(super) fn len(&self) -> usize {
        let bookkeeping = self.runs.saturating_sub(FREE_RUNS) * size_of::<Piece>();
        self.bytes.len() - self.taken + bookkeeping
    }

    /// Moves the next piece to the front of `scratch`, as much as fits.
    pub(super) fn take(&mut self, scratch: &mut [u8]) -> Taken {
        let Some(piece) = self.pieces.front_mut() else {
            return Taken::Nothing;
        };
        let (taken, left) = match piece {
            Piece::StdoutEnd => (Taken::StdoutEnd, 0),
            Piece::Stdout(len) => {
                let fits = scratch.len().min(*len);
                *len -= fits;
                (Taken::Stdout(fits), *len)
            }
            Piece::Stderr(len) => {
                let fits = scratch.len().min(*len);
                *len -= fits;
                (Taken::Stderr(fits), *len)
            }
        };
        if let Taken::Stdout(len) | Taken::Stderr(len) = taken {
            scratch[..len].copy_from_slice(&self.bytes[self.taken..self.taken + len]);
            self.taken += len;
            if self.taken == self.bytes.len() {
                self.bytes.clear();
                self.taken = 0;
            }
        }
        if left == 0 {
            self.pieces.pop_front();
            self.runs -= usize::from(taken != Taken::StdoutEnd);
        }
        taken
    }

    pub(super) fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    pub(super) fn into_outcome(self) -> Option<Outcome> {
        self.outcome
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether the next piece is output, which needs space in `scratch`.
    pub(super) fn is_output_next(&self) -> bool {
        matches!(
            self.pieces.front(),
            Some(Piece::Stdout(_) | Piece::Stderr(_))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_in_alternation_count_with_their_bookkeeping() {
        let mut buffer = OutputBuffer::default();
        for _ in 0..1000 {
            buffer.stdout(b"o");
            buffer.stderr(b"e");
        }
        buffer.stdout_end();
        assert_eq!(buffer.len(), 2000 + (2000 - FREE_RUNS) * size_of::<Piece>());
        while buffer.take(&mut [0; 8]) != Taken::Nothing {}
        assert_eq!(buffer.len(), 0);
    }

    #[test]
    fn pieces_come_out_in_order_and_cut_to_the_buffer() {
        let mut buffer = OutputBuffer::default();
        buffer.stdout(b"abc");
        buffer.stdout(b"de");
        buffer.stderr(b"!");
        buffer.stdout_end();
        assert_eq!(buffer.len(), 6);
        let mut scratch = [0; 4];
        assert_eq!(buffer.take(&mut scratch), Taken::Stdout(4));
        assert_eq!(&scratch, b"abcd");
        assert_eq!(buffer.take(&mut scratch), Taken::Stdout(1));
        assert_eq!(buffer.take(&mut scratch), Taken::Stderr(1));
        assert_eq!(buffer.len(), 0);
        assert!(!buffer.is_empty());
        assert_eq!(buffer.take(&mut scratch), Taken::StdoutEnd);
        assert_eq!(buffer.take(&mut scratch), Taken::Nothing);
    }

    #[test]
    fn adjacent_pieces_of_one_kind_come_out_as_one() {
        let mut buffer = OutputBuffer::default();
        for piece in [b"ab", b"cd"] {
            buffer.stderr(piece);
        }
        let mut scratch = [0; 8];
        assert_eq!(buffer.take(&mut scratch), Taken::Stderr(4));
        assert_eq!(&scratch[..4], b"abcd");
        assert_eq!(buffer.take(&mut scratch), Taken::Nothing);
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_was_taken_is_given_back_when_it_is_more_than_the_rest() {
        for (taken, kept) in [(30, 101), (50, 101), (60, 41)] {
            let mut buffer = OutputBuffer::default();
            buffer.stdout(&[b'x'; 100]);
            buffer.take(&mut vec![0; taken]);
            buffer.stdout(b"y");
            assert_eq!(buffer.bytes.len(), kept, "{taken} of 100 were taken");
            assert_eq!(buffer.len(), 101 - taken);
        }
    }
}
