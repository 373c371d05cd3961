//! The start of a request: what it asks for, and who responds to it.

use std::net::SocketAddr;

use mio_fcgi::cgi::{
    self, Env, EnvError, FieldRules, ForbiddenReason, ReplyTo, RequestBody, Resolution, Script,
};
use mio_fcgi::{Body, Request, SharedParams};

use super::elsewhere::{Elsewhere, GivenFields};
use super::error_page::{ANY_METHOD, TEXT};
use super::exchange::Exchange;
use super::file::FoundFile;
use super::http::head::{self, FieldSpace, HeadLimits, RequestHead};
use super::http::response_head::REQUEST_ID;
use super::log::request_id;
use super::net::client_address::ClientAddress;
use super::net::socket::Socket;
use super::origin::Origin;
use super::response::OwnBody;
use super::site::context::Context;
use super::site::routes::{Denied, Route};
use super::upload::Upload;
use super::{file, named_file, status_page};

/// What the response needs to know of the request.
pub(crate) fn reply_to(cx: &Context, head: &RequestHead<'_, '_>) -> ReplyTo {
    // A refused TRACE ends the connection, as a refused CONNECT does.
    let keeps_alive = head.method != "TRACE" && cgi::wants_keep_alive(head.is_http11, head.pairs());
    ReplyTo::new()
        .with_method(head.method)
        .with_http11(head.is_http11)
        .with_keep_alive(keeps_alive && cx.keeps_clients())
}

/// Starts serving a request. Returns how many of the bytes after the head were used.
pub(crate) fn start(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    following: &[u8],
) -> usize {
    socket.set_client(Origin::of(cx, socket, head).client);
    if let Some(id) = given_id(cx, socket, head) {
        exchange.trace().entry().set_id(id);
    }
    if cx.logs_requests() {
        let fields = (head.field("referer"), head.field("user-agent"));
        exchange.trace().entry().set_fields(fields.0, fields.1);
    }
    match RequestBody::new(head.is_http11, head.pairs(), cx.options().max_body) {
        // Until an application is asked: the unread rest decides whether the connection can be kept.
        Ok(body) => *exchange.upload() = Upload::unwanted(body, cx.now()),
        Err(error) => {
            exchange.refuse_body(cx, socket, error.into());
            return 0;
        }
    }
    if *head.target == *b"*" {
        exchange.answer(cx, socket, 204, &[], OwnBody::None);
        return 0;
    }
    respond(exchange, cx, socket, head, Some(following))
}

/// The ID that the request came with, if it came from a trusted proxy. Anybody else could make their requests look like
/// those of others.
fn given_id<'b>(cx: &Context, socket: &Socket, head: &RequestHead<'_, 'b>) -> Option<&'b str> {
    let id = head.field(REQUEST_ID)?;
    let ends = socket.ends();
    let is_trusted = ends.is_known && cx.options().trusts(ends.client);
    request_id::valid(id).filter(|_| is_trusted)
}

/// Responds with what the application named: what is at another path of the site, or a file.
pub(crate) fn follow(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    to: Elsewhere,
) {
    let raw = exchange.take_head();
    let mut space = FieldSpace::new();
    match head::parse(&raw, head_limits(cx), &mut space) {
        Ok(head) => match to {
            Elsewhere::Path(target) => {
                respond(exchange, cx, socket, &head.redirected(target), None);
            }
            Elsewhere::File(named) => named_file::answer(exchange, cx, socket, head, &named),
        },
        // The limits stay, so this head is parsed as it was before.
        Err(refusal) => exchange.fail(cx, socket, refusal.status, refusal.why),
    }
    exchange.put_head_back(raw);
}

/// The limits of a head.
pub(crate) fn head_limits(cx: &Context) -> HeadLimits {
    let options = cx.options();
    HeadLimits {
        head: options.max_head,
        line: options.max_request_line,
        fields: options.max_fields,
    }
}

/// Responds with what is at the target. `following` are the bytes after the head; `None`: the request has no body of its
/// own. Returns how many of these bytes were used.
fn respond(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    following: Option<&[u8]>,
) -> usize {
    // Add pages of your own here, like the status page. This is also the place to restrict what applications are asked
    // for, for example to one path and those below it.
    if status_page::answer(exchange, cx, socket, head) {
        return 0;
    }
    if cx.sent_files().is_internal(&head.target) {
        exchange.fail(cx, socket, 404, NOTHING);
        return 0;
    }
    let client = || {
        let origin = Origin::of(cx, socket, head);
        origin.is_known(head).then(|| origin.client.ip()).flatten()
    };
    match cx.fpm_status(&head.target, client) {
        Ok(None) => {}
        Ok(Some(route)) => return serve(exchange, cx, socket, head, &route, following),
        Err(Denied) => {
            exchange.fail(cx, socket, 403, "access to this path is denied");
            return 0;
        }
    }
    let route = cx.resolve(&head.target);
    let Some(file) = FoundFile::of(&route.found) else {
        return serve(exchange, cx, socket, head, &route, following);
    };
    if file::answer(exchange, cx, socket, head, file, &GivenFields::default()) {
        return 0;
    }
    // The file has gone since it was looked up. If the next one is gone as well, there is none.
    let route = cx.resolve_anew(&head.target);
    serve(exchange, cx, socket, head, &route, following)
}

/// Serves what was found for the target. Returns how many of the bytes after the head were used.
fn serve(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    route: &Route,
    following: Option<&[u8]>,
) -> usize {
    match &route.found {
        Resolution::Script(_) if head.method == "TRACE" => {
            // The application does not see what TRACE is to show.
            exchange.refuse_method(cx, socket, ANY_METHOD);
        }
        Resolution::Script(script) => {
            exchange.set_application(route.application);
            let params = route.params.as_ref();
            let script = Called { script, params };
            return ask(exchange, cx, socket, head, script, following);
        }
        Resolution::StaticFile { .. } => {
            let given = GivenFields::default();
            let is_answered = FoundFile::of(&route.found)
                .is_some_and(|file| file::answer(exchange, cx, socket, head, file, &given));
            if !is_answered {
                exchange.fail(cx, socket, 404, NOTHING);
            }
        }
        Resolution::Redirect { location } => {
            let (content_type, text) = (TEXT, "");
            let body = OwnBody::Text { content_type, text };
            exchange.answer(cx, socket, 301, &[(b"Location", location.as_bytes())], body);
        }
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
        _ => {
            if cx.is_closed(&head.target) {
                let what = "the user of this proxy may not enter a directory of the path: permit it, or run the proxy as its owner";
                exchange.report(cx, socket, format_args!("answered with 404: {what}"));
            }
            exchange.fail(cx, socket, 404, NOTHING);
        }
    }
    0
}

const NOTHING: &str = "there is nothing here";

/// The script that is run.
#[derive(Clone, Copy)]
struct Called<'r> {
    script: &'r Script,
    /// Its parameters, if they are encoded already.
    params: Option<&'r SharedParams>,
}

/// Builds a FastCGI request and submits it, unless its body has to be collected first.
fn ask(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    script: Called<'_>,
    following: Option<&[u8]>,
) -> usize {
    let mut request = cx.fcgi().new_request(exchange.application());
    let content_length = following.and_then(|_| exchange.upload().content_length());
    let id = exchange.trace().id();
    if let Err(error) = write_params(cx, socket, head, script, id, content_length, &mut request) {
        exchange.fail(cx, socket, error.http_status(), &error.to_string());
        return 0;
    }
    let Some(following) = following else {
        exchange.submit(cx, socket, request);
        return 0;
    };
    let mut rest = following;
    let application = exchange.application();
    let upload = exchange.upload();
    if let Some(body) = upload.take_whole(cx.budget(), &mut rest) {
        request.body = body;
        exchange.submit(cx, socket, request);
    } else if let Some(len) = upload.len().filter(|len| !cx.collects(*len)) {
        request.body = Body::pushed(Some(len));
        upload.push();
        exchange.submit(cx, socket, request);
    } else {
        upload.collect(cx.budget(), application, request);
    }
    if rest.is_empty()
        && let Some(interim) = exchange.upload().take_continue()
    {
        socket.tail(cx.buffers()).extend_from_slice(interim);
    }
    following.len() - rest.len()
}

fn write_params(
    cx: &Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
    script: Called<'_>,
    id: &str,
    content_length: Option<u64>,
    request: &mut Request,
) -> Result<(), EnvError> {
    let protocol: &[u8] = match head.is_http11 {
        true => b"HTTP/1.1",
        false => b"HTTP/1.0",
    };
    let origin = Origin::of(cx, socket, head);
    let constants = cx.constants();
    if origin.is_of(socket.ends()) {
        let shared = socket.params(|ends| constants.of_connection(ends));
        request.params.set_shared(shared);
    } else {
        request.params.set_shared(constants.shared());
        origin.write_to(request);
    }
    constants.push_id(&mut request.params, id);
    let mut rules = FieldRules::default();
    rules.pass_authorization = cx.options().pass_authorization;
    rules.pass_underscores = cx.options().underscores;
    let fields = origin.fields(head);
    let mut env = Env::new(head.method.as_bytes(), &head.target, fields, script.script);
    env.script_params = script.params;
    // A declared length of 0 is passed on, too. That of a collected body is added when it is submitted.
    env.content_length = content_length;
    env.server = socket.ends().server;
    env.remote = match origin.client {
        ClientAddress::Ip { ip, port } => port.map(|port| SocketAddr::new(ip, port)),
        ClientAddress::Unix => None,
    };
    env.with_protocol(protocol)
        .with_rules(rules)
        .with_https(origin.is_secure)
        .write_to(&mut request.params)
}
