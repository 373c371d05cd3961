//! A client that stops reading one large response beside many small ones on the same connection.

use std::time::Duration;

use mio_fcgi::{Body, Config, Multiplex, OverflowPolicy, PauseBuffer, RequestError, Tag};

use crate::harness::client::{Exchange, Loop, get, is_pattern, post_with};
use crate::harness::{App, Program, TIME_LIMIT, Transport, echo_of};

const LARGE: usize = 64 << 20;
const SMALL: usize = 100;
const STOPPED: Duration = Duration::from_millis(500);

#[test]
#[ignore = "needs Go; run tests/run"]
fn small_requests_finish_beside_a_stopped_one_that_fits_the_budget() {
    let budget = LARGE + (1 << 20);
    let mut run = Run::new(1, budget, OverflowPolicy::PauseConnection);
    run.client.pause(run.large);
    let neighbour = run.submit_neighbour();
    run.all_small_finish();
    run.client
        .run_until("a mebibyte held", |it| it.peak().bytes_buffered > 1 << 20);
    run.end_neighbour(neighbour);
    run.client.resume(run.large);
    run.check_large();
    let peak = run.client.peak().bytes_buffered;
    assert!(peak <= budget, "{peak} bytes held");
    assert_eq!(run.client.shut_down().counters.connected, 1);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn small_requests_go_to_another_connection_when_the_budget_is_small() {
    let budget = 256 * 1024;
    let mut run = Run::new(2, budget, OverflowPolicy::PauseConnection);
    run.client.pause(run.large);
    run.all_small_finish();
    run.client.run_for(STOPPED);
    run.client.resume(run.large);
    run.check_large();
    run.held_at_most(budget);
    assert_eq!(run.client.shut_down().counters.connected, 2);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn a_connection_whose_budget_is_used_up_waits_and_then_goes_on() {
    let budget = 256 * 1024;
    let mut run = Run::new(1, budget, OverflowPolicy::PauseConnection);
    run.client.pause(run.large);
    let neighbour = run.submit_neighbour();
    run.client.run_until("the end of the budget", |it| {
        it.peak().bytes_buffered >= budget
    });
    let small: Vec<_> = run.submit_small();
    run.client.run_for(STOPPED);
    assert_eq!(run.client.unended(), 2 + SMALL);
    run.client.resume(run.large);
    for (number, tag) in small.into_iter().enumerate() {
        check_small(number, run.client.finish(tag));
    }
    run.end_neighbour(neighbour);
    run.check_large();
    run.held_at_most(budget);
    assert_eq!(run.client.shut_down().counters.connected, 1);
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn the_stopped_request_fails_alone_where_that_was_chosen() {
    let budget = 256 * 1024;
    let mut run = Run::new(1, budget, OverflowPolicy::FailRequest);
    let small: Vec<_> = run.submit_small();
    run.client.pause(run.large);
    let large = run.client.finish(run.large);
    let RequestError::PauseBufferFull { buffered } = large.failure().error else {
        panic!("{:?}", large.outcome);
    };
    assert!(buffered > budget);
    for (number, tag) in small.into_iter().enumerate() {
        check_small(number, run.client.finish(tag));
    }
    run.held_at_most(budget);
    run.client.run_until("the end of the large one", |it| {
        it.client.stats().requests.aborting == 0
    });
    assert_eq!(run.client.shut_down().counters.connected, 1);
}

/// A client in the middle of one large response.
struct Run {
    client: Loop,
    large: Tag,
    // Dropped after the client: the application ends when both are done.
    _app: App,
}

impl Run {
    fn new(max_connections: usize, budget: usize, at_limit: OverflowPolicy) -> Self {
        let app = App::start(Program::Go, Transport::Unix);
        let mut config = Config::new(app.listen().address());
        config.multiplex = Multiplex::On { max: 1024 };
        config.limits.max_connections_per_server = max_connections;
        let mut stall = PauseBuffer::default();
        stall.per_request = budget;
        stall.per_connection = budget;
        stall.per_client = budget;
        stall.overflow = at_limit;
        config.pause_buffer = stall;
        // What is left of the large response is read before it ends.
        config.abort_grace = TIME_LIMIT;
        let mut client = Loop::new(config);
        let large = client.submit(get(&format!("/big?size={LARGE}&seed=5")));
        client.run_until("the large response's begin", |it| {
            it.exchange(large).stdout.len() > 100_000
        });
        Self {
            client,
            large,
            _app: app,
        }
    }

    /// A request that waits for its body: output is held only while another request is on the connection.
    fn submit_neighbour(&mut self) -> Tag {
        let body = Body::pushed(Some(1));
        self.client.submit(post_with("/echo", body))
    }

    fn end_neighbour(&mut self, tag: Tag) {
        self.client.push(tag, b"x").expect("a request in progress");
        self.client.finish_stdin(tag).expect("all was written");
        let response = self.client.finish(tag).response();
        assert_eq!(response.body, echo_of(b"x").as_bytes());
    }

    fn submit_small(&mut self) -> Vec<Tag> {
        (0..SMALL)
            .map(|number| {
                let uri = format!("/tag?tag={number}&size=2000&delay=20");
                self.client.submit(get(&uri))
            })
            .collect()
    }

    fn all_small_finish(&mut self) {
        for (number, tag) in self.submit_small().into_iter().enumerate() {
            check_small(number, self.client.finish(tag));
        }
        let large = self.client.exchange(self.large);
        assert!(large.outcome.is_none() && large.stdout.len() < LARGE);
    }

    fn check_large(&mut self) {
        let response = self.client.finish(self.large).response();
        assert_eq!(response.body.len(), LARGE);
        assert!(is_pattern(5, &response.body));
    }

    /// At most the bytes of one read are held beyond the budget.
    fn held_at_most(&self, budget: usize) {
        let held = self.client.peak().bytes_buffered;
        let read = mio_fcgi::ReadBuf::DEFAULT_LEN;
        assert!(held <= budget + read, "{held} bytes held");
    }
}

fn check_small(number: usize, exchange: Exchange) {
    let response = exchange.response();
    assert_eq!(response.get("X-Tag"), Some(number.to_string().as_bytes()));
    assert_eq!(response.body.len(), 2000);
    assert!(is_pattern(number, &response.body));
}
