//! Where a FastCGI application listens: parsed, displayed, handed to the driver as a value.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// The address of a FastCGI application.
///
/// | text               | meaning                                                     |
/// |--------------------|-------------------------------------------------------------|
/// | `unix:/run/x.sock` | Unix socket at a path                                       |
/// | `unix:@name`       | Unix socket in the abstract namespace (Linux)               |
/// | `127.0.0.1:9000`   | TCP over IPv4                                               |
/// | `[::1]:9000`       | TCP over IPv6                                               |
/// | `php.local:9000`   | TCP, a name that has to be [resolved](Self::resolve) first  |
///
/// ```
/// use mio_fcgi::Address;
/// let address: Address = "unix:/run/php/php8.2-fpm.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/php/php8.2-fpm.sock");
/// assert!("localhost".parse::<Address>().is_err(), "a TCP address needs a port");
/// # Ok::<(), mio_fcgi::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// TCP to a numeric address.
    Tcp(SocketAddr),
    /// TCP to a host name; never reaches the engine, see [`Address::resolve`].
    Host {
        /// The name as written.
        name: String,
        /// The TCP port.
        port: u16,
    },
    /// A Unix socket at a path.
    Unix(PathBuf),
    /// A Unix socket in Linux's abstract namespace; the name without its leading NUL.
    Abstract(String),
}

impl Address {
    /// Turns a [`Host`](Self::Host) into the numeric addresses it stands for; others into themselves.
    ///
    /// **Blocks** on the system's resolver for host names, and only for those. Call it before the
    /// loop starts, and again when a name may have moved.
    ///
    /// # Errors
    /// The resolver's; [`io::ErrorKind::NotFound`] when it answered without an address.
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
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.strip_prefix('@') {
                Some("") => Err(AddressError::Empty),
                Some(name) => Ok(Self::Abstract(name.to_owned())),
                None if path.is_empty() => Err(AddressError::Empty),
                None if path.contains('\0') => Err(AddressError::Nul),
                None => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Tcp(address));
        }
        let Some((name, port)) = text.rsplit_once(':') else {
            return Err(AddressError::MissingPort {
                text: text.to_owned(),
            });
        };
        let Ok(port) = port.parse::<u16>() else {
            return Err(AddressError::Port {
                port: port.to_owned(),
            });
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(AddressError::Host {
                name: name.to_owned(),
            });
        }
        Ok(Self::Host {
            name: name.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
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

/// Why a text is not an [`Address`]: the caller's to mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing was written, or nothing after `unix:`.
    #[error("empty address: write unix:/path, unix:@name, host:port or [v6]:port")]
    Empty,
    /// A path with a NUL octet, which no system call takes.
    #[error("the path of a Unix socket must not contain a NUL")]
    Nul,
    /// No port in a TCP address.
    #[error("'{text}' has no port: write host:port, or unix:/path for a Unix socket")]
    MissingPort {
        /// The address as given.
        text: String,
    },
    /// The part after the last colon is not a port.
    #[error("'{port}' is not a port between 0 and 65535")]
    Port {
        /// The text in the port's place.
        port: String,
    },
    /// The part before the last colon is neither a name nor an address.
    #[error("'{name}' is not a host: IPv6 addresses are written in brackets, [::1]:9000")]
    Host {
        /// The text in the host's place.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_displays_as_it_was_written() {
        for text in [
            "unix:/run/a.sock",
            "unix:relative.sock",
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
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<Address>().expect_err("not an address");
        assert_eq!(error(""), AddressError::Empty);
        assert_eq!(error("unix:"), AddressError::Empty);
        assert_eq!(error("unix:@"), AddressError::Empty);
        assert_eq!(error("unix:/a\0b"), AddressError::Nul);
        assert!(matches!(
            error("localhost"),
            AddressError::MissingPort { .. }
        ));
        assert!(matches!(error("localhost:http"), AddressError::Port { .. }));
        assert!(matches!(
            error("localhost:65536"),
            AddressError::Port { .. }
        ));
        assert!(matches!(error("::1:9000"), AddressError::Host { .. }));
        assert!(matches!(error(":9000"), AddressError::Host { .. }));
    }
}
