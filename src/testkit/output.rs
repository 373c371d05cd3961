//! One output stream of a request, at a scripted application.

/// What is written, until it is sent.
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

    /// Takes what is to be sent: all, once that is more than `most`.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        match self.held.len() > most {
            true => std::mem::take(&mut self.held),
            false => Vec::new(),
        }
    }

    /// Whether anything was written.
    pub(super) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Ends it; false when it has ended.
    pub(super) fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.has_ended, true)
    }
}
