//! The options and their defaults. The doc comment of each option is its text in `--help`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use mio_fcgi::{Address, Multiplex};

use super::command_line::{number, seconds};
use super::fpm_status::FpmStatus;
use super::listen::{Listen, Place, listen};
use super::mount::{Mount, mount};
use super::net::client_address::ClientAddress;
use super::prefix::Prefix;
use super::trusted::{TrustedProxy, trusted_proxy, trusts};
use super::values::{
    buffer_request, bytes, extension, file_name, head_bytes, internal, multiplex, param, path,
    seconds_or_none, upstream,
};

/// All options of the proxy.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// where to accept HTTP connections; may be repeated (127.0.0.1:8080). HOST:PORT: port 0 picks a free port, which is
    /// printed. unix:/PATH[,mode=0660]: a Unix socket, replaced if nobody listens at it, removed at the end. systemd or
    /// systemd:NAME: the sockets that systemd hands over, all or those of a name. With ,proxy-protocol at the end, each
    /// connection has to begin with a header of the PROXY protocol, version 1 or 2, from a --trusted-proxy
    #[arg(long, value_name = "PLACE", value_parser = listen, help_heading = SITE)]
    pub(crate) listen: Vec<Listen>,
    /// address of a FastCGI application: unix:/path, unix:@name or host:port; may be repeated: a request then goes to
    /// the application with the fewest requests
    #[arg(long = "upstream", value_name = "ADDR", value_parser = upstream, help_heading = SITE)]
    pub(crate) upstreams: Vec<Address>,
    /// the document root: scripts are run by the application, other files are sent as they are
    #[arg(long, value_name = "DIR", help_heading = SITE)]
    pub(crate) root: Option<PathBuf>,
    /// DIR is on the application's machine: look for no file here and send none
    #[arg(long, help_heading = SITE)]
    pub(crate) remote: bool,
    /// the document root as the application sees it, if its container has the same files at another path
    #[arg(long, value_name = "DIR", help_heading = SITE)]
    pub(crate) script_root: Option<PathBuf>,
    /// tell the application the root without symbolic links, looked up for each request: once a link leads to another
    /// release, no request gets the old one. Applications believe for a while that a link is what it was
    #[arg(long, help_heading = SITE)]
    pub(crate) realpath: bool,
    /// directory outside the root that symbolic links below the root may lead to, such as /usr/share/javascript; may be
    /// repeated
    #[arg(long, value_name = "DIR", help_heading = SITE)]
    pub(crate) allow_symlinks_into: Vec<PathBuf>,
    /// how the name of a script ends (.php); with '', any file is a script
    #[arg(long, value_name = ".EXT", value_parser = extension, help_heading = SITE)]
    pub(crate) extension: Option<String>,
    /// send files that hold the source of scripts by their name, such as x.php.bak and x.inc; otherwise they are refused
    #[arg(long, help_heading = SITE)]
    pub(crate) send_sources: bool,
    /// file to use when the path is a directory (index.php)
    #[arg(long, value_name = "NAME", value_parser = file_name, help_heading = SITE)]
    pub(crate) index: String,
    /// script for every path that is not a file: a front controller
    #[arg(long, value_name = "/PATH.php", value_parser = path, help_heading = SITE)]
    pub(crate) fallback: Option<String>,
    /// another site or application, for the path PREFIX and those below it; may be repeated, and the longest PREFIX
    /// counts. /app=ADDR: an application that gets every path, as SCRIPT_NAME=/app and PATH_INFO; with ,files=DIR all but
    /// those of the files below DIR. /blog=ADDR,root=DIR: a site as with --root; script-root=DIR, index=NAME,
    /// extension=.EXT, fallback=/PATH.php, remote and realpath may follow, as the options of these names. More ADDRs may
    /// follow the first one. A value has no comma. The options for one site are those of PREFIX /
    #[arg(long = "mount", value_name = "PREFIX=ADDR", value_parser = mount, help_heading = SITE)]
    pub(crate) mounts: Vec<Mount>,
    /// path below which no script is run, nor sent as text, such as /uploads, also if a symbolic link leads there
    /// (not with --remote); may be repeated. Other files are sent
    #[arg(long, value_name = "PREFIX", value_parser = Prefix::parse, help_heading = SITE)]
    pub(crate) no_exec: Vec<Prefix>,
    /// path at which, and below which, php-fpm answers itself: pm.status_path or ping.path; may be repeated, and the
    /// longest PREFIX counts. Only for clients on this machine (not through a Unix socket), or those of ,from=CIDR, which may
    /// be repeated; others get 403
    #[arg(long, value_name = "PREFIX", value_parser = FpmStatus::parse, help_heading = SITE)]
    pub(crate) fpm_status: Vec<FpmStatus>,
    /// seconds that the result of looking for a file is believed. A new file is then found late, and a file that was
    /// replaced by a link out of the root can be sent; 0: look for each request (0)
    #[arg(long, value_name = "S", value_parser = seconds_or_none, help_heading = SITE)]
    pub(crate) cache_lookups: Duration,
    /// directory whose files an application may have sent: X-Accel-Redirect: /PREFIX/a.pdf sends DIR/a.pdf in place of
    /// its body. Clients get 404 for paths below the prefix; may be repeated
    #[arg(long, value_name = "/PREFIX=DIR", value_parser = internal, help_heading = SITE)]
    pub(crate) internal: Vec<(Vec<u8>, PathBuf)>,
    /// directory whose files an application may have sent: X-Sendfile: DIR/a.pdf, an absolute path, sends that file in
    /// place of its body; may be repeated
    #[arg(long, value_name = "DIR", help_heading = SITE)]
    pub(crate) send_files_from: Vec<PathBuf>,
    /// largest request body, in bytes or as 512k, 8m, 1g (64m)
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = SITE)]
    pub(crate) max_body: u64,
    /// longest head of a request, in bytes or as 16k, up to 64k (32k)
    #[arg(long, value_name = "BYTES", value_parser = head_bytes, help_heading = SITE)]
    pub(crate) max_head: usize,
    /// longest first line of a request, in bytes or as 16k (8k)
    #[arg(long, value_name = "BYTES", value_parser = head_bytes, help_heading = SITE)]
    pub(crate) max_request_line: usize,
    /// most fields of a request (100)
    #[arg(long, value_name = "N", value_parser = number(1, 256_usize), help_heading = SITE)]
    pub(crate) max_fields: usize,
    /// answer GET /-/status, /-/status.json and /-/metrics for clients on this machine, under the host localhost or an
    /// address: a page with the last five minutes and what hangs now, its figures, and counters for Prometheus
    /// (OpenMetrics), all summed over all threads
    #[arg(long, help_heading = SITE)]
    pub(crate) status: bool,
    /// client that gets the pages of --status although it is not on this machine, such as Prometheus: an address or a
    /// range such as 10.0.0.0/8; may be repeated. It asks under an address of this machine, not under a name
    #[arg(long, value_name = "CIDR", value_parser = trusted_proxy, requires = "status", help_heading = SITE)]
    pub(crate) status_from: Vec<TrustedProxy>,
    /// do not log requests to stderr. A line has the combined format, then the seconds that the application took, or -,
    /// and the request's ID, which is also X-Request-Id for the client and the application. Lines are dropped, and
    /// counted, if stderr is not read
    #[arg(long = "no-access-log", action = ArgAction::SetFalse, help_heading = SITE)]
    pub(crate) access_log: bool,

    /// seconds between two lookups of the names of applications, which go on being used while their addresses change; 0:
    /// only at the start and at SIGHUP (5)
    #[arg(long, value_name = "S", value_parser = seconds_or_none, help_heading = APPLICATIONS)]
    pub(crate) resolve: Duration,
    /// parameter sent with each request, in place of the request's own value: HTTPS=on; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param, help_heading = APPLICATIONS)]
    pub(crate) params: Vec<(String, String)>,
    /// pass on fields with underscores in their names, such as api_key; otherwise they are dropped. To an application,
    /// X_Forwarded_For is then the same as X-Forwarded-For
    #[arg(long, help_heading = APPLICATIONS)]
    pub(crate) underscores: bool,
    /// pass on the client's Authorization, for applications that check passwords themselves
    #[arg(long, help_heading = APPLICATIONS)]
    pub(crate) pass_authorization: bool,
    /// redirect the client when an application sends Location: /path alone, without a status or other fields. Otherwise
    /// the response is what is at that path (RFC 3875, 6.2.2). PHP always sends a status
    #[arg(long = "no-local-redirects", action = ArgAction::SetFalse, help_heading = APPLICATIONS)]
    pub(crate) local_redirects: bool,
    /// whether requests share a connection (auto): on:N lets N share one, on 1024; auto asks the application, once and
    /// not before a request would wait for a connection. On a shared connection, a client that does not read can delay
    /// other requests, for --client-timeout at most
    #[arg(long, value_name = "auto|on|on:N|off", value_parser = multiplex, help_heading = APPLICATIONS)]
    pub(crate) multiplex: Multiplex,
    /// most connections to each upstream, over all threads; for php-fpm, its pm.max_children. A name is as many upstreams
    /// as it has addresses (8)
    #[arg(long = "max-conns", value_name = "N", value_parser = number(1, 100_000_usize), help_heading = APPLICATIONS)]
    pub(crate) max_connections: usize,
    /// most idle connections to each upstream, over all threads. Each holds a worker of php-fpm (4, but less than
    /// --max-conns without --multiplex on); 0: one connection per request, for scripts that work on after their response
    /// (fastcgi_finish_request)
    #[arg(long, value_name = "N", value_parser = number(0, 100_000_usize), help_heading = APPLICATIONS)]
    pub(crate) max_idle: Option<usize>,
    /// seconds that an idle connection is kept open (1)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) idle_timeout: Duration,
    /// requests that may be queued for a connection, over all threads; others get 503. Each --mount with upstreams of its
    /// own has a queue of its own (1024)
    #[arg(long, value_name = "N", value_parser = number(0, 10_000_000_usize), help_heading = APPLICATIONS)]
    pub(crate) queue: usize,
    /// seconds that a request waits for a connection, the time to open one included; then it gets 503. Keep it
    /// above --connect-timeout (10)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) queue_timeout: Duration,
    /// seconds until a connection is established (3)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) connect_timeout: Duration,
    /// seconds, roughly, to retry an application that refuses connections, for example while it restarts; then the
    /// response is 502; 0: no retry (2)
    #[arg(long, value_name = "S", value_parser = seconds_or_none, help_heading = APPLICATIONS)]
    pub(crate) connect_retry_timeout: Duration,
    /// seconds to wait for the next byte of the application's response, also for the first one (60)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) read_timeout: Duration,
    /// seconds to wait for the application to read more of a request (30)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) write_timeout: Duration,
    /// seconds for a request as a whole (none)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = APPLICATIONS)]
    pub(crate) request_timeout: Option<Duration>,

    /// proxy in front that says who its clients are, in X-Forwarded-For, -Proto, -Host and -Port, or, without any of
    /// these, in Forwarded: an address, a range such as 10.0.0.0/8, or unix: for the other end of a Unix socket; may be
    /// repeated. The proxy in front must set these fields or remove them. From all others, these fields and the like are
    /// not passed on
    #[arg(long = "trusted-proxy", value_name = "CIDR", value_parser = trusted_proxy, help_heading = CLIENTS)]
    pub(crate) trusted_proxies: Vec<TrustedProxy>,
    /// most connections of a client's address (IPv6: of its /64), over all threads; others get 503. Those of a
    /// --trusted-proxy and of Unix sockets do not count; 0: no limit, as behind one address there may be a whole office,
    /// or a proxy that was not named (0)
    #[arg(long, value_name = "N", value_parser = number(0, 10_000_000_usize), help_heading = CLIENTS)]
    pub(crate) max_per_address: usize,
    /// serve a client that has ended its side of the connection after its request. Otherwise it is taken to be gone, as
    /// in nginx, and its request is aborted
    #[arg(long, help_heading = CLIENTS)]
    pub(crate) half_close: bool,
    /// user to run as, for a process that root has started: it keeps the sockets that it listens at, and no rights
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "NAME", help_heading = CLIENTS)]
    pub(crate) user: Option<String>,
    /// event loops, each on a thread of its own; connections and queue are divided among them (1)
    #[arg(long, value_name = "N", value_parser = number(1, 1024_usize), help_heading = CLIENTS)]
    pub(crate) threads: usize,
    /// most client connections, within ulimit -n; others wait in the system's accept queue (8192)
    #[arg(long, value_name = "N", value_parser = number(1, 10_000_000_usize), help_heading = CLIENTS)]
    pub(crate) max_clients: usize,
    /// seconds that a client may be idle between two requests (60)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = CLIENTS)]
    pub(crate) keepalive_timeout: Duration,
    /// seconds for the head of a request, from its first byte to its last (10)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = CLIENTS)]
    pub(crate) header_timeout: Duration,
    // Bytes of a response in the system's send buffer count as read by the client. The buffer is writable again when a
    // third of it is free: up to a megabyte on Linux.
    /// seconds to wait for a client to send more of a request body, or to read more of a response (60)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = CLIENTS)]
    pub(crate) client_timeout: Duration,
    /// bytes of a response that are kept for a client that reads slowly, in memory and then in a temporary file, in bytes
    /// or as 64m (256m). When no more can be kept, the application waits; 0: it waits at once, as for each response with
    /// X-Accel-Buffering: no and each event stream
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = CLIENTS)]
    pub(crate) buffer_response: u64,
    /// whether request bodies are collected before an application is asked, so that a client that sends slowly holds none
    /// of its workers: in memory up to 1m, up to 64k if half of --max-buffered is in use, else in a temporary file (on).
    /// SIZE: a body with a longer Content-Length is passed on as it arrives; off: each that has a Content-Length
    #[arg(long, value_name = "on|off|SIZE", value_parser = buffer_request, help_heading = CLIENTS)]
    pub(crate) buffer_request: u64,
    /// bytes per second that a client has to send of a request body, on average after the first --client-timeout; a
    /// slower one is answered with 408. Time in which the application does not read does not count; 0: no limit (500)
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = CLIENTS)]
    pub(crate) min_rate: u64,
    /// directory of temporary files (that of the system: TMPDIR, or /tmp)
    #[arg(long, value_name = "DIR", help_heading = CLIENTS)]
    pub(crate) body_dir: Option<PathBuf>,
    /// bytes of bodies and responses that are kept in memory for all clients together, over all threads, in bytes or as
    /// 64m; more is kept in temporary files (64m)
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = CLIENTS)]
    pub(crate) max_buffered: u64,
    /// bytes in temporary files for all clients together, over all threads, in bytes or as 1g (1g)
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = CLIENTS)]
    pub(crate) max_on_disk: u64,
    /// most temporary files that are open, over all threads: what the limit of descriptors leaves
    #[arg(skip = u64::MAX)]
    pub(crate) max_files: u64,
    /// seconds that running requests may take after SIGTERM or SIGINT; a second signal stops at once (30)
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = CLIENTS)]
    pub(crate) shutdown_timeout: Duration,
}

const SITE: &str = "Sites and files";
const APPLICATIONS: &str = "FastCGI applications";
const CLIENTS: &str = "HTTP clients";

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: vec![Listen {
                place: Place::Tcp(([127, 0, 0, 1], 8080).into()),
                expects_proxy_header: false,
            }],
            upstreams: Vec::new(),
            root: None,
            remote: false,
            script_root: None,
            realpath: false,
            allow_symlinks_into: Vec::new(),
            extension: None,
            send_sources: false,
            index: "index.php".to_owned(),
            fallback: None,
            mounts: Vec::new(),
            no_exec: Vec::new(),
            fpm_status: Vec::new(),
            cache_lookups: Duration::ZERO,
            internal: Vec::new(),
            send_files_from: Vec::new(),
            max_body: 64 * 1024 * 1024,
            max_head: 32 * 1024,
            max_request_line: 8 * 1024,
            max_fields: 100,
            status: false,
            status_from: Vec::new(),
            access_log: true,
            resolve: Duration::from_secs(5),
            params: Vec::new(),
            underscores: false,
            pass_authorization: false,
            local_redirects: true,
            multiplex: Multiplex::Auto,
            max_connections: 8,
            max_idle: None,
            idle_timeout: Duration::from_secs(1),
            queue: 1024,
            queue_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            connect_retry_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            request_timeout: None,
            trusted_proxies: Vec::new(),
            max_per_address: 0,
            half_close: false,
            #[cfg(target_os = "linux")]
            user: None,
            threads: 1,
            max_clients: 8192,
            keepalive_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            client_timeout: Duration::from_secs(60),
            buffer_response: 256 * 1024 * 1024,
            buffer_request: u64::MAX,
            min_rate: 500,
            body_dir: None,
            max_buffered: 64 * 1024 * 1024,
            max_on_disk: 1024 * 1024 * 1024,
            max_files: u64::MAX,
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl Options {
    /// Whether a peer is a proxy in front that is believed.
    pub(crate) fn trusts(&self, peer: ClientAddress) -> bool {
        trusts(&self.trusted_proxies, peer)
    }

    /// Whether a client may see the status pages.
    pub(crate) fn shows_status_to(&self, client: ClientAddress) -> bool {
        self.status && (client.is_local() || trusts(&self.status_from, client))
    }

    /// One loop's part of a limit that is divided among all loops.
    pub(crate) fn share(&self, whole: usize, index: usize) -> usize {
        // The first loops get one more each until the remainder is used up.
        whole / self.threads + usize::from(index < whole % self.threads)
    }
}
