//! Parsers for the values of options. An error says what the option expects.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use mio_fcgi::cgi::normalized_path;
use mio_fcgi::{Address, Multiplex};

use super::command_line;

pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let addresses = text.to_socket_addrs().map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => "expects HOST:PORT, unix:/PATH or systemd".to_owned(),
        _ => error.to_string(),
    });
    let first = addresses?.next();
    first.ok_or_else(|| "the name has no address".to_owned())
}

/// An address that a connection can be made to.
pub(crate) fn upstream(text: &str) -> Result<Address, String> {
    let address: Address = text.parse().map_err(|error| format!("{error}"))?;
    let port = match &address {
        Address::Tcp(address) => Some(address.port()),
        Address::Host { port, .. } => Some(*port),
        _ => None,
    };
    match port {
        Some(0) => Err("port 0 cannot be connected to".to_owned()),
        _ => Ok(address),
    }
}

pub(crate) fn file_name(text: &str) -> Result<String, &'static str> {
    if matches!(text, "" | "." | "..") || text.contains('/') {
        return Err("expects a file's name");
    }
    Ok(text.to_owned())
}

pub(crate) fn path(text: &str) -> Result<String, &'static str> {
    match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err("expects a path such as /index.php"),
    }
}

/// A prefix of paths, as they are after decoding, and a directory.
pub(crate) fn internal(text: &str) -> Result<(Vec<u8>, PathBuf), &'static str> {
    let expected = "expects /PREFIX=DIR, such as /protected=/srv/files";
    let (prefix, directory) = text.split_once('=').ok_or(expected)?;
    let prefix = normalized_path(prefix).map_err(|_| expected)?;
    if prefix == b"/" || directory.is_empty() {
        return Err(expected);
    }
    Ok((prefix, directory.into()))
}

/// The end of a script's name. Empty: any name can be a script.
pub(crate) fn extension(text: &str) -> Result<String, &'static str> {
    let is_extension = text.starts_with('.') && !text.contains('/');
    if text.is_empty() || is_extension {
        return Ok(text.to_owned());
    }
    Err("expects a dot and the end of a script's name, such as .cgi, or ''")
}

/// A parameter: a name without blanks, and a value without control characters.
pub(crate) fn param(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = command_line::pair(text)?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name || value.contains(char::is_control) {
        return Err("expects NAME=VALUE, no blank in NAME and no control character");
    }
    Ok((name, value))
}

pub(crate) fn multiplex(text: &str) -> Result<Multiplex, &'static str> {
    let expected = "expects auto, on, off, or on:N with N from 1 to 65535";
    match text {
        "auto" => Ok(Multiplex::Auto),
        "on" => {
            let max = Multiplex::MAX_SHARED;
            Ok(Multiplex::On { max })
        }
        "off" => Ok(Multiplex::Off),
        _ => {
            let number = text.strip_prefix("on:").ok_or(expected)?;
            // A connection has no more request IDs.
            let max: NonZeroU16 = number.parse().map_err(|_| expected)?;
            let max = u32::from(max.get());
            Ok(Multiplex::On { max })
        }
    }
}

pub(crate) fn bytes(text: &str) -> Result<u64, &'static str> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let count = digits.parse::<u64>().ok();
    count
        .and_then(|count| count.checked_mul(unit))
        .ok_or("expects a size such as 1048576, 512k or 8m")
}

/// The longest body that is collected.
pub(crate) fn buffer_request(text: &str) -> Result<u64, &'static str> {
    match text {
        "on" => Ok(u64::MAX),
        "off" => Ok(0),
        _ => bytes(text).map_err(|_| "expects on, off or a size such as 512k or 8m"),
    }
}

/// A size that the buffer for one read of a client has room for.
pub(crate) fn head_bytes(text: &str) -> Result<usize, &'static str> {
    let size = bytes(text).ok().and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| (100..=64 * 1024).contains(size));
    size.ok_or("expects a size from 100 to 64k")
}

/// Seconds, or 0 for none.
pub(crate) fn seconds_or_none(text: &str) -> Result<Duration, &'static str> {
    match text {
        "0" => Ok(Duration::ZERO),
        _ => command_line::seconds(text),
    }
}
