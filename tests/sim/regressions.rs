//! Bugs that the random runs have found, each as the shortest run that shows it.

use std::time::Duration;

use mio_fcgi::testkit::{Behavior, Connect, Link, Scripted, Sim};
use mio_fcgi::{
    Body, Config, Delivery, Multiplex, Request, RequestError, ServerId, SubmitError, Tag,
    TimeoutKind, Timeouts, UnknownLength,
};

const MS: Duration = Duration::from_millis(1);

fn config(multiplex: Multiplex) -> Config {
    let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    config.multiplex = multiplex;
    config.limits.max_connections_per_server = 1;
    config
}

fn narrow(capacity: usize) -> Link {
    Link::default().with_capacity(capacity)
}

fn error(sim: &Sim, handle: mio_fcgi::RequestHandle) -> Option<RequestError> {
    let outcome = sim.outcome(handle)?;
    outcome.as_ref().err().map(|failure| failure.error.clone())
}

#[test]
fn an_abort_while_bytes_are_being_sent_reports_maybe_processed() {
    let mut sim = Sim::new(config(Multiplex::On { max: 2 }), 1).expect("valid");
    sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::new()));
    sim.submit(Request::responder(), Tag(1)).expect("room");
    sim.advance(MS);
    let second = sim.submit(Request::responder(), Tag(2)).expect("room");
    sim.abort(second);
    sim.settle();
    let outcome = sim.outcome(second).expect("aborted");
    let failure = outcome.as_ref().expect_err("aborted");
    assert_eq!(failure.delivery, Delivery::MaybeProcessed);
}

#[test]
fn a_shared_connection_that_is_never_idle_retires_at_its_limit() {
    let mut config = config(Multiplex::On { max: 3 });
    config.limits.max_requests_per_connection = Some(4);
    let mut sim = Sim::new(config, 1).expect("valid");
    sim.serve(
        ServerId::new(0),
        Scripted::new(|_| Behavior::new().await_stdin().wait(10 * MS).end(0)),
    );
    for tag in 0..12 {
        sim.submit(Request::responder(), Tag(tag)).expect("room");
        sim.advance(4 * MS);
    }
    assert!(sim.run_to_end());
    assert_eq!(sim.engine().stats().counters.connected, 3);
}

#[test]
fn a_queued_request_is_sent_when_a_server_is_up_again_after_an_unnoticed_failure() {
    let mut config = config(Multiplex::Off);
    config.connect_retry_timeout = 5000 * MS;
    let mut sim = Sim::new(config, 1).expect("valid");
    let refused = Connect::Refuse(std::io::ErrorKind::ConnectionRefused);
    sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::answer("up")))
        .on_connect(move |attempt| {
            if attempt == 0 {
                refused
            } else {
                Connect::Accept
            }
        });
    let first = sim.submit(Request::responder(), Tag(1)).expect("room");
    sim.settle();
    sim.abort(first);
    sim.settle();
    let second = sim.submit(Request::responder(), Tag(2)).expect("room");
    assert!(sim.run_to_end());
    assert!(sim.outcome(second).is_some_and(Result::is_ok));
    assert_eq!(sim.elapsed(), sim.engine().config().backoff.initial);
}

#[test]
fn the_write_timeout_holds_for_a_body_that_waits_for_the_bytes_of_other_requests() {
    let mut sim = Sim::new(config(Multiplex::On { max: 3 }), 1).expect("valid");
    sim.serve(
        ServerId::new(0),
        Scripted::new(|_| Behavior::new().stop_reading()),
    )
    .link(narrow(100));
    let mut timeouts = Timeouts::NONE;
    timeouts.write = Some(40 * MS);
    let mut handles = Vec::new();
    for tag in 0..3 {
        let mut request = Request::responder().with_timeouts(timeouts);
        request.params.push("FILLING", vec![b'x'; 60_000]);
        request.body = Body::reader(std::io::Cursor::new(vec![0; 9000]), Some(9000));
        handles.push(sim.submit(request, Tag(tag)).expect("room"));
    }
    assert!(sim.run_to_end());
    for handle in handles {
        let timed_out = RequestError::TimedOut(TimeoutKind::Write);
        assert_eq!(error(&sim, handle), Some(timed_out));
    }
}

#[test]
fn requests_whose_body_is_being_collected_count_as_queued() {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Buffer { limit: 1000 };
    config.limits.max_queued_requests = 2;
    let mut sim = Sim::new(config, 1).expect("valid");
    sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::answer("ok")));
    let pushed = || Request::responder().with_body(Body::pushed(None));
    let first = sim.submit(pushed(), Tag(1)).expect("room");
    sim.submit(pushed(), Tag(2)).expect("room");
    let full = Err(SubmitError::QueueFull { limit: 2 });
    assert_eq!(sim.submit(pushed(), Tag(3)), full);
    sim.abort(first);
    let third = sim.submit(pushed(), Tag(3)).expect("room again");
    let now = sim.now();
    sim.engine().finish_stdin(now, third).expect("pushed");
    sim.settle();
    assert!(sim.outcome(third).is_some_and(Result::is_ok));
    sim.submit(pushed(), Tag(4)).expect("room again");
}

#[test]
fn a_paused_get_values_does_not_leave_its_connection_unread() {
    let mut sim = Sim::new(config(Multiplex::On { max: 2 }), 1).expect("valid");
    sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::answer("ok")));
    let now = sim.now();
    let probe = sim
        .engine()
        .get_values(now, ServerId::new(0), Tag(1))
        .expect("room");
    sim.step();
    sim.step();
    let now = sim.now();
    sim.engine().pause(now, probe);
    sim.advance(MS);
    let request = sim.submit(Request::responder(), Tag(2)).expect("room");
    sim.advance(MS);
    assert!(sim.outcome(request).is_some_and(Result::is_ok));
}

#[test]
fn a_pause_buffer_of_zero_bytes_is_free_again_when_no_output_is_held() {
    let mut config = config(Multiplex::On { max: 2 });
    config.pause_buffer.per_request = 0;
    let mut sim = Sim::new(config, 1).expect("valid");
    sim.serve(
        ServerId::new(0),
        Scripted::new(|_| Behavior::new().stdout("one").wait(MS).stdout("two").end(0)),
    );
    let first = sim.submit(Request::responder(), Tag(1)).expect("room");
    let second = sim.submit(Request::responder(), Tag(2)).expect("room");
    let now = sim.now();
    sim.engine().pause(now, first);
    sim.advance(5 * MS);
    let now = sim.now();
    sim.engine().resume(now, first);
    sim.advance(5 * MS);
    assert_eq!(sim.stdout(first), b"onetwo");
    assert!(sim.outcome(second).is_some_and(Result::is_ok));
}

#[test]
fn a_shutdown_closes_connections_that_became_idle_while_it_waited_for_another_server() {
    let mut config = config(Multiplex::Off);
    config
        .servers
        .push("127.0.0.1:9001".parse().expect("an address"));
    config.limits.min_idle_per_server = 1;
    config.limits.max_connections_per_server = 2;
    let mut sim = Sim::new(config, 1).expect("valid");
    let slow = || Scripted::new(|_| Behavior::new().await_stdin().wait(50 * MS).end(0));
    let link = Link::default().with_latency(10 * MS);
    sim.serve(ServerId::new(0), slow());
    sim.serve(ServerId::new(1), slow()).link(link);
    let now = sim.now();
    sim.engine()
        .get_values(now, ServerId::new(1), Tag(1))
        .expect("room");
    sim.submit(Request::responder(), Tag(2)).expect("room");
    let now = sim.now();
    sim.engine().shutdown(now, None);
    sim.advance(60_000 * MS);
    assert!(sim.engine().is_idle(), "{:?}", sim.engine());
}

#[test]
fn a_shutdown_at_its_deadline_opens_no_connection_for_get_values() {
    let mut sim = Sim::new(config(Multiplex::Auto), 1).expect("valid");
    sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::new()));
    sim.submit(Request::responder(), Tag(1)).expect("room");
    sim.settle();
    let now = sim.now();
    sim.engine().shutdown(now, Some(now + MS));
    sim.advance(MS);
    assert!(sim.engine().is_idle(), "{:?}", sim.engine());
}

#[test]
fn an_idle_timeout_of_zero_with_a_minimum_of_idle_connections_is_no_endless_loop() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 1;
    config.limits.idle_timeout = Duration::ZERO;
    let mut sim = Sim::new(config, 1).expect("valid");
    sim.serve(ServerId::new(0), Scripted::new(|_| Behavior::answer("ok")));
    let request = sim.submit(Request::responder(), Tag(1)).expect("room");
    for _ in 0..100 {
        sim.step();
    }
    assert!(sim.outcome(request).is_some_and(Result::is_ok));
}
