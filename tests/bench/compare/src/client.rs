//! What the clients of other crates share: the request of `load`, a count of what is left, the figures.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use lexopt::prelude::*;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

#[path = "request.rs"]
mod request;
#[path = "usage.rs"]
mod usage;

use usage::{cpu_time, peak_kib};

/// The options of `load` that are used here.
pub(crate) struct Arguments {
    pub(crate) socket: String,
    pub(crate) conns: usize,
    pub(crate) inflight: usize,
    requests: u64,
    pub(crate) stdin_len: usize,
    /// Bytes of each response's body.
    pub(crate) body_expected: u64,
}

impl Arguments {
    pub(crate) fn parse() -> Result<Self> {
        let mut given = Self {
            socket: String::new(),
            conns: 1,
            inflight: 1,
            requests: 1000,
            stdin_len: 0,
            body_expected: 0,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("connect") => {
                    let address = parser.value()?.string()?;
                    let socket = address.strip_prefix("unix:").context("unix:/path")?;
                    given.socket = socket.to_owned();
                }
                Long("conns") => given.conns = parser.value()?.parse()?,
                Long("inflight") => given.inflight = parser.value()?.parse()?,
                Long("requests") => given.requests = parser.value()?.parse()?,
                Long("stdin") => given.stdin_len = parser.value()?.parse()?,
                Long("body-expected") => given.body_expected = parser.value()?.parse()?,
                Long("json") => {}
                _ => return Err(argument.unexpected().into()),
            }
        }
        Ok(given)
    }

    /// Those of `load`.
    pub(crate) fn params(&self) -> Vec<(Bytes, Bytes)> {
        request::params(self.stdin_len)
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }
}

/// Requests that are left, for all tasks together.
#[derive(Clone)]
pub(crate) struct Countdown(Rc<Cell<u64>>);

impl Countdown {
    /// One of them; false when there are none.
    pub(crate) fn take(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// Sends all requests on one thread and prints what that cost.
pub(crate) fn run<F>(arguments: &Arguments, send_all: impl FnOnce(Countdown) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let requests = Countdown(Rc::new(Cell::new(arguments.requests)));
    let (start, before) = (Instant::now(), cpu_time()?);
    LocalSet::new().block_on(&runtime, send_all(requests))?;
    let cpu = cpu_time()?.saturating_sub(before);
    let figures = json!({
        "requests": arguments.requests,
        "seconds": start.elapsed().as_secs_f64(),
        "cpu_user_s": cpu.as_secs_f64(),
        // The sum is what is looked at.
        "cpu_sys_s": 0.0,
        "rss_kb": peak_kib()?,
    });
    println!("{figures}");
    Ok(())
}
