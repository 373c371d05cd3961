//! `/-/status`: what all loops together are doing, as text and as JSON.
//!
//! Only for clients on this machine. Behind another proxy on this machine every client looks like one: make that proxy
//! deny the path.

use super::error_page::TEXT;
use super::exchange::Exchange;
use super::http::head::RequestHead;
use super::net::socket::Socket;
use super::response::OwnBody;
use super::site::context::Context;

/// Responds with the status page if a client on this machine asks for it. Otherwise returns false.
pub(crate) fn answer(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
) -> bool {
    let as_json = match &*head.target {
        b"/-/status" => false,
        b"/-/status.json" => true,
        _ => return false,
    };
    if !cx.has_status_page() || !socket.client().is_loopback() {
        return false;
    }
    if !matches!(head.method, "GET" | "HEAD") {
        exchange.fail(cx, socket, 405, "the status page accepts only GET and HEAD");
        return true;
    }
    let text = &cx.status(as_json);
    let content_type = if as_json { "application/json" } else { TEXT };
    let body = OwnBody::Text { content_type, text };
    let fields: &[(&[u8], &[u8])] = &[(b"Cache-Control", b"no-store")];
    exchange.answer(cx, socket, 200, fields, body);
    true
}
