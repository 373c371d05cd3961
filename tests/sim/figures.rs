//! What the runs have gone through, added up: a run that never had a fault has shown nothing about it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Counts by name, and virtual time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    runs: u64,
    busy: Duration,
    whole: Duration,
    counts: BTreeMap<(&'static str, String), u64>,
}

impl Figures {
    /// One run: the virtual time until its commands were over, and until everything had ended.
    pub(crate) fn of_a_run(busy: Duration, whole: Duration) -> Self {
        Self {
            runs: 1,
            busy,
            whole,
            counts: BTreeMap::new(),
        }
    }

    /// Adds to a count of a group.
    pub(crate) fn add(&mut self, group: &'static str, name: impl Into<String>, count: u64) {
        if count > 0 {
            *self.counts.entry((group, name.into())).or_default() += count;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.busy += other.busy;
        self.whole += other.whole;
        for (key, count) in &other.counts {
            *self.counts.entry(key.clone()).or_default() += count;
        }
    }

    /// The names of a group that were counted.
    pub(crate) fn names(&self, group: &str) -> usize {
        self.counts.keys().filter(|(own, _)| *own == group).count()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = |time: Duration| time.as_secs_f64() / 3600.0;
        writeln!(
            f,
            "{} runs, {:.1} virtual hours with commands, {:.1} in all",
            self.runs,
            hours(self.busy),
            hours(self.whole)
        )?;
        let mut last = "";
        for ((group, name), count) in &self.counts {
            if *group != last {
                writeln!(f, "{group}:")?;
                last = group;
            }
            writeln!(f, "  {name:<28} {count}")?;
        }
        Ok(())
    }
}
