//! What happens between a driver and its sockets: reads that come later than their announcement, writes into closed
//! connections, a process that is stopped, sockets that run out.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use mio_fcgi::testkit::internals::Notice;
use mio_fcgi::testkit::{Behavior, Connect, Fragments, Link, Quirks, Records, Scripted, Sim};
use mio_fcgi::{
    Body, Config, ConnectionLostReason, EventKind, Multiplex, OwnedEvent, Request, RequestError,
    RequestHandle, ServerId, Tag, TimeoutKind,
};

use crate::{MS, error, is_complete, plain, server, sim, sim_of, submit};

#[test]
fn an_end_is_announced_in_one_step_and_read_in_a_later_one() {
    let mut sim = sim(plain(), |_| Behavior::new().await_stdin().end(0).close());
    let notices = notices(&mut sim);
    let first = submit(&mut sim, 1);
    assert!(sim.run_until(|_| notices.borrow().contains(&Notice::ReadClosed)));
    assert!(!notices.borrow().contains(&Notice::Closed));
    assert!(sim.outcome(first).is_none());
    // This request comes before the end was read, and gets another connection.
    let second = submit(&mut sim, 2);
    assert!(sim.run_to_end() && is_complete(&sim, first) && is_complete(&sim, second));
    let stats = sim.engine().stats();
    assert_eq!((stats.counters.connected, stats.counters.retries), (2, 0));
}

#[test]
fn an_idle_connection_whose_end_is_announced_is_not_used() {
    let mut sim = sim(plain(), |_| {
        Behavior::new().await_stdin().end(0).wait(50 * MS).close()
    });
    let notices = notices(&mut sim);
    let first = submit(&mut sim, 1);
    assert!(sim.run_to_end() && is_complete(&sim, first));
    assert!(sim.run_until(|_| notices.borrow().contains(&Notice::ReadClosed)));
    assert!(!notices.borrow().contains(&Notice::Closed));
    let second = submit(&mut sim, 2);
    assert!(sim.run_to_end() && is_complete(&sim, second));
    assert_eq!(sim.network().tally().lost_writes, 0);
    assert_eq!(sim.engine().stats().counters.retries, 0);
}

#[test]
fn stdin_ready_follows_a_short_write_although_no_more_bytes_are_offered() {
    let mut config = plain();
    config.stdin_high_water = 100;
    let mut sim = sim(config, |_| Behavior::new().await_stdin().end(0));
    let request = Request::responder().with_body(Body::pushed(Some(200)));
    let handle = sim.submit(request, Tag(1)).expect("accepted");
    let now = sim.now();
    assert_eq!(sim.engine().write_stdin(now, handle, &[b'x'; 150]), Ok(100));
    assert_eq!(sim.engine().write_stdin(now, handle, &[]), Ok(0));
    sim.settle();
    let is_told = |event: &OwnedEvent| matches!(event.kind, EventKind::StdinReady);
    assert!(sim.events().iter().any(|(_, event)| is_told(event)));
}

#[test]
fn the_write_timeout_begins_when_there_are_bytes_to_write() {
    let mut config = plain();
    config.timeouts = mio_fcgi::Timeouts::NONE;
    config.timeouts.write = Some(100 * MS);
    // Some of these links are filled exactly by the first write.
    for capacity in 50..400 {
        let mut sim = sim(config.clone(), |_| Behavior::new().stop_reading());
        let link = Link::default().with_capacity(capacity);
        server(&mut sim).link(link);
        let request = Request::responder().with_body(Body::pushed(Some(2000)));
        let handle = sim.submit(request, Tag(1)).expect("accepted");
        let now = sim.now();
        assert_eq!(sim.engine().write_stdin(now, handle, &[b'x'; 100]), Ok(100));
        sim.advance(1000 * MS);
        let is_over = sim.outcome(handle).is_some();
        if !is_over {
            let now = sim.now();
            assert_eq!(sim.engine().write_stdin(now, handle, &[b'x'; 500]), Ok(500));
        }
        assert!(sim.run_to_end());
        let began = if is_over { 0 } else { 1000 };
        assert_eq!(sim.ended_at(handle), Some((began + 100) * MS), "{capacity}");
    }
}

#[test]
fn a_read_that_ends_exactly_at_the_end_of_its_buffer_is_followed_by_another() {
    for (len, is_exact) in [(16, true), (17, false)] {
        let mut sim = sim(plain(), |_| Behavior::new().await_stdin().end(0));
        // FCGI_END_REQUEST takes 16 bytes, the empty FCGI_STDOUT 8.
        let link = Link::default().with_reads(Fragments::Each(len + 8));
        server(&mut sim).link(link);
        let handle = submit(&mut sim, 1);
        assert!(sim.run_to_end() && is_complete(&sim, handle));
        sim.settle();
        let tally = sim.network().tally();
        assert_eq!(tally.exact_reads, u64::from(is_exact));
        assert_eq!(tally.empty_reads, u64::from(is_exact));
    }
}

#[test]
fn a_driver_that_reads_until_it_would_block_reads_once_more() {
    let mut sim = sim(plain(), |_| Behavior::new().await_stdin().end(0));
    let link = Link::default().with_reads_until_blocked(true);
    server(&mut sim).link(link);
    let handle = submit(&mut sim, 1);
    assert!(sim.run_to_end() && is_complete(&sim, handle));
    sim.settle();
    assert_eq!(sim.network().tally().empty_reads, 1);
}

#[test]
fn a_connection_is_read_before_a_request_that_may_not_be_retried_is_sent() {
    for (method, reads) in [("GET", 0), ("POST", 1)] {
        let mut sim = sim(plain(), |_| Behavior::new().await_stdin().end(0));
        for tag in 0..2 {
            let request = Request::responder().param("REQUEST_METHOD", method);
            let handle = sim.submit(request, Tag(tag)).expect("accepted");
            assert!(sim.run_to_end() && is_complete(&sim, handle));
        }
        assert_eq!(sim.network().tally().empty_reads, reads);
    }
}

#[test]
fn a_write_into_a_closed_connection_succeeds_until_the_reset_arrives() {
    let lost = |link: Link| {
        let mut sim = sim(plain(), |_| Behavior::new().close());
        let link = link.with_latency(MS).with_capacity(1000);
        server(&mut sim).link(link);
        let request = Request::responder().with_body(vec![b'x'; 5000]);
        sim.submit(request, Tag(1)).expect("accepted");
        assert!(sim.run_to_end());
        let tally = sim.network().tally();
        (tally.lost_writes > 0, tally.failed_writes)
    };
    assert!(lost(Link::default()).0);
    assert_eq!(lost(Link::unix()), (false, 1));
}

#[test]
fn a_write_that_fails_with_nothing_to_read_is_a_lost_connection() {
    let mut config = plain();
    config.timeouts = mio_fcgi::Timeouts::NONE;
    let mut sim = sim(config, |_| Behavior::new().take_nothing());
    let link = Link::default().with_capacity(1000);
    server(&mut sim).link(link);
    let request = Request::responder().with_body(vec![b'x'; 5000]);
    let handle = sim.submit(request, Tag(1)).expect("accepted");
    assert!(sim.run_to_end());
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Io(ErrorKind::BrokenPipe));
    assert_eq!(*error(&sim, handle), lost);
}

#[test]
fn bytes_that_arrive_while_the_process_is_stopped_are_in_the_socket() {
    let mut config = plain();
    config.timeouts.first_byte = Some(300 * MS);
    let answer = |wait| {
        let behavior = move |_: &_| Behavior::new().await_stdin().wait(wait).end(0);
        let mut sim = sim(config.clone(), behavior);
        let first = submit(&mut sim, 1);
        sim.settle();
        sim.network().hold_up(Duration::from_secs(2));
        let since = sim.network().unread_since(0);
        assert!(sim.run_to_end());
        (since, is_complete(&sim, first), sim.ended_at(first))
    };
    let late = Some(Duration::from_secs(2));
    assert_eq!(answer(200 * MS), (Some(200 * MS), true, late));
    assert_eq!(answer(9000 * MS), (None, false, late));
}

#[test]
fn a_shortage_of_sockets_makes_requests_wait_and_fails_none() {
    let mut config = plain();
    config.limits.max_connections_per_server = 3;
    let mut sim = sim(config, |_| {
        Behavior::new().await_stdin().wait(10 * MS).end(0)
    });
    sim.network().limit_sockets(Some(1));
    let handles: Vec<RequestHandle> = (0..3).map(|tag| submit(&mut sim, tag)).collect();
    assert!(sim.run_to_end());
    assert!(handles.iter().all(|it| is_complete(&sim, *it)));
    assert!(sim.network().tally().shortages > 0);
    assert_eq!(sim.engine().stats().counters.connect_failures, 0);
}

#[test]
fn a_connect_that_finds_no_free_port_is_tried_again() {
    let mut sim = sim(plain(), |_| Behavior::new().await_stdin().end(0));
    server(&mut sim).on_connect(|attempt| match attempt {
        0 => Connect::Shortage(ErrorKind::AddrNotAvailable),
        _ => Connect::Accept,
    });
    let handle = submit(&mut sim, 1);
    assert!(sim.run_to_end() && is_complete(&sim, handle));
}

#[test]
fn a_connection_that_no_application_takes_is_never_answered() {
    let mut config = plain();
    config.timeouts = mio_fcgi::Timeouts::NONE;
    config.timeouts.first_byte = Some(300 * MS);
    let mut sim = Sim::new(config.clone(), 1).expect("valid");
    server(&mut sim).on_connect(|_| Connect::Accept);
    let handle = submit(&mut sim, 1);
    assert!(sim.run_to_end());
    let limit = RequestError::TimedOut(TimeoutKind::FirstByte);
    assert_eq!(*error(&sim, handle), limit);
    assert_eq!(sim.ended_at(handle), Some(300 * MS));
    // Without a limit the request never ends, and the run returns false.
    config.timeouts = mio_fcgi::Timeouts::NONE;
    let mut sim = Sim::new(config, 1).expect("valid");
    server(&mut sim).on_connect(|_| Connect::Accept);
    submit(&mut sim, 1);
    assert!(!sim.run_to_end());
}

#[test]
fn an_application_that_knows_only_id_1_is_detected() {
    let mut quirks = Quirks::ideal().with_multiplexing(false);
    quirks.details_mut().knows_only_id_one = true;
    let behavior = |_: &_| Behavior::new().await_stdin().end(0);
    let mut sim = sim_of(plain(), Scripted::new(behavior).with_quirks(quirks));
    let mut ends = Vec::new();
    for tag in 0..4 {
        let handle = submit(&mut sim, tag);
        assert!(sim.run_to_end());
        ends.push(is_complete(&sim, handle));
    }
    assert_eq!(ends, [true, false, true, true]);
}

#[test]
fn a_request_times_out_when_its_limit_passes_while_the_process_is_stopped() {
    let mut config = plain();
    config.timeouts.total = Some(Duration::from_secs(1));
    let mut sim = sim(config, |_| Behavior::new());
    let handle = submit(&mut sim, 1);
    sim.settle();
    sim.network().hold_up(Duration::from_secs(5));
    assert!(sim.run_to_end());
    let limit = RequestError::TimedOut(TimeoutKind::Total);
    assert_eq!(*error(&sim, handle), limit);
    assert_eq!(sim.ended_at(handle), Some(Duration::from_secs(5)));
}

#[test]
fn a_late_record_that_is_read_before_a_request_is_sent_reaches_no_request() {
    let mut sim = sim(plain(), |request| match request.param("TAG") {
        // This request has ID 1, as the third request of the connection.
        Some(b"1") => {
            let behavior = Behavior::new().await_stdin().end(0).wait(100 * MS);
            behavior.send(Records::new().stdout(1, b"late").end(1, 9))
        }
        _ => Behavior::new().await_stdin().stdout("own").end(0),
    });
    for tag in 1..=2 {
        let handle = submit(&mut sim, tag);
        assert!(sim.run_to_end() && is_complete(&sim, handle));
    }
    sim.settle();
    sim.network().hold_up(200 * MS);
    let third = submit(&mut sim, 3);
    assert!(sim.run_to_end() && is_complete(&sim, third));
    assert_eq!(sim.stdout(third), b"own");
    assert_eq!(sim.engine().stats().counters.connected, 2);
}

#[test]
fn a_connect_that_hangs_keeps_no_request_from_another_server() {
    let servers = ["127.0.0.1:9000", "127.0.0.1:9001"];
    let servers = servers.map(|it| it.parse::<mio_fcgi::Server>().expect("an address"));
    let mut config = Config::from_servers(servers.to_vec());
    config.multiplex = Multiplex::On { max: 8 };
    config.limits.max_connections_per_server = 1;
    let mut sim = sim(config, |_| Behavior::new().await_stdin().end(0));
    server(&mut sim).on_connect(|_| Connect::Hang);
    sim.serve(
        ServerId::new(1),
        Scripted::new(|_| Behavior::new().await_stdin().end(0)),
    );
    let handles: Vec<RequestHandle> = (0..3).map(|tag| submit(&mut sim, tag)).collect();
    assert!(sim.run_to_end());
    for handle in handles {
        assert!(is_complete(&sim, handle));
        assert!(sim.ended_at(handle) <= Some(250 * MS));
    }
}

#[test]
fn a_connection_that_is_about_to_be_closed_gets_no_request_that_may_not_be_retried() {
    for (method, reused) in [("GET", true), ("POST", false)] {
        // As php-fpm after `pm.max_requests`, but the close comes later.
        let mut done: Vec<u32> = Vec::new();
        let mut sim = sim(plain(), move |request| {
            done.resize(done.len().max(request.connection + 1), 0);
            done[request.connection] += 1;
            let behavior = Behavior::new().await_stdin().end(0);
            match done[request.connection] {
                3 => behavior.wait(10 * MS).close(),
                _ => behavior,
            }
        });
        for tag in 0..6 {
            let handle = submit_as(&mut sim, tag, "GET");
            assert!(sim.run_to_end() && is_complete(&sim, handle));
            // The client sees the close of the first connection. The close of the second one is still to come.
            sim.advance(if tag == 2 { 20 * MS } else { MS });
        }
        let last = submit_as(&mut sim, 6, method);
        assert!(sim.run_to_end());
        let outcome = sim.outcome(last).expect("it has ended");
        let completion = outcome.as_ref().expect("it is complete");
        assert_eq!(completion.report.reused, reused, "{method}");
    }
}

#[test]
fn the_first_request_that_may_not_be_retried_has_id_1() {
    let mut quirks = Quirks::ideal().with_multiplexing(false);
    quirks.details_mut().knows_only_id_one = true;
    let behavior = |_: &_| Behavior::new().await_stdin().end(0);
    let mut sim = sim_of(plain(), Scripted::new(behavior).with_quirks(quirks));
    for (tag, method) in [(0, "GET"), (1, "POST")] {
        let handle = submit_as(&mut sim, tag, method);
        assert!(sim.run_to_end() && is_complete(&sim, handle), "{method}");
    }
    assert_eq!(sim.engine().stats().counters.connected, 2);
}

fn submit_as(sim: &mut Sim, tag: u64, method: &str) -> RequestHandle {
    let request = Request::responder().param("REQUEST_METHOD", method);
    sim.submit(request, Tag(tag)).expect("accepted")
}

/// Collects what the driver learns.
fn notices(sim: &mut Sim) -> Rc<RefCell<Vec<Notice>>> {
    let notices = Rc::new(RefCell::new(Vec::new()));
    let shown = Rc::clone(&notices);
    server(sim).on_notice(move |_, notice| shown.borrow_mut().push(notice));
    notices
}
