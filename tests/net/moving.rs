//! The list of servers changes under a client with sockets.

use std::sync::mpsc;
use std::time::Instant;

use mio::Token;
use mio_fcgi::{Client, ConfigError, ServerId};

use crate::peer::Peer;
use crate::{Loop, body, get, plain};

/// With one token for each connection of one server, old and new connections share the tokens.
#[test]
fn a_client_follows_a_server_that_moves_and_has_no_more_sockets_than_tokens() {
    let (ask, asked) = mpsc::channel();
    let old = Peer::tcp(move |listener| {
        let (mut one, first) = listener.accept_request();
        let (mut two, second) = listener.accept_request();
        asked.recv().expect("told to answer");
        one.answer(first.id, b"old");
        two.answer(second.id, b"old");
        (one.rest(), two.rest())
    });
    let new = Peer::tcp(|listener| {
        let (mut one, first) = listener.accept_request();
        let (mut two, second) = listener.accept_request();
        one.answer(first.id, b"new");
        two.answer(second.id, b"new");
        (one.rest(), two.rest())
    });
    let mut config = plain(old.address());
    config.limits.max_connections_per_server = 2;
    let mut turns = Loop::new(config.clone());
    let tokens = Token(10)..Token(12);
    let client = Client::new(turns.poll.registry(), tokens, config);
    turns.client = client.expect("two tokens for two connections");
    turns.submit(get("/1"), 1);
    turns.submit(get("/2"), 2);
    turns.run_until(|it| it.client.stats().connections.busy == 2);
    let now = Instant::now();
    let moved = turns.client.set_servers(now, vec![new.address().into()]);
    moved.expect("a valid list");
    turns.submit(get("/3"), 3);
    turns.submit(get("/4"), 4);
    let connections = turns
        .client
        .servers(Instant::now())
        .map(|it| it.connections);
    assert_eq!(connections.collect::<Vec<_>>(), [2, 0], "no token is left");
    ask.send(()).expect("it waits");
    turns.run_to_ends(4);
    for (tag, server, output) in [(1, 0, "old"), (2, 0, "old"), (3, 1, "new"), (4, 1, "new")] {
        assert_eq!(body(&turns.stdout(tag)), output.as_bytes());
        let report = turns.completion(tag).report;
        assert_eq!(report.server, Some(ServerId::new(server)), "{tag}");
    }
    assert_eq!(turns.client.servers(Instant::now()).count(), 1);
    drop(turns);
    old.join();
    new.join();
}

#[test]
fn names_are_resolved_before_they_are_set() {
    let peer = Peer::tcp(drop);
    let mut turns = Loop::plain(peer.address());
    let name = "localhost:9000".parse().expect("an address");
    let set = turns.client.set_servers(Instant::now(), vec![name]);
    let name = "localhost".to_owned();
    assert_eq!(set, Err(ConfigError::UnresolvedHost { name }));
    let kept = turns.client.server_address(ServerId::new(0));
    assert_eq!(kept, Some(&peer.address()));
    peer.join();
}
