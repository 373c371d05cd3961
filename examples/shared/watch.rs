//! Looks addresses up again and again, on a thread of its own because a resolver blocks. To copy into a program.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use mio::Waker;
use mio_fcgi::Address;

/// What a lookup has found, or why it failed.
pub(crate) type Answer = io::Result<Vec<Address>>;

/// A thread that looks addresses up. It ends when this value is dropped: at once, or with the lookup that is under way.
#[derive(Debug)]
pub(crate) struct Watch {
    news: Receiver<Answer>,
    /// Nothing is sent on it. The thread waits on its other end, and ends when this end is dropped.
    _stop: Sender<()>,
}

impl Watch {
    /// Starts the thread. It calls `look_up` after each pause of `every`, and wakes the loop when there is news for it.
    ///
    /// # Errors
    /// The system's error if it gives no thread.
    pub(crate) fn start(
        mut news: News,
        every: Duration,
        waker: Waker,
        mut look_up: impl FnMut() -> Answer + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let run = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let Some(answer) = news.of(look_up()) else {
                    continue;
                };
                if sender.send(answer).is_err() {
                    return; // the loop has ended
                }
                if let Err(error) = waker.wake() {
                    log::warn!("the loop learns of new addresses in its next turn: {error}");
                }
            }
        };
        thread::Builder::new()
            .name("resolver".to_owned())
            .spawn(run)?;
        Ok(Self {
            news: receiver,
            _stop: stop,
        })
    }

    /// The next news, if there is any. Does not block.
    pub(crate) fn poll(&self) -> Option<Answer> {
        self.news.try_recv().ok()
    }
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
