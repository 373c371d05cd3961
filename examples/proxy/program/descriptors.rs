//! What the system's limit of file descriptors allows: how many clients, and how many files open for them. Descriptors
//! for the FastCGI connections are set aside first, so that applications stay reachable however many clients there are,
//! and whatever these download.

use mio_fcgi::Address;

use super::site::options::Options;

/// Lowers `--max-clients`, and the number of files, to what the limit allows. The error says what to do if the limit is
/// too low for one client and one file per loop. `servers` are those of each application; none: the demo application.
///
/// Each client and each FastCGI connection takes a descriptor. Files are those that are being sent, if they are long, and
/// temporary ones for bodies and responses. They get a quarter of what is left, or all that clients may not take; beyond
/// that, the response is 503.
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
    let left = limit.saturating_sub(own);
    if left / 2 < options.threads {
        return Err(format!(
            "the system allows {limit} open files (ulimit -n), but {own} are needed before the first client: lower --max-conns or --threads"
        ));
    }
    let max_files = (left / 4).max(options.threads);
    let max_clients = left - max_files;
    if max_clients < options.max_clients {
        eprintln!(
            "proxy: the system allows {limit} open files (ulimit -n): serving {max_clients} clients at a time instead of {}, with {max_files} files open for them; others wait",
            options.max_clients
        );
        options.max_clients = max_clients;
    }
    options.max_files = (left - options.max_clients) as u64;
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
