//! The command line: how it is explained, and what its options do not allow together.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};

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
    /// this text
    #[arg(short, long, action = ArgAction::Help, help_heading = "Instead of all this")]
    help: Option<bool>,
    /// the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "Instead of all this")]
    version: Option<bool>,
}

const USAGE: &str = "\
proxy        a demo application at http://127.0.0.1:8080
       proxy --upstream unix:/run/php/php-fpm.sock --root /srv/www
       proxy --upstream 127.0.0.1:9000 --root /srv/www --fallback /index.php --listen 0.0.0.0:80";

const AFTER: &str = "\
A browser that ends its side of the connection has gone: what an application does for it is aborted.
Exit status: 0 told to stop, also if --shutdown-timeout cut something off; 1 cannot serve; 2 a wrong option.
Seconds may have a fraction. Of an option given twice the last one counts, unless it may be repeated.
RUST_LOG=mio_fcgi=debug shows what happens to the FastCGI connections.";

/// Reads the command line, without the program's name.
///
/// # Errors
/// What is wrong with it; help and version are errors, too.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
    let mut line = CommandLine::default();
    let program = OsString::from("proxy");
    line.try_update_from(std::iter::once(program).chain(arguments))?;
    check(&line.options)
        .map_err(|why| CommandLine::command().error(ErrorKind::ArgumentConflict, why))?;
    Ok(line.options)
}

/// What each option allows by itself but not together.
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
    if *threads > 1 && cfg!(not(unix)) {
        return Err("--threads above 1 needs a Unix system".to_owned());
    }
    if let Some(idle) = options.max_idle
        && idle > *max_connections
    {
        return Err(format!(
            "--max-idle {idle} is more than --max-conns {max_connections}"
        ));
    }
    if options.upstreams.is_empty() {
        if options.root.is_some()
            || !options.allow_symlinks_into.is_empty()
            || options.extension.is_some()
            || options.fallback.is_some()
            || options.remote
        {
            return Err(
                "--root, --allow-symlinks-into, --extension, --fallback and --remote go with --upstream; without it, the demo application answers every path"
                    .to_owned(),
            );
        }
        return Ok(());
    }
    match &options.root {
        None => Err("--upstream wants --root DIR, where the scripts lie".to_owned()),
        Some(_) if options.remote => Ok(()),
        Some(root) if !root.is_dir() => Err(format!(
            "--root '{}' is not a directory here; if it is one on the application's machine, say --remote",
            root.display()
        )),
        Some(root) => match std::fs::metadata(root.join(".")) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("--root '{}': {error}", root.display())),
        },
    }
}
