//! What proxies in front say of a request's client: `Forwarded` (RFC 7239), or `X-Forwarded-For` and its relatives.
//!
//! # What is believed
//! Each proxy appends the address that it got the request from. So the list is read from its right end, which was
//! written by the proxy that sent the request. An address of a trusted proxy is passed over. The walk ends at the first
//! other address, which is the client's; what is left of it is the client's own invention. It also ends at an entry that
//! is malformed or names no address (`unknown`, `_hidden`): the address before it then counts. nginx (`real_ip_recursive
//! on`) and Caddy (`trusted_proxies_strict`) do the same.
//!
//! Scheme and host are those that the proxy at the end of the walk added: in its element of `Forwarded`, or at the same
//! distance from the right in `X-Forwarded-Proto`, `-Host` and `-Port`; the first entry if these have fewer. A malformed
//! one is ignored.
//!
//! If both kinds are there, `Forwarded` is ignored: most proxies write the other kind, and pass on a `Forwarded` that
//! their client has invented.

use std::net::{IpAddr, Ipv6Addr};

use httparse::Header;
use mio_fcgi::cgi;

/// What trusted proxies say of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded<'b> {
    /// The client's address, and its port if that is known.
    pub(crate) client: Option<(IpAddr, Option<u16>)>,
    /// Whether the client uses TLS.
    pub(crate) is_secure: Option<bool>,
    /// The `Host` that the client has sent.
    pub(crate) host: Option<&'b str>,
    /// The port that the client has connected to.
    pub(crate) port: Option<u16>,
}

impl<'b> Forwarded<'b> {
    /// Reads the fields of a request from a trusted proxy.
    pub(crate) fn read(fields: &[Header<'b>], trusts: impl Fn(IpAddr) -> bool) -> Self {
        let is_other = |field: &Header<'_>| OTHERS.iter().any(|name| is_named(field, name));
        match fields.iter().any(is_other) {
            true => Self::read_others(fields, trusts),
            false => Self::read_standard(fields, trusts),
        }
    }

    /// Reads `Forwarded`.
    fn read_standard(fields: &[Header<'b>], trusts: impl Fn(IpAddr) -> bool) -> Self {
        let mut found = Self::default();
        for entry in entries(fields, "Forwarded") {
            let Some(element) = Element::parse(entry) else {
                return found;
            };
            found.is_secure = element.scheme.and_then(is_https);
            found.host = element.host.and_then(valid_host);
            let Some(client) = element.client.and_then(node) else {
                return found;
            };
            found.client = Some(client);
            if !trusts(client.0) {
                return found;
            }
        }
        found
    }

    /// Reads `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    fn read_others(fields: &[Header<'b>], trusts: impl Fn(IpAddr) -> bool) -> Self {
        let mut client = None;
        let mut distance = 0;
        for entry in entries(fields, CLIENT) {
            distance += 1;
            let Some(found) = node(entry) else {
                break;
            };
            client = Some(found);
            if !trusts(found.0) {
                break;
            }
        }
        let at_distance = |name| entries(fields, name).take(distance.max(1)).last();
        Self {
            client,
            is_secure: at_distance(SCHEME).and_then(is_https),
            host: at_distance(HOST).and_then(valid_host),
            port: at_distance(PORT).and_then(|port| port.parse().ok().filter(|port| *port > 0)),
        }
    }
}

/// Whether a field is one of those that [`Forwarded::read`] reads.
pub(crate) fn is_read(name: &[u8]) -> bool {
    is_like(name, "Forwarded") || OTHERS.iter().any(|other| is_like(name, other))
}

/// Whether a field says something of a client that only a proxy in front can know.
pub(crate) fn is_claim(name: &[u8]) -> bool {
    let prefix = "X-Forwarded-";
    let start = name.get(..prefix.len());
    is_like(name, "Forwarded")
        || is_like(name, "X-Real-IP")
        || start.is_some_and(|start| is_like(start, prefix))
}

/// Whether two names become the same parameter, or would if names with `_` were passed on.
fn is_like(name: &[u8], other: &str) -> bool {
    let like = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    name.len() == other.len() && name.iter().map(like).eq(other.bytes().map(|it| like(&it)))
}

fn is_named(field: &Header<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

/// The entries of a field that is a list, from the last to the first. Empty ones are left out (RFC 9110, 5.6.1).
fn entries<'b>(fields: &[Header<'b>], name: &str) -> impl Iterator<Item = &'b str> {
    let lines = fields.iter().rev().filter(move |it| is_named(it, name));
    let texts = lines.map(|field| std::str::from_utf8(field.value).unwrap_or(MALFORMED));
    let entries = texts.flat_map(|text| Parts::new(text, b','));
    entries.map(str::trim_ascii).filter(|it| !it.is_empty())
}

/// The parts of a text between separators, from the last to the first. A separator in a quoted string is part of it.
///
/// From the right, what a trusted proxy has appended is read correctly whatever is before it, such as a quote that is
/// never closed.
struct Parts<'b> {
    rest: Option<&'b str>,
    separator: u8,
}

impl<'b> Parts<'b> {
    fn new(text: &'b str, separator: u8) -> Self {
        Self {
            rest: Some(text),
            separator,
        }
    }
}

impl<'b> Iterator for Parts<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        let rest = self.rest?;
        let bytes = rest.as_bytes();
        let mut is_quoted = false;
        for at in (0..bytes.len()).rev() {
            if bytes[at] == b'"' {
                let escapes = bytes[..at].iter().rev().take_while(|it| **it == b'\\');
                is_quoted ^= escapes.count() % 2 == 0;
            } else if bytes[at] == self.separator && !is_quoted {
                self.rest = Some(&rest[..at]);
                return Some(&rest[at + 1..]);
            }
        }
        self.rest.take()
    }
}

/// An element of `Forwarded`: `for=192.0.2.1;proto=https`.
#[derive(Default)]
struct Element<'b> {
    client: Option<&'b str>,
    scheme: Option<&'b str>,
    host: Option<&'b str>,
}

impl<'b> Element<'b> {
    /// `None`: it is malformed. Unquoted values may have colons and brackets in them, as some proxies write them.
    fn parse(text: &'b str) -> Option<Self> {
        let mut element = Self::default();
        for pair in Parts::new(text, b';') {
            let (name, value) = pair.trim_ascii().split_once('=')?;
            let value = match value.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None => value,
            };
            let place = match () {
                () if name.eq_ignore_ascii_case("for") => &mut element.client,
                () if name.eq_ignore_ascii_case("proto") => &mut element.scheme,
                () if name.eq_ignore_ascii_case("host") => &mut element.host,
                () => continue,
            };
            // No address and no host needs an escape.
            let is_odd = value.contains(['"', '\\', ' ', '\t']);
            if place.replace(value).is_some() || is_odd {
                return None;
            }
        }
        Some(element)
    }
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`. The port may be an
/// obfuscated one, which is left out (RFC 7239, 6). `None`: no address, such as `unknown` and `_hidden`.
fn node(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip.to_canonical(), None));
    }
    let (ip, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']')?;
            (ip.parse::<Ipv6Addr>().ok()?.to_canonical(), port)
        }
        None => {
            let colon = text.find(':')?;
            let (ip, port) = text.split_at(colon);
            (IpAddr::V4(ip.parse().ok()?), port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(hidden) if hidden.starts_with('_') => None,
        Some(port) => Some(port.parse().ok()?),
        None if port.is_empty() => None,
        None => return None,
    };
    Some((ip, port))
}

fn is_https(scheme: &str) -> Option<bool> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("https") => Some(true),
        _ if scheme.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

fn valid_host(host: &str) -> Option<&str> {
    (!host.is_empty() && cgi::is_valid_host(host)).then_some(host)
}

const CLIENT: &str = "X-Forwarded-For";
const SCHEME: &str = "X-Forwarded-Proto";
const HOST: &str = "X-Forwarded-Host";
const PORT: &str = "X-Forwarded-Port";
const OTHERS: [&str; 4] = [CLIENT, SCHEME, HOST, PORT];

/// Stands for a value that is not text.
const MALFORMED: &str = "?";
