//! Tests of the harness itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::process::{Process, command, is_alive};
use super::{App, Listen, PhpFpm, Program, Request, Transport, echo_of, pattern};

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_panic_leaves_no_process_and_no_file_behind() {
    let seen = Mutex::new(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let fpm = PhpFpm::builder().max_children(3).start();
        let Listen::Unix(socket) = fpm.listen() else {
            panic!("a Unix socket was asked for");
        };
        let directory = socket
            .parent()
            .expect("a file is in a directory")
            .to_owned();
        let processes = [vec![fpm.pid()], fpm.workers()].concat();
        assert!(processes.iter().all(|pid| is_alive(*pid)));
        *seen.lock().expect("nobody else locks") = Some((directory, processes));
        panic!("as a failing test does");
    }));
    assert!(outcome.is_err());
    let (directory, processes) = seen
        .into_inner()
        .expect("nobody else locks")
        .expect("it ran");
    assert_eq!(processes.len(), 4);
    for pid in processes {
        assert!(!is_alive(pid), "{pid} is still there");
    }
    assert!(!directory.exists());
}

#[test]
#[ignore = "needs libfcgi; run tests/run"]
fn a_killed_application_refuses_connections_until_it_is_restarted() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let mut app = App::start(Program::LibFcgi { workers: 2 }, transport);
        let (listen, first) = (app.listen().clone(), app.pid());
        app.kill();
        let error = Request::get("/early")
            .send(&listen)
            .expect_err("nobody listens");
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionRefused,
            "{error}"
        );
        app.restart();
        assert_eq!(*app.listen(), listen);
        assert_ne!(app.pid(), first);
        let response = Request::get("/early")
            .send(&listen)
            .expect("it listens again");
        assert_eq!(response.text(), "early\n");
    }
}

#[test]
#[ignore = "needs setpriv; run tests/run"]
fn a_program_that_ends_early_is_reported_with_its_log() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut failing = command("sh");
    failing.args(["-c", "echo no such luck; exit 3"]);
    let mut process = Process::start(failing, &directory.path().join("log"));
    let why = process.wait_for_log("ready").expect_err("it never says so");
    assert!(why.contains("no such luck"), "{why}");
    assert!(why.contains("exit status: 3"), "{why}");
}

#[test]
fn the_hash_is_fnv_1a() {
    // The test vectors of draft-eastlake-fnv, appendix C.
    assert_eq!(echo_of(b""), "length=0\nfnv1a64=cbf29ce484222325\n");
    assert_eq!(echo_of(b"foobar"), "length=6\nfnv1a64=85944171f73967e8\n");
}

#[test]
fn the_pattern_starts_at_its_seed_and_wraps_at_251() {
    assert_eq!(pattern(249, 4), [249, 250, 0, 1]);
    assert_eq!(pattern(252, 1), [1]);
}
