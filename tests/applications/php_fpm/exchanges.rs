//! One request after the other: parameters, bodies, heads, errors, and what `blocking::call` makes of them.

use std::time::Duration;

use mio_fcgi::cgi::{
    Completeness, Env, HeadError, HeadParser, Resolution, ResponseError, ScriptMap,
};
use mio_fcgi::{Body, Config, Request, RequestError, SubmitError, Tag, TimeoutKind, blocking};

use super::{get, post, script};
use crate::harness::client::{Loop, is_pattern, post_with};
use crate::harness::{PhpFpm, TIME_LIMIT, echo_of, pattern, source};

// case 75
#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn bodies_of_every_size_arrive_over_unix_and_tcp() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.start();
        let mut client = Loop::to(fpm.listen());
        let sizes = [
            0,
            1,
            65_527,
            65_528,
            65_529,
            65_535,
            65_536,
            65_537,
            1 << 20,
        ];
        for size in sizes {
            let body = pattern(size, size);
            let exchange = client.call(post("echo.php", "/echo.php", body.clone()));
            assert_eq!(exchange.completion().app_status, 0);
            assert_eq!(exchange.stderr_text(), "");
            assert_eq!(exchange.response().body, echo_of(&body).as_bytes());
        }
        let none = client.call(get("echo.php", "/echo.php"));
        assert_eq!(none.response().body, echo_of(b"").as_bytes());
        let stats = client.shut_down();
        assert_eq!(stats.counters.reused, sizes.len() as u64);
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_body_may_be_read_or_pushed() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let body = pattern(9, 700_000);
    let len = Some(body.len() as u64);
    let bytes = std::io::Cursor::new(body.clone());
    for request in [
        post_with("/echo.php", Body::reader(bytes.clone(), len)),
        post_with("/echo.php", Body::seekable(bytes, len)),
        post_with("/echo.php", Body::shared(body.clone().into())),
    ] {
        let answer = client.call(script(request, "echo.php")).response();
        assert_eq!(answer.body, echo_of(&body).as_bytes());
    }
    let pushed = script(post_with("/echo.php", Body::pushed(len)), "echo.php");
    let tag = client.submit(pushed);
    for piece in body.chunks(100_001) {
        client.push(tag, piece).expect("a request in progress");
    }
    client.finish_stdin(tag).expect("all was written");
    assert_eq!(
        client.finish(tag).response().body,
        echo_of(&body).as_bytes()
    );
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_response_of_16_mib_is_whole_over_unix_and_tcp() {
    const LEN: usize = 16 << 20;
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.start();
        let mut client = Loop::to(fpm.listen());
        let uri = format!("/big.php?size={LEN}&seed=5");
        let answer = client.call(get("big.php", &uri)).response();
        assert_eq!(
            (answer.content_length, answer.body.len()),
            (Some(LEN as u64), LEN)
        );
        assert!(is_pattern(5, &answer.body));
        client.shut_down();
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_paused_response_goes_on_when_it_is_resumed() {
    const LEN: usize = 4 << 20;
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let uri = format!("/big.php?size={LEN}&seed=6");
    let tag = client.submit(get("big.php", &uri));
    for received in [1, 1 << 20, 3 << 20] {
        client.run_until("some output", |it| {
            it.exchange(tag).stdout.len() >= received
        });
        client.pause(tag);
        client.run_for(Duration::from_millis(100));
        client.resume(tag);
    }
    let answer = client.finish(tag).response();
    assert!(answer.body.len() == LEN && is_pattern(6, &answer.body));
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn errors_go_to_stderr_beside_the_response() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let noisy = client.call(get("stderr.php", "/stderr.php?lines=3"));
    for line in 0..3 {
        let text = format!("line {line} for the error log");
        assert!(noisy.stderr_text().contains(&text));
    }
    assert_eq!(noisy.response().body, b"answered\n");

    let missing = client.call(get("no-such.php", "/no-such.php"));
    assert!(missing.stderr_text().contains("Primary script unknown"));
    assert_eq!(missing.response().status, 404);

    let fatal = client.call(get("fatal.php", "/fatal.php"));
    assert!(fatal.stderr_text().contains("this_function_does_not_exist"));
    assert_eq!(fatal.response().status, 500);

    let late = client.call(get("fatal.php", "/fatal.php?late=1"));
    assert!(late.stderr_text().contains("this_function_does_not_exist"));
    let late = late.response();
    assert_eq!(
        (late.status, &*late.body),
        (200, &b"before the error\n"[..])
    );
    client.shut_down();
}

// case 71
#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn parameters_of_300_kilobytes_arrive_in_whole_pairs() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let mut request = get("params.php", "/params.php");
    let value = |number: usize| format!("{number:03}").repeat(333);
    for number in 0..300 {
        request.params.push(format!("X_{number:03}"), value(number));
    }
    request
        .params
        .push("X_TWICE", "first")
        .push("X_TWICE", "last");
    let text = String::from_utf8(client.call(request).response().body).expect("JSON");
    let mut places = Vec::new();
    for number in 0..300 {
        let pair = format!(r#""X_{number:03}":"{}""#, value(number));
        places.push(text.find(&pair).unwrap_or_else(|| panic!("no {pair}")));
    }
    // PHP keeps them in a list that grows at its front.
    assert!(places.iter().rev().is_sorted(), "out of order");
    assert!(text.contains(r#""X_TWICE":"last""#));
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_pair_may_fill_a_record_but_not_exceed_it() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    // Four bytes for the length of the value, one for that of the name.
    let longest = 65_535 - 5 - "X_LONG".len();
    let value = "v".repeat(longest);
    let request = get("params.php", "/params.php").param("X_LONG", &value);
    let answer = client.call(request).response().body;
    let text = String::from_utf8(answer).expect("JSON");
    assert!(text.contains(&format!(r#""X_LONG":"{value}""#)));

    let request = get("params.php", "/params.php").param("X_LONG", value + "v");
    let refused = client
        .client
        .submit(std::time::Instant::now(), request, Tag(0));
    assert_eq!(
        refused.map_err(SubmitError::from),
        Err(SubmitError::PairTooLarge {
            len: 65_536,
            limit: 65_535
        })
    );
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_request_built_by_cgi_runs_the_script_with_path_info_and_cookies() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let map = ScriptMap::local(source("php")).expect("the directory is there");
    let target = b"/params.php/some/info?a=b";
    let Resolution::Script(found) = map.resolve(target) else {
        panic!("{:?}", map.resolve(target));
    };
    let fields = [
        (&b"Host"[..], &b"example.org"[..]),
        (b"Cookie", b"a=1"),
        (b"Cookie", b"b=2"),
        (b"X-Thing", b"blue"),
        (b"Proxy", b"http://evil.example"),
    ];
    let mut request = Request::responder();
    Env::new(b"GET", target, fields.into_iter(), &found)
        .with_remote(([192, 0, 2, 1], 49152).into())
        .write_to(&mut request.params)
        .expect("a well-formed request");
    let answer = client.call(request).response();
    assert_eq!(answer.get("Content-Type"), Some(&b"application/json"[..]));
    let text = String::from_utf8(answer.body).expect("JSON");
    for pair in [
        r#""PATH_INFO":"/some/info""#,
        r#""SCRIPT_NAME":"/params.php""#,
        r#""QUERY_STRING":"a=b""#,
        r#""REQUEST_URI":"/params.php/some/info?a=b""#,
        r#""HTTP_COOKIE":"a=1; b=2""#,
        r#""HTTP_X_THING":"blue""#,
        r#""REMOTE_ADDR":"192.0.2.1""#,
        r#""SERVER_NAME":"example.org""#,
    ] {
        assert!(text.contains(pair), "no {pair} in {text}");
    }
    assert!(!text.contains("HTTP_PROXY"));
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn heads_keep_repeated_fields_and_their_order() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let exchange = client.call(get("headers.php", "/headers.php?kind=cookies"));
    let mut parser = HeadParser::default();
    let (head, _) = parser
        .push(&exchange.stdout)
        .expect("a head")
        .expect("a whole head");
    let cookies: Vec<_> = head
        .fields()
        .filter(|field| field.0 == b"Set-Cookie")
        .map(|field| field.1)
        .collect();
    let expected = [&b"first=1; Path=/"[..], b"second=2; Path=/"];
    assert_eq!(cookies, expected);
    let answer = exchange.response();
    assert_eq!(answer.get_all("set-cookie").collect::<Vec<_>>(), expected);

    let status = |client: &mut Loop, kind: &str| {
        let uri = format!("/headers.php?kind={kind}");
        client.call(get("headers.php", &uri)).response()
    };
    assert_eq!(status(&mut client, "status&code=418").status, 418);
    assert_eq!(status(&mut client, "location").status, 302);
    assert_eq!(status(&mut client, "many&count=150").fields.len(), 152);
    let long = status(&mut client, "long&size=20000");
    assert_eq!(long.get("X-Long").map(<[u8]>::len), Some(20_000));
    let none = client.call(get("headers.php", "/headers.php?kind=none"));
    assert_eq!(
        HeadParser::default().push(&none.stdout).err(),
        Some(HeadError::Empty)
    );
    let empty = status(&mut client, "empty");
    assert_eq!((empty.status, empty.body.len()), (204, 0));
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn pieces_come_as_they_are_flushed() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    // The second piece comes later than a loop waits for the first.
    let tag = client.submit(get("slow.php", "/slow.php?chunks=2&ms=600000"));
    client.run_until("the first piece", |it| {
        it.exchange(tag).stdout.ends_with(b"chunk 0\n")
    });
    assert!(client.exchange(tag).outcome.is_none());
    client.abort(tag);
    client.finish(tag);
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_blocking_call_gives_the_response_or_says_why_not() {
    const LIMIT: Duration = TIME_LIMIT;
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.max_children(2).start();
        let address = fpm.listen().address();
        let body = pattern(4, 1 << 20);
        let posted = blocking::call(&address, post("echo.php", "/", body.clone()), LIMIT);
        let posted = posted.expect("a response");
        assert_eq!(posted.body, echo_of(&body).as_bytes());
        assert_eq!(posted.completeness, Completeness::Complete);

        let missing = blocking::call(&address, get("no-such.php", "/"), LIMIT);
        assert_eq!(missing.expect("a response").status, 404);

        let cut = blocking::call(&address, get("kill.php", "/kill.php?size=5000"), LIMIT);
        let cut = cut.expect_err("no end came");
        assert_eq!(cut.response_error(), Some(&ResponseError::Truncated));

        let short = Duration::from_millis(100);
        let slow = blocking::call(&address, get("sleep.php", "/?ms=5000"), short);
        let slow = slow.expect_err("it takes longer");
        let error = slow.response_error();
        assert!(matches!(error, Some(ResponseError::Failed(_))), "{slow}");
        assert!(slow.to_string().contains("timed out"), "{slow}");
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_pool_is_asked_whether_it_is_up_or_busy() {
    const SHORT: Duration = Duration::from_millis(200);
    let page = |path: &str| {
        Request::responder()
            .param("LINE", "\r\n\r\n")
            .param("REQUEST_METHOD", "GET")
            .param("SCRIPT_NAME", path)
            .param("SCRIPT_FILENAME", path)
    };
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.max_children(1).start();
        let address = fpm.listen().address();
        // A kept connection is a child in use.
        let mut client = Loop::to(fpm.listen());
        client.call(get("echo.php", "/echo.php")).response();
        let asked = blocking::get_values(&address, SHORT).expect_err("nobody is free");
        let why = asked.failure().map(|failure| failure.error.clone());
        assert_eq!(why, Some(RequestError::TimedOut(TimeoutKind::Probe)));
        let pinged = blocking::call(&address, page("/ping"), SHORT).expect_err("nobody is free");
        let why = pinged.failure().map(|failure| failure.error.clone());
        assert_eq!(why, Some(RequestError::TimedOut(TimeoutKind::Total)));
        client.shut_down();

        const LIMIT: Duration = TIME_LIMIT;
        let said = blocking::get_values(&address, LIMIT).expect("an answer");
        assert_eq!(said.multiplexes, Some(false));
        let pong = blocking::call(&address, page("/ping"), LIMIT).expect("a response");
        assert_eq!(pong.body, b"pong");
        let status = page("/status").param("QUERY_STRING", "json");
        let status = blocking::call(&address, status, LIMIT).expect("a response");
        assert!(status.body.starts_with(b"{\"pool\":"));
        let incomplete = Request::responder()
            .param("REQUEST_METHOD", "GET")
            .param("SCRIPT_FILENAME", "/ping");
        let incomplete = blocking::call(&address, incomplete, LIMIT).expect("a response");
        assert_eq!(incomplete.status, 404);
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_probe_says_that_it_does_not_multiplex() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::new(Config::new(fpm.listen().address()));
    assert_eq!(crate::common::values(&mut client).multiplexes, Some(false));
    client.shut_down();
}
