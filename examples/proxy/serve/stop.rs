//! The end: what is being served is finished, for a while.

use super::teardown::NOT_ANSWERED;
use super::worker::{Running, Worker};

impl Worker {
    /// Stops taking clients, and says so to those who are there. The second time: ends at once.
    pub(crate) fn stop(&mut self) {
        if self.running != Running::Yes {
            return self.end();
        }
        // Those whom the system has let in already would otherwise be reset.
        while self.may_accept() {
            self.accept();
        }
        self.listener = None;
        let deadline = self.clock.now + self.options.grace;
        self.running = Running::Stopping { deadline };
    }

    /// While stopping: idle clients go, also those that turn out to be after their first turn; with the last client the
    /// FastCGI connections, and then the loop.
    pub(crate) fn stop_when_empty(&mut self) {
        let Running::Stopping { deadline } = self.running else {
            return;
        };
        let now = self.clock.now;
        self.let_idle_go(Some(now), usize::MAX);
        if now >= deadline {
            self.end();
        } else if self.connections.is_empty() {
            self.fcgi.shutdown(now, Some(deadline));
        }
    }

    /// Ends at once, and says what that cut off.
    fn end(&mut self) {
        let left = self.connections.len();
        if left > 0 {
            let date = self.clock.log();
            self.log
                .problem(date, format_args!("{left} clients did not end in time"));
        }
        let keys: Vec<usize> = self.connections.iter().map(|entry| entry.0).collect();
        for key in keys {
            self.end_client(key, NOT_ANSWERED);
            self.settle(key);
        }
        self.running = Running::Stopped;
    }
}
