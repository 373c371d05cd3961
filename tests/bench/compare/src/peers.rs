//! The HTTP servers that are compared: how each is started, with one worker on one core, logs off.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::Programs;
use crate::process::{ALL_CORES, Listening, MEASURED, Running, free_port};

/// A server in front of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Bare system calls: `floor-proxy`.
    Floor,
    /// Ours, one request per connection.
    Own,
    /// Ours, requests share connections.
    OwnShared,
    /// Ours with so many connections.
    OwnMax(usize),
    /// Ours as it is without options.
    OwnDefault,
    /// Ours, request bodies are passed on as they arrive.
    OwnStreaming,
    OwnSharedStreaming,
    Nginx,
    /// Request bodies are passed on as they arrive.
    NginxStreaming,
    /// Without connections that are used again.
    NginxClosing,
    HaProxy,
    HaProxyShared,
    HaProxyMax(usize),
    H2o,
    Lighttpd,
    Caddy,
}

/// Where things are.
pub(crate) struct Site<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) directory: &'a Path,
    /// The application's.
    pub(crate) socket: &'a Path,
    /// The document root, with an `index.php`.
    pub(crate) root: &'a Path,
    /// Threads of ours, processes of nginx; with more than one, on all cores.
    pub(crate) workers: usize,
}

impl Site<'_> {
    fn cores(&self) -> &'static str {
        if self.workers > 1 {
            ALL_CORES
        } else {
            MEASURED
        }
    }
}

/// A server that listens.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
}

impl Side {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Floor => "floor".to_owned(),
            Self::Own => "proxy".to_owned(),
            Self::OwnShared => "proxy, multiplexing".to_owned(),
            Self::OwnMax(count) => format!("proxy --max-conns {count}"),
            Self::OwnDefault => "proxy, defaults".to_owned(),
            Self::OwnStreaming => "proxy --buffer-request off".to_owned(),
            Self::OwnSharedStreaming => "proxy, multiplexing, --buffer-request off".to_owned(),
            Self::NginxStreaming => "nginx, fastcgi_request_buffering off".to_owned(),
            Self::Caddy => "Caddy".to_owned(),
            Self::Nginx => "nginx".to_owned(),
            Self::NginxClosing => "nginx, no keep-alive".to_owned(),
            Self::HaProxy => "HAProxy".to_owned(),
            Self::HaProxyShared => "HAProxy, multiplexing".to_owned(),
            Self::HaProxyMax(count) => format!("HAProxy maxconn {count}"),
            Self::H2o => "h2o".to_owned(),
            Self::Lighttpd => "lighttpd".to_owned(),
        }
    }

    /// The nginx that does the same with a request's body, of those in the table.
    pub(crate) fn nginx_beside(self, sides: &[Side]) -> Self {
        let collects = matches!(self, Self::Own | Self::OwnShared | Self::Nginx);
        if !collects && sides.contains(&Self::NginxStreaming) {
            Self::NginxStreaming
        } else {
            Self::Nginx
        }
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self, site: &Site<'_>) -> Result<Server> {
        let address = free_port()?;
        let (program, arguments) = self.command(site, address)?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut running = Running::start(site.cores(), &program, &arguments, site.directory)?;
        running.wait_for(&Listening::Tcp(address))?;
        Ok(Server { running, address })
    }

    fn command(self, site: &Site<'_>, address: SocketAddr) -> Result<(PathBuf, Vec<String>)> {
        let directory = site.directory.display().to_string();
        let with_file = |name: &str, text: String| {
            let path = site.directory.join(name);
            fs::write(&path, text)?;
            anyhow::Ok(path.display().to_string())
        };
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Ok(match self {
            Self::Floor => (
                site.programs.own.join("floor-proxy"),
                strings(&[&address.to_string(), &site.socket.display().to_string()]),
            ),
            Self::Own => own(site, address, ALONE),
            Self::OwnStreaming => own(site, address, &[ALONE, STREAMING].concat()),
            Self::OwnShared => own(site, address, SHARED),
            Self::OwnSharedStreaming => own(site, address, &[SHARED, STREAMING].concat()),
            Self::OwnMax(count) => own(site, address, &["--max-conns", &count.to_string()]),
            Self::OwnDefault => own(site, address, &[]),
            Self::Nginx | Self::NginxStreaming | Self::NginxClosing => {
                let file = with_file("nginx.conf", self.nginx(site, address))?;
                let errors = format!("{directory}/nginx-errors.log");
                (
                    "/usr/sbin/nginx".into(),
                    strings(&["-p", &directory, "-e", &errors, "-c", &file]),
                )
            }
            Self::HaProxy | Self::HaProxyShared | Self::HaProxyMax(_) => {
                let file = with_file("haproxy.cfg", self.haproxy(site, address))?;
                ("/usr/sbin/haproxy".into(), strings(&["-db", "-f", &file]))
            }
            Self::H2o => {
                let file = with_file("h2o.conf", h2o(site, address))?;
                ("/usr/bin/h2o".into(), strings(&["-c", &file]))
            }
            Self::Caddy => {
                let file = with_file("Caddyfile", caddy(site, address))?;
                (
                    "/usr/bin/caddy".into(),
                    strings(&["run", "--adapter", "caddyfile", "--config", &file]),
                )
            }
            Self::Lighttpd => {
                let file = with_file("lighttpd.conf", lighttpd(site, address))?;
                ("/usr/sbin/lighttpd".into(), strings(&["-D", "-f", &file]))
            }
        })
    }

    fn nginx(self, site: &Site<'_>, address: SocketAddr) -> String {
        let directory = site.directory.display();
        let (socket, root) = (site.socket.display(), site.root.display());
        let (keep_conn, keepalive) = if self == Self::NginxClosing {
            ("off", "")
        } else {
            ("on", "keepalive 1024; keepalive_requests 1000000000;")
        };
        let buffering = if self == Self::NginxStreaming {
            "off"
        } else {
            "on"
        };
        let workers = site.workers;
        format!(
            "user root;
daemon off;
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/nginx-errors.log error;
events {{ worker_connections 8192; }}
http {{
      access_log off;
  client_max_body_size 64m;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/nginx-body;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  proxy_temp_path {directory}/nginx-proxy;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  upstream app {{ server unix:{socket}; {keepalive} }}
  server {{
    listen {address} backlog=4096;
    root {root};
    location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME $document_root/index.php;
      fastcgi_request_buffering {buffering};
      fastcgi_pass app;
      fastcgi_keep_conn {keep_conn};
    }}
  }}
}}
"
        )
    }

    fn haproxy(self, site: &Site<'_>, address: SocketAddr) -> String {
        let (socket, root) = (site.socket.display(), site.root.display());
        let shared = if self == Self::HaProxyShared {
            "option mpxs-conns\n  option max-reqs 128"
        } else {
            ""
        };
        let maxconn = match self {
            Self::HaProxyMax(count) => format!("maxconn {count}"),
            _ => String::new(),
        };
        format!(
            "global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
  http-reuse always
fcgi-app app
  docroot {root}
  index index.php
  option keep-conn
  {shared}
frontend web
  bind {address}
  default_backend app
backend app
  use-fcgi-app app
  server app unix@{socket} proto fcgi {maxconn}
"
        )
    }
}

/// One request on a connection.
const ALONE: &[&str] = &[
    "--multiplex",
    "off",
    "--max-conns",
    "1024",
    "--max-idle",
    "1024",
];
const SHARED: &[&str] = &["--multiplex", "on", "--max-conns", "8"];
const STREAMING: &[&str] = &["--buffer-request", "off"];

/// Like the others, it looks for no file: each path is the script's.
fn own(site: &Site<'_>, address: SocketAddr, more: &[&str]) -> (PathBuf, Vec<String>) {
    let upstream = format!("unix:{}", site.socket.display());
    let (listen, root) = (address.to_string(), site.root.display().to_string());
    let workers = site.workers.to_string();
    let mut arguments = vec![
        "--threads",
        &workers,
        "--listen",
        &listen,
        "--upstream",
        &upstream,
        "--root",
        &root,
    ];
    arguments.extend(["--remote", "--fallback", "/index.php", "--no-access-log"]);
    arguments.extend(more);
    let arguments = arguments.iter().map(ToString::to_string).collect();
    (site.programs.proxy.clone(), arguments)
}

fn h2o(site: &Site<'_>, address: SocketAddr) -> String {
    format!(
        "listen: {{host: {}, port: {}}}
num-threads: 1
user: root
max-connections: 4096
hosts:
  default:
    paths:
      /:
        fastcgi.connect: {{port: {}, type: unix}}
        fastcgi.timeout.keepalive: 60000
        fastcgi.document_root: {}
",
        address.ip(),
        address.port(),
        site.socket.display(),
        site.root.display()
    )
}

fn lighttpd(site: &Site<'_>, address: SocketAddr) -> String {
    format!(
        "server.modules = (\"mod_fastcgi\")
server.document-root = \"{}\"
server.bind = \"{}\"
server.port = {}
server.max-connections = 4096
server.max-fds = 16384
server.max-keep-alive-requests = 1000000000
fastcgi.server = (\"/\" => ((\"socket\" => \"{}\", \"check-local\" => \"disable\", \"fix-root-scriptname\" => \"enable\")))
",
        site.root.display(),
        address.ip(),
        address.port(),
        site.socket.display()
    )
}

fn caddy(site: &Site<'_>, address: SocketAddr) -> String {
    let (socket, root) = (site.socket.display(), site.root.display());
    format!(
        "{{
  admin off
  auto_https off
}}
http://{address} {{
  root * {root}
  rewrite * /index.php
  reverse_proxy unix/{socket} {{
    transport fastcgi {{
      root {root}
      split .php
    }}
  }}
}}
"
    )
}
