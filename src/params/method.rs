//! Whether the parameter `REQUEST_METHOD` names an idempotent method.

/// The method that `REQUEST_METHOD` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Method {
    #[default]
    Absent,
    /// An idempotent method (RFC 9110, 9.2.2).
    Idempotent,
    Other,
}

impl Method {
    /// Names of methods are case-sensitive (RFC 9110, 9.1).
    pub(super) fn of(value: &[u8]) -> Self {
        match value {
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" => Self::Idempotent,
            _ => Self::Other,
        }
    }

    /// The later method counts, as it does in PHP.
    pub(super) fn followed_by(self, later: Self) -> Self {
        match later {
            Self::Absent => self,
            Self::Idempotent | Self::Other => later,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Params;

    #[test]
    fn the_last_method_counts_and_decides_whether_a_request_is_idempotent() {
        let is_idempotent = |methods: &[&str]| {
            let pairs = methods.iter().map(|method| ("REQUEST_METHOD", *method));
            pairs.collect::<Params>().is_idempotent()
        };
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(is_idempotent(&[method]), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "get", "GET ", "", "PROPFIND"] {
            assert!(!is_idempotent(&[method]), "{method}");
        }
        assert!(!is_idempotent(&[]));
        assert!(!is_idempotent(&["GET", "POST"]));
        assert!(is_idempotent(&["POST", "GET"]));
        let get: Params = [("REQUEST_METHOD", "GET")].into_iter().collect();
        let shared = get.into_shared();
        let mut params = Params::with_shared(&shared);
        assert!(params.is_idempotent());
        params.push("REQUEST_METHOD", "POST");
        assert!(!params.is_idempotent());
        assert!(!params.into_shared().0.params.is_idempotent());
    }
}
