//! A request's body on its way to the application.

use std::io;

use mio_fcgi::RequestHandle;

use super::http::head::Refusal;
use super::serve::connection::{Exchange, Upload};
use super::serve::worker::Worker;

impl Worker {
    /// Uses octets of a body; returns how many.
    pub(crate) fn take_body(&mut self, key: usize, octets: &[u8]) -> usize {
        let Some(exchange) = self.exchange(key) else {
            return octets.len();
        };
        match &mut exchange.upload {
            Upload::Done => 0,
            Upload::Pushed { .. } => self.push(key, octets),
            Upload::Spooled(_) => match self.spool(key, octets) {
                Ok(used) => used,
                Err(NotTaken::Refused(Refusal { status, why })) => {
                    self.answer_error(key, status, why);
                    octets.len()
                }
                Err(NotTaken::NotKept(error)) => {
                    let date = self.clock.log();
                    self.log
                        .problem(date, format_args!("a body cannot be kept: {error}"));
                    self.answer_error(key, 503, "the body cannot be kept now");
                    octets.len()
                }
            },
            Upload::Skipped { left } => {
                let len = within(*left, octets);
                *left -= len as u64;
                if *left == 0 {
                    exchange.upload = Upload::Done;
                }
                len
            }
        }
    }

    /// Hands octets on as far as the application takes them.
    fn push(&mut self, key: usize, octets: &[u8]) -> usize {
        let now = self.clock.now;
        let Some(connection) = self.connections.get_mut(key) else {
            return octets.len();
        };
        let Some(Exchange {
            request: Some(request),
            upload,
            ..
        }) = connection.exchange()
        else {
            return 0;
        };
        let Upload::Pushed { left, is_full } = upload else {
            return 0;
        };
        let offered = within(*left, octets);
        match self.fcgi.write_stdin(now, *request, &octets[..offered]) {
            Ok(taken) => {
                *left -= taken as u64;
                *is_full = taken < offered;
                if *left == 0 {
                    // All of it was taken, so there is nothing left that can be wrong with it.
                    let _ = self.fcgi.finish_stdin(now, *request);
                    *upload = Upload::Done;
                }
                taken
            }
            // The request has ended, and its `End` comes next.
            Err(_) => {
                *upload = Upload::Skipped { left: *left };
                0
            }
        }
    }

    /// Collects a body in chunks, and sends the request when it is whole.
    fn spool(&mut self, key: usize, octets: &[u8]) -> Result<usize, NotTaken> {
        let max_body = self.options.max_body;
        let Some(exchange) = self.exchange(key) else {
            return Ok(octets.len());
        };
        let Upload::Spooled(spooled) = &mut exchange.upload else {
            return Ok(0);
        };
        let mut used = 0;
        while used < octets.len() && !spooled.chunked.is_done() {
            let decoded = spooled.chunked.decode(&octets[used..])?;
            used += decoded.used;
            if spooled.spool.len() + decoded.content.len() as u64 > max_body {
                let why = "the body is too long";
                return Err(Refusal { status: 413, why }.into());
            }
            spooled.spool.write(decoded.content)?;
        }
        if spooled.chunked.is_done() {
            // First: what cannot be kept after all is not done, so that the connection closes behind the answer.
            let body = std::mem::take(&mut spooled.spool).into_body()?;
            if let Upload::Spooled(spooled) = std::mem::replace(&mut exchange.upload, Upload::Done)
            {
                let mut request = spooled.request;
                request.body = body;
                self.submit(key, request);
            }
        }
        Ok(used)
    }

    /// The application has room again.
    pub(crate) fn continue_upload(&mut self, key: usize, request: RequestHandle) {
        let now = self.clock.now;
        if let Some(connection) = self.connections.get_mut(key)
            && let Some(exchange) = connection.exchange()
            && exchange.request == Some(request)
            && let Upload::Pushed { is_full, .. } = &mut exchange.upload
        {
            *is_full = false;
            connection.since = now;
            self.enqueue(key);
        }
    }
}

/// As many of the octets as belong to what is left.
fn within(left: u64, octets: &[u8]) -> usize {
    usize::try_from(left).map_or(octets.len(), |left| left.min(octets.len()))
}

/// Why a body in chunks is not collected any further.
enum NotTaken {
    Refused(Refusal),
    /// There is no room for it.
    NotKept(io::Error),
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        Self::NotKept(error)
    }
}
