//! What all requests of a loop share.

pub(crate) mod addresses;
pub(crate) mod admission;
pub(crate) mod context;
pub(crate) mod fastcgi;
pub(crate) mod listen;
pub(crate) mod metrics;
pub(crate) mod options;
pub(crate) mod routes;
pub(crate) mod trusted;
mod upstreams;
mod values;

use super::{command_line, log, net, status};
