//! Checks of running counts against what they count.
//!
//! The engine keeps counts where each request would otherwise have to walk everything. Builds with debug assertions
//! check the counts in [`Engine::stats`], which walks everything anyway.

use super::Engine;
use super::connection;

impl Engine {
    /// # Panics
    /// When a count is wrong, which is a defect of this library.
    pub(super) fn check_invariants(&self) {
        self.requests.check();
        self.pool.check(&self.connections);
        let mut counted = vec![[0; 5]; self.connections.capacity()];
        for (_, request) in self.requests.iter() {
            let Some(on) = request.connection() else {
                continue;
            };
            if connection::get(&self.connections, on).is_none() {
                continue;
            }
            let weight = request.output().weight();
            let more = [
                1,
                usize::from(request.is_aborting()),
                usize::from(weight.is_paused),
                usize::from(weight.is_full),
                weight.buffered,
            ];
            for (sum, more) in counted[on.index as usize].iter_mut().zip(more) {
                *sum += more;
            }
        }
        for (key, connection) in &self.connections {
            assert_eq!(
                connection.counts(),
                counted[key],
                "connection {key}: requests, aborting, paused, full, bytes kept"
            );
            assert!(
                !connection.has_forgotten_head(key as u32, &self.requests),
                "connection {key}: nothing is unsent, and a head waits"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Engine;
    use crate::{Config, Request, Tag};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Instant;

    #[test]
    fn a_wrong_count_is_found_by_whoever_asks_for_the_gauges() {
        let right: fn(&mut Engine) = |_| {};
        let wrong: [fn(&mut Engine); 15] = [
            |engine| engine.requests.dequeue(0),
            |engine| engine.requests.remove(0),
            |engine| _ = engine.connections[0].set_late(),
            |engine| _ = engine.connections[0].take_expected(),
            |engine| engine.connections[0].add_request(Default::default()),
            |engine| engine.connections[0].begin_abort(),
            |engine| engine.connections[0].note_paused(),
            |engine| engine.connections[0].note_kept(0, true),
            |engine| engine.connections[0].note_kept(1, false),
            |engine| _ = engine.pool.dial(0, true),
            |engine| engine.pool.assigned(0, 0, 1),
            |engine| engine.pool.lists_mut(0).add_shareable(0),
            |engine| engine.pool.add_idle(0, 0, &engine.config),
            |engine| engine.pool.note_late(0, Default::default()),
            |engine| drop(engine.connections.remove(0)),
        ];
        for (number, change) in std::iter::once(right).chain(wrong).enumerate() {
            let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
            let mut engine = Engine::new(config).expect("a valid configuration");
            let submitted = engine.submit(Instant::now(), Request::responder(), Tag(0));
            submitted.expect("accepted");
            change(&mut engine);
            let looked = catch_unwind(AssertUnwindSafe(|| engine.stats()));
            assert_eq!(looked.is_ok(), number == 0, "change {number}");
        }
    }
}
