//! Error texts: each one, and what all of them have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use mio_fcgi::cgi::{ForbiddenReason, InvalidTarget};
use mio_fcgi::{CloseReason, ConnectError, Delivery, Phase, RequestError, TimeoutKind};

use crate::samples::*;

/// Checks what every text has in common, so that it can follow a colon and be followed by another one.
fn check(text: &str) {
    let longest = 220;
    assert!(
        !text.is_empty() && text.len() <= longest,
        "length: {text:?}"
    );
    assert!(!text.ends_with(['.', '!', ' ', ':']), "its end: {text}");
    assert!(
        !text.contains(['{', '}', '\n', '"']),
        "not for reading: {text}"
    );
    assert!(
        !text.contains("  ") && !text.contains("Some("),
        "not for reading: {text}"
    );
    let word = text.split(' ').next().unwrap_or_default();
    let is_name = word.chars().skip(1).any(char::is_uppercase);
    let begins_low = !text.starts_with(char::is_uppercase);
    assert!(begins_low || is_name, "begins with a capital: {text}");
}

#[test]
fn every_text_reads_well_and_says_what_to_do() {
    for (error, hint) in errors() {
        let text = error.to_string();
        check(&text);
        assert!(text.contains(hint), "no '{hint}' in: {text}");
    }
}

#[test]
fn no_two_errors_of_a_type_have_the_same_text() {
    let mut seen = BTreeMap::new();
    for (error, _) in errors() {
        let debug = format!("{error:?}");
        if let Some(other) = seen.insert(error.to_string(), debug.clone()) {
            // Two calls check the limit of a buffered body; a wrapper may repeat the text of its source.
            let both = debug.contains("BodyTooLarge") && other.contains("BodyTooLarge");
            let wraps = debug.contains(&other) || other.contains(&debug);
            assert!(both || wraps, "{debug} and {other} say the same");
        }
    }
}

/// For reporters that print the chain: a text contains the text of its cause, or the cause is its source, but not both.
#[test]
fn a_chain_of_sources_says_nothing_twice() {
    for (error, _) in errors() {
        let text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            assert!(!text.contains(&cause.to_string()), "{text}; {cause}");
            source = cause.source();
        }
    }
}

/// A variant that is added without a sample above fails here.
#[test]
fn every_error_attribute_in_the_sources_has_a_sample() {
    fn count(dir: &Path) -> usize {
        let entries = fs::read_dir(dir).expect("the sources lie beside the tests");
        entries
            .map(|entry| entry.expect("a directory that can be read").path())
            .map(|path| match path.is_dir() {
                true => count(&path),
                false => fs::read_to_string(&path)
                    .expect("a source that is UTF-8")
                    .lines()
                    .map(str::trim_start)
                    .filter(|line| line.starts_with("#[error("))
                    .filter(|line| !line.contains("transparent"))
                    .count(),
            })
            .sum()
    }
    let attributes = count(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert_eq!(
        errors().len(),
        attributes,
        "an error has no sample in this test"
    );
}

#[test]
fn the_guide_has_a_row_for_each_error_that_a_call_or_a_request_can_have() {
    fn have_rows<E: Error>(owner: &str, samples: Vec<(E, &'static str)>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/failure.rs");
        let guide = fs::read_to_string(path).expect("the guide");
        for (error, _) in samples {
            let shown = format!("{error:?}");
            let name = shown.split([' ', '(']).next().unwrap_or_default();
            let link = format!("({owner}::{name})");
            let mut rows = guide.lines().filter(|line| line.starts_with("//! | ["));
            assert!(rows.any(|row| row.contains(&link)), "no row for {link}");
        }
    }
    have_rows("SubmitError", submissions());
    have_rows("StdinError", pushes());
    have_rows("GetValuesError", questions());
    have_rows("RequestError", requests());
    have_rows("ConnectError", connects());
    have_rows("BodyError", bodies());
    have_rows("ResponseError", responses());
    have_rows("RequestBodyError", request_bodies());
}

#[test]
fn each_time_limit_names_its_setting() {
    for (kind, setting) in [
        (TimeoutKind::Queue, "timeouts.queue"),
        (TimeoutKind::Write, "timeouts.write"),
        (TimeoutKind::FirstByte, "timeouts.first_byte"),
        (TimeoutKind::BetweenBytes, "timeouts.between_bytes"),
        (TimeoutKind::Paused, "timeouts.paused"),
        (TimeoutKind::Total, "timeouts.total"),
        (TimeoutKind::Probe, "probe_timeout"),
    ] {
        let text = RequestError::TimedOut(kind).to_string();
        check(&text);
        assert!(text.ends_with(setting), "{text}");
    }
}

#[test]
fn a_refused_connect_says_what_to_look_at() {
    let text = |kind| RequestError::Connect(ConnectError::Failed(kind)).to_string();
    for (kind, hint) in [
        (ErrorKind::ConnectionRefused, "nobody listens there"),
        (ErrorKind::NotFound, "is the application running"),
        (ErrorKind::PermissionDenied, "may not write to the socket"),
        (ErrorKind::HostUnreachable, "check the address"),
        (ErrorKind::Unsupported, "this system"),
        (ErrorKind::Other, "the log says more"),
    ] {
        let text = text(kind);
        check(&text);
        assert!(text.contains(hint), "{text}");
    }
}

#[test]
fn what_is_no_error_type_but_is_shown_reads_well_too() {
    for forbidden in [
        ForbiddenReason::OutsideRoot,
        ForbiddenReason::DotFile,
        ForbiddenReason::AbsentDotFile,
        ForbiddenReason::Source,
        ForbiddenReason::NoIndex,
    ] {
        check(&forbidden.to_string());
    }
    for invalid in [
        InvalidTarget::NoSlash,
        InvalidTarget::Encoding,
        InvalidTarget::Control,
    ] {
        check(&invalid.to_string());
    }
    for phase in [
        Phase::Buffering,
        Phase::Queued,
        Phase::Sending,
        Phase::Sent,
        Phase::Receiving,
    ] {
        check(&phase.to_string());
    }
    for delivery in [
        Delivery::NotProcessed,
        Delivery::MaybeProcessed,
        Delivery::Responded,
    ] {
        check(&delivery.to_string());
    }
    let reasons: Vec<String> = CloseReason::ALL.iter().map(ToString::to_string).collect();
    reasons.iter().for_each(|reason| check(reason));
    let unlike: BTreeSet<&String> = reasons.iter().collect();
    assert_eq!(unlike.len(), reasons.len(), "{reasons:?}");
    assert_eq!(
        failure().to_string(),
        "timed out: no connection became free within timeouts.queue (not processed: safe to send again)"
    );
}
