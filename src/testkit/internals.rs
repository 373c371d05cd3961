//! For this crate's own tests, which look deeper than a user's.
//!
//! Nothing in here is covered by semantic versioning, and neither are the hidden methods of the public types: all of it
//! may change in any release.

pub use super::details::{AppStatus, Details, SecondBegin, Values};
pub use super::dialogue::Dialogue;
pub use super::link::{Break, CloseKind, Towards};
pub use super::rng::Rng;
pub use super::server::Notice;
pub use super::tally::Tally;
