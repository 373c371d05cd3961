//! The command line of `get`.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{self, Path};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use mio_fcgi::cgi::{Env, EnvError};
use mio_fcgi::{Address, Body, Params};

use crate::{command_line, script};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "get",
    about = "Sends one request to a FastCGI application, as curl does to an HTTP server.",
    override_usage = USAGE,
    after_help = AFTER,
    args_override_self = true,
    allow_negative_numbers = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// address of the application: unix:/path, unix:@abstract-name, host:port or [v6]:port; without it, get runs a demo
    /// application of its own
    #[arg(long, value_name = "ADDR")]
    pub(crate) connect: Option<Address>,
    /// file to run, as the application sees it (SCRIPT_FILENAME); a relative path is resolved against the current
    /// directory. Applications without scripts, such as those in Go, need only --uri
    #[arg(long, value_name = "PATH")]
    script: Option<OsString>,
    /// path and query that an HTTP client would have asked for; by default the name of the file, or the whole path if
    /// it is absolute and has no extension, such as /fpm/ping, a page of php-fpm. Without --script, the path is
    /// PATH_INFO, and SCRIPT_NAME is empty
    #[arg(long, value_parser = uri)]
    uri: Option<String>,
    /// request method; by default GET, or POST with --data
    #[arg(long, value_name = "M")]
    method: Option<String>,
    /// request body: the text itself, @FILE for the content of a file, - for stdin, which is read to its end first (64
    /// MiB at most)
    #[arg(long, allow_hyphen_values = true, value_parser = OsStringValueParser::new().try_map(Data::from_argument))]
    data: Option<Data>,
    /// parameter to add, or to replace; may be repeated
    #[arg(long = "param", value_name = "K=V", value_parser = command_line::pair)]
    params: Vec<(String, String)>,
    /// show the head of the response before its body
    #[arg(short, long)]
    pub(crate) include: bool,
    /// do not show the body of a response with an error status (400 and above)
    #[arg(short, long)]
    pub(crate) fail: bool,
    /// seconds for everything together; by default 3 s to connect, 60 s to the first byte and 60 s between two bytes
    #[arg(long, value_name = "S", value_parser = command_line::any_seconds)]
    pub(crate) timeout: Option<Duration>,
    /// seconds to retry connecting while the application refuses or its socket does not exist, for example while it
    /// starts
    #[arg(long, value_name = "S", value_parser = command_line::any_seconds)]
    connect_retry: Option<Duration>,
    /// ask the application for its FCGI_* values instead of running a script (a health check); takes 10 s at most by
    /// default
    #[arg(long)]
    pub(crate) values: bool,
    #[arg(hide = true)]
    alone: Option<OsString>,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with the command line. `--help` is an error too.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let arguments = Self::try_parse()?;
        arguments
            .check()
            .map_err(|why| Self::command().error(ErrorKind::ArgumentConflict, why))?;
        Ok(arguments)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(value) = &self.alone {
            let hint = "a file goes after --script, a path after --uri";
            return Err(format!(
                "'{}' is not the value of an option: {hint}",
                value.display()
            ));
        }
        let is_nothing = self.script.is_none() && self.uri.is_none();
        if self.connect.is_some() && is_nothing && !self.values {
            return Err(
                "--connect needs --script, the path of a file as the application sees it or /status for \
                 php-fpm's status page, or --uri for an application without scripts"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// How long to retry a server that refuses connections.
    pub(crate) fn connect_retry(&self) -> Duration {
        self.connect_retry.unwrap_or_default()
    }

    /// The HTTP method: the one given, or POST with `--data` and GET without.
    pub(crate) fn method(&self) -> &str {
        match &self.method {
            Some(method) => method,
            None if self.data.is_some() => "POST",
            None => "GET",
        }
    }

    /// The script's path as it is sent. A relative path is resolved against the current directory.
    pub(crate) fn script_filename(&self) -> Vec<u8> {
        let Some(script) = &self.script else {
            return Vec::new();
        };
        match path::absolute(script) {
            Ok(path) => path.into_os_string().into_encoded_bytes(),
            Err(_) => script.as_encoded_bytes().to_vec(),
        }
    }

    /// Writes the parameters. A parameter given with `--param` replaces the derived one.
    ///
    /// # Errors
    /// A value that cannot be sent safely, such as a URI with a blank.
    pub(crate) fn write_params(&self, params: &mut Params) -> Result<(), EnvError> {
        for (name, value) in &self.params {
            params.push(name, value);
        }
        let filename = self.script_filename();
        let is_whole_path = self
            .script
            .as_ref()
            .is_some_and(|it| Path::new(it).is_absolute());
        let default = script::default_uri(&filename, is_whole_path);
        let uri = self.uri.as_deref().unwrap_or(&default).as_bytes();
        let script = script::locate(&filename, uri);

        let fields = [
            (&b"Host"[..], &b"localhost"[..]),
            // The content type of a form. curl sends the same for its `--data`.
            (b"Content-Type", b"application/x-www-form-urlencoded"),
        ];
        let fields = &fields[..if self.data.is_some() { 2 } else { 1 }];
        Env::new(
            self.method().as_bytes(),
            uri,
            fields.iter().copied(),
            &script,
        )
        .with_remote(([127, 0, 0, 1], 0).into())
        .write_to(params)
    }

    /// Opens the source of the request body.
    ///
    /// # Errors
    /// The system's error if a file cannot be opened.
    pub(crate) fn open_body(&self) -> io::Result<Body> {
        match &self.data {
            None => Ok(Body::empty()),
            Some(Data::Text(bytes)) => Ok(Body::bytes(bytes.as_slice())),
            Some(Data::Stdin) => Ok(Body::reader(io::stdin(), None)),
            Some(Data::File(path)) => {
                open(path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
            }
        }
    }
}

/// Where the request's body comes from.
#[derive(Clone, Debug)]
enum Data {
    Text(Vec<u8>),
    Stdin,
    File(String),
}

impl Data {
    fn from_argument(argument: OsString) -> Result<Self, &'static str> {
        if argument == "-" {
            return Ok(Self::Stdin);
        }
        match argument.to_str().map(|text| text.strip_prefix('@')) {
            Some(Some("")) => Err("@ names no file"),
            Some(Some(path)) => Ok(Self::File(path.to_owned())),
            None if argument.as_encoded_bytes().starts_with(b"@") => {
                Err("the name of a file after @ has to be UTF-8")
            }
            Some(None) | None => Ok(Self::Text(argument.into_encoded_bytes())),
        }
    }
}

fn open(path: &str) -> io::Result<Body> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // The length of a pipe or a device is known at its end.
    Ok(file.into())
}

fn uri(text: &str) -> Result<String, &'static str> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("a URI begins with a slash, such as /x.php?a=b")
    }
}

const USAGE: &str = "\
get --connect unix:/run/php/php8.2-fpm.sock --script /var/www/hello.php
       get --connect 127.0.0.1:9000 --script /var/www/form.php --data 'name=world' -i
       get --connect 127.0.0.1:9000 --script /fpm/ping
       get --connect 127.0.0.1:9000 --uri '/app?a=b'
       get --connect 127.0.0.1:9000 --values
       get --uri /stream";

const AFTER: &str = "\
The body is written to stdout as it arrives, the application's stderr to stderr. Control
characters in stderr are escaped, such as \\x1b, and on a terminal also those in the body. A body
that is not text (it contains a NUL) is not written to a terminal. A file or a pipe gets the body
as it is.

If a name has several addresses, the first one that can be connected to is used: the next one is
tried at once when one refuses, and also after 250 ms without a connection.

Exit status:
   0  the response is complete, and has no error status
   1  something went wrong on this machine
   2  the command line is wrong
   6  the host's name cannot be resolved
   7  no connection: refused, no such socket, no permission
   8  the answer is not FastCGI, or has no valid head
   9  the application rejected the request (overloaded, unknown role)
  18  the response was cut short
  22  the response is complete, with an error status (400 and above)
  23  stdout cannot be written, or is a terminal and the response is not text; there is no
      message if the reader of stdout has gone
  26  --data cannot be read
  28  a time limit has passed
  52  the connection was closed, or the request ended, without any response";
