//! Which connections are served: at an address with the PROXY protocol, those of trusted proxies; of each client
//! address, a limited number.

use std::io::{Read, Write};

use super::net::client_address::ClientAddress;
use super::net::listener::Accepted;
use super::site::addresses::Place;
use super::site::context::Context;

/// A connection that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotTrusted,
    TooMany,
}

/// Whether a new connection is served. With the place of its address, if that is known and limited.
///
/// # Errors
/// Why it is not served. This is logged.
pub(crate) fn admit(cx: &mut Context, accepted: &Accepted) -> Result<Option<Place>, Refused> {
    let client = accepted.ends.client;
    if !accepted.expects_proxy_header {
        return place(cx, client);
    }
    // The header says who the client is.
    if cx.options().trusts(client) {
        return Ok(None);
    }
    cx.log_problem(format_args!(
        "a connection of {client} is refused: it is no --trusted-proxy, so it may not use the PROXY protocol"
    ));
    Err(Refused::NotTrusted)
}

/// The place of a client, if the connections of its address are limited.
///
/// # Errors
/// The address has as many connections as it may have. This is logged from time to time.
pub(crate) fn place(cx: &mut Context, client: ClientAddress) -> Result<Option<Place>, Refused> {
    let (now, most) = (cx.now(), cx.options().max_per_address);
    let Some(ip) = client.ip() else {
        return Ok(None);
    };
    if most == 0 || cx.options().trusts(client) {
        return Ok(None);
    }
    match cx.addresses().take(ip, most, now) {
        Ok(place) => Ok(Some(place)),
        Err(too_many) => {
            if let Some(refused) = too_many.to_report {
                cx.log_problem(format_args!(
                    "a connection of {client} is refused: its address has {most} (--max-per-address). Refused so far: {refused}"
                ));
            }
            Err(Refused::TooMany)
        }
    }
}

/// Closes a connection that is not served. The client gets a response if that costs nothing: one write into the empty
/// buffer of its socket, and one read, because unread bytes would destroy the response.
pub(crate) fn turn_away(mut accepted: Accepted, refused: Refused, scratch: &mut [u8]) {
    if refused == Refused::TooMany {
        let _ = accepted.stream.write(RESPONSE);
        let _ = accepted.stream.shut_down();
        let _ = accepted.stream.read(scratch);
    }
}

const RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
Content-Type: text/plain; charset=utf-8\r\nContent-Length: 63\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
503 Service Unavailable: your address has too many connections\n";
