//! HTTP/1 itself: heads and conditions. Nothing here knows sockets or FastCGI.

pub(crate) mod conditional;
pub(crate) mod forwarded;
pub(crate) mod head;
pub(crate) mod proxy_header;
pub(crate) mod refusal;
mod request_line;
pub(crate) mod request_reader;
pub(crate) mod response_head;

use super::net;
