//! The specification's names, for messages and logs.

use std::fmt;

use super::{ProtocolStatus, RecordType, Role};

/// The specification's name (`FCGI_STDOUT`), or `type 200` for a number that it does not define.
impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeginRequest => "FCGI_BEGIN_REQUEST",
            Self::AbortRequest => "FCGI_ABORT_REQUEST",
            Self::EndRequest => "FCGI_END_REQUEST",
            Self::Params => "FCGI_PARAMS",
            Self::Stdin => "FCGI_STDIN",
            Self::Stdout => "FCGI_STDOUT",
            Self::Stderr => "FCGI_STDERR",
            Self::Data => "FCGI_DATA",
            Self::GetValues => "FCGI_GET_VALUES",
            Self::GetValuesResult => "FCGI_GET_VALUES_RESULT",
            Self::UnknownType => "FCGI_UNKNOWN_TYPE",
            Self::Unassigned(number) => return write!(f, "type {number}"),
        })
    }
}

/// The specification's name (`FCGI_RESPONDER`).
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Responder => "FCGI_RESPONDER",
            Self::Authorizer => "FCGI_AUTHORIZER",
            Self::Filter => "FCGI_FILTER",
        })
    }
}

/// The specification's name (`FCGI_OVERLOADED`), or `status 200` for a number that it does not define.
impl fmt::Display for ProtocolStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestComplete => "FCGI_REQUEST_COMPLETE",
            Self::CantMultiplex => "FCGI_CANT_MPX_CONN",
            Self::Overloaded => "FCGI_OVERLOADED",
            Self::UnknownRole => "FCGI_UNKNOWN_ROLE",
            Self::Unassigned(number) => return write!(f, "status {number}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_name_are_shown() {
        assert_eq!(RecordType::from(7).to_string(), "FCGI_STDERR");
        assert_eq!(RecordType::from(12).to_string(), "type 12");
        assert_eq!(ProtocolStatus::from(1).to_string(), "FCGI_CANT_MPX_CONN");
        assert_eq!(ProtocolStatus::from(9).to_string(), "status 9");
        assert_eq!(Role::Filter.to_string(), "FCGI_FILTER");
    }
}
