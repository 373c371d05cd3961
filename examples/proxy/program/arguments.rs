//! The command line: its help text, and which options cannot be combined.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};

use super::site::mounts;
use super::site::options::Options;

#[derive(Debug, Default, Parser)]
#[command(
    name = "proxy",
    version,
    about = "Serves HTTP/1.1 and asks FastCGI applications such as php-fpm.",
    override_usage = USAGE,
    after_help = AFTER,
    args_override_self = true,
    allow_negative_numbers = true,
    max_term_width = 100,
    disable_help_flag = true,
    disable_version_flag = true
)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// print this help
    #[arg(short, long, action = ArgAction::Help, help_heading = "Help and version")]
    help: Option<bool>,
    /// print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "Help and version")]
    version: Option<bool>,
}

const USAGE: &str = "\
proxy        # a demo application at http://127.0.0.1:8080
       proxy --upstream unix:/run/php/php-fpm.sock --root /srv/www
       proxy --upstream 127.0.0.1:9000 --root /srv/www --fallback /index.php --listen 0.0.0.0:80
       proxy --mount /=127.0.0.1:8000,files=/srv/static --mount /blog=127.0.0.1:9000,root=/srv/blog";

const AFTER: &str = "\
When a client closes its side of the connection, its request is aborted, unless --half-close is given.
SIGHUP: names are looked up again, and the proxy goes on, also when its terminal is closed.
SIGUSR1 and SIGUSR2 are ignored.
Exit status: 0 stopped by a signal, even if requests were cut off; 1 cannot serve; 2 invalid option.
Seconds may have a fraction.
If an option is given twice, the last one counts, unless it may be repeated.
RUST_LOG=mio_fcgi=debug logs what happens on the FastCGI connections.";

/// Reads the command line, without the program's name.
///
/// # Errors
/// What is wrong with the command line. `--help` and `--version` are errors too.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
    let mut line = CommandLine::default();
    let program = OsString::from("proxy");
    line.try_update_from(std::iter::once(program).chain(arguments))?;
    check(&line.options)
        .map_err(|why| CommandLine::command().error(ErrorKind::ArgumentConflict, why))?;
    Ok(line.options)
}

/// Lowers what another option limits, and finds out what the system does not give, with a line for the operator.
pub(crate) fn lower(options: &mut Options) {
    let most = options.max_connections;
    if let Some(idle) = &mut options.max_idle
        && *idle > most
    {
        eprintln!(
            "proxy: --max-idle {idle} is more than --max-conns {most}: {most} connections are kept"
        );
        *idle = most;
    }
    if options.body_dir.is_none()
        && let Err(error) = tempfile::tempfile()
    {
        eprintln!(
            "proxy: the system's directory takes no temporary file ({error}): long bodies are passed on as they arrive; --body-dir names another one"
        );
    }
}

/// Checks that temporary files can be made. The error says which directory does not take them.
fn check_body_dir(options: &Options) -> Result<(), String> {
    match &options.body_dir {
        Some(dir) => tempfile::tempfile_in(dir)
            .map(drop)
            .map_err(|error| format!("--body-dir '{}': {error}", dir.display())),
        None => Ok(()),
    }
}

/// Checks what depends on more than one option.
fn check(options: &Options) -> Result<(), String> {
    let Options {
        threads,
        max_clients,
        max_connections,
        ..
    } = options;
    if threads > max_connections || threads > max_clients {
        return Err(format!(
            "--threads {threads} is more than --max-conns {max_connections} or --max-clients {max_clients}: each thread needs one"
        ));
    }
    if options.trusted_proxies.is_empty() && options.listen.iter().any(|it| it.expects_proxy_header)
    {
        return Err(
            "--listen with proxy-protocol needs --trusted-proxy, the proxy in front that may say who its clients are"
                .to_owned(),
        );
    }
    if *threads > 1 && cfg!(not(unix)) {
        return Err("--threads above 1 needs a Unix system".to_owned());
    }
    check_body_dir(options)?;
    mounts::check(options)
}
