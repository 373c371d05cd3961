//! Several servers, and names that move: shares, backups, maintenance, one request for each, health.
//!
//! A server is one address of an application: [`Server`]. A client chooses the server of each request, unless the
//! request names one. The list can be replaced while the client runs, with [`Client::set_servers`].
//!
//! # Shares and backups
//!
//! A request goes to the server with the fewest requests in flight for its [weight](Server::weight). So a slow server
//! gets fewer requests by itself, and servers of equal speed and weight get equal shares. A server that refuses
//! connections or is overloaded is set aside, for longer with each failure in a row ([`Config::backoff`]). Its requests go
//! to the others.
//!
//! A [backup](ServerMode::Backup) gets requests while every active server is set aside: a pool in another data center, or
//! a small application that answers each request with a page of apology. That the active servers are slow is no reason
//! to use a backup. The limits count for each server: [`Limits::max_connections_per_server`] and its neighbors. One limit
//! is over all servers: [`Limits::max_total_connections`]. At that limit, an idle connection to any server is used before
//! another one is closed, so the shares follow the connections that are open.
//!
//! ```
//! use std::time::Instant;
//! use mio_fcgi::{Action, Config, Engine, Request, Server, ServerId, ServerMode, Tag};
//!
//! let big = Server::new("10.0.0.1:9000".parse()?).with_weight(3);
//! let small = Server::new("10.0.0.2:9000".parse()?);
//! let spare = Server::new("10.0.0.3:9000".parse()?).with_mode(ServerMode::Backup);
//! let mut engine = Engine::new(Config::from_servers([big, small, spare]))?;
//! for number in 0..8 {
//!     engine.submit(Instant::now(), Request::responder(), Tag(number))?;
//! }
//! let mut connections = [0; 3];
//! while let Some(action) = engine.poll_action() {
//!     if let Action::Connect { server, .. } = action {
//!         connections[server.number() as usize] += 1;
//!     }
//! }
//! assert_eq!(connections, [6, 2, 0]);
//! # assert_eq!(engine.server_address(ServerId::new(0)), Some(&"10.0.0.1:9000".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Maintenance
//!
//! How do you take a server out of service without losing a request? Set its mode to [`ServerMode::Draining`]. It gets no
//! further request, its idle connections are closed, and requests in flight finish. When
//! [`servers`](Client::servers) shows no connection of the server, it can be stopped. A request that
//! [names](crate::Request::server) the server still reaches it, for example to warm its cache before it is used again.
//!
//! ```
//! use std::time::Instant;
//! use mio_fcgi::{ConfigError, Engine, ServerId, ServerMode};
//! # use mio_fcgi::{Action, Config, Request, Tag};
//!
//! fn set_mode(engine: &mut Engine, now: Instant, server: ServerId, mode: ServerMode) -> Result<(), ConfigError> {
//!     let Some(address) = engine.server_address(server).cloned() else {
//!         return Ok(()); // it was removed
//!     };
//!     let mut servers = engine.config().servers.clone();
//!     for server in servers.iter_mut().filter(|it| it.address == address) {
//!         server.mode = mode;
//!     }
//!     engine.set_servers(now, servers)
//! }
//!
//! fn may_be_stopped(engine: &Engine, now: Instant, server: ServerId) -> bool {
//!     engine.servers(now).all(|it| it.server != server || it.connections == 0)
//! }
//! #
//! # let mut engine = Engine::new(Config::from_servers(["10.0.0.1:9000", "10.0.0.2:9000"].map(|it| it.parse::<mio_fcgi::Address>().unwrap())))?;
//! # let now = Instant::now();
//! # let (one, two) = (ServerId::new(0), ServerId::new(1));
//! # engine.submit(now, Request::responder(), Tag(0))?;
//! # let Some(Action::Connect { connection, server }) = engine.poll_action() else { panic!() };
//! # assert_eq!(server, one);
//! # engine.handle_connected(now, connection);
//! # set_mode(&mut engine, now, one, ServerMode::Draining)?;
//! # assert!(!may_be_stopped(&engine, now, one) && may_be_stopped(&engine, now, two));
//! # engine.handle_closed(now, connection, mio_fcgi::Disconnected::Eof);
//! # assert!(may_be_stopped(&engine, now, one));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If all servers drain, requests wait, up to [`Timeouts::queue`](crate::Timeouts::queue).
//!
//! # A name that moves
//!
//! [`Client::new`] resolves host names once. A container or a service that moves gets another address later, and the
//! resolver blocks, so the loop must not call it. Let a thread resolve the name every few seconds, send the addresses
//! over a channel, and wake the loop with a [`mio::Waker`] under a token of yours. The loop takes them after
//! `poll_event`, with its own sockets:
//!
//! ```
//! use std::sync::mpsc;
//! use std::thread;
//! use std::time::{Duration, Instant};
//! use mio::{Events, Poll, Token, Waker};
//! use mio_fcgi::{Address, Client, Config, ReadBuf, Server};
//!
//! const WAKER: Token = Token(0);
//! const CONNECTIONS: usize = 32;
//! let name: Address = "127.0.0.1:9000".parse()?; // php.local:9000
//!
//! let mut poll = Poll::new()?;
//! let mut config = Config::new(name.clone());
//! config.limits.max_total_connections = CONNECTIONS;
//! let mut client = Client::new(poll.registry(), Token(1)..Token(1 + CONNECTIONS), config)?;
//!
//! let waker = Waker::new(poll.registry(), WAKER)?;
//! let (sender, news) = mpsc::channel();
//! let (stop, stopped) = mpsc::channel::<()>();
//! thread::spawn(move || {
//!     let mut known = Vec::new();
//!     // `stop` is dropped with the loop, which ends the wait and the thread.
//!     while stopped.recv_timeout(Duration::from_millis(10)) == Err(mpsc::RecvTimeoutError::Timeout) {
//!         let Ok(mut found) = name.resolve() else { continue }; // the old addresses stay in use
//!         found.sort_unstable_by_key(ToString::to_string); // a resolver changes the order
//!         found.dedup(); // an address that is listed twice would be two servers
//!         if found != known {
//!             known = found.clone();
//!             let _ = sender.send(found);
//!             let _ = waker.wake(); // if that fails, the next turn takes the list
//!         }
//!     }
//! });
//!
//! let (mut events, mut buf) = (Events::with_capacity(64), ReadBuf::default());
//! # let mut changes = 0;
//! # while changes == 0 {
//! // In each turn of the loop:
//! client.wait(Instant::now(), &mut poll, &mut events)?;
//! let now = Instant::now();
//! for event in &events {
//!     client.handle_event(event); // false for the waker's
//! }
//! client.handle_timeout(now);
//! while let Some(_event) = client.poll_event(now, &mut buf) { /* … */ }
//! while let Ok(found) = news.try_recv() {
//!     let servers = found.into_iter().map(Server::new).collect();
//!     if let Err(error) = client.set_servers(now, servers) {
//!         eprintln!("the servers stay as they are: {error}");
//!     }
//! #     changes += 1;
//! }
//! # }
//! # drop(stop);
//! # assert_eq!(client.servers(Instant::now()).count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The example `resolve` is this pattern as a program, with its failures: a lookup that fails leaves the servers as they
//! are and is reported once. It also follows a file with one address per line, as service discovery tools write it.
//!
//! **What a new list changes.** A server whose address is in both lists is kept, with its [`ServerId`], its connections
//! and what is known about it. The order of the list does not matter. A server that is missing is removed. It is listed
//! as removed while it has connections; then its address may come back under a new ID.
//!
//! **How many tokens.** A client never has more connections than tokens, and [`set_servers`](Client::set_servers) asks for
//! no further ones. While requests end at the old servers, the new ones need connections as well:
//!
//! | tokens | while a name moves |
//! |--------|--------------------|
//! | `max_connections_per_server`, times the old and the new servers | no request waits for the old servers |
//! | fewer | some requests wait until a connection to an old server is closed; no request is lost |
//! | fewer than the limits allow for the first list | [`Client::new`] and [`set_limits`](Client::set_limits) fail with `TooFewTokens` |
//!
//! If you do not know how many addresses a name will have, set [`Limits::max_total_connections`] and take as many tokens,
//! as above. Then every list is accepted, up to 1,024 addresses.
//!
//! **When to stop the old application.** When its last connection is closed: [`servers`](Client::servers) no longer lists
//! it. Or at once, if it finishes what it has begun. php-fpm does so on `SIGQUIT`, within `process_control_timeout`; the
//! default of that setting is 0, and then `SIGQUIT` resets the connections of running scripts.
//!
//! # One request for each server
//!
//! Each php-fpm has a cache of compiled scripts of its own. After a deployment each one has to be told to reset it, and
//! which server a request reaches is otherwise the client's choice. A request that
//! [names its server](crate::Request::with_server) goes there and nowhere else, before the requests that may go elsewhere:
//!
//! ```
//! use std::time::Instant;
//! use mio_fcgi::{Config, Engine, Refused, Request, RequestHandle, Server, ServerId, Tag};
//! # use mio_fcgi::Action;
//!
//! const RESET: u64 = 1 << 32; // tags of this kind
//!
//! /// Tells each server to reset its cache.
//! fn reset_all(engine: &mut Engine, now: Instant) -> Result<Vec<RequestHandle>, Box<Refused>> {
//!     let servers: Vec<ServerId> = engine.servers(now).filter(|it| !it.is_removed).map(|it| it.server).collect();
//!     let each = servers.into_iter().map(|server| {
//!         let request = Request::responder()
//!             .param("REQUEST_METHOD", "POST")
//!             .param("SCRIPT_NAME", "/reset.php")
//!             .param("SCRIPT_FILENAME", "/srv/tools/reset.php") // calls opcache_reset()
//!             .with_server(server);
//!         engine.submit(now, request, Tag(RESET | u64::from(server.number())))
//!     });
//!     each.collect()
//! }
//!
//! let six = (1..=6).map(|host| format!("10.0.0.{host}:9000").parse::<Server>());
//! let config = Config::from_servers(six.collect::<Result<Vec<_>, _>>()?);
//! let mut engine = Engine::new(config)?;
//! assert_eq!(reset_all(&mut engine, Instant::now())?.len(), 6);
//! # let mut reached = Vec::new();
//! # while let Some(action) = engine.poll_action() {
//! #     if let Action::Connect { server, .. } = action { reached.push(server.number()); }
//! # }
//! # reached.sort_unstable();
//! # assert_eq!(reached, [0, 1, 2, 3, 4, 5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - Such a request is never sent to another server. If the server is removed while the request waits, it fails with
//!   [`RequestError::ServerRemoved`]. If the server refuses connections, it fails, after
//!   [`Config::connect_retry_timeout`].
//! - A server is an address. All children of a php-fpm pool share one cache, so one request per pool is enough. An address
//!   that a load balancer distributes is *one* server: name the addresses behind it instead.
//!
//! # Is each one alive?
//!
//! Under traffic, requests find out: a server that refuses connections is set aside, and a request that could not be
//! sent goes to another one. The question is what a request meets that comes after a pause.
//!
//! | | how it asks | what it finds | what it costs |
//! |-|-------------|---------------|---------------|
//! | [`Config::check_interval`] | a connect, and `FCGI_GET_VALUES` | that nobody listens | a connection for a moment, to servers without traffic only |
//! | [`get_values`](Client::get_values) | `FCGI_GET_VALUES` on a connection of the pool | that no process answers | you decide what follows |
//! | a request of yours that names the server | a ping page or a script | whatever the script looks at | you decide what follows |
//!
//! `check_interval` needs no code. It sets a server aside that refuses connections, before a request finds it, and uses it
//! again after a check that succeeds. A server that accepts connections and answers nothing, because its processes hang,
//! is set aside until it answers again, provided that it has answered a question before. What a check cannot know is
//! that a script fails, or its database. For these, ask by yourself, and set the mode:
//!
//! ```
//! use std::collections::HashMap;
//! use std::time::{Duration, Instant};
//! use mio_fcgi::{Address, ConfigError, Engine, Outcome, Request, Server, ServerId, ServerMode, Tag, Timeouts};
//! # use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};
//! # use mio_fcgi::{Action, Config, Disconnected, EventKind};
//!
//! const PING: u64 = 2 << 32; // tags of this kind
//!
//! /// Pings each server, and drains those that do not answer.
//! struct Health {
//!     all: Vec<Server>,
//!     is_dead: HashMap<Address, bool>,
//! }
//!
//! impl Health {
//!     /// To be called every few seconds.
//!     fn ping_all(&self, engine: &mut Engine, now: Instant) {
//!         let servers: Vec<ServerId> = engine.servers(now).map(|it| it.server).collect();
//!         for server in servers {
//!             let ping = Request::responder()
//!                 .param("REQUEST_METHOD", "GET")
//!                 .param("SCRIPT_NAME", "/ping")
//!                 .param("SCRIPT_FILENAME", "/ping") // ping.path of php-fpm
//!                 .with_server(server)
//!                 .with_timeouts(Timeouts::default().with_total(Duration::from_secs(2)));
//!             // Refused: the queue is full, or the server was removed. That is no sign of its health.
//!             let _ = engine.submit(now, ping, Tag(PING | u64::from(server.number())));
//!         }
//!     }
//!
//!     /// To be called at the `End` of a ping. `page` is its output.
//!     fn on_end(&mut self, engine: &mut Engine, now: Instant, tag: Tag, outcome: &Outcome, page: &[u8])
//!         -> Result<(), ConfigError> {
//!         let Some(address) = engine.server_address(ServerId::new(tag.0 as u32)).cloned() else {
//!             return Ok(()); // it was removed meanwhile
//!         };
//!         let is_dead = outcome.is_err() || !page.ends_with(b"pong");
//!         if self.is_dead.insert(address, is_dead) == Some(is_dead) {
//!             return Ok(());
//!         }
//!         let is_dead = |server: &Server| self.is_dead.get(&server.address) == Some(&true);
//!         let all_are_dead = self.all.iter().all(is_dead);
//!         let servers = self.all.iter().cloned().map(|mut server| {
//!             // If none answers, the network or the ping page is to blame: use all of them.
//!             if is_dead(&server) && !all_are_dead {
//!                 server.mode = ServerMode::Draining;
//!             }
//!             server
//!         });
//!         engine.set_servers(now, servers.collect())
//!     }
//! }
//! #
//! # let all: Vec<Server> = vec!["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?];
//! # let mut engine = Engine::new(Config::from_servers(all.clone()))?;
//! # let mut health = Health { all, is_dead: HashMap::new() };
//! # let now = Instant::now();
//! # let mut answers = vec![None, Some(&b"\r\n\r\npong"[..]), Some(&b"\r\n\r\npong"[..])].into_iter();
//! # let mut round = |engine: &mut Engine, health: &mut Health| -> Result<Vec<ServerMode>, Box<dyn std::error::Error>> {
//! #     health.ping_all(engine, now);
//! #     let mut ends = Vec::new();
//! #     while let Some(action) = engine.poll_action() {
//! #         let Action::Connect { connection, server } = action else { continue };
//! #         if server.number() == 0 && answers.next() == Some(None) {
//! #             engine.handle_closed(now, connection, Disconnected::ConnectFailed(std::io::ErrorKind::ConnectionRefused));
//! #             continue;
//! #         }
//! #         engine.handle_connected(now, connection);
//! #         let sent: usize = engine.transmit(connection).iter().map(|it| it.len()).sum();
//! #         engine.handle_transmitted(now, connection, sent);
//! #         let mut bytes = Vec::new();
//! #         wire::write_stream(&mut bytes, RecordType::Stdout, 1, b"\r\n\r\npong");
//! #         let protocol_status = ProtocolStatus::RequestComplete;
//! #         wire::write_end_request(&mut bytes, 1, EndRequest { app_status: 0, protocol_status });
//! #         let mut input = &bytes[..];
//! #         while let Some(event) = engine.poll_received(now, connection, &mut input) {
//! #             if let EventKind::End(outcome) = event.kind { ends.push((event.tag, outcome, &b"pong"[..])); }
//! #         }
//! #         engine.handle_closed(now, connection, Disconnected::Eof);
//! #     }
//! #     while let Some(event) = engine.poll_pending(&mut []) {
//! #         if let EventKind::End(outcome) = event.kind { ends.push((event.tag, outcome, b"")); }
//! #     }
//! #     assert_eq!(ends.len(), 2);
//! #     for (tag, outcome, page) in ends { health.on_end(engine, now, tag, &outcome, page)?; }
//! #     Ok(engine.config().servers.iter().map(|it| it.mode).collect())
//! # };
//! # assert_eq!(round(&mut engine, &mut health)?, [ServerMode::Draining, ServerMode::Active]);
//! # assert_eq!(round(&mut engine, &mut health)?, [ServerMode::Active, ServerMode::Active]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - *A busy server is not dead.* php-fpm answers a ping with a child. If every child is busy, the ping waits, and goes
//!   before the other requests that wait in the client. Choose a time limit that a rush of requests does not exceed, or
//!   ask at `pm.status_listen` ([which page needs what](super::php_fpm#is-it-up)).
//! - *A probe that requests hold up* shows nothing but that. [`Limits::reserve_for_get_values`] keeps the last connection to
//!   each server for [`get_values`](Client::get_values). It costs requests one connection to each server, and php-fpm has
//!   to have a child for it.
//! - *If the list also comes from a resolver*, keep the modes as above, by address, and make each new list from both.
//!
//! # What is promised, and what is not
//!
//! A change of the list fails no request, with one exception: requests that wait for a removed server by name. Requests
//! in flight end where they are. Requests that wait, or that [are sent
//! again](super::failure#what-the-client-sends-again), go to servers of the new list. No connection to a removed server
//! takes another request. Nothing is sent twice because of a change.
//!
//! Not promised:
//!
//! - *Which server* a request gets that names none, and that shares are exact.
//! - *When an old server is free.* A response without end keeps its connection: give such requests a
//!   [`Timeouts::total`](crate::Timeouts::total), or [`abort`](Client::abort) them.
//! - *A request at an old server that is stopped the hard way* fails as at any other server that dies, see
//!   [`failure`](super::failure).
//! - *That IDs stay small.* An address that goes and comes back has a new ID each time. For an access log, take the
//!   address: [`Report::server`](crate::Report::server) and [`server_address`](Client::server_address).
//!
//! # What to show an operator
//!
//! [`servers`](Client::servers) lists each server with its connections, its requests and why it is set aside. `Display` of
//! an item is one line for a status page:
//!
//! ```text
//! server 0, 10.0.0.1:9000, weight 3: 5 requests on 6 connections, 0 being opened, 1 idle; 9127 requests completed, 2 not
//! server 1, 10.0.0.2:9000, removed: 1 request on 1 connection, 0 being opened, 0 idle; 3044 requests completed, 0 not
//! server 2, 10.0.0.3:9000, backup: 0 requests on 0 connections, 0 being opened, 0 idle; 0 requests completed, 0 not; set aside for 1.5s; connection refused: nobody listens there
//! ```

#[cfg(doc)]
use crate::{Client, Config, Limits, RequestError, Server, ServerId, ServerMode};
