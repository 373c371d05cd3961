//! The threads of the loops. The loops share a port: if one ended alone, the clients in its backlog would wait forever.
//! So all loops end together.

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::signals;

pub(crate) struct Loops {
    /// The result of each loop that has ended.
    ends: Receiver<io::Result<()>>,
}

impl Loops {
    /// # Errors
    /// The system's error if it has no thread left. The caller should then end the process: loops already started keep
    /// running.
    pub(crate) fn start<F>(runs: impl IntoIterator<Item = F>) -> io::Result<Self>
    where
        F: FnOnce() -> io::Result<()> + Send + 'static,
    {
        let (tell, ends) = mpsc::channel();
        for run in runs {
            let tell = tell.clone();
            let spawned = thread::Builder::new().spawn(move || {
                // The panic itself is reported where it happens.
                let end = panic::catch_unwind(AssertUnwindSafe(run))
                    .unwrap_or_else(|_| Err(io::Error::other("an event loop panicked")));
                // Sending fails only if the receiver is gone.
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

    /// Waits until all loops have ended. When one fails, the failure is reported at once, and the others are stopped as
    /// by SIGTERM.
    ///
    /// # Errors
    /// The first error of a loop.
    pub(crate) fn wait(self) -> io::Result<()> {
        let mut result = Ok(());
        for end in self.ends {
            if let Err(error) = end
                && result.is_ok()
            {
                // Stop before writing: a stderr that is not read can block the message.
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
