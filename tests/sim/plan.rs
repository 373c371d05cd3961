//! A run as data: drawn from a seed, so that it can be repeated and cut down.

use std::time::Duration;

use mio_fcgi::testkit::{
    Break, Connect, End, Fragments, Habits, Rng, SecondBegin, Towards, Values, Wire,
};
use mio_fcgi::wire::{ProtocolStatus, Role};
use mio_fcgi::{
    AtLimit, Backoff, Config, Limits, Multiplex, Retry, Stall, Timeouts, UnknownLength,
};

/// Everything that a run depends on.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) config: Config,
    pub(crate) servers: Vec<ServerPlan>,
    pub(crate) is_shuffled: bool,
    pub(crate) ops: Vec<Op>,
}

#[derive(Clone, Debug)]
pub(crate) struct ServerPlan {
    pub(crate) wire: Wire,
    /// Every second connection has this one.
    pub(crate) other_wire: Option<Wire>,
    pub(crate) habits: Habits,
    /// Taken in turn, over and over.
    pub(crate) connects: Vec<Connect>,
}

/// One thing that the embedder, or the clock, does. Requests are meant by their place among those submitted.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Submit(Submit),
    GetValues(usize),
    Abort(usize),
    Pause(usize),
    Resume(usize),
    Push(usize, usize),
    Finish(usize),
    Limits(Limits),
    Shutdown(Option<Duration>),
    /// So many steps, at the same instant.
    Steps(usize),
    Advance(Duration),
    /// The clock moves on and nothing else does.
    Jump(Duration),
    /// `handle_timeout` though nothing may be due, perhaps with an instant of the past.
    Timeout {
        early: Duration,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Submit {
    pub(crate) tag: u64,
    pub(crate) role: Role,
    pub(crate) body: BodyKind,
    pub(crate) body_len: usize,
    pub(crate) params_len: usize,
    pub(crate) retry: Retry,
    pub(crate) timeouts: Timeouts,
    pub(crate) behaviour: Behaviour,
    pub(crate) reaction: Reaction,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BodyKind {
    None,
    Bytes,
    Shared,
    Reader,
    Seekable,
    Pushed,
    /// The same, its length told.
    PushedKnown,
    /// A reader that goes on behind its declared length.
    Long,
    /// A reader that ends before its declared length.
    Short,
}

/// What the embedder does when output of a request comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reaction {
    None,
    Pause,
    Abort,
}

/// What the application does with a request.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    pub(crate) stdout: usize,
    pub(crate) stderr: usize,
    pub(crate) pieces: usize,
    pub(crate) wait: Duration,
    /// It does not wait for the body.
    pub(crate) is_early: bool,
    pub(crate) ends_stdout_first: bool,
    /// So many attempts are refused.
    pub(crate) refusals: usize,
    pub(crate) refusal: ProtocolStatus,
    pub(crate) fault: Fault,
}

/// How it departs from what it should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    None,
    /// Nothing of the last piece of output, and no end.
    Hangs,
    ClosesInTheMiddle,
    ResetsInTheMiddle,
    ClosesAfterEnd,
    ResetsAfterEnd,
    StopsReading,
    /// Records behind its end, in the same write.
    LateOutput,
    SecondEnd,
    OutputAfterItsEnd,
    UnaskedValues,
    UnknownType,
    Unassigned,
    ForeignId,
    ServerRecord,
    ShortEnd,
    LongEnd,
    EmptyStderr,
    BigPadding,
    Http,
    ManagementId,
    UnknownStatus,
}

/// All that may be had with any wire.
pub(crate) const FAULTS: [Fault; 19] = [
    Fault::Hangs,
    Fault::ClosesInTheMiddle,
    Fault::ResetsInTheMiddle,
    Fault::ClosesAfterEnd,
    Fault::ResetsAfterEnd,
    Fault::StopsReading,
    Fault::OutputAfterItsEnd,
    Fault::UnaskedValues,
    Fault::UnknownType,
    Fault::Unassigned,
    Fault::ForeignId,
    Fault::ServerRecord,
    Fault::ShortEnd,
    Fault::LongEnd,
    Fault::EmptyStderr,
    Fault::BigPadding,
    Fault::Http,
    Fault::ManagementId,
    Fault::UnknownStatus,
];

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let count = *rng.pick(&[1, 1, 2, 3]);
        let has_faults = rng.chance(60);
        let servers = (0..count).map(|_| draw_server(rng, has_faults)).collect();
        let config = draw_config(rng, count);
        // Records behind an end are told from the next response only if both come in one read.
        let is_late = has_faults && rng.chance(12);
        let mut servers: Vec<ServerPlan> = servers;
        for server in servers.iter_mut().filter(|_| is_late) {
            server.other_wire = None;
            server.wire.reads = Fragments::Whole;
            server.wire.capacity = 256 * 1024;
            server.wire.octets_per_second = None;
        }
        let is_shuffled = rng.chance(60);
        let may_jump = rng.chance(15);
        let ops_len = 4 + rng.below(60);
        let mut next_tag = 0;
        let mut ops: Vec<Op> = (0..ops_len)
            .map(|_| draw_op(rng, &mut next_tag, count, has_faults, may_jump))
            .collect();
        // On a wire that takes a few octets at a time, long streams take long and show nothing more.
        let is_narrow = |wire: &Wire| {
            let is_fine = |cut| matches!(cut, Fragments::Each(_) | Fragments::UpTo(0..=64));
            wire.capacity < 1000 || is_fine(wire.reads) || is_fine(wire.writes)
        };
        let wires = |server: &ServerPlan| [Some(server.wire.clone()), server.other_wire.clone()];
        let most = if servers
            .iter()
            .flat_map(wires)
            .flatten()
            .any(|it| is_narrow(&it))
        {
            1500
        } else {
            usize::MAX
        };
        for op in &mut ops {
            if let Op::Submit(submit) = op {
                submit.body_len = submit.body_len.min(most);
                submit.params_len = submit.params_len.min(most);
                submit.behaviour.stdout = submit.behaviour.stdout.min(most);
            }
            if let Op::Submit(submit) = op
                && is_late
                && rng.chance(30)
            {
                submit.behaviour.stdout = submit.behaviour.stdout.min(1000);
                submit.behaviour.fault = *rng.pick(&[Fault::LateOutput, Fault::SecondEnd]);
            }
        }
        if rng.chance(10) {
            let within = rng.chance(50).then(|| millis(rng, 300));
            let place = rng.below(ops.len() as u64) as usize;
            ops.insert(place, Op::Shutdown(within));
        }
        Self {
            seed,
            config,
            servers,
            is_shuffled,
            ops,
        }
    }

    /// Whether deadlines are met to the instant.
    pub(crate) fn is_punctual(&self) -> bool {
        !self.ops.iter().any(|op| matches!(op, Op::Jump(_)))
    }
}

impl Submit {
    /// Its body is collected before it is sent, so that the wait in the queue begins late.
    pub(crate) fn is_collected(&self) -> bool {
        self.body == BodyKind::Pushed
    }
}

fn millis(rng: &mut Rng, most: u64) -> Duration {
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

fn draw_wire(rng: &mut Rng, has_faults: bool) -> Wire {
    let mut wire = Wire::default();
    wire.latency = *rng.pick(&[0, 0, 1, 20]) * Duration::from_millis(1);
    wire.octets_per_second = *rng.pick(&[None, None, Some(200_000), Some(5_000_000)]);
    wire.capacity = *rng.pick(&[64 * 1024, 64 * 1024, 1000, 37, 256 * 1024]);
    if wire.capacity < 1000 {
        // Each filling takes two latencies: a long body would take minutes.
        wire.latency = Duration::ZERO;
    }
    wire.reads = draw_fragments(rng);
    wire.writes = draw_fragments(rng);
    if has_faults && rng.chance(10) {
        let most = *rng.pick(&[1, 200, 3000, 100_000]);
        wire.breaks = Some(Break {
            counts: *rng.pick(&[Towards::Client, Towards::Application]),
            after: rng.below(most),
            end: *rng.pick(&[End::Fin, End::Reset]),
        });
    }
    wire
}

fn draw_server(rng: &mut Rng, has_faults: bool) -> ServerPlan {
    let wire = draw_wire(rng, has_faults);
    let other_wire = rng.chance(20).then(|| draw_wire(rng, has_faults));
    let mut habits = match rng.below(7) {
        0 => Habits::php_fpm(1 + rng.below(4) as usize),
        1 => Habits::libfcgi(1 + rng.below(4) as usize),
        2 | 3 => Habits::go(),
        4 => Habits::flup(),
        5 => Habits::flup_multiplexed(),
        _ => Habits::ideal(),
    };
    if has_faults && rng.chance(20) {
        habits.values = rng
            .pick(&[
                Values::Silent,
                Values::UnknownType,
                Values::Close,
                Values::PairsAndClose(vec![("FCGI_MPXS_CONNS", "0")]),
            ])
            .clone();
    }
    if rng.chance(10) {
        habits.second_begin = SecondBegin::CantMultiplex;
    }
    let mut connects = vec![Connect::Accept];
    if has_faults && rng.chance(40) {
        for _ in 0..1 + rng.below(4) {
            let place = rng.below(connects.len() as u64 + 1) as usize;
            connects.insert(
                place,
                match rng.below(5) {
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
        wire,
        other_wire,
        habits,
        connects,
    }
}

fn draw_limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits::default();
    limits.max_connections = 1 + rng.below(4) as usize;
    limits.max_idle = rng.below(4) as usize;
    if rng.chance(15) {
        limits.min_idle = limits.max_idle.min(limits.max_connections).min(1);
    }
    limits.idle_timeout = millis(rng, 800) + Duration::from_millis(20);
    limits.max_age = rng
        .chance(20)
        .then(|| millis(rng, 800) + Duration::from_millis(50));
    limits.max_requests_per_connection = rng.chance(30).then(|| 1 + rng.below(4) as u32);
    limits.max_queue = *rng.pick(&[0, 1, 3, 100, 100]);
    limits
}

fn draw_timeouts(rng: &mut Rng) -> Timeouts {
    let mut timeouts = Timeouts::NONE;
    timeouts.queue = Some(millis(rng, 1500));
    timeouts.write = Some(millis(rng, 600) + Duration::from_millis(1));
    timeouts.first_octet = Some(millis(rng, 900));
    timeouts.silence = Some(millis(rng, 600));
    timeouts.total = rng.chance(40).then(|| millis(rng, 2500));
    timeouts
}

fn draw_config(rng: &mut Rng, servers: usize) -> Config {
    let addresses = (0..servers)
        .map(|index| std::net::SocketAddr::from(([127, 0, 0, 1], 9000 + index as u16)).into());
    let mut config = Config::with_servers(addresses.collect());
    config.limits = draw_limits(rng);
    config.timeouts = draw_timeouts(rng);
    config.connect_timeout = millis(rng, 400) + Duration::from_millis(50);
    config.connect_patience = *rng.pick(&[0, 0, 300]) * Duration::from_millis(1);
    config.backoff = Backoff {
        first: Duration::from_millis(20),
        longest: Duration::from_millis(200),
    };
    config.keep_connections = rng.chance(85);
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
    let mut stall = Stall::default();
    stall.per_request = *rng.pick(&[0, 100, 5000, 65_536]);
    stall.per_connection = *rng.pick(&[200, 8000, 1 << 20]);
    stall.per_client = *rng.pick(&[300, 20_000, 1 << 26]);
    stall.at_limit = *rng.pick(&[AtLimit::PauseConnection, AtLimit::FailRequest]);
    config.stall = stall;
    config.stdin_high_water = *rng.pick(&[1, 100, 65_536]);
    config.unknown_length = *rng.pick(&[
        UnknownLength::Refuse,
        UnknownLength::Stream,
        UnknownLength::Buffer { limit: 5000 },
    ]);
    config.yield_after = rng.chance(50).then_some(Duration::from_millis(20));
    config
}

fn draw_op(
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
        56..62 => Op::Push(request, 1 + rng.below(3000) as usize),
        62..66 => Op::Finish(request),
        66..68 => Op::Limits(draw_limits(rng)),
        68..80 => Op::Steps(1 + rng.below(30) as usize),
        80..82 => Op::Timeout {
            early: millis(rng, 50),
        },
        82..84 if may_jump => Op::Jump(millis(rng, 2000)),
        82..90 => Op::Advance(millis(rng, 10)),
        _ => Op::Advance(millis(rng, 500)),
    }
}

fn draw_len(rng: &mut Rng) -> usize {
    let most = *rng.pick(&[1, 10, 300, 3000, 3000, 30_000, 140_000]);
    rng.below(most) as usize
}

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
        role,
        body,
        body_len,
        params_len: *rng.pick(&[0, 0, 100, 70_000]),
        retry: *rng.pick(&[
            Retry::Never,
            Retry::IfNotSent,
            Retry::IfStale,
            Retry::IfUnanswered,
        ]),
        timeouts: draw_timeouts(rng),
        behaviour: draw_behaviour(rng, has_faults),
        reaction: *rng.pick(&[
            Reaction::None,
            Reaction::None,
            Reaction::None,
            Reaction::Pause,
            Reaction::Abort,
        ]),
    }
}

fn draw_behaviour(rng: &mut Rng, has_faults: bool) -> Behaviour {
    let fault = if has_faults && rng.chance(35) {
        *rng.pick(&FAULTS)
    } else {
        Fault::None
    };
    let refuses = has_faults && rng.chance(10);
    Behaviour {
        stdout: draw_len(rng),
        stderr: rng.below(200).saturating_sub(150) as usize,
        pieces: 1 + rng.below(4) as usize,
        wait: *rng.pick(&[0, 0, 1, 30, 400]) * Duration::from_millis(1),
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
