//! A stream without end and other requests on the same connection.

use std::io::Write;

use super::peer::{Peer, open_request, request};
use super::{start, start_with};
use crate::app::Options;
use mio_fcgi::wire::{self, RecordType};

/// Much more than fits any buffer in between.
const MOST: usize = 32 * 1024 * 1024;

/// Asks for something while request 1 sends without end, and reads until it has the answer.
#[track_caller]
fn others_get_their_turn(peer: &mut Peer, endless: &str) {
    for (id, uri, len) in [
        (2, "/tag?tag=a&size=1000", 1000),
        (3, "/tag?tag=b&delay=20&size=1000", 1000),
        (4, "/stream?ms=1&n=3", 36),
        (5, "/stream?ms=0&n=3", 36),
        (6, "/big?size=300000", 300_000),
    ] {
        peer.send(&request(id, true, uri, b""));
        let before = len_of(peer, 1);
        // How much comes in 20 ms depends on the machine.
        let most = if uri.contains("delay") {
            usize::MAX
        } else {
            MOST
        };
        while !peer.so_far().ended.contains(&id) {
            assert!(peer.read_some(64 * 1024), "it closed the connection");
            let more = len_of(peer, 1) - before;
            assert!(more < most, "{more} bytes of {endless}, and {uri} waits");
        }
        assert_eq!(peer.so_far().one(id).body().len(), len, "{uri}");
    }
}

fn len_of(peer: &Peer, id: u16) -> usize {
    let answer = peer.so_far().by_id.get(&id);
    answer.map_or(0, |answer| answer.stdout.len())
}

// case 188
#[test]
fn one_that_sends_without_end_leaves_the_others_their_turn() {
    for endless in ["/stream?ms=0&n=1000000000", "/big?size=1000000000000"] {
        for output_limit in [1, 64 * 1024, Options::default().output_limit, usize::MAX] {
            let application = start_with(Options {
                output_limit,
                ..Options::default()
            });
            let mut peer = Peer::connect(application.address());
            peer.send(&request(1, true, endless, b""));
            others_get_their_turn(&mut peer, endless);
        }
    }
}

// case 188
#[test]
fn one_that_is_echoed_without_end_leaves_the_others_their_turn() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let mut bytes = request(2, true, "/stream?ms=1&n=3", b"");
    bytes.extend(request(3, true, "/big?size=300000", b""));
    bytes.extend(open_request(1, true, "/echo", &[]));
    for _ in 0..MOST / 60_000 {
        wire::write_stream(&mut bytes, RecordType::Stdin, 1, &[b'x'; 60_000]);
    }
    let mut sender = peer.sender();
    std::thread::spawn(move || sender.write_all(&bytes));
    for id in [2, 3] {
        while !peer.so_far().ended.contains(&id) {
            // Slowly: the socket never takes everything.
            assert!(peer.read_some(4096), "it closed the connection");
            assert!(len_of(&peer, 1) < MOST * 3 / 4, "request {id} waits");
        }
    }
}
