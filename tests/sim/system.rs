//! What the engine was told of its sockets, against what the system has said of them.

use std::io::ErrorKind;

use mio_fcgi::testkit::internals::Tally;
use mio_fcgi::{CloseReason, ConnectError, Counters, Failure, RequestError};

use crate::model::Check;

/// The figures of both at the last check.
#[derive(Debug, Default)]
pub(crate) struct System {
    lost: u64,
    over: u64,
}

impl System {
    /// A connection is lost when its end was read, or when a write has failed and all that had arrived is read. A full
    /// backlog and a shortage on this side are no failures.
    pub(crate) fn check(&mut self, counters: &Counters, tally: &Tally) -> Check {
        let told = (counters.backlog_full, counters.shortages);
        let said = (tally.full_backlogs, tally.shortages);
        if told != said {
            return Err(format!(
                "{told:?} full backlogs and shortages reported, {said:?} were met"
            ));
        }
        let reasons = [CloseReason::Lost, CloseReason::ClosedIdle];
        let lost = reasons.map(|it| counters.closed_for(it)).iter().sum();
        let over = tally.ends + tally.spent_after_failures;
        let more_lost = lost - std::mem::replace(&mut self.lost, lost);
        let more_over = over - std::mem::replace(&mut self.over, over);
        match more_lost <= more_over {
            true => Ok(()),
            false => Err(format!(
                "{more_lost} connections reported as lost, and {more_over} read to their end"
            )),
        }
    }
}

/// No request fails for a connect that could be made later: for a shortage on this side, or a full backlog.
pub(crate) fn check_connect(tag: u64, failure: &Failure) -> Check {
    match &failure.error {
        RequestError::Connect(ConnectError::Failed(kind)) if !FAILURES.contains(kind) => {
            Err(format!("tag {tag}: failed for {kind:?}"))
        }
        _ => Ok(()),
    }
}

/// Refusals, and the ends of connections on which nothing was sent.
const FAILURES: [ErrorKind; 4] = [
    ErrorKind::ConnectionRefused,
    ErrorKind::ConnectionReset,
    ErrorKind::UnexpectedEof,
    ErrorKind::BrokenPipe,
];
