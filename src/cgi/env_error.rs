//! Why an HTTP request does not become parameters.

use thiserror::Error;

/// Why a request does not become parameters. Fields are counted from 0, and no value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvError {
    /// Not an HTTP token (RFC 9110, 9.1).
    #[error("the method is not an HTTP token")]
    Method,
    /// Not printable ASCII.
    #[error("the protocol version is not printable ASCII")]
    Protocol,
    /// Neither a path nor `*`: take scheme and authority off first, the authority taking the place of `Host` (RFC
    /// 9112, 3.2.2).
    #[error("the target does not begin with a slash: take scheme and authority off first")]
    TargetForm,
    /// A control byte, a blank or a `#` in the target.
    #[error("the target holds the byte {byte:#04x}")]
    Target {
        /// The first such byte.
        byte: u8,
    },
    /// NUL, CR or LF in the script's names.
    #[error("the script's path holds the byte {byte:#04x}")]
    Script {
        /// The first such byte.
        byte: u8,
    },
    /// NUL, CR or LF in [`Env::server_name`](super::Env::server_name).
    #[error("the server's name holds the byte {byte:#04x}")]
    ServerName {
        /// The first such byte.
        byte: u8,
    },
    /// A name that is no HTTP token (RFC 9110, 5.1), such as one with a blank, `=` or a line break.
    #[error("the name of field {index} is not an HTTP token")]
    FieldName {
        /// Which field.
        index: usize,
    },
    /// NUL, CR or LF in a value (RFC 9110, 5.5).
    #[error("the value of field {index} holds the byte {byte:#04x}")]
    FieldValue {
        /// Which field.
        index: usize,
        /// The first such byte.
        byte: u8,
    },
    /// A field that may be there once only: `Host` or `Content-Type`.
    #[error("the field {name} is there more than once")]
    Repeated {
        /// Its name.
        name: &'static str,
    },
    /// A `Host` that is not a host with perhaps a port (RFC 9110, 7.2).
    #[error("the field Host is not a host and port")]
    Host,
    /// More fields than [`FieldRules::max_fields`](super::FieldRules::max_fields): a server answers 431.
    #[error("more than {limit} fields: raise max_fields if that is right")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
    /// More options in `Connection` than are looked at.
    #[error("the field Connection lists more than {limit} options")]
    ConnectionOptions {
        /// The limit.
        limit: usize,
    },
}
