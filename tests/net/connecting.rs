//! Connecting: each kind of address, and each way in which a connect fails.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use mio_fcgi::{Address, ConnectError, Delivery, Phase, RequestError, ServerId, Stream};
use rustix::net::listen;
use socket2::{Domain, Socket, Type};

use crate::peer::{self, Listener, Peer, TIME_LIMIT};
use crate::{Loop, body, get, plain};

/// Answers one request with the kind of its socket.
fn serve_once(listener: Listener) {
    let mut connection = listener.accept();
    let request = connection.request().expect("a request");
    connection.answer(
        request.id,
        request.param("REQUEST_URI").expect("one").as_bytes(),
    );
    connection.rest();
}

fn is_served(address: Address) {
    let mut turns = Loop::plain(address);
    let (outcome, output) = turns.ask(get("/here"));
    outcome.expect("a response");
    assert_eq!(body(&output), b"/here");
}

#[test]
fn every_kind_of_address_is_connected_to() {
    let peers = [
        Peer::unix(serve_once),
        Peer::tcp(serve_once),
        Peer::tcp_v6(serve_once),
    ];
    for peer in peers {
        is_served(peer.address());
        peer.join();
    }
}

#[test]
fn a_socket_in_the_abstract_namespace_is_connected_to() {
    let name = format!("mio-fcgi-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a short name");
    let listener = UnixListener::bind_addr(&address).expect("a name of our own");
    let address: Address = format!("unix:@{name}").parse().expect("an address");
    let peer = Peer::run(Listener::Unix(listener), address.clone(), None, serve_once);
    is_served(address);
    peer.join();
}

/// `localhost` may be `::1` first and 127.0.0.1 next, or the other way round: the peer listens where it is tried last.
#[test]
fn a_host_name_is_resolved_and_each_of_its_addresses_is_tried() {
    let localhost = |port| Address::Host {
        name: "localhost".to_owned(),
        port,
    };
    let resolved = localhost(0).resolve().expect("every system knows it");
    let Some(Address::Tcp(last)) = resolved.last() else {
        panic!("numeric addresses");
    };
    let listener = TcpListener::bind(last).expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let peer = Peer::run(Listener::Tcp(listener), localhost(port), None, serve_once);
    is_served(peer.address());
    peer.join();
}

#[test]
fn a_server_that_refuses_is_passed_over_for_another() {
    let peer = Peer::tcp(|listener| {
        let mut connection = listener.accept();
        for _ in 0..10 {
            let id = connection.request().expect("a request").id;
            connection.answer(id, b"here");
        }
    });
    let (down, _socket) = peer::refusing();
    let mut config = plain(Address::Tcp(down));
    config.servers.push(peer.address().into());
    config.limits.max_connections_per_server = 1;
    let mut turns = Loop::new(config);
    for _ in 0..10 {
        let (outcome, output) = turns.ask(get("/"));
        let report = outcome.expect("a response").report;
        assert_eq!(
            (report.server, body(&output)),
            (Some(ServerId::new(1)), &b"here"[..])
        );
    }
    assert!(turns.client.stats().counters.connect_failures > 0);
    peer.join();
}

#[test]
fn a_refused_connect_fails_what_was_not_sent() {
    let (down, _socket) = peer::refusing();
    let mut turns = Loop::plain(Address::Tcp(down));
    turns.submit(get("/"), 1);
    turns.run_to_ends(1);
    let failure = turns.failure(1);
    let refused = ConnectError::Failed(ErrorKind::ConnectionRefused);
    assert_eq!(failure.error, RequestError::Connect(refused));
    assert_eq!(
        (failure.phase, failure.delivery),
        (Phase::Queued, Delivery::NotProcessed)
    );
    assert!(turns.client.is_idle());
}

#[test]
fn a_missing_socket_file_and_one_without_listener_are_told_apart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("none.sock");
    let failure_of = |path: &std::path::Path| {
        let mut turns = Loop::plain(Address::Unix(path.to_owned()));
        turns.submit(get("/"), 1);
        turns.run_to_ends(1);
        turns.failure(1).error
    };
    let failed = |kind| RequestError::Connect(ConnectError::Failed(kind));
    assert_eq!(failure_of(&path), failed(ErrorKind::NotFound));
    drop(UnixListener::bind(&path).expect("the directory is ours"));
    assert_eq!(failure_of(&path), failed(ErrorKind::ConnectionRefused));
}

/// A Unix listener whose backlog is full, and the connection that fills it.
fn full_unix() -> (tempfile::TempDir, UnixListener, Address, UnixStream) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("full.sock");
    let listener = UnixListener::bind(&path).expect("the directory is ours");
    // A backlog of one, the smallest that the system offers.
    listen(&listener, 0).expect("a listener");
    let filler = UnixStream::connect(&path).expect("the first has room");
    (directory, listener, Address::Unix(path), filler)
}

#[test]
fn a_full_unix_backlog_is_tried_again_until_there_is_room() {
    let (_directory, listener, address, filler) = full_unix();
    let mut config = plain(address.clone());
    config.connect_timeout = TIME_LIMIT;
    let mut turns = Loop::new(config);
    turns.submit(get("/patient"), 1);
    turns.run_until(|it| it.client.stats().counters.backlog_full >= 2);
    assert!(turns.ends().is_empty(), "busy is not down");
    let peer = Peer::run(Listener::Unix(listener), address, None, |listener| {
        drop(listener.accept());
        serve_once(listener);
    });
    turns.run_to_ends(1);
    assert_eq!(body(&turns.stdout(1)), b"/patient");
    assert_eq!(turns.client.stats().counters.connect_failures, 0);
    drop((turns, filler));
    peer.join();
}

#[test]
fn a_backlog_that_stays_full_is_reported_as_busy() {
    let (_directory, _listener, address, _filler) = full_unix();
    let mut config = plain(address);
    config.connect_timeout = Duration::from_millis(80);
    let mut turns = Loop::new(config);
    turns.submit(get("/"), 1);
    turns.run_to_ends(1);
    let failure = turns.failure(1);
    assert_eq!(
        failure.error,
        RequestError::Connect(ConnectError::BacklogFull)
    );
    assert_eq!(failure.delivery, Delivery::NotProcessed);
    assert!(turns.client.is_idle());
}

/// A TCP listener that takes no further connection. The system drops further SYN segments, so a connect stays under
/// way.
///
/// The first connection fits the backlog. The system may notice a moment late that the backlog is full, so one connect
/// is seen to fail.
fn full_tcp() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listen(&listener, 0).expect("a listener");
    let address = listener.local_addr().expect("it is bound");
    let mut fillers = vec![TcpStream::connect(address).expect("the first has room")];
    let moment = Duration::from_millis(50);
    while let Ok(filler) = TcpStream::connect_timeout(&address, moment) {
        fillers.push(filler);
    }
    (listener, address, fillers)
}

/// The socket can be reported writable before it has a peer: mio's documentation of `TcpStream::connect` says what to
/// do.
#[test]
fn a_connect_under_way_is_not_taken_for_a_connection() {
    let (_listener, address, _fillers) = full_tcp();
    let mut config = plain(Address::Tcp(address));
    config.connect_timeout = Duration::from_millis(80);
    let mut turns = Loop::new(config);
    turns.submit(get("/"), 1);
    turns.drain();
    assert_eq!(turns.client.stats().connections.connecting, 1);
    turns.run_for(Duration::from_millis(20));
    assert_eq!(turns.client.stats().counters.connected, 0);
    turns.run_to_ends(1);
    let failure = turns.failure(1);
    assert_eq!(failure.error, RequestError::Connect(ConnectError::TimedOut));
    assert_eq!(
        (failure.phase, failure.delivery),
        (Phase::Queued, Delivery::NotProcessed)
    );
    assert_eq!(turns.client.stats().counters.bytes_sent, 0);
}

/// The system sends its SYN segment again after a second.
#[test]
fn a_slow_connect_is_finished_when_the_system_says_so() {
    let (listener, address, fillers) = full_tcp();
    let mut config = plain(Address::Tcp(address));
    config.connect_timeout = TIME_LIMIT;
    let mut turns = Loop::new(config);
    let began = Instant::now();
    turns.submit(get("/late"), 1);
    turns.run_for(Duration::from_millis(20));
    assert_eq!(turns.client.stats().connections.connecting, 1);
    let peer = Peer::run(
        Listener::Tcp(listener),
        Address::Tcp(address),
        None,
        move |listener| {
            drop((listener.accept(), fillers));
            serve_once(listener);
        },
    );
    turns.run_to_ends(1);
    assert_eq!(body(&turns.stdout(1)), b"/late");
    let connecting = turns.completion(1).report.timings.connect();
    assert!(connecting.is_some_and(|it| it <= began.elapsed()));
    drop(turns);
    peer.join();
}

/// The loop stood still, and the time limit is looked at before the event.
#[test]
fn a_connect_that_no_event_has_reported_is_found_at_its_time_limit() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let copy = socket.try_clone().expect("a descriptor");
    let mut config = plain(Address::Tcp(address));
    config.connect_timeout = 2 * TIME_LIMIT;
    let mut turns = Loop::new(config);
    let mut socket = Some(TcpStream::from(socket));
    turns.client.set_connector(move |_, _| {
        let socket = socket.take().ok_or(ErrorKind::ConnectionRefused)?;
        Stream::try_from(socket)
    });
    turns.submit(get("/"), 1);
    turns.drain();
    assert_eq!(turns.client.stats().connections.connecting, 1);
    // The socket does not block: the connect may be under way for a moment.
    let _ = copy.connect(&address.into());
    let deadline = Instant::now() + TIME_LIMIT;
    while copy.peer_addr().is_err() {
        assert!(Instant::now() < deadline, "no connection");
        std::thread::yield_now();
    }
    turns.client.handle_timeout(Instant::now() + 3 * TIME_LIMIT);
    assert_eq!(turns.client.stats().counters.connected, 1);
}
