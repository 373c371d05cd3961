//! Python's flup: one request at a time on a connection, or multiplexing with `multiplexed=True`.

use mio_fcgi::{Config, Multiplex, RequestError, Tag};

use crate::common::{behaviours, values};
use crate::harness::client::{Loop, get, is_pattern, post};
use crate::harness::{App, Program, Request, TIME_LIMIT, Transport, echo_of, pattern};

#[test]
#[ignore = "needs flup; run tests/run"]
fn the_plain_script_answers_on_each_of_its_paths() {
    for transport in [Transport::Unix, Transport::Tcp] {
        answers_on_each_path(&App::start(Program::Flup, transport));
    }
}

#[test]
#[ignore = "needs flup; run tests/run"]
fn the_multiplexing_script_answers_on_each_of_its_paths() {
    for transport in [Transport::Unix, Transport::Tcp] {
        answers_on_each_path(&App::start(Program::FlupMultiplexed, transport));
    }
}

fn answers_on_each_path(app: &App) {
    let send = |request: Request| request.send(app.listen()).expect("an answer");
    let body = pattern(7, 100_000);
    assert_eq!(
        send(Request::post("/echo", body)).text(),
        echo_of(&pattern(7, 100_000))
    );
    assert!(send(Request::get("/tag?tag=300&delay=5&size=1000")).body() == pattern(300, 1000));
    assert_eq!(
        send(Request::post("/early", vec![b'x'; 100])).text(),
        "early\n"
    );
    let stderr = send(Request::get("/stderr"));
    assert_eq!(
        (stderr.text(), &*stderr.stderr),
        ("answered\n", &b"a line for the error log\n"[..])
    );
    assert_eq!(send(Request::get("/slow?ms=5")).text(), "awake\n");
    assert_eq!(
        send(Request::get("/nothing")).field("Status"),
        Some("404 Not Found")
    );
}

mod plain {
    use super::{Program, behaviours};

    behaviours!(
        "needs flup; run tests/run",
        Program::Flup,
        gets_and_posts_are_answered,
        stderr_is_kept_apart,
        auto_finds_out_that_it_does_not_multiplex,
        more_requests_than_processes_are_all_answered,
        an_abort_closes_and_the_process_is_free_again,
        an_early_answer_is_whole_and_costs_the_connection,
        an_idle_connection_is_closed_in_time,
        without_kept_connections_each_request_has_one_of_its_own,
        a_restart_between_requests_is_not_noticed,
    );
}

mod multiplexed {
    use super::{Program, behaviours};

    // Its answer to FCGI_GET_VALUES is empty all the same.
    behaviours!(
        "needs flup; run tests/run",
        Program::FlupMultiplexed,
        gets_and_posts_are_answered,
        stderr_is_kept_apart,
        auto_finds_out_that_it_does_not_multiplex,
        more_requests_than_processes_are_all_answered,
        an_abort_closes_and_the_process_is_free_again,
        an_early_answer_is_whole_and_costs_the_connection,
        an_idle_connection_is_closed_in_time,
        without_kept_connections_each_request_has_one_of_its_own,
        a_restart_between_requests_is_not_noticed,
    );
}

#[test]
#[ignore = "needs flup; run tests/run"]
fn it_says_nothing_of_itself() {
    for program in [Program::Flup, Program::FlupMultiplexed] {
        let app = App::start(program, Transport::Unix);
        let mut client = Loop::to(app.listen());
        let values = values(&mut client);
        assert_eq!(values.multiplexes, None);
        assert_eq!((values.max_conns, values.max_reqs), (None, None));
        client.shut_down();
    }
}

#[test]
#[ignore = "needs flup; run tests/run"]
fn requests_share_a_connection_where_the_embedder_knows_that_it_multiplexes() {
    const COUNT: usize = 100;
    for transport in [Transport::Unix, Transport::Tcp] {
        let app = App::start(Program::FlupMultiplexed, transport);
        let mut client = Loop::new(shared(&app));
        for tag in 0..COUNT {
            let (size, delay) = (tag * 31, 50 + tag * 7 % 100);
            client.submit(get(&format!("/tag?tag={tag}&size={size}&delay={delay}")));
        }
        let body = pattern(1, 50_000);
        let posts: Vec<_> = (0..10)
            .map(|_| client.submit(post("/echo", body.clone())))
            .collect();
        for tag in posts {
            let answer = client.finish(tag).response().body;
            assert_eq!(answer, echo_of(&body).as_bytes());
        }
        for (Tag(tag), exchange) in client.finish_all() {
            let response = exchange.response();
            assert_eq!(response.body.len(), tag as usize * 31);
            assert!(is_pattern(tag as usize, &response.body));
        }
        assert_eq!(client.peak().active, COUNT + 10);
        assert_eq!(client.shut_down().counters.connected, 1);
    }
}

#[test]
#[ignore = "needs flup; run tests/run"]
fn an_abort_on_a_shared_connection_leaves_the_neighbours_alone() {
    let app = App::start(Program::FlupMultiplexed, Transport::Unix);
    let mut client = Loop::new(shared(&app));
    let neighbours: Vec<_> = (0..10)
        .map(|tag| client.submit(get(&format!("/tag?tag={tag}&size=1000&delay=300"))))
        .collect();
    // Its handler has begun long before its end.
    let aborted = client.submit(get("/slow?ms=1000"));
    client.run_for(std::time::Duration::from_millis(50));
    client.abort(aborted);
    let aborted = client.finish(aborted);
    assert_eq!(aborted.failure().error, RequestError::Aborted);
    // Its late output must not get into these.
    for tag in 0..30 {
        let body = client.call(get(&format!("/tag?tag={tag}&size=100&delay=40")));
        assert!(is_pattern(tag, &body.response().body));
    }
    for (tag, neighbour) in neighbours.into_iter().enumerate() {
        let body = client.finish(neighbour).response().body;
        assert!(body.len() == 1000 && is_pattern(tag, &body));
    }
    let stats = client.shut_down();
    assert_eq!(stats.counters.connected, 1);
    assert_eq!(stats.counters.protocol_errors, 0);
}

fn shared(app: &App) -> Config {
    let mut config = Config::new(app.listen().address());
    config.multiplex = Multiplex::On { max: 1000 };
    config.limits.max_connections_per_server = 1;
    // A busy application may end an aborted request late.
    config.abort_grace = TIME_LIMIT;
    config
}
