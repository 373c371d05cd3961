//! Choosing limits for php-fpm, where a connection is a process.
//!
//! A php-fpm child accepts one connection, serves the requests on it one after the other, and has nothing else to do
//! until that connection is closed. So the number of connections is the number of children in use, and an idle
//! connection uses one as much as a busy one. Most trouble with php-fpm behind a proxy follows from this.
//!
//! # A configuration to start from
//!
//! ```
//! use std::time::Duration;
//! use mio_fcgi::{Config, Multiplex};
//!
//! let children = 24; // pm.max_children
//! let spare = 4;     // see below
//! let threads = 4;   // of this program, with a client each
//!
//! let mut config = Config::new("unix:/run/php/php8.2-fpm.sock".parse()?);
//! config.multiplex = Multiplex::Off;                              // php-fpm says no when asked
//! config.limits.max_connections_per_server = (children - spare) / threads;
//! config.limits.max_idle_per_server = 2;                                     // children held for nobody
//! config.limits.idle_timeout = Duration::from_secs(5);
//! config.limits.max_queued_requests = 100;                                  // beyond: 503 at once
//! config.timeouts.queue = Some(Duration::from_secs(5));           // in the queue for so long: 503
//! config.timeouts.first_byte = Some(Duration::from_secs(35));    // above request_terminate_timeout
//! config.validate()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How many connections
//!
//! All clients together, those of other threads and programs too, should have fewer connections than `pm.max_children`.
//! Where requests wait then makes the difference:
//!
//! - *In the client's queue*, when the connections are fewer than the children. A waiting request costs its parameters
//!   and what you gave as its body, can be aborted without a trace, and when it has waited for too long it fails as *not
//!   sent*: a 503, and safe to send again.
//! - *In the listener's backlog*, when they are more. The kernel accepts the connection and the request for a process
//!   that has no time for them. To the client they are sent; when the wait gets too long, the application *may* have
//!   acted, and nobody can know.
//!
//! The same on an [`Engine`], with one connection and a queue's limit of 5 s:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use mio_fcgi::{Action, Config, Delivery, Engine, EventKind, Multiplex, Request, RequestError, Tag, TimeoutKind};
//!
//! let mut config = Config::new("127.0.0.1:9000".parse()?);
//! config.multiplex = Multiplex::Off;
//! config.limits.max_connections_per_server = 1;
//! config.limits.max_idle_per_server = 1;
//! config.timeouts.queue = Some(Duration::from_secs(5));
//! let mut engine = Engine::new(config)?;
//! let mut now = Instant::now();
//! engine.submit(now, Request::responder(), Tag(1))?; // takes the connection
//! engine.submit(now, Request::responder(), Tag(2))?; // waits for it
//! let Some(Action::Connect { connection, .. }) = engine.poll_action() else { panic!() };
//! engine.handle_connected(now, connection);
//!
//! now += Duration::from_secs(5);
//! engine.handle_timeout(now);
//! let Some(event) = engine.poll_event(&mut []) else { panic!() };
//! let EventKind::End(Err(failure)) = event.kind else { panic!() };
//! assert_eq!((event.tag, failure.error), (Tag(2), RequestError::TimedOut(TimeoutKind::Queue)));
//! assert_eq!(failure.delivery, Delivery::NotProcessed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Leave some to spare.** Children are in use that no client counts: those that still run a script whose connection
//! was closed, by an abort or a time limit; those that work on after `fastcgi_finish_request`; and php-fpm's own status
//! and ping pages, which are served by the same children.
//!
//! A script that asks its own site for something needs a second child. One that does not wait for the answer, as those of
//! WordPress do to start its cron, is gone after a second: if its request is in the client's queue then, and a server
//! aborts what nobody waits for, it never ran. In the backlog it would have.
//!
//! **Change them together.** [`Engine::set_limits`] changes the limits while the client runs, when the pool has grown.
//!
//! # Idle connections
//!
//! A kept connection spares a connect, which is little on the same machine, and costs a child until
//! [`Limits::idle_timeout`]. When others use the pool too, such as a second proxy or a status page, they starve while
//! connections idle. Few and short: [`Limits::max_idle_per_server`] and `idle_timeout`; or none at all, with
//! [`Config::keep_connections`] off. Then each connection is closed right after its request: php-fpm waits for that,
//! and its child is busy until it happens.
//!
//! [`Limits::min_idle_per_server`] is not for php-fpm. A connection on which nothing is sent holds a child for 5 s, and
//! an idle one holds it for as long as it is kept.
//!
//! [`Config::preempt_idle_after`] helps where connections are more than children after all. The children then serve those
//! connections they already have, while new ones wait in the backlog, for as long as there is always a next request.
//! When a new connection has waited that much longer for its first byte than requests do on average, one that is idle
//! or the next to end its request is closed, and its child turns to the backlog. Scripts that are all slow are not taken
//! for starved ones: their connections are kept.
//!
//! # The settings of a pool and their counterparts
//!
//! | php-fpm | here | how they go together |
//! |---------|------|----------------------|
//! | `pm.max_children` | [`Limits::max_connections_per_server`] | of all clients together below it |
//! | `pm.max_requests` | nothing, it is learned; [`Retry`] | see below |
//! | `request_terminate_timeout` | [`Timeouts::first_byte`], [`Timeouts::total`] | ours a little longer |
//! | `listen.backlog` | [`Config::connect_timeout`] | how long to try while it is full |
//! | `process_control_timeout` | [`Limits::idle_timeout`] | ours shorter |
//!
//! **`pm.max_requests`.** After N requests a child ends: the last response is complete, then the connection is closed. A
//! request that is sent just then is lost. The client keeps requests out of that gap:
//!
//! - A connection whose close was announced gets no request, read or not.
//! - A GET that was lost on a reused connection, no later than [`Config::stale_window`] after it was sent, is sent once
//!   more on a fresh one ([`Retry::ByMethod`], the default). So it runs twice at most.
//! - A POST is not sent again once a byte of it has left. Before it leaves on a reused connection, the socket is read
//!   once. And the client remembers after how many requests the server last closed a connection behind an answer: a
//!   POST gets no connection that has served that many, but a new one.
//! - What is left is a close between that read and the write. Then the POST fails as *maybe sent*, a 502.
//!
//! [`Limits::max_requests_per_connection`] does not replace that, since a child counts the requests of earlier
//! connections too. For the same reason the remembered number is a guess.
//!
//! **`request_terminate_timeout`.** The child is killed, the connection is lost, and output that was not sent is lost with
//! it: the request ends with [`RequestError::ConnectionLost`](crate::RequestError::ConnectionLost) and is not sent again, whatever its
//! method. The limit is at least a second, so it passes after [`Config::stale_window`]. (A script that kills its child
//! sooner, on a reused connection, runs twice if it was a GET.) The pool's limit is the better one of the two, because it
//! frees the child. Ours only closes the connection, which PHP notices when it next writes; until then the script runs
//! on. So let the pool's limit pass first, and ours catch what it does not: a pool that is stuck.
//!
//! **A full backlog.** A Unix socket whose backlog is full refuses a connect at once (`EAGAIN`). The client takes that
//! for *busy*, not for *down*, and tries again with pauses until [`Config::connect_timeout`]; then the request fails
//! with [`ConnectError::BacklogFull`](crate::ConnectError::BacklogFull). Over TCP the system itself tries again, and nothing is seen
//! but a slow connect. Either means more connections than children, or scripts that have become slow.
//!
//! **Reload.** On `SIGUSR2` idle connections delay php-fpm until `process_control_timeout`; busy ones may be reset when
//! they are done. New connections work all the time. While php-fpm is stopped and started they are refused:
//! [`Config::connect_retry_timeout`] lets requests wait for that long.
//!
//! # `fastcgi_finish_request`
//!
//! A script that calls it ends its response, and the request, and works on: WordPress for `wp-cron.php`, MediaWiki for
//! every page. The connection looks idle, but the next request on it waits until the script is through, without end where
//! the script waits for that very request, as MediaWiki does for its jobs. The sign is a long
//! [`Timings::first_byte`](crate::Timings::first_byte) together with [`Report::reused`](crate::Report::reused). Where
//! scripts do this, switch [`Config::keep_connections`] off: a fresh connection goes to a child that is free.
//!
//! # Bodies and parameters
//!
//! php-fpm reads `CONTENT_LENGTH` bytes of a body, and none without it: a body of unknown length has to be refused (a
//! proxy answers 411) or collected first, see [`UnknownLength`](crate::UnknownLength). The client states the length of
//! every body it knows. A child waits for a body that ends early until the connection is closed, which is why a body
//! that falls short ends the request and its connection.
//!
//! # What else to know
//!
//! - [`EventKind::StdoutEnd`](crate::EventKind::StdoutEnd) never comes, and the application status is always 0.
//! - A script that does not exist is a 404 with a line on stderr; a fatal error is a 500 with one, if it came before
//!   the head. With `display_errors` on, as it is without an ini file, it is a **200** with the message in the body.
//! - A script that removes all its fields, `default_mimetype` among them, sends a blank line for a head. CGI wants a field
//!   at least (RFC 3875, 6.2), so that is [`HeadError::Empty`](crate::cgi::HeadError::Empty), though nginx makes a 200
//!   of it.
//! - A 404 that the site did not make means as a rule that `SCRIPT_FILENAME` is not the path that *php-fpm*
//!   sees: its `chroot`, its container.
//!
//! # Is it up?
//!
//! | asked | what it needs | answered |
//! |---|---|---|
//! | [`blocking::get_values`], [`Client::get_values`] | nothing | by a child, without a script |
//! | the ping page | `ping.path` | by a child: `pong` |
//! | the status page, `QUERY_STRING` `json` or none | `pm.status_path` | by a child: how many are active and idle |
//! | either page at `pm.status_listen` | that setting, PHP 8.0 | also while every child is busy |
//!
//! A page is asked for by all of `REQUEST_METHOD`, `SCRIPT_NAME` and `SCRIPT_FILENAME`, the latter two with the
//! page's path; without one of them it is a 404. A whole health check, for a program without a loop:
//!
//! ```
//! use std::time::Duration;
//! use mio_fcgi::blocking::{self, CallError};
//! use mio_fcgi::{Address, ConnectError, Request, RequestError};
//!
//! #[derive(Debug, PartialEq)]
//! enum Health {
//!     Up,
//!     Busy, // every child is
//!     Down,
//!     SomethingElse, // an HTTP server, another pool
//! }
//!
//! fn check(pool: &Address, limit: Duration) -> Health {
//!     let ping = Request::responder()
//!         .param("LINE", "\r\n\r\n") // some HTTP servers say nothing before the end of a line
//!         .param("REQUEST_METHOD", "GET")
//!         .param("SCRIPT_NAME", "/ping")
//!         .param("SCRIPT_FILENAME", "/ping");
//!     match blocking::call(pool, ping, limit) {
//!         Ok(response) if response.body == b"pong" => Health::Up,
//!         Ok(_) => Health::SomethingElse,
//!         Err(error) => why(&error),
//!     }
//! }
//!
//! fn why(error: &CallError) -> Health {
//!     match error.failure().map(|failure| &failure.error) {
//!         // Connected, and no child has taken the connection; or the backlog is full.
//!         Some(RequestError::TimedOut(_) | RequestError::Connect(ConnectError::BacklogFull)) => Health::Busy,
//!         Some(RequestError::Protocol(_)) => Health::SomethingElse,
//!         None if error.response_error().is_some() => Health::SomethingElse, // FastCGI, and no page
//!         // Nobody listens, a name that cannot be resolved, a child that died.
//!         _ => Health::Down,
//!     }
//! }
//!
//! assert_eq!(check(&"unix:/no/such.sock".parse()?, Duration::from_secs(2)), Health::Down);
//! # Ok::<(), mio_fcgi::AddressError>(())
//! ```
//!
//! The check itself wants a child: give it a limit that a short rush of requests does not exceed, or ask at
//! `pm.status_listen`.

#[cfg(doc)]
use crate::{Client, Config, Engine, Limits, Retry, Timeouts, blocking};
