//! Whether a range of tokens suffices for the connections of a client.

use std::ops::Range;

use crate::config_error::ConfigError;
use crate::limits::Limits;

/// # Errors
/// [`ConfigError::TooFewTokens`].
pub(super) fn check_tokens(
    tokens: &Range<usize>,
    servers: usize,
    limits: &Limits,
) -> Result<(), ConfigError> {
    let connections = limits.max_connections_per_server.saturating_mul(servers);
    let connections = connections.min(limits.max_total_connections);
    if tokens.len() < connections {
        return Err(ConfigError::TooFewTokens {
            tokens: tokens.len(),
            connections,
        });
    }
    Ok(())
}
