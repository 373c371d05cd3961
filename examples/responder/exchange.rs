//! One request: what has arrived of it, and what is still to be done.

use std::time::Instant;

use mio_fcgi::wire::{RecordType, Role};

use super::answer::{Cycle, Lines};
use super::buffers::Pool;
use super::page::{Page, Route};

/// An open request.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) id: u16,
    pub(super) keep_conn: bool,
    pub(super) role: Role,
    /// The encoded name-value pairs.
    pub(super) params: Vec<u8>,
    pub(super) stage: Stage,
}

/// The progress of a request. It never goes back.
#[derive(Debug)]
pub(super) enum Stage {
    /// Parameters arrive.
    Params,
    /// The body arrives.
    Body { route: Route, body: Body },
    /// The request is complete; its response is sent when it is due.
    Waiting {
        page: Page,
        body: Body,
        due: Instant,
    },
    /// The head of the response is written. Its body follows as fast as the socket takes it.
    Sending(Cycle),
    /// The head of the response is written. Its body follows in intervals.
    Streaming(Lines),
}

/// What is done with the body of a request.
#[derive(Debug)]
pub(super) enum Body {
    Ignored,
    /// Each piece is sent back at once.
    Echoed,
    /// Kept, up to [`MAX_FORM_LEN`] bytes.
    Kept {
        bytes: Vec<u8>,
        is_cut: bool,
    },
    /// Counted and hashed.
    Tallied(Tally),
}

impl Exchange {
    pub(super) fn new(id: u16, role: Role, keep_conn: bool, params: Vec<u8>) -> Self {
        Self {
            id,
            keep_conn,
            role,
            params,
            stage: Stage::Params,
        }
    }

    /// The stream of the body. A Filter filters the stream DATA, not its STDIN (6.4).
    pub(super) fn body_stream(&self) -> RecordType {
        match self.role {
            Role::Filter => RecordType::Data,
            Role::Responder | Role::Authorizer => RecordType::Stdin,
        }
    }

    /// When the request continues without input.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Waiting { due, .. } => Some(*due),
            Stage::Streaming(lines) => Some(lines.due),
            Stage::Params | Stage::Body { .. } | Stage::Sending(_) => None,
        }
    }

    /// Number of bytes kept of what the peer sent.
    pub(super) fn held_len(&self) -> usize {
        let body_len = match &self.stage {
            Stage::Body { body, .. } | Stage::Waiting { body, .. } => body.held_len(),
            Stage::Params | Stage::Sending(_) | Stage::Streaming(_) => 0,
        };
        self.params.len() + body_len
    }

    /// Gives the memory back.
    pub(super) fn give_back(self, pool: &mut Pool) {
        pool.give(self.params);
        if let Stage::Body { body, .. } | Stage::Waiting { body, .. } = self.stage
            && let Body::Kept { bytes, .. } = body
        {
            pool.give(bytes);
        }
    }
}

impl Body {
    pub(super) fn of(page: Page) -> Self {
        match page {
            Page::Echo => Self::Echoed,
            Page::Form => Self::Kept {
                bytes: Vec::new(),
                is_cut: false,
            },
            Page::Upload => Self::Tallied(Tally::default()),
            _ => Self::Ignored,
        }
    }

    fn held_len(&self) -> usize {
        match self {
            Self::Kept { bytes, .. } => bytes.len(),
            Self::Ignored | Self::Echoed | Self::Tallied(_) => 0,
        }
    }
}

/// The length and the 64-bit FNV-1a hash of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) len: u64,
    pub(super) hash: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            len: 0,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The longest form that is kept, in bytes.
pub(super) const MAX_FORM_LEN: usize = 64 * 1024;
