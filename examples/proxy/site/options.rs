//! What can be set, and what it is when nobody sets it. The text of each option is what `--help` shows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use mio_fcgi::{Address, Multiplex};

use super::command_line::{number, seconds};
use super::values::{
    bytes, extension, file_name, listen_address, multiplex, param, path, seconds_or_none, upstream,
};

/// Everything that can be set.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// where browsers connect (127.0.0.1:8080); port 0 takes a free one and prints it
    #[arg(long, value_name = "HOST:PORT", value_parser = listen_address, help_heading = SERVED)]
    pub(crate) listen: SocketAddr,
    /// a FastCGI application: unix:/path, unix:@name or host:port; may be repeated, then requests go to the one with
    /// the fewest
    #[arg(long = "upstream", value_name = "ADDR", value_parser = upstream, help_heading = SERVED)]
    pub(crate) upstreams: Vec<Address>,
    /// the document root: scripts go to the application, other files are sent as they are
    #[arg(long, value_name = "DIR", help_heading = SERVED)]
    pub(crate) root: Option<PathBuf>,
    /// DIR is on the application's machine: look at no file, send none
    #[arg(long, help_heading = SERVED)]
    pub(crate) remote: bool,
    /// where symbolic links below the root may lead to beside it, such as /usr/share/javascript; may be repeated
    #[arg(long, value_name = "DIR", help_heading = SERVED)]
    pub(crate) allow_symlinks_into: Vec<PathBuf>,
    /// what ends the name of a script (.php); with '', every path begins with one
    #[arg(long, value_name = ".EXT", value_parser = extension, help_heading = SERVED)]
    pub(crate) extension: Option<String>,
    /// tried in a directory (index.php)
    #[arg(long, value_name = "NAME", value_parser = file_name, help_heading = SERVED)]
    pub(crate) index: String,
    /// the script for everything that is no file: a front controller
    #[arg(long, value_name = "/PATH.php", value_parser = path, help_heading = SERVED)]
    pub(crate) fallback: Option<String>,
    /// the longest request body; 512k, 8m and 1g are understood (64m)
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = SERVED)]
    pub(crate) max_body: u64,
    /// GET /-/status and /-/status.json from this machine: pool, queue, counters, all summed up over the threads
    #[arg(long, help_heading = SERVED)]
    pub(crate) status: bool,
    /// no line on stderr for each request: the combined format, then the seconds that the application took, or -. Lines
    /// are lost, and counted, if nobody reads them
    #[arg(long = "no-access-log", action = ArgAction::SetFalse, help_heading = SERVED)]
    pub(crate) access_log: bool,

    /// told with each request, whatever the request says: HTTPS=on; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param, help_heading = APPLICATIONS)]
    pub(crate) params: Vec<(String, String)>,
    /// hand on the client's Authorization, for applications that check passwords by it
    #[arg(long, help_heading = APPLICATIONS)]
    pub(crate) pass_authorization: bool,
    /// whether requests share a connection; auto asks the application (auto). Then a browser that does not read can hold
    /// up others, until --client-timeout
    #[arg(long, value_name = "auto|on|off", value_parser = multiplex, help_heading = APPLICATIONS)]
    pub(crate) multiplex: Multiplex,
    /// connections to each application, over all threads; for php-fpm, its pm.max_children (8)
    #[arg(long = "max-conns", value_name = "N", value_parser = number(1, 100_000_usize), help_heading = APPLICATIONS)]
    pub(crate) max_connections: usize,
    /// of these, kept while idle (4); 0: a connection for each request, for scripts that work on after their answer
    /// (fastcgi_finish_request)
    #[arg(long, value_name = "N", value_parser = number(0, 100_000_usize), help_heading = APPLICATIONS)]
    pub(crate) max_idle: Option<usize>,
    /// how long (10)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) idle_timeout: Duration,
    /// requests that may wait, 10 s each, over all threads; others get 503 (1024)
    #[arg(long, value_name = "N", value_parser = number(0, 10_000_000_usize), help_heading = APPLICATIONS)]
    pub(crate) queue: usize,
    /// until a connection stands (3)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) connect_timeout: Duration,
    /// an application that refuses connections, as one that restarts does, is tried again for about so long before the
    /// answer is 502; 0: not at all (2)
    #[arg(long, value_name = "S", value_parser = seconds_or_none, help_heading = APPLICATIONS)]
    pub(crate) connect_retry_timeout: Duration,
    /// silence of the application, before and within its answer (60)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) read_timeout: Duration,
    /// the application takes nothing of the request (30)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) write_timeout: Duration,
    /// a request as a whole (none)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) request_timeout: Option<Duration>,

    /// event loops; connections and queue are shared out among them (1)
    #[arg(long, value_name = "N", value_parser = number(1, 1024_usize), help_heading = BROWSERS)]
    pub(crate) threads: usize,
    /// connections at a time, within ulimit -n; more wait in the system's queue (8192)
    #[arg(long, value_name = "N", value_parser = number(1, 10_000_000_usize), help_heading = BROWSERS)]
    pub(crate) max_clients: usize,
    /// between two requests (60)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = BROWSERS)]
    pub(crate) keepalive_timeout: Duration,
    /// for the head of a request, from its first byte to its last (10)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = BROWSERS)]
    pub(crate) header_timeout: Duration,
    // What the system's buffer holds of an answer counts as taken, and there is room in it again when a third is gone: up
    // to a megabyte on Linux.
    /// a browser that sends no body or takes no answer (60)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = BROWSERS)]
    pub(crate) client_timeout: Duration,
    /// at SIGTERM or SIGINT, for what is being served; a second signal stops at once (30)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = BROWSERS)]
    pub(crate) shutdown_timeout: Duration,
}

const SERVED: &str = "What is served";
const APPLICATIONS: &str = "Towards the applications";
const BROWSERS: &str = "Towards the browsers";

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
            upstreams: Vec::new(),
            root: None,
            remote: false,
            allow_symlinks_into: Vec::new(),
            extension: None,
            index: "index.php".to_owned(),
            fallback: None,
            max_body: 64 * 1024 * 1024,
            status: false,
            access_log: true,
            params: Vec::new(),
            pass_authorization: false,
            multiplex: Multiplex::Auto,
            max_connections: 8,
            max_idle: None,
            idle_timeout: Duration::from_secs(10),
            queue: 1024,
            connect_timeout: Duration::from_secs(3),
            connect_retry_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            request_timeout: None,
            threads: 1,
            max_clients: 8192,
            keepalive_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            client_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(30),
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
