//! Draws the parts of a plan.

use std::time::Duration;

use mio_fcgi::testkit::internals::{Break, CloseKind, Rng, SecondBegin, Towards, Values};
use mio_fcgi::testkit::{Connect, Fragments, Link, Quirks};
use mio_fcgi::wire::{ProtocolStatus, Role};
use mio_fcgi::{
    Backoff, Config, Limits, Multiplex, OverflowPolicy, PauseBuffer, RequestIds, Retry, Server,
    Timeouts, UnknownLength,
};

use crate::plan::{AnswerPlan, BodyKind, FAULTS, Fault, Op, Reaction, ServerPlan, Submit};
use crate::servers::draw_list;

pub(crate) fn millis(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.below(most))
}

fn draw_fragments(rng: &mut Rng) -> Fragments {
    match rng.below(5) {
        0 | 1 => Fragments::Whole,
        2 => Fragments::Each(1 + rng.below(20) as usize),
        3 => Fragments::UpTo(64),
        _ => Fragments::UpTo(4096),
    }
}

fn draw_link(rng: &mut Rng, has_faults: bool) -> Link {
    let mut latency = *rng.pick(&[0, 0, 1, 20]) * Duration::from_millis(1);
    let bytes_per_second = *rng.pick(&[u64::MAX, u64::MAX, 200_000, 5_000_000]);
    let capacity = *rng.pick(&[64 * 1024, 64 * 1024, 1000, 37, 256 * 1024]);
    if capacity < 1000 {
        // Each time the link is full takes two latencies: a long body would take minutes.
        latency = Duration::ZERO;
    }
    let reads = draw_fragments(rng);
    let reads_until_blocked = rng.chance(15);
    let kinds = [Link::default(), Link::default(), Link::unix()];
    let mut link = rng.pick(&kinds).clone();
    link = link
        .with_latency(latency)
        .with_bytes_per_second(bytes_per_second)
        .with_capacity(capacity)
        .with_reads(reads)
        .with_reads_until_blocked(reads_until_blocked)
        .with_writes(draw_fragments(rng));
    if has_faults && rng.chance(10) {
        let most = *rng.pick(&[1, 200, 3000, 100_000]);
        link = link.with_break(Break {
            counts: *rng.pick(&[Towards::Client, Towards::Application]),
            after: rng.below(most),
            end: *rng.pick(&[CloseKind::Fin, CloseKind::Reset]),
        });
    }
    link
}

pub(crate) fn draw_server(rng: &mut Rng, has_faults: bool) -> ServerPlan {
    let link = draw_link(rng, has_faults);
    let other_link = rng.chance(20).then(|| draw_link(rng, has_faults));
    let mut quirks = match rng.below(7) {
        0 => Quirks::php_fpm(1 + rng.below(4) as usize),
        1 => Quirks::libfcgi(1 + rng.below(4) as usize),
        2 | 3 => Quirks::go(),
        4 => Quirks::flup(),
        5 => Quirks::flup_multiplexed(),
        _ => Quirks::ideal(),
    };
    if quirks.details().multiplexes && rng.chance(20) {
        let (most, all) = *rng.pick(&[("1", "2"), ("2", "3"), ("3", "9")]);
        let pairs = vec![
            ("FCGI_MAX_CONNS", most),
            ("FCGI_MAX_REQS", all),
            ("FCGI_MPXS_CONNS", "1"),
        ];
        quirks.details_mut().values = match rng.chance(30) {
            true => Values::PairsAndEmpty(pairs),
            false => Values::Pairs(pairs),
        };
    }
    if has_faults && rng.chance(25) {
        quirks.details_mut().values = rng
            .pick(&[
                Values::Silent,
                Values::UnknownType,
                Values::Close,
                Values::Close,
                Values::PairsAndClose(vec![("FCGI_MPXS_CONNS", "0")]),
            ])
            .clone();
    }
    if rng.chance(10) {
        quirks.details_mut().second_begin = SecondBegin::CantMultiplex;
    }
    let mut connects = vec![Connect::Accept];
    if has_faults && rng.chance(40) {
        for _ in 0..1 + rng.below(4) {
            let place = rng.below(connects.len() as u64 + 1) as usize;
            connects.insert(
                place,
                match rng.below(6) {
                    5 => Connect::Shortage(std::io::ErrorKind::AddrNotAvailable),
                    0 => Connect::Refuse(std::io::ErrorKind::ConnectionRefused),
                    1 => Connect::Hang,
                    2 => Connect::BacklogFull,
                    3 => Connect::AcceptAfter(millis(rng, 400)),
                    _ => Connect::Accept,
                },
            );
        }
    }
    ServerPlan {
        link,
        other_link,
        quirks,
        connects,
        max_requests: rng.chance(20).then(|| 1 + rng.below(5) as u32),
    }
}

fn draw_limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits::default();
    limits.max_connections_per_server = 1 + rng.below(4) as usize;
    limits.max_idle_per_server = rng.below(4) as usize;
    if rng.chance(15) {
        limits.min_idle_per_server = limits
            .max_idle_per_server
            .min(limits.max_connections_per_server)
            .min(1);
    }
    limits.idle_timeout = millis(rng, 800) + Duration::from_millis(20);
    limits.max_lifetime = rng
        .chance(20)
        .then(|| millis(rng, 800) + Duration::from_millis(50));
    limits.max_requests_per_connection = rng.chance(30).then(|| 1 + rng.below(4) as u32);
    limits.max_queued_requests = *rng.pick(&[0, 1, 3, 100, 100]);
    limits
}

fn draw_timeouts(rng: &mut Rng) -> Timeouts {
    let mut timeouts = Timeouts::NONE;
    timeouts.queue = Some(millis(rng, 1500));
    timeouts.write = Some(millis(rng, 600) + Duration::from_millis(1));
    timeouts.first_byte = Some(millis(rng, 900));
    timeouts.between_bytes = Some(millis(rng, 600));
    timeouts.paused = rng.chance(40).then(|| millis(rng, 500));
    timeouts.total = rng.chance(40).then(|| millis(rng, 2500));
    timeouts
}

/// Draws a configuration without servers.
pub(crate) fn draw_config(rng: &mut Rng) -> Config {
    let mut config = Config::from_servers([] as [Server; 0]);
    config.limits = draw_limits(rng);
    config.timeouts = draw_timeouts(rng);
    config.connect_timeout = millis(rng, 400) + Duration::from_millis(50);
    config.connect_retry_timeout = *rng.pick(&[0, 0, 300]) * Duration::from_millis(1);
    config.backoff = Backoff {
        initial: Duration::from_millis(20),
        max: Duration::from_millis(200),
    };
    config.keep_connections = rng.chance(85);
    config.stale_window = *rng.pick(&[0, 50, 1000, 1000]) * Duration::from_millis(1);
    if rng.chance(10) {
        config.request_ids = RequestIds::AlwaysOne;
    }
    config.multiplex = match rng.below(4) {
        0 => Multiplex::Off,
        1 => Multiplex::On {
            max: 1 + rng.below(6) as u32,
        },
        _ => Multiplex::Auto,
    };
    config.probe_timeout = Duration::from_millis(200);
    config.abort_grace = millis(rng, 300);
    config.max_retries = rng.below(4) as u8;
    let mut stall = PauseBuffer::default();
    stall.per_request = *rng.pick(&[0, 100, 5000, 65_536]);
    stall.per_connection = *rng.pick(&[200, 8000, 1 << 20]);
    stall.per_client = *rng.pick(&[300, 20_000, 1 << 26]);
    stall.overflow = *rng.pick(&[OverflowPolicy::PauseConnection, OverflowPolicy::FailRequest]);
    config.pause_buffer = stall;
    config.stdin_high_water = *rng.pick(&[1, 100, 65_536]);
    config.unknown_length = *rng.pick(&[
        UnknownLength::Refuse,
        UnknownLength::Stream,
        UnknownLength::Buffer { limit: 5000 },
    ]);
    config.preempt_idle_after = rng.chance(50).then_some(Duration::from_millis(20));
    config
}

pub(crate) fn draw_op(
    rng: &mut Rng,
    next_tag: &mut u64,
    servers: usize,
    has_faults: bool,
    may_jump: bool,
) -> Op {
    let request = rng.below(40) as usize;
    match rng.below(100) {
        0..40 => {
            *next_tag += 1;
            Op::Submit(draw_submit(rng, *next_tag, has_faults))
        }
        40..43 => Op::GetValues(rng.below(servers as u64) as usize),
        43..47 => Op::Abort(request),
        47..51 => Op::Pause(request),
        51..56 => Op::Resume(request),
        56..64 => {
            let most = *rng.pick(&[3, 40, 3000, 100_000]);
            Op::Push(rng.below(6) as usize, rng.below(most) as usize)
        }
        64..66 => Op::Finish(request),
        66..68 => Op::Limits(draw_limits(rng)),
        68..74 => Op::Steps(1 + rng.below(30) as usize),
        74..80 => Op::Next(1 + rng.below(6) as usize),
        80..82 => Op::Timeout {
            early: millis(rng, 50),
        },
        82 if may_jump => Op::Jump(millis(rng, 2000)),
        83..86 if may_jump => Op::HoldUp(millis(rng, 3000)),
        82..90 => Op::Advance(millis(rng, 10)),
        _ => Op::Advance(millis(rng, 500)),
    }
}

/// Draws when the servers change, and which requests name one.
pub(crate) fn draw_changes(rng: &mut Rng, ops: &mut Vec<Op>, places: usize) {
    for op in &mut *ops {
        match op {
            Op::Submit(submit) if rng.chance(25) => submit.server = Some(rng.below(6) as usize),
            Op::Limits(limits) => draw_totals(rng, limits),
            _ => {}
        }
    }
    for _ in 0..rng.below(5) {
        let place = rng.below(ops.len() as u64 + 1) as usize;
        ops.insert(place, Op::Servers(draw_list(rng, places)));
    }
}

/// Draws the limits over all servers.
pub(crate) fn draw_totals(rng: &mut Rng, limits: &mut Limits) {
    limits.max_total_connections = *rng.pick(&[1, 2, 3, 5, usize::MAX, usize::MAX]);
    limits.reserve_for_get_values = rng.chance(20);
    limits.reserve_for_get_values &= limits.validate().is_ok();
}

fn draw_len(rng: &mut Rng) -> usize {
    let most = *rng.pick(&[1, 10, 300, 3000, 3000, 30_000, 140_000]);
    rng.below(most) as usize
}

const METHODS: [&str; 6] = ["GET", "GET", "POST", "POST", "PUT", ""];

fn draw_submit(rng: &mut Rng, tag: u64, has_faults: bool) -> Submit {
    let role = match rng.below(20) {
        0 => Role::Authorizer,
        1 => Role::Filter,
        _ => Role::Responder,
    };
    let mut body = *rng.pick(&[
        BodyKind::None,
        BodyKind::None,
        BodyKind::Bytes,
        BodyKind::Bytes,
        BodyKind::Bytes,
        BodyKind::Shared,
        BodyKind::Shared,
        BodyKind::Reader,
        BodyKind::Reader,
        BodyKind::Seekable,
        BodyKind::Seekable,
        BodyKind::Pushed,
        BodyKind::Pushed,
        BodyKind::PushedKnown,
        BodyKind::Short,
        BodyKind::Long,
    ]);
    if role == Role::Authorizer {
        body = BodyKind::None;
    }
    let body_len = match body {
        BodyKind::None => 0,
        BodyKind::Short => 10 + rng.below(3000) as usize,
        _ => draw_len(rng),
    };
    Submit {
        tag,
        server: None,
        role,
        body,
        body_len,
        params_len: *rng.pick(&[0, 0, 100, 70_000]),
        method: METHODS[rng.below(METHODS.len() as u64) as usize],
        retry: *rng.pick(&[
            Retry::Never,
            Retry::IfNotProcessed,
            Retry::ByMethod,
            Retry::ByMethod,
            Retry::IfStale,
            Retry::IfUnanswered,
        ]),
        timeouts: draw_timeouts(rng),
        answer: draw_answer(rng, has_faults),
        reaction: *rng.pick(&[
            Reaction::None,
            Reaction::None,
            Reaction::None,
            Reaction::Pause,
            Reaction::Abort,
        ]),
    }
}

fn draw_answer(rng: &mut Rng, has_faults: bool) -> AnswerPlan {
    let fault = if has_faults && rng.chance(35) {
        *rng.pick(&FAULTS)
    } else {
        Fault::None
    };
    let refuses = has_faults && rng.chance(10);
    AnswerPlan {
        stdout: draw_len(rng),
        stderr: rng.below(200).saturating_sub(150) as usize,
        pieces: 1 + rng.below(4) as usize,
        wait: *rng.pick(&[0, 0, 1, 30, 400, 400, 1200]) * Duration::from_millis(1),
        is_early: rng.chance(20),
        ends_stdout_first: rng.chance(20),
        refusals: if refuses {
            1 + rng.below(3) as usize
        } else {
            0
        },
        refusal: *rng.pick(&[
            ProtocolStatus::CantMultiplex,
            ProtocolStatus::Overloaded,
            ProtocolStatus::Overloaded,
            ProtocolStatus::UnknownRole,
        ]),
        fault,
    }
}
