//! The types of the crate `http`: its requests as parameters, output as its responses.
//!
//! Servers on hyper, h2 or axum speak the types of the crate [`http`](https://docs.rs/http). This library does not depend
//! on that crate: names and values are byte slices here. The two functions on this page are the bridge. Copy them, and
//! change what your server does otherwise.
//!
//! # From a request
//!
//! [`cgi::Env`] takes the method, the target and the fields. The script is yours to choose: see [`cgi::ScriptMap`].
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use http::{StatusCode, Version, header};
//! use mio_fcgi::cgi::{Env, Script};
//! use mio_fcgi::{Body, Request};
//!
//! /// What to submit, or the status of the server's own answer.
//! fn to_fastcgi(
//!     request: http::Request<Vec<u8>>,
//!     script: &Script,
//!     client: SocketAddr,
//!     is_tls: bool,
//! ) -> Result<Request, StatusCode> {
//!     let (parts, body) = request.into_parts();
//!     // A path and a query, or `*`. CONNECT has neither.
//!     let target = parts.uri.path_and_query().ok_or(StatusCode::NOT_IMPLEMENTED)?;
//!     // HTTP/2 has the authority in place of `Host`, and in HTTP/1.1 it wins over `Host`.
//!     let authority = parts.uri.authority().map(|it| (&b"host"[..], it.as_str().as_bytes()));
//!     // `Env` goes through the fields more than once. An iterator of `HeaderMap` cannot be cloned; one of a slice can.
//!     let fields: Vec<(&[u8], &[u8])> = parts.headers.iter()
//!         .filter(|(name, _)| authority.is_none() || *name != header::HOST)
//!         .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
//!         .chain(authority)
//!         .collect();
//!     let (method, target) = (parts.method.as_str().as_bytes(), target.as_str().as_bytes());
//!     let protocol: &[u8] = match parts.version {
//!         Version::HTTP_10 => b"HTTP/1.0",
//!         Version::HTTP_2 => b"HTTP/2.0",
//!         Version::HTTP_3 => b"HTTP/3.0",
//!         _ => b"HTTP/1.1",
//!     };
//!     let env = Env::new(method, target, fields.iter().copied(), script)
//!         .with_protocol(protocol)
//!         .with_https(is_tls)
//!         .with_remote(client);
//!     let mut request = Request::responder().with_body(Body::bytes(body));
//!     env.write_to(&mut request.params)
//!         .map_err(|error| StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST))?;
//!     Ok(request)
//! }
//!
//! let request = http::Request::post("https://example.org/news?page=2")
//!     .version(Version::HTTP_2)
//!     .header("accept", "text/html")
//!     .header("accept", "image/png")
//!     .header("x-place", &b"K\xf6ln"[..]) // not UTF-8
//!     .header("authorization", "Basic c2VjcmV0")
//!     .header("te", "trailers")
//!     .body(b"text".to_vec())?;
//! let script = Script::new("/srv/www", "/index.php", "");
//! let request = to_fastcgi(request, &script, ([192, 0, 2, 1], 49152).into(), true).expect("valid");
//!
//! let param = |name| request.params.get(name);
//! assert_eq!(param("REQUEST_METHOD"), Some(&b"POST"[..]));
//! assert_eq!(param("REQUEST_URI"), Some(&b"/news?page=2"[..]));
//! assert_eq!(param("SERVER_PROTOCOL"), Some(&b"HTTP/2.0"[..]));
//! assert_eq!((param("HTTP_HOST"), param("HTTPS")), (Some(&b"example.org"[..]), Some(&b"on"[..])));
//! assert_eq!(param("HTTP_ACCEPT"), Some(&b"text/html, image/png"[..]));
//! assert_eq!(param("HTTP_X_PLACE"), Some(&b"K\xf6ln"[..]));
//! assert_eq!((param("HTTP_AUTHORIZATION"), param("HTTP_TE")), (None, None));
//! assert_eq!(request.body.len(), Some(4)); // becomes CONTENT_LENGTH
//! # // CONNECT, and an authority with a user's name in it.
//! # let connect = http::Request::connect("example.org:443").body(Vec::new())?;
//! # let named = http::Request::get("http://user@example.org/").body(Vec::new())?;
//! # for (request, status) in [(connect, 501), (named, 400)] {
//! #     let refused = to_fastcgi(request, &script, ([192, 0, 2, 1], 49152).into(), false);
//! #     assert_eq!(refused.err().map(|it| it.as_u16()), Some(status));
//! # }
//! # // The authority wins, and without one there is `Host`.
//! # for (uri, host) in [("http://a.example/", "a.example"), ("/", "b.example")] {
//! #     let request = http::Request::get(uri).header("host", "b.example").body(Vec::new())?;
//! #     let request = to_fastcgi(request, &script, ([192, 0, 2, 1], 49152).into(), false).expect("valid");
//! #     assert_eq!(request.params.get("HTTP_HOST"), Some(host.as_bytes()));
//! #     assert_eq!(request.params.get("HTTPS"), None);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - *Repeated fields* become one parameter. Their values are joined by `", "`, those of `Cookie` by `"; "`. A second `Host`
//!   is an error, and so is a second `Content-Type` with another value.
//! - *Values that are not UTF-8* are passed as they are. Read a value with `as_bytes`: `to_str` fails on them.
//! - *Credentials* are hidden. Set `env.rules.pass_authorization` when the application checks passwords itself.
//! - *Hop-by-hop fields* are left out, also those that `Connection` lists. The application never sees `Proxy` either.
//! - *`CONTENT_LENGTH`* is the length of the submitted body, never the client's field. For a body that is still coming, take
//!   [`Body::pushed`] with the length that the HTTP library has found.
//!
//! # From a response
//!
//! One function serves both ways to read output. A [`cgi::Response`] is whole; a [`cgi::Head`] comes first, and the body
//! follows in pieces.
//!
//! ```
//! use http::{Method, header, response};
//! use mio_fcgi::cgi::{self, Collector, HeadParser, Response};
//! # use mio_fcgi::{Completion, Report};
//!
//! /// The head of the HTTP response. An error is the application's fault: answer 502.
//! fn head<'a>(
//!     method: &Method,
//!     status: u16,
//!     fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
//! ) -> Result<response::Parts, http::Error> {
//!     let mut builder = http::Response::builder().status(status);
//!     let is_for_client = |name| !cgi::is_hop_by_hop(name) && !cgi::is_for_server(name);
//!     for (name, value) in fields.filter(|field| is_for_client(field.0)) {
//!         builder = builder.header(name, value); // appends: each `Set-Cookie` stays on its own
//!     }
//!     let (mut parts, ()) = builder.body(())?.into_parts();
//!     // The server states the length of a body. The answer to HEAD and a 304 keep the application's; a 204 has none.
//!     if cgi::has_body(method.as_str(), status) || status == 204 {
//!         parts.headers.remove(header::CONTENT_LENGTH);
//!     }
//!     Ok(parts)
//! }
//!
//! fn to_http(method: &Method, response: Response) -> Result<http::Response<Vec<u8>>, http::Error> {
//!     let fields = response.fields.iter().map(|(name, value)| (&name[..], &value[..]));
//!     let parts = head(method, response.status, fields)?;
//!     Ok(http::Response::from_parts(parts, response.body)) // empty for HEAD, 204, 304
//! }
//!
//! let output: &[u8] = b"Status: 404 Not Found\nSet-Cookie: a=1\nSet-Cookie: b=2\nX-Place: K\xf6ln\nConnection: close\n\
//!     Content-Length: 4\n\nbody";
//! let collect = |method: &Method, output: &[u8]| {
//!     let mut collector = Collector::default().with_method(method.as_str());
//!     collector.stdout(output)?;
//!     // The outcome is that of `EventKind::End`.
//!     Ok::<_, Box<dyn std::error::Error>>(collector.finish(Ok(Completion::new(0, Report::default())))?)
//! };
//! let response = to_http(&Method::GET, collect(&Method::GET, output)?)?;
//! assert_eq!((response.status().as_u16(), &response.body()[..]), (404, &b"body"[..]));
//! assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
//! assert_eq!(response.headers()["x-place"].as_bytes(), b"K\xf6ln");
//! assert!(!response.headers().contains_key("connection"));
//! assert!(!response.headers().contains_key("content-length")); // hyper, for one, writes it
//!
//! let response = to_http(&Method::HEAD, collect(&Method::HEAD, output)?)?;
//! assert_eq!(response.headers()["content-length"], "4");
//! assert!(response.body().is_empty());
//! # let response = to_http(&Method::GET, collect(&Method::GET, b"Status: 204\nContent-Length: 0\n\n")?)?;
//! # assert!(response.headers().is_empty());
//!
//! // In pieces: the head once it is complete, then the body as it comes.
//! let mut parser = HeadParser::default();
//! let (complete, body) = parser.push(output)?.expect("complete");
//! let parts = head(&Method::GET, complete.status(), complete.fields())?;
//! assert_eq!((parts.status.as_u16(), body), (404, &b"body"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - *The status* is 100 to 999, all of which `http` takes. A [`Response`](cgi::Response) has a final one.
//! - *Interim heads* (103) are in [`Response::interim`](cgi::Response::interim), and a head with
//!   [`is_interim`](cgi::Head::is_interim) is not the last: push on. `head` serves them too.
//! - *The reason phrase* has no place in `http::Response`. hyper takes one as an extension.
//! - *HEAD:* tell the [`Collector`](cgi::Collector) the method. In pieces, drop what comes after the head where
//!   [`has_body`](cgi::has_body) is false. A 205 has no content either: send it empty, whatever came.
//! - *`Transfer-Encoding`* is hop-by-hop, so it is left out, but the body is still encoded: see
//!   [`Head::has_transfer_encoding`](cgi::Head::has_transfer_encoding).
//! - *A response that is not whole* is no [`Response`](cgi::Response). In pieces, the status was already sent when a failed
//!   [`EventKind::End`] says so: end the HTTP response with an error, not as if it were complete.

#[cfg(doc)]
use crate::{Body, EventKind, cgi};
