//! The engine on tokio, by readiness: the sockets are tokio's, the pool, its limits and its retries are the engine's.
//!
//! Without arguments, 100 requests at once to an application that is part of the program: long answers, uploads,
//! pauses, aborts, time limits. Then the same to a listener whose backlog is full. Each answer is checked.
//!
//! `cargo run --release --example tokio`, or with `ADDRESS SCRIPT...` after `--`

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::time::Instant;

use mio_fcgi::{Action, Address, ConnectionHandle, Disconnected, Engine};
use tokio::{runtime, task, time};

#[path = "shared/connect_error.rs"]
mod connect_error;
#[path = "shared/jobs.rs"]
mod jobs;
#[path = "shared/tokio_socket.rs"]
mod tokio_socket;

use jobs::{Jobs, Traffic};
use tokio_socket::Socket;

fn main() -> ExitCode {
    jobs::main("tokio", |engine, jobs| {
        let mut driver = Driver {
            engine,
            jobs,
            connects: Vec::new(),
            links: Vec::new(),
            buffer: vec![0; 64 * 1024],
            traffic: Traffic::default(),
        };
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().build()?;
        runtime.block_on(driver.run());
        Ok(driver.traffic)
    })
}

/// One task for all connections of an engine. Each turn serves each connection, because a pool has few.
struct Driver<'a> {
    engine: &'a mut Engine,
    jobs: &'a mut Jobs,
    connects: Vec<(ConnectionHandle, Address, Connect)>,
    links: Vec<Link>,
    buffer: Vec<u8>,
    traffic: Traffic,
}

type Connect = Pin<Box<dyn Future<Output = io::Result<Socket>>>>;

/// A connection that is open.
struct Link {
    handle: ConnectionHandle,
    socket: Socket,
    /// Why a write has failed. What the application sent before is still read.
    failure: Option<ErrorKind>,
}

impl Driver<'_> {
    async fn run(&mut self) {
        while !self.engine.is_shut_down() {
            self.wait().await;
            let now = Instant::now();
            self.engine.handle_timeout(now);
            self.jobs.advance(self.engine, now);
            while let Some(action) = self.engine.poll_action() {
                self.act(action);
            }
            let mut index = 0;
            while index < self.links.len() {
                if let Err(why) = self.read(now, index) {
                    let Link { handle, .. } = self.links.swap_remove(index);
                    self.engine.handle_closed(now, handle, why);
                } else {
                    self.write(now, index);
                    index += 1;
                }
            }
            while let Some(event) = self.engine.poll_pending(&mut self.buffer) {
                self.jobs.on_event(self.engine, now, event);
            }
        }
    }

    /// Waits until there is something to do. Has the runtime look at the sockets in any case.
    async fn wait(&mut self) {
        task::yield_now().await;
        let due = self.jobs.due(self.engine, Instant::now());
        let ready = poll_fn(|context| self.poll_sockets(context));
        match due {
            Some(due) => drop(time::timeout_at(due.into(), ready).await),
            None => ready.await,
        }
    }

    /// Tells the engine what the sockets are ready for, before it gets another command.
    fn poll_sockets(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        self.connects.retain_mut(|(handle, address, connect)| {
            match connect.as_mut().poll(context) {
                Poll::Pending => return true,
                Poll::Ready(Ok(socket)) => {
                    self.links.push(Link {
                        handle: *handle,
                        socket,
                        failure: None,
                    });
                    self.engine.handle_connected(now, *handle);
                }
                Poll::Ready(Err(error)) => {
                    let why = connect_error::why(&error, Some(address));
                    self.engine.handle_closed(now, *handle, why);
                }
            }
            false
        });
        let mut has_work = false;
        for link in &self.links {
            let (engine, handle) = (&mut self.engine, link.handle);
            let is_readable = link.socket.poll_read_closed(context).map(|is_closed| {
                if is_closed {
                    engine.handle_read_closed(now, handle);
                } else {
                    engine.handle_readable(now, handle);
                }
            });
            let reads = is_readable.is_ready() || link.failure.is_some();
            has_work |= reads && engine.wants_read(handle);
            if engine.wants_write(handle) && link.failure.is_none() {
                has_work |= link.socket.poll_write_ready(context).is_ready();
            }
        }
        if has_work || self.engine.has_output() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { connection, server } => {
                let Some(address) = self.engine.server_address(server).cloned() else {
                    return;
                };
                let connect = Box::pin(Socket::connect(address.clone()));
                self.connects.push((connection, address, connect));
            }
            Action::Close { connection, .. } => {
                self.connects.retain(|(handle, ..)| *handle != connection);
                self.links.retain(|link| link.handle != connection);
            }
            // `Read` and `Flush`: each turn serves each connection.
            _ => {}
        }
    }

    /// Reads one buffer. Fails when the connection has ended.
    fn read(&mut self, now: Instant, index: usize) -> Result<(), Disconnected> {
        let link = &self.links[index];
        let handle = link.handle;
        if !self.engine.wants_read(handle) && !self.engine.reads_first(handle) {
            return Ok(());
        }
        // Without a system call if the runtime has not found the socket readable.
        match link.socket.try_read(&mut self.buffer) {
            Ok(0) => Err(Disconnected::Eof),
            Ok(len) => {
                self.traffic.reads += 1;
                self.engine.handle_readable(now, handle);
                let mut input = &self.buffer[..len];
                while let Some(event) = self.engine.poll_received(now, handle, &mut input) {
                    self.jobs.on_event(self.engine, now, event);
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => match link.failure {
                Some(kind) => Err(Disconnected::Failed(kind)),
                None => {
                    self.engine.handle_drained(now, handle);
                    Ok(())
                }
            },
            Err(error) => Err(Disconnected::Failed(error.kind())),
        }
    }

    /// Writes as much as the socket takes. When that fails, the next turn still reads: the application may have answered
    /// before it closed the connection.
    fn write(&mut self, now: Instant, index: usize) {
        let link = &mut self.links[index];
        while link.failure.is_none() && !self.engine.reads_first(link.handle) {
            let slices = self.engine.transmit(link.handle);
            if slices.is_empty() {
                break;
            }
            match link.socket.try_write(&slices) {
                Ok(len) if len > 0 => {
                    self.traffic.writes += 1;
                    self.engine.handle_transmitted(now, link.handle, len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                failed => {
                    let kind = failed.err().map_or(ErrorKind::WriteZero, |it| it.kind());
                    link.failure = Some(kind);
                }
            }
        }
    }
}
