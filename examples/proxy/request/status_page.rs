//! `/-/status`, `/-/status.json` and `/-/metrics`: what all loops together are doing, as a page, as JSON and for
//! Prometheus.
//!
//! Only for clients on this machine and those of `--status-from`, and not through another proxy: behind one on this
//! machine, every client could look like one. A browser on this machine may ask for another site's page: only names and
//! addresses of this machine are served.

use std::net::{IpAddr, SocketAddr};

use super::error_page::READ_ONLY;
use super::exchange::Exchange;
use super::http::head::RequestHead;
use super::net::socket::Socket;
use super::origin;
use super::response::OwnBody;
use super::site::context::Context;
use super::status::{openmetrics, page};

/// Responds with a status page if the client may see it. Otherwise returns false.
pub(crate) fn answer(
    exchange: &mut Exchange,
    cx: &mut Context,
    socket: &mut Socket,
    head: &RequestHead<'_, '_>,
) -> bool {
    let page = match &*head.target {
        b"/-/status" => Page::Html,
        b"/-/status.json" => Page::Json,
        b"/-/metrics" => Page::Metrics,
        _ => return false,
    };
    let is_direct = socket.ends().is_known && !origin::is_forwarded(head);
    if !is_direct || !cx.options().shows_status_to(socket.client()) {
        return false;
    }
    let authority = head.authority.map(str::as_bytes);
    let host = authority.or_else(|| head.field("host"));
    if !host.is_none_or(|host| is_of_this_machine(host, socket.ends().server)) {
        let why = "the status page is for Host: localhost, or an address of this machine";
        exchange.fail(cx, socket, 403, why);
        return true;
    }
    if !matches!(head.method, "GET" | "HEAD") {
        exchange.refuse_method(cx, socket, READ_ONLY);
        return true;
    }
    let now = cx.now();
    let (content_type, (text, policy)) = match page {
        Page::Html => ("text/html; charset=utf-8", page::page()),
        Page::Json => ("application/json", (cx.status().json(now), nothing())),
        Page::Metrics => {
            let text = cx.status().openmetrics(now);
            (openmetrics::CONTENT_TYPE, (text, nothing()))
        }
    };
    let text = &text;
    let body = OwnBody::Text { content_type, text };
    let fields: &[(&[u8], &[u8])] = &[
        (b"Cache-Control", b"no-store"),
        (b"Content-Security-Policy", policy.as_bytes()),
        (b"X-Content-Type-Options", b"nosniff"),
    ];
    exchange.answer(cx, socket, 200, fields, body);
    true
}

enum Page {
    Html,
    Json,
    Metrics,
}

/// The policy of a document that shows nothing by itself.
fn nothing() -> String {
    "default-src 'none'".to_owned()
}

/// Whether a host, with or without a port, is a name of this machine. Any other name can have been made to lead here by
/// the site that a browser shows (DNS rebinding). `local` is the address that the client connected to.
fn is_of_this_machine(host: &[u8], local: Option<SocketAddr>) -> bool {
    let Ok(host) = std::str::from_utf8(host.trim_ascii()) else {
        return false;
    };
    let (name, _) = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').unwrap_or((bracketed, "")),
        None => host.split_once(':').unwrap_or((host, "")),
    };
    if let Ok(ip) = name.parse::<IpAddr>() {
        let local = local.map(|local| local.ip().to_canonical());
        return ip.is_loopback() || local == Some(ip.to_canonical());
    }
    // No browser leaves the host out.
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.is_empty() || name == "localhost" || name.ends_with(".localhost")
}
