//! The access log, the thread that writes it, and the IDs of requests.

pub(crate) mod access_log;
pub(crate) mod log_writer;
pub(crate) mod request_id;
pub(crate) mod stderr_rate;

use super::net;
