//! What is asked of each application in the same way.

use std::time::{Duration, Instant};

use mio_fcgi::{Body, CloseReason, Config, Multiplex, Request, RequestError, ServerValues};

use crate::harness::client::{Loop, get, post, post_with};
use crate::harness::{Listen, echo_of, pattern};

/// What the application says of itself.
pub(crate) fn values(client: &mut Loop) -> ServerValues {
    let tag = client.get_values();
    let exchange = client.finish(tag);
    exchange.completion();
    exchange.values.expect("Values come before the end")
}
