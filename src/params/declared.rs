//! The body lengths that parameters declare.

/// The length of a body, as a parameter declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    Absent,
    Bytes(u64),
    Invalid,
}

/// A [`Declared`] in one word, where that has two: a request is moved several times, and moves of more than 256 bytes
/// cost more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DeclaredLen(u64);

impl DeclaredLen {
    pub(super) const ABSENT: Self = Self(0);
    const INVALID: Self = Self(u64::MAX);

    #[inline]
    pub(super) fn get(self) -> Declared {
        match self {
            Self::ABSENT => Declared::Absent,
            Self::INVALID => Declared::Invalid,
            Self(more) => Declared::Bytes(more - 1),
        }
    }

    pub(super) fn note(&mut self, value: &[u8]) {
        *self = self.joined(Self::parse(value));
    }

    fn parse(value: &[u8]) -> Self {
        // RFC 3875, 4.1.2: an empty CONTENT_LENGTH means that there is no body.
        if value.is_empty() {
            return Self(1);
        }
        let digits = std::str::from_utf8(value)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let bytes: Option<u64> = digits.and_then(|text| text.parse().ok());
        // The two largest numbers cannot be stored. No body is that long.
        bytes.map_or(Self::INVALID, |bytes| Self(bytes.saturating_add(1)))
    }

    /// Combines two declarations of one length. They must agree.
    #[inline]
    pub(super) fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::ABSENT, other) => other,
            (known, Self::ABSENT) => known,
            (one, two) if one == two => one,
            _ => Self::INVALID,
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
        let most = u64::MAX - 2;
        assert_eq!(declared(&[&most.to_string()]), Declared::Bytes(most));
        for beyond in [u64::MAX - 1, u64::MAX] {
            assert_eq!(declared(&[&beyond.to_string()]), Declared::Invalid);
        }
    }
}
