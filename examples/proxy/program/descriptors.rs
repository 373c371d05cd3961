//! How many clients the system's limit of file descriptors allows. Descriptors for the FastCGI connections are set
//! aside first, so that applications stay reachable however many clients there are.

use mio_fcgi::Address;

use super::site::options::Options;

/// Lowers `--max-clients` to what the limit allows. The error says what to do if the limit is too low for one client
/// per loop. `servers` are those of each application; none: the demo application.
///
/// Each client and each FastCGI connection takes a descriptor. A file that is being sent to a client takes another, and
/// so does a long chunked body. If none is left for these, the response is 503.
pub(crate) fn fit(options: &mut Options, servers: &[Vec<Address>]) -> Result<(), String> {
    let Some(limit) = raise_limit() else {
        return Ok(());
    };
    // The demo application is in this process and has the other ends of the connections.
    let count = |list: &Vec<Address>| if list.is_empty() { 2 } else { list.len() };
    let servers: usize = servers.iter().map(count).sum();
    let connections = options.max_connections.saturating_mul(servers);
    let own =
        connections.saturating_add(options.threads * (EACH_LOOP + options.listen.len()) + RESERVE);
    let max_clients = limit.saturating_sub(own);
    if max_clients < options.threads {
        return Err(format!(
            "the system allows {limit} open files (ulimit -n), but {own} are needed before the first client: lower --max-conns or --threads"
        ));
    }
    if max_clients < options.max_clients {
        eprintln!(
            "proxy: the system allows {limit} open files (ulimit -n): serving {max_clients} clients at a time instead of {}; others wait",
            options.max_clients
        );
        options.max_clients = max_clients;
    }
    Ok(())
}

/// Raises the limit as far as the system allows: the usual soft limit is 1,024. `None`: there is no limit.
fn raise_limit() -> Option<usize> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        let usual = limit.current;
        limit.current = limit.maximum;
        let now = match setrlimit(Resource::Nofile, limit) {
            Ok(()) => limit.maximum,
            Err(_) => usual,
        };
        now.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    None
}

/// A loop's poll and signals, and what it opens for a moment.
const EACH_LOOP: usize = 8;
/// The standard streams and some files.
const RESERVE: usize = 16;
