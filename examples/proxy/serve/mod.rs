//! The worker: the clients of one loop, and the order of its turns.

pub(crate) mod connection;
pub(crate) mod schedule;
pub(crate) mod teardown;
pub(crate) mod worker;

use super::{http, net, request, site};
