//! How the applications are asked, by the options: the FastCGI client's configuration, and what all requests have in common.

use mio_fcgi::{Address, Config, Params, SharedParams, cgi};

use super::options::Options;

/// One loop's part of the FastCGI connections.
pub(crate) fn config(options: &Options, servers: Vec<Address>, index: usize) -> Config {
    let share = |whole| options.share(whole, index);
    let mut config = Config::with_servers(servers);
    config.multiplex = options.multiplex;
    config.connect_timeout = options.connect_timeout;
    config.connect_retry_timeout = options.connect_retry_timeout;
    // A php-fpm that is stopped closes connections before a byte of a request has left, one after the other. What may have
    // run is sent again once at most, whatever this says.
    config.max_retries = 4;
    config.limits.max_connections_per_server = share(options.max_connections);
    let max_idle = options
        .max_idle
        .unwrap_or_else(|| options.max_connections.min(4));
    config.limits.max_idle_per_server = share(max_idle);
    // Not even handed on to a request that waits: a script may work on after its answer, and the next request on its
    // connection waits for that.
    config.keep_connections = max_idle > 0;
    config.limits.idle_timeout = options.idle_timeout;
    config.limits.max_queued_requests = share(options.queue);
    // Where requests share a connection, a browser that is slow to take a page does not hold up the others: most pages
    // are shorter than this.
    config.pause_buffer.per_request = 1024 * 1024;
    config.pause_buffer.per_connection = 8 * 1024 * 1024;
    config.timeouts.write = Some(options.write_timeout);
    config.timeouts.first_byte = Some(options.read_timeout);
    config.timeouts.between_bytes = Some(options.read_timeout);
    config.timeouts.total = options.request_timeout;
    config
}

/// What all requests tell the application, of a document root as the map of scripts has it: they lie below it.
pub(crate) fn site_params(options: &Options, root: &[u8]) -> SharedParams {
    let mut params = Params::default();
    for (name, value) in &options.params {
        params.push(name, value);
    }
    for (name, value) in cgi::site_params(root).iter() {
        if params.get(name).is_none() {
            params.push(name, value);
        }
    }
    params.into_shared()
}
