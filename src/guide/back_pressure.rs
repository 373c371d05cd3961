//! Slow readers, slow writers, and what they may cost.
//!
//! A proxy stands between a client and an application, and either may be the slower one. Whatever the faster one sends
//! meanwhile has to be kept or refused. The client never keeps more than its [`Config`] says.
//!
//! # A slow reader
//!
//! When the client takes no more, [`pause`](Client::pause) the request; when there is room again,
//! [`resume`](Client::resume) it.
//!
//! *Alone on its connection*, the socket is not read any more. The system's buffers fill, the application's writes
//! stall, and nothing is kept in this program but the rest of what the last read had brought.
//!
//! *On a shared connection* the socket has to be read for the others, so the paused request's output is held in memory,
//! up to the budgets of [`PauseBuffer`]: per request, per connection, for the whole client. When one is used up, [`OverflowPolicy`]
//! decides: the connection is not read, and the neighbours wait too; or the slow request fails with
//! [`RequestError::PauseBufferFull`](crate::RequestError::PauseBufferFull).
//!
//! After `resume` go on with the loop: what was held comes first, then the socket is read again, although mio does not
//! announce it a second time. Seen on an [`Engine`]:
//!
//! ```
//! # use std::time::Instant;
//! # use mio_fcgi::{Action, Config, Engine, EventKind, Multiplex, Request, Tag};
//! # use mio_fcgi::wire::{self, RecordType};
//! # let mut config = Config::new("127.0.0.1:9000".parse()?);
//! # config.multiplex = Multiplex::Off;
//! # let mut engine = Engine::new(config)?;
//! # let now = Instant::now();
//! let request = engine.submit(now, Request::responder(), Tag(1))?;
//! # let Some(Action::Connect { connection, .. }) = engine.poll_action() else { panic!() };
//! # engine.handle_connected(now, connection);
//! # let sent = engine.transmit(connection).iter().map(|slice| slice.len()).sum();
//! # engine.handle_transmitted(now, connection, sent);
//! # while engine.poll_action().is_some() {}
//! // One read has brought two records.
//! let mut bytes = Vec::new();
//! wire::write_stream(&mut bytes, RecordType::Stdout, 1, b"one");
//! wire::write_stream(&mut bytes, RecordType::Stderr, 1, b"two");
//! let mut input = &bytes[..];
//! let first = engine.poll_received(now, connection, &mut input);
//! assert!(matches!(first.map(|event| event.kind), Some(EventKind::Stdout(b"one"))));
//!
//! engine.pause(now, request);
//! assert_eq!(engine.poll_received(now, connection, &mut input), None); // "two" is held
//! assert!(!engine.wants_read(connection));
//!
//! engine.resume(now, request);
//! let mut scratch = [0; 512];
//! let held = engine.poll_event(&mut scratch);
//! assert!(matches!(held.map(|event| event.kind), Some(EventKind::Stderr(b"two"))));
//! assert_eq!(engine.poll_action(), Some(Action::Read { connection }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Time.** While a request on a connection is paused, [`Timeouts::write`], [`Timeouts::first_byte`] and
//! [`Timeouts::between_bytes`] stand still: its client is slow, not the application. Only [`Timeouts::total`] goes on. So a
//! client that never reads keeps a connection, and with php-fpm a process, for as long as you let it: set `total`, or a
//! limit of your own on clients that stand still.
//!
//! **While paused** no output comes, but `End` may, for instance after [`abort`](Client::abort) or a time limit; then
//! output still held is dropped. When the application itself has ended the request, or the connection was lost, what is
//! held comes before `End`.
//!
//! **Neighbours.** New requests go to connections without a paused request where there are any. An application that
//! serves one request per connection knows none of this.
//!
//! # A slow application
//!
//! A body that is given as bytes or a reader leaves at the pace the application takes it. A pushed body asks for some
//! care: [`write_stdin`](Client::write_stdin) returns how many bytes it took, at most [`Config::stdin_high_water`] unsent
//! ones in all. The rest stays with you, and so should your client's next bytes: stop reading until
//! [`EventKind::StdinReady`](crate::EventKind::StdinReady).
//!
//! ```
//! # use std::time::Instant;
//! # use mio_fcgi::{Action, Body, Config, Engine, Event, EventKind, Multiplex, Request, Tag};
//! # let mut config = Config::new("127.0.0.1:9000".parse()?);
//! # config.multiplex = Multiplex::Off;
//! config.stdin_high_water = 8;
//! # let mut engine = Engine::new(config)?;
//! # let now = Instant::now();
//! let upload = Request::responder().with_body(Body::pushed(Some(12)));
//! let request = engine.submit(now, upload, Tag(1))?;
//!
//! assert_eq!(engine.write_stdin(now, request, b"hello, world")?, 8); // keep the other 4
//! assert_eq!(engine.write_stdin(now, request, b"orld")?, 0); // still full
//! # let Some(Action::Connect { connection, .. }) = engine.poll_action() else { panic!() };
//! # engine.handle_connected(now, connection);
//! # let sent = engine.transmit(connection).iter().map(|slice| slice.len()).sum();
//! # engine.handle_transmitted(now, connection, sent);
//!
//! // Connected, and the first bytes have left:
//! assert_eq!(engine.poll_event(&mut []), Some(Event::new(request, Tag(1), EventKind::StdinReady)));
//! assert_eq!(engine.write_stdin(now, request, b"orld")?, 4);
//! engine.finish_stdin(now, request)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! After `write_stdin` took less than it was offered, `StdinReady` comes once, when half of the high-water mark has left,
//! whatever was offered in between. None comes after `finish_stdin`. Then read your client on at once: bytes that came
//! while you did not read are not announced by mio again.
//!
//! [`finish_stdin`](Client::finish_stdin) is a duty. A body that is not finished leaves the application waiting, and no
//! time limit but `total` counts while there is nothing to send. When the client is gone, `abort`.
//!
//! # A slow client that uploads
//!
//! The other way round, a pushed body that trickles in holds a process for as long as it takes. Where processes are
//! scarce, collect the body first, up to a limit and in a file beyond it, and submit the request when it is there:
//! [`Body::bytes`](crate::Body::bytes), [`Body::seekable`](crate::Body::seekable). Such a body can also be sent again,
//! which a pushed one cannot once it has begun. Of a body without a length,
//! [`UnknownLength::Buffer`](crate::UnknownLength::Buffer) does the collecting.
//!
//! # Too many requests
//!
//! A request that finds no connection, and for which none can be opened, waits in a queue of at most
//! [`Limits::max_queued_requests`], for at most [`Timeouts::queue`]. The one more is refused at once with
//! [`SubmitError::QueueFull`](crate::SubmitError::QueueFull). The refusal reads nothing of the body and gives the request
//! back, see [`Refused`](crate::Refused). [`ready`](Client::ready) gives the same answer before there is a request.
//!
//! A request whose connection is being opened does not count. So a queue of 0 serves as many requests at a time as there
//! may be connections, and refuses the next; on connections that are shared, as many as they have places. If the
//! connection then cannot be opened and the queue is full, the request that came last fails with the connect's error or
//! with [`RequestError::QueueFull`](crate::RequestError::QueueFull). A request that is to be sent again needs room as
//! well: without it, it fails as it would have without another attempt.
//!
//! A short queue is kind: a request that waits longer than its client does is work for nobody.
//!
//! # The most that it costs
//!
//! | what | bytes at most | set by |
//! |------|----------------|--------|
//! | the read buffer | one for the client, 64 KiB by default | [`ReadBuf::with_len`] |
//! | an outbox | about 128 KiB for each connection with something unsent, and the parameters of its requests until they have left | - |
//! | bodies as bytes | what you gave, until `End` comes, also after an abort | - |
//! | pushed bodies | 64 KiB for each request | [`Config::stdin_high_water`] |
//! | bodies of unknown length | the limit, for each request | [`UnknownLength::Buffer`](crate::UnknownLength::Buffer) |
//! | held output | 64 KiB for a request, 1 MiB for a connection, 64 MiB in all; one read buffer for each connection may come on top | [`PauseBuffer`] |
//! | parameters | 1 MiB for each request, waiting ones too | [`Config::max_params_len`] |
//! | memory kept for reuse | a few tens of MiB after a burst, as a rule far less | - |
//! | the queue | 1,024 requests of below 1 KiB each, their parameters and bodies; on top those whose connection is being opened | [`Limits::max_queued_requests`] |
//!
//! [`Stats`](crate::Stats) shows what of it is in use.

#[cfg(doc)]
use crate::{Client, Config, Engine, Limits, OverflowPolicy, PauseBuffer, ReadBuf, Timeouts};
