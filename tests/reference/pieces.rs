//! Output in its order, to be compared.

/// Output in its order, with what belongs together joined. Empty: the end of stdout.
#[derive(Default, PartialEq)]
pub(crate) struct Pieces(Vec<(u8, Vec<u8>)>);

impl Pieces {
    pub(crate) fn push(&mut self, kind: u8, bytes: &[u8]) {
        match self.0.last_mut() {
            Some((last, joined)) if *last == kind && !joined.is_empty() && !bytes.is_empty() => {
                joined.extend(bytes)
            }
            _ => self.0.push((kind, bytes.to_vec())),
        }
    }

    pub(crate) fn begin_with(&self, other: &Self) -> bool {
        let Some(((kind, part), before)) = other.0.split_last() else {
            return true;
        };
        let at = before.len();
        self.0.starts_with(before)
            && self
                .0
                .get(at)
                .is_some_and(|it| it.0 == *kind && it.1.starts_with(part))
    }

    pub(crate) fn show(&self) -> String {
        let piece = |it: &(u8, Vec<u8>)| format!("{} bytes of type {}", it.1.len(), it.0);
        self.0.iter().map(piece).collect::<Vec<_>>().join(", ")
    }
}
