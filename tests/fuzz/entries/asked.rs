//! What is known about a request, and which events it may have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mio_fcgi::{Delivery, Event, EventKind, Outcome, RequestError, RequestHandle, ServerId};

use super::far::{Stream, byte};

/// A request that was accepted.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) handle: RequestHandle,
    pub(super) submitted: Instant,
    /// The only server that may get it.
    pub(super) named: Option<ServerId>,
    pub(super) total: Option<Duration>,
    pub(super) pushed: u64,
    pub(super) is_paused: bool,
    pub(super) stdout: u64,
    pub(super) stderr: u64,
    pub(super) stdout_ended: bool,
    pub(super) outcome: Option<Outcome>,
}

/// Holds an event against what may come.
pub(super) fn note(requests: &mut BTreeMap<u64, Asked>, is_wild: bool, event: &Event<&[u8]>) {
    let asked = requests
        .get_mut(&event.tag.0)
        .expect("only what was accepted has events");
    assert_eq!(event.request, asked.handle);
    assert_eq!(asked.outcome, None, "{event:?} after its end");
    match &event.kind {
        EventKind::Stdout(data) => {
            assert!(!asked.is_paused && !asked.stdout_ended && !data.is_empty());
            same(
                event.tag.0,
                Stream::Stdout,
                &mut asked.stdout,
                data,
                is_wild,
            );
        }
        EventKind::Stderr(data) => {
            assert!(!asked.is_paused && !data.is_empty());
            same(
                event.tag.0,
                Stream::Stderr,
                &mut asked.stderr,
                data,
                is_wild,
            );
        }
        EventKind::StdoutEnd => {
            assert!(!asked.is_paused && !asked.stdout_ended);
            asked.stdout_ended = true;
        }
        EventKind::End(outcome) => {
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
                    let is_removed = failure.error == RequestError::ServerRemoved;
                    assert!(!is_removed || asked.named.is_some(), "lost: {failure:?}");
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
