//! The start of a connection at an address with the PROXY protocol: the header that says who the client is.

use super::entrance;
use super::http::proxy_header::{self, Client, Found};
use super::net::client_address::{ClientAddress, Ends};
use super::net::socket::Socket;
use super::site::addresses::Place;
use super::site::context::Context;

/// What became of the bytes at the start of a connection.
#[derive(Debug)]
pub(crate) enum Preamble {
    /// Part of a header.
    Part,
    /// The header was used, `used` bytes. With the place of the client's address, if that is limited.
    Done {
        used: usize,
        place: Option<Place>,
    },
    /// The client's address has too many connections.
    TooMany,
    Malformed,
}

/// Uses the header at the start of a connection.
pub(crate) fn take(cx: &mut Context, socket: &mut Socket, bytes: &[u8]) -> Preamble {
    let (used, client) = match proxy_header::find(bytes) {
        Ok(Found::Part) => return Preamble::Part,
        Ok(Found::Header { len, client }) => (len, client),
        Err(why) => {
            close(cx, socket, why);
            return Preamble::Malformed;
        }
    };
    socket.set_ends(ends(client, socket.ends()));
    match entrance::place(cx, socket.client()) {
        Ok(place) => Preamble::Done { used, place },
        Err(_) => Preamble::TooMany,
    }
}

/// Logs why a connection is closed.
pub(crate) fn close(cx: &mut Context, socket: &Socket, why: &str) {
    let client = socket.client();
    cx.log_problem(format_args!("a connection of {client} is closed: {why}"));
}

/// The ends of the client's connection to the proxy in front; if that does not know them, those of its own connection.
fn ends(client: Client, own: Ends) -> Ends {
    match client {
        Client::Unknown => Ends {
            is_known: false,
            ..own
        },
        Client::Ip {
            source,
            destination,
            is_secure,
        } => Ends {
            client: source.into(),
            is_known: true,
            server: Some(destination),
            is_secure,
        },
        Client::Unix { is_secure } => Ends {
            client: ClientAddress::Unix,
            is_known: false,
            server: None,
            is_secure,
        },
    }
}
