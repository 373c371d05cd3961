//! Sockets that the embedder makes: what a connector may return, and what becomes of each of its errors.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Interest, Token};
use mio_fcgi::{
    Address, ConnectError, Delivery, Phase, RequestError, ServerId, Stream, TimeoutKind, Timeouts,
};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{self, RecvAncillaryBuffer, SendAncillaryBuffer};
use rustix::net::{RecvAncillaryMessage, RecvFlags, SendAncillaryMessage, SendFlags};
use socket2::{Domain, Socket, Type};

use crate::peer::{self, Connection, Listener, Peer, TIME_LIMIT};
use crate::{Loop, body, get, plain};

/// An address that is nothing but a name: no socket is bound to it.
fn name(name: &str) -> Address {
    Address::Abstract(name.to_owned())
}

/// One end of a new socket pair. The other end goes through `others`.
fn pair(others: &Sender<UnixStream>) -> io::Result<Stream> {
    let (ours, theirs) = UnixStream::pair()?;
    others.send(theirs).expect("somebody serves it");
    Stream::try_from(ours)
}

/// A thread that serves each connection that it is sent, one after another: the content of a response is the URI of its
/// request. Returns the number of requests on each connection.
fn application() -> (Sender<UnixStream>, JoinHandle<Vec<usize>>) {
    let (connections, all) = mpsc::channel::<UnixStream>();
    let serve = |stream| {
        let mut connection = Connection::over(stream);
        let mut count = 0;
        while let Some(request) = connection.request() {
            let uri = request.param("REQUEST_URI").expect("one");
            connection.answer(request.id, uri.as_bytes());
            count += 1;
        }
        count
    };
    let served = thread::spawn(move || all.into_iter().map(serve).collect());
    (connections, served)
}

#[test]
fn a_socket_pair_carries_requests_from_the_first_turn_on() {
    let (connections, served) = application();
    let mut turns = Loop::plain(name("pair"));
    turns.client.set_connector(move |_, _| pair(&connections));
    turns.submit(get("/first"), 1);
    // The connect and the write need no event.
    turns.drain();
    assert!(turns.client.stats().counters.bytes_sent > 0);
    turns.run_to_ends(1);
    assert_eq!(body(&turns.stdout(1)), b"/first");
    assert_eq!(body(&turns.ask(get("/second")).1), b"/second");
    drop(turns);
    assert_eq!(served.join().expect("no panic"), [2]);
}

#[test]
fn the_connector_is_called_once_for_each_connection_with_its_server_and_address() {
    let (connections, served) = application();
    let mut config = plain(name("one"));
    config.servers.push(name("two").into());
    let mut turns = Loop::new(config);
    let (call, calls) = mpsc::channel();
    turns.client.set_connector(move |server, address| {
        call.send((server, address.clone())).expect("read below");
        pair(&connections)
    });
    for tag in 0..4 {
        turns.submit(get("/"), tag);
    }
    turns.drain();
    let mut called: Vec<_> = calls.try_iter().collect();
    called.sort_by_key(|call| call.0);
    let expected = [(0, "one"), (0, "one"), (1, "two"), (1, "two")];
    let expected = expected.map(|(server, it)| (ServerId::new(server), name(it)));
    assert_eq!(called, expected);
    turns.client.shutdown(Instant::now(), None);
    turns.run_to_ends(4);
    turns.run_until(|it| it.client.is_shut_down());
    drop(turns);
    assert_eq!(served.join().expect("no panic"), [1; 4]);
    assert_eq!(calls.iter().count(), 0);
}

#[test]
fn a_connector_serves_the_connections_that_are_opened_after_it_was_set() {
    let (connections, served) = application();
    let mut turns = Loop::plain(name("pair"));
    turns.client.set_connector(move |_, _| pair(&connections));
    assert_eq!(body(&turns.ask(get("/one")).1), b"/one");
    // Back to the connects of the client's own.
    turns
        .client
        .set_connector(|_, address| Stream::connect(address));
    assert_eq!(body(&turns.ask(get("/kept")).1), b"/kept");
    let mut limits = turns.client.config().limits;
    limits.max_idle_per_server = 0;
    let lowered = turns.client.set_limits(Instant::now(), limits);
    assert_eq!(lowered, Ok(()));
    turns.run_until(|it| it.client.is_idle());
    turns.submit(get("/"), 1);
    turns.run_to_ends(3);
    let refused = ConnectError::Failed(ErrorKind::ConnectionRefused);
    assert_eq!(turns.failure(1).error, RequestError::Connect(refused));
    assert_eq!(served.join().expect("no panic"), [2]);
}

/// Fails once with an error, and then returns one end of a socket pair.
fn failing_once(error: io::Error) -> (Loop, JoinHandle<Vec<usize>>) {
    let (connections, served) = application();
    let mut config = plain(name("pair"));
    config.connect_retry_timeout = TIME_LIMIT;
    config.backoff.initial = Duration::from_millis(1);
    let mut turns = Loop::new(config);
    let mut error = Some(error);
    turns.client.set_connector(move |_, _| match error.take() {
        Some(error) => Err(error),
        None => pair(&connections),
    });
    (turns, served)
}

const EMFILE: i32 = 24;

#[test]
fn an_error_of_the_connector_means_what_it_means_in_the_clients_own_connects() {
    // The numbers of full backlogs, of shortages and of failures that are counted.
    let full = |kind: ErrorKind| (io::Error::from(kind), [1, 0, 0]);
    let short = |error: io::Error| (error, [0, 1, 0]);
    let down = |kind: ErrorKind| (io::Error::from(kind), [0, 0, 1]);
    for (error, counts) in [
        full(ErrorKind::WouldBlock),
        short(io::Error::from_raw_os_error(EMFILE)),
        short(ErrorKind::AddrNotAvailable.into()),
        short(ErrorKind::AddrInUse.into()),
        short(ErrorKind::OutOfMemory.into()),
        down(ErrorKind::ConnectionRefused),
        down(ErrorKind::PermissionDenied),
        down(ErrorKind::Other),
    ] {
        let text = error.to_string();
        let (mut turns, served) = failing_once(error);
        let (outcome, output) = turns.ask(get("/again"));
        assert_eq!(body(&output), b"/again", "{text}: {outcome:?}");
        let counters = turns.client.stats().counters;
        let counted = [
            counters.backlog_full,
            counters.shortages,
            counters.connect_failures,
        ];
        assert_eq!(counted, counts, "{text}");
        assert_eq!(counters.connected, 1);
        drop(turns);
        assert_eq!(served.join().expect("no panic"), [1]);
    }
}

/// How a request fails of which no byte was sent.
fn failure_of(mut turns: Loop) -> RequestError {
    let (outcome, output) = turns.ask(get("/"));
    assert_eq!(output, b"");
    let failure = outcome.expect_err("there is nobody to answer");
    assert_eq!(
        (failure.phase, failure.delivery),
        (Phase::Queued, Delivery::NotProcessed)
    );
    assert_eq!(turns.client.stats().counters.bytes_sent, 0);
    assert_eq!(turns.client.stats().counters.connected, 0);
    assert!(turns.client.is_idle());
    failure.error
}

#[test]
fn a_connector_that_always_fails_fails_the_request_as_a_connect_does() {
    let failing = |error: fn() -> io::Error| {
        let mut config = plain(name("pair"));
        config.connect_timeout = Duration::from_millis(80);
        config.timeouts = Timeouts::NONE;
        config.timeouts.queue = Some(Duration::from_millis(200));
        let mut turns = Loop::new(config);
        turns.client.set_connector(move |_, _| Err(error()));
        failure_of(turns)
    };
    let denied = ConnectError::Failed(ErrorKind::PermissionDenied);
    assert_eq!(
        failing(|| ErrorKind::PermissionDenied.into()),
        RequestError::Connect(denied)
    );
    assert_eq!(
        failing(|| ErrorKind::WouldBlock.into()),
        RequestError::Connect(ConnectError::BacklogFull)
    );
    assert_eq!(
        failing(|| io::Error::from_raw_os_error(EMFILE)),
        RequestError::TimedOut(TimeoutKind::Queue)
    );
}

/// A client whose connector returns this stream, and has no further one.
fn over(stream: impl TryInto<Stream, Error: Debug>) -> Loop {
    let mut config = plain(name("given"));
    config.connect_timeout = Duration::from_millis(80);
    let mut turns = Loop::new(config);
    give(&mut turns, stream.try_into().expect("a socket"));
    turns
}

fn give(turns: &mut Loop, stream: Stream) {
    let mut stream = Some(stream);
    turns.client.set_connector(move |_, _| {
        let stream = stream.take();
        stream.ok_or_else(|| ErrorKind::NotFound.into())
    });
}

fn failed(kind: ErrorKind) -> RequestError {
    RequestError::Connect(ConnectError::Failed(kind))
}

#[test]
fn a_stream_that_its_peer_has_closed_is_a_failed_connect() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    drop(theirs);
    assert_eq!(failure_of(over(ours)), failed(ErrorKind::UnexpectedEof));
}

#[test]
fn a_stream_that_was_reset_is_a_failed_connect() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    ours.write_all(b"never read").expect("room");
    drop(theirs);
    assert_eq!(failure_of(over(ours)), failed(ErrorKind::ConnectionReset));
}

/// They would be the whole response to the first request.
#[test]
fn bytes_that_are_older_than_the_first_request_reach_nobody() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    theirs.write_all(&peer::answer(1, b"old")).expect("room");
    assert_eq!(failure_of(over(ours)), failed(ErrorKind::InvalidData));
    assert_eq!(Connection::over(theirs).rest(), b"", "nothing was sent");
}

#[test]
fn a_stream_that_is_in_the_poll_already_is_a_failed_connect() {
    let (mut ours, theirs) = mio::net::UnixStream::pair().expect("a pair");
    let mut turns = Loop::plain(name("given"));
    let registry = turns.poll.registry();
    registry
        .register(&mut ours, Token(0), Interest::READABLE)
        .expect("a socket");
    give(&mut turns, ours.into());
    assert_eq!(failure_of(turns), failed(ErrorKind::AlreadyExists));
    drop(theirs);
}

#[test]
fn a_stream_that_is_never_connected_times_out() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let never = std::net::TcpStream::from(socket);
    assert_eq!(
        failure_of(over(never)),
        RequestError::Connect(ConnectError::TimedOut)
    );
}

#[test]
fn a_panic_of_the_connector_passes_through_and_costs_one_connect() {
    let (connections, served) = application();
    let mut config = plain(name("pair"));
    config.connect_timeout = Duration::from_millis(80);
    let mut turns = Loop::new(config);
    let mut is_first = true;
    turns.client.set_connector(move |_, _| {
        assert!(!std::mem::take(&mut is_first), "a fault of the embedder's");
        pair(&connections)
    });
    turns.submit(get("/lost"), 1);
    let drained = std::panic::AssertUnwindSafe(|| turns.drain());
    std::panic::catch_unwind(drained).expect_err("a panic");
    turns.run_to_ends(1);
    let timed_out = RequestError::Connect(ConnectError::TimedOut);
    assert_eq!(turns.failure(1).error, timed_out);
    turns.run_until(|it| it.client.is_idle());
    assert_eq!(body(&turns.ask(get("/later")).1), b"/later");
    drop(turns);
    assert_eq!(served.join().expect("no panic"), [1]);
}

/// A connection whose socket is bound to 127.0.0.2, under way or made. A copy of the socket goes through `copies`.
fn from_127_0_0_2(to: &Address, copies: &Sender<Socket>) -> io::Result<Stream> {
    let Address::Tcp(to) = *to else {
        return Err(ErrorKind::Unsupported.into());
    };
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    socket.bind(&from.into())?;
    copies.send(socket.try_clone()?).expect("kept by the test");
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
        connected => connected?,
    }
    Stream::try_from(std::net::TcpStream::from(socket))
}

const EINPROGRESS: i32 = 115;

#[test]
fn a_server_sees_the_source_address_that_the_connector_has_bound() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = Address::Tcp(listener.local_addr().expect("it is bound"));
    let peer = Peer::run(Listener::Tcp(listener), address, None, |listener| {
        let Listener::Tcp(listener) = listener else {
            unreachable!("made above");
        };
        listener.set_nonblocking(false).expect("a listener");
        let (stream, from) = listener.accept().expect("a connection");
        let mut connection = Connection::over(stream);
        let id = connection.request().expect("a request").id;
        connection.answer(id, from.ip().to_string().as_bytes());
        connection.rest();
    });
    let mut turns = Loop::plain(peer.address());
    let (copy, copies) = mpsc::channel();
    turns
        .client
        .set_connector(move |_, address| from_127_0_0_2(address, &copy));
    assert_eq!(body(&turns.ask(get("/")).1), b"127.0.0.2");
    let socket = copies.recv().expect("one socket");
    assert!(socket.tcp_nodelay().expect("an option"));
    drop((turns, socket));
    peer.join();
}

/// Sends a descriptor to another process, as a process manager does.
fn send_descriptor(over: &UnixStream, descriptor: impl AsFd) {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let data = [io::IoSlice::new(b"!")];
    net::sendmsg(over, &data, &mut control, SendFlags::empty()).expect("room");
}

fn receive_descriptor(over: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut data = [0];
    let mut data = [io::IoSliceMut::new(&mut data)];
    net::recvmsg(over, &mut data, &mut control, RecvFlags::empty()).expect("a message");
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors = descriptors.next().expect("descriptors");
    descriptors.next().expect("a descriptor")
}

#[test]
fn a_descriptor_that_another_process_has_connected_carries_requests() {
    let peer = Peer::unix(|listener| {
        let mut connection = listener.accept();
        let mut count = 0;
        while let Some(request) = connection.request() {
            connection.answer(request.id, b"handed over");
            count += 1;
        }
        count
    });
    let (manager, program) = UnixStream::pair().expect("a pair");
    let Address::Unix(path) = peer.address() else {
        unreachable!("a Unix peer");
    };
    // The manager alone knows the path, and its own copy of the socket is closed.
    send_descriptor(&manager, UnixStream::connect(path).expect("it listens"));
    let mut turns = over(UnixStream::from(receive_descriptor(&program)));
    for _ in 0..3 {
        assert_eq!(body(&turns.ask(get("/")).1), b"handed over");
    }
    assert_eq!(turns.client.stats().counters.connected, 1);
    drop(turns);
    assert_eq!(peer.join(), 3);
}

/// The standard library's sockets block, and a loop that reads one stands still.
#[test]
fn a_socket_of_the_standard_library_is_made_non_blocking() {
    let (unix, _other) = UnixStream::pair().expect("a pair");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let tcp = std::net::TcpStream::connect(address).expect("it listens");
    let copies: [OwnedFd; 2] = [
        unix.try_clone().expect("a copy").into(),
        tcp.try_clone().expect("a copy").into(),
    ];
    let is_blocking = |socket: &OwnedFd| {
        let flags = fcntl_getfl(socket).expect("flags");
        !flags.contains(OFlags::NONBLOCK)
    };
    assert!(copies.iter().all(is_blocking));
    let _streams = [
        Stream::try_from(unix).expect("a socket"),
        Stream::try_from(tcp).expect("a socket"),
    ];
    assert!(!copies.iter().any(is_blocking));
}
