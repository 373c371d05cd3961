//! A run as data: drawn from a seed or from a fuzzer's bytes, so that it can be repeated and cut down.

use std::time::Duration;

use mio_fcgi::testkit::internals::{Rng, Values};
use mio_fcgi::testkit::{Connect, Fragments, Link, Quirks};
use mio_fcgi::wire::{ProtocolStatus, Role};
use mio_fcgi::{Config, Limits, Multiplex, Retry, Timeouts};

use crate::crowd::crowd;
use crate::draw::{draw_changes, draw_config, draw_op, draw_server, draw_totals, millis};
use crate::servers::{Choice, draw_list};

/// Everything that a run depends on.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What the network draws from.
    pub(crate) rng: Rng,
    pub(crate) config: Config,
    /// What is at each address.
    pub(crate) servers: Vec<ServerPlan>,
    /// The servers at the start.
    pub(crate) list: Vec<Choice>,
    /// How many sockets the client may have.
    pub(crate) max_sockets: Option<usize>,
    pub(crate) is_shuffled: bool,
    /// The driver of `Client` drives the engine, over sockets with edge-triggered events.
    pub(crate) is_client: bool,
    pub(crate) ops: Vec<Op>,
}

#[derive(Clone, Debug)]
pub(crate) struct ServerPlan {
    pub(crate) link: Link,
    /// The link of every second connection.
    pub(crate) other_link: Option<Link>,
    pub(crate) quirks: Quirks,
    /// What happens to connects, taken in turn, again and again.
    pub(crate) connects: Vec<Connect>,
    /// After this many requests a connection is closed, right after the last end.
    pub(crate) max_requests: Option<u32>,
}

/// One action of the embedder or the clock. A request is named by its place among those that were submitted.
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
    Servers(Vec<Choice>),
    Shutdown(Option<Duration>),
    /// This many steps at the same instant.
    Steps(usize),
    Advance(Duration),
    /// The clock moves to what happens next, and this many steps are done.
    Next(usize),
    /// The clock moves and nothing else happens.
    Jump(Duration),
    /// The client's process is stopped, and everything else goes on.
    HoldUp(Duration),
    /// `handle_timeout`, although no time limit may be due, perhaps with an instant in the past.
    Timeout {
        early: Duration,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Submit {
    pub(crate) tag: u64,
    /// The server that the request names, by its place among those there have been.
    pub(crate) server: Option<usize>,
    pub(crate) role: Role,
    pub(crate) body: BodyKind,
    pub(crate) body_len: usize,
    pub(crate) params_len: usize,
    pub(crate) method: &'static str,
    pub(crate) retry: Retry,
    pub(crate) timeouts: Timeouts,
    pub(crate) answer: AnswerPlan,
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
    /// A pushed body whose length is declared.
    PushedKnown,
    /// A reader that goes on after its declared length.
    Long,
    /// A reader that ends before its declared length.
    Short,
}

/// What the embedder does when output of a request arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reaction {
    None,
    Pause,
    Abort,
}

/// What the application does with a request.
#[derive(Clone, Debug)]
pub(crate) struct AnswerPlan {
    pub(crate) stdout: usize,
    pub(crate) stderr: usize,
    pub(crate) pieces: usize,
    pub(crate) wait: Duration,
    /// The application does not wait for the body.
    pub(crate) is_early: bool,
    pub(crate) ends_stdout_first: bool,
    /// How many attempts are refused.
    pub(crate) refusals: usize,
    pub(crate) refusal: ProtocolStatus,
    pub(crate) fault: Fault,
}

/// What the application does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    None,
    /// It sends neither the last piece of output nor an end.
    Hangs,
    ClosesInTheMiddle,
    ResetsInTheMiddle,
    ClosesAfterEnd,
    ResetsAfterEnd,
    StopsReading,
    /// It is killed after a while, before any output.
    Killed,
    /// It ends the client's direction (`SHUT_RD`).
    TakesNothing,
    /// It sends output after the end, in the same write.
    LateOutput,
    SecondEnd,
    /// It sends output and a second end some time after the end.
    LateRecords,
    /// It sends output and a second end when it has started to work on the next request of the connection.
    LateIntoNext,
    /// This fault and the next two are not of a request but of the application: it closes after an end, knows ID 1
    /// only, dies of an `FCGI_GET_VALUES`.
    ClosesAtMaxRequests,
    OnlyIdOne,
    DiesOfQuestions,
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

/// The faults that can happen on any link.
pub(crate) const FAULTS: [Fault; 23] = [
    Fault::Hangs,
    Fault::ClosesInTheMiddle,
    Fault::ResetsInTheMiddle,
    Fault::ClosesAfterEnd,
    Fault::ResetsAfterEnd,
    Fault::StopsReading,
    Fault::Killed,
    Fault::TakesNothing,
    Fault::LateRecords,
    Fault::LateIntoNext,
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
    /// The run of a fuzzer's bytes, with the driver of `Client`. What the plan leaves of them is for the network.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut rng = Rng::of_bytes(bytes);
        let mut plan = Self::draw(&mut rng);
        (plan.rng, plan.is_client) = (rng, true);
        // A fuzzer needs many short runs. Long ones have seeds.
        plan.ops.truncate(30);
        for op in &mut plan.ops {
            match op {
                Op::Submit(submit) => submit.shorten(3000),
                Op::Push(_, len) => *len = (*len).min(3000),
                _ => {}
            }
        }
        plan
    }

    /// A run that is drawn. Its network draws on from the same numbers, unless it is given others.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let count = *rng.pick(&[1, 1, 2, 3]);
        let has_faults = rng.chance(60);
        let servers = (0..count).map(|_| draw_server(rng, has_faults)).collect();
        let config = draw_config(rng);
        let has_changes = rng.chance(40);
        let list = match has_changes {
            true => draw_list(rng, count),
            false => (0..count).map(Choice::active).collect(),
        };
        let mut config = config.with_servers(list.iter().map(|it| it.server()).collect());
        if has_changes {
            draw_totals(rng, &mut config.limits);
        }
        if has_changes && rng.chance(30) {
            config.check_interval = Some(millis(rng, 2000) + Duration::from_millis(200));
        }
        // On a shared connection, records after an end can be told from the next response only if one read returns
        // both.
        let is_late = has_faults && rng.chance(12);
        let mut servers: Vec<ServerPlan> = servers;
        for server in servers.iter_mut().filter(|_| is_late) {
            server.other_link = None;
            let link = server.link.clone().with_reads(Fragments::Whole);
            server.link = link
                .with_capacity(256 * 1024)
                .with_bytes_per_second(u64::MAX);
        }
        for server in &mut servers {
            let is_one = !server.shares(&config) && has_faults && rng.chance(10);
            server.quirks.details_mut().knows_only_id_one = is_one;
        }
        let max_sockets = (has_faults && rng.chance(20)).then(|| 1 + rng.below(5) as usize);
        let is_shuffled = rng.chance(60);
        let may_jump = rng.chance(15);
        let ops_len = 4 + rng.below(60);
        let mut next_tag = 0;
        let mut ops: Vec<Op> = (0..ops_len)
            .map(|_| draw_op(rng, &mut next_tag, count, has_faults, may_jump))
            .collect();
        // On a link that takes a few bytes at a time, long streams take long and prove nothing more.
        let is_narrow = |link: &Link| {
            let is_fine = |cut| matches!(cut, Fragments::Each(_) | Fragments::UpTo(0..=64));
            link.capacity() < 1000 || is_fine(link.reads()) || is_fine(link.writes())
        };
        let links = |server: &ServerPlan| [Some(server.link.clone()), server.other_link.clone()];
        let most = if servers
            .iter()
            .flat_map(links)
            .flatten()
            .any(|it| is_narrow(&it))
        {
            1500
        } else {
            usize::MAX
        };
        for op in &mut ops {
            if let Op::Submit(submit) = op {
                submit.shorten(most);
            }
            if let Op::Submit(submit) = op
                && is_late
                && rng.chance(30)
            {
                submit.answer.stdout = submit.answer.stdout.min(1000);
                submit.answer.fault = *rng.pick(&[Fault::LateOutput, Fault::SecondEnd]);
            }
        }
        if rng.chance(10) {
            let within = rng.chance(50).then(|| millis(rng, 300));
            let place = rng.below(ops.len() as u64) as usize;
            ops.insert(place, Op::Shutdown(within));
        }
        if has_changes {
            draw_changes(rng, &mut ops, count);
        }
        let mut plan = Self {
            rng: rng.clone(),
            config,
            servers,
            list,
            max_sockets,
            is_shuffled,
            is_client: rng.chance(40),
            ops,
        };
        if rng.chance(10) {
            crowd(rng, &mut plan);
        }
        plan
    }

    /// Whether the engine may stop reading before a socket is empty, when it checks whether a time limit counts.
    pub(crate) fn reads_little(&self) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|server| {
            let links = [Some(&server.link), server.other_link.as_ref()];
            links.into_iter().flatten().any(|link| {
                let likely = match link.reads() {
                    Fragments::Whole => return false,
                    Fragments::Each(len) => len,
                    Fragments::UpTo(most) => most / 4,
                };
                link.capacity() > 128 * likely
            })
        })
    }

    /// Whether deadlines are met to the instant.
    pub(crate) fn is_punctual(&self) -> bool {
        let is_late = |op: &Op| matches!(op, Op::Jump(_) | Op::HoldUp(_));
        !self.ops.iter().any(is_late)
    }
}

impl ServerPlan {
    pub(crate) fn is_never_down(&self) -> bool {
        let fails = |it: &Connect| {
            matches!(
                it,
                Connect::Refuse(_)
                    | Connect::Hang
                    | Connect::AcceptAfter(_)
                    // Too many of them leave no time to connect.
                    | Connect::BacklogFull
            )
        };
        !self.connects.iter().any(fails)
    }

    /// Whether its connects succeed in the order in which they began.
    pub(crate) fn connects_in_order(&self) -> bool {
        let is_late = |it: &Connect| matches!(it, Connect::AcceptAfter(_) | Connect::BacklogFull);
        self.other_link.is_none() && !self.connects.iter().any(is_late)
    }

    /// Whether the server reports how many requests it can serve in all.
    pub(crate) fn has_totals(&self) -> bool {
        let has_totals = |(name, _): &(&str, &str)| *name == "FCGI_MAX_REQS";
        self.quirks.details().multiplexes
            && matches!(
                &self.quirks.details().values,
                Values::Pairs(pairs) | Values::PairsAndEmpty(pairs) if pairs.iter().any(has_totals)
            )
    }

    /// Whether the client may have several requests on a connection to the server.
    pub(crate) fn shares(&self, config: &Config) -> bool {
        match config.multiplex {
            Multiplex::Off => false,
            Multiplex::On { max } => max > 1,
            Multiplex::Auto => self.quirks.details().multiplexes,
            other => panic!("the runs do not know {other:?}"),
        }
    }
}

impl Submit {
    fn shorten(&mut self, most: usize) {
        for len in [
            &mut self.body_len,
            &mut self.params_len,
            &mut self.answer.stdout,
        ] {
            *len = most.min(*len);
        }
    }

    /// Whether an application may work on the request twice.
    pub(crate) fn may_run_twice(&self) -> bool {
        let is_idempotent = ["GET", "PUT"].contains(&self.method);
        let is_wanted = match self.retry {
            Retry::ByMethod => is_idempotent,
            retry => retry >= Retry::IfStale,
        };
        let is_gone_once_read = matches!(
            self.body,
            BodyKind::Reader | BodyKind::PushedKnown | BodyKind::Short | BodyKind::Long
        );
        is_wanted && !is_gone_once_read
    }

    /// Whether the body is collected before it is sent. The wait in the queue begins late then.
    pub(crate) fn is_collected(&self) -> bool {
        self.body == BodyKind::Pushed
    }
}
