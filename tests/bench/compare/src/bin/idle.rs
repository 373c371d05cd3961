//! Requests over 64 connections beside many that are idle: `idle --connect unix:/PATH --idle N --requests N`

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lexopt::prelude::*;
use mio::{Events, Poll, Token};
use mio_fcgi::{Address, Client, Config, EventKind, Multiplex, ReadBuf, Request, SubmitError, Tag};
use serde_json::json;

#[path = "../usage.rs"]
mod usage;

use usage::{cpu_time, peak_kib};

const BUSY: usize = 64;

fn main() -> Result<()> {
    let (mut address, mut idle, mut requests) = (None, 0_usize, 1000_u64);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("connect") => address = Some(parser.value()?.parse::<Address>()?),
            Long("idle") => idle = parser.value()?.parse()?,
            Long("requests") => requests = parser.value()?.parse()?,
            Long("json") => {}
            _ => return Err(argument.unexpected().into()),
        }
    }
    let mut config = Config::new(address.context("--connect")?);
    config.multiplex = Multiplex::Off;
    config.connect_timeout = Duration::from_secs(30);
    config.limits.max_connections_per_server = idle + BUSY;
    config.limits.max_idle_per_server = idle + BUSY;
    config.limits.min_idle_per_server = idle;
    config.limits.idle_timeout = Duration::from_secs(600);
    config.limits.max_queued_requests = idle + BUSY;
    let mut poll = Poll::new()?;
    let tokens = Token(0)..Token(usize::MAX);
    let mut load = Load {
        client: Client::new(poll.registry(), tokens, config)?,
        left: BUSY as u64,
        landed: 0,
    };
    let mut events = Events::with_capacity(1024);
    let mut buf = ReadBuf::default();
    // A first request for each connection that will be busy; the pool opens the others meanwhile.
    load.depart(BUSY)?;
    let opening = Instant::now();
    while load.landed < BUSY as u64 || load.client.stats().connections.idle < idle {
        ensure!(
            opening.elapsed() < Duration::from_secs(60),
            "the connections do not open"
        );
        load.turn(&mut poll, &mut events, &mut buf)?;
    }
    load.left = requests;
    load.landed = 0;
    let (start, before) = (Instant::now(), cpu_time()?);
    load.depart(BUSY)?;
    while load.landed < requests {
        load.turn(&mut poll, &mut events, &mut buf)?;
    }
    let (cpu, seconds) = (
        cpu_time()?.saturating_sub(before),
        start.elapsed().as_secs_f64(),
    );
    let stats = load.client.stats();
    ensure!(
        stats.connections.idle >= idle,
        "only {} are idle",
        stats.connections.idle
    );
    let figures = json!({
        "requests": requests,
        "seconds": seconds,
        "cpu_user_s": cpu.as_secs_f64(),
        "cpu_sys_s": 0.0,
        "rss_kb": peak_kib()?,
    });
    println!("{figures}");
    Ok(())
}

struct Load {
    client: Client,
    left: u64,
    landed: u64,
}

impl Load {
    fn depart(&mut self, count: usize) -> Result<()> {
        let count = self.left.min(count as u64);
        self.left -= count;
        for _ in 0..count {
            let mut request = self.client.new_request();
            fill(&mut request);
            let submitted = self.client.submit(Instant::now(), request, Tag(0));
            submitted.map_err(SubmitError::from)?;
        }
        Ok(())
    }

    fn turn(&mut self, poll: &mut Poll, events: &mut Events, buf: &mut ReadBuf) -> Result<()> {
        poll.poll(events, self.client.timeout(Instant::now()))?;
        let now = Instant::now();
        for event in &*events {
            self.client.handle_event(event);
        }
        self.client.handle_timeout(now);
        while let Some(event) = self.client.poll_event(now, buf) {
            if let EventKind::End(outcome) = event.kind {
                if let Err(failure) = outcome {
                    bail!("{failure}");
                }
                self.landed += 1;
                self.depart(1)?;
            }
        }
        Ok(())
    }
}

fn fill(request: &mut Request) {
    for (name, value) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_FILENAME", "/srv/www/bench"),
        ("SCRIPT_NAME", "/bench"),
        ("REQUEST_URI", "/bench"),
        ("QUERY_STRING", ""),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
    ] {
        request.params.push(name, value);
    }
}
