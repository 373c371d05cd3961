//! A FastCGI application on `mio_fcgi::wire` and mio: the part that other programs embed.
//!
//! Include it with `#[path = "../responder/app.rs"] mod app;`. [`spawn`] runs it on a thread and returns a [`Running`]
//! with its address; [`serve`] runs it on the calling thread.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each program that includes this file uses its own part of it"
)]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Waker;
use mio_fcgi::Address;

mod answer;
mod buffers;
mod connection;
mod event_loop;
mod exchange;
mod page;
mod render;
mod requests;
mod session;
mod socket;

pub use answer::pattern_byte;
pub use socket::Listener;

/// The options of the application. Each limit holds whatever a peer sends.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of event loops, each on a thread of its own. 0 counts as 1.
    pub threads: usize,
    /// How long each request waits before its response, in addition to what its page asks for.
    pub delay: Duration,
    /// The length of the response body of `/bench`, in bytes.
    pub bench_body_len: usize,
    /// Whether requests may share a connection.
    pub multiplex: bool,
    /// The most connections per thread. Further ones are closed when they are accepted.
    pub max_connections: usize,
    /// The most open requests on a connection. Further ones are rejected with `FCGI_OVERLOADED`.
    pub max_requests_per_connection: usize,
    /// A connection is not read while it has this many bytes of unsent output.
    ///
    /// Memory per connection stays within this limit, plus 256 KiB for the last response and the input that was read
    /// after it, plus [`input_limit`](Self::input_limit).
    pub output_limit: usize,
    /// The most bytes of parameters and form fields that are kept for the open requests of a connection.
    pub input_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 1,
            delay: Duration::ZERO,
            bench_body_len: 16,
            multiplex: true,
            max_connections: 4096,
            max_requests_per_connection: 1024,
            output_limit: 256 * 1024,
            input_limit: 1024 * 1024,
        }
    }
}

/// Serves the connections of `listener` on the calling thread, and on further threads if [`Options::threads`] says so,
/// until [`Control::stop`].
///
/// # Errors
/// The system's error if it provides no event queue, or if waiting for events fails. A failure on a connection ends
/// only that connection.
pub fn serve(listener: Listener, options: &Options, control: &Control) -> io::Result<()> {
    event_loop::run(listener, options, control)
}

/// Serves on a thread. On Linux at a Unix socket without a file, elsewhere at a free port of 127.0.0.1: nothing is left
/// behind, however the process ends. Every user of the machine can connect to either.
///
/// # Errors
/// The system's error if there is no socket or no thread.
pub fn spawn(options: Options) -> io::Result<Running> {
    #[cfg(target_os = "linux")]
    let listener = bind_unused_name()?;
    #[cfg(not(target_os = "linux"))]
    let listener = Listener::bind(&Address::Tcp(([127, 0, 0, 1], 0).into()))?;
    spawn_on(listener, options)
}

/// Listens at an abstract name. The first name may be in use if processes share socket names but not process IDs.
#[cfg(target_os = "linux")]
fn bind_unused_name() -> io::Result<Listener> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = std::process::id();
    let mut tries_left = 1000;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("responder-{process}-{number}");
        match Listener::bind(&Address::Abstract(name)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {
                tries_left -= 1;
            }
            bound => return bound,
        }
    }
}

/// Serves a listener on a thread.
///
/// # Errors
/// The system's error if there is no thread.
pub fn spawn_on(listener: Listener, options: Options) -> io::Result<Running> {
    let address = listener.address().clone();
    let control = Arc::new(Control::default());
    let thread = std::thread::Builder::new()
        .name("responder".to_owned())
        .spawn({
            let control = Arc::clone(&control);
            move || serve(listener, &options, &control)
        })?;
    Ok(Running {
        address,
        control,
        thread: Some(thread),
    })
}

/// An application on a thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct Running {
    address: Address,
    control: Arc<Control>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// The address that the application listens at.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What the application has done so far.
    pub fn counters(&self) -> Counters {
        self.control.counters()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => log::warn!("the application ended: {error}"),
            Some(Err(_)) => log::warn!("the application panicked"),
        }
    }
}

/// Stops event loops from another thread, and counts what they do.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    wakers: Mutex<Vec<Arc<Waker>>>,
    connections: AtomicU64,
    requests: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    peak_held: AtomicU64,
}

impl Control {
    /// Makes [`serve`] return soon, or at once if it is called later. Open connections are closed.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        for waker in self.wakers().iter() {
            if let Err(error) = waker.wake() {
                log::warn!("a loop cannot be woken: {error}");
            }
        }
    }

    /// What all loops have done so far. Each loop adds its figures once per turn, before it waits.
    pub fn counters(&self) -> Counters {
        Counters {
            connections: self.connections.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            peak_held: self.peak_held.load(Ordering::Relaxed),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn add_waker(&self, waker: Arc<Waker>) {
        self.wakers().push(waker);
    }

    fn add(&self, counters: &Counters) {
        let pairs = [
            (&self.connections, counters.connections),
            (&self.requests, counters.requests),
            (&self.reads, counters.reads),
            (&self.writes, counters.writes),
        ];
        for (total, more) in pairs {
            total.fetch_add(more, Ordering::Relaxed);
        }
        self.peak_held
            .fetch_max(counters.peak_held, Ordering::Relaxed);
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Waker>>> {
        // The list is valid at any time, so a panic elsewhere cannot have damaged it.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What event loops have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests that ended, including rejected and aborted ones.
    pub requests: u64,
    /// Reads that returned bytes.
    pub reads: u64,
    /// Writes that took bytes.
    pub writes: u64,
    /// The most bytes that were kept for one connection between two turns: unsent output, input that was not used yet,
    /// parameters, bodies.
    pub peak_held: u64,
}
