//! A FastCGI application on `mio_fcgi::wire` and mio: the part that other programs embed.
//!
//! Include it with `#[path = "../responder/app.rs"] mod app;`. [`spawn`] runs it on a thread and says where it
//! listens; [`serve`] runs it on the calling thread.

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

/// What the application is like; each limit holds whatever a peer sends.
#[derive(Debug, Clone)]
pub struct Options {
    /// The event loops, each on a thread of its own; 0 counts as 1.
    pub threads: usize,
    /// How long each request waits before it is answered, on top of what its page asks for.
    pub delay: Duration,
    /// The length of the constant answer at `/bench`, in bytes.
    pub bench_body_len: usize,
    /// Whether requests may share a connection.
    pub multiplex: bool,
    /// The connections served at a time by each thread; further ones are closed when they are accepted.
    pub max_connections: usize,
    /// The open requests on a connection; further ones are refused as `FCGI_OVERLOADED`.
    pub max_requests_per_connection: usize,
    /// A connection is not read while this many bytes of output wait for its socket.
    ///
    /// Memory per connection stays within this, plus 256 KiB for the last answer and what was read behind
    /// it, plus [`input_limit`](Self::input_limit).
    pub output_limit: usize,
    /// The bytes of parameters and form fields held for the open requests of a connection.
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

/// Serves connections of `listener` on the calling thread, and on more as [`Options::threads`] says, until
/// [`Control::stop`].
///
/// # Errors
/// The system's, when it gives no event queue or takes one away. What goes wrong on a connection ends that
/// connection only.
pub fn serve(listener: Listener, options: &Options, control: &Control) -> io::Result<()> {
    event_loop::run(listener, options, control)
}

/// Serves on a thread, at a Unix socket that has no file on Linux, at a free port of 127.0.0.1 elsewhere: neither leaves
/// anything behind, however the process ends, and both are open to every user of the machine.
///
/// # Errors
/// The system's: no socket, no thread.
pub fn spawn(options: Options) -> io::Result<Running> {
    #[cfg(target_os = "linux")]
    let listener = bind_unused_name()?;
    #[cfg(not(target_os = "linux"))]
    let listener = Listener::bind(&Address::Tcp(([127, 0, 0, 1], 0).into()))?;
    spawn_on(listener, options)
}

/// Listens at an abstract name; the first one may be taken where processes see each other's sockets but not their numbers.
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
/// The system's, when it gives no thread.
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

/// An application on a thread; dropping it ends the thread.
#[derive(Debug)]
pub struct Running {
    address: Address,
    control: Arc<Control>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What it has done so far.
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

/// Stops loops from another thread, and counts what they do.
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
    /// Makes [`serve`] return soon, now or whenever it is called; open connections are closed.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        for waker in self.wakers().iter() {
            if let Err(error) = waker.wake() {
                log::warn!("a loop cannot be woken: {error}");
            }
        }
    }

    /// What all loops have done so far; each loop adds its part once per turn, before it waits.
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
        // A list of wakers is whole at any time, so a panic elsewhere has not spoiled it.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What loops have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests ended, refused and aborted ones included.
    pub requests: u64,
    /// Reads that returned bytes.
    pub reads: u64,
    /// Writes that took bytes.
    pub writes: u64,
    /// The most bytes held for one connection between two turns: unsent output, input not yet looked at,
    /// parameters, bodies.
    pub peak_held: u64,
}
