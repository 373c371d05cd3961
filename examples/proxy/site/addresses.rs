//! How many connections each client address has, over all loops.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The connections of each client address that are counted. An address without one takes no memory.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: HashMap<IpAddr, usize>,
    /// Connections that were refused.
    refused: u64,
    last_report: Option<Instant>,
}

/// A connection that is counted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Arc<Addresses>,
    key: IpAddr,
}

/// The address has as many connections as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// How many connections were refused so far, if it is time to report that.
    pub(crate) to_report: Option<u64>,
}

impl Addresses {
    /// Counts a connection of an address that may have `most`.
    ///
    /// # Errors
    /// The address has that many.
    pub(crate) fn take(
        self: &Arc<Self>,
        ip: IpAddr,
        most: usize,
        now: Instant,
    ) -> Result<Place, TooMany> {
        let key = key_of(ip);
        let mut state = self.lock();
        let count = state.counts.get(&key).copied().unwrap_or(0);
        if count >= most {
            return Err(state.refuse(now));
        }
        state.counts.insert(key, count + 1);
        drop(state);
        let addresses = Arc::clone(self);
        Ok(Place { addresses, key })
    }

    /// How many connections were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse(&mut self, now: Instant) -> TooMany {
        self.refused += 1;
        let is_new = self
            .last_report
            .is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        if is_new {
            self.last_report = Some(now);
        }
        let to_report = is_new.then_some(self.refused);
        TooMany { to_report }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.addresses.lock();
        if let Some(count) = state.counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.counts.remove(&self.key);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or the /64 that one subscriber of IPv6 has.
fn key_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

/// How often refused connections are reported.
const INTERVAL: Duration = Duration::from_secs(10);
