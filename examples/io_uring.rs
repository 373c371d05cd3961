//! The engine on `io_uring`, by completion: operations on sockets are handed to the system and end some time later, while
//! the engine goes on. Linux only.
//!
//! Without arguments, 100 requests at once to an application that is part of the program: long answers, uploads,
//! pauses, aborts, time limits. Then the same to a listener whose backlog is full. Each answer is checked.
//!
//! `cargo run --release --example io_uring`, or with `ADDRESS SCRIPT...` after `--`

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[path = "shared/connect_error.rs"]
mod connect_error;
#[cfg(target_os = "linux")]
#[path = "shared/jobs.rs"]
mod jobs;
#[cfg(target_os = "linux")]
#[path = "shared/ring.rs"]
mod ring;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    jobs::main("io_uring", driver::drive)
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("io_uring: only Linux has it");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod driver {
    use std::io::{self, ErrorKind};
    use std::mem;
    use std::time::{Duration, Instant};

    use mio_fcgi::{Action, ConnectionHandle, Disconnected, Engine, ServerId};

    use crate::connect_error;
    use crate::jobs::{Jobs, Traffic};
    use crate::ring::{Completion, Operation, Ring};

    pub(crate) fn drive(engine: &mut Engine, jobs: &mut Jobs) -> io::Result<Traffic> {
        let mut driver = Driver {
            engine,
            jobs,
            ring: Ring::new()?,
            links: Vec::new(),
            scratch: vec![0; 64 * 1024],
        };
        driver.run()?;
        Ok(driver.ring.traffic)
    }

    /// A loop for all connections of an engine. Each turn serves each connection, because a pool has few.
    struct Driver<'a> {
        engine: &'a mut Engine,
        jobs: &'a mut Jobs,
        ring: Ring,
        links: Vec<Link>,
        scratch: Vec<u8>,
    }

    /// A connection and its socket.
    struct Link {
        handle: ConnectionHandle,
        server: ServerId,
        /// The socket's key in the ring.
        key: usize,
        /// The engine wants to know whether there is something to read. It is told after the next look at the ring:
        /// if a read is still under way then, the socket is empty.
        is_asked: bool,
        /// The result of a read that has completed.
        completed: Option<io::Result<usize>>,
        /// Why a write has failed. What the application sent before is still read.
        failure: Option<ErrorKind>,
    }

    impl Driver<'_> {
        fn run(&mut self) -> io::Result<()> {
            // The sockets outlive the engine's shutdown until the completions of their last operations have come.
            while !(self.engine.is_shut_down() && self.ring.is_empty()) {
                self.ring.enter(self.limit())?;
                let now = Instant::now();
                // 1. All completions are taken, and the engine learns of them, before it gets a command.
                while let Some(completion) = self.ring.next()? {
                    self.complete(now, completion)?;
                }
                let mut at = 0;
                while at < self.links.len() {
                    match self.handle_read(now, at) {
                        Ok(()) => at += 1,
                        Err(why) => self.lose(now, at, why)?,
                    }
                }
                // 2. Commands of the embedder, and their effects.
                self.engine.handle_timeout(now);
                self.jobs.advance(self.engine, now);
                while let Some(action) = self.engine.poll_action() {
                    self.act(now, action)?;
                }
                while let Some(event) = self.engine.poll_pending(&mut self.scratch) {
                    self.jobs.on_event(self.engine, now, event);
                }
                // 3. New operations, which the next turn hands to the system.
                for link in &mut self.links {
                    serve(link, self.engine, &mut self.ring, now)?;
                }
            }
            Ok(())
        }

        /// How long to wait for a completion.
        fn limit(&self) -> Option<Duration> {
            if self.engine.has_output() || self.links.iter().any(|link| link.is_asked) {
                return Some(Duration::ZERO);
            }
            let now = Instant::now();
            let due = self.jobs.due(self.engine, now);
            due.map(|due| due.saturating_duration_since(now))
        }

        /// Tells the engine what a completion means. The bytes of a read follow later.
        fn complete(&mut self, now: Instant, completion: Completion) -> io::Result<()> {
            let is_it = |link: &Link| link.key == completion.key;
            let Some(at) = self.links.iter().position(is_it) else {
                return Ok(());
            };
            let link = &mut self.links[at];
            match (completion.operation, completion.result) {
                (Operation::Connect, Ok(_)) => self.engine.handle_connected(now, link.handle),
                (Operation::Connect, Err(error)) => {
                    let address = self.engine.server_address(link.server);
                    let why = connect_error::why(&error, address);
                    self.lose(now, at, why)?;
                }
                (Operation::Read, result) => {
                    if matches!(result, Ok(1..)) {
                        self.engine.handle_readable(now, link.handle);
                    } else {
                        self.engine.handle_read_closed(now, link.handle);
                    }
                    link.completed = Some(result);
                }
                (Operation::Write, Ok(_)) => {}
                (Operation::Write, Err(error)) => link.failure = Some(error.kind()),
            }
            Ok(())
        }

        /// Feeds what a read has brought, or reports that there is nothing. Fails when the connection has ended.
        fn handle_read(&mut self, now: Instant, at: usize) -> Result<(), Disconnected> {
            let link = &mut self.links[at];
            let (handle, is_asked) = (link.handle, mem::take(&mut link.is_asked));
            match link.completed.take() {
                Some(Ok(0)) => return Err(Disconnected::Eof),
                Some(Ok(_)) => {
                    let mut input = self.ring.input(link.key);
                    while let Some(event) = self.engine.poll_received(now, handle, &mut input) {
                        self.jobs.on_event(self.engine, now, event);
                    }
                }
                Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Some(Err(error)) => return Err(Disconnected::Failed(error.kind())),
                None if is_asked && self.ring.is_under_way(link.key, Operation::Read) => {
                    match link.failure {
                        Some(kind) => return Err(Disconnected::Failed(kind)),
                        None => self.engine.handle_drained(now, handle),
                    }
                }
                None => {}
            }
            Ok(())
        }

        fn act(&mut self, now: Instant, action: Action) -> io::Result<()> {
            match action {
                Action::Connect { connection, server } => {
                    let Some(address) = self.engine.server_address(server) else {
                        return Ok(());
                    };
                    match self.ring.connect(address) {
                        Ok(key) => self.links.push(Link {
                            handle: connection,
                            server,
                            key,
                            is_asked: false,
                            completed: None,
                            failure: None,
                        }),
                        Err(error) => {
                            let why = connect_error::why(&error, Some(address));
                            self.engine.handle_closed(now, connection, why);
                        }
                    }
                }
                Action::Close { connection, .. } => {
                    if let Some(at) = self.position(connection) {
                        self.ring.close(self.links.swap_remove(at).key)?;
                    }
                }
                Action::Read { connection } => {
                    if let Some(at) = self.position(connection) {
                        self.links[at].is_asked = true;
                    }
                }
                // `Flush`: each turn serves each connection.
                _ => {}
            }
            Ok(())
        }

        fn lose(&mut self, now: Instant, at: usize, why: Disconnected) -> io::Result<()> {
            let link = self.links.swap_remove(at);
            self.engine.handle_closed(now, link.handle, why);
            self.ring.close(link.key)
        }

        fn position(&self, handle: ConnectionHandle) -> Option<usize> {
            self.links.iter().position(|link| link.handle == handle)
        }
    }

    /// Begins to read and to write, unless that is under way.
    fn serve(
        link: &mut Link,
        engine: &mut Engine,
        ring: &mut Ring,
        now: Instant,
    ) -> io::Result<()> {
        let (handle, key) = (link.handle, link.key);
        if ring.is_under_way(key, Operation::Connect) {
            return Ok(());
        }
        let reads_first = engine.reads_first(handle);
        if engine.wants_read(handle) || reads_first || link.is_asked {
            link.is_asked |= ring.read(key)?;
        }
        if link.failure.is_some() {
            // The application may have answered before it closed the connection: the read goes on to the end.
            link.is_asked |= ring.is_under_way(key, Operation::Read);
        } else if reads_first {
            link.is_asked = true;
        } else {
            ring.write(key, |bytes| _ = engine.poll_transmit(now, handle, bytes))?;
        }
        Ok(())
    }
}
