//! The whole state of an engine as text, for this crate's tests: they compare engines.

use std::fmt;

use slab::Slab;

use super::Engine;
use super::connection::Connection;

/// Shows each field that changes what the engine does later. Left out are the counters, the spare memory, and the
/// configuration apart from its limits, which is the only part that changes.
pub(crate) struct Inside<'a>(&'a Engine);

impl Engine {
    pub(crate) fn inside(&self) -> Inside<'_> {
        Inside(self)
    }
}

impl fmt::Debug for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = self.0;
        f.debug_struct("Inside")
            .field("now", &engine.timeline.now())
            .field("limits", &engine.config.limits)
            .field("lifecycle", &engine.lifecycle)
            .field("pool", &engine.pool)
            .field("next_key", &engine.connections.vacant_key())
            .field("connections", &Entries(&engine.connections))
            .field("requests", &engine.requests)
            .field("pending", &engine.pending)
            .field("timers", &engine.timers)
            .field("reads_are_reported", &engine.reads_are_reported)
            .finish_non_exhaustive()
    }
}

struct Entries<'a>(&'a Slab<Connection>);

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::{Action, Config, Engine, Request, Tag};

    #[test]
    fn engines_look_alike_only_if_they_are() {
        let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        let now = Instant::now();
        let [(mut one, handle), (mut other, _)] = [(); 2].map(|()| {
            let mut engine = Engine::new(config.clone()).expect("a valid configuration");
            let submitted = engine.submit(now, Request::responder(), Tag(0));
            (engine, submitted.expect("accepted"))
        });
        let shown = |engine: &Engine| format!("{:?}", engine.inside());
        assert_eq!(shown(&one), shown(&other));
        // First only a request tells them apart, then only a connection.
        one.pause(now, handle);
        assert_ne!(shown(&one), shown(&other));
        other.pause(now, handle);
        let actions = [&mut one, &mut other].map(|engine| engine.poll_action());
        let Some(Action::Connect { connection, .. }) = actions[0] else {
            panic!("a connect");
        };
        one.handle_connected(now, connection);
        other.handle_connected(now, connection);
        assert_eq!(shown(&one), shown(&other));
        one.note_readable(connection);
        other.note_drained(connection);
        assert_ne!(shown(&one), shown(&other));
    }
}
