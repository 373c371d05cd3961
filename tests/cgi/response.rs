//! One exchange, collected: when the response is whole, when it is not, and what is kept of it then.

use std::io;

use mio_fcgi::cgi::{
    Collector, Completeness, HeadError, Incomplete, Response, ResponseError, ResponseLimits,
    has_body,
};
use mio_fcgi::{
    Completion, ConnectionLostReason, Delivery, Failure, Outcome, Params, Phase, Report,
    RequestError, TimeoutKind,
};

pub(super) fn ended() -> Outcome {
    Ok(Completion::new(0, Report::default()))
}

fn failed(error: RequestError) -> Outcome {
    Err(Failure::new(
        error,
        Phase::Receiving,
        Delivery::Responded,
        Report::default(),
    ))
}

fn closed() -> Outcome {
    failed(RequestError::ConnectionLost(ConnectionLostReason::Closed))
}

type Collected = Result<Response, Box<Incomplete>>;

fn collect_with(mut collector: Collector, stdout: &str, outcome: Outcome) -> Collected {
    // An error comes again from `finish`.
    let _ = collector.stdout(stdout.as_bytes());
    collector.finish(outcome)
}

fn collect(stdout: &str, outcome: Outcome) -> Collected {
    collect_with(Collector::default(), stdout, outcome)
}

/// The output with an empty `FCGI_STDOUT` record after it.
fn collect_ended(stdout: &str, outcome: Outcome) -> Collected {
    let mut collector = Collector::default();
    let _ = collector.stdout(stdout.as_bytes());
    collector.stdout_end();
    collector.finish(outcome)
}

fn whole(collected: Collected, completeness: Completeness) -> Response {
    let response = collected.expect("a whole response");
    assert_eq!(response.completeness, completeness);
    response
}

fn error(collected: Collected) -> ResponseError {
    collected.expect_err("not a whole response").error
}

fn inconsistent(declared: u64, received: u64) -> ResponseError {
    ResponseError::LengthMismatch { declared, received }
}

// case 25
#[test]
fn an_end_without_output_is_an_empty_response() {
    let mut collector = Collector::default();
    collector.stderr(b"PHP Fatal error");
    let incomplete = collector.finish(ended()).expect_err("empty");
    assert_eq!(incomplete.error, ResponseError::Empty);
    assert_eq!(incomplete.stderr(), b"PHP Fatal error");
    assert_eq!(incomplete.response, None);
    assert_eq!(error(collect_ended("", ended())), ResponseError::Empty);
}

// case 26
#[test]
fn an_end_inside_a_head_is_a_truncated_head() {
    let incomplete = collect("Status: 200\r\nA", ended()).expect_err("truncated");
    assert_eq!(
        incomplete.error,
        ResponseError::Head(HeadError::Truncated { len: 14 })
    );
    assert_eq!(incomplete.stdout, b"Status: 200\r\nA", "nothing is lost");
}

// case 27
#[test]
fn a_connection_lost_inside_a_head_cuts_the_response() {
    let incomplete = collect("Status: 200\r\nA", closed()).expect_err("cut");
    assert_eq!(incomplete.error, ResponseError::Truncated);
    assert_eq!(incomplete.stdout, b"Status: 200\r\nA");
    assert_eq!(incomplete.outcome, closed());
}

// case 32
#[test]
fn a_local_redirect_is_kept_apart() {
    let response = whole(collect("Location: /x\n\n", ended()), Completeness::Complete);
    assert_eq!(response.status, 302);
    assert_eq!(response.local_redirect.as_deref(), Some(&b"/x"[..]));
}

// case 34
#[test]
fn interim_heads_come_before_the_final_one() {
    let bytes = "Status: 103\nLink: a\n\nStatus: 103\nLink: b\n\nStatus: 404\n\nbody";
    let response = whole(collect(bytes, ended()), Completeness::Complete);
    let links: Vec<&[u8]> = response
        .interim
        .iter()
        .map(|i| &i.fields[0].1[..])
        .collect();
    assert_eq!(links, [b"a", b"b"]);
    assert_eq!((response.status, &response.body[..]), (404, &b"body"[..]));
}

// case 37
#[test]
fn output_that_is_no_head_is_handed_back() {
    for pieces in [&["Hello, world\n"][..], &["Hello,", " world\n"]] {
        let mut collector = Collector::default();
        let results: Vec<_> = pieces
            .iter()
            .map(|p| collector.stdout(p.as_bytes()))
            .collect();
        let no_head = ResponseError::Head(HeadError::NoColon { line: 1 });
        assert_eq!(results.last(), Some(&Err(no_head.clone())));
        assert_eq!(collector.stdout(b"more"), Err(no_head.clone()));
        let incomplete = collector.finish(ended()).expect_err("no head");
        assert_eq!(incomplete.error, no_head);
        assert_eq!(incomplete.stdout, b"Hello, world\n");
    }
}

// case 38
#[test]
fn a_head_beyond_its_limit_is_refused_and_kept_up_to_it() {
    let mut limits = ResponseLimits::default();
    limits.head.max_len = 100;
    let bytes = format!("A: {}\n\n", "x".repeat(1000));
    let incomplete = collect_with(Collector::new(limits), &bytes, ended()).expect_err("large");
    assert_eq!(
        incomplete.error,
        ResponseError::Head(HeadError::TooLarge { limit: 100 })
    );
    assert_eq!(incomplete.stdout, &bytes.as_bytes()[..100]);
}

// case 39
#[test]
fn repeated_fields_are_found_in_order() {
    let bytes = "Set-Cookie: a\nA: b\nset-cookie: c\n\n";
    let response = whole(collect(bytes, ended()), Completeness::Complete);
    let cookies: Vec<&[u8]> = response.get_all("SET-COOKIE").collect();
    assert_eq!(cookies, [b"a", b"c"]);
    assert_eq!(response.get("a"), Some(&b"b"[..]));
    assert_eq!(response.get("b"), None);
}

// case 44
#[test]
fn a_transfer_encoding_is_taken_from_the_fields() {
    let bytes = "Transfer-Encoding: chunked\nA: b\n\n0\r\n\r\n";
    let response = whole(collect(bytes, ended()), Completeness::Complete);
    assert_eq!(response.transfer_encoding.as_deref(), Some(&b"chunked"[..]));
    assert_eq!(response.fields, [(b"A".to_vec(), b"b".to_vec())]);
    assert_eq!(response.body, b"0\r\n\r\n", "as it came");
}

// case 45
#[test]
fn a_body_that_does_not_belong_there_is_discarded() {
    for (method, status) in [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304)] {
        assert!(!has_body(method, status));
        let collector = Collector::default().with_method(method);
        let bytes = format!("Status: {status}\nContent-Length: 100\n\nbody");
        let response = whole(
            collect_with(collector, &bytes, ended()),
            Completeness::Complete,
        );
        assert_eq!((response.body.len(), response.stdout_discarded), (0, 4));
        assert_eq!(response.content_length, Some(100));
    }
    assert!(has_body("GET", 200) && has_body("head", 200) && has_body("POST", 404));
    assert!(!has_body("GET", 100) && !has_body("GET", 199));
}

// case 50
#[test]
fn a_response_that_has_no_body_is_whole_with_its_head() {
    for (method, bytes) in [
        ("HEAD", "Content-Length: 100\n\n"),
        ("HEAD", "A: b\n\n"),
        ("GET", "Status: 204\n\n"),
        ("GET", "Status: 304\nContent-Length: 100\n\n"),
    ] {
        let collector = Collector::default().with_method(method);
        let collected = collect_with(collector, bytes, closed());
        whole(collected, Completeness::LengthReached);
    }
}

// case 47
#[test]
fn any_cut_gives_the_same_response() {
    let bytes = b"Status: 103\n\nStatus: 404 No\r\nContent-Length: 4\r\n\r\nbody";
    let expected = {
        let mut collector = Collector::default();
        collector.stdout(bytes).expect("valid");
        collector.finish(ended())
    };
    assert_eq!(expected.as_ref().map(|r| r.status), Ok(404));
    for cut in 0..=bytes.len() {
        let mut collector = Collector::default();
        collector.stdout(&bytes[..cut]).expect("valid");
        collector.stdout(&bytes[cut..]).expect("valid");
        assert_eq!(collector.finish(ended()), expected, "cut at {cut}");
    }
}

// case 21
#[test]
fn output_after_its_end_is_counted_and_dropped() {
    let mut collector = Collector::default();
    collector.stdout(b"A: b\n\nbody").expect("valid");
    collector.stdout_end();
    collector.stdout(b"late").expect("no error");
    let response = whole(collector.finish(ended()), Completeness::Complete);
    assert_eq!(
        (&response.body[..], response.stdout_discarded),
        (&b"body"[..], 4)
    );
}

// case 48
#[test]
fn a_connection_lost_in_a_body_of_unknown_length_cuts_it() {
    for reason in [
        ConnectionLostReason::Closed,
        ConnectionLostReason::Io(io::ErrorKind::ConnectionReset),
    ] {
        let outcome = failed(RequestError::ConnectionLost(reason));
        let incomplete = collect("Status: 404\n\nbo", outcome).expect_err("cut");
        assert_eq!(incomplete.error, ResponseError::Truncated);
        let partial = incomplete.response.expect("a part");
        assert_eq!((partial.status, &partial.body[..]), (404, &b"bo"[..]));
        assert_eq!(partial.completeness, Completeness::Partial);
    }
}

// case 49
#[test]
fn a_connection_lost_after_the_output_is_flagged() {
    let response = whole(
        collect_ended("A: b\n\nbody", closed()),
        Completeness::StdoutEnded,
    );
    assert_eq!(
        (&response.body[..], response.outcome),
        (&b"body"[..], closed())
    );
    assert_eq!(
        error(collect_ended("Content-Length: 5\n\nbody", closed())),
        inconsistent(5, 4)
    );
}

// case 50
#[test]
fn a_connection_lost_after_the_declared_length_is_flagged() {
    let bytes = "Content-Length: 4\n\nbody";
    for error in [
        RequestError::ConnectionLost(ConnectionLostReason::Closed),
        RequestError::TimedOut(TimeoutKind::BetweenBytes),
        RequestError::ShutDown,
    ] {
        let response = whole(collect(bytes, failed(error)), Completeness::LengthReached);
        assert_eq!(response.body, b"body");
    }
    for refused in [RequestError::Aborted, RequestError::Overloaded] {
        let incomplete = collect(bytes, failed(refused.clone())).expect_err("failed");
        let told = matches!(&incomplete.error, ResponseError::Failed(it) if it.error == refused);
        assert!(told, "the failure is inside");
        assert_eq!(incomplete.response.expect("a part").body, b"body");
    }
}

// case 51
#[test]
fn a_connection_lost_before_the_declared_length_cuts_the_body() {
    assert_eq!(
        error(collect("Content-Length: 5\n\nbody", closed())),
        ResponseError::Truncated
    );
}

// case 52
#[test]
fn an_end_before_the_declared_length_is_inconsistent() {
    let incomplete = collect("Content-Length: 5\n\nbody", ended()).expect_err("short");
    assert_eq!(incomplete.error, inconsistent(5, 4));
    assert_eq!(incomplete.response.expect("a part").body, b"body");
    assert_eq!(
        error(collect("Content-Length: 5\n\n", ended())),
        inconsistent(5, 0)
    );
}

// case 53
#[test]
fn a_body_beyond_its_declared_length_is_inconsistent_and_its_excess_not_kept() {
    let mut collector = Collector::default();
    assert_eq!(collector.stdout(b"Content-Length: 4\n\nbo"), Ok(()));
    assert_eq!(collector.stdout(b"dyx"), Err(inconsistent(4, 5)));
    let incomplete = collector.finish(ended()).expect_err("long");
    assert_eq!(incomplete.error, inconsistent(4, 5));
    assert_eq!(incomplete.response.expect("a part").body, b"body");
}

// cases 55 to 57
#[test]
fn a_failure_before_any_output_stays_what_it_is() {
    let outcome = failed(RequestError::ConnectionLost(ConnectionLostReason::Closed));
    let incomplete = collect("", outcome.clone()).expect_err("failed");
    let failure = outcome.clone().expect_err("failed");
    assert_eq!(incomplete.error, ResponseError::Failed(failure.clone()));
    assert_eq!(incomplete.outcome, outcome);
    // The failure is told once.
    let text = format!("the request failed: {failure}");
    assert_eq!(incomplete.to_string(), text);
    assert_eq!(incomplete.error.to_string(), text);
}

// case 17
#[test]
fn an_application_status_decides_nothing() {
    let outcome = Ok(Completion::new(7, Report::default()));
    let response = whole(collect("A: b\n\n", outcome.clone()), Completeness::Complete);
    assert_eq!(response.outcome, outcome);
}

#[test]
fn a_body_beyond_the_limit_is_refused_as_soon_as_it_is_known() {
    let too_large = ResponseError::BodyTooLarge { limit: 10 };
    let mut limits = ResponseLimits::default();
    limits.max_body = 10;
    let mut collector = Collector::new(limits);
    assert_eq!(
        collector.stdout(b"Content-Length: 11\n\n"),
        Err(too_large.clone())
    );
    let mut collector = Collector::default().with_max_body(10);
    assert_eq!(collector.stdout(b"A: b\n\n0123456789"), Ok(()));
    assert_eq!(collector.stdout(b"x"), Err(too_large.clone()));
    let incomplete = collector.finish(ended()).expect_err("too large");
    assert_eq!(incomplete.error, too_large);
    assert_eq!(incomplete.response.expect("a part").body, b"0123456789");
}

#[test]
fn a_limit_set_later_holds_for_the_body_that_is_there() {
    let too_large = ResponseError::BodyTooLarge { limit: 5 };
    for head in ["A: b\n\n", "Content-Length: 10\n\n"] {
        let begun = || {
            let mut collector = Collector::default();
            let output = format!("{head}012345");
            assert_eq!(collector.stdout(output.as_bytes()), Ok(()));
            collector.with_max_body(5)
        };
        assert_eq!(begun().stdout(b"6789"), Err(too_large.clone()));
        let incomplete = begun().finish(ended()).expect_err("too large");
        assert_eq!(incomplete.error, too_large);
        assert_eq!(incomplete.response.expect("a part").body, b"01234");
    }
    // What is there may be all there is, and a limit may be raised.
    let mut collector = Collector::default().with_max_body(5);
    assert_eq!(collector.stdout(b"A: b\n\n0123"), Ok(()));
    let mut collector = collector.with_max_body(4);
    assert_eq!(collector.stdout(b""), Ok(()));
    let mut collector = collector.with_max_body(usize::MAX);
    assert_eq!(collector.stdout(b"456789"), Ok(()));
    let response = whole(collector.finish(ended()), Completeness::Complete);
    assert_eq!(response.body, b"0123456789");
}

#[test]
fn a_method_stated_later_holds_for_the_body_that_is_there() {
    let mut collector = Collector::default();
    assert_eq!(collector.stdout(b"Content-Length: 10\n\n0123"), Ok(()));
    let mut collector = collector.with_method("HEAD");
    assert_eq!(collector.stdout(b"45"), Ok(()));
    let response = whole(collector.finish(closed()), Completeness::LengthReached);
    assert_eq!((response.body.len(), response.stdout_discarded), (0, 6));

    let mut collector = Collector::default().with_method("HEAD");
    assert_eq!(collector.stdout(b"A: b\n\n"), Ok(()));
    let mut collector = collector.with_method("GET");
    assert_eq!(collector.stdout(b"body"), Ok(()));
    let response = whole(collector.finish(ended()), Completeness::Complete);
    assert_eq!(response.body, b"body");
}

#[test]
fn limits_of_zero_leave_a_response_without_a_body() {
    let mut limits = ResponseLimits::default();
    (limits.max_body, limits.max_stderr) = (0, 0);
    let mut collector = Collector::new(limits);
    assert_eq!(collector.stdout(b"A: b\n\n"), Ok(()));
    collector.stderr(b"noise");
    let response = whole(collector.finish(ended()), Completeness::Complete);
    assert_eq!((response.stderr.len(), response.stderr_discarded), (0, 5));
    limits.head.max_len = 0;
    let mut collector = Collector::new(limits);
    let too_large = ResponseError::Head(HeadError::TooLarge { limit: 0 });
    assert_eq!(collector.stdout(b"A"), Err(too_large));
}

#[test]
fn a_body_may_have_its_limit_whether_its_length_is_declared_or_not() {
    for head in ["Content-Length: 10\n\n", "A: b\n\n"] {
        let collector = Collector::default().with_max_body(10);
        let collected = collect_with(collector, &format!("{head}0123456789"), ended());
        assert_eq!(
            whole(collected, Completeness::Complete).body,
            b"0123456789",
            "{head:?}"
        );
    }
}

#[test]
fn by_default_a_body_has_64_mib_and_stderr_64_kib() {
    let limits = ResponseLimits::default();
    assert_eq!((limits.max_body, limits.max_stderr), (67_108_864, 65_536));
    assert_eq!(limits.head.max_len, 65_536);
}

#[test]
fn stderr_beyond_its_limit_is_counted_and_never_fails() {
    let mut limits = ResponseLimits::default();
    limits.max_stderr = 5;
    let mut collector = Collector::new(limits);
    for piece in [&b"abc"[..], b"def", b"ghi"] {
        collector.stderr(piece);
    }
    let _ = collector.stdout(b"A: b\n\n");
    let response = whole(collector.finish(ended()), Completeness::Complete);
    assert_eq!(response.stderr, b"abcde");
    assert_eq!(response.stderr_discarded, 4);
}

#[test]
fn an_authorizers_variables_become_parameters() {
    let bytes = "Variable-AUTH_METHOD: db\nvariable-User: 7\nVariable-: x\nVariable: y\nA: b\n\n";
    let response = whole(collect(bytes, ended()), Completeness::Complete);
    assert!(response.is_authorized());
    let variables: Vec<_> = response.variables().collect();
    assert_eq!(
        variables,
        [(&b"AUTH_METHOD"[..], &b"db"[..]), (b"User", b"7")]
    );
    let mut params = Params::default();
    response.write_variables(&mut params);
    assert_eq!(params.get("AUTH_METHOD"), Some(&b"db"[..]));
    let refused = whole(collect("Status: 401\n\n", ended()), Completeness::Complete);
    assert!(!refused.is_authorized());
}

#[test]
fn debug_shows_no_value_and_no_content() {
    let bytes = "Set-Cookie: secret\n\nsecret";
    let response = whole(collect(bytes, ended()), Completeness::Complete);
    let shown = format!("{response:?}");
    assert!(shown.contains("Set-Cookie") && !shown.contains("secret"));
    let incomplete = collect(bytes, closed()).expect_err("cut");
    let shown = format!("{incomplete:?}");
    assert!(
        shown.contains("Truncated") && shown.contains("body_len: 6") && !shown.contains("secret")
    );
    let bytes = "Status: 103\nLink: secret\n\nA: b\n\n";
    let response = whole(collect(bytes, ended()), Completeness::Complete);
    let shown = format!("{:?}", response.interim);
    assert!(shown.contains("103") && shown.contains("Link") && !shown.contains("secret"));
}
