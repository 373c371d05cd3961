//! The command line: how the options are set, how they are explained, what is wrong with them.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use lexopt::prelude::*;
use mio_fcgi::{Address, Multiplex};

use super::site::options::Options;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum CommandLine {
    Serve(Box<Options>),
    Help,
    Version,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// One line that names the option and says what it wants.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<CommandLine, String> {
        read(arguments).map_err(|error| in_one_line(&error))
    }

    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), String> {
        match name {
            "remote" => self.remote = true,
            "status" => self.status = true,
            "pass-authorization" => self.pass_authorization = true,
            "no-access-log" => self.access_log = false,
            _ => {
                if !VALUED.contains(&name) {
                    return Err(format!("there is no option --{name}"));
                }
                let value = parser
                    .value()
                    .map_err(|_| format!("--{name} wants a value"))?;
                match name {
                    // Paths are any bytes.
                    "root" => self.root = Some(value.into()),
                    "links-to" => self.links_to.push(value.into()),
                    _ => {
                        let value = value
                            .into_string()
                            .map_err(|value| format!("--{name} wants text, not {value:?}"))?;
                        self.set_value(name, &value)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn set_value(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "listen" => self.listen = listen_address(value)?,
            "upstream" => {
                let address = value
                    .parse()
                    .map_err(|error| format!("--upstream {value}: {error}"))?;
                if let Some(why) = unreachable(&address) {
                    return Err(format!("--upstream {value}: {why}"));
                }
                self.upstreams.push(address);
            }
            "extension" => self.extension = Some(extension(value)?),
            "param" => self.params.push(param(value)?),
            "index" => self.index = file_name(name, value)?,
            "fallback" => {
                if !value.starts_with('/') {
                    return Err(format!(
                        "--fallback wants a path such as /index.php, not '{value}'"
                    ));
                }
                self.fallback = Some(value.to_owned());
            }
            "multiplex" => self.multiplex = multiplex(value)?,
            "max-conns" => self.max_connections = number(name, value, 1, 100_000)?,
            "max-idle" => self.max_idle = Some(number(name, value, 0, 100_000)?),
            "queue" => self.queue = number(name, value, 0, 10_000_000)?,
            "threads" => self.threads = number(name, value, 1, 1024)?,
            "clients" => self.clients = number(name, value, 1, 10_000_000)?,
            "max-body" => self.max_body = bytes(name, value)?,
            "idle-timeout" => self.idle_timeout = seconds(name, value)?,
            "connect-timeout" => self.connect_timeout = seconds(name, value)?,
            "connect-patience" if value == "0" => self.connect_patience = Duration::ZERO,
            "connect-patience" => self.connect_patience = seconds(name, value)?,
            "read-timeout" => self.read_timeout = seconds(name, value)?,
            "write-timeout" => self.write_timeout = seconds(name, value)?,
            "request-timeout" => self.request_timeout = Some(seconds(name, value)?),
            "keep-alive" => self.keep_alive = seconds(name, value)?,
            "head-timeout" => self.head_timeout = seconds(name, value)?,
            "client-timeout" => self.client_timeout = seconds(name, value)?,
            "grace" => self.grace = seconds(name, value)?,
            _ => return Err(format!("there is no option --{name}")),
        }
        Ok(())
    }

    /// What each option allows by itself but not together.
    fn check(&self) -> Result<(), String> {
        if self.threads > self.max_connections || self.threads > self.clients {
            return Err(format!(
                "--threads {} is more than --max-conns {} or --clients {}: each thread needs one",
                self.threads, self.max_connections, self.clients
            ));
        }
        if self.threads > 1 && cfg!(not(unix)) {
            return Err("--threads above 1 needs a Unix system".to_owned());
        }
        if let Some(idle) = self.max_idle
            && idle > self.max_connections
        {
            let most = self.max_connections;
            return Err(format!("--max-idle {idle} is more than --max-conns {most}"));
        }
        if self.upstreams.is_empty() {
            if self.root.is_some()
                || !self.links_to.is_empty()
                || self.extension.is_some()
                || self.fallback.is_some()
                || self.remote
            {
                return Err(
                    "--root, --links-to, --extension, --fallback and --remote go with --upstream; without it, the demo application answers every path"
                        .to_owned(),
                );
            }
            return Ok(());
        }
        match &self.root {
            None => Err("--upstream wants --root DIR, where the scripts lie".to_owned()),
            Some(root) if !self.remote && !root.is_dir() => Err(format!(
                "--root '{}' is not a directory here; if it is one on the application's machine, say --remote",
                root.display()
            )),
            Some(root) if !self.remote => match std::fs::metadata(root.join(".")) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("--root '{}': {error}", root.display())),
            },
            Some(_) => Ok(()),
        }
    }
}

fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, String> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Short('h') | Long("help") => return Ok(CommandLine::Help),
            Short('V') | Long("version") => return Ok(CommandLine::Version),
            Long(name) => {
                let name = name.to_owned();
                options.set(&name, &mut parser)?;
            }
            Short(_) | Value(_) => return Err(argument.unexpected().to_string()),
        }
    }
    options.check()?;
    Ok(CommandLine::Serve(Box::new(options)))
}

/// What somebody typed may hold line ends.
fn in_one_line(text: &str) -> String {
    let mut line = String::new();
    for sign in text.chars() {
        if sign.is_control() {
            line.extend(sign.escape_default());
        } else {
            line.push(sign);
        }
    }
    line
}

/// Why no connection to an address can ever be made, if that can be said now.
fn unreachable(address: &Address) -> Option<&'static str> {
    match address {
        Address::Tcp(address) if address.port() == 0 => Some(PORT_0),
        Address::Host { port: 0, .. } => Some(PORT_0),
        _ => None,
    }
}

const PORT_0: &str = "nobody can listen at port 0";

fn listen_address(value: &str) -> Result<SocketAddr, String> {
    let mut addresses = value
        .to_socket_addrs()
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => {
                format!("--listen wants HOST:PORT, such as 127.0.0.1:8080, not '{value}'")
            }
            _ => format!("--listen {value}: {error}"),
        })?;
    addresses
        .next()
        .ok_or_else(|| format!("--listen {value}: the name has no address"))
}

fn file_name(name: &str, value: &str) -> Result<String, String> {
    if matches!(value, "" | "." | "..") || value.contains('/') {
        return Err(format!("--{name} wants a file's name, not '{value}'"));
    }
    Ok(value.to_owned())
}

/// Empty: every name is a script's.
fn extension(value: &str) -> Result<String, String> {
    let is_extension = value.starts_with('.') && !value.contains('/');
    if !(value.is_empty() || is_extension) {
        return Err(format!(
            "--extension wants a dot and what ends a script's name, such as .cgi, or '', not '{value}'"
        ));
    }
    Ok(value.to_owned())
}

fn param(value: &str) -> Result<(String, String), String> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    match value.split_once('=') {
        Some((name, text)) if is_name(name) && !text.contains(char::is_control) => {
            Ok((name.to_owned(), text.to_owned()))
        }
        _ => Err(format!("--param wants NAME=VALUE, not {value:?}")),
    }
}

fn multiplex(value: &str) -> Result<Multiplex, String> {
    match value {
        "auto" => Ok(Multiplex::Auto),
        "on" => Ok(Multiplex::On { max: 128 }),
        "off" => Ok(Multiplex::Off),
        _ => Err(format!("--multiplex wants auto, on or off, not '{value}'")),
    }
}

fn number<N>(name: &str, value: &str, least: N, most: N) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + Display,
{
    match value.parse() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!(
            "--{name} wants a number from {least} to {most}, not '{value}'"
        )),
    }
}

fn bytes(name: &str, value: &str) -> Result<u64, String> {
    let (digits, unit) = match value.as_bytes().last() {
        Some(b'k' | b'K') => (&value[..value.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&value[..value.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&value[..value.len() - 1], 1 << 30),
        _ => (value, 1),
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit));
    bytes.ok_or_else(|| format!("--{name} wants a size such as 1048576, 512k or 8m, not '{value}'"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    let time = value
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero() && *time <= LONGEST);
    time.ok_or_else(|| {
        format!("--{name} wants seconds above 0 and up to 86400, such as 30 or 0.5, not '{value}'")
    })
}

const LONGEST: Duration = Duration::from_secs(86_400);

/// The options that take a value.
const VALUED: &[&str] = &[
    "listen",
    "upstream",
    "root",
    "links-to",
    "extension",
    "index",
    "fallback",
    "param",
    "multiplex",
    "max-conns",
    "max-idle",
    "queue",
    "threads",
    "clients",
    "max-body",
    "idle-timeout",
    "connect-timeout",
    "connect-patience",
    "read-timeout",
    "write-timeout",
    "request-timeout",
    "keep-alive",
    "head-timeout",
    "client-timeout",
    "grace",
];

pub(crate) const USAGE: &str = "\
proxy: serves HTTP/1.1 and asks FastCGI applications such as php-fpm

  proxy                                            a demo application at http://127.0.0.1:8080
  proxy --upstream unix:/run/php/php-fpm.sock --root /srv/www
  proxy --upstream 127.0.0.1:9000 --root /srv/www --fallback /index.php --listen 0.0.0.0:80

what is served
  --listen HOST:PORT     where browsers connect (127.0.0.1:8080); port 0 takes a free one and prints it
  --upstream ADDR        a FastCGI application: unix:/path, unix:@name or host:port; may be repeated, then
                         requests go to the one with the fewest
  --root DIR             the document root: scripts go to the application, other files are sent as they are
  --remote               DIR is on the application's machine: look at no file, send none
  --links-to DIR         where symbolic links below the root may lead to beside it, such as
                         /usr/share/javascript; may be repeated
  --extension .EXT       what ends the name of a script (.php); with '', every path begins with one
  --index NAME           tried in a directory (index.php)
  --fallback /PATH.php   the script for everything that is no file: a front controller
  --max-body BYTES       the longest request body; 512k, 8m and 1g are understood (64m)
  --status               GET /-/status and /-/status.json from this machine: pool, queue, counters, all
                         summed up over the threads
  --no-access-log        no line on stderr for each request: the combined format, then the seconds that the
                         application took, or -. Lines are lost, and counted, if nobody reads them

towards the applications
  --param NAME=VALUE     told with each request, whatever the request says: HTTPS=on; may be repeated
  --pass-authorization   hand on the client's Authorization, for applications that check passwords by it
  --multiplex auto|on|off  whether requests share a connection; auto asks the application (auto). Then a
                         browser that does not read can hold up others, until --client-timeout
  --max-conns N          connections to each application; for php-fpm, its pm.max_children (8)
  --max-idle N           of these, kept while idle (4); 0: a connection for each request, for scripts that
                         work on after their answer (fastcgi_finish_request)
  --idle-timeout S       how long (10)
  --queue N              requests that may wait, 10 s each; others get 503 (1024)
  --connect-timeout S    until a connection stands (3)
  --connect-patience S   an application that refuses connections, as one that restarts does, is tried again
                         for about so long before the answer is 502; 0: not at all (2)
  --read-timeout S       silence of the application, before and within its answer (60)
  --write-timeout S      the application takes nothing of the request (30)
  --request-timeout S    a request as a whole (none)

towards the browsers
  --threads N            event loops; connections and queue are shared out among them (1)
  --clients N            connections at a time, within ulimit -n; more wait in the system's queue (8192)
  --keep-alive S         between two requests (60)
  --head-timeout S       for the head of a request (10)
  --client-timeout S     a browser that sends no body or takes no answer (60)
  --grace S              at SIGTERM or SIGINT, for what is being served; a second signal stops at once (30)

  --help, --version      instead of all this

A browser that ends its side of the connection has gone: what an application does for it is aborted.
Exit status: 0 told to stop, also if --grace cut something off; 1 cannot serve; 2 a wrong option.
Seconds may have a fraction. Of an option given twice the last one counts, unless it may be repeated.
RUST_LOG=mio_fcgi=debug shows what happens to the FastCGI connections.";
