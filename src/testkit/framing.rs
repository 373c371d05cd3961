//! How an application reads: record by record, with a look at each header first.

use super::application::{Application, Replies};
use crate::wire::{Demux, HEADER_LEN, Header, VERSION};

/// Decodes the bytes of one connection for an application, which is asked about each header first.
#[derive(Debug, Default)]
pub(super) struct Framing {
    demux: Demux,
    /// The bytes of the next record's header that have arrived.
    header: [u8; HEADER_LEN],
    header_len: usize,
    /// Bytes of the current record that are still missing.
    rest: usize,
    /// The application takes nothing more.
    refused: bool,
}

impl Framing {
    /// Hands the application a header or one item. `input` moves past what was used. What is read after a refusal is
    /// lost.
    pub(super) fn read_item(
        &mut self,
        number: usize,
        input: &mut &[u8],
        application: &mut dyn Application,
        replies: &mut Replies,
    ) {
        if self.refused {
            *input = &[];
            return;
        }
        if self.rest > 0 {
            let (mut piece, _) = input.split_at(input.len().min(self.rest));
            let offered = piece.len();
            self.decode(number, &mut piece, application, replies);
            let taken = offered - piece.len();
            self.rest -= taken;
            *input = &input[taken..];
            return;
        }
        let missing = HEADER_LEN - self.header_len;
        let (bytes, rest) = input.split_at(input.len().min(missing));
        self.header[self.header_len..self.header_len + bytes.len()].copy_from_slice(bytes);
        self.header_len += bytes.len();
        *input = rest;
        if self.header_len < HEADER_LEN {
            return;
        }
        self.header_len = 0;
        let mut header = self.header;
        if !application.begins(number, header, replies) {
            self.refused = true;
            return;
        }
        // The decoder accepts version 1 only; the application may accept others.
        header[0] = VERSION;
        if let Ok(Header {
            content_len,
            padding_len,
            ..
        }) = Header::decode(&header)
        {
            self.rest = usize::from(content_len) + usize::from(padding_len);
        }
        self.decode(number, &mut &header[..], application, replies);
    }

    fn decode(
        &mut self,
        number: usize,
        bytes: &mut &[u8],
        application: &mut dyn Application,
        replies: &mut Replies,
    ) {
        match self.demux.next(bytes) {
            Ok(Some(item)) => application.received(number, item, replies),
            Ok(None) => {}
            Err(error) => {
                self.refused = true;
                application.broken(number, error, replies);
            }
        }
    }
}
