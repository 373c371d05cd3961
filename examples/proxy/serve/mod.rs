//! The worker: the clients of one loop, and what happens in which order in a turn.

pub(crate) mod connection;
mod entrance;
mod leftovers;
mod preamble;
pub(crate) mod schedule;
pub(crate) mod teardown;
pub(crate) mod worker;

#[cfg(test)]
use super::status;
use super::{http, net, request, site};
