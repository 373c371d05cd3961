//! What can be set, and what it is when nobody sets it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mio_fcgi::{Address, Multiplex};

/// Everything that can be set.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    /// None: the embedded demo application.
    pub(crate) upstreams: Vec<Address>,
    pub(crate) root: Option<PathBuf>,
    /// The root lies on the applications' machine: map names, look at no file.
    pub(crate) remote: bool,
    /// Where symbolic links below the root may lead to beside it.
    pub(crate) links_to: Vec<PathBuf>,
    /// What ends the name of a script; none: `.php`.
    pub(crate) extension: Option<String>,
    pub(crate) index: String,
    /// The script for what is not there.
    pub(crate) fallback: Option<String>,
    /// Told to the applications with each request, whatever the request says.
    pub(crate) params: Vec<(String, String)>,
    /// Hands the credentials of `Authorization` on to the applications.
    pub(crate) pass_authorization: bool,
    pub(crate) multiplex: Multiplex,
    /// FastCGI connections to each upstream, over all threads.
    pub(crate) max_connections: usize,
    /// Of these, idle ones kept; none: four, or all if there are fewer.
    pub(crate) max_idle: Option<usize>,
    pub(crate) idle_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    /// How long an application that refuses connections is tried again: one that restarts is back within the default.
    pub(crate) connect_patience: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) request_timeout: Option<Duration>,
    /// Requests that wait for a connection, over all threads.
    pub(crate) queue: usize,
    /// Bytes of a request body.
    pub(crate) max_body: u64,
    pub(crate) threads: usize,
    /// HTTP connections, over all threads.
    pub(crate) clients: usize,
    /// Between two requests of a client.
    pub(crate) keep_alive: Duration,
    /// From the first byte of a head to its last.
    pub(crate) head_timeout: Duration,
    /// A client that neither sends its body nor takes its answer. What the system's buffer holds of an answer counts as
    /// taken, and there is room in it again when a third is gone: up to a megabyte on Linux.
    pub(crate) client_timeout: Duration,
    /// How long a stop waits for what is being served.
    pub(crate) grace: Duration,
    pub(crate) status: bool,
    pub(crate) access_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
            upstreams: Vec::new(),
            root: None,
            remote: false,
            links_to: Vec::new(),
            extension: None,
            index: "index.php".to_owned(),
            fallback: None,
            params: Vec::new(),
            pass_authorization: false,
            multiplex: Multiplex::Auto,
            max_connections: 8,
            max_idle: None,
            idle_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            connect_patience: Duration::from_secs(2),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            request_timeout: None,
            queue: 1024,
            max_body: 64 * 1024 * 1024,
            threads: 1,
            clients: 8192,
            keep_alive: Duration::from_secs(60),
            head_timeout: Duration::from_secs(10),
            client_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            status: false,
            access_log: true,
        }
    }
}

impl Options {
    /// One loop's part of something that is shared out among all of them.
    pub(crate) fn share(&self, whole: usize, index: usize) -> usize {
        // What does not divide goes to the first ones.
        whole / self.threads + usize::from(index < whole % self.threads)
    }
}
