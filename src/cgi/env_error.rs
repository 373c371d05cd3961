//! Why an HTTP request cannot be made into parameters.

use thiserror::Error;

/// Why an HTTP request cannot be made into parameters.
///
/// Fields are counted from 0. No value of a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvError {
    /// The method is not an HTTP token (RFC 9110, 9.1).
    #[error("the method is not an HTTP token")]
    Method,
    /// The protocol version is not printable ASCII.
    #[error("the protocol version is not printable ASCII")]
    Protocol,
    /// The target is neither a path nor `*`. Remove scheme and authority first, and replace `Host` with the authority
    /// (RFC 9112, 3.2.2).
    #[error("the target does not begin with a slash: take scheme and authority off first")]
    TargetForm,
    /// The target holds a control byte, a space or a `#`.
    #[error("the target holds the byte {byte:#04x}")]
    Target {
        /// The first byte that is not allowed.
        byte: u8,
    },
    /// The root, file name, name or path info of the script holds NUL, CR or LF.
    #[error("the script's path holds the byte {byte:#04x}")]
    Script {
        /// The first byte that is not allowed.
        byte: u8,
    },
    /// [`Env::server_name`](super::Env::server_name) holds NUL, CR or LF.
    #[error("the server's name holds the byte {byte:#04x}")]
    ServerName {
        /// The first byte that is not allowed.
        byte: u8,
    },
    /// The name of a field is not an HTTP token (RFC 9110, 5.1). It holds a space, `=` or a line break, for example.
    #[error("the name of field {index} is not an HTTP token")]
    FieldName {
        /// The position of the field.
        index: usize,
    },
    /// The value of a field holds NUL, CR or LF (RFC 9110, 5.5).
    #[error("the value of field {index} holds the byte {byte:#04x}")]
    FieldValue {
        /// The position of the field.
        index: usize,
        /// The first byte that is not allowed.
        byte: u8,
    },
    /// A field that may occur only once is repeated: `Host`, `Content-Type` with another value, or credentials that are
    /// passed.
    #[error("the field {name} is there more than once")]
    Repeated {
        /// The name of the field.
        name: &'static str,
    },
    /// `Host` is not a host with an optional port (RFC 9110, 7.2).
    #[error("the field Host is not a host and port")]
    Host,
    /// There are more fields than [`FieldRules::max_fields`](super::FieldRules::max_fields): a server answers 431.
    #[error("more than {limit} fields: raise max_fields if that is right")]
    TooManyFields {
        /// The value of `max_fields`.
        limit: usize,
    },
    /// `Connection` lists more options than are checked.
    #[error("the field Connection lists more than {limit} options")]
    ConnectionOptions {
        /// The most options that are checked.
        limit: usize,
    },
}
