//! One connection: the driver's socket, and the application at the other end.

use std::hash::{Hash, Hasher};

use mio_fcgi::testkit::Records;
use mio_fcgi::wire::{Demux, Item, Pairs, ProtocolStatus, RecordType};
use mio_fcgi::{ConnectionHandle, Disconnected};

use crate::asked::{BODY, late_byte, output_byte, status_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Connecting,
    /// The backlog was full; the engine will ask for the connect again.
    Waiting,
    Open,
}

pub(crate) struct Link {
    pub(crate) handle: ConnectionHandle,
    pub(crate) server: usize,
    pub(crate) stage: Stage,
    /// The engine has asked for a write, and since then a write has not found everything sent.
    pub(crate) flushes: bool,
    /// The driver has a reason to read: an announcement, or the engine asked for it.
    pub(crate) reads: bool,
    /// Something came that was not announced.
    pub(crate) has_news: bool,
    /// What was announced, or its end, was not read yet.
    pub(crate) is_unread: bool,
    /// The end was announced.
    pub(crate) end_is_known: bool,
    /// A read has found nothing more since the last request was assigned.
    pub(crate) is_looked_at: bool,
    /// Bytes on their way to the engine, and what follows them.
    pub(crate) inbox: Vec<u8>,
    pub(crate) end: Option<Disconnected>,
    /// How many requests were begun on it.
    pub(crate) begun: u32,
    last_id: u16,
    /// IDs that may not be used again.
    aborted: Vec<u16>,
    exchanges: Vec<Exchange>,
    /// The last request that ended, with its ID.
    ended: Option<(u16, usize)>,
    demux: Demux,
}

/// A request as the application sees it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Exchange {
    pub(crate) id: u16,
    /// `None` until its parameters have come.
    pub(crate) request: Option<usize>,
    params: Vec<u8>,
    stdin: Vec<u8>,
    pub(crate) is_whole: bool,
    pub(crate) is_aborted: bool,
    pub(crate) is_ended: bool,
}

/// What the application learned from bytes of the engine.
pub(crate) enum Learned {
    /// The parameters of a request, on a connection that had served others before.
    Request { request: usize, is_reused: bool },
    /// The last byte of a request.
    Whole(usize),
}

impl Hash for Link {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let flags = [
            self.flushes,
            self.reads,
            self.has_news,
            self.is_unread,
            self.end_is_known,
            self.is_looked_at,
        ];
        (self.handle.index(), self.server, self.stage, flags).hash(hasher);
        self.inbox.hash(hasher);
        let is_reset = self.end.map(|end| end != Disconnected::Eof);
        (is_reset, self.begun, self.last_id, self.ended).hash(hasher);
        self.aborted.hash(hasher);
        self.exchanges.hash(hasher);
    }
}

impl Link {
    pub(crate) fn new(handle: ConnectionHandle, server: usize) -> Self {
        Self {
            handle,
            server,
            stage: Stage::Connecting,
            flushes: false,
            reads: false,
            has_news: false,
            is_unread: false,
            end_is_known: false,
            is_looked_at: false,
            inbox: Vec::new(),
            end: None,
            begun: 0,
            last_id: 0,
            aborted: Vec::new(),
            exchanges: Vec::new(),
            ended: None,
            demux: Demux::default(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// The application can still send.
    pub(crate) fn is_alive(&self) -> bool {
        self.is_open() && self.end.is_none()
    }

    /// The request that the application may answer, if it is on this connection.
    pub(crate) fn exchange(&mut self, request: usize) -> Option<&mut Exchange> {
        let is_it = |it: &&mut Exchange| it.request == Some(request) && !it.is_ended;
        self.exchanges.iter_mut().find(is_it)
    }

    pub(crate) fn carried(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().filter(|it| !it.is_ended)
    }

    pub(crate) fn has_late(&self) -> bool {
        self.is_alive() && self.ended.is_some()
    }

    // --- the application's bytes ---

    fn send(&mut self, records: &Records) {
        self.inbox.extend_from_slice(records.bytes());
        self.has_news = true;
    }

    pub(crate) fn send_output(&mut self, request: usize, at: usize) {
        if let Some(exchange) = self.exchange(request) {
            let records = Records::default().stdout(exchange.id, &[output_byte(request, at)]);
            self.send(&records);
        }
    }

    pub(crate) fn send_end(&mut self, request: usize, is_late_after: bool) {
        let Some(exchange) = self.exchange(request) else {
            return;
        };
        let id = exchange.id;
        exchange.is_ended = true;
        let mut records = Records::default().end(id, status_of(request));
        if is_late_after {
            records = records.stdout(id, &[late_byte(request)]);
        }
        self.ended = Some((id, request));
        self.send(&records);
    }

    pub(crate) fn send_overloaded(&mut self, request: usize) {
        if let Some(exchange) = self.exchange(request) {
            exchange.is_ended = true;
            let id = exchange.id;
            self.send(&Records::default().refuse(id, ProtocolStatus::Overloaded));
        }
    }

    pub(crate) fn send_late(&mut self) {
        if let Some((id, request)) = self.ended.take() {
            self.send(&Records::default().stdout(id, &[late_byte(request)]));
        }
    }

    pub(crate) fn send_last(&mut self, end: Disconnected) {
        self.end = Some(end);
        self.has_news = true;
    }

    // --- the engine's bytes ---

    /// Takes what the engine has sent, and checks it.
    pub(crate) fn receive(
        &mut self,
        most: usize,
        mut bytes: &[u8],
        learned: &mut Vec<Learned>,
    ) -> Result<(), String> {
        let mut demux = self.demux.clone();
        loop {
            match demux.next(&mut bytes) {
                Ok(None) => break,
                Ok(Some(item)) => self.take(most, item, learned)?,
                Err(error) => return Err(format!("the engine sent {error}")),
            }
        }
        self.demux = demux;
        Ok(())
    }

    fn take(
        &mut self,
        most: usize,
        item: Item<'_>,
        learned: &mut Vec<Learned>,
    ) -> Result<(), String> {
        match item {
            Item::Begin { request_id: id, .. } => {
                self.begun += 1;
                if self.carried().count() >= most {
                    return Err(format!(
                        "more than {most} requests at a time on a connection"
                    ));
                }
                if self.carried().any(|it| it.id == id) || self.aborted.contains(&id) {
                    return Err(format!(
                        "ID {id} is used again, and its request has not ended"
                    ));
                }
                if most == 1 && self.last_id == id {
                    return Err(format!("ID {id} twice in a row"));
                }
                self.last_id = id;
                self.exchanges.retain(|it| !it.is_ended || !it.is_whole);
                let is_open = self.exchanges.iter().any(|it| it.id == id);
                if is_open {
                    return Err(format!("ID {id} is used again before its stream has ended"));
                }
                self.exchanges.push(Exchange {
                    id,
                    request: None,
                    params: Vec::new(),
                    stdin: Vec::new(),
                    is_whole: false,
                    is_aborted: false,
                    is_ended: false,
                });
                Ok(())
            }
            Item::Stream {
                record_type,
                request_id,
                data,
            } => {
                let exchange = self.of_id(request_id)?;
                match record_type {
                    RecordType::Params if exchange.request.is_none() => {
                        exchange.params.extend(data)
                    }
                    RecordType::Stdin if !exchange.is_whole => exchange.stdin.extend(data),
                    _ => return Err(format!("{record_type:?} out of turn")),
                }
                match BODY.starts_with(&exchange.stdin) {
                    true => Ok(()),
                    false => Err("a wrong body".into()),
                }
            }
            Item::StreamEnd {
                record_type,
                request_id,
            } => {
                let is_reused = self.begun > 1;
                let exchange = self.of_id(request_id)?;
                match (record_type, exchange.request) {
                    (RecordType::Params, None) => {
                        let request = tag_of(&exchange.params).ok_or("a request without a tag")?;
                        exchange.request = Some(request);
                        learned.push(Learned::Request { request, is_reused });
                    }
                    (RecordType::Stdin, Some(request)) if !exchange.is_whole => {
                        exchange.is_whole = true;
                        learned.push(Learned::Whole(request));
                    }
                    _ => return Err(format!("{record_type:?} ended out of turn")),
                }
                Ok(())
            }
            Item::Abort { request_id } => {
                self.aborted.push(request_id);
                // Its end may be on the way.
                let exchange = self.of_id(request_id).ok();
                match exchange.map(|it| std::mem::replace(&mut it.is_aborted, true)) {
                    Some(true) => Err(format!("ID {request_id} is aborted twice")),
                    _ => Ok(()),
                }
            }
            other => Err(format!("the engine sent {other:?}")),
        }
    }

    fn of_id(&mut self, id: u16) -> Result<&mut Exchange, String> {
        let found = self.exchanges.iter_mut().rev().find(|it| it.id == id);
        found.ok_or_else(|| format!("a record for ID {id}, which has no request"))
    }
}

fn tag_of(params: &[u8]) -> Option<usize> {
    let mut pairs = Pairs::new(params).filter_map(Result::ok);
    let (_, value) = pairs.find(|(name, _)| *name == b"TAG")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}
