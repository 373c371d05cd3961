//! A FastCGI client for programs that own their mio event loop.

mod address;
pub mod blocking;
pub mod cgi;
mod config;
mod engine;
mod error;
mod event;
pub mod guide;
mod net;
mod report;
mod request;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod wire;

pub use address::{Address, AddressError};
pub use config::{
    AtLimit, Backoff, Config, ConfigError, Limits, Multiplex, Stall, Timeouts, UnknownLength,
};
pub use engine::{
    Action, CloseReason, ConnectionGauges, Counters, Disconnected, Engine, RequestGauges, Stats,
    Transmit,
};
pub use error::{
    BodyError, ConnectError, Delivery, Failure, LostReason, Phase, ProtocolError, RequestError,
    StdinError, SubmitError, TimeoutKind,
};
pub use event::{
    Completion, ConnectionHandle, Event, Outcome, OwnedEvent, RequestHandle, ServerValues, Tag,
};
pub use net::{Client, ReadBuf};
pub use report::{Report, Timings};
pub use request::{Body, Params, Request, Retry, SharedParams};
