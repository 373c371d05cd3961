//! The worlds.

use std::time::Duration;

use mio_fcgi::{Config, Limits, Multiplex, Server, Timeouts};

use crate::asked::Kind;
use crate::input::Budget;

/// What a world is made of. Its inputs are those that its budget has, and those that need none.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) config: fn() -> Config,
    /// The requests, in the order in which they are submitted.
    pub(crate) requests: &'static [Kind],
    /// How many requests may be on a connection at a time.
    pub(crate) shares: usize,
    /// The limits that may be set, made of the limits at the moment.
    pub(crate) limits: &'static [fn(Limits) -> Limits],
    /// A read that fills only part of its buffer shows that the socket is empty.
    pub(crate) short_reads: bool,
    pub(crate) shutdown_within: Option<Duration>,
    pub(crate) budget: Budget,
}

const NONE: Budget = Budget {
    aborts: 0,
    pauses: 0,
    limits: 0,
    shutdowns: 0,
    refusals: 0,
    full_backlogs: 0,
    partial_writes: 0,
    outputs: 0,
    late: 0,
    overloads: 0,
    closes: 0,
    resets: 0,
    ticks: 0,
};

const PLAIN: Setup = Setup {
    name: "plain",
    config: || plain(1, 1, 1),
    requests: &[Kind::Get, Kind::Post],
    shares: 1,
    limits: &[],
    short_reads: true,
    shutdown_within: None,
    budget: Budget {
        aborts: 2,
        outputs: 2,
        late: 1,
        closes: 1,
        ..NONE
    },
};

/// The worlds that are searched.
pub(crate) static WORLDS: &[Setup] = &[
    PLAIN,
    Setup {
        name: "plain, POST first, partial writes, resets",
        requests: &[Kind::Post, Kind::Get],
        short_reads: false,
        budget: Budget {
            aborts: 1,
            outputs: 1,
            partial_writes: 1,
            closes: 1,
            resets: 1,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "plain, paused",
        budget: Budget {
            aborts: 1,
            pauses: 2,
            outputs: 2,
            closes: 1,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "plain, two connections, no queue",
        config: || plain(1, 2, 0),
        budget: Budget {
            aborts: 1,
            outputs: 1,
            refusals: 1,
            late: 1,
            closes: 2,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "plain, a pushed body, overload",
        requests: &[Kind::Pushed, Kind::Get],
        budget: Budget {
            aborts: 1,
            overloads: 1,
            partial_writes: 1,
            closes: 1,
            ticks: 1,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "shared",
        config: || shared(1, 2),
        shares: 2,
        budget: Budget {
            aborts: 2,
            outputs: 2,
            late: 1,
            closes: 1,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "shared, paused",
        config: || shared(1, 2),
        shares: 2,
        budget: Budget {
            aborts: 1,
            pauses: 2,
            outputs: 2,
            closes: 1,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "shared, two connections",
        config: || shared(2, 1),
        shares: 2,
        short_reads: false,
        budget: Budget {
            aborts: 2,
            partial_writes: 1,
            refusals: 1,
            closes: 2,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "shared, a third request",
        config: || shared(1, 1),
        requests: &[Kind::Get, Kind::Get, Kind::Post],
        shares: 2,
        budget: Budget {
            aborts: 1,
            late: 1,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "two servers",
        config: || plain(2, 1, 1),
        requests: &[Kind::Pinned(1), Kind::Post],
        budget: Budget {
            aborts: 1,
            refusals: 2,
            full_backlogs: 1,
            closes: 1,
            ticks: 2,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "shared, two servers, one connection, no queue",
        config: || {
            let mut config = shared(1, 0);
            config.servers = plain(2, 1, 0).servers;
            config.limits.max_total_connections = 1;
            config
        },
        requests: &[Kind::Pinned(0), Kind::Pinned(1)],
        shares: 2,
        budget: Budget {
            aborts: 2,
            outputs: 1,
            late: 1,
            closes: 1,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "time limits",
        config: || timed(plain(1, 1, 1)),
        budget: Budget {
            aborts: 1,
            pauses: 1,
            outputs: 2,
            ticks: 4,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "shared, time limits",
        config: || timed(shared(1, 2)),
        shares: 2,
        budget: Budget {
            aborts: 1,
            outputs: 2,
            ticks: 4,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "limits that change, shutdown",
        config: || plain(1, 2, 1),
        limits: LIMITS,
        budget: Budget {
            limits: 2,
            shutdowns: 1,
            refusals: 1,
            outputs: 1,
            closes: 1,
            ..NONE
        },
        ..PLAIN
    },
    Setup {
        name: "shared, limits that change, shutdown within a second",
        config: || shared(2, 2),
        shares: 2,
        limits: LIMITS,
        shutdown_within: Some(Duration::from_secs(1)),
        budget: Budget {
            aborts: 1,
            limits: 2,
            shutdowns: 1,
            outputs: 1,
            ticks: 2,
            ..NONE
        },
        ..PLAIN
    },
];

const LIMITS: &[fn(Limits) -> Limits] = &[
    |limits| with(limits, |it| it.max_queued_requests = 0),
    |limits| with(limits, |it| it.max_queued_requests = 1),
    |limits| with(limits, |it| it.max_connections_per_server = 1),
    |limits| with(limits, |it| it.max_idle_per_server = 0),
];

fn with(mut limits: Limits, change: impl FnOnce(&mut Limits)) -> Limits {
    change(&mut limits);
    limits
}

/// One request at a time on a connection, and no time limit.
fn plain(servers: u16, connections: usize, queue: usize) -> Config {
    let address = |port| {
        format!("127.0.0.1:{}", 9000 + port)
            .parse()
            .expect("an address")
    };
    let mut config = Config::from_servers((0..servers).map(|port| Server::new(address(port))));
    config.multiplex = Multiplex::Off;
    config.timeouts = Timeouts::NONE;
    config.limits.max_connections_per_server = connections;
    config.limits.max_total_connections = 2;
    config.limits.max_idle_per_server = connections;
    config.limits.max_queued_requests = queue;
    config.connect_timeout = Duration::from_secs(7);
    config.connect_retry_timeout = Duration::ZERO;
    config.abort_grace = Duration::from_secs(3);
    config.preempt_idle_after = None;
    config
}

/// Two requests at a time on a connection.
fn shared(connections: usize, queue: usize) -> Config {
    let mut config = plain(1, connections, queue);
    config.multiplex = Multiplex::On { max: 2 };
    config
}

/// Each time limit is another one.
fn timed(mut config: Config) -> Config {
    let timeouts = &mut config.timeouts;
    timeouts.queue = Some(Duration::from_secs(8));
    timeouts.first_byte = Some(Duration::from_secs(5));
    timeouts.between_bytes = Some(Duration::from_secs(4));
    timeouts.total = Some(Duration::from_secs(20));
    config
}

impl Setup {
    pub(crate) fn has_time_limits(&self) -> bool {
        (self.config)().timeouts.total.is_some()
    }
}

/// The world with a name.
pub(crate) fn named(name: &str) -> &'static Setup {
    let found = WORLDS.iter().find(|setup| setup.name == name);
    found.unwrap_or_else(|| panic!("no world is named {name:?}"))
}
