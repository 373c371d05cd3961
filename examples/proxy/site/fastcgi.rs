//! The configuration of the FastCGI client, and the parameters that all requests share.

use std::fmt::Display;

use mio_fcgi::{Address, Config, Multiplex, Params, SharedParams, cgi};

use super::net::client_address::{ClientAddress, Ends};
use super::options::Options;

/// The configuration for one loop, with its share of the FastCGI connections.
pub(crate) fn config(options: &Options, servers: Vec<Address>, index: usize) -> Config {
    let share = |whole| options.share(whole, index);
    let mut config = Config::from_servers(servers);
    config.multiplex = options.multiplex;
    config.connect_timeout = options.connect_timeout;
    config.connect_retry_timeout = options.connect_retry_timeout;
    // A php-fpm that is being stopped closes one connection after the other before a byte of a request was sent.
    // Whatever this limit, a request that may have been processed is sent again once at most.
    config.max_retries = 4;
    config.limits.max_connections_per_server = share(options.max_connections);
    let max_idle = max_idle(options);
    config.limits.max_idle_per_server = share(max_idle);
    // With no idle connections, a connection is not even reused for a queued request: a script may work on after its
    // response, and the next request on its connection would wait for it.
    config.keep_connections = max_idle > 0;
    config.limits.idle_timeout = options.idle_timeout;
    config.limits.max_queued_requests = share(options.queue);
    // On a shared connection, a client that reads a page slowly does not block the others as long as the page fits
    // these buffers, and most pages do.
    config.pause_buffer.per_request = 1024 * 1024;
    config.pause_buffer.per_connection = 8 * 1024 * 1024;
    // A client is read 128 KiB at a time: what one read has brought of a body leaves in one write.
    config.stdin_high_water = 128 * 1024;
    config.timeouts.queue = Some(options.queue_timeout);
    config.timeouts.write = Some(options.write_timeout);
    config.timeouts.first_byte = Some(options.read_timeout);
    config.timeouts.between_bytes = Some(options.read_timeout);
    config.timeouts.total = options.request_timeout;
    config
}

/// The most idle connections. By default one less than there may be: a worker of php-fpm is bound to its connection, and
/// a liveness probe or a second client needs a free one. Where requests share a connection, none is bound.
fn max_idle(options: &Options) -> usize {
    let shares = matches!(options.multiplex, Multiplex::On { .. });
    let free = usize::from(!shares);
    let usual = options.max_connections.saturating_sub(free).min(4);
    options
        .max_idle
        .unwrap_or(usual)
        .min(options.max_connections)
}

/// The parameters that are the same for all requests, encoded once.
#[derive(Debug)]
pub(crate) struct SiteParams {
    shared: SharedParams,
    /// The options have a parameter in place of a request's ID.
    has_id: bool,
}

impl SiteParams {
    /// The document root is not among them: it is that of the script.
    pub(crate) fn new(options: &Options) -> Self {
        let mut params = Params::default();
        for (name, value) in &options.params {
            params.push(name, value);
        }
        for (name, value) in cgi::site_params("").iter() {
            if name != b"DOCUMENT_ROOT" && params.get(name).is_none() {
                params.push(name, value);
            }
        }
        Self {
            has_id: params.get(REQUEST_ID_PARAM).is_some(),
            shared: params.into_shared(),
        }
    }

    pub(crate) fn shared(&self) -> &SharedParams {
        &self.shared
    }

    /// These, and those that follow from the ends of a client's connection.
    pub(crate) fn of_connection(&self, ends: Ends) -> SharedParams {
        let mut params = Params::with_shared(&self.shared);
        let mut push = |name: &str, value: &dyn Display| {
            if params.get(name).is_none() {
                params.push(name, value.to_string());
            }
        };
        push("REMOTE_ADDR", &ends.client);
        if let ClientAddress::Ip {
            port: Some(port), ..
        } = ends.client
        {
            push("REMOTE_PORT", &port);
        }
        if let Some(server) = ends.server {
            push("SERVER_ADDR", &server.ip().to_canonical());
            push("SERVER_PORT", &server.port());
        }
        params.into_shared()
    }

    /// Adds the ID of a request, in place of the client's field, which `Connection` could take away.
    pub(crate) fn push_id(&self, params: &mut Params, id: &str) {
        if !self.has_id {
            params.push(REQUEST_ID_PARAM, id);
        }
    }
}

/// The field with the ID of a request, as the application gets it.
const REQUEST_ID_PARAM: &str = "HTTP_X_REQUEST_ID";
