//! What clients show of themselves, and what does not concern their sockets: waits that are interrupted, sockets that
//! somebody else has a copy of.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use mio_fcgi::{Client, ReadBuf, Stream, SubmitError};
use rustix::process::{Pid, Signal, kill_process};

use crate::clients::Pools;
use crate::peer::TIME_LIMIT;
use crate::{Loop, demo, get};

#[test]
fn debug_output_has_the_tokens_and_the_turns_that_are_due() {
    let demo = demo();
    let mut turns = Loop::plain(demo.address().clone());
    let shown = format!("{:?}", turns.client);
    assert!(shown.starts_with("Client { engine: "), "{shown}");
    assert!(
        shown.ends_with("tokens: 1000..5000, ready: 0, .. }"),
        "{shown}"
    );
    turns.submit(get("/"), 1);
    turns.submit(get("/"), 2);
    turns.run_to_ends(2);
    // Both connections are closed, and none has had its turn.
    drop(demo);
    let deadline = Instant::now() + TIME_LIMIT;
    while !format!("{:?}", turns.client).ends_with("ready: 2, .. }") {
        assert!(Instant::now() < deadline, "{:?}", turns.client);
        turns.wait(Duration::from_millis(5));
        turns.note();
    }
    let buf = ReadBuf::with_len(ReadBuf::MIN_LEN);
    let shown = format!("ReadBuf {{ len: {}, unread: 0 }}", ReadBuf::MIN_LEN);
    assert_eq!(format!("{buf:?}"), shown);
}

/// The name of the test below, and of what tells its child that it is one.
const WAITS: &str = "shown::a_wait_that_a_signal_interrupts_has_no_events_and_no_error";
const IS_CHILD: &str = "MIO_FCGI_TEST_WAITS";

/// Waits with nothing to wait for. A process that is stopped and goes on is interrupted.
#[test]
fn a_wait_that_a_signal_interrupts_has_no_events_and_no_error() {
    if std::env::var_os(IS_CHILD).is_some() {
        let mut poll = Poll::new().expect("a poll");
        let mut events = Events::with_capacity(8);
        let client = Loop::plain("unix:@none".parse().expect("an address")).client;
        let waited = client.wait(Instant::now(), &mut poll, &mut events);
        waited.expect("an interrupted wait is none of the embedder's business");
        assert!(events.is_empty());
        return;
    }
    let this = std::env::current_exe().expect("a test binary");
    let mut child = Command::new(this)
        .args(["--exact", WAITS])
        .env(IS_CHILD, "")
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    let pid = Pid::from_child(&child);
    let deadline = Instant::now() + TIME_LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        assert!(Instant::now() < deadline, "the wait goes on");
        for signal in [Signal::STOP, Signal::CONT] {
            kill_process(pid, signal).expect("a child");
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
}

/// The descriptor that the test keeps leaves the socket open: closing the client's own one does not take it out of the
/// poll.
#[test]
fn a_socket_that_the_embedder_has_a_copy_of_is_out_of_the_poll_once_the_client_has_closed_it() {
    for is_dropped in [false, true] {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let _copy = ours.try_clone().expect("a descriptor");
        let mut turns = Loop::plain("unix:@none".parse().expect("an address"));
        let mut ours = Some(ours);
        turns.client.set_connector(move |_, _| {
            let ours = ours.take().ok_or(std::io::ErrorKind::ConnectionRefused)?;
            Stream::try_from(ours)
        });
        let request = turns.submit(get("/"), 1);
        turns.run_until(|it| it.client.stats().counters.bytes_sent > 0);
        let Loop {
            mut poll,
            mut events,
            mut client,
            mut buf,
            ..
        } = turns;
        let mut kept = None;
        if is_dropped {
            drop(client);
        } else {
            client.abort(Instant::now(), request);
            while client.poll_event(Instant::now(), &mut buf).is_some() {}
            assert!(client.is_idle());
            kept = Some(client);
        }
        theirs.write_all(b"late").expect("room");
        // Comes after an event of the socket, if there is one.
        let (mut last, mut of_last) = mio::net::UnixStream::pair().expect("a pair");
        poll.registry()
            .register(&mut last, Token(1), Interest::READABLE)
            .expect("a socket");
        of_last.write_all(b"x").expect("room");
        let mut tokens = Vec::new();
        while !tokens.contains(&Token(1)) {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled.expect("a poll"),
            }
            tokens.extend(events.iter().map(mio::event::Event::token));
        }
        assert_eq!(tokens, [Token(1)], "dropped: {is_dropped}");
        drop::<Option<Client>>(kept);
    }
}

/// Waits with bytes in a socket of the embedder's.
#[test]
fn a_wait_brings_what_the_poll_has() {
    let mut events = Events::with_capacity(8);
    let mut turns = Loop::plain("unix:@none".parse().expect("an address"));
    let mut pools = Pools::new();
    let mut kept = Vec::new();
    for poll in [&turns.poll, &pools.poll] {
        let (mut ours, mut theirs) = mio::net::UnixStream::pair().expect("a pair");
        let registered = poll
            .registry()
            .register(&mut ours, Token(1), Interest::READABLE);
        registered.expect("a socket");
        theirs.write_all(b"x").expect("room");
        kept.push((ours, theirs));
    }
    while events.is_empty() {
        let waited = turns
            .client
            .wait(Instant::now(), &mut turns.poll, &mut events);
        waited.expect("a poll");
    }
    events.clear();
    while events.is_empty() {
        let waited = pools
            .clients
            .wait(Instant::now(), &mut pools.poll, &mut events);
        waited.expect("a poll");
    }
}

#[test]
fn a_client_that_is_shut_down_is_not_ready_and_one_with_a_request_not_idle() {
    let mut turns = Loop::plain("unix:/no/such.sock".parse().expect("an address"));
    assert!(turns.client.is_idle());
    assert_eq!(turns.client.ready(Instant::now()), Ok(()));
    turns.submit(get("/"), 1);
    assert!(!turns.client.is_idle());
    turns.client.shutdown(Instant::now(), None);
    let refused = turns.client.ready(Instant::now());
    assert_eq!(refused, Err(SubmitError::ShuttingDown));
    turns.run_to_ends(1);
    turns.run_until(|it| it.client.is_shut_down());
}

#[test]
fn a_command_to_the_client_whose_turn_it_is_costs_no_further_turn() {
    let mut pools = Pools::new();
    let id = pools.add("unix:/no/such.sock".parse().expect("an address"));
    pools.submit(id, "/", 1);
    let now = Instant::now();
    assert_eq!(pools.take(now), Some(id));
    pools.submit(id, "/", 2);
    assert_eq!(pools.take(now), Some(id));
    assert!(pools.has_ended(id, 2));
    pools.drain_at(now);
    assert_ne!(pools.clients.timeout(now), Some(Duration::ZERO));
}
