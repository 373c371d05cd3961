//! What one loop counts. All of it only grows.

use std::time::Duration;

use mio_fcgi::{Outcome, Report, ServerId};

use super::histogram::{Histogram, nanos};

/// The counters of one loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Responses to HTTP requests, by the first digit of their status: 1 to 5.
    classes: [u64; 5],
    /// Bytes of response bodies.
    pub(crate) body_bytes: u64,
    pub(crate) upstreams: Vec<Upstream>,
    /// The longest time of each phase since [`take_longest`](Self::take_longest), in nanoseconds.
    longest: [u64; PHASES],
}

/// The requests that ended at an address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upstream {
    /// The address. Empty: the requests that were sent to no application.
    pub(crate) name: String,
    /// Which server has the address now: the number of its application, and its ID there.
    server: Option<(usize, ServerId)>,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) phases: [Histogram; PHASES],
}

/// The phases of a request, each measured from its start but `connect`: until the request had a connection, until the
/// connection was open if one was opened for it, until the first byte of output, until the end.
pub(crate) const PHASE_NAMES: [&str; PHASES] = ["queue", "connect", "first_byte", "total"];
pub(crate) const PHASES: usize = 4;

impl Counters {
    pub(crate) fn count_answer(&mut self, status: u16, body_len: u64) {
        self.classes[usize::from(status / 100).clamp(1, 5) - 1] += 1;
        self.body_bytes += body_len;
    }

    /// Counts the end of a request to the application with this number. `name` makes the address of a server that was not
    /// seen before.
    pub(crate) fn count_end(
        &mut self,
        application: usize,
        outcome: &Outcome,
        name: impl FnOnce(ServerId) -> String,
    ) {
        let report = match outcome {
            Ok(completion) => &completion.report,
            Err(failure) => &failure.report,
        };
        let times = times(report);
        let server = report.server.map(|server| (application, server));
        let upstream = find(&mut self.upstreams, server, name);
        match outcome {
            Ok(_) => upstream.completed += 1,
            Err(_) => upstream.failed += 1,
        }
        let phases = upstream.phases.iter_mut().zip(&mut self.longest);
        for ((histogram, longest), time) in phases.zip(times) {
            if let Some(time) = time {
                histogram.observe(time);
                *longest = nanos(time).max(*longest);
            }
        }
    }

    /// Responses by class: `2xx` and their number.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .into_iter()
            .zip(self.classes)
    }

    pub(crate) fn answered(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Responses that report a failure of the server.
    pub(crate) fn errors(&self) -> u64 {
        self.classes[4]
    }

    /// The longest time of each phase since the last call, in nanoseconds.
    pub(crate) fn take_longest(&mut self) -> [u64; PHASES] {
        std::mem::take(&mut self.longest)
    }
}

/// How long each phase took. `None`: the request did not have it.
fn times(report: &Report) -> [Option<Duration>; PHASES] {
    let timings = report.timings;
    let total = timings.total();
    // A request that got no connection was queued until it ended.
    let queue = timings.queued().unwrap_or(total);
    [
        Some(queue),
        timings.connect(),
        timings.first_byte(),
        Some(total),
    ]
}

/// The counters of a server.
fn find(
    all: &mut Vec<Upstream>,
    server: Option<(usize, ServerId)>,
    name: impl FnOnce(ServerId) -> String,
) -> &mut Upstream {
    let known = all.iter().position(|it| it.server == server);
    let at = known.unwrap_or_else(|| {
        let mut name = server.map(|it| name(it.1)).unwrap_or_default();
        // An address that was removed and is there again has another server of its application.
        let is_of = |it: &Upstream| it.server.map(|it| it.0) == server.map(|it| it.0);
        let mut at = all.iter().position(|it| it.name == name && is_of(it));
        if at.is_none() && all.len() >= MAX_UPSTREAMS {
            name = OTHERS.to_owned();
            at = all.iter().position(|it| it.name == name);
        }
        let at = at.unwrap_or(all.len());
        if at == all.len() {
            all.push(Upstream {
                name,
                ..Upstream::default()
            });
        }
        all[at].server = server;
        at
    });
    &mut all[at]
}

/// The most addresses that are counted each for itself.
const MAX_UPSTREAMS: usize = 64;
/// The name of all others together.
const OTHERS: &str = "others";

#[cfg(test)]
mod tests {
    use mio_fcgi::Completion;

    use super::*;

    #[test]
    fn addresses_are_bounded_and_counted_again_under_another_server() {
        let mut counters = Counters::default();
        let mut end_of = |application, server, name: &str| {
            let mut report = Report::default();
            report.server = server;
            let outcome = Ok(Completion::new(0, report));
            counters.count_end(application, &outcome, |_| name.to_owned());
        };
        // Another application has servers of the same numbers.
        end_of(1, Some(ServerId::new(0)), "unix:/other");
        let mut end = |server, name: &str| end_of(0, server, name);
        end(None, "never asked for");
        for number in 0..100 {
            end(Some(ServerId::new(number)), &format!("unix:/{number}"));
        }
        end(Some(ServerId::new(100)), "unix:/0");
        end(Some(ServerId::new(0)), "unix:/0");
        let upstreams = &counters.upstreams;
        let count = |name: &str| {
            upstreams
                .iter()
                .find(|it| it.name == name)
                .map(|it| it.completed)
        };
        assert_eq!(upstreams.len(), MAX_UPSTREAMS + 1);
        assert_eq!((count("unix:/other"), count("")), (Some(1), Some(1)));
        assert_eq!((count("unix:/0"), count("others")), (Some(3), Some(38)));
        assert_eq!((count("unix:/61"), count("unix:/62")), (Some(1), None));
        assert_eq!(upstreams.iter().map(|it| it.completed).sum::<u64>(), 104);
    }

    #[test]
    fn a_status_counts_for_its_class() {
        let mut counters = Counters::default();
        for status in [0, 101, 200, 304, 404, 499, 503, 999, u16::MAX] {
            counters.count_answer(status, 10);
        }
        let counts: Vec<u64> = counters.classes().map(|it| it.1).collect();
        assert_eq!(counts, [2, 1, 1, 2, 3]);
        assert_eq!(
            (counters.answered(), counters.errors(), counters.body_bytes),
            (9, 3, 90)
        );
    }
}
