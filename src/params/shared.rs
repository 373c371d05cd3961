//! Pairs that many requests share.

use std::fmt;
use std::sync::Arc;

use super::{GivenNames, Params, ParamsIter};

/// A block of pairs, encoded once and shared by many requests. Cloning copies a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedParams(pub(super) Arc<Block>);

#[derive(PartialEq, Eq)]
pub(super) struct Block {
    pub(super) params: Params,
    pub(super) names: GivenNames,
}

impl SharedParams {
    /// The names of the pairs.
    pub(crate) fn names(&self) -> &GivenNames {
        &self.0.names
    }

    /// The pairs, in order.
    pub(crate) fn iter(&self) -> ParamsIter<'_> {
        self.0.params.iter()
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.params.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Declared;
    use super::*;

    #[test]
    fn shared_pairs_come_first_and_the_last_of_a_name_is_found() {
        let mut constants = Params::default();
        constants.push("SERVER_SOFTWARE", "x").push("A", "1");
        let mut params = Params::with_shared(&constants.into_shared());
        params.push("A", "2");
        let names: Vec<&[u8]> = params.iter().map(|pair| pair.0).collect();
        assert_eq!(names, [&b"SERVER_SOFTWARE"[..], b"A", b"A"]);
        assert_eq!(params.get("A"), Some(&b"2"[..]));
        params.extend([("A", "3"), ("CONTENT_LENGTH", "4")]);
        assert_eq!(params.get("A"), Some(&b"3"[..]));
        assert_eq!(params.content_length(), Declared::Bytes(4));
        let copy: Params = params.iter().collect();
        assert!(copy.iter().eq(params.iter()));
    }

    #[test]
    fn appended_pairs_count_as_if_they_were_pushed() {
        let pairs = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "4")];
        let long = "x".repeat(70_000);
        let mut block = Params::from_iter(pairs);
        block.push("LONG", &long);
        let (mut appended, mut pushed) = (Params::default(), Params::default());
        for params in [&mut appended, &mut pushed] {
            params.push("REQUEST_METHOD", "GET");
        }
        appended.append_shared(&block.into_shared());
        pushed.extend(pairs);
        pushed.push("LONG", &long);
        assert_eq!(appended, pushed);
        assert_eq!(appended.content_length(), Declared::Bytes(4));
        assert!(!appended.is_idempotent());
        let check = |params: &Params| params.check(0, usize::MAX, false);
        assert!(check(&pushed).is_err());
        assert_eq!(check(&appended), check(&pushed));
    }
}
