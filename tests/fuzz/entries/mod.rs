//! What the fuzz targets do with their bytes. `tests/fuzz/main.rs` runs the same over the corpus.
//!
//! Each entry panics where a promise is broken. None of them depends on anything but its input.

mod asked;
mod body;
mod calls;
mod ceilings;
mod changes;
mod choices;
mod driver;
mod env;
mod far;
mod finish;
mod head;
mod http;
mod lists;
mod params;
mod passed_on;
mod received;
mod reply;
mod settings;

pub use body::body;
pub use calls::calls;
pub use changes::changes;
pub use env::env;
pub use head::head;
pub use http::http;
pub use params::params;
pub use received::received;
pub use reply::reply;
