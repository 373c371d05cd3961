//! What a request gets when it is put on a connection.

use crate::event::ConnectionHandle;
use crate::report::Elapsed;

/// The connection that a request gets, and its place there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assignment {
    pub(crate) connection: ConnectionHandle,
    pub(crate) id: u16,
    pub(crate) is_reused: bool,
    /// How long the connect took, if the request is the first on the connection.
    pub(crate) connecting: Option<Elapsed>,
}
