//! Choosing limits for php-fpm, where a connection is a process.
//!
//! A php-fpm child accepts one connection and serves the requests on it one after the other. Until that connection is
//! closed, the child does nothing else. So the number of connections is the number of children in use, and an idle
//! connection uses a child as much as a busy one does. Most trouble with php-fpm behind a proxy follows from this.
//!
//! # A configuration to start from
//!
//! ```
//! use std::time::Duration;
//! use mio_fcgi::{Config, Multiplex};
//!
//! let children = 24; // pm.max_children
//! let spare = 4;     // children that no client counts, see below; 1 for a small pool
//! let threads = 4;   // of this program, with a client each
//!
//! let mut config = Config::new("unix:/run/php/php8.2-fpm.sock".parse()?);
//! config.multiplex = Multiplex::Off;                              // php-fpm says no when asked
//! config.limits.max_connections_per_server = (children - spare) / threads;
//! config.limits.max_idle_per_server = 2;                          // each holds a child
//! config.limits.idle_timeout = Duration::from_secs(5);
//! config.limits.max_queued_requests = 100;                        // beyond: 503 at once
//! config.timeouts.queue = Some(Duration::from_secs(5));           // queued for longer: 503
//! config.timeouts.first_byte = Some(Duration::from_secs(35));     // above request_terminate_timeout
//! config.validate()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How many connections
//!
//! Give all clients together, also those of other threads and programs, fewer connections than `pm.max_children`. The
//! reason is where requests wait under load:
//!
//! - *In the client's queue*, if there are fewer connections than children. A queued request costs its parameters and
//!   the body that you gave. It can be aborted without a trace. If it waits too long, it fails as [`NotProcessed`]: a
//!   503, and safe to send again.
//! - *In the listener's backlog*, if there are more. The kernel accepts the connection and the request before any child
//!   has time for them. For the client, the request is sent. If it waits too long, it fails as [`MaybeProcessed`]: the
//!   application *may* have acted, and there is no way to find out.
//!
//! The first case on an [`Engine`], with one connection and a limit of 5 s on the queue:
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
//! let Some(event) = engine.poll_pending(&mut []) else { panic!() };
//! let EventKind::End(Err(failure)) = event.kind else { panic!() };
//! assert_eq!((event.tag, failure.error), (Tag(2), RequestError::TimedOut(TimeoutKind::Queue)));
//! assert_eq!(failure.delivery, Delivery::NotProcessed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Spare children.** Some children are in use without a connection that a client counts: those that still run a
//! script after an abort or a time limit closed its connection; those that work on after `fastcgi_finish_request`; and
//! those that serve php-fpm's own status and ping pages.
//!
//! A script that sends a request to its own site needs a second child. WordPress does so to start its cron, and gives
//! up waiting after a second. If that request is in the client's queue by then, and your server aborts requests that no
//! HTTP client waits for, it never runs. In the backlog it would have run.
//!
//! **Changes.** When the size of the pool changes, [`Engine::set_limits`] changes the limits of a running client.
//!
//! # Idle connections
//!
//! A kept connection saves a connect, which is little on the same machine. It costs a child until
//! [`Limits::idle_timeout`]. If others use the pool too, a second proxy or a status page for instance, they starve
//! while connections are idle. So keep few, and not for long, with [`Limits::max_idle_per_server`] and `idle_timeout`.
//! Or keep none, with [`Config::keep_connections`] off. Then each connection is closed right after its request: php-fpm
//! waits for that, and its child is busy until it happens.
//!
//! Do not use [`Limits::min_idle_per_server`] with php-fpm. A connection on which nothing is sent holds a child for 5
//! s, and an idle one holds it for as long as it is kept.
//!
//! [`Config::preempt_idle_after`] helps if there are more connections than children after all. The children then keep
//! serving the connections they have, while new ones wait in the backlog, for as long as there is always a next
//! request. When a new connection has waited that much longer for its first byte than requests do on average, the
//! client closes an idle connection, or the next one that ends its request. Its child then accepts from the backlog. If
//! all scripts are slow, no connection is closed.
//!
//! # The settings of a pool and their counterparts
//!
//! | php-fpm | here | rule |
//! |---------|------|----------------------|
//! | `pm.max_children` | [`Limits::max_connections_per_server`] | of all clients together below it |
//! | `pm.max_requests` | nothing, it is learned; [`Retry`] | see below |
//! | `request_terminate_timeout` | [`Timeouts::first_byte`], [`Timeouts::total`] | ours a little longer |
//! | `listen.backlog` | [`Config::connect_timeout`] | how long to try while it is full |
//! | `process_control_timeout` | [`Limits::idle_timeout`] | ours shorter |
//!
//! **`pm.max_requests`.** After that many requests a child ends: it sends the last response in full and closes the
//! connection. A request that is sent at that moment is lost. The client avoids this:
//!
//! - A connection that was reported closed gets no request, whether it has been read or not.
//! - A GET that was lost on a reused connection, no later than [`Config::stale_window`] after it was sent, is sent once
//!   more on a new one ([`Retry::ByMethod`], the default). So it runs at most twice.
//! - A POST is not sent again once a byte of it was sent. Before it is sent on a reused connection, the socket is read
//!   once. And the client remembers after how many requests the server last closed a connection after a response. A
//!   POST does not go on a connection that has served that many, but on a new one.
//! - One gap remains: the application may close the connection between that read and the write. Then the POST fails as
//!   [`MaybeProcessed`], a 502.
//!
//! [`Limits::max_requests_per_connection`] does not replace this, because a child also counts the requests of earlier
//! connections. For the same reason the remembered number is a guess.
//!
//! **`request_terminate_timeout`.** When it passes, the child is killed, and the connection and all unsent output are
//! lost. The request ends with [`RequestError::ConnectionLost`](crate::RequestError::ConnectionLost). It is not sent
//! again, whatever its method: the limit is at least a second, so it passes after [`Config::stale_window`]. (A script
//! that kills its child sooner, on a reused connection, runs twice if the request was a GET.)
//!
//! Let the pool's limit pass first, because it frees the child. Our limit only closes the connection, which PHP notices
//! when it next writes; until then the script runs on. Ours is for what the pool's limit does not catch: a pool that
//! hangs.
//!
//! **A full backlog.** A Unix socket with a full backlog refuses a connect at once (`EAGAIN`). The client takes the
//! server for busy, not for down, and tries again, with pauses, until [`Config::connect_timeout`]. Then the request
//! fails with [`ConnectError::BacklogFull`](crate::ConnectError::BacklogFull). Over TCP the system itself tries again,
//! and all you see is a slow connect. Either means that there are more connections than children, or that scripts have
//! become slow.
//!
//! **Reload.** On `SIGUSR2`, idle connections delay php-fpm until `process_control_timeout`, and busy ones may be reset
//! when their request is done. New connections work all the time. If php-fpm is stopped and started instead, connects
//! are refused in between: [`Config::connect_retry_timeout`] lets requests wait for that long. With several pools, take
//! one after the other [out of service](super::servers#maintenance).
//!
//! # `fastcgi_finish_request`
//!
//! A script that calls this function ends its response, and the request, and works on. WordPress does so for
//! `wp-cron.php`, MediaWiki for every page. The connection looks idle, but the next request on it waits until the
//! script has finished. If the script itself waits for that request, as MediaWiki does for its jobs, the wait has no
//! end.
//!
//! The sign is a long [`Timings::first_byte`](crate::Timings::first_byte) together with
//! [`Report::reused`](crate::Report::reused). Where scripts do this, switch [`Config::keep_connections`] off: a new
//! connection goes to a free child.
//!
//! # Bodies and parameters
//!
//! php-fpm reads `CONTENT_LENGTH` bytes of a body, and none without that parameter. So a body of unknown length has to
//! be refused (a proxy answers 411) or buffered first, see [`UnknownLength`](crate::UnknownLength). The client states
//! the length of every body it knows.
//!
//! If a body ends early, the child waits for the rest until the connection is closed. So a body that is too short ends
//! its request and closes the connection.
//!
//! # What else to know
//!
//! - [`EventKind::StdoutEnd`](crate::EventKind::StdoutEnd) never comes, and the application status is always 0.
//! - A script that does not exist is a 404 with a line on stderr. A fatal error before the response head is a 500 with
//!   a line on stderr. With `display_errors` on, which is the default without an ini file, a fatal error is a **200**
//!   with the message in the body.
//! - A script that removes all its fields, `default_mimetype` among them, sends a blank line as its head. CGI requires
//!   at least one field (RFC 3875, 6.2), so that is [`HeadError::Empty`](crate::cgi::HeadError::Empty), although nginx
//!   makes a 200 of it.
//! - A 404 that the site did not make usually means that `SCRIPT_FILENAME` is not the path that *php-fpm* sees: check
//!   its `chroot`, its container.
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
//! To ask for a page, set `REQUEST_METHOD`, `SCRIPT_NAME` and `SCRIPT_FILENAME`, the last two to the page's path.
//! Without one of the three, the answer is a 404. A complete health check, for a program without a loop:
//!
//! ```
//! use std::time::Duration;
//! use mio_fcgi::blocking::{self, CallError};
//! use mio_fcgi::{Address, ConnectError, Request, RequestError};
//!
//! #[derive(Debug, PartialEq)]
//! enum Health {
//!     Up,
//!     Busy,          // every child is in use
//!     Down,
//!     SomethingElse, // an HTTP server, another pool
//! }
//!
//! fn check(pool: &Address, limit: Duration) -> Health {
//!     let ping = Request::responder()
//!         .param("LINE", "\r\n\r\n") // some HTTP servers answer only after a line end
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
//! To ask many pools in one loop, see the example `probe`.
//!
//! The check itself needs a child. Give it a limit that a short rush of requests does not exceed, or ask at
//! `pm.status_listen`.
//!
//! [`NotProcessed`]: crate::Delivery::NotProcessed
//! [`MaybeProcessed`]: crate::Delivery::MaybeProcessed

#[cfg(doc)]
use crate::{Client, Config, Engine, Limits, Retry, Timeouts, blocking};
