//! Sends the load with the library.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::{
    Address, Client, Config, Event, EventKind, Multiplex, Outcome, ReadBuf, RequestHandle, Tag,
};

use crate::answer::{Answer, Wanted};
use crate::arguments::Arguments;
use crate::connect::wait;
use crate::pace::{Next, Pace};
use crate::request::Template;
use crate::summary::Totals;
use crate::tally::Tally;

/// Runs until all requests have ended.
///
/// # Errors
/// The system's error if it prevents any further request. Failures of single requests are only counted.
pub(crate) fn run(
    address: &Address,
    arguments: &Arguments,
    templates: &[Template],
    sharing: u32,
    pace: Pace,
    tally: &mut Tally,
) -> io::Result<Totals> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let tokens = Token(0)..Token(arguments.conns);
    let config = configure(address, arguments, sharing);
    let start = pace.start();
    let mut load = Load {
        client: Client::new(poll.registry(), tokens, config)?,
        templates,
        next_set: 0,
        pace,
        tally,
        in_flight: Vec::new(),
        free_tags: (0..arguments.inflight as u32).rev().collect(),
        wanted: Wanted::new(arguments.body_expected),
        next_due: None,
    };
    load.in_flight
        .resize_with(arguments.inflight, || InFlight::at(start));
    let mut buf = ReadBuf::default();
    let mut now = Instant::now();
    load.send_due(now);
    loop {
        load.client.handle_timeout(now);
        while let Some(event) = load.client.poll_event(now, &mut buf) {
            load.handle(now, event);
        }
        load.tally.show_progress(now);
        if load.is_over() {
            break;
        }
        let timeout = load.timeout(now);
        wait(&mut poll, &mut events, timeout)?;
        now = Instant::now();
        for event in &events {
            load.client.handle_event(event);
        }
        load.send_due(now);
    }
    let counters = load.client.stats().counters;
    Ok(Totals {
        elapsed: now.saturating_duration_since(start),
        connections: counters.connected,
        retries: counters.retries,
        bytes_sent: counters.bytes_sent,
        bytes_received: counters.bytes_received,
    })
}

fn configure(address: &Address, arguments: &Arguments, sharing: u32) -> Config {
    let mut config = Config::new(address.clone());
    config.limits.max_connections_per_server = arguments.conns;
    config.limits.max_idle_per_server = arguments.conns;
    config.limits.max_queued_requests = arguments.inflight;
    config.timeouts.total = Some(arguments.timeout);
    config.multiplex = match sharing {
        1 => Multiplex::Off,
        max => Multiplex::On { max },
    };
    config
}

struct Load<'a> {
    client: Client,
    templates: &'a [Template],
    /// Index of the template for the next request.
    next_set: usize,
    pace: Pace,
    tally: &'a mut Tally,
    /// The requests in flight, by tag.
    in_flight: Vec<InFlight>,
    /// Tags that are not in use.
    free_tags: Vec<u32>,
    wanted: Wanted,
    /// When the next request is due, if none is due now.
    next_due: Option<Instant>,
}

/// A request in flight.
struct InFlight {
    due: Instant,
    /// Index of the template that the request was made from.
    set: u32,
    answer: Answer,
}

impl InFlight {
    fn at(due: Instant) -> Self {
        Self {
            due,
            set: 0,
            answer: Answer::default(),
        }
    }
}

impl Load<'_> {
    /// Sends the requests that are due, as far as the limit of requests in flight allows.
    fn send_due(&mut self, now: Instant) {
        self.next_due = None;
        while let Some(tag) = self.free_tags.pop() {
            match self.pace.next(now) {
                Next::Due(due) => self.send(now, due, tag),
                other => {
                    self.free_tags.push(tag);
                    if let Next::Later(at) = other {
                        self.next_due = Some(at);
                    }
                    return;
                }
            }
        }
    }

    fn send(&mut self, now: Instant, due: Instant, tag: u32) {
        let set = self.next_set;
        self.next_set = (set + 1) % self.templates.len();
        let flight = &mut self.in_flight[tag as usize];
        (flight.due, flight.set) = (due, set as u32);
        let mut request = self.client.new_request();
        self.templates[set].fill(&mut request);
        if let Err(error) = self.client.submit(now, request, Tag(u64::from(tag))) {
            self.fail(tag, error);
        }
    }

    fn handle(&mut self, now: Instant, event: Event<&[u8]>) {
        let tag = event.tag.0 as u32;
        match event.kind {
            EventKind::Stdout(data) => {
                let flight = &mut self.in_flight[tag as usize];
                flight.answer.push(&mut self.wanted, data);
            }
            EventKind::End(outcome) => {
                self.finish(now, event.request, tag, outcome);
                // Sent here, the next request finds the connection's data still in the processor's cache.
                self.send_due(now);
            }
            _ => {}
        }
    }

    fn finish(&mut self, now: Instant, request: RequestHandle, tag: u32, outcome: Outcome) {
        let flight = &mut self.in_flight[tag as usize];
        let completion = match outcome {
            Ok(completion) => completion,
            Err(failure) => {
                log::debug!("{request:?}: {failure}");
                flight.answer.clear();
                return self.fail(tag, failure.error);
            }
        };
        match flight.answer.end(&self.wanted, completion.app_status) {
            Ok(()) => {
                let latency = now.saturating_duration_since(flight.due);
                self.tally.succeeded(flight.set as usize, latency, 1);
                self.free_tags.push(tag);
            }
            Err(wrong) => self.fail(tag, wrong),
        }
    }

    fn fail(&mut self, tag: u32, kind: impl std::fmt::Display) {
        self.free_tags.push(tag);
        self.tally
            .failed(self.in_flight[tag as usize].set as usize, kind);
        if self.tally.is_failing() {
            self.pace.stop();
        }
    }

    fn is_over(&self) -> bool {
        self.free_tags.len() == self.in_flight.len() && self.pace.is_over()
    }

    /// How long to wait: for the FastCGI client, the next request, the next progress line.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let client = self.client.deadline(now);
        let due = [self.next_due, self.tally.progress_due(), client];
        let next = due.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }
}
