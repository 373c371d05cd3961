//! The program around the worker: its command line, its event loop, its threads. A server that embeds the worker does
//! not need this folder.

pub(crate) mod arguments;
pub(crate) mod descriptors;
pub(crate) mod event_loop;
pub(crate) mod signals;
pub(crate) mod threads;

use super::{serve, site};
