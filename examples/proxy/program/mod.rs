//! The program around the worker: its command line, its loop, its threads. Left behind by whoever takes the worker.

pub(crate) mod arguments;
pub(crate) mod descriptors;
pub(crate) mod event_loop;
pub(crate) mod signals;
pub(crate) mod threads;

use super::{serve, site};
