//! The body lengths that parameters declare.

/// The length of a body, as a parameter declares it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Declared {
    #[default]
    Absent,
    Bytes(u64),
    Invalid,
}

impl Declared {
    pub(super) fn note(&mut self, value: &[u8]) {
        *self = self.joined(Self::parse(value));
    }

    fn parse(value: &[u8]) -> Self {
        // RFC 3875, 4.1.2: an empty CONTENT_LENGTH means that there is no body.
        if value.is_empty() {
            return Self::Bytes(0);
        }
        let digits = std::str::from_utf8(value)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|text| text.parse().ok()) {
            Some(bytes) => Self::Bytes(bytes),
            None => Self::Invalid,
        }
    }

    /// Combines two declarations of one length. They must agree.
    pub(super) fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, other) => other,
            (known, Self::Absent) => known,
            (Self::Bytes(one), Self::Bytes(two)) if one == two => self,
            (Self::Bytes(_) | Self::Invalid, Self::Bytes(_) | Self::Invalid) => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Params;
    use super::*;

    #[test]
    fn content_length_is_noted_and_conflicts_are_invalid() {
        let declared = |values: &[&str]| {
            let mut params = Params::default();
            for value in values {
                params.push("CONTENT_LENGTH", value);
            }
            params.content_length()
        };
        assert_eq!(declared(&[]), Declared::Absent);
        assert_eq!(declared(&[""]), Declared::Bytes(0));
        assert_eq!(declared(&["12"]), Declared::Bytes(12));
        assert_eq!(declared(&["12", "12"]), Declared::Bytes(12));
        assert_eq!(declared(&["12", "13"]), Declared::Invalid);
        assert_eq!(declared(&["+12"]), Declared::Invalid);
        assert_eq!(declared(&["99999999999999999999"]), Declared::Invalid);
    }
}
