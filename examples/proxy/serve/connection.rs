//! One HTTP connection: its socket, what came and is not used yet, what goes out, and how far its request is.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio_fcgi::cgi::HeadParser;
use mio_fcgi::{Request, RequestHandle};

use super::http::chunked::Chunked;
use super::http::response_head::{Asked, Framing};
use super::log::access_log::LogEntry;
use super::net::outbox::{Outbox, SMALL};
use super::net::spool::Spool;
use super::net::timers::Armed;
use super::site::options::Options;

/// A client's connection.
///
/// # Memory
/// Idle: this struct, no buffer. In a head: the octets that came, below 32 KiB. In an upload: one read of the client, 64
/// KiB, and what the FastCGI client holds of it, 64 KiB; in chunks, 64 KiB and the rest in a file. In an answer: what a
/// client that does not read leaves of one read of the application, 64 KiB, and the 16 KiB before it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Octets that came and were not used; at most one read.
    pub(crate) input: Vec<u8>,
    /// How much of an incomplete head was searched for its end.
    pub(crate) seen: usize,
    /// Octets of empty lines let pass before the next head.
    pub(crate) blank: usize,
    pub(crate) out: Outbox,
    pub(crate) stage: Stage,
    pub(crate) is_readable: bool,
    pub(crate) is_writable: bool,
    /// The client has ended its stream, or the connection failed.
    pub(crate) is_ended: bool,
    /// It is in the queue of those that have something to do.
    pub(crate) is_queued: bool,
    /// It is in the list of those that have something to send.
    pub(crate) is_dirty: bool,
    /// The last progress; of an incomplete head, its first octet.
    pub(crate) since: Instant,
    pub(crate) armed: Armed,
}

/// What a connection is at.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Between requests, or in a head.
    Head,
    Exchange(Exchange),
    /// The last answer is being sent; what the client still sends is thrown away, lest a reset takes the answer from
    /// it (RFC 9112, 9.6).
    Lingering {
        /// Our side of the stream was ended.
        is_shut: bool,
        /// Octets that are still thrown away.
        left: usize,
    },
    Gone,
}

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// While the application is at it.
    pub(crate) request: Option<RequestHandle>,
    pub(crate) upload: Upload,
    pub(crate) answer: Answer,
    pub(crate) asked: Asked,
    pub(crate) is_paused: bool,
    pub(crate) entry: LogEntry,
    pub(crate) status: u16,
    pub(crate) body_len: u64,
    pub(crate) submitted: Option<Instant>,
    pub(crate) application_time: Option<Duration>,
}

/// The request's body, as far as it is still to come from the client.
#[derive(Debug)]
pub(crate) enum Upload {
    Done,
    /// Handed on as it comes.
    Pushed {
        left: u64,
        /// The application takes no more for now; `StdinReady` follows.
        is_full: bool,
    },
    /// Collected first.
    Spooled(Box<Spooled>),
    /// Nobody wants it any more, but it is short.
    Skipped {
        left: u64,
    },
}

/// A request that is sent once its body is complete.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) chunked: Chunked,
    pub(crate) spool: Spool,
    pub(crate) request: Request,
}

/// The response, as far as it went.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Nothing was sent but interim heads.
    Awaited(Box<HeadParser>),
    /// Nothing was sent, and the application was not asked yet.
    Unasked,
    Body(Framing),
    File {
        file: File,
        left: u64,
    },
    Complete,
    /// It ends in its middle: the connection has to show that.
    Cut,
}

impl Connection {
    pub(crate) fn new(
        socket: TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            peer,
            local,
            input: Vec::new(),
            seen: 0,
            blank: 0,
            out: Outbox::default(),
            stage: Stage::Head,
            // A request is often there already; if not, one read says so.
            is_readable: true,
            is_writable: true,
            is_ended: false,
            is_queued: false,
            is_dirty: false,
            since: now,
            armed: Armed::default(),
        }
    }

    pub(crate) fn client(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    pub(crate) fn exchange(&mut self) -> Option<&mut Exchange> {
        match &mut self.stage {
            Stage::Exchange(exchange) => Some(exchange),
            Stage::Head | Stage::Lingering { .. } | Stage::Gone => None,
        }
    }

    /// Between requests, with nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Head)
            && self.input.is_empty()
            && self.out.is_empty()
            && !self.is_readable
            && !self.is_queued
    }

    /// Whether octets from the client are of use now. While they are not, they stay in the system's buffer.
    pub(crate) fn wants_input(&self) -> bool {
        match &self.stage {
            // A client that asks and asks and does not take the answers.
            Stage::Head => self.is_writable && self.out.len() < SMALL,
            Stage::Exchange(exchange) => match exchange.upload {
                Upload::Done | Upload::Pushed { is_full: true, .. } => false,
                Upload::Pushed { .. } | Upload::Spooled(_) => true,
                Upload::Skipped { left } => left <= SKIP_LEN,
            },
            Stage::Lingering { is_shut, .. } => *is_shut,
            Stage::Gone => false,
        }
    }

    /// Reads once. `None`: nothing there for now.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> Option<io::Result<usize>> {
        loop {
            match self.socket.read(space) {
                Ok(len) => {
                    // Edge-triggered: a short read has emptied the socket, and more is announced.
                    if len < space.len() && cfg!(unix) && !self.is_ended {
                        self.is_readable = false;
                    }
                    return Some(Ok(len));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The socket's: the client is gone.
    pub(crate) fn flush(&mut self, now: Instant) -> io::Result<()> {
        if self.is_writable && !self.out.is_empty() {
            let before = self.out.len();
            self.is_writable = self.out.flush(&mut self.socket)?;
            if self.out.len() < before && !self.is_head_begun() {
                self.since = now;
            }
        }
        Ok(())
    }

    fn is_head_begun(&self) -> bool {
        matches!(self.stage, Stage::Head) && !self.input.is_empty()
    }

    /// Ends our side once everything is sent, and the other's side soon after: at once if nothing is unread.
    pub(crate) fn linger(&mut self, is_unread: bool) {
        self.stage = Stage::Lingering {
            is_shut: false,
            left: if is_unread { LINGER_LEN } else { 0 },
        };
    }

    /// Until when the client has to do something.
    pub(crate) fn deadline(&self, options: &Options) -> Option<Instant> {
        let limit = match &self.stage {
            _ if !self.out.is_empty() => options.client_timeout,
            Stage::Head if self.input.is_empty() => options.keep_alive,
            Stage::Head => options.head_timeout,
            Stage::Exchange(exchange) => match (&exchange.upload, &exchange.answer) {
                (Upload::Pushed { is_full: true, .. }, _) => return None,
                (Upload::Done, _) => return None,
                _ => options.client_timeout,
            },
            Stage::Lingering { .. } => LINGER_TIME,
            Stage::Gone => return None,
        };
        Some(self.since + limit)
    }
}

impl Exchange {
    /// For the application, or for the rest of the body.
    pub(crate) fn waits(&self) -> bool {
        self.request.is_some() || !matches!(self.upload, Upload::Done)
    }

    /// Whether the connection can go on after an answer that the rest of the body does not wait for.
    pub(crate) fn settle_keep_alive(&mut self) {
        self.asked.keeps_alive &= match self.upload {
            Upload::Done => true,
            Upload::Skipped { left } => left <= SKIP_LEN,
            Upload::Pushed { .. } | Upload::Spooled(_) => false,
        };
    }
}

/// Octets of a body that are read although nobody wants them, so that the connection can go on.
pub(crate) const SKIP_LEN: u64 = 64 * 1024;

/// How long a client may take to notice that it is being closed.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// For each of these that it sends meanwhile, as one does that looks for the answer behind its whole body, that time
/// begins anew; octets that trickle in put nothing off.
pub(crate) const LINGER_STEP: usize = 64 * 1024;

/// How much of that is read.
const LINGER_LEN: usize = 64 * 1024 * 1024;
