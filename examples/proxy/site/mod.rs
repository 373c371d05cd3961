//! What all requests of a loop share.

pub(crate) mod admission;
pub(crate) mod context;
pub(crate) mod fastcgi;
pub(crate) mod metrics;
pub(crate) mod options;
pub(crate) mod routes;
mod values;

use super::{command_line, log, net};
