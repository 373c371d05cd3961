//! Between HTTP and FastCGI: what a Responder is told of a request, and what its output says (RFC 3875).
//!
//! - [`HeadParser`] reads the head of a response from pieces of any size.
//! - [`Collector`] gathers one exchange into a [`Response`], and tells a complete one from one cut short.

mod collector;
mod head;
mod head_parser;
mod response;

pub use collector::{Collector, ResponseLimits, has_body};
pub use head::{Head, HeadError, HeadRules};
pub use head_parser::HeadParser;
pub use response::{Completeness, Field, Incomplete, Interim, Response, ResponseError};
