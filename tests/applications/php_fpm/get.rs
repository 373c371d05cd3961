//! The program `get` with PHP scripts.

use crate::harness::{PhpFpm, echo_of, pattern};
use crate::program::{Ended, example, run};

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn it_shows_what_a_script_answers() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.start();
        let body = pattern(3, 300_000);
        let bytes = "CONTENT_TYPE=application/octet-stream";
        let echoed = get(
            &fpm,
            &["--script", &script("echo"), "--data", "-", "--param", bytes],
            &body,
        );
        echoed.succeeded();
        assert_eq!(echoed.text(), echo_of(&body));

        let uri = "/headers.php?kind=cookies";
        let head = get(
            &fpm,
            &["--script", &script("headers"), "--uri", uri, "-i"],
            b"",
        );
        head.succeeded();
        assert!(head.text().starts_with("Status: 200\r\n"), "{head:?}");
        let cookies = "Set-Cookie: first=1; Path=/\r\nSet-Cookie: second=2; Path=/\r\n";
        assert!(head.text().contains(cookies), "{head:?}");

        let values = get(&fpm, &["--values"], b"");
        values.succeeded();
        assert_eq!(values.text(), "FCGI_MPXS_CONNS=0\n");

        let status = get(&fpm, &["--script", "/status"], b"");
        status.succeeded();
        assert!(status.text().contains("accepted conn:"), "{status:?}");
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn it_tells_a_script_that_is_not_there_or_breaks() {
    let fpm = PhpFpm::builder().start();
    let nowhere = get(&fpm, &["--script", "/nowhere/x.php"], b"");
    assert_eq!(nowhere.status, Some(22), "a page was shown");
    assert_eq!(nowhere.text(), "File not found.\n");
    assert_eq!(
        nowhere.stderr,
        format!(
            "Primary script unknown\n\
             get: {}: the application answered 404 Not Found; it was asked to run /nowhere/x.php\n",
            fpm.listen()
        )
    );
    let nowhere = get(&fpm, &["--script", "/nowhere/x.php", "--fail"], b"");
    assert_eq!((nowhere.status, nowhere.text().as_str()), (Some(22), ""));

    let fatal = get(&fpm, &["--script", &script("fatal")], b"");
    assert_eq!(fatal.status, Some(22));
    for words in [
        "this_function_does_not_exist",
        "the application answered 500",
    ] {
        assert!(fatal.stderr.contains(words), "{fatal:?}");
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn it_tells_a_response_that_is_late_cut_short_or_missing() {
    let mut fpm = PhpFpm::builder().start();
    let killed = get(&fpm, &["--script", &script("kill")], b"");
    killed.failed(18, &["cut short after 1000 bytes"]);
    assert_eq!(killed.stdout.len(), 1000);

    let uri = "/sleep.php?ms=20000";
    let slow = get(
        &fpm,
        &[
            "--script",
            &script("sleep"),
            "--uri",
            uri,
            "--timeout",
            "0.5",
        ],
        b"",
    );
    slow.failed(28, &["no response in time"]);

    assert!(fpm.stop().success());
    let stopped = get(&fpm, &["--script", "/x.php"], b"");
    assert_eq!(stopped.status, Some(7), "{stopped:?}");
}

fn script(name: &str) -> String {
    PhpFpm::script(&format!("{name}.php"))
}

fn get(fpm: &PhpFpm, arguments: &[&str], stdin: &[u8]) -> Ended {
    let mut command = example("get");
    command.args(["--connect", &fpm.listen().to_string()]);
    run(command.args(arguments), stdin)
}
