//! The figures of many runs together.

use crate::figures::Figures;

impl Figures {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.busy += other.busy;
        self.whole += other.whole;
        for (key, count) in &other.counts {
            *self.counts.entry(key.clone()).or_default() += count;
        }
    }

    /// How many names in a group have a count.
    pub(crate) fn names(&self, group: &str) -> usize {
        self.counts.keys().filter(|(own, _)| *own == group).count()
    }
}
