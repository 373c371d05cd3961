//! Cuts a failing run down to what it takes.

use crate::plan::Plan;

/// Runs that are tried at most.
const MAX_TRIES: usize = 600;

/// The plan with as many commands left out as can be, still failing in some way.
pub(crate) fn shrink(plan: &Plan, outcome: impl Fn(&Plan) -> Result<u64, String>) -> Plan {
    let mut smallest = plan.clone();
    let mut tries = 0;
    let mut len = smallest.ops.len().div_ceil(2);
    while len > 0 {
        let mut start = 0;
        let before = smallest.ops.len();
        while start < smallest.ops.len() && tries < MAX_TRIES {
            let mut candidate = smallest.clone();
            let end = (start + len).min(candidate.ops.len());
            candidate.ops.drain(start..end);
            tries += 1;
            if outcome(&candidate).is_err() {
                smallest = candidate;
            } else {
                start += len;
            }
        }
        if len > 1 || smallest.ops.len() == before || tries >= MAX_TRIES {
            len /= 2;
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Op;

    #[test]
    fn only_the_commands_that_matter_are_left() {
        let plan = Plan::draw(3);
        let mark = |op: &Op| matches!(op, Op::Submit(submit) if submit.tag <= 2);
        let both = |plan: &Plan| plan.ops.iter().filter(|op| mark(op)).count() == 2;
        assert!(both(&plan) && plan.ops.len() > 4);
        let small = shrink(&plan, |plan| {
            if both(plan) {
                Err("fails".into())
            } else {
                Ok(0)
            }
        });
        assert_eq!(small.ops.len(), 2);
    }
}
