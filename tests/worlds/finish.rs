//! The ways to the end, from any state: an orderly one, and one on which nobody answers.

use std::time::Duration;

use mio_fcgi::Stats;

use crate::input::Input;
use crate::world::{Check, World};

/// No way to the end has more rounds.
const MOST_ROUNDS: usize = 100;

impl World {
    /// Lets everything come to its end in good order: what is asked for is opened, what is on its way arrives, the
    /// application answers, the embedder resumes what it paused, and the clock moves when nothing else is left.
    pub(crate) fn finish(&mut self) -> Check {
        for _ in 0..MOST_ROUNDS {
            let next = self.next_in_order();
            let has_ended = self.requests.iter().all(|it| it.has_ended);
            match next {
                Some(Input::Tick) | None if has_ended && !self.is_stopping => {
                    self.step(Input::Shutdown)?;
                }
                Some(input) if !self.engine.is_shut_down() => self.step(input)?,
                _ => return self.check_end(),
            }
        }
        Err("it does not come to its end".into())
    }

    /// What an orderly world does next; time passes only when nothing else is left to do.
    fn next_in_order(&mut self) -> Option<Input> {
        let order = |input: &Input| match input {
            Input::Timeout => Some(0),
            Input::Connected(_) => Some(1),
            Input::Announce(_) => Some(2),
            Input::Read(_) => Some(3),
            Input::Write(_) => Some(4),
            Input::Resume(_) => Some(5),
            Input::Finish(_) => Some(6),
            Input::End(_) => Some(7),
            Input::Tick => Some(8),
            _ => None,
        };
        let possible = self.possible();
        let orderly = possible
            .into_iter()
            .filter_map(|input| Some((order(&input)?, input)));
        orderly
            .min_by_key(|(order, _)| *order)
            .map(|(_, input)| input)
    }

    /// Lets nothing happen but time: connects hang, applications are silent, sockets take nothing. Each request must
    /// end by its limits.
    pub(crate) fn time_out(&mut self) -> Check {
        for _ in 0..MOST_ROUNDS {
            if self.requests.iter().all(|it| it.has_ended) {
                return Ok(());
            }
            // A limit waits for a read that was announced, or that it has asked for.
            let read = self.links.iter().position(|link| link.reads);
            match (read, self.engine.timeout(self.now)) {
                (Some(place), _) => self.step(Input::Read(place))?,
                (None, Some(Duration::ZERO)) => self.step(Input::Timeout)?,
                (None, Some(_)) => self.step(Input::Tick)?,
                (None, None) => break,
            }
        }
        let names = self
            .requests
            .iter()
            .filter(|it| !it.has_ended)
            .map(|it| it.number);
        Err(format!(
            "nothing answers, and requests {:?} have no end",
            names.collect::<Vec<_>>()
        ))
    }

    fn step(&mut self, input: Input) -> Check {
        let mut result = self.apply(input);
        if input == Input::Timeout {
            result = result.and_then(|()| self.check(Some(input)));
        }
        result.map_err(|what| format!("{what}, on the way to the end, after: {input}"))
    }

    fn check_end(&mut self) -> Check {
        if let Some(asked) = self.requests.iter().find(|it| !it.has_ended) {
            return Err(format!(
                "request {} has no End, and nothing more happens",
                asked.number
            ));
        }
        self.check(None)?;
        if !self.engine.is_shut_down() {
            return Err("the shutdown has no end, and nothing more happens".into());
        }
        let (stats, nothing) = (self.engine.stats(), Stats::default());
        let is_empty = self.engine.is_idle()
            && stats.connections == nothing.connections
            && stats.requests == nothing.requests
            && stats.bytes_buffered == 0
            && self.links.is_empty();
        if !is_empty {
            return Err(format!("something is left: {:?}", self.engine));
        }
        match self.engine.deadline(self.now) {
            None => Ok(()),
            Some(_) => Err("a deadline is left".into()),
        }
    }
}
