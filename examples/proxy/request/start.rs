//! The start of a request: what it asks for, and who responds to it.

use mio_fcgi::cgi::{Env, EnvError, FieldRules, ForbiddenReason, ReplyTo, Resolution, Script};
use mio_fcgi::{Body, Request};

use super::error_page::TEXT;
use super::exchange::Exchange;
use super::http::head::{BodyLength, RequestHead};
use super::net::socket::Socket;
use super::response::OwnBody;
use super::site::context::Context;
use super::upload::Upload;
use super::{file, status_page};

/// What the response needs to know of the request.
pub(crate) fn reply_to(cx: &Context, head: &RequestHead<'_, '_>) -> ReplyTo {
    ReplyTo::new()
        .with_method(head.method)
        .with_http11(head.is_http11)
        .with_keep_alive(head.keeps_alive && cx.keeps_clients())
}

/// How to treat the body until an application is asked for: its unread rest decides whether the connection can be kept.
pub(crate) fn unwanted_body(head: &RequestHead<'_, '_>) -> Upload {
    match head.body {
        BodyLength::Counted(0) => Upload::done(),
        BodyLength::Counted(left) if !head.expects_continue => Upload::skipped(left),
        BodyLength::Counted(_) | BodyLength::Chunked => Upload::endless(),
    }
}

/// Starts serving a request. Returns how many of the bytes after the head were used.
pub(crate) fn start(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    following: &[u8],
) -> usize {
    if cx.logs_requests() {
        exchange.note_fields(head.field("referer"), head.field("user-agent"));
    }
    if let BodyLength::Counted(len) = head.body
        && len > cx.options().max_body
    {
        exchange.fail(cx, socket, 413, "the body is too long");
        return 0;
    }
    if head.target == "*" {
        exchange.answer(cx, socket, 204, &[], OwnBody::None);
        return 0;
    }
    // Add pages of your own here, like the status page. This is also the place to restrict what applications are asked
    // for, for example to one path and those below it.
    if status_page::answer(exchange, cx, socket, head) {
        return 0;
    }
    match &*cx.resolve(head.target) {
        Resolution::Script(script) => return ask(exchange, cx, socket, head, script, following),
        Resolution::StaticFile { path } => file::answer(exchange, cx, socket, head, path),
        Resolution::Redirect { location } => redirect(exchange, cx, socket, head, location.clone()),
        Resolution::Forbidden(reason) => {
            let why = match reason {
                ForbiddenReason::OutsideRoot => "the path leads out of the document root",
                _ => "access to this path is denied",
            };
            exchange.fail(cx, socket, reason.http_status(), why);
        }
        Resolution::Invalid(error) => {
            exchange.fail(cx, socket, error.http_status(), "the target cannot be read");
        }
        _ => exchange.fail(cx, socket, 404, "there is nothing here"),
    }
    0
}

fn redirect(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    mut location: Vec<u8>,
) {
    if let Some((_, query)) = head.target.split_once('?') {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    let (content_type, text) = (TEXT, "");
    let body = OwnBody::Text { content_type, text };
    exchange.answer(cx, socket, 301, &[(b"Location", &location)], body);
}

/// Builds a FastCGI request and submits it, unless its body has to be collected first.
fn ask(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    script: &Script,
    following: &[u8],
) -> usize {
    let mut request = cx.fcgi().new_request();
    if let Err(error) = write_params(cx, socket, head, script, &mut request) {
        let why = "the request cannot be passed on";
        exchange.fail(cx, socket, error.http_status(), why);
        return 0;
    }
    let mut used = 0;
    match head.body {
        BodyLength::Counted(len) if following.len() as u64 >= len => {
            // The whole body is in the buffer already.
            used = len as usize;
            if used > 0 {
                request.body = Body::bytes(&following[..used]);
            }
            exchange.set_upload(Upload::done());
            exchange.submit(cx, socket, request);
        }
        BodyLength::Counted(len) => {
            request.body = Body::pushed(Some(len));
            exchange.set_upload(Upload::pushed(len));
            exchange.submit(cx, socket, request);
        }
        BodyLength::Chunked => exchange.set_upload(Upload::collected(request)),
    }
    if head.expects_continue && following.is_empty() && exchange.wants_body() {
        // The client waits for permission to send its body.
        let out = socket.tail(cx.buffers());
        out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    used
}

fn write_params(
    cx: &Context,
    socket: &Socket,
    head: &RequestHead<'_, '_>,
    script: &Script,
    request: &mut Request,
) -> Result<(), EnvError> {
    request.params.set_shared(cx.constants());
    let protocol: &[u8] = match head.is_http11 {
        true => b"HTTP/1.1",
        false => b"HTTP/1.0",
    };
    let mut rules = FieldRules::default();
    rules.pass_authorization = cx.options().pass_authorization;
    Env::new(
        head.method.as_bytes(),
        head.target.as_bytes(),
        head.fields_for_application(),
        script,
    )
    .with_protocol(protocol)
    .with_rules(rules)
    .with_server(socket.local())
    .with_remote(socket.peer())
    .write_to(&mut request.params)
}
