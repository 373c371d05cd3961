//! For this crate's own tests, which look deeper than a user's.
//!
//! Nothing in here is covered by semantic versioning, and neither are the hidden methods of the public types: all of it
//! may change in any release.

use std::fmt;

use crate::engine::Engine;

pub use super::details::{AppStatus, Details, SecondBegin, Values};
pub use super::dialogue::Dialogue;
pub use super::link::{Break, CloseKind, Towards};
pub use super::rng::Rng;
pub use super::server::Notice;
pub use super::tally::Tally;

/// The whole state of an engine, to compare engines: with equal texts, they do the same from now on. Instants are
/// nanoseconds since the first one; handles and serial numbers count up.
#[must_use]
pub fn inside(engine: &Engine) -> impl fmt::Debug + '_ {
    engine.inside()
}
