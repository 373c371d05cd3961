//! One input of a world, as a value and in words.

use std::fmt;

/// What happens next. Requests and connections are named by their place, from 0: requests in the order of `submit`,
/// connections among those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    // --- the embedder ---
    Submit,
    Abort(usize),
    Pause(usize),
    Resume(usize),
    /// The rest of a pushed body, and its end.
    Finish(usize),
    /// The limits with this place in the setup.
    Limits(usize),
    Shutdown,
    // --- the network ---
    Connected(usize),
    Refused(usize),
    BacklogFull(usize),
    /// The engine learns that there is something to read.
    Announce(usize),
    // --- the driver ---
    Write(usize),
    /// All but the last record.
    WritePart(usize),
    Read(usize),
    // --- the application ---
    Output(usize),
    End(usize),
    /// The end of a request and output after it, in one write.
    EndAndLate(usize),
    /// Output of the last request that ended on a connection.
    Late(usize),
    Overloaded(usize),
    Close(usize),
    Reset(usize),
    // --- time ---
    /// The clock moves to the next deadline of the engine.
    Tick,
    Timeout,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit => f.write_str("the next request is submitted"),
            Self::Abort(request) => write!(f, "request {request} is aborted"),
            Self::Pause(request) => write!(f, "request {request} is paused"),
            Self::Resume(request) => write!(f, "request {request} is resumed"),
            Self::Finish(request) => write!(f, "the body of request {request} is pushed and ended"),
            Self::Limits(place) => write!(f, "the limits change to choice {place} of the setup"),
            Self::Shutdown => f.write_str("the client is shut down"),
            Self::Connected(link) => write!(f, "connection {link} is established"),
            Self::Refused(link) => write!(f, "connection {link} is refused"),
            Self::BacklogFull(link) => write!(f, "connection {link} finds the backlog full"),
            Self::Announce(link) => write!(f, "connection {link} is announced readable"),
            Self::Write(link) => write!(f, "the driver writes connection {link}"),
            Self::WritePart(link) => {
                write!(
                    f,
                    "the driver writes connection {link}, but for the last record"
                )
            }
            Self::Read(link) => write!(f, "the driver reads connection {link}"),
            Self::Output(request) => write!(f, "the application sends output of request {request}"),
            Self::End(request) => write!(f, "the application ends request {request}"),
            Self::EndAndLate(request) => {
                write!(
                    f,
                    "the application ends request {request} and sends output after its end"
                )
            }
            Self::Late(link) => {
                write!(
                    f,
                    "the application sends late output of the last request on connection {link}"
                )
            }
            Self::Overloaded(request) => {
                write!(f, "the application rejects request {request}: overloaded")
            }
            Self::Close(link) => write!(f, "the application closes connection {link}"),
            Self::Reset(link) => write!(f, "the application resets connection {link}"),
            Self::Tick => f.write_str("the clock moves to the next deadline"),
            Self::Timeout => f.write_str("the driver reports the time"),
        }
    }
}

/// How often an input may still be given, for inputs without a natural end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) aborts: u8,
    pub(crate) pauses: u8,
    pub(crate) limits: u8,
    pub(crate) shutdowns: u8,
    pub(crate) refusals: u8,
    pub(crate) full_backlogs: u8,
    pub(crate) partial_writes: u8,
    pub(crate) outputs: u8,
    pub(crate) late: u8,
    pub(crate) overloads: u8,
    pub(crate) closes: u8,
    pub(crate) resets: u8,
    pub(crate) ticks: u8,
}

impl Budget {
    /// What an input takes from; `None` if it may be given whenever it makes sense.
    pub(crate) fn of(&mut self, input: Input) -> Option<&mut u8> {
        match input {
            Input::Abort(_) => Some(&mut self.aborts),
            Input::Pause(_) => Some(&mut self.pauses),
            Input::Limits(_) => Some(&mut self.limits),
            Input::Shutdown => Some(&mut self.shutdowns),
            Input::Refused(_) => Some(&mut self.refusals),
            Input::BacklogFull(_) => Some(&mut self.full_backlogs),
            Input::WritePart(_) => Some(&mut self.partial_writes),
            Input::Output(_) => Some(&mut self.outputs),
            Input::EndAndLate(_) | Input::Late(_) => Some(&mut self.late),
            Input::Overloaded(_) => Some(&mut self.overloads),
            Input::Close(_) => Some(&mut self.closes),
            Input::Reset(_) => Some(&mut self.resets),
            Input::Tick => Some(&mut self.ticks),
            Input::Submit
            | Input::Resume(_)
            | Input::Finish(_)
            | Input::Connected(_)
            | Input::Announce(_)
            | Input::Write(_)
            | Input::Read(_)
            | Input::End(_)
            | Input::Timeout => None,
        }
    }
}
