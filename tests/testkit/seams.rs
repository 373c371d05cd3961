//! What happens between a driver and its sockets: announcements and reads apart, writes into closed connections, a
//! process that is stopped, sockets that run out.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use mio_fcgi::testkit::internals::Notice;
use mio_fcgi::testkit::{Behavior, Connect, Fragments, Link, Quirks, Records, Scripted, Sim};
use mio_fcgi::{
    Body, Config, ConnectionLostReason, EventKind, Multiplex, OwnedEvent, Request, RequestError,
    RequestHandle, Tag, TimeoutKind,
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
    // It comes before the end was read, and goes elsewhere.
    let second = submit(&mut sim, 2);
    assert!(sim.run_to_end() && is_complete(&sim, first) && is_complete(&sim, second));
    let stats = sim.engine().stats();
    assert_eq!((stats.counters.connected, stats.counters.retries), (2, 0));
}

#[test]
fn an_idle_connection_whose_end_is_announced_is_not_handed_out() {
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
fn room_that_was_asked_for_is_told_of_although_nothing_more_is_offered() {
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
fn a_write_limit_begins_when_there_is_something_to_write() {
    let mut config = plain();
    config.timeouts = mio_fcgi::Timeouts::NONE;
    config.timeouts.write = Some(100 * MS);
    // Some of these are filled exactly by what is written first.
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
fn a_driver_that_reads_until_blocked_reads_once_more() {
    let mut sim = sim(plain(), |_| Behavior::new().await_stdin().end(0));
    let link = Link::default().with_reads_until_blocked(true);
    server(&mut sim).link(link);
    let handle = submit(&mut sim, 1);
    assert!(sim.run_to_end() && is_complete(&sim, handle));
    sim.settle();
    assert_eq!(sim.network().tally().empty_reads, 1);
}

#[test]
fn a_connection_is_read_before_a_request_leaves_that_may_not_be_sent_again() {
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
fn a_write_into_a_closed_connection_succeeds_until_the_reset_is_back() {
    let lost = |link: Link| {
        let mut sim = sim(plain(), |_| Behavior::new().close());
        let link = link.with_latency(MS).with_capacity(1000);
        server(&mut sim).link(link);
        let request = Request::responder().with_body(vec![b'x'; 5000].into());
        sim.submit(request, Tag(1)).expect("accepted");
        assert!(sim.run_to_end());
        let tally = sim.network().tally();
        (tally.lost_writes > 0, tally.failed_writes)
    };
    assert!(lost(Link::default()).0);
    assert_eq!(lost(Link::unix()), (false, 1));
}

#[test]
fn a_write_that_fails_with_nothing_to_read_is_a_connection_lost() {
    let mut config = plain();
    config.timeouts = mio_fcgi::Timeouts::NONE;
    let mut sim = sim(config, |_| Behavior::new().take_nothing());
    let link = Link::default().with_capacity(1000);
    server(&mut sim).link(link);
    let request = Request::responder().with_body(vec![b'x'; 5000].into());
    let handle = sim.submit(request, Tag(1)).expect("accepted");
    assert!(sim.run_to_end());
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Io(ErrorKind::BrokenPipe));
    assert_eq!(*error(&sim, handle), lost);
}

#[test]
fn what_came_while_the_process_was_stopped_is_in_the_socket() {
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
fn a_connect_without_a_port_is_tried_again() {
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
    // Without a limit it never ends, and the run notices that.
    config.timeouts = mio_fcgi::Timeouts::NONE;
    let mut sim = Sim::new(config, 1).expect("valid");
    server(&mut sim).on_connect(|_| Connect::Accept);
    submit(&mut sim, 1);
    assert!(!sim.run_to_end());
}

#[test]
fn an_application_that_knows_id_1_only_is_found_out() {
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
fn a_stop_beyond_a_limit_is_over_in_time_when_nothing_came() {
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
fn a_late_record_that_is_found_before_a_request_leaves_reaches_nobody() {
    let mut sim = sim(plain(), |request| match request.param("TAG") {
        // It has ID 1, as the third request of the connection will.
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
fn a_connect_that_hangs_holds_nobody_back_from_another_server() {
    let servers = ["127.0.0.1:9000", "127.0.0.1:9001"];
    let servers = servers.map(|it| it.parse().expect("an address"));
    let mut config = Config::with_servers(servers.to_vec());
    config.multiplex = Multiplex::On { max: 8 };
    config.limits.max_connections_per_server = 1;
    let mut sim = sim(config, |_| Behavior::new().await_stdin().end(0));
    server(&mut sim).on_connect(|_| Connect::Hang);
    sim.serve(1, Scripted::new(|_| Behavior::new().await_stdin().end(0)));
    let handles: Vec<RequestHandle> = (0..3).map(|tag| submit(&mut sim, tag)).collect();
    assert!(sim.run_to_end());
    for handle in handles {
        assert!(is_complete(&sim, handle));
        assert!(sim.ended_at(handle) <= Some(250 * MS));
    }
}

#[test]
fn a_connection_that_is_about_to_be_closed_is_not_for_what_may_not_be_sent_again() {
    for (method, reused) in [("GET", true), ("POST", false)] {
        // As php-fpm after `pm.max_requests`, but that it takes a while to close.
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
            // The first connection's close is seen, the second one's is to come.
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
fn the_first_request_that_may_not_be_sent_again_tries_no_other_id_than_1() {
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

/// What the driver learns, as it goes on.
fn notices(sim: &mut Sim) -> Rc<RefCell<Vec<Notice>>> {
    let notices = Rc::new(RefCell::new(Vec::new()));
    let shown = Rc::clone(&notices);
    server(sim).on_notice(move |_, notice| shown.borrow_mut().push(notice));
    notices
}
