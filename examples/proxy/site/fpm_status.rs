//! php-fpm's own pages, `pm.status_path` and `ping.path`, which are no files.

use std::net::IpAddr;

use ipnet::IpNet;

use super::prefix::Prefix;

/// Paths that php-fpm itself answers, and who may ask for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FpmStatus {
    prefix: Prefix,
    /// Empty: this machine.
    from: Vec<IpNet>,
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
            let one = || item.parse::<IpAddr>().map(IpNet::from);
            item.parse().or_else(|_| one()).map_err(|_| expected)
        });
        let from = from.collect::<Result<_, _>>()?;
        Ok(Self { prefix, from })
    }

    pub(crate) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Whether a client may see the pages.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        match &self.from[..] {
            [] => client.is_loopback(),
            from => from.iter().any(|net| net.contains(&client)),
        }
    }
}
