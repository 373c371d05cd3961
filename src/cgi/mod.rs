//! Between HTTP and FastCGI (RFC 3875): the parameters that a Responder gets, and the response in its output.
//!
//! - [`ScriptMap`] finds the script for the target of a request.
//! - [`Env`] turns a request into parameters.
//! - [`HeadParser`] reads the head of a response from pieces of any size.
//! - [`Collector`] collects the output of one request into a [`Response`], and distinguishes a complete response from a
//!   truncated one.
//! - [`Reply`] passes the output of one request on to an HTTP/1 client as it arrives, framed for that client.
//! - [`RequestBody`] finds the body of a request in what an HTTP/1 client sends.
//!
//! # From request to response
//!
//! This is everything that a server does between HTTP and FastCGI. The server has read the head of a request, and
//! collects the response before it sends that to the client. Here the target is a path. If it came with scheme and
//! authority, the server has removed both and replaced `Host` with the authority.
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use mio_fcgi::cgi::{self, Collector, Env, Resolution, Response, Script, ScriptMap};
//! use mio_fcgi::{Body, Completion, Report, Request};
//!
//! struct Asked<'a> {
//!     method: &'a str,
//!     target: &'a str,
//!     fields: &'a [(&'a [u8], &'a [u8])],
//!     body: &'a [u8],
//! }
//!
//! /// What to submit, or the status of the server's own answer.
//! fn request(map: &ScriptMap, asked: &Asked<'_>, client: SocketAddr) -> Result<Request, u16> {
//!     let script = match map.resolve(asked.target.as_bytes()) {
//!         Resolution::Script(script) => script,
//!         // Many programs want all paths that are not files. For other programs, answer 404.
//!         Resolution::NotFound | Resolution::RemoteFile { .. } => {
//!             Script::new(map.root(), "/index.php", "")
//!         }
//!         Resolution::StaticFile { .. } => return Err(200), // to be read and sent
//!         other => return Err(other.http_status().unwrap_or(404)), // a redirect has a location
//!     };
//!     let mut request = Request::responder();
//!     let fields = asked.fields.iter().copied();
//!     Env::new(asked.method.as_bytes(), asked.target.as_bytes(), fields, &script)
//!         .with_remote(client)
//!         .write_to(&mut request.params)
//!         .map_err(|_| 400_u16)?;
//!     request.body = Body::bytes(asked.body); // `submit` adds CONTENT_LENGTH
//!     Ok(request)
//! }
//!
//! fn answer(asked: &Asked<'_>, response: &Response) -> Vec<u8> {
//!     let mut out = format!("HTTP/1.1 {} ", response.status).into_bytes();
//!     out.extend_from_slice(&response.reason); // may be empty
//!     out.extend_from_slice(b"\r\n");
//!     let has_body = cgi::has_body(asked.method, response.status);
//!     for (name, value) in &response.fields {
//!         // HEAD and 304 keep the application's length: no body is sent. A 204 has none (RFC 9110, 8.6).
//!         let is_length = name.eq_ignore_ascii_case(b"Content-Length");
//!         let is_left_out = is_length && (has_body || response.status == 204);
//!         if !cgi::is_hop_by_hop(name) && !cgi::is_for_server(name) && !is_left_out {
//!             out.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
//!         }
//!     }
//!     let body = match response.status {
//!         205 => &[], // empty, whatever the application sends (15.3.6)
//!         _ => &response.body[..],
//!     };
//!     if has_body {
//!         out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
//!     }
//!     out.extend_from_slice(b"\r\n");
//!     out.extend_from_slice(body);
//!     out
//! }
//!
//! let map = ScriptMap::remote("/srv/www");
//! let fields = [(&b"Host"[..], &b"example.org"[..])];
//! let asked = Asked { method: "GET", target: "/news/7?page=2", fields: &fields, body: b"" };
//! let request = request(&map, &asked, ([192, 0, 2, 1], 49152).into()).expect("a script");
//! assert_eq!(request.params.get("SCRIPT_FILENAME"), Some(&b"/srv/www/index.php"[..]));
//! assert_eq!(request.params.get("REQUEST_URI"), Some(&b"/news/7?page=2"[..]));
//!
//! // Pass the events of the request to the collector, and the outcome of its `End` to `finish`.
//! let mut collector = Collector::default().with_method(asked.method);
//! collector.stdout(b"Content-Type: text/plain\n\npage 2")?;
//! let response = collector.finish(Ok(Completion::new(0, Report::default())))?;
//! assert_eq!(
//!     answer(&asked, &response),
//!     b"HTTP/1.1 200 \r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\npage 2"
//! );
//! # for (status, sent) in [
//! #     (200, &b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nbody"[..]),
//! #     (204, b"HTTP/1.1 204 \r\n\r\n"),
//! #     (205, b"HTTP/1.1 205 \r\nContent-Length: 0\r\n\r\n"),
//! #     (304, b"HTTP/1.1 304 \r\nContent-Length: 4\r\n\r\n"),
//! # ] {
//! #     let mut collector = Collector::default();
//! #     collector.stdout(format!("Status: {status}\nContent-Length: 4\n\nbody").as_bytes())?;
//! #     let response = collector.finish(Ok(Completion::new(0, Report::default())))?;
//! #     assert_eq!(answer(&asked, &response), sent);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For responses of any size, use a [`Reply`] in place of the collector. The guide has [a whole HTTP/1
//! server](crate::guide::http_server) with bodies and responses of any size; the example `proxy` is another one.

mod bytes;
mod chunked;
mod collector;
mod env;
mod env_error;
mod fields;
mod files;
mod head;
mod head_parser;
mod http_status;
mod pass_on;
mod path;
mod reason;
mod refusal;
mod reply;
mod reply_framing;
mod reply_head;
mod reply_progress;
mod request_body;
mod request_body_error;
mod request_framing;
mod response;
mod script;
mod source;
mod writer;

pub use chunked::{ChunkedDecoder, ChunkedError, Decoded};
pub use collector::{Collector, ResponseLimits, has_body};
pub use env::{Env, site_params};
pub use env_error::EnvError;
pub use fields::{FieldRules, is_for_server, is_hop_by_hop, is_valid_host};
pub use head::{Head, HeadError, HeadRules};
pub use head_parser::HeadParser;
pub use pass_on::{PassOnError, PassedOn};
pub use reason::reason_phrase;
pub use refusal::{ForbiddenReason, InvalidTarget};
pub use reply::{Reply, ReplyTo, Verdict};
pub use reply_head::ReplyHead;
pub use reply_progress::BodyPart;
pub use request_body::RequestBody;
pub use request_body_error::RequestBodyError;
pub use request_framing::wants_keep_alive;
pub use response::{Completeness, Field, Incomplete, Interim, Response, ResponseError};
pub use script::{Resolution, Script, ScriptMap, normalized_path};
