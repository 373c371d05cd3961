//! The address of a FastCGI application: parsed, displayed, and handed to the driver.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// The address of a FastCGI application.
///
/// | text               | meaning                                                     |
/// |--------------------|-------------------------------------------------------------|
/// | `unix:/run/x.sock` | Unix socket at a path                                       |
/// | `unix:@name`       | Unix socket in the abstract namespace (Linux)               |
/// | `unix:./@name`     | Unix socket at a path that begins with `@`                  |
/// | `127.0.0.1:9000`   | TCP over IPv4                                               |
/// | `[::1]:9000`       | TCP over IPv6                                               |
/// | `php.local:9000`   | TCP to a host name, which a client [resolves](Self::resolve) |
///
/// ```
/// use mio_fcgi::Address;
/// let address: Address = "unix:/run/php/php8.2-fpm.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/php/php8.2-fpm.sock");
/// assert!("localhost".parse::<Address>().is_err(), "a TCP address needs a port");
/// # Ok::<(), mio_fcgi::AddressError>(())
/// ```
///
/// Socket addresses and paths convert with `into`. The conversion does not check a path:
/// [`Config::validate`](crate::Config::validate) reports a path that is empty, too long or contains a NUL.
///
/// ```
/// use std::net::Ipv4Addr;
/// use std::path::Path;
/// use mio_fcgi::Config;
///
/// let tcp = Config::new((Ipv4Addr::LOCALHOST, 9000).into());
/// let unix = Config::new(Path::new("/run/php").join("php8.2-fpm.sock").into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// TCP to a numeric address.
    Tcp(SocketAddr),
    /// TCP to a host name. An [`Engine`](crate::Engine) does not accept it, see [`Address::resolve`].
    Host {
        /// The host name, as written.
        name: String,
        /// The TCP port.
        port: u16,
    },
    /// A Unix socket at a path.
    Unix(PathBuf),
    /// A Unix socket in Linux's abstract namespace: its name, without the leading NUL.
    Abstract(String),
}

impl Address {
    /// Resolves a [`Host`](Self::Host) to its numeric addresses. Returns any other address unchanged.
    ///
    /// **Blocks** on the system's resolver, for host names only. Call it before the loop starts, and again when the
    /// addresses of the name may have changed.
    ///
    /// # Errors
    /// The error of the resolver; [`io::ErrorKind::NotFound`] if it answered without an address.
    pub fn resolve(&self) -> io::Result<Vec<Self>> {
        let Self::Host { name, port } = self else {
            return Ok(vec![self.clone()]);
        };
        let found: Vec<Self> = (name.as_str(), *port)
            .to_socket_addrs()?
            .map(Self::Tcp)
            .collect();
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("the name {name} has no address"),
            ));
        }
        Ok(found)
    }

    /// Checks whether the system can use the address, whether it was parsed or built from its parts.
    pub(crate) fn check(&self) -> Result<(), AddressError> {
        let path = match self {
            Self::Tcp(_) | Self::Host { .. } => return Ok(()),
            Self::Unix(path) => path.as_os_str().as_encoded_bytes(),
            Self::Abstract(name) => name.as_bytes(),
        };
        if path.is_empty() {
            return Err(AddressError::Empty);
        }
        if matches!(self, Self::Unix(_)) && path.contains(&0) {
            return Err(AddressError::Nul);
        }
        if path.len() > MAX_SOCKET_PATH {
            return Err(AddressError::PathTooLong {
                len: path.len(),
                limit: MAX_SOCKET_PATH,
            });
        }
        Ok(())
    }
}

/// The most bytes of a path or an abstract name in the system's `sockaddr_un`, which has one more byte for the NUL.
const MAX_SOCKET_PATH: usize = if cfg!(any(
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
)) {
    103
} else {
    107
};

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = match text.strip_prefix("unix:") {
            Some(path) => match path.strip_prefix('@') {
                Some(name) => Self::Abstract(name.to_owned()),
                None => Self::Unix(PathBuf::from(without_escape(path))),
            },
            None => parse_tcp(text)?,
        };
        address.check()?;
        Ok(address)
    }
}

fn parse_tcp(text: &str) -> Result<Address, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Address::Tcp(address));
    }
    let host_error = |name: &str| AddressError::Host {
        name: name.to_owned(),
    };
    let missing_port = || AddressError::MissingPort {
        text: text.to_owned(),
    };
    // Without brackets, the end of an IPv6 address and the beginning of a port are ambiguous.
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(host_error(text));
    }
    let is_bracketed = text.starts_with('[');
    let (name, port) = if is_bracketed {
        let end = text.find(']').ok_or_else(|| host_error(text))? + 1;
        match (&text[..end], &text[end..]) {
            (_, "") => return Err(missing_port()),
            (name, rest) => (
                name,
                rest.strip_prefix(':').ok_or_else(|| host_error(text))?,
            ),
        }
    } else {
        text.rsplit_once(':').ok_or_else(missing_port)?
    };
    if port.is_empty() {
        return Err(missing_port());
    }
    // `parse` accepts "+80" as a number.
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let Some(port) = port.parse::<u16>().ok().filter(|_| is_number) else {
        return Err(AddressError::Port {
            port: port.to_owned(),
        });
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if is_bracketed || name.is_empty() || !name.chars().all(is_part) {
        return Err(host_error(name));
    }
    Ok(Address::Host {
        name: name.to_owned(),
        port,
    })
}

/// Whether a path could be mistaken for an abstract name. `Display` puts one more `./` before such a path.
fn needs_escape(path: &str) -> bool {
    path.trim_start_matches("./").starts_with('@')
}

/// Removes the `./` that `Display` has put before a path.
fn without_escape(path: &str) -> &str {
    let rest = path.strip_prefix("./");
    rest.filter(|rest| needs_escape(rest)).unwrap_or(path)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            // The case of a host name does not matter, that of the prefix `unix:` does.
            Self::Host { name, port } if name == "unix" => write!(f, "UNIX:{port}"),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Unix(path) if path.to_str().is_some_and(needs_escape) => {
                write!(f, "unix:./{}", path.display())
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Self::Tcp(address.into())
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Self {
        Self::Tcp(address.into())
    }
}

/// An IP address and a port.
impl<I: Into<std::net::IpAddr>> From<(I, u16)> for Address {
    fn from(address: (I, u16)) -> Self {
        Self::Tcp(address.into())
    }
}

/// The path of a Unix socket.
impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

/// The path of a Unix socket.
impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

/// The address of a Unix socket, such as the `local_addr` of a listener.
///
/// # Errors
/// [`AddressError::Unnamed`] for a socket without a path or name; [`AddressError::NotUtf8`] for an abstract name that
/// is not UTF-8.
#[cfg(unix)]
impl TryFrom<std::os::unix::net::SocketAddr> for Address {
    type Error = AddressError;

    fn try_from(address: std::os::unix::net::SocketAddr) -> Result<Self, AddressError> {
        if let Some(path) = address.as_pathname() {
            return Ok(Self::Unix(path.to_owned()));
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(&address) {
            let name = str::from_utf8(name).map_err(|_| AddressError::NotUtf8)?;
            return Ok(Self::Abstract(name.to_owned()));
        }
        Err(AddressError::Unnamed)
    }
}

/// Why a text or the address of a socket is not a valid [`Address`]. The caller has to change it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is empty, or has nothing after `unix:` or `unix:@`.
    #[error("empty address: write unix:/path, unix:@name, host:port or [v6]:port")]
    Empty,
    /// The path contains a NUL byte, which the system does not accept.
    #[error("the path of a Unix socket must not contain a NUL")]
    Nul,
    /// The path or abstract name of a Unix socket does not fit the system's address structure.
    #[error(
        "the path of a Unix socket is too long: {len} bytes, and this system takes at most {limit}"
    )]
    PathTooLong {
        /// The length of the path or name, in bytes.
        len: usize,
        /// The most bytes that the system accepts.
        limit: usize,
    },
    /// The Unix socket is bound to no path and no name.
    #[error("the Unix socket has no name: bind it to a path, or to an abstract name")]
    Unnamed,
    /// The abstract name is not UTF-8.
    #[error("the abstract name of the Unix socket is not UTF-8: choose one that is text")]
    NotUtf8,
    /// The TCP address has no port.
    #[error("'{text}' has no port: write host:port, or unix:/path for a Unix socket")]
    MissingPort {
        /// The address, as written.
        text: String,
    },
    /// The port is not a number of only digits, or is out of range.
    #[error("'{port}' is not a port: write a number between 0 and 65535")]
    Port {
        /// The text in place of the port.
        port: String,
    },
    /// The host is neither a name nor an address, or it is an IPv6 address without brackets.
    #[error("'{name}' is not a host: IPv6 addresses are written in brackets, [::1]:9000")]
    Host {
        /// The text in place of the host.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> AddressError {
        text.parse::<Address>().expect_err("not an address")
    }

    #[test]
    fn each_form_displays_as_it_was_written() {
        for text in [
            "unix:/run/a.sock",
            "unix:relative.sock",
            "unix:./dotted.sock",
            "unix:@name",
            "127.0.0.1:9000",
            "[::1]:9000",
            "php-fpm.local:9000",
        ] {
            let address: Address = text.parse().expect("a form from the table");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_displayed_parses_back_as_the_same_address() {
        let paths = [
            "@x", "./@x", "././@x", ".@x", "./x", "a/@x", "/@x", "80", ".",
        ];
        let mut addresses: Vec<Address> = paths
            .into_iter()
            .map(|path| Address::Unix(path.into()))
            .collect();
        addresses.extend(["@", "@x", "./@x"].map(|name| Address::Abstract(name.to_owned())));
        for address in addresses {
            let text = address.to_string();
            let again = text.parse::<Address>();
            assert_eq!(again.as_ref(), Ok(&address), "{text}");
        }
        let socket: Address = "unix:./@x".parse().expect("a path");
        assert_eq!(socket, Address::Unix("@x".into()));
    }

    #[test]
    fn a_host_that_is_called_unix_is_not_displayed_as_a_path() {
        let name = "unix".to_owned();
        let text = Address::Host { name, port: 80 }.to_string();
        let again: Address = text.parse().expect("a host and a port");
        assert!(
            matches!(again, Address::Host { name, port: 80 } if name.eq_ignore_ascii_case("unix"))
        );
    }

    #[test]
    fn a_port_is_digits_and_nothing_else() {
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            for port in [
                "+80", "-1", " 80", "80 ", "http", "65536", "0x50", "\u{661}",
            ] {
                let text = format!("{host}:{port}");
                let port = port.to_owned();
                assert_eq!(error(&text), AddressError::Port { port }, "{text}");
            }
        }
    }

    #[test]
    fn an_address_without_a_port_is_told_as_that() {
        for text in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "localhost:",
            "[::1]:",
            "php.local",
        ] {
            let text = text.to_owned();
            assert_eq!(error(&text), AddressError::MissingPort { text });
        }
    }

    #[test]
    fn what_is_no_host_is_told_whole() {
        for (text, name) in [
            ("::1", "::1"),
            ("::1:9000", "::1:9000"),
            (":9000", ""),
            ("a b:9000", "a b"),
            ("[::1:9000", "[::1:9000"),
            ("[::1]9000", "[::1]9000"),
            ("[name]:9000", "[name]"),
            ("[127.0.0.1]:9000", "[127.0.0.1]"),
            ("[]:9000", "[]"),
        ] {
            let name = name.to_owned();
            assert_eq!(error(text), AddressError::Host { name }, "{text}");
        }
    }

    #[test]
    fn what_is_no_path_of_a_socket_is_told() {
        assert_eq!(error(""), AddressError::Empty);
        assert_eq!(error("unix:"), AddressError::Empty);
        assert_eq!(error("unix:@"), AddressError::Empty);
        assert_eq!(error("unix:/a\0b"), AddressError::Nul);
    }

    #[test]
    fn the_length_of_a_path_or_name_is_limited_by_the_system() {
        let limit = MAX_SOCKET_PATH;
        let longest = "a".repeat(limit);
        for prefix in ["unix:", "unix:@"] {
            assert!(format!("{prefix}{longest}").parse::<Address>().is_ok());
            let len = limit + 1;
            let too_long = AddressError::PathTooLong { len, limit };
            assert_eq!(error(&format!("{prefix}{longest}a")), too_long);
        }
        // The limit counts bytes, not characters.
        let len = 2 * limit;
        let too_long = AddressError::PathTooLong { len, limit };
        assert_eq!(error(&format!("unix:{}", "\u{e9}".repeat(limit))), too_long);
    }

    #[test]
    fn socket_addresses_and_paths_convert() {
        for text in ["127.0.0.1:9000", "[::1]:9000"] {
            let parsed: Address = text.parse().expect("an address");
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(Address::from(address), parsed);
            assert_eq!(Address::from((address.ip(), 9000)), parsed);
            let by_family = match address {
                SocketAddr::V4(address) => Address::from(address),
                SocketAddr::V6(address) => Address::from(address),
            };
            assert_eq!(by_family, parsed);
        }
        let path = Path::new("/run/a.sock");
        assert_eq!(Address::from(path), Address::Unix(path.to_owned()));
        assert_eq!(Address::from(path.to_owned()), Address::from(path));
    }

    #[cfg(unix)]
    #[test]
    fn the_address_of_a_unix_socket_converts_if_it_has_one() {
        use std::os::unix::net::{SocketAddr, UnixStream};
        let named = SocketAddr::from_pathname("/run/a.sock").expect("short enough");
        assert_eq!(Address::try_from(named), "unix:/run/a.sock".parse());
        let (one, _other) = UnixStream::pair().expect("two sockets");
        let unnamed = one.local_addr().expect("a socket");
        assert_eq!(Address::try_from(unnamed), Err(AddressError::Unnamed));
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn an_abstract_name_converts_if_it_is_text() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        let converted = |name: &[u8]| {
            let address = SocketAddr::from_abstract_name(name).expect("short enough");
            Address::try_from(address)
        };
        assert_eq!(converted(b"name"), "unix:@name".parse());
        assert_eq!(converted(b"\xff"), Err(AddressError::NotUtf8));
    }

    /// The limit is that of the system's address structure: one more byte does not fit.
    #[cfg(unix)]
    #[test]
    fn the_longest_path_is_the_one_that_the_system_takes() {
        use std::os::unix::net::SocketAddr;
        let fits = |len: usize| SocketAddr::from_pathname("a".repeat(len)).is_ok();
        assert_eq!(
            (fits(MAX_SOCKET_PATH), fits(MAX_SOCKET_PATH + 1)),
            (true, false)
        );
    }
}
