//! Reduces a failing run to what it needs to fail.

use std::time::Duration;

use mio_fcgi::testkit::{Connect, Link, Quirks};
use mio_fcgi::wire::Role;

use crate::plan::{BodyKind, Fault, Op, Plan, Reaction, ServerPlan, Submit};

/// The most runs that are tried.
const MAX_TRIES: usize = 1000;

/// The plan without as many commands as possible, and as simple as possible, that still fails in some way.
pub(crate) fn shrink(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut shrinker = Shrinker {
        smallest: plan.clone(),
        tries: 0,
        fails,
    };
    shrinker.leave_out();
    shrinker.simplify();
    // A command that is simple now may not be needed at all.
    shrinker.leave_out();
    shrinker.smallest
}

struct Shrinker<F> {
    smallest: Plan,
    tries: usize,
    fails: F,
}

impl<F: Fn(&Plan) -> bool> Shrinker<F> {
    /// Keeps a change if the run still fails with it.
    fn attempt(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        if self.tries >= MAX_TRIES {
            return false;
        }
        self.tries += 1;
        let mut candidate = self.smallest.clone();
        change(&mut candidate);
        let fails = (self.fails)(&candidate);
        if fails {
            self.smallest = candidate;
        }
        fails
    }

    fn leave_out(&mut self) {
        let mut len = self.smallest.ops.len().div_ceil(2);
        while len > 0 {
            let mut start = 0;
            let before = self.smallest.ops.len();
            while start < self.smallest.ops.len() && self.tries < MAX_TRIES {
                let end = (start + len).min(self.smallest.ops.len());
                if !self.attempt(|plan| drop(plan.ops.drain(start..end))) {
                    start += len;
                }
            }
            if len > 1 || self.smallest.ops.len() == before || self.tries >= MAX_TRIES {
                len /= 2;
            }
        }
    }

    fn simplify(&mut self) {
        self.attempt(|plan| plan.is_client = false);
        self.attempt(|plan| plan.is_shuffled = false);
        self.attempt(|plan| plan.max_sockets = None);
        for index in 0..self.smallest.servers.len() {
            for change in SERVERS {
                self.attempt(|plan| change(&mut plan.servers[index]));
            }
        }
        for index in 0..self.smallest.ops.len() {
            for change in SUBMITS {
                if matches!(self.smallest.ops[index], Op::Submit(_)) {
                    self.attempt(|plan| {
                        if let Op::Submit(submit) = &mut plan.ops[index] {
                            change(submit);
                        }
                    });
                }
            }
        }
    }
}

/// The changes that make a server simple.
const SERVERS: [fn(&mut ServerPlan); 5] = [
    |server| server.other_link = None,
    |server| server.max_requests = None,
    |server| server.link = Link::default(),
    |server| server.connects = vec![Connect::Accept],
    |server| server.quirks = Quirks::ideal(),
];

/// The changes that make a request simple.
const SUBMITS: [fn(&mut Submit); 8] = [
    |submit| submit.answer.fault = Fault::None,
    |submit| submit.reaction = Reaction::None,
    |submit| submit.role = Role::Responder,
    |submit| (submit.body, submit.body_len) = (BodyKind::None, 0),
    |submit| submit.params_len = 0,
    |submit| submit.answer.stderr = 0,
    |submit| (submit.answer.stdout, submit.answer.pieces) = (1, 1),
    |submit| (submit.answer.wait, submit.answer.refusals) = (Duration::ZERO, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_commands_that_matter_are_left() {
        let plan = crate::plan_of(3);
        let mark = |op: &Op| matches!(op, Op::Submit(submit) if submit.tag <= 2);
        let both = |plan: &Plan| plan.ops.iter().filter(|op| mark(op)).count() == 2;
        assert!(both(&plan) && plan.ops.len() > 4);
        let small = shrink(&plan, both);
        assert_eq!(small.ops.len(), 2);
    }

    #[test]
    fn what_does_not_matter_is_made_simple() {
        let plan = crate::plan_of(3);
        let small = shrink(&plan, |plan| {
            plan.ops.iter().any(|op| matches!(op, Op::Submit(_)))
        });
        let [Op::Submit(submit)] = &small.ops[..] else {
            panic!("{:?}", small.ops);
        };
        assert_eq!((submit.body, submit.params_len), (BodyKind::None, 0));
        assert_eq!(submit.answer.fault, Fault::None);
        assert!(small.servers.iter().all(|it| it.link == Link::default()));
    }
}
