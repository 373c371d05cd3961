//! The process: its signals, its user, its limit of descriptors.

use std::process::Command;

use rustix::process::{Signal, geteuid};
use tempfile::NamedTempFile;

use super::harness::{Proxy, get, post, run};
use crate::program::example;

// edge: SIGHUP, SIGUSR1, SIGUSR2 | a line; clients are served on
#[test]
fn other_signals_stop_nothing() {
    let arguments = ["--threads", "2", "--status", "--buffer-request", "off"];
    let mut proxy = Proxy::start(&arguments);
    let mut kept = proxy.connect();
    kept.send(get("/tag?tag=a"));
    assert_eq!(kept.answer().text(), "a");
    let mut busy = proxy.connect();
    let request = post("/form", b"name=a");
    busy.send(&request[..request.len() - 1]);
    proxy.wait_for_figure("requests.in_flight", 1);
    for (signal, line) in [
        (Signal::HUP, "SIGHUP: going on"),
        (Signal::USR1, "SIGUSR1 and SIGUSR2 are ignored"),
        (Signal::USR2, "SIGUSR1 and SIGUSR2 are ignored"),
    ] {
        proxy.signal(signal);
        proxy.wait_for_log(line);
    }
    busy.send(&request[request.len() - 1..]);
    assert_eq!(busy.answer().status, 200);
    kept.send(get("/tag?tag=b"));
    assert_eq!(kept.answer().text(), "b");
    proxy.terminate();
    assert!(proxy.wait().success());
}

/// Runs the proxy as this user, and as root if this test does.
// case 181
// edge: started as root | a line that says what to do, unless `--user` names another one
#[test]
fn a_proxy_of_root_says_so_or_becomes_another_user() {
    let proxy = Proxy::start(&[]);
    let is_root = geteuid().is_root();
    assert_eq!(proxy.get("/tag?tag=a").text(), "a");
    assert_eq!(proxy.log().contains("running as root"), is_root);
    if is_root {
        let proxy = Proxy::start(&["--user", "nobody", "--threads", "2"]);
        assert_eq!(proxy.get("/tag?tag=a").text(), "a");
        assert!(!proxy.log().contains("running as root"), "{}", proxy.log());
        for entry in std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).expect("it lives") {
            let path = entry.expect("a thread").path().join("status");
            let status = std::fs::read_to_string(path).expect("it lives");
            let of = |name| status.lines().find(|line| line.starts_with(name));
            let ids = [of("Uid:"), of("Gid:"), of("Groups:")].map(|line| line.expect("a line"));
            for line in ids {
                assert!(
                    line.split_whitespace().skip(1).all(|id| id != "0"),
                    "{line}"
                );
            }
        }
    }
    let output = run(&["--user", "no such user"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("--user no such user: "), "{said}");
}

/// Starts the proxy from a shell with a limit of open files.
fn limited(files: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {files}; exec \"$@\"");
    command.args(["-c", &script, "sh"]);
    command.arg(example("proxy").get_program()).args(arguments);
    command
}

// edge: `ulimit -n 64` | serves fewer clients at a time, and says so
#[test]
fn with_few_descriptors_it_serves_fewer_clients() {
    let proxy = Proxy::launch(limited(64, &["--no-access-log"]));
    let log = proxy.log();
    let said = log
        .lines()
        .find(|line| line.contains("allows 64 open files"));
    let said = said.expect("a line");
    let words = said.split("serving ").nth(1).expect("a number");
    let most: usize = words
        .split(' ')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    assert!(most >= 8, "{said}");
    // As many as it said are connected, and more than that are served one after the other.
    let mut clients: Vec<_> = (0..most).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send(get("/tag?tag=a"));
        assert_eq!(client.answer().text(), "a");
    }
    drop(clients);
    for _ in 0..2 * most {
        assert_eq!(proxy.get("/tag?tag=a").text(), "a");
    }
    assert_eq!(
        proxy
            .log()
            .lines()
            .filter(|line| line.contains("paused"))
            .count(),
        0
    );
}

#[test]
fn with_too_few_descriptors_it_says_what_to_do() {
    let log = NamedTempFile::new().expect("a file");
    let mut command = limited(30, &["--listen", "127.0.0.1:0"]);
    command.stderr(log.reopen().expect("the same file"));
    let status = command.status().expect("a shell");
    let said = std::fs::read_to_string(log.path()).expect("the log");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("lower --max-conns or --threads"), "{said}");
}
