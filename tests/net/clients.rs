//! Several clients in one loop: whose an event is, whose turn it is, who waits for what, who comes and goes.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::{
    Address, Client, ClientId, Clients, Config, EventKind, OwnedEvent, ReadBuf, Tag, Timeouts,
};

use crate::contract::{STEPS, Step, permutations};
use crate::fairness::{BUF, await_filled, large_answers};
use crate::peer::{Peer, TIME_LIMIT};
use crate::{app, body, demo, get, plain};

/// Clients and the loop that drives them.
#[derive(Debug)]
pub(crate) struct Pools {
    pub(crate) poll: Poll,
    pub(crate) events: Events,
    pub(crate) clients: Clients,
    pub(crate) buf: ReadBuf,
    pub(crate) seen: Vec<(ClientId, OwnedEvent)>,
}

pub(crate) const FIRST: usize = 1000;
pub(crate) const TOKENS_EACH: usize = 8;
/// Room for 100 clients, and a token that none of them gets.
pub(crate) const TOKENS: std::ops::Range<Token> =
    Token(FIRST)..Token(FIRST + 100 * TOKENS_EACH + 1);

impl Pools {
    pub(crate) fn new() -> Self {
        let poll = Poll::new().expect("a poll");
        let clients = Clients::new(poll.registry(), TOKENS, TOKENS_EACH);
        Self {
            clients: clients.expect("a copy of the registry"),
            poll,
            events: Events::with_capacity(256),
            buf: ReadBuf::default(),
            seen: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, address: Address) -> ClientId {
        let added = self.clients.add(plain(address));
        added.expect("a valid configuration, and tokens")
    }

    pub(crate) fn client(&mut self, id: ClientId) -> &mut Client {
        self.clients.get_mut(id).expect("it is present")
    }

    pub(crate) fn submit(&mut self, id: ClientId, uri: &str, tag: u64) {
        let submitted = self.client(id).submit(Instant::now(), get(uri), Tag(tag));
        submitted.expect("a request that can be sent");
    }

    /// Waits for readiness, for at most `most`.
    pub(crate) fn wait(&mut self, most: Duration) {
        let timeout = self.clients.timeout(Instant::now());
        let timeout = timeout.unwrap_or(most).min(most);
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => self.events.clear(),
            other => other.expect("a poll"),
        }
    }

    pub(crate) fn note(&mut self) {
        for event in &self.events {
            assert!(self.clients.handle_event(event), "nobody else has tokens");
        }
    }

    /// Takes one event.
    pub(crate) fn take(&mut self, now: Instant) -> Option<ClientId> {
        let (id, event) = self.clients.poll_event(now, &mut self.buf)?;
        self.seen.push((id, event.into_owned()));
        Some(id)
    }

    pub(crate) fn drain(&mut self) {
        self.drain_at(Instant::now());
    }

    /// Takes all events until each client with work has had a turn.
    pub(crate) fn drain_at(&mut self, now: Instant) {
        while self.take(now).is_some() {}
    }

    /// Goes on until nothing is left to do without waiting.
    pub(crate) fn finish_work(&mut self) {
        while self.clients.timeout(Instant::now()) == Some(Duration::ZERO) {
            self.drain();
        }
    }

    /// Goes on until nothing is left to do, and the kernel has nothing left to announce: what was read in one call may
    /// have arrived in several pieces, and the later ones are announced by the next wait.
    fn settle(&mut self) {
        loop {
            self.finish_work();
            self.wait(Duration::ZERO);
            if self.events.is_empty() {
                break;
            }
            self.note();
        }
    }

    pub(crate) fn turn(&mut self, most: Duration) {
        self.wait(most);
        self.note();
        self.clients.handle_timeout(Instant::now());
        self.drain();
    }

    pub(crate) fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + TIME_LIMIT;
        while !done(self) {
            let now = Instant::now();
            assert!(now < deadline, "{:?}", self.clients);
            // If no client asks for a call that one of them needs, this wait lasts to the deadline.
            self.turn(deadline - now);
        }
    }

    /// Turns until a request has ended well; its output.
    pub(crate) fn output(&mut self, id: ClientId, tag: u64) -> Vec<u8> {
        self.run_until(|it| it.has_ended(id, tag));
        let events = self.events_of(id, tag);
        assert!(
            matches!(events.last(), Some(EventKind::End(Ok(_)))),
            "{events:?}"
        );
        let pieces = events.into_iter().filter_map(|kind| match kind {
            EventKind::Stdout(data) => Some(data.as_slice()),
            _ => None,
        });
        pieces.collect::<Vec<_>>().concat()
    }

    pub(crate) fn events_of(&self, id: ClientId, tag: u64) -> Vec<&EventKind<Vec<u8>>> {
        let wanted = (id, Tag(tag));
        let events = self.seen.iter();
        events
            .filter(|(id, event)| (*id, event.tag) == wanted)
            .map(|(_, event)| &event.kind)
            .collect()
    }

    pub(crate) fn has_ended(&self, id: ClientId, tag: u64) -> bool {
        let last = self.events_of(id, tag).last().copied();
        matches!(last, Some(EventKind::End(_)))
    }

    /// The clients that need no call at `now`, and how long they may wait from an earlier instant, as they say.
    pub(crate) fn sleeping(
        &self,
        now: Instant,
        earlier: Instant,
    ) -> Vec<(ClientId, Option<Duration>)> {
        let all = self.clients.iter();
        all.filter(|(_, client)| client.timeout(now) != Some(Duration::ZERO))
            .map(|(id, client)| (id, client.timeout(earlier)))
            .collect()
    }

    /// Checks that no call has told these clients of a later instant. Time never goes back for a client, so what it says
    /// of an earlier one would be different.
    pub(crate) fn still_sleep(&self, sleeping: &[(ClientId, Option<Duration>)], earlier: Instant) {
        for (id, wait) in sleeping {
            let client = self.clients.get(*id).expect("present");
            assert_eq!(client.timeout(earlier), *wait, "{id} was called");
        }
    }

    pub(crate) fn received(&self, id: ClientId) -> usize {
        let output = self
            .seen
            .iter()
            .filter_map(|(from, event)| match &event.kind {
                EventKind::Stdout(data) if *from == id => Some(data.len()),
                _ => None,
            });
        output.sum()
    }
}

/// No time limit but that of an idle connection.
fn quiet(address: Address) -> Config {
    plain(address)
        .with_timeouts(Timeouts::NONE)
        .with_connect_timeout(2 * TIME_LIMIT)
        .with_preempt_idle_after(None)
}

/// Takes one request, and answers when it may.
pub(crate) fn answers(body: &'static str) -> (Peer, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (answered, is_answered) = mpsc::channel();
    let peer = Peer::unix(move |listener| {
        let mut connection = listener.accept();
        let id = connection.request().expect("a request").id;
        may_go_on
            .recv_timeout(TIME_LIMIT)
            .expect("the test goes on");
        connection.answer(id, body.as_bytes());
        answered.send(()).expect("the test waits");
        connection.rest();
    });
    (peer, go_on, is_answered)
}

#[test]
fn each_event_comes_with_the_client_it_is_of() {
    let mut pools = Pools::new();
    let demos: Vec<app::Running> = (0..5).map(|_| demo()).collect();
    let ids: Vec<ClientId> = demos
        .iter()
        .map(|demo| pools.add(demo.address().clone()))
        .collect();
    for round in 0..3 {
        for (at, id) in ids.iter().enumerate() {
            pools.submit(*id, &format!("/tag?tag={at}-{round}&delay=5"), round);
        }
        for (at, id) in ids.iter().enumerate() {
            let output = pools.output(*id, round);
            assert_eq!(body(&output), format!("{at}-{round}").as_bytes());
        }
    }
    let connected: Vec<u64> = pools
        .clients
        .iter()
        .map(|(_, client)| client.stats().counters.connected)
        .collect();
    assert_eq!(connected, [1; 5]);
    let shown: Vec<String> = ids.iter().map(ClientId::to_string).collect();
    assert_eq!(shown, ["0", "1", "2", "3", "4"]);
}

#[test]
fn any_order_of_the_calls_in_a_turn_is_right_for_several_clients() {
    let demo = demo();
    for order in permutations(&STEPS) {
        let mut pools = Pools::new();
        // No time limit wakes a client that nobody calls.
        let ids = [(); 2].map(|()| {
            let added = pools.clients.add(quiet(demo.address().clone()));
            added.expect("a valid configuration, and tokens")
        });
        for id in ids {
            pools.submit(id, "/tag?tag=ordered", 1);
        }
        let began = Instant::now();
        let have_ended = |pools: &Pools| ids.iter().all(|id| pools.has_ended(*id, 1));
        while !have_ended(&pools) {
            for step in &order {
                match step {
                    Step::Wait if have_ended(&pools) => break,
                    Step::Wait => pools.wait(TIME_LIMIT),
                    Step::Note => {
                        pools.note();
                        let wait = pools.clients.timeout(Instant::now());
                        assert!(pools.events.is_empty() || wait == Some(Duration::ZERO));
                    }
                    Step::Timeout => pools.clients.handle_timeout(Instant::now()),
                    Step::Drain => pools.drain(),
                }
            }
            assert!(began.elapsed() < TIME_LIMIT, "{order:?}");
        }
        for id in ids {
            assert_eq!(body(&pools.output(id, 1)), b"ordered", "{order:?}");
        }
    }
}

/// A client whose output never ends, two with one answer each, and commands for all of them at each event.
#[test]
fn a_client_with_endless_output_has_one_turn_and_then_the_others_theirs() {
    let (endless, filled) = large_answers(1);
    let (one, go_on, one_answered) = answers("one");
    let (two, also_go_on, two_answered) = answers("two");
    let mut pools = Pools::new();
    pools.buf = ReadBuf::with_len(BUF);
    let ids = [&endless, &one, &two].map(|peer| pools.add(peer.address()));
    for id in ids {
        pools.submit(id, "/", 1);
    }
    pools.finish_work();
    await_filled(&filled, 1);
    for sender in [go_on, also_go_on] {
        sender.send(()).expect("the peer waits");
    }
    for answered in [one_answered, two_answered] {
        answered.recv_timeout(TIME_LIMIT).expect("an answer");
    }
    for turns in 1..4 {
        pools.wait(TIME_LIMIT);
        pools.note();
        while let Some((id, event)) = pools.clients.poll_event(Instant::now(), &mut pools.buf) {
            for id in ids {
                let client = pools.clients.get_mut(id).expect("present");
                assert!(client.ready(Instant::now()).is_ok());
            }
            pools.seen.push((id, event.into_owned()));
        }
        // Headers of records are a small part of what was read.
        assert_eq!(pools.received(ids[0]).div_ceil(BUF), turns * 16);
        assert_eq!(pools.clients.timeout(Instant::now()), Some(Duration::ZERO));
        assert!(pools.has_ended(ids[1], 1) && pools.has_ended(ids[2], 1));
    }
    assert!(pools.clients.remove(ids[0]));
    drop(pools);
    for peer in [one, two] {
        peer.join();
    }
}

/// Each end is followed by a request to the other client that ends at once.
#[test]
fn clients_whose_events_cause_commands_for_each_other_let_the_loop_go_on() {
    let mut pools = Pools::new();
    let ids = [(); 2].map(|()| pools.add("unix:/no/such.sock".parse().expect("an address")));
    pools.submit(ids[0], "/", 0);
    let mut ended = 0;
    for round in 1..10 {
        let now = Instant::now();
        while let Some((id, event)) = pools.clients.poll_event(now, &mut pools.buf) {
            assert!(matches!(event.kind, EventKind::End(_)));
            ended += 1;
            assert!(ended <= 2 * round, "{ended} in {round} rounds");
            let other = pools.client(ids[usize::from(id == ids[0])]);
            let request = other.submit(now, get("/"), Tag(0)).expect("room");
            other.abort(now, request);
        }
        assert_eq!(pools.clients.timeout(now), Some(Duration::ZERO));
    }
    assert!(ended >= 8, "{ended}");
}

#[test]
fn the_wait_is_the_shortest_of_all_clients() {
    let demo = demo();
    let mut pools = Pools::new();
    let mut now = Instant::now();
    assert_eq!(pools.clients.timeout(now), None);
    assert_eq!(pools.clients.deadline(now), None);
    let ids = [5000, 3000, 4000].map(|seconds| {
        let mut config = quiet(demo.address().clone());
        config.limits.idle_timeout = Duration::from_secs(seconds);
        pools.clients.add(config).expect("a valid configuration")
    });
    for id in ids {
        pools.submit(id, "/tag?tag=x", 1);
        assert_eq!(pools.clients.timeout(now), Some(Duration::ZERO));
        assert_eq!(pools.clients.deadline(now), Some(now));
        pools.output(id, 1);
    }
    now = Instant::now();
    let start = now;
    for (id, seconds) in [(ids[1], 3000), (ids[2], 4000)] {
        // A client may ask for a call before its deadline.
        loop {
            let sleeping = pools.sleeping(now, start);
            pools.drain_at(now);
            pools.still_sleep(&sleeping, start);
            if pools.clients.get(id).is_none_or(Client::is_idle) {
                break;
            }
            let deadline = pools.clients.deadline(now).expect("idle connections");
            let wait = pools.clients.timeout(now);
            assert_eq!(wait, Some(deadline - now));
            let waits = pools.clients.iter().filter_map(|it| it.1.timeout(now));
            assert_eq!(waits.min(), wait, "as the clients say");
            assert!(deadline <= start + Duration::from_secs(seconds));
            now = deadline;
            pools.clients.handle_timeout(now);
        }
        assert!(now + TIME_LIMIT > start + Duration::from_secs(seconds));
    }
    assert!(pools.clients.timeout(now).is_some());
    assert!(pools.clients.remove(ids[0]));
    assert_eq!(pools.clients.timeout(now), None);
}

#[test]
fn a_turn_of_one_client_does_not_call_the_others() {
    let demo = demo();
    let mut pools = Pools::new();
    let config = || quiet(demo.address().clone());
    let added = (0..60).map(|_| pools.clients.add(config()).expect("tokens"));
    let ids: Vec<ClientId> = added.collect();
    for id in &ids {
        pools.submit(*id, "/tag?tag=x", 1);
    }
    for id in &ids {
        pools.output(*id, 1);
    }
    pools.settle();
    let before = Instant::now();
    let mut sleeping = pools.sleeping(before, before);
    assert_eq!(sleeping.len(), 60);
    let (_, own) = sleeping.remove(7);
    pools.submit(ids[7], "/tag?tag=x", 2);
    let late = before + Duration::from_millis(500);
    let now = || late.max(Instant::now());
    let deadline = Instant::now() + TIME_LIMIT;
    while !pools.has_ended(ids[7], 2) {
        assert!(Instant::now() < deadline);
        pools.wait(Duration::from_millis(20));
        pools.note();
        pools.clients.handle_timeout(now());
        pools.drain_at(now());
    }
    assert_ne!(pools.client(ids[7]).timeout(before), own);
    pools.still_sleep(&sleeping, before);
}

/// The loop stops in the middle of a client's bytes, works on another client, and goes on.
#[test]
fn a_loop_may_stop_after_any_event_and_command_any_client() {
    let demo = demo();
    let mut pools = Pools::new();
    let ids = [(); 3].map(|()| pools.add(demo.address().clone()));
    for id in ids {
        pools.submit(id, "/big?size=300000", 1);
    }
    let mut tag = 1;
    let deadline = Instant::now() + TIME_LIMIT;
    while !ids.iter().all(|id| pools.has_ended(*id, 1)) {
        assert!(Instant::now() < deadline, "{:?}", pools.clients);
        pools.wait(TIME_LIMIT);
        pools.note();
        pools.clients.handle_timeout(Instant::now());
        if pools.take(Instant::now()).is_some() && tag < 20 {
            tag += 1;
            pools.submit(ids[tag as usize % 3], "/tag?tag=y", tag);
        }
    }
    for id in ids {
        assert_eq!(body(&pools.output(id, 1)).len(), 300_000);
    }
    for tag in 2..=tag {
        assert_eq!(body(&pools.output(ids[tag as usize % 3], tag)), b"y");
    }
}

/// The loop stops before `None`, when a client has had its turn and another one has not.
#[test]
fn a_deadline_counts_from_the_turn_that_set_it() {
    let silent = Peer::unix(|listener| listener.accept().rest());
    let mut pools = Pools::new();
    let limit = Duration::from_secs(1000);
    let config = quiet(silent.address()).with_timeouts(Timeouts::NONE.with_total(limit));
    let late = pools.clients.add(config).expect("tokens");
    let other = pools.add("unix:/no/such.sock".parse().expect("an address"));
    pools.submit(late, "/", 1);
    pools.submit(other, "/", 1);
    assert_eq!(pools.take(Instant::now()), Some(other));
    let now = Instant::now() + limit;
    pools.clients.handle_timeout(now);
    pools.drain_at(now);
    assert!(pools.has_ended(late, 1), "{:?}", pools.clients);
    drop(pools);
    silent.join();
}

#[test]
#[should_panic(expected = "another ReadBuf was passed while the former holds bytes")]
fn another_buffer_is_refused_while_the_first_holds_bytes_of_a_client() {
    let demo = demo();
    let mut pools = Pools::new();
    let id = pools.add(demo.address().clone());
    pools.submit(id, "/bench", 1);
    while pools.seen.is_empty() {
        pools.wait(TIME_LIMIT);
        pools.note();
        pools.take(Instant::now());
    }
    assert_eq!(pools.clients.timeout(Instant::now()), Some(Duration::ZERO));
    let mut other = ReadBuf::default();
    let _ = pools.clients.poll_event(Instant::now(), &mut other);
}
