//! The addresses of the applications, for the operator.

use std::time::Instant;

use mio_fcgi::{Client, ServerId};

/// The address of a server. If the server is unknown, all addresses: any of them could have served the request.
pub(crate) fn names(fcgi: Option<&Client>, now: Instant, server: Option<ServerId>) -> String {
    let Some(fcgi) = fcgi else {
        return "-".to_owned();
    };
    if let Some(address) = server.and_then(|server| fcgi.server_address(server)) {
        return address.to_string();
    }
    let mut servers: Vec<_> = fcgi.servers(now).filter(|it| !it.is_removed).collect();
    servers.sort_by_key(|it| it.server);
    let shown = servers.iter().take(MAX_NAMED);
    let shown: Vec<String> = shown.map(|it| it.address.to_string()).collect();
    let mut names = shown.join(" or ");
    if servers.len() > MAX_NAMED {
        names.push_str(&format!(" or {} others", servers.len() - MAX_NAMED));
    }
    names
}

/// The most addresses in a line.
const MAX_NAMED: usize = 4;
