//! The tables of the guide say the HTTP status that each error has.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use mio_fcgi::blocking::CallError;
use mio_fcgi::cgi::{EnvError, ForbiddenReason, InvalidTarget, ResponseError};
use mio_fcgi::{ConnectionLostReason, RequestError, StdinError, TimeoutKind};

use crate::samples::*;

/// The rows of the guide's tables of errors.
struct Tables(Vec<String>);

impl Tables {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/failure.rs");
        let guide = fs::read_to_string(path).expect("the guide");
        let rows = guide.lines().filter(|line| line.starts_with("//! | ["));
        Self(rows.map(str::to_owned).collect())
    }

    /// Holds the answer in the row with these links against a status.
    #[track_caller]
    fn check(&self, links: &[String], status: u16) {
        let mut rows = self.0.iter();
        let row = rows.find(|row| links.iter().all(|link| row.contains(link)));
        let row = row.unwrap_or_else(|| panic!("no row for {links:?}"));
        // The first number: `431 or 414` leaves a choice.
        let answers = row.split('|').filter_map(|cell| {
            let word = cell.split_whitespace().next()?;
            word.parse().ok()
        });
        let answers: Vec<u16> = answers.collect();
        assert_eq!(answers, [status], "{row}");
    }
}

/// How the guide links to the variant of an error.
fn link(owner: &str, error: &impl Debug) -> String {
    let shown = format!("{error:?}");
    let name = shown.split([' ', '(']).next().unwrap_or_default();
    format!("({owner}::{name})")
}

#[test]
fn the_guide_answers_failed_requests_as_http_status_does() {
    let tables = Tables::read();
    let check = |error: RequestError, inner: Option<String>| {
        let links: Vec<String> = [link("RequestError", &error)]
            .into_iter()
            .chain(inner)
            .collect();
        tables.check(&links, error.http_status());
    };
    for error in connects().into_iter().map(|sample| sample.0) {
        let inner = link("ConnectError", &error);
        assert_eq!(
            RequestError::Connect(error).http_status(),
            error.http_status()
        );
        check(error.into(), Some(inner));
    }
    for error in bodies().into_iter().map(|sample| sample.0) {
        let inner = link("BodyError", &error);
        assert_eq!(RequestError::Body(error).http_status(), error.http_status());
        check(error.into(), Some(inner));
    }
    for kind in [
        TimeoutKind::Queue,
        TimeoutKind::Write,
        TimeoutKind::FirstByte,
        TimeoutKind::BetweenBytes,
        TimeoutKind::Paused,
        TimeoutKind::Total,
        TimeoutKind::Probe,
    ] {
        let inner = link("TimeoutKind", &kind);
        check(RequestError::TimedOut(kind), Some(inner));
    }
    for reason in [
        ConnectionLostReason::Closed,
        ConnectionLostReason::Io(std::io::ErrorKind::ConnectionReset),
    ] {
        let inner = link("ConnectionLostReason", &reason);
        check(RequestError::ConnectionLost(reason), Some(inner));
    }
    for (error, _) in requests() {
        let has_rows_of_its_own = matches!(
            error,
            RequestError::Connect(_)
                | RequestError::Body(_)
                | RequestError::TimedOut(_)
                | RequestError::ConnectionLost(_)
        );
        if !has_rows_of_its_own {
            check(error, None);
        }
    }
    assert_eq!(failure().http_status(), failure().error.http_status());
}

#[test]
fn the_guide_answers_refused_requests_as_http_status_does() {
    let tables = Tables::read();
    for (error, _) in submissions() {
        tables.check(&[link("SubmitError", &error)], error.http_status());
        assert_eq!(error.is_unavailable(), error.http_status() == 503);
    }
    for (error, _) in questions() {
        tables.check(&[link("GetValuesError", &error)], error.http_status());
    }
    for (error, _) in pushes() {
        tables.check(&[link("StdinError", &error)], error.http_status());
    }
    assert_eq!(refused().http_status(), refused().error.http_status());
    assert_eq!(StdinError::Finished.http_status(), 500);
}

#[test]
fn the_guide_answers_responses_that_are_not_whole_as_http_status_does() {
    let tables = Tables::read();
    for (error, _) in responses() {
        match error {
            ResponseError::Failed(failure) => {
                let status = failure.http_status();
                assert_eq!(ResponseError::Failed(failure).http_status(), status);
            }
            error => tables.check(&[link("ResponseError", &error)], error.http_status()),
        }
    }
    for (error, _) in heads() {
        let status = error.http_status();
        tables.check(&["(ResponseError::Head)".to_owned()], status);
        assert_eq!(ResponseError::Head(error).http_status(), status);
    }
}

#[test]
fn the_guide_answers_bodies_that_cannot_be_read_as_http_status_does() {
    let tables = Tables::read();
    for (error, _) in request_bodies() {
        tables.check(&[link("RequestBodyError", &error)], error.http_status());
    }
}

#[test]
fn what_is_wrong_with_an_http_request_is_answered_with_a_status_of_the_client() {
    for (error, _) in environments() {
        let is_long = matches!(error, EnvError::TooManyFields { .. });
        assert_eq!(
            error.http_status(),
            if is_long { 431 } else { 400 },
            "{error}"
        );
    }
    assert_eq!(ForbiddenReason::OutsideRoot.http_status(), 403);
    assert_eq!(InvalidTarget::Encoding.http_status(), 400);
}

#[test]
fn a_blocking_call_has_the_status_of_what_went_wrong() {
    let io_error = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let (submit, _) = submissions().swap_remove(0);
    for (error, status) in [
        (CallError::Submit(submit), 503),
        (CallError::Resolve(io_error()), 502),
        (CallError::Io(io_error()), 500),
        (CallError::Unanswered(Box::new(failure())), 503),
    ] {
        assert_eq!(error.http_status(), status, "{error}");
    }
}
