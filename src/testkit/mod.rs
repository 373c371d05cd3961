//! Testing without sockets: scripted applications, a virtual wire, a virtual clock (feature `testkit`).

mod application;
mod far_side;
mod habits;
mod link;
mod network;
pub mod records;
mod rng;
mod script;
mod scripted;
mod sim;
mod trace;
mod wire;

pub use application::{Application, Replies};
pub use habits::{Abort, AppStatus, Habits, SecondBegin, UnknownRole, Values};
pub use link::{Connect, Server};
pub use network::{Network, OnEvent};
pub use records::Records;
pub use rng::Rng;
pub use script::{Received, Script};
pub use scripted::Scripted;
pub use sim::Sim;
pub use wire::{Fragments, Wire};
