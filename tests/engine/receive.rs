//! Records from the application, good and bad: which request gets them, and what closes the connection.

use mio_fcgi::wire::{DecodeError, RecordType};
use mio_fcgi::{CloseReason, Delivery, Phase, ProtocolError, RequestError};

use crate::harness::Bench;
use crate::script::{Records, Seen, Sent, done, err, failed, out, records, request};

/// A bench with `requests` requests sent on one shared connection.
fn sharing(requests: u64) -> Bench {
    let mut bench = Bench::shared(8);
    for _ in 0..requests {
        bench.submit(request());
    }
    bench
}

/// The failure of a request that was sent whole and not answered, after a protocol error.
fn broken(tag: u64, error: ProtocolError) -> Seen {
    failed(tag, error, Phase::Sent, Delivery::MaybeProcessed)
}

fn never_used(record_type: RecordType, request_id: u16) -> ProtocolError {
    ProtocolError::UnknownRequest {
        record_type,
        request_id,
    }
}

#[test]
fn a_response_comes_out_as_it_came_in() {
    let mut bench = Bench::plain();
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(1));
    bench.feed(0, records().stdout(1, "hi").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    bench.finish();
}

// case 2
#[test]
fn padding_of_any_length_is_skipped_on_every_record() {
    let mut bench = Bench::plain();
    for padding_len in 0..=255 {
        let tag = u64::from(padding_len) + 1;
        bench.submit(request());
        let padded = records().padded(padding_len);
        bench.answer(0, |id| {
            let output = padded.stderr(id, "!").stderr_end(id).stdout(id, "hi");
            output.stdout_end(id).end(id, 0)
        });
        let end = Seen::StdoutEnd(tag);
        assert_eq!(
            bench.seen(),
            [err(tag, "!"), out(tag, "hi"), end, done(tag)]
        );
    }
    assert_eq!(bench.peers.len(), 1, "one connection served all of them");
    bench.finish();
}

#[test]
fn a_connection_is_not_used_again_before_the_padding_of_its_last_record_has_come() {
    let mut bench = Bench::plain();
    bench.submit(request());
    let answer = records().stdout(1, "hi").padded(9).end(1, 0);
    let (now, later) = answer.as_ref().split_at(answer.as_ref().len() - 4);
    bench.feed(0, now);
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    bench.submit(request());
    assert_eq!(
        bench.sent(0),
        Sent::whole(1),
        "nothing of the second request"
    );
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.feed(0, later);
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(2), "now the third request");
    bench.end(0);
    bench.end(1);
    bench.finish();
}

// case 3
#[test]
fn another_version_fails_every_request_of_the_connection_and_names_the_byte() {
    let mut bench = sharing(2);
    bench.feed(0, [2]);
    let error = ProtocolError::Decode(DecodeError::Version { found: 2 });
    assert_eq!(bench.seen(), [broken(1, error), broken(2, error)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Protocol));
    assert_eq!(bench.stats().counters.protocol_errors, 1);
    bench.finish();
}

// case 3
#[test]
fn an_http_server_behind_the_address_is_named_as_such() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, "HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = ProtocolError::Decode(DecodeError::Http);
    assert_eq!(bench.seen(), [broken(1, error)]);
    bench.finish();
}

#[test]
fn a_protocol_error_on_one_connection_leaves_the_others_alone() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.submit(request());
    bench.feed(0, "garbage");
    bench.feed(1, records().stdout(1, "hi").end(1, 0));
    let error = ProtocolError::Decode(DecodeError::Version { found: b'g' });
    assert_eq!(bench.seen(), [broken(1, error), out(2, "hi"), done(2)]);
    bench.finish();
}

// case 4
#[test]
fn an_end_for_an_id_never_used_closes_the_connection() {
    let mut bench = sharing(2);
    bench.feed(0, records().stdout(1, "hi").end(3, 0).end(1, 0));
    let error = never_used(RecordType::EndRequest, 3);
    let cut = failed(1, error, Phase::Receiving, Delivery::Responded);
    assert_eq!(bench.seen(), [out(1, "hi"), cut, broken(2, error)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Protocol));
    bench.finish();
}

// case 5
#[test]
fn output_for_an_id_never_used_closes_the_connection() {
    type Build = fn(Records) -> Records;
    let cases: [(Build, RecordType); 4] = [
        (|r| r.stdout(2, "x"), RecordType::Stdout),
        (|r| r.stderr(2, "x"), RecordType::Stderr),
        (|r| r.stdout_end(2), RecordType::Stdout),
        (|r| r.stderr_end(2), RecordType::Stderr),
    ];
    for (build, record_type) in cases {
        let mut bench = Bench::plain();
        bench.submit(request());
        bench.feed(0, build(records()).stdout(1, "late"));
        assert_eq!(bench.seen(), [broken(1, never_used(record_type, 2))]);
        bench.finish();
    }
}

// case 6
#[test]
fn what_comes_for_an_aborted_id_reaches_nobody_and_the_id_stays_unused() {
    let mut bench = sharing(2);
    let first = bench.submit(request());
    let (waits, aborted) = (3, RequestError::Aborted);
    bench.command(|engine, now| engine.abort(now, first));
    assert_eq!(
        bench.seen(),
        [failed(
            waits,
            aborted,
            Phase::Sent,
            Delivery::MaybeProcessed
        )]
    );
    bench.sent(0);
    // Late output, the end, and a second life of the id, as Go's applications have it.
    let late = records().stdout(3, "late").stderr(3, "late").stdout_end(3);
    bench.feed(0, late.clone().end(3, 0));
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(4), "not id 3");
    bench.feed(0, late.end(3, 0).stdout(4, "mine").end(4, 0));
    assert_eq!(bench.seen(), [out(4, "mine"), done(4)]);
    bench.feed(0, records().end(1, 0).end(2, 0));
    assert_eq!(bench.peers.len(), 1);
    bench.finish();
}

// case 6
#[test]
fn what_comes_for_an_id_that_ended_early_reaches_nobody() {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    bench.peers[0].window = 0;
    bench.submit(request());
    bench.open_window(0, 1);
    bench.feed(0, records().end(2, 0));
    assert_eq!(bench.seen(), [done(2)], "of which a byte was sent");
    bench.submit(request());
    bench.open_window(0, usize::MAX);
    let begun = bench.sent(0);
    assert!(begun.contains(&Sent::begin(3)), "{begun:?}");
    bench.feed(0, records().stdout(2, "late").stdout(3, "mine").end(3, 0));
    assert_eq!(bench.seen(), [out(3, "mine"), done(3)]);
    bench.feed(0, records().end(1, 0));
    bench.finish();
}

// case 7
#[test]
fn a_record_after_the_end_is_dropped_and_the_plain_connection_not_used_again() {
    for late in [
        records().stdout(1, "late"),
        records().stderr(1, "late"),
        records().stdout_end(1),
        records().stderr_end(1),
    ] {
        let mut bench = Bench::plain();
        bench.submit(request());
        bench.feed(0, records().stdout(1, "hi").end(1, 0).raw(late));
        assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
        assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
        assert_eq!(bench.stats().counters.records_ignored, 1);
        bench.submit(request());
        bench.end(1);
        assert_eq!(bench.seen(), [done(2)]);
        bench.finish();
    }
}

// case 7
#[test]
fn a_record_after_the_end_on_a_shared_connection_is_dropped_and_costs_the_id() {
    let mut bench = sharing(2);
    bench.feed(0, records().end(2, 0).stdout(2, "late"));
    assert_eq!(bench.seen(), [done(2)]);
    assert_eq!(bench.stats().counters.records_ignored, 1);
    bench.sent(0);
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(3));
    bench.feed(0, records().end(1, 0).end(3, 0));
    assert_eq!(bench.seen(), [done(1), done(3)]);
    bench.finish();
}

// case 8
#[test]
fn a_second_end_for_the_same_id_is_dropped() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, records().stdout(1, "hi").end(1, 0).end(1, 0));
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
    bench.finish();

    let mut bench = sharing(2);
    bench.feed(0, records().end(1, 0).end(1, 0).stdout(2, "hi").end(2, 0));
    assert_eq!(bench.seen(), [done(1), out(2, "hi"), done(2)]);
    assert_eq!(bench.peers[0].closed, None);
    bench.finish();
}

// case 9
#[test]
fn bytes_on_an_idle_connection_close_it() {
    let cases = [
        (records().stdout(1, "x"), CloseReason::LateRecord),
        (records().end(1, 0), CloseReason::LateRecord),
        (records().raw("x"), CloseReason::UnsolicitedData),
        (records().end(2, 0), CloseReason::UnsolicitedData),
        (records().unknown_type(9), CloseReason::UnsolicitedData),
        (records().values(&[]), CloseReason::UnsolicitedData),
        (records().record(99, 0, b"x"), CloseReason::UnsolicitedData),
    ];
    for (bytes, reason) in cases {
        let mut bench = Bench::plain();
        bench.submit(request());
        bench.end(0);
        bench.feed(0, bytes.clone());
        assert_eq!(bench.peers[0].closed, Some(reason), "{bytes:?}");
        bench.submit(request());
        bench.feed(1, records().stdout(1, "hi").end(1, 0));
        assert_eq!(bench.seen(), [done(1), out(2, "hi"), done(2)]);
        bench.finish();
    }
}

// case 9
#[test]
fn half_a_record_behind_the_end_keeps_the_connection_from_being_used_again() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, records().end(1, 0).raw([1, 6, 0]));
    assert_eq!(bench.seen(), [done(1)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::UnsolicitedData));
    bench.submit(request());
    assert_eq!(bench.peers.len(), 2);
    bench.end(1);
    bench.finish();
}

// case 10
#[test]
fn a_management_record_nobody_asked_for_is_ignored_and_counted() {
    let mut bench = Bench::plain();
    bench.submit(request());
    let asked_by_nobody = records().unknown_type(9).values(&[("FCGI_MAX_REQS", "5")]);
    bench.feed(0, asked_by_nobody.stdout(1, "hi").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    assert_eq!(bench.stats().counters.records_ignored, 2);
    assert_eq!(bench.peers[0].closed, None);
    bench.finish();
}

// case 11
#[test]
fn a_record_of_unknown_type_is_skipped_by_its_length() {
    for (record_type, id) in [(12, 1), (255, 1), (0, 1), (99, 0), (99, 7)] {
        let mut bench = Bench::plain();
        bench.submit(request());
        let odd = records().padded(3).record(record_type, id, b"0123456789");
        bench.feed(0, odd.stdout(1, "hi").end(1, 0));
        assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
        assert_eq!(bench.stats().counters.records_ignored, 1);
        bench.finish();
    }
}

// case 12
#[test]
fn an_application_record_with_id_0_is_a_protocol_error() {
    let cases = [
        (records().stdout(0, "x"), RecordType::Stdout),
        (records().stdout_end(0), RecordType::Stdout),
        (records().stderr(0, "x"), RecordType::Stderr),
        (records().end(0, 0), RecordType::EndRequest),
    ];
    for (bytes, record_type) in cases {
        let mut bench = Bench::plain();
        bench.submit(request());
        bench.feed(0, bytes);
        assert_eq!(bench.seen(), [broken(1, never_used(record_type, 0))]);
        bench.finish();
    }
}

// case 13
#[test]
fn a_record_that_only_a_web_server_sends_is_a_protocol_error() {
    let begin = [0, 1, 1, 0, 0, 0, 0, 0];
    let cases: [(u8, u16, &[u8], RecordType); 8] = [
        (1, 1, &begin, RecordType::BeginRequest),
        (2, 1, b"", RecordType::AbortRequest),
        (4, 1, b"x", RecordType::Params),
        (4, 1, b"", RecordType::Params),
        (5, 1, b"x", RecordType::Stdin),
        (5, 1, b"", RecordType::Stdin),
        (8, 1, b"x", RecordType::Data),
        (9, 0, b"", RecordType::GetValues),
    ];
    for (number, id, content, record_type) in cases {
        let mut bench = Bench::plain();
        bench.submit(request());
        bench.feed(0, records().record(number, id, content));
        let error = ProtocolError::UnexpectedRecord { record_type };
        assert_eq!(bench.seen(), [broken(1, error)]);
        bench.finish();
    }
}

// case 14
#[test]
fn an_end_of_fewer_than_8_bytes_is_a_protocol_error() {
    for len in 0..8 {
        let mut bench = Bench::plain();
        bench.submit(request());
        bench.feed(0, records().record(3, 1, &[0; 8][..usize::from(len)]));
        let record_type = RecordType::EndRequest;
        let error = ProtocolError::Decode(DecodeError::ShortBody { record_type, len });
        assert_eq!(bench.seen(), [broken(1, error)]);
        bench.finish();
    }
}

// case 15
#[test]
fn of_an_end_of_more_than_8_bytes_the_first_8_count() {
    let mut bench = Bench::plain();
    for (tag, len) in [(1, 9), (2, 16), (3, 65_535)] {
        bench.submit(request());
        let mut content = vec![0xff; len];
        content[..8].copy_from_slice(&[0, 0, 0, 7, 0, 0, 0, 0]);
        bench.answer(0, |id| records().padded(5).record(3, id, &content));
        assert_eq!(bench.seen(), [Seen::Done(tag, 7)]);
    }
    assert_eq!(bench.peers.len(), 1);
    bench.finish();
}

// case 16
#[test]
fn reserved_bytes_that_are_not_zero_change_nothing() {
    let mut bench = Bench::plain();
    bench.submit(request());
    let mut bytes = records().stdout(1, "hi").as_ref().to_vec();
    bytes[7] = 0xff;
    bench.feed(0, bytes);
    bench.feed(
        0,
        records().record(3, 1, &[0, 0, 0, 0, 0, 0xaa, 0xbb, 0xcc]),
    );
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    bench.finish();
}

// case 17
#[test]
fn an_application_status_other_than_0_is_a_success_and_told() {
    let mut bench = Bench::plain();
    for (tag, status) in [(1, 7), (2, u32::MAX)] {
        bench.submit(request());
        bench.answer(0, |id| records().stdout(id, "hi").end(id, status));
        assert_eq!(bench.seen(), [out(tag, "hi"), Seen::Done(tag, status)]);
    }
    bench.finish();
}

// case 18
#[test]
fn a_protocol_status_that_does_not_exist_is_an_error_of_its_own() {
    let mut bench = Bench::plain();
    for (tag, status) in (1..).zip(4..=255) {
        bench.submit(request());
        let body = [0, 0, 0, 0, status, 0, 0, 0];
        bench.answer(0, |id| records().record(3, id, &body));
        let error = RequestError::UnknownStatus(status);
        // The status may or may not mean a refusal.
        let end = failed(tag, error, Phase::Sent, Delivery::MaybeProcessed);
        assert_eq!(bench.seen(), [end]);
    }
    assert_eq!(bench.peers.len(), 1, "the connection is in order");
    bench.finish();
}

// case 19
#[test]
fn empty_stderr_records_change_nothing() {
    let mut bench = Bench::plain();
    bench.submit(request());
    let answer = records().stderr_end(1).stdout(1, "a").stderr_end(1);
    let answer = answer.stdout(1, "b").stdout_end(1).stderr_end(1);
    bench.feed(0, answer.stderr_end(1).end(1, 0));
    assert_eq!(bench.seen(), [out(1, "ab"), Seen::StdoutEnd(1), done(1)]);
    bench.submit(request());
    bench.answer(0, |id| records().stderr_end(id).end(id, 0));
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

// case 20
#[test]
fn stderr_after_the_end_of_stdout_is_delivered() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, records().stdout(1, "a").stdout_end(1).stderr(1, "b"));
    bench.feed(0, records().stderr(1, "c").stderr_end(1).end(1, 0));
    let seen = [out(1, "a"), Seen::StdoutEnd(1), err(1, "bc"), done(1)];
    assert_eq!(bench.seen(), seen);
    bench.finish();
}

// case 21
#[test]
fn stdout_after_the_end_of_stdout_is_dropped_and_counted() {
    let mut bench = Bench::plain();
    bench.submit(request());
    let answer = records().stdout(1, "a").stdout_end(1).stdout(1, "b");
    bench.feed(0, answer.stdout_end(1).end(1, 0));
    assert_eq!(bench.seen(), [out(1, "a"), Seen::StdoutEnd(1), done(1)]);
    assert_eq!(bench.stats().counters.records_ignored, 1);
    bench.finish();
}

// case 23
#[test]
fn a_record_of_the_greatest_length_with_the_longest_padding_is_accepted() {
    let text = "x".repeat(65_535);
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, records().padded(255).stdout(1, &text).end(1, 0));
    assert_eq!(bench.seen(), [out(1, &text), done(1)]);
    bench.finish();
}

// case 24
#[test]
fn bytes_left_unread_are_asked_for_without_a_new_readiness() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request());
    bench.feed(0, records().stdout(1, "a"));
    bench.command(|engine, now| engine.pause(now, handle));
    bench.feed(0, records().stdout(1, "b").end(1, 0));
    bench.eof(0);
    assert_eq!(bench.seen(), [out(1, "a")], "paused");
    bench.command(|engine, now| engine.resume(now, handle));
    assert_eq!(bench.seen(), [out(1, "b"), done(1)]);
    bench.finish();
}
