//! How often the runs had each fault. Runs that never had a fault prove nothing about it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::plan::Op;
use crate::run::World;

/// Counts by group and name, and virtual time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) runs: u64,
    pub(crate) busy: Duration,
    pub(crate) whole: Duration,
    pub(crate) counts: BTreeMap<(&'static str, String), u64>,
}

impl Figures {
    /// The figures of one run: the virtual time until its commands were over, and until everything had ended.
    fn new(busy: Duration, whole: Duration) -> Self {
        Self {
            runs: 1,
            busy,
            whole,
            counts: BTreeMap::new(),
        }
    }

    /// Adds to a count in a group.
    pub(crate) fn add(&mut self, group: &'static str, name: impl Into<String>, count: u64) {
        if count > 0 {
            *self.counts.entry((group, name.into())).or_default() += count;
        }
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

/// The figures of a run.
pub(crate) fn of_a_run(world: &World<'_>) -> Figures {
    let mut figures = Figures::new(world.busy, world.network.elapsed());
    for (fault, count) in &world.far.borrow().faults {
        figures.add("faults of applications", format!("{fault:?}"), *count);
    }
    for (tag, count) in &world.far.borrow().refused {
        let refusal = world.far.borrow().submits[tag].answer.refusal;
        figures.add(
            "faults of applications",
            format!("{refusal:?}"),
            *count as u64,
        );
    }
    let tally = world.network.tally();
    for (name, count) in [
        ("connects refused", tally.refused_connects),
        ("connects that hang", tally.hanging_connects),
        ("connects without a descriptor", tally.shortages),
        ("connects that are late", tally.late_connects),
        ("full backlogs", tally.full_backlogs),
        ("short reads", tally.short_reads),
        ("reads that fill their buffer", tally.exact_reads),
        ("reads that find nothing", tally.empty_reads),
        ("sockets closed unread", tally.closed_unread),
        ("times held up", tally.hold_ups),
        ("writes that are lost", tally.lost_writes),
        ("short writes", tally.short_writes),
        ("full links", tally.full_links),
        ("failed writes", tally.failed_writes),
        ("ends of file", tally.ends - tally.resets),
        ("resets", tally.resets),
        ("breaks at any byte", tally.breaks),
    ] {
        figures.add("faults of the link", name, count);
    }
    for (name, count) in [
        ("interrupted calls", tally.interrupted_calls),
        ("events without a cause", tally.spurious_events),
        ("events in one", tally.merged_events),
        ("events left for later", tally.events_left),
        ("events of closed sockets", tally.late_events),
        ("events of other sockets", tally.misleading_events),
        ("urgent bytes", tally.urgent_bytes),
        ("connects refused at once", tally.refused_at_once),
        ("answers after a failed write", tally.answers_after_failures),
    ] {
        figures.add("the system beneath the driver", name, count);
    }
    for op in &world.plan.ops {
        let name = match op {
            Op::Submit(_) => "submit",
            Op::GetValues(_) => "get_values",
            Op::Abort(_) => "abort",
            Op::Pause(_) => "pause",
            Op::Resume(_) => "resume",
            Op::Push(..) => "write_stdin",
            Op::Finish(_) => "finish_stdin",
            Op::Limits(_) => "set_limits",
            Op::Servers(_) => "set_servers",
            Op::Shutdown(_) => "shutdown",
            Op::Steps(_) => "steps",
            Op::Advance(_) => "the clock, step by step",
            Op::Next(_) => "the clock, to the next thing",
            Op::Jump(_) => "the clock, in a jump",
            Op::HoldUp(_) => "a stop of the process",
            Op::Timeout { .. } => "handle_timeout, early",
        };
        figures.add("commands", name, 1);
    }
    let counters = world.engine.stats().counters;
    for (name, count) in [
        ("accepted", counters.submitted),
        ("completed", counters.completed),
        ("failed", counters.failed),
        ("retries", counters.retries),
    ] {
        figures.add("requests", name, count);
    }
    for (reason, count) in counters.closed_by_reason() {
        figures.add("connections closed", format!("{reason:?}"), count);
    }
    for (error, count) in &world.model.errors {
        figures.add("failures", error.clone(), *count);
    }
    figures
}
