//! Runs in which many requests share one connection that takes little: their heads wait for room, bodies and heads have
//! their turns, and uploads are answered early or refused while others wait behind them.

use std::time::Duration;

use mio_fcgi::testkit::internals::Rng;
use mio_fcgi::testkit::{Connect, Link, Quirks};
use mio_fcgi::wire::{ProtocolStatus, Role};
use mio_fcgi::{Multiplex, Timeouts};

use crate::plan::{BodyKind, Fault, Op, Plan, Submit};

/// Lets the requests of a plan share one connection to each server.
pub(crate) fn crowd(rng: &mut Rng, plan: &mut Plan) {
    plan.config.multiplex = Multiplex::On { max: 1000 };
    let limits = &mut plan.config.limits;
    limits.max_connections_per_server = 1;
    limits.reserve_for_get_values = false;
    limits.max_requests_per_connection = None;
    limits.max_queued_requests = 1000;
    for server in &mut plan.servers {
        let capacity = 1 << (12 + rng.below(7));
        // A slow link takes its capacity at once, and then nothing for a while, in which answers arrive.
        let rate = *rng.pick(&[u64::MAX, 200_000, 1_000_000]);
        let latency = Duration::from_millis(rng.below(20));
        server.link = Link::default()
            .with_capacity(capacity)
            .with_latency(latency)
            .with_bytes_per_second(rate);
        server.other_link = None;
        server.quirks = Quirks::default();
        server.quirks.details_mut().multiplexes = true;
        server.connects = vec![Connect::Accept];
        server.max_requests = None;
    }
    plan.ops.retain(|op| !matches!(op, Op::Limits(_)));
    for op in &mut plan.ops {
        match op {
            Op::Submit(submit) => fill(rng, submit),
            Op::Push(_, len) => *len = rng.below(100_000) as usize,
            // So that others come before the link has taken what there is.
            Op::Advance(time) => *time = (*time).min(Duration::from_millis(rng.below(60))),
            _ => {}
        }
    }
    let ops = std::mem::take(&mut plan.ops);
    for op in ops {
        let is_submit = matches!(op, Op::Submit(_));
        plan.ops.push(op);
        if is_submit && rng.chance(20) {
            // Of the last ones, some of whose heads or bodies are still waiting.
            let place = rng.below(5) as usize;
            if rng.chance(50) {
                plan.ops.push(Op::Push(place, rng.below(200) as usize));
            }
            plan.ops.push(Op::Abort(place));
        }
    }
}

fn fill(rng: &mut Rng, submit: &mut Submit) {
    submit.role = Role::Responder;
    submit.params_len = *rng.pick(&[0, 0, 20_000, 33_000, 70_000]);
    // Few bodies: a turn that nobody takes any more is rare among many.
    submit.body = match rng.below(8) {
        0 => BodyKind::Bytes,
        1 | 2 => BodyKind::PushedKnown,
        _ => BodyKind::None,
    };
    submit.body_len = match submit.body {
        BodyKind::None => 0,
        _ => 1 + rng.below(150_000) as usize,
    };
    // Whoever waits for a head that is never framed runs into it.
    submit.timeouts = Timeouts::NONE.with_total(Some(Duration::from_secs(60)));
    submit.answer.is_early = rng.chance(60);
    submit.answer.fault = Fault::None;
    submit.answer.refusals = rng.below(4).saturating_sub(2) as usize;
    submit.answer.refusal = ProtocolStatus::Overloaded;
}
