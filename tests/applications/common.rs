//! The tests that every application with one request at a time on a connection must pass.

use std::time::Duration;

use mio_fcgi::{
    Body, CloseReason, Config, Delivery, Multiplex, Request, RequestError, ServerValues, Timeouts,
    blocking,
};

use crate::harness::client::{self, Loop, post_with};
use crate::harness::{App, Program, TIME_LIMIT, Transport, cgi_script, echo_of, pattern};

/// One test for each behaviour, in the module of its application.
macro_rules! behaviours {
    ($needs:literal, $program:expr, $($behaviour:ident),+ $(,)?) => {
        $(
            #[test]
            #[ignore = $needs]
            fn $behaviour() {
                use crate::common::{self, Subject};
                use crate::harness::Transport;
                for transport in [Transport::Unix, Transport::Tcp] {
                    common::$behaviour(&mut Subject::start($program, transport));
                }
            }
        )+
    };
}

pub(crate) use behaviours;

/// A running application, and what a request to it needs.
pub(crate) struct Subject {
    pub(crate) app: App,
    /// The `SCRIPT_FILENAME` for fcgiwrap.
    script: Option<String>,
}

impl Subject {
    pub(crate) fn start(program: Program, transport: Transport) -> Self {
        let is_wrapper = matches!(program, Program::Fcgiwrap { .. });
        Self {
            app: App::start(program, transport),
            script: is_wrapper.then(cgi_script),
        }
    }

    /// The configuration by default.
    pub(crate) fn config(&self) -> Config {
        Config::new(self.app.listen().address())
    }

    /// Without a probe, so that connections can be counted.
    pub(crate) fn plain(&self) -> Config {
        let mut config = self.config();
        config.multiplex = Multiplex::Off;
        config
    }

    pub(crate) fn get(&self, uri: &str) -> Request {
        self.finish(client::get(uri))
    }

    pub(crate) fn post(&self, uri: &str, body: Body) -> Request {
        self.finish(post_with(uri, body))
    }

    fn finish(&self, request: Request) -> Request {
        match &self.script {
            Some(script) => request.param("SCRIPT_FILENAME", script),
            None => request,
        }
    }

    /// A page that reads its body and returns it, or its length and hash.
    fn echo(&self, body: &[u8]) -> (Request, Vec<u8>) {
        match self.script {
            Some(_) => (self.post("/cat", Body::bytes(body)), body.to_vec()),
            None => (
                self.post("/echo", Body::bytes(body)),
                echo_of(body).into_bytes(),
            ),
        }
    }

    /// fcgiwrap passes the whole body on before it reads the answer, so a longer body would block both.
    fn longest_body(&self) -> usize {
        match self.script {
            Some(_) => 60_000,
            None => 300_000,
        }
    }
}

pub(crate) fn gets_and_posts_are_answered(subject: &mut Subject) {
    let mut client = Loop::new(subject.config());
    for size in [0, 1, 8191, 50_000, subject.longest_body()] {
        let body = pattern(size, size);
        let (request, answer) = subject.echo(&body);
        assert_eq!(client.call(request).response().body, answer);
    }
    let awake = client.call(subject.get("/slow?ms=1"));
    assert!(awake.stdout_ended, "libfcgi and flup end their output");
    assert_eq!(awake.response().body, b"awake\n");
    assert_eq!(client.call(subject.get("/nothing")).response().status, 404);
    let address = subject.app.listen().address();
    // The client's idle connection may occupy the only process.
    client.shut_down();
    let called = blocking::call(&address, subject.get("/slow?ms=1"), TIME_LIMIT);
    assert_eq!(called.expect("a response").body, b"awake\n");
}

pub(crate) fn stderr_is_kept_apart(subject: &mut Subject) {
    let mut client = Loop::new(subject.config());
    for _ in 0..3 {
        let exchange = client.call(subject.get("/stderr"));
        let stderr = exchange.stderr_text().replace("\r\n", "\n");
        assert_eq!(stderr, "a line for the error log\n");
        assert_eq!(exchange.response().body, b"answered\n");
    }
    client.shut_down();
}

pub(crate) fn auto_finds_out_that_it_does_not_multiplex(subject: &mut Subject) {
    let mut config = subject.config();
    config.limits.max_connections_per_server = 2;
    let mut client = Loop::new(config);
    assert_ne!(values(&mut client).multiplexes, Some(true));
    for _ in 0..10 {
        client.submit(subject.get("/slow?ms=10"));
    }
    for (_, exchange) in client.finish_all() {
        if exchange.values.is_none() {
            assert_eq!(exchange.response().body, b"awake\n");
        }
    }
    // A request for each connection at most.
    assert!(client.peak().active <= 2);
    client.shut_down();
}

pub(crate) fn more_requests_than_processes_are_all_answered(subject: &mut Subject) {
    let mut config = subject.config();
    // No connection is closed for being idle and no request times out: connections are preempted for each other.
    config.limits.idle_timeout = Duration::from_secs(3600);
    config.timeouts = Timeouts::NONE;
    let mut client = Loop::new(config);
    for _ in 0..40 {
        client.submit(subject.get("/slow?ms=3"));
    }
    for (_, exchange) in client.finish_all() {
        assert_eq!(exchange.response().body, b"awake\n");
    }
    client.shut_down();
}

pub(crate) fn an_abort_closes_and_the_process_is_free_again(subject: &mut Subject) {
    let mut client = Loop::new(subject.plain());
    for _ in 0..3 {
        let before = client.client.stats().counters.bytes_sent;
        let tag = client.submit(subject.get("/slow?ms=200"));
        client.run_until("the request on its way", |it| {
            it.client.stats().counters.bytes_sent > before
        });
        client.abort(tag);
        let aborted = client.finish(tag);
        assert_eq!(aborted.failure().error, RequestError::Aborted);
        assert_eq!(aborted.failure().delivery, Delivery::MaybeProcessed);
        let next = client.call(subject.get("/slow?ms=1"));
        assert_eq!(next.response().body, b"awake\n");
    }
    let stats = client.shut_down();
    assert_eq!(stats.counters.closed_for(CloseReason::Aborted), 3);
}

pub(crate) fn an_early_answer_is_whole_and_costs_the_connection(subject: &mut Subject) {
    let mut client = Loop::new(subject.plain());
    for number in 1..4 {
        let request = subject.post("/early", Body::pushed(Some(100_000)));
        let tag = client.submit(request);
        client
            .push(tag, &[b'x'; 10])
            .expect("a request in progress");
        let early = client.finish(tag);
        assert_eq!(early.response().body, b"early\n");
        let stats = client.client.stats();
        assert_eq!(stats.connections.idle, 0);
        assert_eq!(stats.counters.closed_for(CloseReason::EarlyEnd), number);
    }
    client.shut_down();
    // While the response is being written, if the system's buffers do not take all of it.
    for _ in 0..3 {
        let mut client = Loop::new(subject.plain());
        let large = subject.post("/early", Body::bytes(vec![b'x'; 8 << 20]));
        assert_eq!(client.call(large).response().body, b"early\n");
        client.shut_down();
    }
}

pub(crate) fn an_idle_connection_is_closed_in_time(subject: &mut Subject) {
    let mut config = subject.plain();
    config.limits.idle_timeout = Duration::from_millis(100);
    let mut client = Loop::new(config);
    client.call(subject.get("/slow?ms=1")).response();
    assert_eq!(client.client.stats().connections.idle, 1);
    client.run_until("the idle connection's end", |it| it.client.is_idle());
    // If the connection had stayed open, a single process would not turn to another client.
    let mut other = Loop::new(subject.plain());
    other.call(subject.get("/slow?ms=1")).response();
    other.shut_down();
    let stats = client.shut_down();
    assert_eq!(stats.counters.closed_for(CloseReason::IdleTimeout), 1);
}

pub(crate) fn without_kept_connections_each_request_has_one_of_its_own(subject: &mut Subject) {
    let mut config = subject.plain();
    config.keep_connections = false;
    let mut client = Loop::new(config);
    for _ in 0..20 {
        client.submit(subject.get("/slow?ms=1"));
    }
    for (_, exchange) in client.finish_all() {
        assert_eq!(exchange.response().body, b"awake\n");
    }
    let stats = client.shut_down();
    assert_eq!(stats.counters.connected, 20);
    assert_eq!(stats.counters.closed_for(CloseReason::KeepAliveOff), 20);
}

pub(crate) fn a_restart_between_requests_is_not_noticed(subject: &mut Subject) {
    let mut client = Loop::new(subject.config());
    for _ in 0..3 {
        let answer = client.call(subject.get("/slow?ms=1"));
        assert_eq!(answer.response().body, b"awake\n");
        subject.app.restart();
    }
    client.shut_down();
}

/// What the application says about itself.
pub(crate) fn values(client: &mut Loop) -> ServerValues {
    let tag = client.get_values();
    let exchange = client.finish(tag);
    exchange.completion();
    exchange.values.expect("Values come before the end")
}
