//! The addresses of the applications. Names are looked up at the start, and again and again on threads of their own.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::Waker;
use mio_fcgi::Address;

use super::site::mounts::{applications, mounts};
use super::site::options::Options;
use super::watch::{self, Answer, News};

/// The upstreams of all applications, and the addresses that were found for them.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    /// Each upstream once.
    upstreams: Vec<Upstream>,
    /// The upstreams of each application, as indices.
    applications: Vec<Vec<usize>>,
}

#[derive(Clone, Debug)]
struct Upstream {
    /// The option that names it, for messages.
    option: &'static str,
    address: Address,
    /// A name can have several addresses. Each is a server with connections of its own.
    found: Vec<Address>,
}

/// The new addresses of applications, for one loop.
#[derive(Debug)]
pub(crate) struct Change {
    /// What one of the loops logs.
    pub(crate) line: Option<String>,
    /// Applications by number.
    pub(crate) servers: Vec<(usize, Vec<Address>)>,
}

/// Where a loop gets its changes.
pub(crate) type Changes = Receiver<Change>;

/// Sends changes to a loop.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) changes: Sender<Change>,
    pub(crate) waker: Waker,
}

impl Upstreams {
    /// Looks all names up with `look_up`, which may block.
    ///
    /// # Errors
    /// A name that cannot be looked up.
    pub(crate) fn new(options: &Options, look_up: impl Fn(&Address) -> Answer) -> io::Result<Self> {
        let mounts = mounts(options);
        let mut upstreams: Vec<Upstream> = Vec::new();
        let mut numbers = Vec::new();
        for list in applications(&mounts) {
            let mut indices = Vec::new();
            for address in list {
                let known = upstreams.iter().position(|it| it.address == *address);
                let index = known.unwrap_or(upstreams.len());
                if known.is_none() {
                    let found = look_up(address);
                    upstreams.push(Upstream::new(address, found, options)?);
                }
                indices.push(index);
            }
            numbers.push(indices);
        }
        Ok(Self {
            upstreams,
            applications: numbers,
        })
    }

    /// The servers of each application. None: the demo application.
    pub(crate) fn servers(&self) -> Vec<Vec<Address>> {
        let applications = 0..self.applications.len();
        applications.map(|number| self.servers_of(number)).collect()
    }

    fn servers_of(&self, application: usize) -> Vec<Address> {
        let indices = self.applications[application].iter();
        let found = indices.flat_map(|index| &self.upstreams[*index].found);
        found.cloned().collect()
    }

    /// Notes the addresses of an upstream. Returns the servers of the applications that it is one of.
    fn note(&mut self, index: usize, found: Vec<Address>) -> Vec<(usize, Vec<Address>)> {
        self.upstreams[index].found = found;
        let all = self.applications.iter().enumerate();
        let changed = all.filter(|(_, indices)| indices.contains(&index));
        changed
            .map(|(number, _)| (number, self.servers_of(number)))
            .collect()
    }
}

impl Upstream {
    fn new(address: &Address, found: Answer, options: &Options) -> io::Result<Self> {
        let option = match options.upstreams.contains(address) {
            true => "--upstream",
            false => "--mount",
        };
        let found = found.map_err(|error| {
            io::Error::new(error.kind(), format!("{option} {address}: {error}"))
        })?;
        Ok(Self {
            option,
            address: address.clone(),
            found,
        })
    }
}

/// Looks names up while the loops run. The threads end when this is dropped.
#[derive(Debug)]
pub(crate) struct Lookups(Vec<Sender<()>>);

impl Lookups {
    /// Starts a thread for each name, which calls `look_up` and tells all loops of a change. `every` zero: only when
    /// asked to.
    ///
    /// # Errors
    /// The system's error if it gives no thread.
    pub(crate) fn start(
        upstreams: Upstreams,
        every: Duration,
        loops: Vec<Outlet>,
        look_up: impl Fn(&Address) -> Answer + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let every = (!every.is_zero()).then_some(every);
        let names = upstreams.upstreams.clone().into_iter().enumerate();
        let names = names.filter(|(_, it)| matches!(it.address, Address::Host { .. }));
        let (upstreams, loops) = (Arc::new(Mutex::new(upstreams)), Arc::new(loops));
        let mut threads = Vec::new();
        for (index, name) in names {
            let (asks, asked) = channel();
            let news = News::since(&name.found);
            let (upstreams, loops) = (Arc::clone(&upstreams), Arc::clone(&loops));
            let (address, look_up) = (name.address.clone(), look_up.clone());
            let look_up = move || look_up(&address);
            let tell = move |answer| {
                let mut upstreams = upstreams.lock().unwrap_or_else(PoisonError::into_inner);
                let change = name.change(answer, |found| upstreams.note(index, found));
                // While this is locked, so that each loop gets the changes in the same order.
                change.send(&loops)
            };
            watch::start(news, every, asked, look_up, tell)?;
            threads.push(asks);
        }
        Ok(Self(threads))
    }

    /// Looks all names up now, without waiting for the answers.
    pub(crate) fn look_up_now(&self) {
        for asks in &self.0 {
            // The thread has ended only if the loops have.
            let _ = asks.send(());
        }
    }
}

impl Upstream {
    /// What an answer changes. A lookup that failed changes nothing.
    fn change(
        &self,
        answer: Answer,
        note: impl FnOnce(Vec<Address>) -> Vec<(usize, Vec<Address>)>,
    ) -> Change {
        let Self {
            option, address, ..
        } = self;
        match answer {
            Ok(found) => {
                let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                let shown = shown.join(", ");
                Change {
                    line: Some(format!("{option} {address}: its addresses are now {shown}")),
                    servers: note(found),
                }
            }
            Err(error) => Change {
                line: Some(format!(
                    "{option} {address}: {error}; its addresses stay as they are"
                )),
                servers: Vec::new(),
            },
        }
    }
}

impl Change {
    /// Sends the change to all loops. False if they have ended.
    fn send(mut self, loops: &[Outlet]) -> bool {
        let mut is_told = false;
        for outlet in loops {
            let change = Self {
                // The first loop that still runs logs it.
                line: self.line.take(),
                servers: self.servers.clone(),
            };
            match outlet.changes.send(change) {
                Ok(()) => is_told = true,
                Err(unsent) => self.line = unsent.0.line,
            }
            // The loop would see the change in its next turn anyway.
            let _ = outlet.waker.wake();
        }
        is_told
    }
}
