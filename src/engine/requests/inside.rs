//! The state of all requests as text, for [`Inside`](crate::engine::inside::Inside).

use std::fmt;

use super::Requests;

/// Without the counts and the spare memory, which change nothing that the engine does.
impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("next_generation", &self.next_generation)
            .field("next_key", &self.places.next_key())
            .field("places", &Entries(self))
            .field("queue", &self.queue)
            .field("notices", &self.notices)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

struct Entries<'a>(&'a Requests);

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter()).finish()
    }
}
