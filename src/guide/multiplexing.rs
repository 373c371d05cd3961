//! Several requests on one connection: when it pays and when it breaks things.
//!
//! FastCGI numbers its requests, so that many can be under way on one connection. Few applications can do it. One that
//! cannot does not always say so: it may lose the second request, or take it for the end of the first one's body. So
//! this is a fact about the application, never a matter of tuning.
//!
//! # What each application does
//!
//! | application | shares a connection | says so when asked | choose |
//! |-------------|---------------------|--------------------|--------|
//! | php-fpm | no: takes the second request for the end of the first one's body | no, and older ones then close | `Off` |
//! | libfcgi, Perl FCGI, fcgiwrap | no: refuses the second request, or loses it | no | `Off` |
//! | Go `net/http/fcgi` | yes, answers come in any order | yes | `Auto` or `On` |
//! | flup, plain | no: refuses the second request | answers with nothing | `Off` |
//! | flup, `multiplexed=True` | yes | answers with nothing | `On` |
//!
//! # The three settings
//!
//! [`Multiplex::Off`]: one request per connection. Always right.
//!
//! [`Multiplex::Auto`], the default: requests go one per connection until the server has said that it multiplexes. The
//! client asks a server once, with `FCGI_GET_VALUES`, and only when the answer can help: when a request waits in the
//! queue because no further connection can be opened. Below that load no server is asked.
//!
//! - The question goes out on the next connection that becomes idle, which takes no request until the answer is in. If
//!   none becomes idle, the question follows a small request without a body that has held its connection for a second.
//!   No connection is opened for it.
//! - Only `FCGI_MPXS_CONNS=1` counts as yes. Silence for [`Config::probe_timeout`] on a connection without a request, a
//!   closed connection or an empty answer mean no.
//! - The answer holds until the server has been down, since what listens there afterwards may be another program. Some
//!   applications die of the question: after one connection was lost with it, the client never asks that server again.
//!   The request on that connection is sent again where [`Retry`] allows it after a stale connection.
//! - [`get_values`](crate::Client::get_values) asks at a time of your choice, and the client learns from that answer too.
//!
//! Where you know the answer, choose `Off` or `On` and spare the question.
//!
//! [`Multiplex::On`]: you know that the application multiplexes. If that is wrong, requests are damaged: only the
//! polite applications refuse with `FCGI_CANT_MPX_CONN`, upon which the client goes back to one request per connection
//! for that server and sends the refused request again.
//!
//! With [`Config::keep_connections`] off, each connection serves one request, whichever of the three is set.
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
//! // One connection for both.
//! let Some(Action::Connect { connection, .. }) = engine.poll_action() else { panic!() };
//! assert_eq!(engine.poll_action(), None);
//! engine.handle_connected(now, connection);
//! let sent = engine.transmit(connection).iter().map(|slice| slice.len()).sum();
//! engine.handle_transmitted(now, connection, sent);
//!
//! // The application answers the second one first. The numbers 1 and 2 never leave the engine.
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
//! # What it gives
//!
//! Fewer sockets and fewer connects. That counts when many small requests are under way at a time, and the application
//! is on another machine, or its connections are dear. On the same machine there is little to gain over one connection
//! per request with a few of them kept: an idle connection costs the client below 512 bytes.
//!
//! # What it costs
//!
//! - *Neighbours.* Bytes of all requests come through one pipe. One that is paused has its output held in memory, up
//!   to a budget; then its neighbours wait, or it fails: see [`back_pressure`](super::back_pressure#a-slow-reader). The
//!   client puts new requests on connections without a paused one, where there are any.
//! - *The application's reader.* In Go, a handler that does not read its body stops the whole connection, the other
//!   requests on it too. For large uploads, `Off` is better even there.
//! - *One fate.* A lost connection fails all requests on it. A panic in a Go handler ends the process.
//! - *Aborts.* Alone on its connection, a request is aborted by closing that, which an application notices when it next
//!   writes, if not before. On a shared one it can only be asked for, and is not always heard: Go ends the request at
//!   once but may still send its output, flup never ends it. The client drops such output, keeps the request's number
//!   out of use for as long as that connection lives, and gives the connection no further request when
//!   [`Config::abort_grace`] has passed without an end.
//!
//! # How many at a time
//!
//! With [`Multiplex::On`] it is `max` on each connection. With [`Multiplex::Auto`] it is at most 1,024 on each connection,
//! and an application that shares connections also sets totals: the client has no more connections to it than
//! `FCGI_MAX_CONNS`, and no more requests in flight over all of them than `FCGI_MAX_REQS`; the others wait in the queue.
//! What an application that does not share says of itself is ignored: libfcgi says 1 for each of its processes, however
//! many listen on one socket.
//!
//! An application whose handlers use threads or a database has its own limit, and does not report it: start with what it
//! can really do at a time.

#[cfg(doc)]
use crate::{Config, Multiplex, Retry};
