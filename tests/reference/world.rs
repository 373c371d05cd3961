//! Random worlds: the settings of a client, what it is asked, and how applications and networks behave.

use std::time::Duration;

use mio_fcgi::{Config, Multiplex, OverflowPolicy, RequestIds, Retry, Timeouts, UnknownLength};

use crate::log::{Asked, Content, Source};
use crate::reference::TAG;
use crate::rng::Rng;

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) requests: Vec<Asked>,
    /// In percent, how often an application breaks a rule where it could.
    pub(crate) wildness: usize,
    /// In percent, how often a connection is lost where it could be.
    pub(crate) losses: usize,
    /// In percent, how often a connect fails.
    pub(crate) refusals: usize,
    /// In percent, how often the embedder aborts, pauses or resumes where it could.
    pub(crate) whims: usize,
    /// The most bytes of one read, and of one write.
    pub(crate) piece: usize,
    /// What applications answer to `FCGI_GET_VALUES`.
    pub(crate) values: Values,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    Multiplexes,
    Plain,
    Empty,
    UnknownType,
    Silence,
    Close,
}

impl World {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let config = config(rng);
        let most = rng.one_of(&[1, 1, 2, 2, 3, 3, 4, 6, 8, 12, 40]);
        let count = rng.within(1, most);
        // Few worlds have large bodies: those take most of the time.
        let scale = rng.one_of(&[0, 20, 20, 200, 200, 200, 1_000, 1_000, 9_000, 70_000]);
        let scale = if rng.chance(2) { 300_000 } else { scale };
        let mut requests: Vec<Asked> = (0..count)
            .map(|tag| request(rng, tag as u64 + 1, scale))
            .collect();
        if rng.chance(20) {
            requests[0].pairs.clear(); // The one without parameters.
            requests[0].tag = 0;
        }
        let piece = if scale > 5_000 {
            rng.one_of(&[900, 9_000, 100_000])
        } else {
            rng.one_of(&[1, 7, 40, 300, 100_000])
        };
        Self {
            config,
            requests,
            wildness: rng.one_of(&[0, 0, 0, 3, 20]),
            losses: rng.one_of(&[0, 0, 0, 2, 10]),
            refusals: rng.one_of(&[0, 0, 0, 0, 20]),
            whims: rng.one_of(&[0, 0, 2, 10]),
            piece,
            values: rng.one_of(&[
                Values::Multiplexes,
                Values::Multiplexes,
                Values::Plain,
                Values::Empty,
                Values::UnknownType,
                Values::Silence,
                Values::Close,
            ]),
        }
    }
}

fn config(rng: &mut Rng) -> Config {
    let servers = ["127.0.0.1:9000", "127.0.0.1:9001"]
        .map(|it| it.parse::<mio_fcgi::Address>().expect("an address"));
    let mut config = Config::from_servers(servers[..rng.one_of(&[1, 1, 1, 2])].to_vec());
    config.timeouts = Timeouts::NONE;
    config.multiplex = match rng.below(6) {
        0..3 => Multiplex::Off,
        3 => Multiplex::Auto,
        _ => Multiplex::On {
            max: rng.within(1, 8) as u32,
        },
    };
    config.keep_connections = !rng.chance(15);
    config.limits.max_connections_per_server = rng.within(1, 4);
    config.limits.max_idle_per_server = rng.within(0, 4);
    config.limits.max_requests_per_connection = rng.chance(20).then(|| rng.within(1, 5) as u32);
    if rng.chance(8) {
        config.limits.max_queued_requests = rng.within(0, 3);
    }
    if rng.chance(5) {
        config.request_ids = RequestIds::AlwaysOne;
    }
    config.max_retries = rng.within(0, 3) as u8;
    config.stale_window = Duration::from_secs(rng.one_of(&[0, 1, 1]));
    config.stdin_high_water = rng.one_of(&[1, 50, 64 * 1024]);
    config.unknown_length = match rng.below(3) {
        0 => UnknownLength::Refuse,
        1 => UnknownLength::Buffer {
            limit: rng.one_of(&[100, 100_000]),
        },
        _ => UnknownLength::Stream,
    };
    config.split_long_pairs = rng.chance(30);
    config.max_params_len = rng.one_of(&[150, 1 << 20, 1 << 20, 1 << 20]);
    let buffer = &mut config.pause_buffer;
    buffer.per_request = rng.one_of(&[0, 10, 64 * 1024]);
    buffer.per_connection = rng.one_of(&[0, 100, 1024 * 1024]);
    buffer.overflow = rng.one_of(&[OverflowPolicy::PauseConnection, OverflowPolicy::FailRequest]);
    config
}

fn request(rng: &mut Rng, tag: u64, scale: usize) -> Asked {
    let role = rng.one_of(&[1, 1, 1, 1, 2, 3]);
    let mut pairs = vec![(TAG.to_vec(), tag.to_string().into_bytes())];
    if rng.chance(70) {
        let method = rng.one_of(&["GET", "POST", "PUT", "PATCH"]);
        pairs.push((b"REQUEST_METHOD".to_vec(), method.as_bytes().to_vec()));
    }
    for number in 0..rng.one_of(&[0, 1, 3, 10]) {
        let edges = [0, 1, 126, 127, 128, 129, 255, 256];
        let len = if rng.chance(20) {
            rng.one_of(&edges)
        } else {
            rng.within(0, scale / 4)
        };
        let mut name = format!("N{number}").into_bytes();
        match rng.below(40) {
            0 => name.clear(),
            1 => name.resize(rng.one_of(&edges), b'n'),
            _ => {}
        }
        pairs.push((name, rng.bytes(len)));
    }
    if rng.chance(1) {
        // Around the longest that a record can hold.
        let len = rng.within(65_500, 65_560);
        pairs.push((b"LONG".to_vec(), rng.bytes(len)));
    }
    let body = match role {
        2 if !rng.chance(2) => Content::NONE,
        _ => content(rng, scale),
    };
    let mut data = match role {
        3 => content(rng, scale),
        _ if rng.chance(1) => content(rng, 3),
        _ => Content::NONE,
    };
    if data.source == Source::Pushed && !rng.chance(5) {
        data.source = Source::Seekable;
        data.len = Some(data.bytes.len());
    }
    if role == 1 && rng.chance(10) {
        let declared = match rng.below(10) {
            0 => "many".to_owned(),
            1 => (body.bytes.len() + 1).to_string(),
            _ => body.len.unwrap_or(body.bytes.len()).to_string(),
        };
        pairs.push((b"CONTENT_LENGTH".to_vec(), declared.into_bytes()));
    }
    Asked {
        tag,
        role,
        pairs,
        body,
        data,
        retry: rng.one_of(&[
            Retry::ByMethod,
            Retry::ByMethod,
            Retry::Never,
            Retry::IfNotProcessed,
            Retry::IfStale,
            Retry::IfUnanswered,
        ]),
        refused: None,
        handle: None,
        submitted: 0,
        pushed: 0,
        finished: false,
        aborted: None,
        was_paused: false,
        is_paused: false,
        events: Vec::new(),
    }
}

fn content(rng: &mut Rng, scale: usize) -> Content {
    let sources = [
        Source::None,
        Source::Bytes,
        Source::Bytes,
        Source::Shared,
        Source::Reader,
        Source::Seekable,
        Source::Pushed,
        Source::Pushed,
    ];
    let source = rng.one_of(&sources);
    if source == Source::None {
        return Content::NONE;
    }
    let mut len = rng.within(0, scale);
    if scale > 66_000 && rng.chance(30) {
        len = rng.within(65_520, 65_545);
    }
    let bytes = rng.bytes(len);
    let is_stated = matches!(source, Source::Bytes | Source::Shared) || rng.chance(80);
    let off =
        if matches!(source, Source::Reader | Source::Seekable | Source::Pushed) && rng.chance(4) {
            rng.within(1, 3)
        } else {
            0
        };
    // Too few bytes for the length, or for a reader too many.
    let stated = if source != Source::Pushed && rng.chance(50) {
        len.saturating_sub(off)
    } else {
        len + off
    };
    Content {
        source,
        bytes,
        len: is_stated.then_some(stated),
    }
}
