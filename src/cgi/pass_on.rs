//! What became of a body that was passed on to an application.

use thiserror::Error;

use super::RequestBodyError;
use crate::error::StdinError;

/// How far a body was passed on, from [`Commands::pass_on`](crate::Commands::pass_on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PassedOn {
    /// All of the input was passed on. The client has to send more; if it waits for that, send it
    /// [`100 Continue`](super::RequestBody::take_continue).
    NeedsInput,
    /// The application takes no more for now. Keep what is left of the input, do not read the client's socket, and call
    /// again at [`StdinReady`](crate::EventKind::StdinReady).
    Full,
    /// The application has the whole body, or gets it from the client's buffer.
    Complete,
    /// The request has ended, and nobody takes the rest. Its `End` is queued or was taken, and says how.
    Gone,
}

/// Why a body cannot be passed on any further.
///
/// The request continues, and would wait for the rest without end: [`abort`](crate::Client::abort) it, answer with the
/// [status](Self::http_status), and close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PassOnError {
    /// What the client sends is no body, or too long.
    #[error(transparent)]
    Body(#[from] RequestBodyError),
    /// The client takes no more of this body: it has an unknown length and is longer than
    /// [`UnknownLength::Buffer`](crate::UnknownLength::Buffer) allows, or the request was not made with
    /// [`RequestBody::to_pushed`](super::RequestBody::to_pushed). Never [`StdinError::Gone`].
    #[error(transparent)]
    Stdin(StdinError),
}
