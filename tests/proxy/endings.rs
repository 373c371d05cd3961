//! What is left of a request when its response or its client has ended.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::embedded::Served;
use super::turns::run;

/// In virtual time, with a client that does not read.
#[test]
fn what_is_kept_of_a_response_is_freed_however_it_ends() {
    type End = fn(&mut Served);
    let ends: [End; 5] = [
        |served| served.worker.stop(),
        // Shorter than declared.
        |served| served.say(b""),
        |served| drop(served.application.shutdown(Shutdown::Both)),
        |served| drop(served.client.shutdown(Shutdown::Both)),
        |_| {},
    ];
    for end in ends {
        let mut served = Served::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        served.say(b"Content-Type: a/b\r\nContent-Length: 1000000000\r\n\r\n");
        while served.worker.figures().kept.disk < 1_000_000 {
            served.say(&[b'x'; 60_000]);
        }
        assert_eq!(served.worker.figures().stats.requests.paused, 0);
        end(&mut served);
        run(&mut served.poll, &mut served.worker);
        // Beyond every time limit.
        let later = Instant::now() + Duration::from_secs(3600);
        served.worker.set_time(later);
        run(&mut served.poll, &mut served.worker);
        assert_eq!(served.worker.figures().kept, Default::default());
        assert_eq!(served.worker.figures().clients, 0);
        assert_eq!(served.worker.figures().stats.requests.active, 0);
    }
}

/// In virtual time. Nobody gets the output after a complete response.
#[test]
fn a_request_whose_output_trickles_after_its_response_is_aborted_after_some_seconds() {
    let heads: [(&str, &[u8]); 2] = [
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"A: b\r\n\r\n"),
        // The client is gone by then.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            b"Content-Length: 1\r\n\r\nx",
        ),
    ];
    for (request, head) in heads {
        let mut served = Served::new(request);
        served.say(head);
        assert_eq!(served.worker.figures().answered, 1);
        let first = Instant::now();
        served.worker.set_time(first);
        served.say(b"trickle");
        served.worker.set_time(first + Duration::from_millis(4900));
        served.say(b"trickle");
        assert_eq!(served.worker.figures().stats.requests.active, 1);
        served.worker.set_time(first + Duration::from_secs(5));
        run(&mut served.poll, &mut served.worker);
        assert_eq!(
            served.worker.figures().stats.requests.active,
            1,
            "it is silent"
        );
        served.say(b"trickle");
        assert_eq!(served.worker.figures().stats.requests.active, 0);
    }
}
