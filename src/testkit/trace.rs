//! The trace of what happened: a hash, and on demand the lines.

use std::fmt::{self, Write};
use std::time::Duration;

/// An FNV-1a hash over all lines of the trace, and the lines themselves if they are kept.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(super) const fn new() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: None,
        }
    }

    pub(super) fn keep_lines(&mut self) {
        self.lines.get_or_insert_default();
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    pub(super) fn note(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        // `write_str` below does not fail.
        let _ = writeln!(self, "{} {what}", at.as_nanos());
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{at:?} {what}"));
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
