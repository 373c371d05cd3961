//! Slow readers, slow writers, and how much memory they may cost.
//!
//! A proxy sits between an HTTP client and an application, and either may be the slower one. What the faster one sends
//! meanwhile has to be kept or refused. The FastCGI client (*the client* on this page) never keeps more than its
//! [`Config`] allows.
//!
//! # A slow reader
//!
//! What to do with a response that the HTTP client does not take? [`pause`](Client::pause) the request, and
//! [`resume`](Client::resume) it when there is room again. What `pause` costs depends on the connection:
//!
//! - *The request is alone on its connection:* the socket is not read any more. The system's buffers fill and the
//!   application's writes block. Your program keeps only the rest of what the last read had brought.
//! - *The connection is shared:* the socket has to be read for the other requests, so the paused request's output is
//!   buffered in memory. [`PauseBuffer`] limits it per request, per connection and for the whole client. When a limit is
//!   reached, [`OverflowPolicy`] decides: either the connection is not read, and the neighbours wait too, or the slow
//!   request fails with [`RequestError::PauseBufferFull`](crate::RequestError::PauseBufferFull).
//!
//! After `resume`, go on with the loop. The buffered output comes first. Then the socket is read again, although mio does
//! not report it a second time. The same seen on an [`Engine`]:
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
//! // One read brings two records.
//! let mut bytes = Vec::new();
//! wire::write_stream(&mut bytes, RecordType::Stdout, 1, b"one");
//! wire::write_stream(&mut bytes, RecordType::Stderr, 1, b"two");
//! let mut input = &bytes[..];
//! let first = engine.poll_received(now, connection, &mut input);
//! assert!(matches!(first.map(|event| event.kind), Some(EventKind::Stdout(b"one"))));
//!
//! engine.pause(now, request);
//! assert_eq!(engine.poll_received(now, connection, &mut input), None); // "two" is buffered
//! assert!(!engine.wants_read(connection));
//!
//! engine.resume(now, request);
//! let mut scratch = [0; 512];
//! let buffered = engine.poll_pending(&mut scratch);
//! assert!(matches!(buffered.map(|event| event.kind), Some(EventKind::Stderr(b"two"))));
//! assert_eq!(engine.poll_action(), Some(Action::Read { connection }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Time limits.** While a request on a connection is paused, [`Timeouts::write`], [`Timeouts::first_byte`] and
//! [`Timeouts::between_bytes`] do not run, because the application is not the slow one. [`Timeouts::total`] and
//! [`Timeouts::paused`] run, and neither is set by default. Without them, an HTTP client that never reads keeps a
//! connection, and with php-fpm a process, for as long as it likes: as many of them as there are connections stop every
//! other request. Set `paused`, unless you have a limit of your own on HTTP clients that do not read. It limits each
//! pause by itself. Where you resume when your buffer is empty, allow the time that the slowest HTTP client may take for
//! a full buffer.
//!
//! A client that reads a little in time, again and again, keeps its connection all the same. So a server on the open
//! Internet writes large responses to a file first, or limits the downloads of each HTTP client.
//!
//! **Events.** A paused request has no output, but it may have its `End`, for instance after [`abort`](Client::abort)
//! or a time limit; output still buffered is then dropped. If the application itself ended the request, or the connection
//! was lost, the buffered output comes before `End`.
//!
//! **Neighbours.** New requests go to connections without a paused request, where there are any. With one request per
//! connection, there are no neighbours.
//!
//! # A slow application
//!
//! An application may take an upload more slowly than the HTTP client sends it. A body given as bytes or as a reader
//! needs no care: it is sent as fast as the application takes it. A pushed body does:
//! [`write_stdin`](Client::write_stdin) returns how many bytes it took, and holds at most [`Config::stdin_high_water`]
//! unsent bytes. Keep the rest, and stop reading the upload until
//! [`EventKind::StdinReady`](crate::EventKind::StdinReady). What is read from the HTTP client in pieces of 16 KiB to
//! `stdin_high_water` is cheapest: the socket takes such a piece without a copy.
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
//! // After the connect, the first bytes are sent:
//! assert_eq!(engine.poll_pending(&mut []), Some(Event::new(request, Tag(1), EventKind::StdinReady)));
//! assert_eq!(engine.write_stdin(now, request, b"orld")?, 4);
//! engine.finish_stdin(now, request)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! After a `write_stdin` that took less than it was offered, `StdinReady` comes once, when half of the high-water mark
//! has been sent, whatever was offered in between. After `finish_stdin` none comes. At `StdinReady`, read the upload at
//! once: mio reports no event for bytes that arrived while you did not read.
//!
//! A [`cgi::RequestBody`](crate::cgi::RequestBody#an-application-that-takes-a-part) keeps count of what was taken of the
//! body of an HTTP request, also in chunks.
//!
//! Always call [`finish_stdin`](Client::finish_stdin). Without it the application waits for more, and while there is
//! nothing to send, no time limit but `total` runs. If the HTTP client is gone, call `abort` instead.
//!
//! # A slow upload
//!
//! A pushed body that arrives slowly holds a process of the application for the whole upload. Where processes are
//! scarce, collect the body first, in memory up to a limit and in a file beyond it. Then submit the request with
//! [`Body::bytes`](crate::Body::bytes) or [`Body::seekable`](crate::Body::seekable). Such a body can also be sent
//! again; a pushed one cannot, once it has begun. For a body without a length,
//! [`UnknownLength::Buffer`](crate::UnknownLength::Buffer) does the collecting.
//!
//! # Too many requests
//!
//! A request that gets no connection, and for which none can be opened, is queued. The queue holds at most
//! [`Limits::max_queued_requests`], each for at most [`Timeouts::queue`]. The next one is refused at once with
//! [`SubmitError::QueueFull`](crate::SubmitError::QueueFull). The refusal reads nothing of the body and gives the
//! request back: [`for_another_client`](crate::Refused::for_another_client) hands it on. [`ready`](Client::ready) gives
//! the same answer before you make a request.
//!
//! Keep the queue short: a request that waits longer than its HTTP client does is work for nothing.
//!
//! A request whose connection is being opened does not count. So with a limit of 0, the client serves as many requests
//! at a time as the connections have places, one per connection unless they are shared, and refuses the next. If the
//! connection then cannot be opened and the queue is full, the request that came last fails, with the error of the
//! connect or with [`RequestError::QueueFull`](crate::RequestError::QueueFull). A request that is to be sent again
//! needs room in the queue as well. Without room, it fails as it would have without another attempt.
//!
//! # The memory it may cost
//!
//! | what | bytes at most | set by |
//! |------|----------------|--------|
//! | the read buffer | one for the client, 64 KiB by default | [`ReadBuf::with_len`] |
//! | unsent bytes | about 128 KiB for each connection that has any, and the parameters of its requests until they are sent | - |
//! | bodies given as bytes | what you gave, until `End` comes, also after an abort | - |
//! | pushed bodies | 64 KiB for each request | [`Config::stdin_high_water`] |
//! | bodies of unknown length | the limit, for each request | [`UnknownLength::Buffer`](crate::UnknownLength::Buffer) |
//! | buffered output | 64 KiB for a request, 1 MiB for a connection, 64 MiB in all; one read buffer for each connection may come on top | [`PauseBuffer`] |
//! | parameters | 1 MiB for each request, queued ones too | [`Config::max_params_len`] |
//! | memory kept for reuse | a few tens of MiB after a burst, as a rule far less | - |
//! | the queue | 1,024 requests of less than 1 KiB each, their parameters and bodies; and the requests whose connection is being opened | [`Limits::max_queued_requests`] |
//!
//! [`Stats`](crate::Stats) reports how much of it is in use.

#[cfg(doc)]
use crate::{Client, Config, Engine, Limits, OverflowPolicy, PauseBuffer, ReadBuf, Timeouts};
