//! Parameters one after the other.

use std::iter::{Chain, FusedIterator};

use super::Params;
use crate::wire::Pairs;

/// The pairs of [`Params`] in their order, each a name and a value. From [`Params::iter`].
#[derive(Clone, Debug)]
pub struct ParamsIter<'a>(Chain<Pairs<'a>, Pairs<'a>>);

impl<'a> ParamsIter<'a> {
    #[inline]
    pub(super) fn new(params: &'a Params) -> Self {
        let [shared, own] = params.encoded_parts().map(Pairs::new);
        Self(shared.chain(own))
    }
}

impl<'a> Iterator for ParamsIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.find_map(Result::ok)
    }
}

impl FusedIterator for ParamsIter<'_> {}

/// The pairs in their order, those of the shared block first.
impl<'a> IntoIterator for &'a Params {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = ParamsIter<'a>;

    #[inline]
    fn into_iter(self) -> ParamsIter<'a> {
        self.iter()
    }
}
