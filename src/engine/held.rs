//! Output held back for a paused request that shares its connection.

use std::collections::VecDeque;

use crate::event::Outcome;

/// In the order it arrived: pieces of output, the end of output, the outcome.
#[derive(Debug, Default)]
pub(super) struct Held {
    octets: Vec<u8>,
    /// Taken part of `octets`.
    taken: usize,
    pieces: VecDeque<Piece>,
    /// Pieces of stdout and stderr among them.
    runs: usize,
    /// The outcome, once the application has ended the request or the connection is lost.
    pub(super) outcome: Option<Outcome>,
}

/// One run of output of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Stdout(usize),
    Stderr(usize),
    StdoutEnd,
}

/// Runs whose bookkeeping is not counted: an ordinary response has fewer.
const FREE_RUNS: usize = 4;

/// What is taken out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// So many octets of `FCGI_STDOUT` were copied.
    Stdout(usize),
    /// So many octets of `FCGI_STDERR` were copied.
    Stderr(usize),
    /// The end of `FCGI_STDOUT`.
    StdoutEnd,
    /// Nothing is left.
    Nothing,
}

impl Held {
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
        if self.taken * 2 > self.octets.len() {
            self.octets.drain(..self.taken);
            self.taken = 0;
        }
        self.octets.extend_from_slice(data);
    }

    fn begin_run(&mut self, piece: Piece) {
        self.pieces.push_back(piece);
        self.runs += 1;
    }

    /// Octets held. Stdout and stderr that alternate in small pieces cost their bookkeeping as well.
    pub(super) fn len(&self) -> usize {
        let bookkeeping = self.runs.saturating_sub(FREE_RUNS) * size_of::<Piece>();
        self.octets.len() - self.taken + bookkeeping
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
            scratch[..len].copy_from_slice(&self.octets[self.taken..self.taken + len]);
            self.taken += len;
            if self.taken == self.octets.len() {
                self.octets.clear();
                self.taken = 0;
            }
        }
        if left == 0 {
            self.pieces.pop_front();
            self.runs -= usize::from(taken != Taken::StdoutEnd);
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether output comes next, and room is needed for it.
    pub(super) fn needs_room(&self) -> bool {
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
        let mut held = Held::default();
        for _ in 0..1000 {
            held.stdout(b"o");
            held.stderr(b"e");
        }
        held.stdout_end();
        assert_eq!(held.len(), 2000 + (2000 - FREE_RUNS) * size_of::<Piece>());
        while held.take(&mut [0; 8]) != Taken::Nothing {}
        assert_eq!(held.len(), 0);
    }

    #[test]
    fn pieces_come_out_in_order_and_cut_to_the_buffer() {
        let mut held = Held::default();
        held.stdout(b"abc");
        held.stdout(b"de");
        held.stderr(b"!");
        held.stdout_end();
        assert_eq!(held.len(), 6);
        let mut scratch = [0; 4];
        assert_eq!(held.take(&mut scratch), Taken::Stdout(4));
        assert_eq!(&scratch, b"abcd");
        assert_eq!(held.take(&mut scratch), Taken::Stdout(1));
        assert_eq!(held.take(&mut scratch), Taken::Stderr(1));
        assert_eq!(held.len(), 0);
        assert!(!held.is_empty());
        assert_eq!(held.take(&mut scratch), Taken::StdoutEnd);
        assert_eq!(held.take(&mut scratch), Taken::Nothing);
    }

    #[test]
    fn adjacent_pieces_of_one_kind_come_out_as_one() {
        let mut held = Held::default();
        for piece in [b"ab", b"cd"] {
            held.stderr(piece);
        }
        let mut scratch = [0; 8];
        assert_eq!(held.take(&mut scratch), Taken::Stderr(4));
        assert_eq!(&scratch[..4], b"abcd");
        assert_eq!(held.take(&mut scratch), Taken::Nothing);
        assert!(held.is_empty());
    }

    #[test]
    fn what_was_taken_is_given_back_when_it_is_more_than_the_rest() {
        for (taken, kept) in [(30, 101), (50, 101), (60, 41)] {
            let mut held = Held::default();
            held.stdout(&[b'x'; 100]);
            held.take(&mut vec![0; taken]);
            held.stdout(b"y");
            assert_eq!(held.octets.len(), kept, "{taken} of 100 were taken");
            assert_eq!(held.len(), 101 - taken);
        }
    }
}
