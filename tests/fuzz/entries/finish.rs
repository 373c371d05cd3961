//! The end of a run: everything ends, and nothing is left.

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{Counters, Delivery};

use super::driver::Driver;

impl Driver {
    /// Shuts down at once, or lets the application answer everything first. Returns the counters of the run.
    pub(super) fn finish(&mut self, at_once: bool) -> Counters {
        self.reaction = 0;
        if at_once {
            self.shutdown(Some(self.now));
            self.time_out();
            self.act();
        } else {
            self.wind_up();
        }
        for (tag, asked) in &self.requests {
            assert!(
                asked.outcome.is_some(),
                "{tag} has not ended: {asked:?}, {:?}",
                self.engine
            );
        }
        while !self.links.is_empty() {
            self.remove(0);
        }
        self.check();
        assert!(self.engine.is_idle(), "{:?}", self.engine);
        assert!(self.engine.is_shut_down());
        assert_eq!(self.engine.stats().bytes_buffered, 0);
        assert!(!self.engine.has_output());
        for (tag, asked) in &self.requests {
            let Some(Err(failure)) = &asked.outcome else {
                continue;
            };
            if failure.delivery == Delivery::NotProcessed && !self.is_wild {
                let seen = self.seen.iter().filter(|it| it.1 == *tag).count();
                let refused = self.refused.iter().filter(|it| *it == tag).count();
                assert!(seen <= refused, "{tag} was sent: {failure:?}");
            }
        }
        self.engine.stats().counters
    }

    /// Lets everything that can make progress do so, until nothing is left.
    fn wind_up(&mut self) {
        for tag in self.requests.keys().copied().collect::<Vec<_>>() {
            self.resume(tag);
            // A body that is too short ends its request.
            let _ = self
                .engine
                .finish_stdin(self.now, self.requests[&tag].handle);
        }
        self.shutdown(None);
        for _ in 0..10_000 {
            self.act();
            self.check();
            if self.engine.is_idle() {
                return;
            }
            let mut moved = false;
            for place in (0..self.links.len()).rev() {
                moved |= self.serve(place);
            }
            if !moved {
                let due = self.engine.deadline(self.now);
                self.now = due.unwrap_or_else(|| panic!("nothing will wake {:?}", self.engine));
                self.time_out();
            }
        }
        panic!("no end of {:?}", self.engine);
    }

    /// Serves one connection as far as possible. Returns whether there was progress.
    fn serve(&mut self, place: usize) -> bool {
        if !self.links[place].is_open {
            self.connected(place);
            return true;
        }
        let sent = self.transmit(place, usize::MAX);
        let far = &mut self.links[place].far;
        for _ in 0..8 {
            far.end(0, ProtocolStatus::RequestComplete);
        }
        far.answer_values(1);
        self.read(place, usize::MAX) || sent
    }
}
