//! Several php-fpm: requests that name one of them, and checks that find a dead one before a request does.

use std::time::{Duration, Instant};

use mio_fcgi::{Config, Multiplex, Request, ServerId, ServerInfo, ServerMode};

use super::get;
use crate::harness::client::{self, Loop};
use crate::harness::{PhpFpm, echo_of};

fn config(pools: &[PhpFpm]) -> Config {
    let mut config = Config::from_servers(pools.iter().map(|it| it.listen().address()));
    config.multiplex = Multiplex::Off;
    config
}

/// Many requests that name no server, and are not waited for.
fn submit_load(client: &mut Loop) {
    for _ in 0..30 {
        client.submit(get("sleep.php", "/sleep.php?ms=5"));
    }
}

/// Sends each server a request that names it. Returns the bodies of the answers, in the order of the servers.
fn ask_each(client: &mut Loop, request: impl Fn() -> Request) -> Vec<String> {
    let servers = client.client.servers(Instant::now());
    let mut servers: Vec<ServerId> = servers.map(|it| it.server).collect();
    servers.sort_unstable();
    let mut submitted = Vec::new();
    for server in servers {
        submitted.push((client.submit(request().with_server(server)), server));
    }
    let mut bodies = Vec::new();
    for (tag, server) in submitted {
        let exchange = client.finish(tag);
        assert_eq!(exchange.completion().report.server, Some(server));
        bodies.push(String::from_utf8_lossy(&exchange.response().body).into_owned());
    }
    bodies
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn each_of_three_pools_is_told_and_asked_by_itself_under_load() {
    // One child each, and one connection: what names a server has to wait for it.
    let names = ["red", "green", "blue"];
    let start = |name| PhpFpm::builder().system_ini().env("POOL", name).start();
    let pools = names.map(start);
    let mut config = config(&pools);
    config.limits.max_connections_per_server = 1;
    config.limits.max_idle_per_server = 1;
    let mut client = Loop::new(config);
    let reset = || get("opcache.php", "/opcache.php?reset=1");
    // PHP does a reset at the beginning of a later request.
    let wait_for_resets = |client: &mut Loop, expected: [&str; 3]| {
        let expected = names
            .iter()
            .zip(expected)
            .map(|(name, count)| format!("{name} {count}\n"));
        let expected: Vec<String> = expected.collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let seen = ask_each(client, || get("opcache.php", "/opcache.php"));
            if seen == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{seen:?}, not {expected:?}");
        }
    };

    submit_load(&mut client);
    wait_for_resets(&mut client, ["0", "0", "0"]);
    let green = client.call(reset().with_server(ServerId::new(1)));
    assert_eq!(green.response().body, b"green reset\n");
    wait_for_resets(&mut client, ["0", "1", "0"]);

    // All of them, while one is in maintenance: nothing but what names it goes there.
    let mut servers = client.client.config().servers.clone();
    servers[2].mode = ServerMode::Draining;
    let set = client.client.set_servers(Instant::now(), servers);
    set.expect("a valid list");
    client.finish_all();
    submit_load(&mut client);
    let told = ask_each(&mut client, reset);
    assert_eq!(told, ["red reset\n", "green reset\n", "blue reset\n"]);
    wait_for_resets(&mut client, ["1", "2", "1"]);
    let status = || client::get("/status").param("SCRIPT_FILENAME", "/status");
    for status in ask_each(&mut client, status) {
        assert!(status.starts_with("pool:"), "{status}");
    }
    let load = client.finish_all();
    assert_eq!(load.len(), 30);
    let blue = Some(ServerId::new(2));
    assert!(
        load.iter()
            .all(|(_, it)| it.completion().report.server != blue)
    );
    let stats = client.shut_down();
    assert_eq!((stats.counters.failed, stats.counters.retries), (0, 0));
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_stopped_php_fpm_is_found_by_a_check_before_a_request_finds_it_and_is_found_again() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let builder = builder.max_children(10);
        let mut pools = [(); 2].map(|()| builder.start());
        let mut client = checked(&pools);
        client.run_until("the first checks", |it| {
            it.client.stats().counters.connected >= 2
        });

        pools[0].stop();
        wait_for(&mut client, |first| first.connect_error.is_some());
        assert_eq!(client.client.stats().counters.submitted, 0);
        let dead = client.client.stats().counters.connect_failures;
        all_go_to_the_second(&mut client);
        let after = client.client.stats().counters.connect_failures;
        println!("{dead} connects failed before the requests, {after} after them");

        pools[0].restart();
        wait_for(&mut client, |first| first.connect_error.is_none());
        assert_eq!(first(&client).assigned, 0, "no request has tried it");
        let both = answer(&mut client);
        assert!(both.contains(&ServerId::new(0)) && both.contains(&ServerId::new(1)));
        let stats = client.shut_down();
        assert_eq!((stats.counters.failed, stats.counters.retries), (0, 0));
    }
}

fn checked(pools: &[PhpFpm]) -> Loop {
    let mut config = config(pools);
    config.check_interval = Some(Duration::from_millis(100));
    Loop::new(config)
}

fn first(client: &Loop) -> ServerInfo<'_> {
    let mut servers = client.client.servers(Instant::now());
    let first = servers.find(|it| it.server == ServerId::new(0));
    first.expect("it is in the list")
}

fn wait_for(client: &mut Loop, is_so: impl Fn(ServerInfo<'_>) -> bool) {
    client.run_until("what a check finds", |it| is_so(first(it)));
    println!("{}", first(client));
}

/// Sends some requests. Returns the servers that have answered.
fn answer(client: &mut Loop) -> Vec<ServerId> {
    for _ in 0..8 {
        client.submit(get("echo.php", "/echo.php"));
    }
    let all = client.finish_all();
    let server = |exchange: &client::Exchange| exchange.completion().report.server;
    let servers = all.iter().filter_map(|(_, it)| server(it)).collect();
    for (_, exchange) in all {
        assert_eq!(exchange.response().body, echo_of(b"").as_bytes());
    }
    servers
}

fn all_go_to_the_second(client: &mut Loop) {
    for _ in 0..5 {
        let servers = answer(client);
        assert_eq!(servers, [ServerId::new(1); 8]);
    }
}
