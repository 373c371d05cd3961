//! The program around the worker: its command line, its event loop, its threads. A server that embeds the worker does
//! not need this folder.

pub(crate) mod arguments;
pub(crate) mod descriptors;
pub(crate) mod event_loop;
#[cfg(target_os = "linux")]
pub(crate) mod handed_over;
pub(crate) mod listeners;
pub(crate) mod memory;
pub(crate) mod signals;
pub(crate) mod threads;
#[cfg(unix)]
pub(crate) mod unix_socket;
pub(crate) mod upstreams;
#[cfg(target_os = "linux")]
pub(crate) mod user;

use super::{net, serve, site, watch};
