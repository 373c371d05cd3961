//! Addresses and ranges of them: the values of `--trusted-proxy`, the proxies in front that are believed, and of other
//! options that name clients.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::net::client_address::ClientAddress;

/// One or more proxies that are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrustedProxy {
    Net(IpNet),
    /// Whoever may connect to a Unix socket.
    Unix,
}

/// Parses `192.0.2.0/24`, `2001:db8::1` or `unix:`.
///
/// # Errors
/// What is expected.
pub(crate) fn trusted_proxy(text: &str) -> Result<TrustedProxy, &'static str> {
    if text == "unix:" {
        return Ok(TrustedProxy::Unix);
    }
    let net = text.parse::<IpNet>().ok();
    let net = net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    net.map(|net| TrustedProxy::Net(canonical(net)))
        .ok_or("expects an address, a range such as 192.0.2.0/24, or unix:")
}

/// Addresses are compared in their canonical form: a range of IPv4-mapped ones is one of IPv4 addresses.
fn canonical(net: IpNet) -> IpNet {
    let (IpAddr::V4(ip), IpNet::V6(whole)) = (net.addr().to_canonical(), net) else {
        return net;
    };
    let bits = whole.prefix_len().checked_sub(96);
    bits.and_then(|bits| Ipv4Net::new(ip, bits).ok())
        .map_or(net, IpNet::V4)
}

/// Whether one of the values covers an address.
pub(crate) fn trusts(trusted: &[TrustedProxy], address: ClientAddress) -> bool {
    trusted.iter().any(|one| match (one, address.ip()) {
        (TrustedProxy::Net(net), Some(ip)) => net.contains(&ip),
        (TrustedProxy::Unix, None) => true,
        _ => false,
    })
}
