//! What is known of a request, and what its events may be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mio_fcgi::{Delivery, Event, Outcome, RequestHandle, Tag};

use super::far::{Stream, byte};

/// A request that was accepted.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) handle: RequestHandle,
    pub(super) submitted: Instant,
    pub(super) total: Option<Duration>,
    pub(super) pushed: u64,
    pub(super) is_paused: bool,
    pub(super) stdout: u64,
    pub(super) stderr: u64,
    pub(super) stdout_ended: bool,
    pub(super) outcome: Option<Outcome>,
}

/// Holds an event against what may come.
pub(super) fn note(
    requests: &mut BTreeMap<u64, Asked>,
    shut_downs: &mut usize,
    is_wild: bool,
    event: &Event<'_>,
) {
    let Some(Tag(tag)) = event.tag() else {
        *shut_downs += 1;
        return;
    };
    let asked = requests
        .get_mut(&tag)
        .expect("only what was accepted has events");
    assert_eq!(event.request(), Some(asked.handle));
    assert_eq!(asked.outcome, None, "{event:?} after its end");
    match event {
        Event::Stdout { data, .. } => {
            assert!(!asked.is_paused && !asked.stdout_ended && !data.is_empty());
            same(tag, Stream::Stdout, &mut asked.stdout, data, is_wild);
        }
        Event::Stderr { data, .. } => {
            assert!(!asked.is_paused && !data.is_empty());
            same(tag, Stream::Stderr, &mut asked.stderr, data, is_wild);
        }
        Event::StdoutEnd { .. } => {
            assert!(!asked.is_paused && !asked.stdout_ended);
            asked.stdout_ended = true;
        }
        Event::End { outcome, .. } => {
            asked.outcome = Some(outcome.clone());
            asked.is_paused = false;
            match outcome {
                Ok(completion) => {
                    let received = completion.report.bytes_received;
                    assert_eq!(received, asked.stdout + asked.stderr);
                    let status = u64::from(completion.app_status);
                    assert!(is_wild || status == asked.stdout, "cut short, but complete");
                }
                Err(failure) => {
                    let has_output = asked.stdout + asked.stderr > 0 || asked.stdout_ended;
                    assert!(!has_output || failure.delivery == Delivery::Responded);
                }
            }
        }
        _ => {}
    }
}

fn same(tag: u64, stream: Stream, at: &mut u64, data: &[u8], is_wild: bool) {
    for seen in data {
        assert!(
            is_wild || *seen == byte(tag, stream, *at),
            "{stream:?} of {tag} at {at}"
        );
        *at += 1;
    }
}
