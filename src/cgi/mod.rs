//! Between HTTP and FastCGI: what a Responder is told of a request, and what its output says (RFC 3875).
//!
//! - [`ScriptMap`] finds the script that a target stands for.
//! - [`Env`] turns a request into parameters.
//! - [`HeadParser`] reads the head of a response from pieces of any size.
//! - [`Collector`] gathers one exchange into a [`Response`], and tells a complete one from one cut short.

mod collector;
mod env;
mod env_error;
mod fields;
mod head;
mod head_parser;
mod octets;
mod response;
mod script;
mod writer;

pub use collector::{Collector, ResponseLimits, has_body};
pub use env::{Env, site_params};
pub use env_error::EnvError;
pub use fields::{FieldRules, is_host};
pub use head::{Head, HeadError, HeadRules};
pub use head_parser::HeadParser;
pub use response::{Completeness, Field, Incomplete, Interim, Response, ResponseError};
pub use script::{Forbidden, Invalid, Resolution, Script, ScriptMap};
