//! The states of a connection.
//!
//! | state      | connected | backlog full | shortage | closed | deadline | retire | ask   | answered | last request off |
//! |------------|-----------|--------------|----------|--------|----------|--------|-------|----------|------------------|
//! | Connecting | Open      | Redial       | Postpone | Failed | Failed   | Failed | -     | -        | -                |
//! | Redialing  | -         | -            | -        | Failed | Dial     | Failed | -     | -        | -                |
//! | Probing    | -         | -            | -        | Gone   | Close    | none   | -     | Open     | -                |
//! | Open       | -         | -            | -        | Gone   | Close    | Drain  | Probe | none     | Pool             |
//! | Draining   | -         | -            | -        | Gone   | none     | none   | -     | none     | Close            |
//!
//! *Redialing*: the listener's backlog was full (`EAGAIN` on a Unix socket); a new socket is tried after a pause.
//! *Probing*: only the embedder's `FCGI_GET_VALUES` was sent. *Open*: idle or with requests. *Draining*: takes no
//! further request.
//!
//! Inputs: facts from the driver (*connected*, *backlog full*, *shortage*, *closed*); a *deadline* of the connection
//! (connect timeout or end of a pause; idle timeout, maximum lifetime, or lists to be freed; probe timeout); *retire*
//! (the client stops using it: shutdown, lowered limits, an abort without an answer); *ask* (the embedder probes the
//! server) and *answered* (the reply came); and *last request off* (the last request has left the connection).
//!
//! Steps: `Open` makes the connection usable. `Redial` waits for a pause. `Postpone` removes the connection without
//! counting a failure of the server. `Dial` connects again, or is treated as `Failed` after the connect timeout. `Gone`
//! fails its requests as lost. `Close` closes it. `Drain` closes it once no request is left. `Probe` sends the probe.
//! `Pool` makes it idle, or closes it if a limit requires that.

use super::probe::Probe;
use crate::engine::time::Time;

#[derive(Debug)]
pub(crate) enum State {
    Connecting,
    Redialing { until: Time },
    Probing(Box<Probe>),
    Open,
    Draining,
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Connected,
    BacklogFull,
    Shortage,
    Closed,
    Deadline,
    Retire,
    Ask,
    Answered,
    LastRequestOff,
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Open,
    Redial,
    Postpone,
    Dial,
    Failed,
    Gone,
    Close,
    Drain,
    Probe,
    Pool,
    None,
    Impossible,
}

impl State {
    /// The transition table.
    pub(crate) fn step(&self, input: Input) -> Step {
        use Input as I;
        match (self, input) {
            (Self::Connecting, I::Connected) => Step::Open,
            (Self::Connecting, I::BacklogFull) => Step::Redial,
            (Self::Connecting, I::Shortage) => Step::Postpone,
            (Self::Connecting, I::Closed | I::Deadline | I::Retire) => Step::Failed,
            (Self::Redialing { .. }, I::Deadline) => Step::Dial,
            (Self::Redialing { .. }, I::Closed | I::Retire) => Step::Failed,
            (Self::Probing(_) | Self::Open | Self::Draining, I::Closed) => Step::Gone,
            (Self::Probing(_) | Self::Open, I::Deadline) => Step::Close,
            (Self::Probing(_) | Self::Draining, I::Retire) => Step::None,
            (Self::Probing(_), I::Answered) => Step::Open,
            (Self::Open, I::Retire) => Step::Drain,
            (Self::Open, I::Ask) => Step::Probe,
            (Self::Open, I::LastRequestOff) => Step::Pool,
            (Self::Open | Self::Draining, I::Answered) => Step::None,
            (Self::Draining, I::Deadline) => Step::None,
            (Self::Draining, I::LastRequestOff) => Step::Close,
            (Self::Connecting, I::Ask | I::Answered | I::LastRequestOff)
            | (
                Self::Redialing { .. },
                I::Connected
                | I::BacklogFull
                | I::Shortage
                | I::Ask
                | I::Answered
                | I::LastRequestOff,
            )
            | (
                Self::Probing(_),
                I::Connected | I::BacklogFull | I::Shortage | I::Ask | I::LastRequestOff,
            )
            | (Self::Open, I::Connected | I::BacklogFull | I::Shortage)
            | (Self::Draining, I::Connected | I::BacklogFull | I::Shortage | I::Ask) => {
                Step::Impossible
            }
        }
    }
}

/// What a connection that is being opened is expected to provide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The number of requests the connection can take. 0 once it is late.
    pub(crate) slots: u32,
    /// Whether requests that can use another server do not wait for the connection.
    pub(crate) is_late: bool,
}

impl Expected {
    /// Whether no request waits for the connection: it is opened to check its server.
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestHandle;
    use crate::engine::table::{Table, cell};

    #[test]
    fn every_cell_of_the_table_above_is_what_the_code_does() {
        let since = Time::START;
        let states = [
            State::Connecting,
            State::Redialing { until: since },
            State::Probing(Box::new(Probe::new(
                since,
                0,
                RequestHandle {
                    index: 0,
                    generation: 0,
                },
            ))),
            State::Open,
            State::Draining,
        ];
        // No wildcard: a new state or input must be added to the table.
        let states = states.map(|state| match state {
            State::Connecting => ("Connecting", state),
            State::Redialing { .. } => ("Redialing", state),
            State::Probing(_) => ("Probing", state),
            State::Open => ("Open", state),
            State::Draining => ("Draining", state),
        });
        let inputs = [
            Input::Connected,
            Input::BacklogFull,
            Input::Shortage,
            Input::Closed,
            Input::Deadline,
            Input::Retire,
            Input::Ask,
            Input::Answered,
            Input::LastRequestOff,
        ];
        let inputs = inputs.map(|input| match input {
            Input::Connected => ("connected", input),
            Input::BacklogFull => ("backlog full", input),
            Input::Shortage => ("shortage", input),
            Input::Closed => ("closed", input),
            Input::Deadline => ("deadline", input),
            Input::Retire => ("retire", input),
            Input::Ask => ("ask", input),
            Input::Answered => ("answered", input),
            Input::LastRequestOff => ("last request off", input),
        });
        let table = Table::parse(include_str!("state.rs"));
        table.check(&states, &inputs, |state, input| cell(state.step(input)));
    }
}
