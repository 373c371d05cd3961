//! Output that nobody gets: its response is complete, or its client is gone, and the application goes on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::site::applications::RequestHandle;

/// The requests with output that nobody gets.
///
/// A script may work on after its response, and is not disturbed. But what it sends is read and dropped, which costs
/// the loop as much as a response does, and a script that is asked for a HEAD may never stop.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    requests: HashMap<RequestHandle, Dropped>,
}

#[derive(Debug)]
struct Dropped {
    bytes: usize,
    since: Instant,
}

impl Leftovers {
    /// Drops output of a request. True if the request has to be aborted: after 64 KiB, or when it still sends something
    /// after 5 s.
    pub(crate) fn drop_output(&mut self, now: Instant, request: RequestHandle, len: usize) -> bool {
        let new = Dropped {
            bytes: 0,
            since: now,
        };
        let dropped = self.requests.entry(request).or_insert(new);
        dropped.bytes = dropped.bytes.saturating_add(len);
        dropped.bytes > MAX_BYTES || now >= dropped.since + MAX_TIME
    }

    /// The request has ended.
    pub(crate) fn forget(&mut self, request: RequestHandle) {
        // Hashing takes a while, and most requests have no output dropped.
        if !self.requests.is_empty() {
            self.requests.remove(&request);
        }
    }
}

const MAX_BYTES: usize = 64 * 1024;
const MAX_TIME: Duration = Duration::from_secs(5);
