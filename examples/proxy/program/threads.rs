//! The threads of the loops. They share a port, so that one that is missing would leave its clients waiting: all end together.

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::signals;

pub(crate) struct Loops {
    /// How each of them ended.
    ends: Receiver<io::Result<()>>,
}

impl Loops {
    /// # Errors
    /// The system's, when it has no thread left. The caller should end the process then: those that run already go on.
    pub(crate) fn start<F>(runs: impl IntoIterator<Item = F>) -> io::Result<Self>
    where
        F: FnOnce() -> io::Result<()> + Send + 'static,
    {
        let (tell, ends) = mpsc::channel();
        for run in runs {
            let tell = tell.clone();
            let spawned = thread::Builder::new().spawn(move || {
                // The panic itself is told where it happens.
                let end = panic::catch_unwind(AssertUnwindSafe(run))
                    .unwrap_or_else(|_| Err(io::Error::other("an event loop panicked")));
                // Fails only where nobody waits.
                let _ = tell.send(end);
            });
            spawned.map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot start a thread for an event loop: {error}"),
                )
            })?;
        }
        Ok(Self { ends })
    }

    /// Waits until all have ended. When one fails, that is told at once, and the others are stopped as by SIGTERM.
    ///
    /// # Errors
    /// The first failure of a loop.
    pub(crate) fn wait(self) -> io::Result<()> {
        let mut result = Ok(());
        for end in self.ends {
            if let Err(error) = end
                && result.is_ok()
            {
                // First, because a log that nobody reads can hold up the telling.
                signals::stop_all();
                let _ = writeln!(
                    io::stderr(),
                    "proxy: an event loop failed, stopping all of them: {error}"
                );
                result = Err(error);
            }
        }
        result
    }
}
