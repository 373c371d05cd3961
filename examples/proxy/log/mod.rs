//! The access log, and the thread that writes it.

pub(crate) mod access_log;
pub(crate) mod log_writer;
