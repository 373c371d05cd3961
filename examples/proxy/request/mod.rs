//! One request and its response.

mod beneath;
pub(crate) mod elsewhere;
pub(crate) mod error_page;
pub(crate) mod exchange;
pub(crate) mod file;
mod limit_option;
mod named_file;
mod origin;
mod piece;
pub(crate) mod response;
pub(crate) mod start;
pub(crate) mod status_page;
pub(crate) mod trace;
pub(crate) mod upload;

use super::{http, log, net, site, status};
