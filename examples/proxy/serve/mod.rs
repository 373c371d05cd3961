//! The worker: the clients of one loop, and the order of its turns.

pub(crate) mod connection;
pub(crate) mod request_reader;
pub(crate) mod stop;
pub(crate) mod teardown;
pub(crate) mod worker;

use super::{http, log, net, site};
