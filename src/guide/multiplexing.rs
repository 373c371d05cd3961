//! Several requests on one connection: when it pays, and when it breaks requests.
//!
//! FastCGI numbers its requests, so that many can be in flight on one connection. Few applications support that. One
//! that does not may say so, but it may also lose the second request, or take it for the end of the first one's body.
//! So choose by what the application can do, never as a matter of tuning.
//!
//! # What each application does
//!
//! | application | shares a connection | answer to `FCGI_GET_VALUES` | choose |
//! |-------------|---------------------|--------------------|--------|
//! | php-fpm | no: takes the second request for the end of the first one's body | no, and older ones then close | `Off` |
//! | libfcgi, Perl FCGI, fcgiwrap | no: refuses the second request, or loses it | no | `Off` |
//! | Go `net/http/fcgi` | yes, answers come in any order | yes | `Auto` or `On` |
//! | flup, default | no: refuses the second request | empty | `Off` |
//! | flup, `multiplexed=True` | yes | empty | `On` |
//!
//! # The three settings
//!
//! Where you know the application, choose `Off` or `On`: then nothing has to be asked.
//!
//! **[`Multiplex::Off`]:** one request per connection. Always correct.
//!
//! **[`Multiplex::Auto`],** the default: one request per connection, until the server has answered that it multiplexes.
//! The client asks a server once, with `FCGI_GET_VALUES`, and only when the answer can help: when a request is queued
//! because no further connection can be opened. Below that load it asks no server.
//!
//! - *When.* The probe is sent on the next connection that becomes idle. That connection takes no request until the
//!   answer has arrived. If none becomes idle, the probe is sent after a small request without a body that has held its
//!   connection for a second. No connection is opened for the probe.
//! - *What counts as yes.* Only `FCGI_MPXS_CONNS=1`. An empty answer means no, and so does a closed connection. On a
//!   connection without a request, so does no answer within [`Config::probe_timeout`].
//! - *How long it holds.* Until the server has been down, because another program may listen there afterwards.
//! - *The risk.* Some applications crash when they are asked. After one connection was lost with it, the client never asks
//!   that server again. A request on that connection is sent again where [`Retry`] allows it after a stale connection.
//! - *Your own time.* [`get_values`](crate::Client::get_values) asks when you choose, and the client uses that answer
//!   too.
//!
//! **[`Multiplex::On`]:** you know that the application multiplexes. If that is wrong, requests are damaged. Only some
//! applications refuse correctly, with `FCGI_CANT_MPX_CONN`. Then the client returns to one request per connection for
//! that server, and sends the refused request again.
//!
//! With [`Config::keep_connections`] off, each connection serves one request, whatever is set here.
//!
//! ```
//! use std::time::Instant;
//! use mio_fcgi::{Action, Config, Engine, EventKind, Multiplex, Request, Tag};
//! use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};
//!
//! let mut config = Config::new("127.0.0.1:9000".parse()?);
//! config.multiplex = Multiplex::On { max: 100 };
//! let mut engine = Engine::new(config)?;
//! let now = Instant::now();
//! engine.submit(now, Request::responder(), Tag(10))?;
//! engine.submit(now, Request::responder(), Tag(20))?;
//!
//! // One connection serves both requests.
//! let Some(Action::Connect { connection, .. }) = engine.poll_action() else { panic!() };
//! assert_eq!(engine.poll_action(), None);
//! engine.handle_connected(now, connection);
//! let sent = engine.transmit(connection).iter().map(|slice| slice.len()).sum();
//! engine.handle_transmitted(now, connection, sent);
//!
//! // The application answers the second request first. Events name the requests by tag, not by ID.
//! let mut bytes = Vec::new();
//! wire::write_stream(&mut bytes, RecordType::Stdout, 2, b"second");
//! wire::write_stream(&mut bytes, RecordType::Stdout, 1, b"first");
//! for id in [1, 2] {
//!     let protocol_status = ProtocolStatus::RequestComplete;
//!     wire::write_end_request(&mut bytes, id, EndRequest { app_status: 0, protocol_status });
//! }
//! let mut input = &bytes[..];
//! let mut seen = Vec::new();
//! while let Some(event) = engine.poll_received(now, connection, &mut input) {
//!     if let EventKind::Stdout(data) = event.kind {
//!         seen.push((event.tag, data));
//!     }
//! }
//! assert_eq!(seen, [(Tag(20), &b"second"[..]), (Tag(10), b"first")]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What you gain
//!
//! Fewer sockets and fewer connects. That counts if many small requests are in flight at a time, and the application is
//! on another machine or its connections are expensive. On the same machine there is little to gain over one request
//! per connection with a few idle connections kept: an idle connection costs the client less than 512 bytes.
//!
//! # What it costs
//!
//! - *Neighbours.* The bytes of all requests share one socket. The output of a paused request is buffered in memory, up to
//!   a limit. Then its neighbours wait, or it fails: see [`back_pressure`](super::back_pressure#a-slow-reader). The
//!   client puts new requests on connections without a paused one, where there are any.
//! - *The application's reader.* In Go, a handler that does not read its body blocks the whole connection, and with it
//!   the other requests. For large uploads, `Off` is better even with Go.
//! - *Shared failure.* A lost connection fails all requests on it. A panic in a Go handler ends the process.
//! - *Aborts.* A request that is alone on its connection is aborted by closing the connection. The application notices
//!   that at its next write, if not before. On a shared connection the client can only ask for the abort, and not every
//!   application obeys. Go ends the request at once, but may still send its output; flup never ends it. The client
//!   drops such output and does not use the request's number again on that connection. If [`Config::abort_grace`]
//!   passes without an end, the connection takes no further request.
//!
//! # How many at a time
//!
//! How many requests share a connection, and how many are in flight in all?
//!
//! - [`Multiplex::On`]: at most `max` on each connection.
//! - [`Multiplex::Auto`]: at most 1,024 on each connection. An application that shares connections also sets totals:
//!   the client opens at most `FCGI_MAX_CONNS` connections to it and has at most `FCGI_MAX_REQS` requests in flight
//!   over all of them. Further requests are queued. The totals of an application that does not share are ignored:
//!   libfcgi reports 1 for each of its processes, however many listen on one socket.
//!
//! An application whose handlers use threads or a database has a limit of its own, and does not report it. Start with
//! what it can really do at a time.

#[cfg(doc)]
use crate::{Config, Multiplex, Retry};
