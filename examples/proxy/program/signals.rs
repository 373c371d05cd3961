//! SIGTERM and SIGINT, as readiness of a loop.

use std::io;

use mio::{Registry, Token};

/// Each loop has its own, and each is told of every signal.
#[cfg(unix)]
pub(crate) struct Signals(signal_hook_mio::v1_0::Signals);

#[cfg(unix)]
impl Signals {
    /// # Errors
    /// The system's.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use mio::Interest;
        use signal_hook::consts::{SIGINT, SIGTERM};
        let mut signals = signal_hook_mio::v1_0::Signals::new([SIGINT, SIGTERM])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// How many came.
    pub(crate) fn pending(&mut self) -> usize {
        self.0.pending().count()
    }
}

/// Elsewhere the system ends the process.
#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn pending(&mut self) -> usize {
        0
    }
}

/// Tells all loops to stop, as SIGTERM does.
#[cfg(unix)]
pub(crate) fn stop_all() {
    // It fails for a number that is no signal's.
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTERM);
}

/// There is one loop.
#[cfg(not(unix))]
pub(crate) fn stop_all() {}
