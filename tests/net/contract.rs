//! The loop contract: any order of calls, the wait, the tokens, the read buffer.

use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use mio_fcgi::wire::{Demux, Item, RecordType};
use mio_fcgi::{Client, ConfigError, Event, EventKind, ReadBuf, Tag};

use crate::peer::{Peer, TIME_LIMIT};
use crate::{Loop, app, body, demo, get, plain};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Wait,
    Note,
    Timeout,
    Drain,
}

pub(crate) const STEPS: [Step; 4] = [Step::Wait, Step::Note, Step::Timeout, Step::Drain];

#[test]
fn any_order_of_the_calls_in_a_turn_is_right() {
    let demo = demo();
    for order in permutations(&STEPS) {
        let mut config = plain(demo.address().clone());
        // No time limit wakes a client that has lost track of its request.
        config.connect_timeout = 2 * TIME_LIMIT;
        config.timeouts = mio_fcgi::Timeouts::NONE;
        let mut turns = Loop::new(config);
        turns.submit(get("/tag?tag=ordered"), 1);
        let began = Instant::now();
        while turns.ends().is_empty() {
            for step in &order {
                match step {
                    Step::Wait => turns.wait(TIME_LIMIT),
                    Step::Note => turns.note(),
                    Step::Timeout => turns.client.handle_timeout(Instant::now()),
                    Step::Drain => turns.drain(),
                }
            }
            assert!(began.elapsed() < TIME_LIMIT, "{order:?}");
        }
        assert!(turns.outcome(1).is_ok(), "{order:?}: {:?}", turns.tail());
        assert_eq!(body(&turns.stdout(1)), b"ordered", "{order:?}");
    }
}

pub(crate) fn permutations(steps: &[Step]) -> Vec<Vec<Step>> {
    if steps.is_empty() {
        return vec![Vec::new()];
    }
    let each = steps.iter().flat_map(|first| {
        let others: Vec<Step> = steps.iter().copied().filter(|step| step != first).collect();
        permutations(&others)
            .into_iter()
            .map(|rest| [vec![*first], rest].concat())
    });
    each.collect()
}

#[test]
fn the_wait_is_zero_with_work_and_without_limit_when_nothing_is_due() {
    let demo = demo();
    let mut config = plain(demo.address().clone());
    config.keep_connections = false;
    config.timeouts = mio_fcgi::Timeouts::NONE;
    let mut turns = Loop::new(config);
    let now = Instant::now();
    assert_eq!(turns.client.timeout(now), None);

    let request = turns.submit(get("/slow?ms=60000"), 1);
    assert_eq!(turns.client.timeout(now), Some(Duration::ZERO), "submitted");
    assert_eq!(turns.client.deadline(now), Some(now), "submitted");
    turns.drain();
    let connecting = turns.client.timeout(now).expect("a limit on the connect");
    assert!(connecting > Duration::from_secs(1), "{connecting:?}");
    let later = Instant::now();
    let wait = turns.client.timeout(later).expect("a limit on the connect");
    assert_eq!(turns.client.deadline(later), Some(later + wait));
    turns.run_until(|it| it.client.stats().requests.active == 1);
    turns.run_for(Duration::from_millis(20));
    let waiting = turns.client.timeout(Instant::now());
    assert_ne!(
        waiting,
        Some(Duration::ZERO),
        "it is the application's turn"
    );

    turns.client.abort(Instant::now(), request);
    assert_eq!(
        turns.client.timeout(now),
        Some(Duration::ZERO),
        "an end to report"
    );
    turns.drain();
    assert_eq!(turns.ends(), [1]);
    assert_eq!(turns.client.timeout(now), None);
    assert_eq!(turns.client.deadline(now), None);
    assert!(turns.client.is_idle());
}

#[test]
fn the_wait_is_never_longer_than_each_mio_can_wait() {
    let demo = demo();
    let mut config = plain(demo.address().clone());
    config.limits.idle_timeout = Duration::from_secs(60 * 24 * 60 * 60);
    // Nothing else is due earlier.
    config.connect_timeout = config.limits.idle_timeout;
    config.timeouts = mio_fcgi::Timeouts::NONE;
    config.preempt_idle_after = None;
    let mut turns = Loop::new(config);
    assert!(turns.ask(get("/bench")).0.is_ok());
    let wait = turns.client.timeout(Instant::now()).expect("idle");
    assert_eq!(wait, Duration::from_secs(24 * 24 * 60 * 60));
    // Rounded up and counted as mio 1.0 does.
    let rounded = wait + Duration::from_nanos(999_999);
    assert!(i32::try_from(rounded.as_millis()).is_ok());
}

#[test]
fn an_idle_connection_limits_the_wait_and_goes_in_time() {
    let demo = demo();
    let mut config = plain(demo.address().clone());
    config.limits.idle_timeout = Duration::from_millis(50);
    let mut turns = Loop::new(config);
    assert!(turns.ask(get("/bench")).0.is_ok());
    let wait = turns.client.timeout(Instant::now()).expect("idle");
    assert!(wait <= Duration::from_millis(50), "{wait:?}");
    turns.run_until(|it| it.client.is_idle());
    assert_eq!(turns.client.timeout(Instant::now()), None);
}

#[test]
fn events_of_the_embedder_are_left_to_it_and_tokens_stay_in_their_range() {
    let demo = demo();
    let mut poll = Poll::new().expect("a poll");
    let tokens = Token(7)..Token(15);
    let config = plain(demo.address().clone());
    let mut client = Client::new(poll.registry(), tokens.clone(), config).expect("enough tokens");
    let (mut ours, theirs) = mio::net::UnixStream::pair().expect("a pair");
    poll.registry()
        .register(&mut ours, Token(6), Interest::READABLE)
        .expect("a socket");
    drop(theirs);
    let now = Instant::now();
    for tag in 0..50 {
        client
            .submit(now, get("/tag?tag=x&delay=20"), Tag(tag))
            .expect("room");
    }
    let (mut events, mut buf) = (Events::with_capacity(64), ReadBuf::default());
    let (mut embedders, mut clients, mut ended) = (0, 0, 0);
    let deadline = Instant::now() + TIME_LIMIT;
    while ended < 50 || embedders == 0 {
        assert!(Instant::now() < deadline);
        match poll.poll(&mut events, client.timeout(Instant::now())) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.expect("a poll"),
        }
        for event in &events {
            let token = event.token();
            assert_eq!(client.handle_event(event), tokens.contains(&token));
            if tokens.contains(&token) {
                clients += 1;
            } else {
                assert_eq!(token, Token(6));
                embedders += 1;
            }
        }
        client.handle_timeout(Instant::now());
        while let Some(event) = client.poll_event(Instant::now(), &mut buf) {
            if let EventKind::End(outcome) = event.kind {
                outcome.expect("a response");
                ended += 1;
            }
        }
    }
    assert!(clients > 0);
}

#[test]
fn too_few_tokens_for_the_limits_are_refused() {
    let poll = Poll::new().expect("a poll");
    let config = plain("127.0.0.1:9000".parse().expect("an address"));
    let too_few = |connections| ConfigError::TooFewTokens {
        tokens: 8,
        connections,
    };
    let tokens = Token(0)..Token(8);
    let mut nine = config.clone();
    nine.limits.max_connections_per_server = 9;
    let error = Client::new(poll.registry(), tokens.clone(), nine).expect_err("one too few");
    let source = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<ConfigError>());
    assert_eq!(source, Some(&too_few(9)));

    let mut client = Client::new(poll.registry(), tokens, config).expect("just enough");
    let mut limits = client.config().limits;
    limits.max_connections_per_server = 10;
    assert_eq!(
        client.set_limits(Instant::now(), limits),
        Err(too_few(10)),
        "and later too"
    );
    assert_eq!(client.config().limits.max_connections_per_server, 8);
}

/// Brings a client to the point where its buffer holds bytes after the event that was taken last.
fn with_bytes_in_the_buffer(demo: &app::Running) -> Loop {
    let mut turns = Loop::plain(demo.address().clone());
    turns.submit(get("/bench"), 1);
    loop {
        turns.wait(TIME_LIMIT);
        turns.note();
        let event = turns.client.poll_event(Instant::now(), &mut turns.buf);
        if let Some(Event {
            kind: EventKind::Stdout(_),
            ..
        }) = event
        {
            return turns;
        }
    }
}

#[test]
#[should_panic(expected = "another ReadBuf was passed while the former holds bytes")]
fn another_buffer_is_refused_while_the_first_holds_bytes() {
    let demo = demo();
    let mut turns = with_bytes_in_the_buffer(&demo);
    let mut other = ReadBuf::default();
    let _ = turns.client.poll_event(Instant::now(), &mut other);
}

// case 147
#[test]
#[should_panic(expected = "the ReadBuf holds bytes of another client")]
fn a_buffer_with_bytes_of_one_client_is_refused_by_another() {
    let demo = demo();
    let mut turns = with_bytes_in_the_buffer(&demo);
    let mut other = Loop::plain(demo.address().clone());
    let _ = other.client.poll_event(Instant::now(), &mut turns.buf);
}

// case 147
#[test]
fn one_buffer_serves_two_clients_in_turn() {
    let demo = demo();
    let mut one = with_bytes_in_the_buffer(&demo);
    one.drain();
    let mut other = Loop::plain(demo.address().clone());
    for round in 1..=3 {
        std::mem::swap(&mut one.buf, &mut other.buf);
        let (outcome, output) = other.ask(get("/big?size=300000"));
        assert!(outcome.is_ok() && body(&output).len() == 300_000, "{round}");
        std::mem::swap(&mut one, &mut other);
    }
    // A client that is dropped while the buffer holds bytes frees it, too.
    let left = with_bytes_in_the_buffer(&demo);
    one.buf = left.buf;
    drop(left.client);
    let (outcome, output) = one.ask(get("/big?size=300000"));
    assert!(outcome.is_ok() && body(&output).len() == 300_000);
}

#[test]
fn another_buffer_is_fine_once_the_first_is_empty() {
    let demo = demo();
    let mut turns = with_bytes_in_the_buffer(&demo);
    assert_eq!(
        turns.client.timeout(Instant::now()),
        Some(Duration::ZERO),
        "bytes are waiting"
    );
    turns.drain();
    assert_eq!(turns.ends(), [1]);
    turns.buf = ReadBuf::with_len(0);
    let (outcome, output) = turns.ask(get("/big?size=300000"));
    assert!(outcome.is_ok());
    assert_eq!(body(&output).len(), 300_000, "in pieces of 512 bytes");
}

#[test]
fn requests_submitted_in_one_turn_leave_in_one_write() {
    let peer = Peer::unix(|listener| {
        let mut connection = listener.accept();
        let mut counts = Vec::new();
        for _ in 0..3 {
            let mut bytes = vec![0; 256 * 1024];
            let len = connection.read(&mut bytes).expect("requests");
            let ids = whole_requests(&bytes[..len]);
            counts.push(ids.len());
            for id in ids {
                connection.answer(id, b"done");
            }
        }
        counts
    });
    let mut config = plain(peer.address());
    config.multiplex = mio_fcgi::Multiplex::On { max: 100 };
    config.limits.max_connections_per_server = 1;
    let mut turns = Loop::new(config);
    for round in 0..3 {
        for tag in 0..10 {
            turns.submit(get("/small"), round * 10 + tag);
        }
        turns.run_to_ends((round as usize + 1) * 10);
    }
    assert_eq!(
        peer.join(),
        [10, 10, 10],
        "the first round waited for the connect"
    );
}

/// The IDs of the requests; each is there with everything up to the end of its STDIN.
fn whole_requests(bytes: &[u8]) -> Vec<u16> {
    let mut demux = Demux::default();
    let mut input = bytes;
    let (mut begun, mut ended) = (Vec::new(), Vec::new());
    while let Some(item) = demux.next(&mut input).expect("FastCGI") {
        match item {
            Item::Begin { request_id, .. } => begun.push(request_id),
            Item::StreamEnd {
                record_type: RecordType::Stdin,
                request_id,
            } => ended.push(request_id),
            _ => {}
        }
    }
    assert_eq!(begun, ended);
    begun
}

/// A loop looks at the client where it likes: before it waits, or after. Neither waits for ever.
#[test]
fn a_shutdown_that_completes_in_a_turn_leaves_one_more_turn_without_a_wait() {
    let demo = demo();
    for connects_first in [true, false] {
        let mut turns = Loop::plain(demo.address().clone());
        if connects_first {
            let (outcome, _) = turns.ask(get("/tag?tag=a"));
            assert!(outcome.is_ok());
        }
        turns.client.shutdown(Instant::now(), None);
        while !turns.client.is_shut_down() {
            turns.turn(TIME_LIMIT);
        }
        assert_eq!(turns.client.timeout(Instant::now()), Some(Duration::ZERO));
        turns.drain();
        assert!(turns.client.is_shut_down());
        assert_ne!(turns.client.timeout(Instant::now()), Some(Duration::ZERO));
    }
}
