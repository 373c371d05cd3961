//! Output that stays in the read buffer: named by its place, together with the rest of the same read.

use std::time::{Duration, Instant};

use mio_fcgi::{Body, EventKind, ReadBuf, Request, Tag};

use crate::clients::Pools;
use crate::peer::TIME_LIMIT;
use crate::{app, body, demo};

/// An echo of this many bytes comes in many records and several reads.
const LEN: usize = 300_000;

#[test]
fn the_output_of_a_read_stays_in_place_until_the_read_is_used_up() {
    let app = demo();
    let sent: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
    for len in [ReadBuf::MIN_LEN, ReadBuf::DEFAULT_LEN, 2 * LEN] {
        let (output, most) = echoed(&app, &sent, ReadBuf::with_len(len));
        assert!(body(&output) == sent, "{len}");
        // Some reads bring more than one piece, unless the buffer is shorter than a record.
        assert!(most > 1 || len == ReadBuf::MIN_LEN, "{len}");
    }
}

/// The output of an echo, and the most pieces of one read.
fn echoed(app: &app::Running, sent: &[u8], mut buf: ReadBuf) -> (Vec<u8>, usize) {
    let mut pools = Pools::new();
    let id = pools.add(app.address().clone());
    let request = Request::responder()
        .param("REQUEST_METHOD", "POST")
        .param("REQUEST_URI", "/echo")
        .with_body(Body::bytes(sent));
    let submitted = pools.client(id).submit(Instant::now(), request, Tag(1));
    submitted.expect("a request that can be sent");
    let (mut output, mut most) = (Vec::new(), 0);
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < TIME_LIMIT);
        pools.wait(Duration::from_secs(1));
        pools.note();
        let now = Instant::now();
        pools.clients.handle_timeout(now);
        while let Some(first) = pools.clients.poll_in_place(now, &mut buf) {
            let mut pieces = Vec::new();
            let mut has_ended = false;
            let mut next = Some(first);
            while let Some((from, event)) = next {
                assert_eq!((from, event.tag), (id, Tag(1)));
                match event.kind {
                    EventKind::Stdout(place) => pieces.push(place),
                    EventKind::End(outcome) => has_ended = outcome.is_ok(),
                    _ => {}
                }
                next = pools.clients.poll_same_read(now, &mut buf);
            }
            most = most.max(pieces.len());
            for place in pieces {
                output.extend_from_slice(&buf.bytes()[place]);
            }
            if has_ended {
                return (output, most);
            }
        }
    }
}
