//! A client's socket and what it needs: buffers, the time, files for long bodies.

pub(crate) mod buffer_pool;
pub(crate) mod client_address;
pub(crate) mod clock;
pub(crate) mod file_queue;
pub(crate) mod lent;
pub(crate) mod listener;
pub(crate) mod outbox;
pub(crate) mod socket;
pub(crate) mod spill;
pub(crate) mod spool;
pub(crate) mod stream;
pub(crate) mod timers;

use super::site;
