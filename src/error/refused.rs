//! A request that `submit` refused, and who may have it next.

use thiserror::Error;

use super::SubmitError;
use crate::request::Request;

/// A request that `submit` did not accept, and the reason. No byte was sent, and no `End` follows.
///
/// The request is returned unchanged: [`for_another_client`](Self::for_another_client) hands it on, if another client may
/// accept it.
///
/// The type is not `Sync`, because a body may contain a reader. `SubmitError::from` keeps only the reason, which is
/// `Sync`.
#[derive(Debug, Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct Refused {
    /// Why the request was not accepted.
    pub error: SubmitError,
    /// The request. If the reason is [`SubmitError::BodyRead`] or [`SubmitError::BodyTooLarge`], its body was read, at
    /// least in part.
    pub request: Request,
}

impl Refused {
    /// The request, for another client, if the client was the reason: its queue is full, or it is shutting down.
    ///
    /// Nothing of the body was read then. The other client decides by its own limits.
    ///
    /// ```
    /// # use std::time::Instant;
    /// # use mio_fcgi::{Commands, Config, Engine, Refused, Request, RequestHandle, Tag};
    /// fn submit_to_either(
    ///     first: &mut impl Commands,
    ///     second: &mut impl Commands,
    ///     (now, request, tag): (Instant, Request, Tag),
    /// ) -> Result<RequestHandle, Box<Refused>> {
    ///     first.submit(now, request, tag).or_else(|it| second.submit(now, it.for_another_client()?, tag))
    /// }
    /// # let engine = || Engine::new(Config::new("127.0.0.1:9000".parse().expect("an address")));
    /// # let (mut first, mut second, now) = (engine()?, engine()?, Instant::now());
    ///
    /// first.shutdown(now, None);
    /// submit_to_either(&mut first, &mut second, (now, Request::responder(), Tag(1)))?;
    /// assert_eq!(second.stats().requests.connecting, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The refusal itself, if the request was the reason: another client with the same configuration would refuse it, too.
    /// Also if the request [names its server](Request::server), by an ID that means another server elsewhere.
    pub fn for_another_client(self: Box<Self>) -> Result<Request, Box<Self>> {
        if self.error.is_unavailable() && self.request.server.is_none() {
            Ok(self.request)
        } else {
            Err(self)
        }
    }
}

impl SubmitError {
    /// Whether the client was the reason, and not the request: [`QueueFull`](Self::QueueFull) or
    /// [`ShuttingDown`](Self::ShuttingDown). Another client may accept the request; after `QueueFull` also this one, later.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::QueueFull { .. } | Self::ShuttingDown)
    }
}

/// Keeps the reason and drops the request.
impl From<Box<Refused>> for SubmitError {
    fn from(refused: Box<Refused>) -> Self {
        refused.error
    }
}
