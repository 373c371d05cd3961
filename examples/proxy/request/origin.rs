//! Where a request comes from: from its connection, or, if a trusted proxy sent it, from what that proxy says.

use mio_fcgi::Request;

use super::http::forwarded::{self, Forwarded};
use super::http::head::RequestHead;
use super::net::client_address::{ClientAddress, Ends};
use super::net::socket::Socket;
use super::site::context::Context;

/// Where a request comes from.
#[derive(Debug)]
pub(crate) struct Origin<'b> {
    pub(crate) client: ClientAddress,
    /// A trusted proxy says who the client is.
    is_named: bool,
    /// The connection says who the client is.
    is_end_known: bool,
    pub(crate) is_secure: bool,
    /// Replaces `Host`.
    host: Option<&'b str>,
    /// The port that the client has connected to, if that is not the port of the connection.
    port: Option<u16>,
    /// A trusted proxy has sent the request.
    is_trusted: bool,
}

impl<'b> Origin<'b> {
    pub(crate) fn of(cx: &Context, socket: &Socket, head: &RequestHead<'_, 'b>) -> Self {
        let (ends, options) = (socket.ends(), cx.options());
        // A client that the proxy in front does not know may have sent any field.
        if !ends.is_known || !options.trusts(ends.client) {
            return Self {
                client: ends.client,
                is_named: false,
                is_end_known: ends.is_known,
                is_secure: ends.is_secure,
                host: None,
                port: None,
                is_trusted: false,
            };
        }
        let said = Forwarded::read(head.fields, |ip| {
            options.trusts(ClientAddress::Ip { ip, port: None })
        });
        let client = said.client.map(|(ip, port)| ClientAddress::Ip { ip, port });
        let is_secure = said.is_secure.unwrap_or(ends.is_secure);
        let by_scheme = if is_secure { 443 } else { 80 };
        let is_elsewhere = said.is_secure.is_some() || said.host.is_some();
        let in_host = || port_of(said.host.or_else(|| head.host())?);
        let by_host = || is_elsewhere.then(|| in_host().unwrap_or(by_scheme));
        Self {
            client: client.unwrap_or(ends.client),
            is_named: client.is_some(),
            is_end_known: true,
            is_secure,
            host: said.host,
            port: said.port.or_else(by_host),
            is_trusted: true,
        }
    }

    /// False: a proxy in front has passed the request on, and nobody who is believed says for whom.
    pub(crate) fn is_known(&self, head: &RequestHead<'_, '_>) -> bool {
        self.is_named || (self.is_end_known && !is_forwarded(head))
    }

    /// The fields for the application, without those that only a trusted proxy may send: from such a proxy, without
    /// those that were read; from others, without any.
    pub(crate) fn fields<'h>(
        &self,
        head: &RequestHead<'h, 'b>,
    ) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone + use<'h, 'b> {
        let is_hidden = match self.is_trusted {
            true => forwarded::is_read,
            false => forwarded::is_claim,
        };
        // The fields are iterated several times, and few requests have one of these.
        let hides = head.pairs().any(|(name, _)| is_hidden(name));
        head.fields_for_application(self.host, hides.then_some(is_hidden))
    }

    /// Whether this is what the ends of the connection say.
    pub(crate) fn is_of(&self, ends: Ends) -> bool {
        self.client == ends.client && self.port.is_none()
    }

    /// Writes the parameters that cannot be derived from an address with a port.
    pub(crate) fn write_to(&self, request: &mut Request) {
        let params = &mut request.params;
        if let Some(port) = self.port
            && params.get("SERVER_PORT").is_none()
        {
            params.push("SERVER_PORT", port.to_string());
        }
        let has_port = matches!(self.client, ClientAddress::Ip { port: Some(_), .. });
        if !has_port && params.get("REMOTE_ADDR").is_none() {
            params.push("REMOTE_ADDR", self.client.to_string());
        }
    }
}

/// Whether a proxy in front has passed the request on, trusted or not.
pub(crate) fn is_forwarded(head: &RequestHead<'_, '_>) -> bool {
    head.pairs()
        .any(|(name, _)| forwarded::is_claim(name) || name.eq_ignore_ascii_case(b"via"))
}

/// The port in a valid `Host`.
fn port_of(host: &str) -> Option<u16> {
    let (_, port) = host.rsplit_once(':')?;
    port.parse().ok().filter(|port| *port > 0)
}
