//! The protocol on one transport connection: parses records, manages requests, writes records. It has no socket.

use std::mem;
use std::time::Instant;

use mio_fcgi::wire::{
    self, BeginRequest, DecodeError, Demux, EndRequest, Item, MANAGEMENT_ID, Pairs, ProtocolStatus,
    RecordType, Role,
};

use super::answer::Site;
use super::buffers::Outbox;
use super::event_loop::Context;
use super::exchange::{Body, Exchange, MAX_FORM_LEN, Stage};
use super::page::{Page, Route};
use super::render;
use super::requests::{OpenRequests, fill_len};

/// The state of the protocol on one connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    demux: Demux,
    pub(super) requests: OpenRequests,
    /// Content of an `FCGI_GET_VALUES` record that has not arrived completely.
    values: Vec<u8>,
}

/// A violation of the protocol that ends the connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Violation {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the peer began request {id} a second time")]
    BegunTwice { id: u16 },
    #[error("the peer sent {record_type:?}, which only an application sends")]
    Direction { record_type: RecordType },
    #[error("the peer sent {record_type:?} of request {id} where it does not belong")]
    Order { record_type: RecordType, id: u16 },
    #[error("the peer sent {record_type:?} with request ID {id}")]
    RequestId { record_type: RecordType, id: u16 },
}

impl Session {
    /// Whether [`receive`](Self::receive) would use input now.
    pub(super) fn takes_input(&self, site: &Site, out: &Outbox) -> bool {
        !self.requests.is_finished() && out.unsent_len() < site.options.output_limit
    }

    pub(super) fn held_len(&self) -> usize {
        self.requests.held_len() + self.values.len()
    }

    /// When to call [`OpenRequests::advance`] without input. `None` while there is no space for output.
    pub(super) fn due(&self, site: &Site, out: &Outbox) -> Option<Instant> {
        self.requests
            .due()
            .filter(|_| out.unsent_len() < fill_len(site))
    }

    /// Processes input until it is used up, or until there is too much unsent output.
    pub(super) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outbox,
        input: &mut &[u8],
    ) -> Result<(), Violation> {
        while self.takes_input(cx.site, out) {
            let Some(item) = self.demux.next(input)? else {
                break;
            };
            self.handle(cx, out, item)?;
        }
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outbox,
        item: Item<'_>,
    ) -> Result<(), Violation> {
        match item {
            Item::Begin { request_id, body } => self.begin(cx, out, request_id, body),
            Item::Stream {
                record_type,
                request_id,
                data,
            } => match self.find_for(record_type, request_id)? {
                Some(at) => self.content(cx, out, at, record_type, data),
                None => Ok(()),
            },
            Item::StreamEnd {
                record_type,
                request_id,
            } => match self.find_for(record_type, request_id)? {
                Some(at) => self.content_end(cx, out, at, record_type),
                None => Ok(()),
            },
            Item::Abort { request_id } => {
                if let Some(at) = self.requests.find(request_id) {
                    self.requests
                        .refuse(cx, out, at, ProtocolStatus::RequestComplete);
                }
                Ok(())
            }
            Item::Values {
                record_type: RecordType::GetValues,
                request_id: MANAGEMENT_ID,
                data,
                last,
            } => self.get_values(cx.site, out, data, last),
            Item::Unassigned {
                record_type,
                request_id: MANAGEMENT_ID,
            } => {
                wire::write_unknown_type(out.bytes(), record_type);
                Ok(())
            }
            Item::Unassigned { .. } => Ok(()),
            Item::Values {
                record_type: RecordType::GetValues,
                request_id: id,
                ..
            } => Err(Violation::RequestId {
                record_type: RecordType::GetValues,
                id,
            }),
            Item::Values { record_type, .. } => Err(Violation::Direction { record_type }),
            Item::End { .. } => Err(Violation::Direction {
                record_type: RecordType::EndRequest,
            }),
            Item::UnknownType { .. } => Err(Violation::Direction {
                record_type: RecordType::UnknownType,
            }),
        }
    }

    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outbox,
        id: u16,
        body: BeginRequest,
    ) -> Result<(), Violation> {
        if id == MANAGEMENT_ID {
            let record_type = RecordType::BeginRequest;
            return Err(Violation::RequestId { record_type, id });
        }
        if self.requests.find(id).is_some() {
            return Err(Violation::BegunTwice { id });
        }
        let options = &cx.site.options;
        let refusal = if !options.multiplex && self.requests.len() > 0 {
            ProtocolStatus::CantMultiplex
        } else if self.requests.len() >= options.max_requests_per_connection {
            ProtocolStatus::Overloaded
        } else if let Some(role) = Role::from_wire(body.role) {
            let exchange = Exchange::new(id, role, body.keep_conn(), cx.pool.take());
            self.requests.push(exchange);
            return Ok(());
        } else {
            ProtocolStatus::UnknownRole
        };
        let end = EndRequest {
            app_status: 0,
            protocol_status: refusal,
        };
        wire::write_end_request(out.bytes(), id, end);
        cx.counters.requests += 1;
        if !body.keep_conn() {
            self.requests.close_after();
        }
        Ok(())
    }

    fn content(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outbox,
        at: usize,
        record_type: RecordType,
        data: &[u8],
    ) -> Result<(), Violation> {
        let exchange = self.requests.get_mut(at);
        let is_body = record_type == exchange.body_stream();
        match &mut exchange.stage {
            Stage::Params if record_type == RecordType::Params => {
                exchange.params.extend_from_slice(data);
                self.requests.hold(cx, out, at, data.len());
            }
            Stage::Body { body, .. } if is_body => match body {
                Body::Ignored => {}
                Body::Echoed => {
                    wire::write_stream(out.bytes(), RecordType::Stdout, exchange.id, data);
                }
                Body::Kept { bytes, is_cut } => {
                    let taken = data.len().min(MAX_FORM_LEN - bytes.len());
                    bytes.extend_from_slice(&data[..taken]);
                    *is_cut |= taken < data.len();
                    self.requests.hold(cx, out, at, taken);
                }
                Body::Tallied(tally) => tally.add(data),
            },
            // The response was sent before all of the body was read; or this is a Filter's STDIN. The content is
            // ignored.
            stage if record_type != RecordType::Params && !matches!(stage, Stage::Params) => {}
            _ => {
                return Err(Violation::Order {
                    record_type,
                    id: exchange.id,
                });
            }
        }
        Ok(())
    }

    fn content_end(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outbox,
        at: usize,
        record_type: RecordType,
    ) -> Result<(), Violation> {
        let exchange = self.requests.get_mut(at);
        let is_body = record_type == exchange.body_stream();
        match (&exchange.stage, record_type) {
            (Stage::Params, RecordType::Params) => {
                let route = Route::find(exchange.role, &exchange.params)?;
                let body = Body::of(route.page);
                if matches!(body, Body::Echoed) {
                    render::write_echo_head(out.bytes(), exchange.id, &exchange.params);
                }
                exchange.stage = Stage::Body { route, body };
                if matches!(route.page, Page::Early | Page::Authorize) {
                    self.requests.schedule(cx, out, at);
                }
            }
            (Stage::Params, _) | (_, RecordType::Params) => {
                let id = exchange.id;
                return Err(Violation::Order { record_type, id });
            }
            (Stage::Body { .. }, _) if is_body => self.requests.schedule(cx, out, at),
            // As with content: too late, or not the stream of the body.
            _ => {}
        }
        Ok(())
    }

    fn get_values(
        &mut self,
        site: &Site,
        out: &mut Outbox,
        data: &[u8],
        last: bool,
    ) -> Result<(), Violation> {
        self.values.extend_from_slice(data);
        if !last {
            return Ok(());
        }
        let options = &site.options;
        let requests = if options.multiplex {
            options.max_requests_per_connection
        } else {
            1
        };
        let connections = options
            .max_connections
            .saturating_mul(options.threads.max(1));
        let known = [
            (wire::MAX_CONNS, connections),
            (wire::MAX_REQS, connections.saturating_mul(requests)),
            (wire::MPXS_CONNS, usize::from(options.multiplex)),
        ];
        let values = mem::take(&mut self.values);
        let mut asked = [false; 3];
        for pair in Pairs::new(&values) {
            let (name, _) = pair?;
            for ((known, _), asked) in known.iter().zip(&mut asked) {
                *asked |= name == known.as_bytes();
            }
        }
        let mut content = Vec::new();
        for ((name, value), _) in known.iter().zip(asked).filter(|(_, asked)| *asked) {
            // These names and numbers are short enough for a pair, and the pairs are short enough for a record.
            let value = value.to_string();
            let _ = wire::write_pair(&mut content, name.as_bytes(), value.as_bytes());
        }
        let result = RecordType::GetValuesResult;
        let _ = wire::write_record(out.bytes(), result, MANAGEMENT_ID, &content);
        Ok(())
    }

    /// The request that a stream record belongs to. `None` if that request is not open. This is not a violation: the
    /// request may have been answered early, rejected or aborted.
    fn find_for(&mut self, record_type: RecordType, id: u16) -> Result<Option<usize>, Violation> {
        if matches!(record_type, RecordType::Stdout | RecordType::Stderr) {
            return Err(Violation::Direction { record_type });
        }
        if id == MANAGEMENT_ID {
            return Err(Violation::RequestId { record_type, id });
        }
        Ok(self.requests.find(id))
    }
}
