//! Signals as readiness events of a loop.

use std::io;

use mio::{Registry, Token};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM or SIGINT: finish what is running; the second time: stop at once.
    Stop,
    /// SIGHUP: look names up again, and go on.
    Hangup,
    /// SIGUSR1 or SIGUSR2: nothing.
    User,
}

/// The signals of one loop. Each loop has its own, and each loop gets every signal.
#[cfg(unix)]
pub(crate) struct Signals(signal_hook_mio::v1_0::Signals);

#[cfg(unix)]
impl Signals {
    /// # Errors
    /// The system's error.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use mio::Interest;
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
        let wanted = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2];
        let mut signals = signal_hook_mio::v1_0::Signals::new(wanted)?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// The signals that arrived since the last call. Some that arrived together count as one.
    pub(crate) fn pending(&mut self) -> impl Iterator<Item = Signal> {
        use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
        self.0.pending().map(|number| match number {
            SIGHUP => Signal::Hangup,
            SIGUSR1 | SIGUSR2 => Signal::User,
            _ => Signal::Stop,
        })
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

    pub(crate) fn pending(&mut self) -> impl Iterator<Item = Signal> {
        std::iter::empty()
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
