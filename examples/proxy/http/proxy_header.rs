//! The header of the PROXY protocol, versions 1 and 2, at the start of a connection from a proxy in front. The
//! specification is `doc/proxy-protocol.txt` of HAProxy.

use std::net::{IpAddr, SocketAddr};

/// What is at the start of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Part of a header.
    Part,
    /// A header of `len` bytes.
    Header { len: usize, client: Client },
}

/// What a header says of the client's connection to the proxy in front.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// Nothing: the ends of this connection count. The proxy in front checks whether anyone serves (LOCAL), or it does
    /// not know its client (UNKNOWN).
    Unknown,
    Ip {
        source: SocketAddr,
        destination: SocketAddr,
        is_secure: bool,
    },
    /// Its client came by a Unix socket.
    Unix { is_secure: bool },
}

/// Finds a header in the bytes of a connection. Call it again with all of them when there are more.
///
/// # Errors
/// Bytes that no header begins with, and why.
pub(crate) fn find(bytes: &[u8]) -> Result<Found, &'static str> {
    if let Some(rest) = after_prefix(bytes, SIGNATURE) {
        return find_binary(rest);
    }
    match after_prefix(bytes, b"PROXY ") {
        Some(b"") => Ok(Found::Part),
        Some(_) => find_text(bytes),
        None => Err("it does not begin with a header of the PROXY protocol"),
    }
}

/// The bytes after a prefix; none if only part of it has arrived.
fn after_prefix<'b>(bytes: &'b [u8], prefix: &[u8]) -> Option<&'b [u8]> {
    if prefix.starts_with(bytes) {
        return Some(b"");
    }
    bytes.strip_prefix(prefix)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 49152 443` and a line end.
fn find_text(bytes: &[u8]) -> Result<Found, &'static str> {
    let within = &bytes[..bytes.len().min(MAX_TEXT)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        return match within.len() {
            MAX_TEXT => Err("the line of the PROXY protocol is longer than 107 bytes"),
            _ => Ok(Found::Part),
        };
    };
    let malformed = "the line of the PROXY protocol is malformed";
    let line = std::str::from_utf8(&within[..end]).ok();
    let line = line.and_then(|line| line.strip_suffix('\r'));
    let words: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    let client = match words[..] {
        ["PROXY", "UNKNOWN", ..] => Client::Unknown,
        [
            "PROXY",
            family @ ("TCP4" | "TCP6"),
            source,
            destination,
            from,
            to,
        ] => {
            let address = |ip: &str, port: &str| {
                let ip: IpAddr = ip.parse().ok()?;
                let is_right = ip.is_ipv4() == (family == "TCP4");
                is_right.then_some(SocketAddr::new(ip, number(port)?))
            };
            Client::Ip {
                source: address(source, from).ok_or(malformed)?,
                destination: address(destination, to).ok_or(malformed)?,
                is_secure: false,
            }
        }
        _ => return Err(malformed),
    };
    Ok(Found::Header {
        len: end + 1,
        client,
    })
}

/// A port in its only form: no sign, no leading zero.
fn number(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

/// Version 2. `rest` are the bytes after the signature: a byte each for version and command, and for family and
/// protocol, two for the length of what follows: the addresses, then type-length-value triples.
fn find_binary(rest: &[u8]) -> Result<Found, &'static str> {
    let &[command, family, high, low, ref rest @ ..] = rest else {
        return Ok(Found::Part);
    };
    if !matches!(command, 0x20 | 0x21) {
        return Err("the version or the command of the PROXY protocol is unknown");
    }
    let len = usize::from(u16::from_be_bytes([high, low]));
    let whole = SIGNATURE.len() + 4 + len;
    if whole > MAX_BINARY {
        return Err("the header of the PROXY protocol is longer than 4096 bytes");
    }
    let Some(content) = rest.get(..len) else {
        return Ok(Found::Part);
    };
    let client = match (command, family) {
        (0x20, _) | (_, 0x00) => Client::Unknown,
        (_, 0x11) => ip_client::<4>(content)?,
        (_, 0x21) => ip_client::<16>(content)?,
        (_, 0x31) => {
            let triples = content.get(216..).ok_or(TOO_SHORT)?;
            let is_secure = is_secure(triples)?;
            Client::Unix { is_secure }
        }
        _ => return Err("the PROXY protocol announces something else than a stream"),
    };
    Ok(Found::Header { len: whole, client })
}

/// Two addresses of `N` bytes, two ports, triples.
fn ip_client<const N: usize>(content: &[u8]) -> Result<Client, &'static str>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = content.split_first_chunk::<N>().ok_or(TOO_SHORT)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(TOO_SHORT)?;
    let (from, rest) = rest.split_first_chunk::<2>().ok_or(TOO_SHORT)?;
    let (to, triples) = rest.split_first_chunk::<2>().ok_or(TOO_SHORT)?;
    let address = |ip: [u8; N], port| SocketAddr::new(ip.into(), u16::from_be_bytes(port));
    Ok(Client::Ip {
        source: address(*source, *from),
        destination: address(*destination, *to),
        is_secure: is_secure(triples)?,
    })
}

/// Whether a triple says that the client uses TLS. All other triples are skipped.
fn is_secure(mut triples: &[u8]) -> Result<bool, &'static str> {
    let mut is_secure = false;
    while !triples.is_empty() {
        let &[kind, high, low, ref rest @ ..] = triples else {
            return Err(TOO_SHORT);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (value, following) = rest.split_at_checked(len).ok_or(TOO_SHORT)?;
        is_secure |= kind == TYPE_SSL && value.first().is_some_and(|bits| bits & CLIENT_SSL != 0);
        triples = following;
    }
    Ok(is_secure)
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// PP2_TYPE_SSL, and its bit PP2_CLIENT_SSL.
const TYPE_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;
const TOO_SHORT: &str = "the header of the PROXY protocol is shorter than what is in it";
/// The longest line of version 1.
const MAX_TEXT: usize = 107;
/// The longest header of version 2 that is read; nginx has the same limit.
pub(crate) const MAX_BINARY: usize = 4096;
