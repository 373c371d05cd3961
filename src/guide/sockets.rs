//! Sockets that you make: a source address, socket options, a socket pair, a descriptor of another process, and TLS.
//!
//! By default a client connects to the addresses of its servers. What if the socket needs an option before the connect,
//! or if there is no address to connect to? Pass a function to [`Client::set_connector`]: the client calls it for each
//! new connection, with the server and its address, and uses the [`Stream`] that it returns. Everything else stays: the
//! pool, its limits, the retries, the time limits.
//!
//! | you have | make a [`Stream`] with |
//! |----------|------------------------|
//! | an address, and nothing special | [`Stream::connect`] |
//! | a socket of `socket2` | `Stream::try_from(std::net::TcpStream::from(socket))` |
//! | an [`OwnedFd`](std::os::fd::OwnedFd) | `Stream::try_from(UnixStream::from(descriptor))`, with the standard library's type |
//! | a socket of mio | `Stream::from(socket)` |
//!
//! Call `set_connector` before the first turn of the loop, because connections that are open keep their sockets. The
//! connector runs inside the loop, so it must not block: no name lookup, no blocking connect, no wait for another
//! process. [`Client::set_connector`] lists what else the client relies on, and what each error means.
//!
//! # A source address, and socket options
//!
//! Some options count only before the connect: the source address, the mark (`SO_MARK`) by which Linux chooses a route,
//! the interface, the size of buffers. The crate `socket2` has them all. One function serves for each of them:
//!
//! ```
//! # #[cfg(target_os = "linux")] {
//! use std::io;
//! use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
//! use mio_fcgi::{Address, Stream};
//! use socket2::{Domain, Socket, Type};
//!
//! const EINPROGRESS: i32 = 115; // on Linux: `libc::EINPROGRESS`
//!
//! /// Begins to connect a TCP socket on which `prepare` sets what it needs.
//! fn connect(address: &Address, prepare: impl Fn(&Socket) -> io::Result<()>) -> io::Result<Stream> {
//!     let Address::Tcp(to) = *address else {
//!         return Stream::connect(address); // a Unix socket has no source address
//!     };
//!     let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
//!     socket.set_nonblocking(true)?;
//!     prepare(&socket)?;
//!     match socket.connect(&to.into()) {
//!         Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {} // it goes on by itself
//!         connected => connected?,
//!     }
//!     Stream::try_from(TcpStream::from(socket))
//! }
//!
//! /// From an IP address of this machine.
//! fn connect_from(source: IpAddr, address: &Address) -> io::Result<Stream> {
//!     connect(address, |socket| socket.bind(&SocketAddr::new(source, 0).into()))
//! }
//!
//! /// With a mark, for which the process needs the right `CAP_NET_ADMIN`.
//! fn connect_marked(mark: u32, address: &Address) -> io::Result<Stream> {
//!     connect(address, |socket| socket.set_mark(mark))
//! }
//! # let _ = connect_marked;
//!
//! let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
//! let address = Address::Tcp(listener.local_addr()?);
//! let source = IpAddr::from([127, 0, 0, 2]);
//! # let config = mio_fcgi::Config::new(address.clone());
//! # let poll = mio::Poll::new()?;
//! # let mut client = mio_fcgi::Client::new(poll.registry(), mio::Token(0)..mio::Token(8), config)?;
//! client.set_connector(move |_, address| connect_from(source, address));
//! # client.submit(std::time::Instant::now(), mio_fcgi::Request::responder(), mio_fcgi::Tag(0))?;
//! # assert!(client.poll_event(std::time::Instant::now(), &mut mio_fcgi::ReadBuf::default()).is_none());
//! // The first request opens a connection:
//! let (_connection, from) = listener.accept()?;
//! assert_eq!(from.ip(), source);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **An address that this machine does not have.** `bind` reports it as `EADDRNOTAVAIL`, which is also how a connect
//! reports that no port is left. The client takes it for a shortage, so requests wait, and fail with
//! [`TimeoutKind::Queue`](crate::TimeoutKind::Queue) at last. Bind a socket to the address once when the program starts,
//! and report the error there.
//!
//! **Ports.** A socket that is bound to port 0 takes a port of the source address for itself, whatever the server. When
//! none is left, `bind` reports `EADDRINUSE`, and requests wait for a connection of this client to be closed. Linux's
//! `IP_BIND_ADDRESS_NO_PORT` (in the crate `nix`) leaves the choice to `connect`, which can use a port once for each
//! server.
//!
//! **`TCP_NODELAY`** is set by the client, on your streams as on its own.
//!
//! # A socket pair
//!
//! An application in the same process needs no address and no file. One end of a pair is the client's, the other one is
//! the application's: in a thread, as here, or registered in your own loop, and then under a token of yours.
//!
//! ```
//! # #[cfg(unix)] {
//! use std::io::{self, Read, Write};
//! use std::os::unix::net::UnixStream;
//! use std::thread;
//! use std::time::Instant;
//! use mio::{Events, Poll, Token};
//! use mio_fcgi::wire::{self, Demux, EndRequest, Item, ProtocolStatus, RecordType};
//! use mio_fcgi::{Client, Config, EventKind, ReadBuf, Request, Stream, Tag};
//!
//! /// The application's end of one connection: one request after another.
//! fn serve(mut stream: UnixStream) -> io::Result<()> {
//!     let (mut demux, mut bytes) = (Demux::default(), [0; 4096]);
//!     loop {
//!         let len = stream.read(&mut bytes)?;
//!         if len == 0 {
//!             return Ok(()); // the client has closed the connection
//!         }
//!         let (mut input, mut output) = (&bytes[..len], Vec::new());
//!         while let Some(item) = demux.next(&mut input).map_err(io::Error::other)? {
//!             if let Item::StreamEnd { record_type: RecordType::Stdin, request_id } = item {
//!                 wire::write_stream(&mut output, RecordType::Stdout, request_id, b"X-From: a thread\r\n\r\n");
//!                 let protocol_status = ProtocolStatus::RequestComplete;
//!                 wire::write_end_request(&mut output, request_id, EndRequest { app_status: 0, protocol_status });
//!             }
//!         }
//!         stream.write_all(&output)?;
//!     }
//! }
//!
//! let mut poll = Poll::new()?;
//! let config = Config::new("unix:@thread".parse()?); // a mere name: nothing is bound to it
//! let mut client = Client::new(poll.registry(), Token(1 << 20)..Token((1 << 20) + 8), config)?;
//! client.set_connector(|_, _| {
//!     let (ours, theirs) = UnixStream::pair()?;
//!     thread::Builder::new().spawn(move || serve(theirs))?;
//!     Stream::try_from(ours)
//! });
//! client.submit(Instant::now(), Request::responder().param("REQUEST_METHOD", "GET"), Tag(1))?;
//!
//! let (mut events, mut buf) = (Events::with_capacity(64), ReadBuf::default());
//! let mut output = Vec::new();
//! let outcome = 'served: loop {
//!     client.wait(Instant::now(), &mut poll, &mut events)?;
//!     for event in &events {
//!         client.handle_event(event);
//!     }
//!     client.handle_timeout(Instant::now());
//!     while let Some(event) = client.poll_event(Instant::now(), &mut buf) {
//!         match event.kind {
//!             EventKind::Stdout(data) => output.extend_from_slice(data),
//!             EventKind::End(outcome) => break 'served outcome,
//!             _ => {}
//!         }
//!     }
//! };
//! assert!(outcome.is_ok());
//! assert_eq!(output, b"X-From: a thread\r\n\r\n");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! There is one thread for each connection here, so
//! [`Limits::max_connections_per_server`](crate::Limits::max_connections_per_server) bounds their number.
//!
//! A FastCGI application in a *child process* expects a listening socket as its descriptor 0 (FastCGI 1.0, 2.2), and not
//! one end of a pair. Bind a listener, start the child with `Command::stdin(OwnedFd::from(listener))`, and connect to its
//! address: that needs no connector.
//!
//! # A descriptor of systemd or of another process
//!
//! A program in a sandbox may not open the application's socket by itself. Its process manager connects, and hands the
//! descriptor over: systemd as number 3 and up (`OpenFile=/run/app.sock` in the unit), others through a Unix socket
//! (`SCM_RIGHTS`). The step from a number to an [`OwnedFd`](std::os::fd::OwnedFd) is `unsafe`, and belongs to the start
//! of your program or to a crate for it. From there:
//!
//! ```
//! # #[cfg(unix)] {
//! use std::io::{self, ErrorKind};
//! use std::os::fd::OwnedFd;
//! use std::os::unix::net::UnixStream;
//! use std::sync::mpsc::{self, Receiver, TryRecvError};
//! use mio_fcgi::{Address, Config, ServerId, Stream};
//!
//! /// A connector that uses descriptors of connected Unix sockets, each of them once.
//! fn handed_over(
//!     descriptors: Receiver<OwnedFd>,
//! ) -> impl FnMut(ServerId, &Address) -> io::Result<Stream> + Send {
//!     move |_, _| match descriptors.try_recv() {
//!         Ok(descriptor) => Stream::try_from(UnixStream::from(descriptor)),
//!         // None now: the client asks again after a pause, until `connect_timeout`.
//!         Err(TryRecvError::Empty) => Err(ErrorKind::WouldBlock.into()),
//!         // No further one will come: the server is down.
//!         Err(TryRecvError::Disconnected) => Err(ErrorKind::ConnectionRefused.into()),
//!     }
//! }
//!
//! let mut config = Config::new("unix:@handed-over".parse()?);
//! config.limits.max_connections_per_server = 1; // as many as there are descriptors
//! config.limits.max_idle_per_server = 1;
//! config.limits.min_idle_per_server = 1; // `idle_timeout` does not close it
//! # let poll = mio::Poll::new()?;
//! # let mut client = mio_fcgi::Client::new(poll.registry(), mio::Token(0)..mio::Token(1), config)?;
//! let (sender, descriptors) = mpsc::channel();
//! client.set_connector(handed_over(descriptors));
//! # let (ours, mut application) = UnixStream::pair()?;
//! # let descriptor = OwnedFd::from(ours);
//! sender.send(descriptor)?; // whenever the process manager has handed one over
//! # client.submit(std::time::Instant::now(), mio_fcgi::Request::responder(), mio_fcgi::Tag(0))?;
//! # assert!(client.poll_event(std::time::Instant::now(), &mut mio_fcgi::ReadBuf::default()).is_none());
//! # assert_eq!(client.stats().counters.connected, 1);
//! # assert!(io::Read::read(&mut application, &mut [0; 512])? > 0);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A descriptor is *one* connection. It is closed, and the connector called for another one, when
//!
//! - the application closes it, as php-fpm does after `pm.max_requests` or when it is reloaded,
//! - a request that is alone on it is aborted or passes a time limit, because closing is then the only way to end it,
//! - it is idle for [`Limits::idle_timeout`](crate::Limits::idle_timeout) and `min_idle_per_server` does not keep it, or
//!   it reaches [`max_lifetime`](crate::Limits::max_lifetime) or
//!   [`max_requests_per_connection`](crate::Limits::max_requests_per_connection), which have no limit by default.
//!
//! If the process manager gives no second one, all requests after that fail.
//!
//! Close each copy of a descriptor that you keep: as long as there is one, the application does not see that the client
//! has closed the connection.
//!
//! # TLS
//!
//! The FastCGI applications that this guide knows have no TLS, so there is something in front of the application that
//! takes TLS and passes the bytes on. There are three ways to talk to it.
//!
//! **A proxy on this machine,** such as stunnel with `client = yes`, listens on a local address and connects with TLS. Use
//! that address. Nothing else changes, with one exception: a connect to the proxy succeeds although the application is
//! down. Its connection is then closed, and requests fail with
//! [`ConnectionLost`](crate::RequestError::ConnectionLost) instead of [`Connect`](crate::RequestError::Connect), perhaps
//! as [`MaybeProcessed`](crate::Delivery::MaybeProcessed).
//!
//! **A socket pair** whose other end your own loop, or a thread, joins with a TLS session: it encrypts what the client
//! writes, and writes what it has decrypted. The same exception holds. Close that end when the session has ended.
//!
//! **An [`Engine`] of your own,** which has no sockets, and so no objection to what carries its bytes. See
//! [`without_mio`](super::without_mio) for the duties of its driver; the loop may be mio's. With a session such as
//! `rustls::ClientConnection` they become:
//!
//! | what happens | what to do |
//! |--------------|------------|
//! | [`Action::Connect`] | connect the socket, run the handshake. When it is complete, [`handle_connected`](Engine::handle_connected). When either fails, [`handle_closed`](Engine::handle_closed) with [`Disconnected::ConnectFailed`]. [`Config::connect_timeout`](crate::Config::connect_timeout) runs for both |
//! | the socket is readable | [`handle_readable`](Engine::handle_readable) at once. While [`wants_read`](Engine::wants_read) or [`reads_first`](Engine::reads_first) is true: read TLS records, process them, and feed the plaintext to [`poll_received`](Engine::poll_received) |
//! | the session has no plaintext left, *and* the socket would block | [`handle_drained`](Engine::handle_drained). Records without plaintext, such as tickets, end here as well |
//! | a short read of plaintext | nothing: it says nothing about the socket, so never [`handle_short_read`](Engine::handle_short_read) |
//! | the peer's `close_notify` | `handle_closed` with [`Disconnected::Eof`], after all plaintext was fed |
//! | an end without `close_notify`, or an alert | `handle_closed` with [`Disconnected::Failed`], after all plaintext was fed. A response that was cut short is no complete one in any case, because `FCGI_END_REQUEST` is missing |
//! | the session has no ciphertext to send | give it the slices of [`transmit`](Engine::transmit), unless `reads_first` is true, and report what it took with [`handle_transmitted`](Engine::handle_transmitted) |
//! | the session has ciphertext to send | write it when the socket takes it, before more plaintext: [`Timeouts::write`](crate::Timeouts::write) runs only for bytes that are still in the engine. The session may have some of its own, also when `transmit` is empty |
//! | [`Action::Close`] | send `close_notify`, without waiting for it, and drop the socket |
//!
//! # What a connector does not change
//!
//! - *Host names* are resolved by [`Client::new`], before there is a connector. If the connector needs the name, let it
//!   look the [`ServerId`](crate::ServerId) up in a table of your own.
//! - *[`blocking`](crate::blocking)* makes its own sockets. For one request over a socket of yours, use a client on a
//!   poll of its own, as the program above does.

#[cfg(doc)]
use crate::{Action, Client, Disconnected, Engine, Stream};
