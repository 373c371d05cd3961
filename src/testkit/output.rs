//! One output stream of a request, at a scripted application.

/// The bytes that were written and not sent.
#[derive(Debug, Default)]
pub(super) struct Output {
    held: Vec<u8>,
    is_used: bool,
    has_ended: bool,
}

impl Output {
    pub(super) fn add(&mut self, content: &[u8]) {
        self.is_used |= !content.is_empty();
        self.held.extend_from_slice(content);
    }

    /// Takes the bytes to send: all of them if they are more than `most`, or none.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        match self.held.len() > most {
            true => std::mem::take(&mut self.held),
            false => Vec::new(),
        }
    }

    /// Whether a byte was ever written.
    pub(super) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Ends the stream. False if it had ended before.
    pub(super) fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.has_ended, true)
    }
}
