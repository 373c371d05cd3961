//! Many requests on few connections.

use std::time::Duration;

use mio_fcgi::{
    Body, CloseReason, Config, Multiplex, Phase, RequestError, Retry, StdinError, Tag,
    UnknownLength,
};

use crate::common;
use crate::harness::client::{Loop, get, is_pattern, post, post_with};
use crate::harness::{App, Program, TIME_LIMIT, Transport, echo_of, pattern};

#[test]
#[ignore = "needs Go; run tests/run"]
fn ten_thousand_requests_at_once_on_four_connections_are_each_answered_right_over_tcp() {
    ten_thousand_at_once(Transport::Tcp);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn ten_thousand_requests_at_once_on_four_connections_are_each_answered_right_over_unix() {
    ten_thousand_at_once(Transport::Unix);
}

/// The application answers only once it has all requests, so that all are in flight at once.
fn ten_thousand_at_once(transport: Transport) {
    const COUNT: usize = 10_000;
    let app = App::start(Program::Go, transport);
    let mut config = Config::new(app.listen().address());
    config.multiplex = Multiplex::On { max: 4096 };
    config.limits.max_connections_per_server = 4;
    config.limits.max_queued_requests = COUNT;
    let mut client = Loop::new(config);
    for tag in 0..COUNT {
        client.submit(tagged(tag, COUNT));
    }
    let answers = client.finish_all();
    assert_eq!(client.peak().active, COUNT);
    assert_eq!(answers.len(), COUNT);
    let mut overtaken = 0;
    let mut latest = Duration::ZERO;
    for (Tag(tag), exchange) in answers {
        let end = exchange.completion().report.timings.total();
        overtaken += usize::from(end < latest);
        latest = latest.max(end);
        check_tagged(tag as usize, exchange.response());
    }
    assert!(overtaken > COUNT / 10, "they were answered in order");
    let stats = client.shut_down();
    assert!(stats.counters.connected <= 4);
    assert_eq!(stats.counters.retries, 0);
    assert_eq!(stats.counters.records_ignored, 0);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn auto_finds_out_that_go_multiplexes() {
    for transport in [Transport::Tcp, Transport::Unix] {
        const COUNT: usize = 2000;
        let app = App::start(Program::Go, transport);
        let mut config = Config::new(app.listen().address());
        config.limits.max_connections_per_server = 4;
        config.limits.max_queued_requests = COUNT;
        let mut client = Loop::new(config);
        assert_eq!(common::values(&mut client).multiplexes, Some(true));
        for tag in 0..COUNT {
            client.submit(tagged(tag, COUNT));
        }
        for (Tag(tag), exchange) in client.finish_all() {
            check_tagged(tag as usize - 1, exchange.response());
        }
        // 1,024 requests per connection, and the application had all of them at once.
        assert_eq!(client.peak().active, COUNT);
        assert!(client.peak().connections <= 4);
        // Go's second, empty answer to FCGI_GET_VALUES may cost the connection it comes on, but no request.
        assert!(client.shut_down().counters.connected <= 5);
    }
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn requests_do_not_wait_for_the_probe() {
    let app = App::start(Program::Go, Transport::Tcp);
    let mut client = Loop::to(app.listen());
    let first = client.call(get("/early")).response();
    assert_eq!(first.body, b"early\n");
    client.shut_down();
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn bodies_of_every_size_share_a_connection() {
    let app = App::start(Program::Go, Transport::Unix);
    let mut client = shared(&app);
    let sizes = [0, 1, 65_527, 65_528, 65_529, 65_535, 65_536, 1 << 20];
    let bodies: Vec<_> = (0..40)
        .map(|i| pattern(i, sizes[i % sizes.len()]))
        .collect();
    for body in &bodies {
        client.submit(post("/echo", body.clone()));
    }
    for (Tag(tag), exchange) in client.finish_all() {
        let text = exchange.response().body;
        assert_eq!(text, echo_of(&bodies[tag as usize]).as_bytes());
    }
    assert_eq!(client.shut_down().counters.connected, 1);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn a_body_of_unknown_length_is_streamed() {
    let app = App::start(Program::Go, Transport::Unix);
    let mut config = Config::new(app.listen().address());
    config.unknown_length = UnknownLength::Stream;
    let mut client = Loop::new(config);
    let body = pattern(3, 300_000);
    let tag = client.submit(post_with("/echo", Body::pushed(None)));
    client.push(tag, &body).expect("a request in progress");
    client.finish_stdin(tag).expect("a request in progress");
    assert_eq!(
        client.finish(tag).response().body,
        echo_of(&body).as_bytes()
    );
    client.shut_down();
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn an_early_answer_leaves_the_shared_connection_to_the_others() {
    let app = App::start(Program::Go, Transport::Unix);
    let mut client = shared(&app);
    let slow = client.submit(get("/slow?ms=300"));
    let early = client.submit(post_with("/early", Body::pushed(Some(500_000))));
    // The handler begins with the first bytes of its body, and has ended before the rest.
    client
        .push(early, &[b'x'; 1000])
        .expect("a request in progress");
    let answer = client.finish(early);
    assert_eq!(answer.response().body, b"early\n");
    for tag in 0..50 {
        let Tag(number) = client.submit(tagged(tag, 0));
        check_tagged(tag, client.finish(Tag(number)).response());
    }
    assert_eq!(client.finish(slow).response().body, b"awake\n");
    let stats = client.shut_down();
    assert_eq!(stats.counters.connected, 1);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn an_abort_leaves_the_neighbours_alone_and_late_output_reaches_nobody() {
    for transport in [Transport::Tcp, Transport::Unix] {
        let app = App::start(Program::Go, transport);
        let mut client = shared(&app);
        let neighbours: Vec<_> = (0..20)
            .map(|tag| client.submit(tagged_after(tag, 400)))
            .collect();
        // Go ends a request that is aborted in mid-body at once, and once more after late output from the handler.
        let in_body: Vec<_> = (0..10)
            .map(|_| {
                let tag = client.submit(post_with("/late?ms=150", Body::pushed(Some(100))));
                client.push(tag, b"half").expect("a request in progress");
                tag
            })
            .collect();
        // Go ignores the abort of a request whose body has been sent.
        let after: Vec<_> = (0..10)
            .map(|_| client.submit(get("/slow?ms=2000")))
            .collect();
        client.run_for(Duration::from_millis(50));
        for tag in in_body.into_iter().chain(after) {
            client.abort(tag);
            let aborted = client.finish(tag);
            assert_eq!(aborted.failure().error, RequestError::Aborted);
            assert!(aborted.stdout.is_empty());
        }
        client.run_until("the end of those aborted in mid-body", |it| {
            it.client.stats().requests.aborting <= 10
        });
        // If their request IDs were used again, the late output would appear here.
        let next: Vec<_> = (0..20)
            .map(|_| client.submit(get("/slow?ms=300")))
            .collect();
        for tag in next {
            assert_eq!(client.finish(tag).response().body, b"awake\n");
        }
        for (tag, neighbour) in neighbours.into_iter().enumerate() {
            check_tagged(tag, client.finish(neighbour).response());
        }
        client.run_until("the end of the aborted ones", |it| {
            it.client.stats().requests.aborting == 0
        });
        let stats = client.shut_down();
        assert_eq!(stats.counters.connected, 1);
        // The output, its end and the second FCGI_END_REQUEST of ten.
        assert!(stats.counters.records_ignored >= 30, "{stats:?}");
        assert_eq!(stats.counters.protocol_errors, 0);
    }
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn an_aborted_request_that_does_not_end_within_the_grace_time_retires_the_connection() {
    let app = App::start(Program::Go, Transport::Unix);
    let mut config = shared_config(&app);
    config.abort_grace = Duration::from_millis(100);
    let mut client = Loop::new(config);
    let neighbour = client.submit(get("/slow?ms=1500"));
    let aborted = client.submit(get("/slow?ms=3000"));
    client.run_for(Duration::from_millis(50));
    client.abort(aborted);
    assert_eq!(
        client.finish(aborted).failure().error,
        RequestError::Aborted
    );
    assert_eq!(client.finish(neighbour).response().body, b"awake\n");
    let next = client.call(tagged(8, 0));
    assert!(!next.completion().report.reused);
    check_tagged(8, next.response());
    let stats = client.shut_down();
    assert_eq!(stats.counters.closed_for(CloseReason::AbortGrace), 1);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn a_body_that_breaks_its_promise_fails_alone() {
    let app = App::start(Program::Go, Transport::Unix);
    let mut client = shared(&app);
    let neighbour = client.submit(tagged_after(1, 100));
    let short = client.submit(post_with("/echo", Body::reader(&[b'x'; 10][..], Some(11))));
    let short = client.finish(short);
    assert!(matches!(short.failure().error, RequestError::Body(_)));
    let pushed = client.submit(post_with("/echo", Body::pushed(Some(10))));
    client.push(pushed, b"123").expect("a request in progress");
    assert_eq!(
        client.push(pushed, &[0; 8]),
        Err(StdinError::TooLong {
            declared: 10,
            offered: 11
        })
    );
    assert_eq!(
        client.finish_stdin(pushed),
        Err(StdinError::TooShort {
            declared: 10,
            written: 3
        })
    );
    let pushed = client.finish(pushed);
    assert!(matches!(pushed.failure().error, RequestError::Body(_)));
    assert!(pushed.failure().phase <= Phase::Sending);
    check_tagged(1, client.finish(neighbour).response());
    assert_eq!(client.shut_down().counters.connected, 1);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn without_kept_connections_each_request_has_one_though_they_could_share() {
    let app = App::start(Program::Go, Transport::Unix);
    let mut config = shared_config(&app);
    config.keep_connections = false;
    config.limits.max_connections_per_server = 100;
    let mut client = Loop::new(config);
    for tag in 0..100 {
        client.submit(tagged(tag, 100).with_retry(Retry::Never));
    }
    for (Tag(tag), exchange) in client.finish_all() {
        check_tagged(tag as usize, exchange.response());
    }
    let stats = client.shut_down();
    assert_eq!(stats.counters.connected, 100);
}

/// A client that puts every request on one connection.
fn shared(app: &App) -> Loop {
    Loop::new(shared_config(app))
}

fn shared_config(app: &App) -> Config {
    let mut config = Config::new(app.listen().address());
    config.multiplex = Multiplex::On { max: 1024 };
    config.limits.max_connections_per_server = 1;
    // A busy application may end an aborted request late.
    config.abort_grace = TIME_LIMIT;
    config
}

/// A request that is answered after a delay of up to 300 ms; with `together`, only once that many have arrived.
fn tagged(tag: usize, together: usize) -> mio_fcgi::Request {
    let delay = if together > 0 { 300 } else { 0 };
    get(&format!(
        "/tag?tag={tag}&size={}&delay={delay}&together={together}",
        size_of_tag(tag)
    ))
}

fn tagged_after(tag: usize, delay: usize) -> mio_fcgi::Request {
    get(&format!(
        "/tag?tag={tag}&size={}&delay={delay}",
        size_of_tag(tag)
    ))
}

fn check_tagged(tag: usize, response: mio_fcgi::cgi::Response) {
    assert_eq!(response.get("X-Tag"), Some(tag.to_string().as_bytes()));
    assert_eq!(response.body.len(), size_of_tag(tag));
    assert!(is_pattern(tag, &response.body), "another body in {tag}");
}

fn size_of_tag(tag: usize) -> usize {
    tag * 37 % 3000
}
