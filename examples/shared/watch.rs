//! Looks addresses up again and again, on a thread of its own because a resolver blocks. To copy into a program.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use mio_fcgi::Address;

/// What a lookup has found, or why it failed.
pub(crate) type Answer = io::Result<Vec<Address>>;

/// Starts a thread that calls `look_up` after each pause of `every`, and whenever `asked` receives something. It passes
/// news to `tell`.
///
/// The thread ends, at once or with the lookup that is under way, when the sender of `asked` is dropped, and when `tell`
/// returns false.
///
/// # Errors
/// The system's error if it gives no thread.
pub(crate) fn start(
    mut news: News,
    every: Option<Duration>,
    asked: Receiver<()>,
    mut look_up: impl FnMut() -> Answer + Send + 'static,
    mut tell: impl FnMut(Answer) -> bool + Send + 'static,
) -> io::Result<()> {
    let run = move || {
        while wait(&asked, every) {
            if let Some(answer) = news.of(look_up())
                && !tell(answer)
            {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("resolver".to_owned());
    thread.spawn(run).map(drop)
}

/// Waits for the end of the pause, or until somebody asks. False: nobody will.
fn wait(asked: &Receiver<()>, every: Option<Duration>) -> bool {
    let is_asked = match every {
        Some(every) => match asked.recv_timeout(every) {
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(()) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        },
        None => asked.recv().is_ok(),
    };
    // Several who ask at a time get one answer.
    while asked.try_recv().is_ok() {}
    is_asked
}

/// Decides which answers are news.
#[derive(Debug)]
pub(crate) struct News {
    known: HashSet<Address>,
    is_failing: bool,
}

impl News {
    /// `known` is what the loop knows already.
    pub(crate) fn since(known: &[Address]) -> Self {
        Self {
            known: known.iter().cloned().collect(),
            is_failing: false,
        }
    }

    /// Other addresses than before are news; their order is none. Of failures in a row the first one is news, and so is
    /// the answer after them. No address is listed twice.
    fn of(&mut self, answer: Answer) -> Option<Answer> {
        let was_failing = mem::replace(&mut self.is_failing, answer.is_err());
        let mut addresses = match answer {
            Ok(addresses) => addresses,
            Err(error) => return (!was_failing).then_some(Err(error)),
        };
        let mut found = HashSet::new();
        addresses.retain(|address| found.insert(address.clone()));
        let is_news = was_failing || found != self.known;
        self.known = found;
        is_news.then_some(Ok(addresses))
    }
}
