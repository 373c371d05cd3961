//! The promises where the engine meets its driver: what is in a socket and not read, what was lost and when, what recurs.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{Body, Multiplex, Retry, Timeouts};

use crate::harness::Bench;
use crate::script::{config, records, request};

#[test]
fn thousands_of_uploads_whose_readers_fail_one_after_the_other_overflow_no_stack() {
    const COUNT: usize = 1_000;
    let mut config = config(Multiplex::Off);
    config.limits.max_connections = COUNT;
    config.limits.max_idle = COUNT;
    config.limits.max_queue = COUNT;
    config.timeouts = Timeouts::NONE;
    config.yield_after = None;
    let mut bench = Bench::new(config);
    for _ in 0..COUNT {
        bench.submit(request());
    }
    for peer in 0..COUNT {
        bench.sent(peer);
        bench.feed(peer, records().end(1, 0));
    }
    assert_eq!(bench.stats().connections.idle, COUNT);
    // The server is left alone for a while: what comes then waits, and is served at one blow.
    bench.submit(request().with_retry(Retry::Never));
    let refusing = bench.busy_peer();
    let id = bench.last_id(refusing);
    let refused = records().end_as(id, 0, ProtocolStatus::Overloaded);
    bench.feed(refusing, refused);
    bench.seen();
    for _ in 0..COUNT {
        bench.submit(request().with_body(Body::reader(io::empty(), Some(5))));
    }
    assert_eq!(bench.stats().requests.waiting, COUNT);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.seen().len(), COUNT);
    bench.finish();
}
