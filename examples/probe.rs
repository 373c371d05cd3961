//! A prober: asks many FastCGI applications again and again whether they are up, and prints a line for each change.
//!
//! ```text
//! $ cargo run --example probe -- 5 unix:/run/php/one.sock unix:/run/php/two.sock 127.0.0.1:9000
//! unix:/run/php/one.sock: up
//! unix:/run/php/two.sock: down, no connection to the application: no such socket: is the application running, and is the path right?
//! 127.0.0.1:9000: busy, timed out: no answer to FCGI_GET_VALUES within probe_timeout
//! ```
//!
//! The first argument is the pause between two questions in seconds. An application that has not answered by then is
//! busy: it accepts connections, or its backlog is full, and no process of it is free.
//!
//! Each application has a client of its own. All of them run in one loop, on one poll and with one buffer.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::{
    Address, Backoff, ClientId, Clients, Config, ConnectError, EventKind, GetValuesError, Outcome,
    ReadBuf, RequestError, ServerId, Tag, Timeouts,
};

/// An application, and what was printed of it last.
struct Pool {
    address: Address,
    state: String,
}

/// Each client has one connection. No other token is in use.
const TOKENS: std::ops::Range<Token> = Token(0)..Token(65_536);

fn probe(every: Duration, addresses: &[Address]) -> Result<(), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buf = ReadBuf::default();
    let mut clients = Clients::new(poll.registry(), TOKENS, 1)?;
    let mut pools = HashMap::new();
    for address in addresses {
        let id = clients.add(config(address.clone(), every))?;
        let (address, state) = (address.clone(), String::new());
        pools.insert(id, Pool { address, state });
    }
    let mut ask_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= ask_at {
            for id in pools.keys() {
                ask(&mut clients, *id, now)?;
            }
            ask_at = now + every;
        }
        let next = clients.deadline(now).map_or(ask_at, |at| at.min(ask_at));
        match poll.poll(&mut events, Some(next.saturating_duration_since(now))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            polled => polled?,
        }
        let now = Instant::now();
        for event in &events {
            clients.handle_event(event);
        }
        clients.handle_timeout(now);
        while let Some((id, event)) = clients.poll_event(now, &mut buf) {
            if let EventKind::End(outcome) = event.kind
                && let Some(pool) = pools.get_mut(&id)
            {
                pool.note(&outcome)?;
            }
        }
    }
}

/// One connection, closed after each answer: a kept one would occupy a process of php-fpm.
fn config(address: Address, limit: Duration) -> Config {
    let mut config = Config::new(address)
        .with_connect_timeout(limit)
        .with_probe_timeout(limit)
        // The loop has pauses of its own.
        .with_backoff(Backoff::default().with_max(Backoff::default().initial));
    config.limits.max_connections_per_server = 1;
    config.limits.max_idle_per_server = 0;
    // Above the limit for the connect, so that a connect that hangs is reported as one.
    config.timeouts = Timeouts::NONE.with_queue(2 * limit);
    config
}

fn ask(clients: &mut Clients, id: ClientId, now: Instant) -> Result<(), GetValuesError> {
    let Some(client) = clients.get_mut(id) else {
        return Ok(());
    };
    match client.get_values(now, ServerId::new(0), Tag(0)) {
        // It has not answered the question before.
        Ok(_) | Err(GetValuesError::InProgress { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Pool {
    fn note(&mut self, outcome: &Outcome) -> io::Result<()> {
        let state = match outcome {
            Ok(_) => "up".to_owned(),
            Err(failure) => match &failure.error {
                error @ (RequestError::TimedOut(_)
                | RequestError::Connect(ConnectError::BacklogFull)) => format!("busy, {error}"),
                error => format!("down, {error}"),
            },
        };
        if state != self.state {
            writeln!(io::stdout(), "{}: {state}", self.address)?;
            self.state = state;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    env_logger::init();
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (Some((every, addresses)), true) = (arguments.split_first(), arguments.len() > 1) else {
        return Err("usage: probe SECONDS ADDRESS...".into());
    };
    let every = Duration::try_from_secs_f64(every.parse()?)?;
    if !(Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60)).contains(&every) {
        return Err("the pause is a millisecond at least, and a day at most".into());
    }
    let mut resolved = Vec::new();
    for address in addresses {
        // Each address of a name is asked.
        resolved.extend(address.parse::<Address>()?.resolve()?);
    }
    probe(every, &resolved)
}
