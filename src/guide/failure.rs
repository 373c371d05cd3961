//! What each error means, what a proxy answers, whether to send the request again.
//!
//! When a request fails, you have to decide three things: what to answer, whether to send the request again, and what
//! to look at. An accepted request ends with [`EventKind::End`](crate::EventKind::End). Its outcome is a
//! [`Completion`](crate::Completion), or a [`Failure`], which has a field for each question:
//!
//! - [`error`](Failure::error): what happened.
//! - [`phase`](Failure::phase): how far the request had come.
//! - [`delivery`](Failure::delivery): whether the application can have acted on it.
//!
//! # May it be sent again?
//!
//! Decide by the delivery alone, because one error can have several deliveries. A connect that fails is
//! [`NotProcessed`](Delivery::NotProcessed) as a rule. But it is [`MaybeProcessed`](Delivery::MaybeProcessed) if it was
//! the second attempt, after a connection was lost with the first.
//!
//! | delivery | what is known | send again |
//! |----------|---------------|------------|
//! | [`NotProcessed`](Delivery::NotProcessed) | no byte was handed to the transport, or the application refused it | yes, any request |
//! | [`MaybeProcessed`](Delivery::MaybeProcessed) | bytes were handed to the transport, and no output came back | only what may run twice |
//! | [`Responded`](Delivery::Responded) | output had begun | no: it ran, at least in part |
//!
//! # What the client sends again
//!
//! Before it reports a failure, the client has sent the request again by itself, where
//! [`Request::retry`](crate::Request::retry) allows it:
//!
//! | the attempt ended, without a byte of a response | `Never` | `IfNotProcessed` | `IfStale` | `IfUnanswered` |
//! |-------------------------------------------------|---------|-------------|-----------|----------------|
//! | the connection was lost, no byte of the request handed to it | - | again | again | again |
//! | refused: `FCGI_OVERLOADED`, `FCGI_CANT_MPX_CONN` | - | again | again | again |
//! | a *reused* connection was lost within `stale_window`, without a byte for any of its requests | - | - | once | once |
//! | another connection was lost within `stale_window` | - | - | - | once |
//! | the connection was lost while the client's own `FCGI_GET_VALUES` was on it | - | - | once | once |
//! | the connection was lost later | - | - | - | - |
//! | a time limit, an abort | - | - | - | - |
//!
//! - [`Retry::ByMethod`], the default, is `IfStale` for GET, HEAD, OPTIONS, TRACE, PUT and DELETE. It is
//!   `IfNotProcessed` for every other method, and without a `REQUEST_METHOD`.
//! - [`Config::stale_window`](crate::Config::stale_window), 1 s by default, begins when the last byte of the request
//!   was sent. If the connection is lost later, the script was at work: it was killed, or killed its process, and would
//!   do so again.
//! - *Once* means once per request. *Again* means at most [`Config::max_retries`](crate::Config::max_retries) times,
//!   *once* included. A dash means that the failure is reported. After a loss, the request takes only a connection that
//!   is opened from then on.
//! - The body has to be [rewound](crate::Body#rewinding). If no byte of the request was sent, every body can be.
//! - A connect that fails is not an attempt. The request stays queued while another server may be connected to, and for
//!   [`Config::connect_retry_timeout`](crate::Config::connect_retry_timeout), which bridges a restart.
//! - A shortage on this side (descriptors, ports, memory) is not a failure: the request waits, up to
//!   [`Timeouts::queue`](crate::Timeouts::queue).
//!
//! A request that may not be sent twice gets two more protections. Before it is sent on a reused connection, the socket
//! is read once; if the connection has ended, the request goes to another one, and nothing is lost. And if that
//! connection has served as many requests as the one that the application last closed after a response, the request
//! gets a new connection ([`pm.max_requests`](super::php_fpm#the-settings-of-a-pool-and-their-counterparts)). One gap
//! remains: the application may close the connection between that read and the write. Then the request fails as
//! `MaybeProcessed`.
//!
//! [`Report::retries`](crate::Report::retries) counts how often the request was sent again. If you retry yourself, do
//! it later or on another server.
//!
//! # What a proxy answers
//!
//! If the response head was already passed on, there is no status left to choose. Break the HTTP connection, or reset
//! the stream, so that the HTTP client sees a response cut short. An orderly end would make half a page look whole: with
//! chunks send no last chunk, over TLS no `close_notify`. Bytes in an output buffer of yours were not passed on yet: drop
//! them and answer with a status, or send them before you break the connection. Before that point,
//! [`Failure::http_status`] decides:
//!
//! ```
//! use mio_fcgi::{Delivery, Failure, Phase, Report, RequestError, TimeoutKind};
//!
//! /// Status line and fields of the answer to a request that failed.
//! fn answer(failure: &Failure) -> String {
//!     match failure.http_status() {
//!         503 => "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n".to_owned(),
//!         504 => "HTTP/1.1 504 Gateway Timeout\r\n".to_owned(),
//!         status => format!("HTTP/1.1 {status} \r\n"),
//!     }
//! }
//!
//! let error = RequestError::TimedOut(TimeoutKind::Queue);
//! let failure = Failure::new(error, Phase::Queued, Delivery::NotProcessed, Report::default());
//! assert_eq!(answer(&failure), "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n");
//! ```
//!
//! Every error that ends or refuses a request has such an `http_status`: the errors in the tables below,
//! [`cgi::EnvError`](crate::cgi::EnvError), what [`cgi::ScriptMap`](crate::cgi::ScriptMap) finds no file for, and
//! [`blocking::CallError`](crate::blocking::CallError). The example `proxy` answers with it. The example `get` turns
//! the same errors into exit statuses.
//!
//! # Every error
//!
//! The column *delivery* lists the deliveries that an error can have. N is [`NotProcessed`](Delivery::NotProcessed), M
//! is [`MaybeProcessed`](Delivery::MaybeProcessed), R is [`Responded`](Delivery::Responded). N/M means: N as a rule,
//! and M only after an earlier attempt was lost. R means that output had begun, so the answer may no longer be yours to
//! choose.
//!
//! | error | delivery | answer | what to check |
//! |-------|----------|--------|---------------|
//! | [`Connect`](RequestError::Connect), [`Failed`](ConnectError::Failed) | N/M | 502 | does it run, is the path or port right, may this user write to the socket |
//! | [`Connect`](RequestError::Connect), [`TimedOut`](ConnectError::TimedOut) | N/M | 504 | network and firewall; a full backlog over TCP |
//! | [`Connect`](RequestError::Connect), [`BacklogFull`](ConnectError::BacklogFull) | N/M | 503 | more connections than processes, slow scripts, `listen.backlog` |
//! | [`ConnectionLost`](RequestError::ConnectionLost), [`Closed`](ConnectionLostReason::Closed) | N, M, R | 502 | the application's log: it ended the connection; does it speak FastCGI at all |
//! | [`ConnectionLost`](RequestError::ConnectionLost), [`Io`](ConnectionLostReason::Io) | N, M, R | 502 | a process that died or was killed: `request_terminate_timeout`, memory |
//! | [`Protocol`](RequestError::Protocol) | N, M, R | 502 | the address: HTTP, or another protocol, listens there; with `OnlyIdOne`, [`RequestIds`](crate::RequestIds); otherwise a bug of the application |
//! | [`TimedOut`](RequestError::TimedOut), [`Queue`](TimeoutKind::Queue) | N/M | 503 | `max_connections_per_server` against what the application can do; slow scripts; file descriptors and ports, if [`Counters::shortages`](crate::Counters::shortages) grows |
//! | [`QueueFull`](RequestError::QueueFull) | N/M | 503 | `max_queued_requests`, and why no connection could be opened for it, or one for fewer requests than expected |
//! | [`TimedOut`](RequestError::TimedOut), [`Write`](TimeoutKind::Write) | N, M, R | 504 | an application that does not read: all its processes are busy, or it hangs |
//! | [`TimedOut`](RequestError::TimedOut), [`FirstByte`](TimeoutKind::FirstByte) | M | 504 | a slow script; `fastcgi_finish_request` on kept connections |
//! | [`TimedOut`](RequestError::TimedOut), [`BetweenBytes`](TimeoutKind::BetweenBytes) | R | 504 | a script that stopped in the middle, or works on after its output |
//! | [`TimedOut`](RequestError::TimedOut), [`Paused`](TimeoutKind::Paused) | N, M, R | 408 | nothing at the application: your own client took no output; 408 is for the log, no answer would be taken |
//! | [`TimedOut`](RequestError::TimedOut), [`Total`](TimeoutKind::Total) | N, M, R | 504 | the timings in the [`Report`](crate::Report): where the time went |
//! | [`TimedOut`](RequestError::TimedOut), [`Probe`](TimeoutKind::Probe) | N, M | 504 | only `get_values`: connected, and no answer |
//! | [`Aborted`](RequestError::Aborted) | N, M, R | 499 | nothing: you aborted it; 499 is for the log, no answer is sent |
//! | [`Overloaded`](RequestError::Overloaded) | N, M, R | 503 | the application refused it, and each retry too |
//! | [`CantMultiplex`](RequestError::CantMultiplex) | N, M, R | 502 | [`Multiplex::On`](crate::Multiplex::On) for an application that cannot |
//! | [`UnknownRole`](RequestError::UnknownRole) | N, M, R | 502 | the request's role: most applications are Responders only |
//! | [`UnknownStatus`](RequestError::UnknownStatus) | M, R | 502 | a bug of the application |
//! | [`PauseBufferFull`](RequestError::PauseBufferFull) | R | 500 | a client that reads too slowly; [`PauseBuffer`](crate::PauseBuffer) |
//! | [`Body`](RequestError::Body), [`TooShort`](BodyError::TooShort) | N, M, R | 400 | the upload broke off, or `CONTENT_LENGTH` is wrong |
//! | [`Body`](RequestError::Body), [`TooLong`](BodyError::TooLong) | N, M, R | 400 | `CONTENT_LENGTH` is wrong |
//! | [`Body`](RequestError::Body), [`Read`](BodyError::Read) | N, M, R | 500 | the reader you gave |
//! | [`ServerRemoved`](RequestError::ServerRemoved) | N | 503 | it named a server that `set_servers` has removed: name another one, or none |
//! | [`ShutDown`](RequestError::ShutDown) | N, M, R | 503 | the deadline that `shutdown` was given |
//!
//! # Refused at once
//!
//! A [`SubmitError`] means that nothing was sent and that no `End` follows. [`submit`](crate::Client::submit) returns
//! it inside [`Refused`](crate::Refused), beside the request. Nothing was read of the body, unless the error is
//! `BodyRead` or `BodyTooLarge`. After `QueueFull` and `ShuttingDown`, hand the request to another client with
//! [`for_another_client`](crate::Refused::for_another_client).
//!
//! | error | answer | what to do |
//! |-------|--------|------------|
//! | [`QueueFull`](SubmitError::QueueFull) | 503 | another client, or shed load; a longer queue only makes clients wait for the same refusal |
//! | [`ShuttingDown`](SubmitError::ShuttingDown) | 503 | another client |
//! | [`PairTooLarge`](SubmitError::PairTooLarge), [`ParamsTooLarge`](SubmitError::ParamsTooLarge) | 431 or 414 | a field or a target too long for one record, or all together for `max_params_len` |
//! | [`ParamLengthTooLong`](SubmitError::ParamLengthTooLong) | 431 or 414 | a name or a value of 2 GiB |
//! | [`LengthRequired`](SubmitError::LengthRequired) | 411 | or collect the body: [`UnknownLength`](crate::UnknownLength) |
//! | [`BodyTooLarge`](SubmitError::BodyTooLarge) | 413 | |
//! | [`InvalidLength`](SubmitError::InvalidLength), [`LengthMismatch`](SubmitError::LengthMismatch) | 400 | the parameters and the body disagree |
//! | [`BodyRead`](SubmitError::BodyRead) | 500 | the reader you gave |
//! | [`StreamNotAllowed`](SubmitError::StreamNotAllowed) | 500 | a mistake in the program: a body for a role that has none |
//! | [`NoSuchServer`](SubmitError::NoSuchServer) | 500 | it names a server that was removed, or never existed: [`Client::servers`](crate::Client::servers) has those that are there |
//!
//! # A refused `get_values`
//!
//! A [`GetValuesError`] from [`get_values`](crate::Client::get_values) means that nothing was sent and that no `End`
//! follows.
//!
//! | error | answer | what to do |
//! |-------|--------|------------|
//! | [`NoSuchServer`](GetValuesError::NoSuchServer) | 500 | the server was removed, or never existed: [`Client::servers`](crate::Client::servers) has those that are there |
//! | [`InProgress`](GetValuesError::InProgress) | 503 | wait for the `End` of the `get_values` that is under way |
//! | [`QueueFull`](GetValuesError::QueueFull) | 503 | ask later: every connection is busy, and the queue is full |
//! | [`ShuttingDown`](GetValuesError::ShuttingDown) | 503 | nothing |
//!
//! # Refused bytes of a body
//!
//! A [`StdinError`] from [`write_stdin`](crate::Client::write_stdin) or [`finish_stdin`](crate::Client::finish_stdin)
//! means that nothing of that call was taken. [`Commands::pass_on`](crate::Commands::pass_on) tells `Gone` from the rest,
//! after which the request goes on.
//!
//! | error | answer | what to do |
//! |-------|--------|------------|
//! | [`Gone`](StdinError::Gone) | 502 | stop: its `End` is waiting, or was taken, and has the true status |
//! | [`TooLong`](StdinError::TooLong) | 400 | the client sends more than it announced: abort, or finish with what was taken |
//! | [`TooShort`](StdinError::TooShort) | 400 | nothing: the request fails with [`BodyError::TooShort`] |
//! | [`BodyTooLarge`](StdinError::BodyTooLarge) | 413 | abort |
//! | [`Finished`](StdinError::Finished), [`NotPushed`](StdinError::NotPushed) | 500 | a mistake in the program |
//!
//! # A body that cannot be read
//!
//! A [`RequestBodyError`] from a [`RequestBody`](crate::cgi::RequestBody) means that the request of the HTTP client is at
//! fault. Close the connection after the answer: where the request ends is unknown. If it was submitted already,
//! [`abort`](crate::Client::abort) it.
//!
//! | error | answer | what to check |
//! |-------|--------|---------------|
//! | [`LengthAndCoding`](RequestBodyError::LengthAndCoding), [`TransferEncodingInHttp10`](RequestBodyError::TransferEncodingInHttp10) | 400 | an attempt at request smuggling, or a broken proxy before this server |
//! | [`ContentLength`](RequestBodyError::ContentLength), [`ContentLengths`](RequestBodyError::ContentLengths) | 400 | as above |
//! | [`TransferEncoding`](RequestBodyError::TransferEncoding) | 400 | as above |
//! | [`UnsupportedCoding`](RequestBodyError::UnsupportedCoding) | 501 | a client that compresses what it transfers |
//! | [`Expectation`](RequestBodyError::Expectation) | 417 | |
//! | [`TooLarge`](RequestBodyError::TooLarge) | 413 | the limit that was given to `RequestBody::new` |
//! | [`Chunked`](RequestBodyError::Chunked) | 400 | a broken client |
//! | [`Truncated`](RequestBodyError::Truncated) | 400 | the client went away; nobody may be there to read the answer |
//!
//! # Complete is not whole
//!
//! Can a response be passed on as complete? The outcome alone does not decide that:
//!
//! - `Ok` means that the application ended the request in order. The output may still be missing, end in the middle of
//!   the head, or be shorter than its own `Content-Length`.
//! - A connection that is lost after the whole response does no harm to that response.
//!
//! For a response that you pass on in pieces, decide at `End`:
//!
//! | head | body | outcome | the response is |
//! |------|------|---------|-----------------|
//! | none, or only a part | - | any | not there: answer with a status |
//! | whole | as long as its `Content-Length`, or none may follow the head | any | whole |
//! | whole | shorter or longer than its `Content-Length` | any | cut short |
//! | whole, without a length | any | `Ok`, or [`Report::stdout_ended`](crate::Report::stdout_ended) | whole |
//! | whole, without a length | any | `Err` otherwise | cut short |
//!
//! [`cgi::Collector`](crate::cgi::Collector) decides by these rules for a response that is held in memory:
//!
//! ```
//! use mio_fcgi::cgi::{Collector, Completeness, ResponseError};
//! use mio_fcgi::{Completion, Delivery, Failure, ConnectionLostReason, Phase, Report, RequestError};
//!
//! let lost = || {
//!     let error = RequestError::ConnectionLost(ConnectionLostReason::Closed);
//!     Err(Failure::new(error, Phase::Receiving, Delivery::Responded, Report::default()))
//! };
//! let collect = |output: &[u8]| {
//!     let mut collector = Collector::default();
//!     collector.stdout(output).map(|()| collector)
//! };
//!
//! // Completed, but shorter than its length.
//! let short = collect(b"Content-Length: 5\n\nhel")?.finish(Ok(Completion::new(0, Report::default())));
//! let incomplete = short.expect_err("two bytes are missing");
//! assert_eq!(incomplete.error, ResponseError::LengthMismatch { declared: 5, received: 3 });
//!
//! // Lost, but whole.
//! let whole = collect(b"Content-Length: 5\n\nhello")?.finish(lost())?;
//! assert_eq!(whole.completeness, Completeness::LengthReached);
//!
//! // Lost, without an end or a length: there may have been more.
//! let cut = collect(b"Content-Type: text/plain\n\nhello")?.finish(lost());
//! assert_eq!(cut.expect_err("no end, no length").error, ResponseError::Truncated);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It can find these errors, as a [`Reply`](crate::cgi::Reply) can:
//!
//! | error | answer | what to check |
//! |-------|--------|---------------|
//! | [`Empty`](ResponseError::Empty) | 502 | stderr: a script that died before any output |
//! | [`Head`](ResponseError::Head) | 502 | the text names the line; often something was printed before the head |
//! | [`Truncated`](ResponseError::Truncated) | 502 | a process that died or was killed in the middle |
//! | [`LengthMismatch`](ResponseError::LengthMismatch) | 502 | a bug of the application |
//! | [`BodyTooLarge`](ResponseError::BodyTooLarge) | 502 | [`ResponseLimits`](crate::cgi::ResponseLimits), or pass the body on as it comes |
//! | [`TransferEncoding`](ResponseError::TransferEncoding) | 502 | a script that compresses and says so in the wrong field |
//! | [`Chunked`](ResponseError::Chunked) | 502 | a script that states `Transfer-Encoding: chunked` and chunks nothing |
//! | [`Failed`](ResponseError::Failed) | that of the failure | the [`Failure`] inside |
//!
//! # After an abort
//!
//! Does an abort stop the script? Often not. [`abort`](crate::Engine::abort) does not wait for the application: `End`
//! comes with the next `poll_event` (of an engine: `poll_pending`). A time limit does the same, once the socket was read
//! and has not brought the response; the limit on a pause does it at once. The client drops the body no later than `End` comes.
//!
//! What the script does then is up to the application. php-fpm notices a closed connection when it next writes, and
//! runs to the end if it writes nothing. No application can be stopped in the middle of a database query. So after an
//! abort, the client's limits have room for another connection before the process is free.
//!
//! # Which request hangs?
//!
//! A request that hangs has not failed yet, so no event shows it. [`requests`](crate::Client::requests) lists the
//! requests that are present, [`connections`](crate::Client::connections) the connections. `Display` of each item is one
//! line, for a status page or for the log when a signal comes. This logs the requests that have made no progress for
//! some time:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use mio_fcgi::Client;
//!
//! fn log_hanging(client: &Client, now: Instant, after: Duration) {
//!     for request in client.requests(now).filter(|it| it.since_progress >= after) {
//!         log::info!("{request}");
//!     }
//! }
//! ```
//!
//! The state of a request says whom it waits for. The last column has the time limit that ends it in that state;
//! [`Timeouts::total`](crate::Timeouts::total) ends a request in every state but the last.
//!
//! | the line says | the request waits for | time limit |
//! |---------------|-----------------------|------------|
//! | `buffering`; `sending`, `awaits its body` | you: the rest of its body, or the end of it | none |
//! | `queued` | a connection. The lines of the connections show whether one is being opened, and what the others do. | `queue` |
//! | `queued`, with an error of a connect | a server that can be connected to | `connect_retry_timeout` |
//! | `sending` | an application that does not read, if the line of its connection has bytes that are `unsent` | `write` |
//! | `awaiting output` | the script; or a process of the application, if all are busy and the connection is in the backlog | `first_byte` |
//! | `receiving` | a script that stopped in the middle, or works on after its output | `between_bytes` |
//! | `sending`, `awaiting output` or `receiving`, and `paused` | you: [`resume`](crate::Client::resume) | `paused` |
//! | `draining` | you: `resume`, or the events that are left | `paused`, if it is paused |
//! | `aborting` | the application, to end a request that has reported its `End` | `abort_grace` |
//!
//! The items hold no parameters: keep the URL of a request under its [`Tag`](crate::Tag).
//!
//! # What to log
//!
//! Log one line per failure: the tag, and the `Display` of the [`Failure`], of its phase and of its
//! [`Report`](crate::Report). The report has the server, the retries, the timings, and whether the connection was
//! reused:
//!
//! ```
//! use mio_fcgi::{Delivery, Failure, Phase, Report, RequestError, Tag, TimeoutKind};
//!
//! fn line(tag: Tag, failure: &Failure) -> String {
//!     format!("client {}: {failure}, {}; {}", tag.0, failure.phase, failure.report)
//! }
//!
//! let error = RequestError::TimedOut(TimeoutKind::FirstByte);
//! let failure = Failure::new(error, Phase::Sent, Delivery::MaybeProcessed, Report::default());
//! assert_eq!(
//!     line(Tag(7), &failure),
//!     "client 7: timed out: no byte of a response within timeouts.first_byte (sent, no answer: the application may \
//!      have acted), after it was sent, before any output; 0 bytes sent, 0 received; total 0.0ns"
//! );
//! ```
//!
//! The client logs the same with the `log` crate: `warn` when an application breaks the protocol, `debug` per
//! connection and request, `trace` per record. With `env_logger`, `RUST_LOG=mio_fcgi=debug` shows each request from
//! start to end. The client never logs content or the values of parameters.

#[cfg(doc)]
use crate::cgi::{RequestBodyError, ResponseError};
#[cfg(doc)]
use crate::{
    BodyError, ConnectError, ConnectionLostReason, Delivery, Failure, GetValuesError, RequestError,
    Retry, StdinError, SubmitError, TimeoutKind,
};
