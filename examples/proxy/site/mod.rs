//! What all requests of a loop share.

pub(crate) mod addresses;
pub(crate) mod admission;
pub(crate) mod applications;
pub(crate) mod budget;
pub(crate) mod context;
pub(crate) mod fastcgi;
mod fpm_status;
pub(crate) mod listen;
pub(crate) mod metrics;
mod mount;
pub(crate) mod mounts;
pub(crate) mod options;
mod place;
mod prefix;
pub(crate) mod routes;
pub(crate) mod sent_files;
pub(crate) mod trusted;
mod upstreams;
mod values;

use super::{command_line, log, net, status};
