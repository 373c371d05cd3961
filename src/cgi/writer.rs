//! Writes parameters that are not there yet, in the forms of a request.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use crate::params::{GivenNames, Known, Params, SharedParams, map_byte};

/// Appends parameters that are not there yet.
pub(super) struct Writer<'p> {
    params: &'p mut Params,
    /// The pairs that were there before, which are the embedder's own.
    given: GivenNames,
}

impl<'p> Writer<'p> {
    pub(super) fn new(params: &'p mut Params) -> Self {
        let given = params.names();
        Self { params, given }
    }

    /// Whether the embedder has given this parameter.
    pub(super) fn has(&self, known: Known) -> bool {
        self.given.has(known)
    }

    /// Inlined, so that the name has a constant length.
    #[inline(always)]
    pub(super) fn put(&mut self, known: Known, value: &[u8]) {
        if !self.has(known) {
            self.params.push(known.name, value);
        }
    }

    /// Appends the pairs of a block, all at once if none of them is given.
    pub(super) fn put_all(&mut self, block: &SharedParams) {
        if !self.given.may_share(block.names()) {
            return self.params.append_shared(block);
        }
        for (name, value) in block.iter() {
            let mut given = self.params.iter().take(self.given.count());
            if !given.any(|pair| pair.0 == name) {
                self.params.push(name, value);
            }
        }
    }

    pub(super) fn put_joined(&mut self, known: Known, parts: [&[u8]; 2]) {
        if self.has(known) {
            return;
        }
        let name = known.name;
        // Saturates, because `push_with` refuses lengths that no memory can hold.
        let value_len = parts[0].len().saturating_add(parts[1].len());
        self.params.push_with(name.len(), value_len, |place| {
            place.write_all(name.as_bytes())?;
            place.write_all(parts[0])?;
            place.write_all(parts[1])
        });
    }

    pub(super) fn put_number(&mut self, known: Known, number: u64) {
        if !self.has(known) {
            self.params.push(known.name, Digits::of(number).bytes());
        }
    }

    pub(super) fn put_address(&mut self, known: Known, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.put_written(known, |out| write_v4(out, address)),
            IpAddr::V6(address) => self.put_shown(known, address),
        }
    }

    pub(super) fn put_shown(&mut self, known: Known, value: impl fmt::Display) {
        self.put_written(known, |out| write!(out, "{value}"));
    }

    fn put_written(&mut self, known: Known, write: impl FnOnce(&mut &mut [u8]) -> io::Result<()>) {
        if self.has(known) {
            return;
        }
        // An IPv6 address with brackets takes at most 47 bytes.
        let mut text = [0; 64];
        let mut rest = &mut text[..];
        if write(&mut rest).is_ok() {
            let len = 64 - rest.len();
            self.params.push(known.name, &text[..len]);
        }
    }

    /// Writes a field as `HTTP_*`: its values in order, with a separator between them.
    pub(super) fn put_field<'v>(
        &mut self,
        name: &[u8],
        values: impl Iterator<Item = &'v [u8]> + Clone,
        separator: &[u8],
    ) {
        let mapped = |given: &[u8]| match given.strip_prefix(HTTP) {
            Some(given) => given.iter().copied().eq(name.iter().map(|o| map_byte(*o))),
            None => false,
        };
        let name_len = HTTP.len() + name.len();
        let may_be_given = self.given.all().may_have_like(name_len, name.last());
        let mut given = self.params.iter().take(self.given.count());
        if may_be_given && given.any(|pair| mapped(pair.0)) {
            return;
        }
        // Saturates as in `put_joined`.
        let value_len = values.clone().fold(0_usize, |len, value| {
            len.saturating_add(value.len() + separator.len())
        });
        let value_len = value_len.saturating_sub(separator.len());
        self.params.push_with(name_len, value_len, |place| {
            place.write_all(HTTP)?;
            let (name_place, rest) = std::mem::take(place).split_at_mut(name.len());
            for (to, from) in name_place.iter_mut().zip(name) {
                *to = map_byte(*from);
            }
            *place = rest;
            for (index, value) in values.enumerate() {
                if index > 0 {
                    place.write_all(separator)?;
                }
                place.write_all(value)?;
            }
            Ok(())
        });
    }
}

/// A number in decimal.
struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    fn of(mut number: u64) -> Self {
        // 20 digits are enough for every u64.
        let (mut bytes, mut start) = ([b'0'; 20], 20);
        loop {
            start -= 1;
            bytes[start] += (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { bytes, start };
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

fn write_v4(out: &mut &mut [u8], address: Ipv4Addr) -> io::Result<()> {
    let [first, others @ ..] = u32::from(address).to_be_bytes();
    out.write_all(Digits::of(first.into()).bytes())?;
    for byte in others {
        out.write_all(b".")?;
        out.write_all(Digits::of(byte.into()).bytes())?;
    }
    Ok(())
}

const HTTP: &[u8] = b"HTTP_";
