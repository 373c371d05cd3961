//! Driving an [`Engine`] yourself: for another runtime, for `io_uring`, for tests without sockets.
//!
//! [`Client`](crate::Client) is an engine with a driver for mio. The engine decides, the driver does: it moves octets,
//! reports what became of sockets, and says what time it is. Any other driver has the same duties:
//!
//! 1. **Actions.** Take [`poll_action`](Engine::poll_action) until `None`, and do each: connect, close, write, read.
//! 2. **Facts.** Report a connect that succeeded with [`handle_connected`](Engine::handle_connected), and a connect
//!    that failed, an end of file or an error with [`handle_closed`](Engine::handle_closed), after everything that
//!    could still be read.
//! 3. **Octets out.** Write what [`transmit`](Engine::transmit) shows, report how much the transport took with
//!    [`handle_transmitted`](Engine::handle_transmitted), look again. With completions instead of readiness: copy, or
//!    keep the slices' octets unchanged by reporting only when the write is done.
//! 4. **Octets in.** While [`wants_read`](Engine::wants_read), read, and feed all of it to
//!    [`poll_received`](Engine::poll_received) until `None`. Nothing has to be kept afterwards. What was read before it
//!    became false is fed all the same.
//! 5. **Events.** Take [`poll_event`](Engine::poll_event) until `None`; its buffer is only scratch memory for output
//!    that was held back.
//! 6. **Time.** Call [`handle_timeout`](Engine::handle_timeout) when [`poll_timeout`](Engine::poll_timeout) says so. It
//!    may say it a little early: then ask again.
//!
//! Work makes work, so repeat 1 to 5 until nothing moves, then wait. The order does not matter, and an engine with
//! something to do says so: [`has_output`](Engine::has_output).
//!
//! # A complete loop in memory
//!
//! Three requests, an application that answers two of them and forgets the third, and a clock that jumps to whatever is
//! due next. It runs in no time and always in the same way.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::{Duration, Instant};
//! use mio_fcgi::wire::{self, Demux, EndRequest, Item, Pairs, ProtocolStatus, RecordType};
//! use mio_fcgi::{Action, Config, ConnectionHandle, Engine, Event, Multiplex, Request, RequestError};
//! use mio_fcgi::{Tag, TimeoutKind};
//!
//! /// The application's end of one connection. It greets whoever gives a name.
//! #[derive(Default)]
//! struct Peer {
//!     demux: Demux,
//!     name: Vec<u8>,
//!     output: Vec<u8>,
//! }
//!
//! impl Peer {
//!     fn hear(&mut self, mut octets: &[u8]) -> Result<(), wire::DecodeError> {
//!         while let Some(item) = self.demux.next(&mut octets)? {
//!             match item {
//!                 Item::Begin { .. } => self.name.clear(),
//!                 // A pair may be cut in a real stream; here every block comes whole.
//!                 Item::Stream { record_type: RecordType::Params, data, .. } => {
//!                     for pair in Pairs::new(data) {
//!                         self.name.extend_from_slice(pair?.1);
//!                     }
//!                 }
//!                 Item::StreamEnd { record_type: RecordType::Stdin, request_id } => self.answer(request_id),
//!                 _ => {}
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     fn answer(&mut self, id: u16) {
//!         if self.name == b"nobody" {
//!             return;
//!         }
//!         wire::write_stream(&mut self.output, RecordType::Stdout, id, b"hello ");
//!         wire::write_stream(&mut self.output, RecordType::Stdout, id, &self.name);
//!         let protocol_status = ProtocolStatus::RequestComplete;
//!         wire::write_end_request(&mut self.output, id, EndRequest { app_status: 0, protocol_status });
//!     }
//! }
//!
//! let mut config = Config::new("127.0.0.1:9000".parse()?); // never connected to
//! config.multiplex = Multiplex::Off;
//! config.timeouts.first_octet = Some(Duration::from_secs(60));
//! let mut engine = Engine::new(config)?;
//! let start = Instant::now(); // any instant will do
//! let mut now = start;
//! for (tag, name) in [(1, "anne"), (2, "nobody"), (3, "carl")] {
//!     engine.submit(now, Request::responder().param("NAME", name), Tag(tag))?;
//! }
//!
//! let mut peers: BTreeMap<ConnectionHandle, Peer> = BTreeMap::new();
//! let mut scratch = [0; 4096];
//! let mut pages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
//! let mut outcomes = BTreeMap::new();
//! let mut note = |event: Event<'_>| match event {
//!     Event::Stdout { tag, data, .. } => pages.entry(tag.0).or_default().extend_from_slice(data),
//!     Event::End { tag, outcome, .. } => drop(outcomes.insert(tag.0, outcome)),
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
//!             // Every connection is looked at below in any case.
//!             _ => {}
//!         }
//!     }
//!     for (connection, peer) in &mut peers {
//!         let mut sent = 0;
//!         for slice in engine.transmit(*connection).iter() {
//!             peer.hear(slice)?;
//!             sent += slice.len();
//!         }
//!         moved |= sent > 0;
//!         engine.handle_transmitted(now, *connection, sent);
//!         if engine.wants_read(*connection) && !peer.output.is_empty() {
//!             moved = true;
//!             let output = std::mem::take(&mut peer.output);
//!             let mut input = &output[..];
//!             while let Some(event) = engine.poll_received(now, *connection, &mut input) {
//!                 note(event);
//!             }
//!         }
//!     }
//!     while let Some(event) = engine.poll_event(&mut scratch) {
//!         moved = true;
//!         note(event);
//!     }
//!     if !moved {
//!         // A real driver waits here.
//!         now = engine.poll_timeout().map_or(now, |due| due.max(now));
//!         engine.handle_timeout(now);
//!     }
//! }
//!
//! assert_eq!((&pages[&1][..], &pages[&3][..]), (&b"hello anne"[..], &b"hello carl"[..]));
//! assert!(outcomes[&1].is_ok() && outcomes[&3].is_ok());
//! let failure = outcomes[&2].as_ref().expect_err("it was never answered");
//! assert_eq!(failure.error, RequestError::TimedOut(TimeoutKind::FirstOctet));
//! assert_eq!(failure.report.timings.end(), Duration::from_secs(60));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The loop ends when neither a request nor a connection is left ([`is_idle`](Engine::is_idle)) and all that the engine
//! had to say was taken: the last `End` may come out when the engine is idle already. The connections of the other two
//! requests were closed on the way, as idle ones are.
//!
//! To test a program that embeds the client, there is such a loop ready in the module `testkit`, a feature: with
//! applications that misbehave, a clock of its own, and octets that arrive in any pieces. See the page `testing`.
//!
//! # Rules for a driver
//!
//! - A connection is known by its [`ConnectionHandle`]. Keep sockets by [`index`](ConnectionHandle::index) and compare
//!   the whole handle: an index is used again, a handle is not. A stale handle is harmless in every call.
//! - After [`Action::Close`] the handle is stale: drop the socket, report nothing.
//! - A socket that dies is reported once, and *last*: feed what it still had to give. An application may answer and
//!   close at once, and an answer that is complete counts.
//! - A connect of a Unix socket that says `EAGAIN` is [`Disconnected::BacklogFull`]: the engine asks for a new socket
//!   under the same handle when a pause is over.
//! - [`Action::Flush`] comes when there is something new to write, not again for what did not fit: go on by yourself
//!   when the transport takes more.
//! - [`Action::Read`] means that reading was held off and may go on; readiness that is announced by edges will not come
//!   again.

#[cfg(doc)]
use crate::{Action, ConnectionHandle, Disconnected, Engine};
