//! SIGTERM and SIGINT as readiness events of a loop.

use std::io;

use mio::{Registry, Token};

/// The signals of one loop. Each loop has its own, and each loop gets every signal.
#[cfg(unix)]
pub(crate) struct Signals(signal_hook_mio::v1_0::Signals);

#[cfg(unix)]
impl Signals {
    /// # Errors
    /// The system's error.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use mio::Interest;
        use signal_hook::consts::{SIGINT, SIGTERM};
        let mut signals = signal_hook_mio::v1_0::Signals::new([SIGINT, SIGTERM])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// How many signals arrived since the last call.
    pub(crate) fn pending(&mut self) -> usize {
        self.0.pending().count()
    }
}

/// On other systems there is nothing to wait for: a signal ends the process.
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

/// Makes all loops stop, as SIGTERM does.
#[cfg(unix)]
pub(crate) fn stop_all() {
    // `raise` fails only for a number that is not a signal.
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTERM);
}

/// Does nothing: on these systems there is one loop only.
#[cfg(not(unix))]
pub(crate) fn stop_all() {}
