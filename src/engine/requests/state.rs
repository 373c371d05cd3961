//! The states of a request.
//!
//! | state     | body complete | assigned | ended | rejected | abort   | deadline | lost | lost, may retry | taken |
//! |-----------|---------------|----------|-------|----------|---------|----------|------|-----------------|-------|
//! | Buffering | Queue         | -        | -     | -        | End     | End      | -    | -               | -     |
//! | Queued    | -             | Begin    | -     | -        | End     | End      | -    | -               | -     |
//! | Active    | -             | -        | End   | Queue    | Abandon | Abandon  | End  | Queue           | -     |
//! | Draining  | -             | -        | -     | -        | End     | End      | -    | -               | End   |
//! | Aborting  | -             | -        | Gone  | Gone     | none    | Close    | Gone | Gone            | -     |
//!
//! *Buffering*: a body of unknown length is being buffered. *Queued*: the request waits for a connection. *Active*: it
//! has a connection and a request ID. *Draining*: the application has ended it, but output buffered during a pause has
//! not been taken. *Aborting*: its `End` was reported; `FCGI_ABORT_REQUEST` was sent on a shared connection, and the ID
//! is quarantined until the connection closes.
//!
//! Inputs: *body complete* (the embedder has finished the body); *assigned* (it got a connection); *ended* (the
//! application sent `FCGI_END_REQUEST`) or *rejected* (the application rejected it, and a retry is left); *abort* (by
//! the embedder); a *deadline*; *lost* or *lost, may retry* (the connection was lost); *taken* (the buffered output was
//! taken).
//!
//! Steps: `Queue` puts the request into the queue. `Begin` sends it. `End` reports and removes it, by way of Draining
//! while output is buffered. `Abandon` reports it, then closes its connection or, if other requests share it, goes to
//! Aborting; if nothing of it was framed, it just leaves the shared connection. `Gone` removes it without a report.
//! `Close` gives its connection up. `-` cannot happen.

use crate::engine::time::Time;
use crate::event::ConnectionHandle;

/// The state, with the data that only exists in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Buffering {
        limit: usize,
    },
    Queued,
    Active {
        connection: ConnectionHandle,
        id: u16,
    },
    Draining,
    Aborting {
        connection: ConnectionHandle,
        id: u16,
        since: Time,
    },
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    BodyComplete,
    Assigned,
    Ended,
    Rejected,
    Abort,
    Deadline,
    Lost,
    LostMayRetry,
    Taken,
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Queue,
    Begin,
    End,
    Abandon,
    Gone,
    Close,
    None,
    Impossible,
}

impl State {
    /// The transition table.
    pub(crate) fn step(self, input: Input) -> Step {
        use Input as I;
        match (self, input) {
            (Self::Buffering { .. }, I::BodyComplete) => Step::Queue,
            (Self::Queued, I::Assigned) => Step::Begin,
            (Self::Buffering { .. } | Self::Queued | Self::Draining, I::Abort | I::Deadline) => {
                Step::End
            }
            (Self::Active { .. }, I::Ended | I::Lost) => Step::End,
            (Self::Active { .. }, I::Rejected | I::LostMayRetry) => Step::Queue,
            (Self::Active { .. }, I::Abort | I::Deadline) => Step::Abandon,
            (Self::Draining, I::Taken) => Step::End,
            (Self::Aborting { .. }, I::Ended | I::Rejected | I::Lost | I::LostMayRetry) => {
                Step::Gone
            }
            (Self::Aborting { .. }, I::Abort) => Step::None,
            (Self::Aborting { .. }, I::Deadline) => Step::Close,
            (
                Self::Buffering { .. },
                I::Assigned | I::Ended | I::Rejected | I::Lost | I::LostMayRetry | I::Taken,
            )
            | (
                Self::Queued,
                I::BodyComplete | I::Ended | I::Rejected | I::Lost | I::LostMayRetry | I::Taken,
            )
            | (Self::Active { .. }, I::BodyComplete | I::Assigned | I::Taken)
            | (
                Self::Draining,
                I::BodyComplete | I::Assigned | I::Ended | I::Rejected | I::Lost | I::LostMayRetry,
            )
            | (Self::Aborting { .. }, I::BodyComplete | I::Assigned | I::Taken) => Step::Impossible,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table::{Table, cell};

    #[test]
    fn every_cell_of_the_table_above_is_what_the_code_does() {
        let since = Time::START;
        let connection = ConnectionHandle {
            index: 0,
            generation: 0,
        };
        let states = [
            State::Buffering { limit: 1 },
            State::Queued,
            State::Active { connection, id: 1 },
            State::Draining,
            State::Aborting {
                connection,
                id: 1,
                since,
            },
        ];
        // No wildcard: a new state or input must be added to the table.
        let states = states.map(|state| match state {
            State::Buffering { .. } => ("Buffering", state),
            State::Queued => ("Queued", state),
            State::Active { .. } => ("Active", state),
            State::Draining => ("Draining", state),
            State::Aborting { .. } => ("Aborting", state),
        });
        let inputs = [
            Input::BodyComplete,
            Input::Assigned,
            Input::Ended,
            Input::Rejected,
            Input::Abort,
            Input::Deadline,
            Input::Lost,
            Input::LostMayRetry,
            Input::Taken,
        ];
        let inputs = inputs.map(|input| match input {
            Input::BodyComplete => ("body complete", input),
            Input::Assigned => ("assigned", input),
            Input::Ended => ("ended", input),
            Input::Rejected => ("rejected", input),
            Input::Abort => ("abort", input),
            Input::Deadline => ("deadline", input),
            Input::Lost => ("lost", input),
            Input::LostMayRetry => ("lost, may retry", input),
            Input::Taken => ("taken", input),
        });
        let table = Table::parse(include_str!("state.rs"));
        table.check(&states, &inputs, |state, input| cell(state.step(input)));
    }
}
