//! Checks of a single event.

use std::time::Duration;

use mio_fcgi::{Delivery, Failure, Phase, RequestError, TimeoutKind};

use crate::far::byte;
use crate::model::{Check, Request};

/// Output belongs to its request, and continues the output before it.
pub(crate) fn check_bytes(stream: u64, at: &mut u64, data: &[u8]) -> Check {
    if data.is_empty() {
        return Err("an empty piece of output".into());
    }
    for seen in data {
        if *seen != byte(stream, *at) {
            return Err(format!("byte {at} of tag {} is another's", stream / 4));
        }
        *at += 1;
    }
    Ok(())
}

/// A request that fails because the queue is full has not begun.
pub(crate) fn check_full_queue(tag: u64, failure: &Failure) -> Check {
    let is_full = matches!(failure.error, RequestError::QueueFull { .. });
    let is_so = failure.delivery == Delivery::NotProcessed && failure.phase == Phase::Queued;
    match !is_full || is_so {
        true => Ok(()),
        false => Err(format!("tag {tag}: {failure:?}")),
    }
}

/// A request does not time out early and, unless the clock jumped, not late.
pub(crate) fn check_timeout(
    request: &Request,
    at: Duration,
    failure: &Failure,
    is_punctual: bool,
) -> Check {
    let (RequestError::TimedOut(kind), Some(submit)) = (&failure.error, &request.submit) else {
        return Ok(());
    };
    let timings = failure.report.timings;
    let limits = submit.timeouts;
    let is_first = failure.report.retries == 0;
    let was_paused = request.pauses.has_any();
    let (from, limit, is_exact) = match kind {
        TimeoutKind::Queue => (
            Some(Duration::ZERO),
            limits.queue,
            is_first && !submit.is_collected(),
        ),
        TimeoutKind::Total => (Some(Duration::ZERO), limits.total, true),
        TimeoutKind::FirstByte => (timings.sent(), limits.first_byte, !was_paused),
        TimeoutKind::BetweenBytes => (
            timings.last_byte().max(timings.sent()),
            limits.between_bytes,
            !was_paused,
        ),
        TimeoutKind::Write => {
            let began = match is_first {
                true => request.writes_since.saturating_sub(request.submitted),
                false => Duration::ZERO,
            };
            (timings.queued().max(Some(began)), limits.write, false)
        }
        _ => return Ok(()),
    };
    let (Some(from), Some(limit)) = (from, limit) else {
        return Err("timed out without a limit or before its start".into());
    };
    let due = request.submitted + from + limit;
    if at < due {
        return Err(format!("{:?} early", due - at));
    }
    if is_exact && is_punctual && at > due {
        return Err(format!("{:?} late", at - due));
    }
    Ok(())
}
