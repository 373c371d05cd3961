//! Driving an [`Engine`] yourself: for another runtime, for `io_uring`, for tests without sockets.
//!
//! If your program has no mio loop, [`Client`](crate::Client) is not for you, but the engine inside it is. The engine
//! decides. Its driver moves the bytes, reports what became of the sockets, and passes the time in. `Client` has a
//! driver for mio. Two examples are drivers for real sockets, to copy from: [`tokio`], by readiness, and [`io_uring`],
//! by completion. Every driver has the same duties:
//!
//! 1. **Actions.** Take [`poll_action`](Engine::poll_action) until `None`, and carry out each action: connect, close,
//!    write or read.
//! 2. **Facts.** Report a connect that succeeded with [`handle_connected`](Engine::handle_connected). Report a connect
//!    that failed, an end of file or an error with [`handle_closed`](Engine::handle_closed), after everything that
//!    could still be read. Report also whether a socket has something to read, see [below](#on-readiness).
//! 3. **Bytes out.** Write the slices of [`transmit`](Engine::transmit). Report with
//!    [`handle_transmitted`](Engine::handle_transmitted) how many bytes the transport took. Call `transmit` again. The
//!    slices are valid until the next `&mut` call on the engine; for a write that takes longer,
//!    [`poll_transmit`](Engine::poll_transmit) copies them.
//! 4. **Bytes in.** While [`wants_read`](Engine::wants_read) is true, read. Feed all bytes to
//!    [`poll_received`](Engine::poll_received) until it returns `None`, also those that were read before `wants_read`
//!    became false. Nothing has to be kept afterwards.
//! 5. **Events.** Take [`poll_pending`](Engine::poll_pending) until `None`. Its buffer is only scratch memory for output
//!    that was held back.
//! 6. **Time.** Call [`handle_timeout`](Engine::handle_timeout) after [`timeout`](Engine::timeout), or at
//!    [`deadline`](Engine::deadline), which is the same as an instant. Either may be a little early: then ask again.
//!
//! One step may make work for another. So repeat 1 to 5 until nothing moves, then wait. Any order is correct: an engine
//! with something to do reports it with [`has_output`](Engine::has_output).
//!
//! # A complete loop in memory
//!
//! This program has three requests, an application that answers two of them and forgets the third, and a clock that
//! jumps to the next deadline. It never waits, and every run is the same.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::{Duration, Instant};
//! use mio_fcgi::wire::{self, Demux, EndRequest, Item, Pairs, ProtocolStatus, RecordType};
//! use mio_fcgi::{Action, Config, ConnectionHandle, Engine, Event, EventKind, Multiplex, Request, RequestError};
//! use mio_fcgi::{Tag, TimeoutKind};
//!
//! /// The application's end of one connection. It answers a parameter with a greeting.
//! #[derive(Default)]
//! struct Peer {
//!     demux: Demux,
//!     name: Vec<u8>,
//!     output: Vec<u8>,
//! }
//!
//! impl Peer {
//!     fn receive(&mut self, mut bytes: &[u8]) -> Result<(), wire::DecodeError> {
//!         while let Some(item) = self.demux.next(&mut bytes)? {
//!             match item {
//!                 Item::Begin { .. } => self.name.clear(),
//!                 // In a real stream a pair may come in pieces; here every record comes whole.
//!                 Item::Stream { record_type: RecordType::Params, data, .. } => {
//!                     for pair in Pairs::new(data) {
//!                         self.name.extend_from_slice(pair?.1);
//!                     }
//!                 }
//!                 Item::StreamEnd { record_type: RecordType::Stdin, request_id } => self.respond(request_id),
//!                 _ => {}
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     fn respond(&mut self, id: u16) {
//!         if self.name == b"bob" {
//!             return; // forgotten: its time limit has to end the request
//!         }
//!         wire::write_stream(&mut self.output, RecordType::Stdout, id, b"hello ");
//!         wire::write_stream(&mut self.output, RecordType::Stdout, id, &self.name);
//!         let protocol_status = ProtocolStatus::RequestComplete;
//!         wire::write_end_request(&mut self.output, id, EndRequest { app_status: 0, protocol_status });
//!     }
//! }
//!
//! let mut config = Config::new("127.0.0.1:9000".parse()?); // no socket is ever opened
//! config.multiplex = Multiplex::Off;
//! config.timeouts.first_byte = Some(Duration::from_secs(60));
//! let mut engine = Engine::new(config)?;
//! let start = Instant::now(); // any instant will do
//! let mut now = start;
//! for (tag, name) in [(1, "anne"), (2, "bob"), (3, "carl")] {
//!     engine.submit(now, Request::responder().param("NAME", name), Tag(tag))?;
//! }
//!
//! let mut peers: BTreeMap<ConnectionHandle, Peer> = BTreeMap::new();
//! let mut scratch = [0; 4096];
//! let mut pages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
//! let mut outcomes = BTreeMap::new();
//! let mut record = |event: Event<&[u8]>| match event.kind {
//!     EventKind::Stdout(data) => pages.entry(event.tag.0).or_default().extend_from_slice(data),
//!     EventKind::End(outcome) => drop(outcomes.insert(event.tag.0, outcome)),
//!     _ => {}
//! };
//!
//! while !engine.is_idle() || engine.has_output() {
//!     let mut moved = false;
//!     while let Some(action) = engine.poll_action() {
//!         moved = true;
//!         match action {
//!             Action::Connect { connection, .. } => {
//!                 peers.insert(connection, Peer::default());
//!                 engine.handle_connected(now, connection);
//!             }
//!             Action::Close { connection, .. } => drop(peers.remove(&connection)),
//!             // `Flush` and `Read`: every connection is served below in any case.
//!             _ => {}
//!         }
//!     }
//!     for (connection, peer) in &mut peers {
//!         let mut sent = 0;
//!         for slice in engine.transmit(*connection).iter() {
//!             peer.receive(slice)?;
//!             sent += slice.len();
//!         }
//!         moved |= sent > 0;
//!         engine.handle_transmitted(now, *connection, sent);
//!         if engine.wants_read(*connection) && !peer.output.is_empty() {
//!             moved = true;
//!             let output = std::mem::take(&mut peer.output);
//!             let mut input = &output[..];
//!             while let Some(event) = engine.poll_received(now, *connection, &mut input) {
//!                 record(event);
//!             }
//!         }
//!     }
//!     while let Some(event) = engine.poll_pending(&mut scratch) {
//!         moved = true;
//!         record(event);
//!     }
//!     if !moved {
//!         // A real driver waits here.
//!         now = engine.deadline(now).unwrap_or(now);
//!         engine.handle_timeout(now);
//!     }
//! }
//!
//! assert_eq!((&pages[&1][..], &pages[&3][..]), (&b"hello anne"[..], &b"hello carl"[..]));
//! assert!(outcomes[&1].is_ok() && outcomes[&3].is_ok());
//! let failure = outcomes[&2].as_ref().expect_err("it was never answered");
//! assert_eq!(failure.error, RequestError::TimedOut(TimeoutKind::FirstByte));
//! assert_eq!(failure.report.timings.total(), Duration::from_secs(60));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The loop ends when there is no request and no connection left ([`is_idle`](Engine::is_idle)), and all output of the
//! engine was taken: the last `End` may still be there when the engine is idle. The connections of the two answered
//! requests were closed by then, because they had been idle for too long.
//!
//! To test a program that embeds the client, you need not write this loop. The module `testkit`, a feature, has one,
//! with applications that misbehave, a clock of its own, and bytes that arrive in any pieces. See the page `testing`.
//!
//! # On readiness
//!
//! A request must not get a connection that the application has closed, or that still holds bytes of an earlier
//! request. So the engine has to know what the driver knows of each socket:
//!
//! | what happened | report | when |
//! |---------------|--------|------|
//! | the selector reported a socket readable | [`handle_readable`](Engine::handle_readable) | at once, before the next command |
//! | the selector reported the end of the application's stream, a hang-up or an error | [`handle_read_closed`](Engine::handle_read_closed) | at once, before the next command |
//! | a read brought bytes, and there may be more | `handle_readable` | before they are fed |
//! | a read brought less than it had room for, and this means an empty socket | [`handle_short_read`](Engine::handle_short_read) | before they are fed |
//! | a read would have blocked | [`handle_drained`](Engine::handle_drained) | after all bytes were fed |
//! | a read found the end, or failed | [`handle_closed`](Engine::handle_closed) | after all bytes were fed |
//!
//! When does a short read mean an empty socket? With an edge-triggered selector, which reports what comes later. The
//! exception is a socket with a reported end or urgent byte: read on, until a read finds the end or would block.
//!
//! Report all of these or none:
//!
//! - *All.* A connection that was reported readable takes no request until it is reported empty. And a time limit that
//!   is over asks for a read first, with [`Action::Read`]. It expires when the socket was reported empty or closed, or
//!   was read 128 times.
//! - *None.* Then read every socket before you give a command and before [`handle_timeout`](Engine::handle_timeout).
//!   Time limits expire at once.
//!
//! [`reads_first`](Engine::reads_first) asks for one read before the first write, because the request may not be sent
//! twice and its connection has served others. On a new connection, [`Action::Flush`] may come before or after the
//! selector's first report that the socket takes bytes. You may write at either: a write that would block does no harm.
//!
//! The example [`tokio`] reports all, in this order: what is ready, before anything else is done; then, for each
//! connection, one read and its bytes; then the writes. Three of its choices suit any selector:
//!
//! - It takes no short read for an empty socket. It reads on, until a read would block.
//! - It reads before it writes. That is the read that `reads_first` asks for.
//! - When a write has failed, it looks at the socket again and reads to the end, and only then reports the failure. What
//!   is paused is not read meanwhile.
//!
//! # On completions
//!
//! With `io_uring` and the like, the system uses the driver's memory until a completion comes, while the engine goes
//! on. The rules for such a driver:
//!
//! - **Copy when you submit a write.** [`poll_transmit`](Engine::poll_transmit) appends the next bytes to a buffer of
//!   the driver's, and counts them as handed over. A request that is lost after that is [`Delivery::MaybeProcessed`],
//!   even if the write does not complete. So call it only when the write can be submitted. Have one write at a time on
//!   a connection: call it at [`Action::Flush`] if no write is under way, and at the completion of a write. If a
//!   completion reports fewer bytes, submit the rest before anything else.
//! - **Time.** [`Timeouts::first_byte`] begins when the last byte was copied. [`Timeouts::write`] runs only while
//!   unsent bytes are in the engine. So a write that never completes ends with one of the other limits.
//! - **Reads.** Have one read under way while [`wants_read`](Engine::wants_read) is true. When it completes, feed its
//!   bytes, also if `wants_read` is false by then. At [`Action::Read`], submit a read if none is under way.
//! - **[`Action::Close`].** Cancel what is under way, keep its memory until its completion has come, then close the
//!   socket. The handle is stale: report nothing more, and drop the bytes of a late read.
//! - **A failed write.** Do not report it at once. The application may have answered before it closed, so let the read
//!   go on to its end. Report [`handle_closed`](Engine::handle_closed) when the read has found the end or failed.
//!   Report it also when the read is still under way after all completions were taken: then nothing is left to read.
//! - **[`Disconnected::BacklogFull`].** Report it for a connect that completes with `EAGAIN`. `io_uring` does so if the
//!   Unix socket is non-blocking while it connects. If the system holds the connect until the backlog has room, there is
//!   nothing to report: [`Config::connect_timeout`] ends it with [`Action::Close`].
//! - **Readiness.** Take all completions before you give a command and before
//!   [`handle_timeout`](Engine::handle_timeout). Then either report nothing of the table above, or all of this. A
//!   read that has completed is [`handle_readable`](Engine::handle_readable), or
//!   [`handle_read_closed`](Engine::handle_read_closed) if it found the end, before the bytes of any read are fed: an
//!   event may lead to a command. A read that is still under way after all completions were taken is
//!   [`handle_drained`](Engine::handle_drained), and that is also the answer to `Action::Read` and to
//!   [`reads_first`](Engine::reads_first). After a read, submit the next one and look again at once, because a
//!   connection takes no request until its socket was found empty. If you report nothing, a request may get a connection
//!   whose end is already in the socket, and only the request IDs protect it from late bytes.
//!
//! The example [`io_uring`] does all this.
//!
//! An abort while a write is under way:
//!
//! ```
//! use std::time::Instant;
//! use mio_fcgi::{Action, Config, Delivery, Engine, EventKind, Request, Tag};
//!
//! let mut engine = Engine::new(Config::new("127.0.0.1:9000".parse()?))?;
//! let now = Instant::now();
//! let request = engine.submit(now, Request::responder(), Tag(1))?;
//! let Some(Action::Connect { connection, .. }) = engine.poll_action() else { panic!() };
//! engine.handle_connected(now, connection); // the connect has completed
//! assert_eq!(engine.poll_action(), Some(Action::Flush { connection }));
//!
//! let mut out = Vec::new(); // this connection's buffer
//! let len = engine.poll_transmit(now, connection, &mut out);
//! assert!(len > 0 && len == out.len());
//! // Here the write of `out` is submitted to the system. It is under way when the request is aborted:
//! engine.abort(now, request);
//! let event = engine.poll_pending(&mut []);
//! let Some(EventKind::End(Err(failure))) = event.map(|event| event.kind) else { panic!() };
//! assert_eq!(failure.delivery, Delivery::MaybeProcessed); // it may still reach the application
//!
//! // Cancel the write, but keep `out`.
//! assert!(matches!(engine.poll_action(), Some(Action::Close { .. })));
//! // The write completes, in full or not. Report nothing; the memory is free again.
//! drop(out);
//! assert!(engine.is_idle());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules for every driver
//!
//! - **Handles.** A connection is named by its [`ConnectionHandle`]. Keep sockets by [`index`](ConnectionHandle::index)
//!   and compare the whole handle: an index is used again, a handle is not. A stale handle is harmless in every call.
//! - **Close.** After [`Action::Close`] the handle is stale: drop the socket, report nothing. After
//!   [`shutdown`](Engine::shutdown), [`is_shut_down`](Engine::is_shut_down) returns true when the last of these actions
//!   was taken.
//! - **Lost sockets.** Report a lost socket once, and *last*: first feed what could still be read. An application may
//!   answer and close at once, and a complete answer counts. Report a write that failed with nothing left to read at
//!   once, because nothing else will come.
//! - **A full backlog.** A connect of a Unix socket that fails with `EAGAIN` is [`Disconnected::BacklogFull`]. After a
//!   pause, the engine asks for a new socket under the same handle.
//! - **A shortage.** A connect that fails because this side has no descriptor, port or memory left (`EMFILE`, `ENFILE`,
//!   `ENOBUFS`, `EADDRNOTAVAIL`, `ENOMEM`) is [`Disconnected::Shortage`]. The handle is then stale, and the requests
//!   wait. The engine asks again when another socket was closed or a pause is over.
//! - **Writes.** [`Action::Flush`] comes when there is something new to write, not again for what did not fit: write on
//!   by yourself when the transport takes more.
//! - **Reads.** [`Action::Read`] asks for a read now, because reading was held off and may go on, or because a time
//!   limit is over. An edge-triggered selector does not report again what it reported before.
//!
//! [`tokio`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/tokio.rs
//! [`io_uring`]: https://docs.rs/crate/mio-fcgi/latest/source/examples/io_uring.rs

#[cfg(doc)]
use crate::{Action, Config, ConnectionHandle, Delivery, Disconnected, Engine, Timeouts};
