//! Checks of the counts of the requests against what they count.

use super::{Request, Requests, State};

impl Requests {
    /// # Panics
    /// When a count is wrong, which is a defect of this library.
    pub(crate) fn check(&self) {
        let count = |is_it: fn(&Request) -> bool| self.iter().filter(|(_, it)| is_it(it)).count();
        let queued = count(Request::is_queued);
        assert_eq!(self.queue.len(), queued, "requests in the queue");
        self.queue.check();
        let buffering = count(|it| matches!(it.state(), State::Buffering { .. }));
        assert_eq!(self.queue.buffering(), buffering, "bodies being buffered");
        let buffered: usize = self.iter().map(|(_, it)| it.output().buffered()).sum();
        assert_eq!(self.kept.len(), buffered, "bytes kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_wrong_count_is_found() {
        let right: fn(&mut Requests) = |_| {};
        let wrong: [fn(&mut Requests); 3] = [
            |requests| requests.queue.expect_one(),
            |requests| requests.kept.add(1),
            |requests| {
                requests
                    .queue
                    .push_back(0, crate::engine::requests::Line::Usual)
            },
        ];
        for (number, change) in std::iter::once(right).chain(wrong).enumerate() {
            let mut requests = Requests::new(1, 1, crate::timeouts::Timeouts::NONE);
            change(&mut requests);
            let checked = catch_unwind(AssertUnwindSafe(|| requests.check()));
            assert_eq!(checked.is_ok(), number == 0, "change {number}");
        }
    }
}
