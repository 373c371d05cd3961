//! One request of a scripted application.

use std::collections::VecDeque;

use super::habits::{SplitPairs, Starts};
use super::script::{Received, Script, Step};
use crate::wire::{Pairs, Role};

pub(super) struct Exchange {
    pub(super) received: Received,
    pub(super) steps: VecDeque<Step>,
    /// Octets of `FCGI_PARAMS` that no pair was made of yet.
    encoded_params: Vec<u8>,
    pub(super) has_params: bool,
    /// Its script has been asked for.
    pub(super) has_started: bool,
    pub(super) has_stdin: bool,
    pub(super) has_data: bool,
    pub(super) has_ended: bool,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    /// A [`Script::wait`] is running.
    pub(super) is_waiting: bool,
    /// Nothing more that comes of the body counts.
    pub(super) is_cut: bool,
    /// Octets of the body have come that the script does not wait for.
    pub(super) has_unused: bool,
    /// Octets of the body in front of its last empty record.
    pub(super) ended_len: usize,
}

/// An output stream.
#[derive(Default)]
pub(super) struct Output {
    pub(super) held: Vec<u8>,
    pub(super) is_used: bool,
    pub(super) has_ended: bool,
}

impl Exchange {
    pub(super) fn new(connection: usize, request_id: u16, role: Role, keep: bool) -> Self {
        Self {
            received: Received {
                connection,
                request_id,
                role,
                keep,
                params: Vec::new(),
                stdin: Vec::new(),
                data: Vec::new(),
                is_aborted: false,
            },
            steps: VecDeque::new(),
            encoded_params: Vec::new(),
            has_params: false,
            has_started: false,
            has_stdin: false,
            has_data: role != Role::Filter,
            has_ended: false,
            stdout: Output::default(),
            stderr: Output::default(),
            is_waiting: false,
            is_cut: false,
            has_unused: false,
            ended_len: 0,
        }
    }

    /// Takes octets of `FCGI_PARAMS`; false when a pair is cut where none may be. `ends_record`: no more of
    /// them are in this record.
    pub(super) fn add_params(&mut self, data: &[u8], ends_record: bool, split: SplitPairs) -> bool {
        self.encoded_params.extend_from_slice(data);
        if !ends_record || split == SplitPairs::Joined {
            return true;
        }
        self.decode_params(split)
    }

    /// The parameters are complete.
    pub(super) fn end_params(&mut self, split: SplitPairs) {
        self.decode_params(split);
        self.has_params = true;
    }

    /// Makes pairs of what has come; false when the last one is not whole.
    fn decode_params(&mut self, split: SplitPairs) -> bool {
        let encoded = std::mem::take(&mut self.encoded_params);
        let params = &mut self.received.params;
        if split == SplitPairs::Misread {
            let mut rest = &encoded[..];
            params.extend(std::iter::from_fn(|| take_pair(&mut rest)));
            return true;
        }
        let mut is_whole = true;
        for pair in Pairs::new(&encoded) {
            match pair {
                Ok((name, value)) => params.push((name.to_vec(), value.to_vec())),
                Err(_) => is_whole = false,
            }
        }
        is_whole
    }

    /// The octets of the body that the request declares.
    fn declared_len(&self) -> usize {
        let text = self.received.param("CONTENT_LENGTH");
        let text = text.and_then(|octets| std::str::from_utf8(octets).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Takes octets of the body; false when they exceed what is declared, where that counts.
    pub(super) fn add_stdin(&mut self, data: &[u8], starts: Starts) -> bool {
        if self.is_cut {
            return true;
        }
        let most = match starts {
            Starts::WithBody => self
                .declared_len()
                .saturating_sub(self.received.stdin.len()),
            Starts::WithParams | Starts::WithStdin => data.len(),
        };
        let stdin = &mut self.received.stdin;
        stdin.extend_from_slice(&data[..data.len().min(most)]);
        data.len() <= most
    }

    /// Whether the application turns to it now. `with_stdin`: because of a record of `FCGI_STDIN`.
    pub(super) fn can_start(&mut self, starts: Starts, with_stdin: bool) -> bool {
        if self.has_started || !self.has_params {
            return false;
        }
        match starts {
            Starts::WithParams => true,
            Starts::WithStdin => with_stdin || self.has_stdin,
            Starts::WithBody => {
                let is_here = self.is_cut || self.received.stdin.len() >= self.declared_len();
                self.has_stdin |= is_here;
                self.has_data |= is_here;
                is_here
            }
        }
    }

    pub(super) fn start(&mut self, script: Script) {
        self.has_started = true;
        self.steps = script.into_steps();
    }

    /// The body counts as complete, as far as it has come.
    pub(super) fn cut_body(&mut self) {
        self.is_cut = true;
        self.has_stdin = true;
        self.has_data = true;
    }

    pub(super) fn body_is_here(&self) -> bool {
        self.has_stdin && self.has_data
    }

    /// Its script waits for more of the body.
    pub(super) fn awaits_stdin(&self) -> bool {
        let awaits = matches!(self.steps.front(), Some(Step::AwaitStdin));
        awaits && !self.is_waiting && !self.body_is_here()
    }
}

/// The next pair, as long as it goes on.
fn take_pair(octets: &mut &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let name_len = take_len(octets)?;
    let value_len = take_len(octets)?;
    let (name, rest) = octets.split_at(octets.len().min(name_len));
    let (value, rest) = rest.split_at(rest.len().min(value_len));
    *octets = rest;
    Some((name.to_vec(), value.to_vec()))
}

fn take_len(octets: &mut &[u8]) -> Option<usize> {
    let first = *octets.first()?;
    if first < 0x80 {
        *octets = &octets[1..];
        return Some(usize::from(first));
    }
    let (four, rest) = octets.split_first_chunk()?;
    *octets = rest;
    Some((u32::from_be_bytes(*four) & 0x7fff_ffff) as usize)
}
