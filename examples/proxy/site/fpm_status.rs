//! php-fpm's own pages, `pm.status_path` and `ping.path`, which are no files.

use std::net::IpAddr;

use super::net::client_address::ClientAddress;
use super::prefix::Prefix;
use super::trusted::{TrustedProxy, trusted_proxy, trusts};

/// Paths that php-fpm itself answers, and who may ask for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FpmStatus {
    prefix: Prefix,
    /// Empty: this machine.
    from: Vec<TrustedProxy>,
}

impl FpmStatus {
    /// Parses `PREFIX[,from=CIDR]...`.
    ///
    /// # Errors
    /// What is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "expects PREFIX[,from=CIDR]..., such as /fpm-status,from=192.0.2.0/24";
        let mut items = text.split(',');
        let prefix = Prefix::parse(items.next().unwrap_or_default())?;
        let from = items.map(|item| {
            let item = item.strip_prefix("from=").ok_or(expected)?;
            trusted_proxy(item).map_err(|_| expected)
        });
        let from = from.collect::<Result<_, _>>()?;
        Ok(Self { prefix, from })
    }

    pub(crate) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Whether a client may see the pages.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        let client = ClientAddress::Ip {
            ip: client,
            port: None,
        };
        match &self.from[..] {
            [] => client.is_local(),
            from => trusts(from, client),
        }
    }
}
